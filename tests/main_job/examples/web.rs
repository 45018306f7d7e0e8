//! Web servers, and what stands before them.

use super::{COULD_NOT_CONNECT, example, fetch};
use crate::harness::{Weft, Who, curl, eventually, free_port};

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
fn haproxy_balances_and_counts_as_root() {
    haproxy(Who::Root);
}

#[test]
fn haproxy_balances_and_counts_as_an_ordinary_user() {
    haproxy(Who::User);
}

fn haproxy(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    weft.ok(&["up", &example(&weft, "haproxy.js", Some(("8084", port)))]);
    let url = format!("http://localhost:{port}/");
    for web in ["web-1", "web-2", "web-3"] {
        let page = format!("hello from {web}\n");
        assert!(
            eventually(|| curl(&url).as_deref() == Ok(page.as_str())),
            "{web}: {:?} {}",
            curl(&url),
            weft.ok(&["logs"])
        );
    }
    let all_up = || {
        let (_, table) = fetch(&weft, "operator", "http://proxy:8404/;csv");
        (1..=3).all(|at| {
            table.lines().any(|line| line.starts_with(&format!("web,web-{at},")) && line.contains(",UP,"))
        })
    };
    assert!(eventually(all_up), "{:?}", fetch(&weft, "operator", "http://proxy:8404/;csv"));
    assert_eq!(fetch(&weft, "operator", "http://web-1/").0, Some(COULD_NOT_CONNECT));
    assert_eq!(weft.run(&["why", "operator", "web", "80"]).status.code(), Some(1));
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn django_counts_in_redis_as_root() {
    django(Who::Root);
}

#[test]
fn django_counts_in_redis_as_an_ordinary_user() {
    django(Who::User);
}

fn django(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    weft.ok(&["up", &example(&weft, "django.js", Some(("8085", port)))]);
    let url = format!("http://localhost:{port}/");
    let visit = || Some(curl(&url).ok()?.strip_prefix("hello from app-")?.to_owned());
    for app in ["1, visit ", "2, visit "] {
        assert!(
            eventually(|| visit().is_some_and(|page| page.starts_with(app))),
            "{app}: {:?} {}",
            curl(&url),
            weft.ok(&["logs"])
        );
    }
    // Two more visits are two more, whoever counts them.
    let number = || visit().and_then(|page| page.trim().rsplit(' ').next()?.parse::<u32>().ok());
    let (first, second) = (number().expect("a number"), number().expect("a number"));
    assert!(second > first, "{first}, then {second}");
    let ping = weft.run(&["exec", "nginx", "--", "redis-cli", "-h", "cache", "ping"]);
    assert!(!String::from_utf8_lossy(&ping.stdout).contains("PONG"), "{ping:?}");
    assert_eq!(weft.run(&["why", "nginx", "cache", "6379"]).status.code(), Some(1));
    assert!(weft.ok(&["why", "app", "cache", "6379"]).contains("django.js:"));
    weft.ok(&["stop"]);
    weft.nothing_left();
}
