//! What is left when processes are killed, and what the next command makes of it.

use std::time::{Duration, Instant};

use crate::harness::{Weft, Who, curl, eventually, free_port, kill};
use crate::shop::shop;

/// Moments of a command's life at which it is killed.
const MOMENTS: u32 = 12;
/// Processes that `up` starts: sandbox, dataplane, edge, launcher.
const BIRTHS: usize = 4;
/// How often it is tried to catch one of these births.
const ATTEMPTS: usize = 20;

#[test]
fn a_command_killed_at_any_moment_leaves_what_stop_takes_away_as_root() {
    killed_at_any_moment(Who::Root);
}

#[test]
fn a_command_killed_at_any_moment_leaves_what_stop_takes_away_as_an_ordinary_user() {
    killed_at_any_moment(Who::User);
}

fn killed_at_any_moment(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let file = shop(&weft, port);
    let (up, down) = how_long_both_take(&weft, &file);
    for moment in 0..MOMENTS {
        weft.killed_after(&["up", &file], up * moment / MOMENTS);
        if moment % 3 == 1 {
            // The next command finds everything again and finishes the job.
            weft.ok(&["up", &file]);
            let url = format!("http://localhost:{port}/");
            assert!(eventually(|| curl(&url).is_ok()), "at moment {moment}: {:?}", curl(&url));
        }
        weft.stops();
        weft.nothing_left();
    }
    for moment in 0..MOMENTS / 3 {
        weft.ok(&["up", &file]);
        weft.killed_after(&["stop"], down * moment * 3 / MOMENTS);
        weft.stops();
        weft.nothing_left();
    }
}

#[test]
fn what_a_killed_command_had_just_forked_is_found_as_root() {
    killed_at_birth(Who::Root);
}

#[test]
fn what_a_killed_command_had_just_forked_is_found_as_an_ordinary_user() {
    killed_at_birth(Who::User);
}

fn killed_at_birth(who: Who) {
    let weft = Weft::new(who);
    let file = shop(&weft, free_port());
    for births in 1..=BIRTHS {
        let seen = (0..ATTEMPTS).any(|_| {
            let seen = weft.killed_at_birth(&["up", &file], births);
            weft.stops();
            weft.nothing_left();
            seen
        });
        assert!(seen, "`up` was never caught at its birth {births}");
        weft.killed_at_birth(&["up", &file], births);
        weft.ok(&["up", &file]);
        weft.ok(&["stop"]);
        weft.nothing_left();
    }
}

/// How long `up` and `stop` take when nobody kills them.
fn how_long_both_take(weft: &Weft, file: &str) -> (Duration, Duration) {
    let start = Instant::now();
    weft.ok(&["up", file]);
    let up = start.elapsed();
    let start = Instant::now();
    weft.ok(&["stop"]);
    weft.nothing_left();
    (up, start.elapsed())
}

#[test]
fn packets_flow_while_control_is_killed_and_what_is_killed_comes_back_as_root() {
    packets_flow(Who::Root);
}

#[test]
fn packets_flow_while_control_is_killed_and_what_is_killed_comes_back_as_an_ordinary_user() {
    packets_flow(Who::User);
}

fn packets_flow(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let file = shop(&weft, port);
    weft.ok(&["up", &file]);
    let url = format!("http://localhost:{port}/");
    assert!(eventually(|| curl(&url).is_ok()));
    let before = weft.pids();

    // A control process in the middle of its work, killed again and again.
    let more = std::fs::read_to_string(&file).unwrap().replace("replicas: 3", "replicas: 5");
    let more = weft.blueprint("more.js", &more);
    for delay_ms in [10, 30, 50, 80, 120] {
        weft.killed_after(&["up", &more], Duration::from_millis(delay_ms));
        let page = curl(&url);
        assert!(page.is_ok(), "packets flow without a control process: {page:?}");
    }
    weft.ok(&["up", &more]);
    let after = weft.pids();
    assert_eq!(after.len(), 7);
    assert!(
        before.iter().all(|(name, pid)| after[name] == *pid),
        "nothing that ran was touched: {before:?} {after:?}"
    );
    the_dataplane_comes_back(&weft, &more, &url);
    a_container_comes_back(&weft, &more, &url);
    the_edge_comes_back(&weft, &more, &url);
    the_sandbox_comes_back(&weft, &more, &url);
    both_come_back(&weft, &more, &url, who);
    weft.ok(&["stop"]);
    weft.nothing_left();
}

/// The dataplane itself: the same containers go on once it is back.
fn the_dataplane_comes_back(weft: &Weft, file: &str, url: &str) {
    let before = weft.pids();
    kill(weft.carrier("shop", "dataplane").into());
    assert!(eventually(|| weft.json(&["ps", "--json"])["dataplane"].is_null()));
    assert!(weft.fails(&["why", "client", "db", "5432"]).contains("weft up"));
    assert!(weft.fails(&["top", "--once"]).contains("weft up"));
    assert!(weft.ok(&["ps"]).contains("dataplane gone"));
    weft.ok(&["up", file]);
    assert_eq!(weft.pids(), before, "no container was started again");
    assert!(eventually(|| curl(url).is_ok()), "{:?}", curl(url));
}

/// A container's own init: nobody is led to it any more, and only that one is made again.
fn a_container_comes_back(weft: &Weft, file: &str, url: &str) {
    let before = weft.pids();
    kill(before["web-2"]);
    assert!(eventually(|| !weft.pids().contains_key("web-2")));
    assert_eq!(weft.row("web-2")["state"], "lost");
    let gone = || weft.run(&["why", "web-1", "web-2", "80", "--json"]);
    let attached = || serde_json::from_slice::<serde_json::Value>(&gone().stdout).unwrap_or_default();
    let members = || weft.json(&["why", "client", "web", "80", "--json"])["members"].to_string();
    assert!(eventually(|| !members().contains("web-2")), "{} {}", members(), attached());
    for _ in 0..5 {
        let page = curl(url);
        assert!(page.as_ref().is_ok_and(|page| !page.contains("web-2")), "the others answer: {page:?}");
    }
    assert!(weft.ok(&["plan", file]).contains("+ container web-2"));
    weft.ok(&["up", file]);
    let healed = weft.pids();
    assert!(
        healed.iter().all(|(name, pid)| name == "web-2" || before[name] == *pid),
        "{before:?} {healed:?}"
    );
    assert_ne!(healed["web-2"], before["web-2"]);
    assert!(eventually(|| curl(url).is_ok_and(|page| page.contains("web-2"))), "it has its turn again");
}

/// The edge: published ports are closed without it, and come back with it.
fn the_edge_comes_back(weft: &Weft, file: &str, url: &str) {
    let before = weft.pids();
    kill(weft.carrier("shop", "edge").into());
    assert!(eventually(|| curl(url).is_err()), "nobody serves the port");
    assert!(weft.ok(&["ps"]).contains("not served: `weft up` brings it back"));
    weft.ok(&["up", file]);
    assert_eq!(weft.pids(), before, "no container was started again");
    assert!(eventually(|| curl(url).is_ok()), "{:?}", curl(url));
}

/// Who holds the namespaces: nobody notices, and new containers still find them.
fn the_sandbox_comes_back(weft: &Weft, file: &str, url: &str) {
    let before = weft.pids();
    kill(weft.carrier("shop", "sandbox").into());
    assert!(curl(url).is_ok(), "{:?}", curl(url));
    let text = std::fs::read_to_string(file).unwrap();
    let six = weft.blueprint("six.js", &text.replace("replicas: 5", "replicas: 6"));
    weft.ok(&["up", &six]);
    let after = weft.pids();
    assert!(before.iter().all(|(name, pid)| after[name] == *pid), "{before:?} {after:?}");
    assert!(eventually(|| curl(url).is_ok_and(|page| page.contains("web-6"))), "{:?}", curl(url));
    weft.ok(&["up", file]);
    assert_eq!(weft.pids(), before);
}

/// Everybody who holds the namespaces. Without root nobody can get back in, so all containers are made again.
fn both_come_back(weft: &Weft, file: &str, url: &str, who: Who) {
    let before = weft.pids();
    kill(weft.carrier("shop", "sandbox").into());
    kill(weft.carrier("shop", "dataplane").into());
    assert!(eventually(|| weft.json(&["ps", "--json"])["dataplane"].is_null()));
    weft.ok(&["up", file]);
    if who == Who::Root {
        assert_eq!(weft.pids(), before, "no container was started again");
    }
    assert_eq!(weft.pids().len(), before.len());
    assert!(eventually(|| curl(url).is_ok()), "{:?}", curl(url));
}
