//! The example that the README starts with.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::{Weft, Who, curl, eventually, free_port, port_is_free};

/// `examples/shop.js`, published on a port that is free here and under a name of its own.
pub(crate) fn shop(weft: &Weft, port: u16) -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop.js"))
        .expect("the example");
    assert!(text.contains("8080"), "the example is published on 8080");
    weft.blueprint("shop.js", &text.replace("8080", &port.to_string()))
}

#[test]
fn a_shop_opens_and_closes_as_root() {
    opens_and_closes(Who::Root);
}

#[test]
fn a_shop_opens_and_closes_as_an_ordinary_user() {
    opens_and_closes(Who::User);
}

fn opens_and_closes(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let file = shop(&weft, port);
    weft.ok(&["check", &file]);
    assert!(weft.ok(&["plan", &file]).contains("+ container web-1"));
    let shown = weft.ok(&["up", &file]);
    assert!(shown.contains("running") && shown.contains(&format!("localhost:{port}")), "{shown}");
    let root_with_cgroups =
        who == Who::Root && host::cgroup::Cgroups::detect() != host::cgroup::Cgroups::default();
    assert!(!root_with_cgroups || !weft.cgroups().is_empty(), "containers are in groups of their own");
    replicas_answer_in_turn(port);
    names_and_gateway_answer(&weft);
    links_are_enforced(&weft);
    everything_is_shown(&weft);
    assert_eq!(weft.ok(&["plan", &file]).trim(), "nothing to change");
    only_the_difference_is_applied(&weft, &file, port);
    weft.ok(&["stop"]);
    weft.nothing_left();
    assert!(curl(&format!("http://localhost:{port}/")).is_err(), "the port is closed again");
    assert!(port_is_free(port), "and nobody holds it");
}

fn replicas_answer_in_turn(port: u16) {
    let url = format!("http://localhost:{port}/");
    assert!(
        eventually(|| curl(&url).is_ok_and(|page| page.starts_with("hello from web-"))),
        "{:?}",
        curl(&url)
    );
    let mut answers = BTreeMap::<String, u32>::new();
    for _ in 0..9 {
        let page = curl(&url).expect("a page");
        let replica = page.split([' ', ',']).nth(2).expect("a name").to_owned();
        *answers.entry(replica).or_default() += 1;
    }
    // The client asks too, so the turn is not ours alone; but nobody is left out.
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(answers.values().all(|count| *count >= 2), "{answers:?}");
}

fn names_and_gateway_answer(weft: &Weft) {
    let inside = |command: &[&str]| weft.ok(&[&["exec", "client", "--"], command].concat());
    assert!(inside(&["getent", "hosts", "web"]).contains("web"));
    assert!(inside(&["getent", "ahostsv4", "db"]).starts_with("10.181."));
    let unknown = weft.run(&["exec", "client", "--", "getent", "hosts", "nobody.example"]);
    assert_eq!(unknown.status.code(), Some(2), "an unknown name is told at once");
    assert!(inside(&["ping", "-c1", "-W2", "10.181.0.1"]).contains("1 received"));
    assert!(inside(&["ping", "-c1", "-W2", "fd77:6566:74::1"]).contains("1 received"));
    assert!(inside(&["ping", "-c1", "-W2", "web"]).contains("1 received"), "a link lets pings through");
    assert_eq!(inside(&["hostname"]).trim(), "client");
}

fn links_are_enforced(weft: &Weft) {
    let start = Instant::now();
    let denied = weft.run(&["exec", "client", "--", "curl", "-sS", "--max-time", "5", "telnet://db:5432"]);
    assert_eq!(denied.status.code(), Some(7), "curl could not connect: {denied:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "refused at once, not after {:?}", start.elapsed());
    // The database may answer the web tier, but not call it.
    let back = weft.run(&["exec", "db", "--", "curl", "-sS", "--max-time", "5", "http://web-1/"]);
    assert_eq!(back.status.code(), Some(7), "{back:?}");

    let why = weft.run(&["why", "client", "db", "5432", "--json"]);
    assert_eq!(why.status.code(), Some(1));
    let why: serde_json::Value = serde_json::from_slice(&why.stdout).expect("JSON");
    assert_eq!(why["allowed"], false);
    assert!(why["denied_packets"].as_u64().unwrap() > 0, "{why}");
    let told = weft.run(&["why", "client", "db", "5432"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.starts_with("denied: client -> db:5432/tcp is refused: no link allows it ("), "{told}");
    assert!(told.trim_end().ends_with("so far)") && !told.contains("(0 packets"), "{told}");
    let told = weft.ok(&["why", "web-1", "db", "5432"]);
    assert!(told.starts_with("allowed: web-1 -> db:5432/tcp by ") && told.contains("shop.js:"), "{told}");
    assert!(told.contains("(link web -> db; ") && told.contains(" connections, "), "{told}");
    let why = weft.json(&["why", "web-2", "db", "5432", "--json"]);
    assert_eq!(why["allowed"], true);
    assert!(why["label"].as_str().unwrap().contains("shop.js:"), "{why}");
    assert!(why["counter"]["flows"].as_u64().unwrap() > 0, "{why}");
}

fn everything_is_shown(weft: &Weft) {
    let listing = weft.json(&["ps", "--json"]);
    let states: Vec<_> =
        listing["containers"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, vec!["running"; 5], "{listing}");
    assert_eq!(listing["services"][0]["members"].as_array().unwrap().len(), 3);
    assert!(listing["published"][0]["status"]["total"].as_u64().unwrap() >= 9, "{listing}");
    assert!(eventually(|| weft.ok(&["logs", "client"]).contains("hello from web-")));
    assert!(weft.ok(&["logs", "-n", "1", "-t", "web-1"]).contains("GET /"));
    assert!(weft.fails(&["logs", "nobody"]).contains("no container is called 'nobody'"));
    let top = weft.json(&["top", "--json"]);
    let denied = top["fabric"]["denied"].as_array().unwrap();
    assert!(
        denied.iter().any(|pair| pair["source"] == "client" && pair["destination"] == "db"),
        "{denied:?}"
    );
    assert!(weft.ok(&["top", "--once"]).contains("web-1"));
    assert!(weft.ok(&["graph"]).starts_with("<svg"));
    assert!(weft.ok(&["graph", "--format", "dot"]).contains("digraph"));
}

fn only_the_difference_is_applied(weft: &Weft, file: &str, port: u16) {
    let before = weft.pids();
    let text = std::fs::read_to_string(file).unwrap();
    let smaller = text.replace("replicas: 3", "replicas: 2");
    assert_ne!(text, smaller, "the example has three replicas");
    let changed = weft.blueprint("shop2.js", &smaller);
    assert_eq!(weft.ok(&["plan", &changed]).lines().next(), Some("- container web-3"));
    weft.ok(&["up", &changed]);
    let after = weft.pids();
    assert_eq!(after.len(), 4);
    assert!(after.iter().all(|(name, pid)| before[name] == *pid), "{before:?} {after:?}");
    for _ in 0..6 {
        let page = curl(&format!("http://localhost:{port}/")).expect("a page");
        assert!(page.starts_with("hello from web-1") || page.starts_with("hello from web-2"), "{page}");
    }
    weft.ok(&["up", file]);
    assert_eq!(weft.pids().len(), 5);
}
