//! The examples that run real programs, from Debian's packages (tests/install.sh).

use std::path::Path;

use crate::harness::{Weft, Who, curl, eventually, free_port};

/// An example, with the port it publishes exchanged for a free one.
fn example(weft: &Weft, name: &str, port: Option<(&str, u16)>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let mut text = std::fs::read_to_string(path).expect("the example");
    if let Some((old, new)) = port {
        assert!(text.contains(old), "{name} is published on {old}");
        text = text.replace(old, &new.to_string());
    }
    weft.blueprint(name, &text)
}

#[test]
fn nginx_serves_two_pages_in_turn_as_root() {
    nginx(Who::Root);
}

#[test]
fn nginx_serves_two_pages_in_turn_as_an_ordinary_user() {
    nginx(Who::User);
}

fn nginx(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let file = example(&weft, "nginx.js", Some(("8081", port)));
    weft.ok(&["up", &file]);
    let url = format!("http://localhost:{port}/");
    for page in ["hello from the north\n", "hello from the south\n"] {
        assert!(
            eventually(|| curl(&url).as_deref() == Ok(page)),
            "{page}: {:?} {}",
            curl(&url),
            weft.ok(&["logs"])
        );
    }
    assert!(eventually(|| weft.ok(&["logs", "client"]).contains("hello from the")), "{}", weft.ok(&["logs"]));
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn redis_replicates_as_root() {
    redis(Who::Root);
}

#[test]
fn redis_replicates_as_an_ordinary_user() {
    redis(Who::User);
}

fn redis(who: Who) {
    let weft = Weft::new(who);
    let file = example(&weft, "redis.js", None);
    weft.ok(&["up", &file]);
    let ask = |host: &str, words: &[&str]| {
        let output = weft.run(&[&["exec", "client", "--", "redis-cli", "-h", host], words].concat());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert!(eventually(|| ask("primary", &["set", "fruit", "apple"]) == "OK"), "{}", weft.ok(&["logs"]));
    assert!(eventually(|| ask("replica", &["get", "fruit"]) == "apple"), "{}", weft.ok(&["logs"]));
    // A value that takes many packets, and comes out as it went in.
    let long = "weft".repeat(50_000);
    let mut set = weft.command(&["exec", "client", "--", "redis-cli", "-h", "primary", "-x", "set", "long"]);
    let mut set = set
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("to start");
    std::io::Write::write_all(&mut set.stdin.take().expect("its input"), long.as_bytes()).expect("to write");
    assert!(set.wait().is_ok_and(|end| end.success()));
    assert!(eventually(|| ask("replica", &["strlen", "long"]) == long.len().to_string()));
    assert!(eventually(|| weft.ok(&["logs", "client"]).contains("visits, as the replica has them: ")));
    assert_eq!(weft.run(&["why", "client", "primary", "6380"]).status.code(), Some(1));
    assert_eq!(weft.run(&["why", "primary", "replica", "6379"]).status.code(), Some(1));
    assert_eq!(weft.run(&["why", "replica", "primary", "6379"]).status.code(), Some(0));
    weft.ok(&["stop"]);
    weft.nothing_left();
}
