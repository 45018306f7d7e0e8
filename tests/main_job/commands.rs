//! The commands around a running deployment: what they print, and their exit codes.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::harness::{Weft, Who, eventually};

/// A container that does nothing, one that writes a line now and then, and one with an environment of its own.
const TRIO: &str = "import {Container, allow, deployment} from 'weft';
deployment({name: 'trio'});
const idle = new Container('idle', {command: ['sleep', '1000'], env: {COLOUR: 'green', NUMBER: 7}, workdir: '/var/tmp'});
const clock = new Container('clock', {command: 'i=0; while :; do i=$((i+1)); echo tick $i; echo tock $i >&2; sleep 0.2; done'});
allow(idle, clock, 80);
";

#[test]
fn commands_run_inside_as_root() {
    commands_run_inside(Who::Root);
}

#[test]
fn commands_run_inside_as_an_ordinary_user() {
    commands_run_inside(Who::User);
}

fn commands_run_inside(who: Who) {
    let weft = Weft::new(who);
    let file = weft.blueprint("trio.js", TRIO);
    weft.ok(&["up", &file]);
    let code = |command: &str| weft.run(&["exec", "idle", "--", "sh", "-c", command]).status.code();
    assert_eq!((code("true"), code("exit 3"), code("exit 255")), (Some(0), Some(3), Some(255)));
    assert_eq!(code("kill -KILL $$"), Some(128 + 9));
    assert_eq!(code("kill -TERM $$"), Some(128 + 15));
    let missing = weft.run(&["exec", "idle", "--", "no-such-program"]);
    let error = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && error.contains("no-such-program"), "{error}");

    assert_eq!(
        weft.inside("idle", &["sh", "-c", "echo $COLOUR $NUMBER; pwd; hostname"]),
        "green 7\n/var/tmp\nidle\n"
    );
    let with = [
        "exec",
        "-e",
        "COLOUR=red",
        "-e",
        "MORE=a=b",
        "-w",
        "/usr",
        "idle",
        "--",
        "sh",
        "-c",
        "echo $COLOUR $MORE; pwd",
    ];
    assert_eq!(weft.ok(&with), "red a=b\n/usr\n");
    assert_eq!(weft.ok(&["exec", "-u", "0", "idle", "--", "id", "-u"]), "0\n");
    if who == Who::Root {
        assert_eq!(weft.ok(&["exec", "-u", "nobody", "idle", "--", "id", "-un"]), "nobody\n");
        assert_eq!(
            weft.ok(&["exec", "-u", "1234:5678", "idle", "--", "sh", "-c", "id -u; id -g"]),
            "1234\n5678\n"
        );
    }
    assert!(weft.fails(&["exec", "-u", "no-such-user", "idle", "--", "true"]).contains("no-such-user"));
    assert!(
        weft.fails(&["exec", "-e", "nothing", "idle", "--", "true"]).contains("'nothing' sets no variable")
    );
    assert!(weft.fails(&["exec", "nobody", "--", "true"]).contains("there is clock, idle"));
    standard_streams_are_the_callers(&weft);
    its_world_is_its_own(&weft);
    a_killed_caller_takes_its_command_along(&weft, who);
    // What runs inside ends with the container, and with it the command that waits for it.
    let mut waiting = weft.start(&["exec", "idle", "--", "sh", "-c", "echo here; sleep 1000"]);
    let mut line = String::new();
    BufReader::new(waiting.stdout.take().expect("its output")).read_line(&mut line).expect("to read");
    assert_eq!(line, "here\n");
    weft.ok(&["stop"]);
    assert_eq!(waiting.wait().expect("its end").code(), Some(128 + 9));
    weft.nothing_left();
}

fn a_killed_caller_takes_its_command_along(weft: &Weft, who: Who) {
    let running = || weft.inside("idle", &["sh", "-c", "cat /proc/[0-9]*/cmdline"]).contains("98765");
    for user in ["0", "4242"] {
        if user != "0" && who == Who::User {
            continue;
        }
        let mut caller = weft.start(&["exec", "-u", user, "idle", "--", "sleep", "98765"]);
        assert!(eventually(running), "it runs as {user}");
        caller.kill().expect("to kill it");
        caller.wait().expect("its end");
        assert!(eventually(|| !running()), "it has ended as {user}");
    }
}

fn standard_streams_are_the_callers(weft: &Weft) {
    let mut cat = weft.command(&["exec", "idle", "--", "sh", "-c", "cat; echo done >&2; exit 5"]);
    let mut cat =
        cat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("to start");
    let text = "a line\n".repeat(50_000);
    let mut input = cat.stdin.take().expect("its input");
    let sent = text.clone();
    let writer = std::thread::spawn(move || input.write_all(sent.as_bytes()));
    let output = cat.wait_with_output().expect("its end");
    writer.join().expect("a writer").expect("to write");
    assert_eq!(output.status.code(), Some(5));
    assert!(output.stdout == text.as_bytes(), "{} bytes came back", output.stdout.len());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "done\n");
}

/// Its own processes, its own network, its own files.
fn its_world_is_its_own(weft: &Weft) {
    let processes = weft.inside("idle", &["sh", "-c", "ls -d /proc/[0-9]* | wc -l"]);
    assert!(processes.trim().parse::<u32>().is_ok_and(|count| count < 10), "{processes}");
    let links = weft.inside("idle", &["ls", "/sys/class/net"]);
    assert!(links.split_whitespace().eq(["eth0", "lo"]), "{links}");
    weft.inside("idle", &["sh", "-c", "echo mine > /var/tmp/weft-was-here; mkdir -p /srv/weft-was-here"]);
    assert_eq!(weft.inside("idle", &["cat", "/var/tmp/weft-was-here"]), "mine\n");
    assert!(!weft.run(&["exec", "clock", "--", "cat", "/var/tmp/weft-was-here"]).status.success());
    assert!(
        !std::path::Path::new("/var/tmp/weft-was-here").exists()
            && !std::path::Path::new("/srv/weft-was-here").exists()
    );
    let state = weft.state();
    let seen = weft.inside("idle", &["sh", "-c", &format!("ls -A {} | wc -l", state.display())]);
    assert_eq!(seen.trim(), "0", "containers do not see weft's state");
}

#[test]
fn logs_are_followed() {
    let weft = Weft::new(Who::User);
    let file = weft.blueprint("trio.js", TRIO);
    weft.ok(&["up", &file]);
    let mut following = weft.start(&["logs", "-f", "clock"]);
    let mut lines = BufReader::new(following.stdout.take().expect("its output")).lines();
    let mut tick = || loop {
        let line = lines.next().expect("another line").expect("text");
        if let Some(number) = line.strip_prefix("tick ") {
            return number.parse::<u32>().expect("a number");
        }
    };
    // From the beginning, without a gap between what was there and what comes.
    for wanted in 1..=12 {
        assert_eq!(tick(), wanted);
    }
    following.kill().expect("to end it");
    following.wait().expect("its end");
    let all = weft.ok(&["logs", "-t"]);
    let first = all.lines().next().unwrap_or_default();
    assert!(first.starts_with("clock | ") && first.contains("T") && first.ends_with("1"), "{first}");
    assert!(all.contains("tock 3"), "standard error is in it, too");
    assert_eq!(weft.ok(&["logs", "-n", "2", "clock"]).lines().count(), 2);
    assert_eq!(weft.ok(&["logs", "idle"]), "");
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn what_runs_is_told_to_people_and_programs() {
    let weft = Weft::new(Who::User);
    let file = weft.blueprint("trio.js", TRIO);
    let plan = weft.json(&["plan", "--json", &file]);
    assert_eq!(plan["create"].as_array().map(Vec::len), Some(2), "{plan}");
    weft.nothing_left();
    weft.ok(&["up", &file]);
    let plan = weft.json(&["plan", "--json", &file]);
    assert_eq!(
        (plan["create"].to_string(), plan["keep"].as_array().map(Vec::len)),
        ("[]".into(), Some(2)),
        "{plan}"
    );
    let listing = weft.json(&["ps", "--json"]);
    assert_eq!((&listing["deployment"], &listing["source"]), (&"trio".into(), &file.as_str().into()));
    let row = weft.row("idle");
    assert_eq!((&row["state"], &row["restarts"], &row["exit"]), (&"running".into(), &0.into(), &().into()));
    assert!(row["ipv4"].as_str().is_some_and(|ip| ip.starts_with("10.181.")), "{row}");
    assert!(row["ipv6"].as_str().is_some_and(|ip| ip.starts_with("fd77:")), "{row}");
    let table = weft.ok(&["ps"]);
    assert!(table.starts_with("trio (dataplane ") && table.contains("running "), "{table}");

    let svg = weft.ok(&["graph", &file]);
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("clock"), "{svg}");
    assert_eq!(weft.ok(&["graph"]), svg, "what runs is what the file says");
    let dot = weft.ok(&["graph", "-f", "dot", &file]);
    assert!(dot.contains("digraph") && dot.contains("idle") && dot.contains("80"), "{dot}");
    let again = weft.ok(&["up", &file]);
    assert!(again.contains("nothing to change"), "{again}");
    assert_eq!(weft.ok(&["up", "--quiet", &file]), "");
    assert!(weft.ok(&["stop"]).contains("stopped trio (2 containers)"));
    weft.nothing_left();
}

#[test]
fn the_manual_and_completions_are_in_the_binary() {
    let weft = Weft::new(Who::User);
    for shell in ["bash", "zsh", "fish"] {
        let script = weft.ok(&["completions", shell]);
        assert!(
            script.contains("weft") && script.contains("logs") && script.len() > 1000,
            "{shell}: {script}"
        );
        assert!(!script.contains("__dataplane"), "{shell}: hidden commands stay hidden");
    }
    let page = weft.ok(&["man", "up"]);
    assert!(page.contains(".TH") && page.contains("examples/shop.js") && page.contains("quiet"), "{page}");
    assert!(weft.ok(&["man"]).contains("up"));
    assert!(weft.fails(&["man", "nonsense"]).contains("nonsense"));
    assert!(weft.ok(&["--version"]).starts_with("weft "));
    weft.nothing_left();
}

#[test]
fn two_commands_do_not_change_one_deployment_at_a_time() {
    let weft = Weft::new(Who::User);
    let file = weft.blueprint("trio.js", TRIO);
    let ups: Vec<_> = (0..4)
        .map(|_| {
            weft.command(&["up", &file])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("to start")
        })
        .collect();
    let ends: Vec<_> = ups.into_iter().map(|up| up.wait_with_output().expect("its end")).collect();
    let done = ends.iter().filter(|end| end.status.success()).count();
    let busy = |end: &&std::process::Output| {
        String::from_utf8_lossy(&end.stderr).contains("another command is changing 'trio'")
    };
    assert!(done >= 1 && done + ends.iter().filter(busy).count() == 4, "{ends:?}");
    assert!(eventually(|| weft.pids().len() == 2));
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn named_volumes_outlive_their_deployment_until_told_otherwise() {
    let weft = Weft::new(Who::Root);
    let file = weft.blueprint(
        "keep.js",
        "import {Container, Volume} from 'weft';\n\
         new Container('a', {command: ['sleep', '1000'], mounts: {'/data': new Volume('data')}});\n",
    );
    weft.ok(&["up", &file]);
    weft.inside("a", &["sh", "-c", "echo kept > /data/file"]);
    weft.ok(&["stop"]);
    weft.ok(&["up", &file]);
    assert_eq!(weft.inside("a", &["cat", "/data/file"]), "kept\n");
    weft.ok(&["stop", "--volumes"]);
    weft.nothing_left();
}
