//! What flows, and what does not.

use super::{example, says};
use crate::harness::{Weft, Who, eventually};

#[test]
fn mosquitto_passes_on_what_thermometers_say_as_root() {
    mosquitto(Who::Root);
}

#[test]
fn mosquitto_passes_on_what_thermometers_say_as_an_ordinary_user() {
    mosquitto(Who::User);
}

fn mosquitto(who: Who) {
    let weft = Weft::new(who);
    weft.ok(&["up", &example(&weft, "mosquitto.js", None)]);
    for thermometer in ["temperature/thermometer-1 ", "temperature/thermometer-2 "] {
        assert!(
            says(&weft, "display", |log| log.contains(thermometer)),
            "{thermometer}: {}",
            weft.ok(&["logs"])
        );
    }
    assert_eq!(weft.run(&["why", "thermometer", "broker", "1883"]).status.code(), Some(0));
    assert_eq!(weft.run(&["why", "thermometer", "display", "1883"]).status.code(), Some(1));
    assert_eq!(weft.run(&["why", "thermometer-1", "thermometer-2", "1883"]).status.code(), Some(1));
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn iperf3_measures_both_pairs_as_root() {
    iperf3(Who::Root);
}

#[test]
fn iperf3_measures_both_pairs_as_an_ordinary_user() {
    iperf3(Who::User);
}

fn iperf3(who: Who) {
    let weft = Weft::new(who);
    weft.ok(&["up", "--arg", "seconds=1", &example(&weft, "iperf3.js", None)]);
    for client in ["fast", "slow"] {
        assert!(says(&weft, client, |log| log.contains("Mbits/sec")), "{client}: {}", weft.ok(&["logs"]));
    }
    let denied = weft.run(&["exec", "fast", "--", "iperf3", "-c", "server-1", "-p", "5202"]);
    let said =
        [&denied.stdout, &denied.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(!denied.status.success() && said.contains("unable to connect"), "{said}");
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn capture_shows_what_arrives_as_root() {
    let weft = Weft::new(Who::Root);
    weft.ok(&["up", &example(&weft, "capture.js", None)]);
    let log = || weft.ok(&["logs", "web"]);
    // tcpdump names ports by /etc/services, but for -n.
    assert!(eventually(|| log().contains(".80: Flags [S]")), "{}", weft.ok(&["logs"]));
    let refused = |log: &str| log.matches("nothing on port 81").count() > 2 && log.contains("hello from web");
    assert!(says(&weft, "client", refused), "{}", weft.ok(&["logs"]));
    assert!(!log().contains(".81: "), "{}", log());
    let top = weft.ok(&["top", "--once"]);
    assert!(top.lines().any(|line| line.starts_with("client ") && line.contains("web:81")), "{top}");
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn inspected_lets_pages_through_and_little_else_as_root() {
    inspected(Who::Root);
}

#[test]
fn inspected_lets_pages_through_and_little_else_as_an_ordinary_user() {
    inspected(Who::User);
}

fn inspected(who: Who) {
    let weft = Weft::new(who);
    weft.ok(&["up", &example(&weft, "inspected.js", None)]);
    let lines = ["hello from web", "no /etc/passwd", "nothing on port 81"];
    let turned_away = |log: &str| lines.iter().all(|line| log.contains(line));
    assert!(says(&weft, "client", turned_away), "{}", weft.ok(&["logs"]));
    let why = weft.ok(&["why", "client", "web", "80"]);
    assert!(why.contains("through watch, guard, search"), "{why}");
    // Each of the two has dropped something of its own.
    for part in ["denied by rule", "search-1 (signature"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let search = why.lines().find(|line| line.contains("search-1")).unwrap_or_default();
    assert!(!search.contains(" 0 packets dropped"), "{why}");
    weft.ok(&["stop"]);
    weft.nothing_left();
}
