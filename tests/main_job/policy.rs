//! What is not allowed: refused at once or dropped in silence, counted, and explained.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Weft, Who};

/// curl's exit codes (curl(1)): could not connect, and out of time.
const COULD_NOT_CONNECT: i32 = 7;
const TIMED_OUT: i32 = 28;

/// Two containers without a link, each a web server.
fn strangers(weft: &Weft, denied: &str) {
    let file = weft.blueprint(
        "strangers.js",
        &format!(
            "import {{Container, allow, deployment}} from 'weft';\n\
             deployment({{name: 'strangers', denied: '{denied}'}});\n\
             const web = ['weft', 'tool', 'web', '--listen', '80'];\n\
             const a = new Container('a', {{command: web}});\n\
             const b = new Container('b', {{command: web}});\n\
             allow(a, b, 81);\n"
        ),
    );
    weft.ok(&["up", &file]);
}

#[test]
fn a_refusal_comes_at_once_over_ipv4_and_ipv6_as_root() {
    refused(Who::Root);
}

#[test]
fn a_refusal_comes_at_once_over_ipv4_and_ipv6_as_an_ordinary_user() {
    refused(Who::User);
}

fn refused(who: Who) {
    let weft = Weft::new(who);
    strangers(&weft, "refuse");
    for family in ["-4", "-6"] {
        let before = denied_packets(&weft);
        let (code, took, error) = fetch(&weft, &["curl", "-sS", family, "--max-time", "60", "http://b/"]);
        assert_eq!(code, Some(COULD_NOT_CONNECT), "{family}: {error}");
        assert!(took < Duration::from_secs(20), "{family}: refused at once, not after {took:?}");
        assert!(denied_packets(&weft) > before, "{family}: it is counted");
    }
    // UDP learns of it, too: the kernel passes the ICMP message on as an error of the socket.
    let udp = "use IO::Socket::IP; my $s = IO::Socket::IP->new(PeerHost => 'b', PeerPort => 53, Proto => 'udp') or die;
               $s->send('x'); $SIG{ALRM} = sub { exit 3 }; alarm 30; exit(defined $s->recv(my $x, 9) ? 4 : 0)";
    assert_eq!(fetch(&weft, &["perl", "-e", udp]).0, Some(0), "a datagram's sender hears of it");
    everybody_is_told(&weft, "refused");
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn a_drop_is_silent_and_counted_as_root() {
    dropped(Who::Root);
}

#[test]
fn a_drop_is_silent_and_counted_as_an_ordinary_user() {
    dropped(Who::User);
}

fn dropped(who: Who) {
    let weft = Weft::new(who);
    strangers(&weft, "drop");
    for family in ["-4", "-6"] {
        let before = denied_packets(&weft);
        let (code, _, error) = fetch(&weft, &["curl", "-sS", family, "--max-time", "2", "http://b/"]);
        assert_eq!(code, Some(TIMED_OUT), "{family}: {error}");
        assert!(denied_packets(&weft) > before, "{family}: it is counted");
    }
    everybody_is_told(&weft, "dropped");
    weft.ok(&["stop"]);
    weft.nothing_left();
}

/// Runs a command in container `a`: its exit code, how long it took, and what it complained of.
fn fetch(weft: &Weft, command: &[&str]) -> (Option<i32>, Duration, String) {
    let start = Instant::now();
    let output = weft.run(&[&["exec", "a", "--"], command].concat());
    (output.status.code(), start.elapsed(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn denied_packets(weft: &Weft) -> u64 {
    let why = weft.run(&["why", "a", "b", "80", "--json"]);
    assert_eq!(why.status.code(), Some(1), "denied is exit code 1");
    let why: Value = serde_json::from_slice(&why.stdout).expect("JSON");
    why["denied_packets"].as_u64().expect("a count")
}

/// `why` and `top` both know of it.
fn everybody_is_told(weft: &Weft, how: &str) {
    let why = weft.run(&["why", "a", "b", "80"]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    let count = denied_packets(weft);
    assert_eq!(
        why.trim_end(),
        format!("denied: a -> b:80/tcp is {how}: no link allows it ({count} packets so far)")
    );
    let allowed = weft.ok(&["why", "a", "b", "81"]);
    assert!(
        allowed.contains("strangers.js:6:") && allowed.contains("0 connections, 0 packets, 0 B"),
        "{allowed}"
    );
    let all = weft.ok(&["why", "--all"]);
    let rows: Vec<Vec<&str>> = all.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows.iter().map(|row| &row[..3]).collect::<Vec<_>>(),
        [["FROM", "TO", "PORTS"], ["a", "b", "81/tcp"], ["a", "b", "81/udp"]]
    );
    assert!(rows[1][3].ends_with("strangers.js:6:1"), "{all}");
    let top = weft.ok(&["top", "--once"]);
    let row = top.lines().find(|line| line.starts_with("a ") && line.contains(" b:")).unwrap_or_default();
    assert!(row.contains(&count.to_string()) && row.contains("no link allows it"), "{count}: {top}");
    assert!(top.contains("DROPPED BECAUSE"), "{top}");
    let counters = weft.json(&["top", "--json"]);
    let reasons = counters["fabric"]["drops"].to_string();
    assert!(reasons.contains("not-allowed"), "{reasons}");
}
