//! What is left when processes are killed, and what the next command makes of it.

use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Weft, Who, curl, eventually, free_port};
use crate::shop::shop;

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
    for delay_ms in [5, 20, 40, 60, 80, 110, 150, 200, 300] {
        let mut up = start(&weft, &["up", &file]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        kill(up.id());
        up.wait().expect("its end");
        if delay_ms % 40 == 0 {
            // The next command finds everything again and finishes the job.
            weft.ok(&["up", &file]);
            let url = format!("http://localhost:{port}/");
            assert!(eventually(|| curl(&url).is_ok()), "after {delay_ms} ms: {:?}", curl(&url));
        }
        // Nothing at all may have come about before it was killed.
        weft.run(&["stop"]);
        weft.nothing_left();
    }
}

#[test]
fn packets_flow_while_control_is_killed_and_the_dataplane_comes_back_as_root() {
    packets_flow(Who::Root);
}

#[test]
fn packets_flow_while_control_is_killed_and_the_dataplane_comes_back_as_an_ordinary_user() {
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
    for delay_ms in [10, 30, 50, 80] {
        let mut up = start(&weft, &["up", &more]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        kill(up.id());
        up.wait().expect("its end");
        assert!(curl(&url).is_ok(), "packets flow without a control process: {:?}", curl(&url));
    }
    weft.ok(&["up", &more]);
    let after = weft.pids();
    assert_eq!(after.len(), 7);
    assert!(before.iter().all(|(name, pid)| after[name] == *pid), "nothing that ran was touched: {before:?} {after:?}");

    // The dataplane itself: the same containers go on once it is back.
    let dataplane = weft.json(&["ps", "--json"])["dataplane"].as_u64().expect("a dataplane");
    kill(dataplane as u32);
    assert!(eventually(|| weft.json(&["ps", "--json"])["dataplane"].is_null()));
    assert!(weft.fails(&["why", "client", "db", "5432"]).contains("weft up"));
    weft.ok(&["up", &more]);
    assert_eq!(weft.pids(), after, "no container was started again");
    assert!(eventually(|| curl(&url).is_ok()), "{:?}", curl(&url));

    // A container's own init: only that one is made again.
    kill(after["web-2"] as u32);
    assert!(eventually(|| !weft.pids().contains_key("web-2")));
    assert!(weft.ok(&["plan", &more]).contains("+ container web-2"));
    weft.ok(&["up", &more]);
    let healed = weft.pids();
    assert!(healed.iter().all(|(name, pid)| name == "web-2" || after[name] == *pid), "{after:?} {healed:?}");
    assert_ne!(healed["web-2"], after["web-2"]);
    weft.ok(&["stop"]);
    weft.nothing_left();
}

/// Starts a command whose output nobody reads.
fn start(weft: &Weft, args: &[&str]) -> Child {
    weft.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("to start weft")
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    let _ = kill_process(pid, Signal::KILL);
}
