//! Commands that end, crash, or take more than they may.

use crate::harness::{Weft, Who, eventually};

#[test]
fn a_command_that_ends_is_treated_as_the_blueprint_says_as_root() {
    ends(Who::Root);
}

#[test]
fn a_command_that_ends_is_treated_as_the_blueprint_says_as_an_ordinary_user() {
    ends(Who::User);
}

fn ends(who: Who) {
    let weft = Weft::new(who);
    let file = weft.blueprint(
        "ends.js",
        "import {Container} from 'weft';\n\
         new Container('crasher', {command: 'echo falling; exit 3'});\n\
         new Container('killed', {command: 'kill -KILL $$', restart: 'never'});\n\
         new Container('job', {command: 'echo done', restart: 'on-failure'});\n\
         new Container('flaky', {command: 'test -e /var/tmp/been || { touch /var/tmp/been; exit 1; }; sleep 1000', restart: 'on-failure'});\n",
    );
    weft.ok(&["up", &file]);
    // Started again and again, with pauses that grow: in between it is seen waiting.
    assert!(eventually(|| weft.row("crasher")["restarts"].as_u64() >= Some(3)), "{}", weft.row("crasher"));
    assert!(eventually(|| weft.row("crasher")["state"] == "backoff"), "{}", weft.row("crasher"));
    assert_eq!(weft.row("crasher")["exit"], 3);
    assert!(eventually(|| weft.ok(&["ps"]).contains("backoff (3)")), "{}", weft.ok(&["ps"]));
    assert!(weft.ok(&["logs", "crasher"]).matches("falling").count() >= 4);

    let state = |name: &str| {
        let row = weft.row(name);
        (row["state"].as_str().unwrap_or_default().to_owned(), row["exit"].as_i64(), row["restarts"].as_u64())
    };
    assert!(eventually(|| state("killed") == ("exited".into(), Some(137), Some(0))), "{:?}", state("killed"));
    assert!(eventually(|| state("job") == ("exited".into(), Some(0), Some(0))), "{:?}", state("job"));
    assert!(eventually(|| state("flaky") == ("running".into(), Some(1), Some(1))), "{:?}", state("flaky"));
    let exec = weft.fails(&["exec", "killed", "--", "true"]);
    assert!(exec.contains("'killed' does not run (it is exited)"), "{exec}");
    // What has ended as it should is nothing to change.
    assert_eq!(weft.ok(&["plan", &file]).trim(), "nothing to change");
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn nobody_takes_more_memory_than_allowed() {
    let weft = Weft::new(Who::Root);
    let file = weft.blueprint(
        "greedy.js",
        "import {Container} from 'weft';\n\
         const eat = (mb) => ['perl', '-e', `my $x = 'x' x (${mb} << 20); print length($x), \"\\n\"; $| = 1; sleep 1000`];\n\
         new Container('greedy', {command: eat(400), memory: '100M', restart: 'never'});\n\
         new Container('modest', {command: eat(20), memory: '100M', restart: 'never'});\n",
    );
    let up = weft.run(&["up", &file]);
    let said = String::from_utf8_lossy(&up.stderr).into_owned();
    assert!(up.status.success(), "{said}");
    // Where there is no control group, nothing can be seen here: then this must not pass. What is said there is the next test's.
    assert!(!said.contains("not applied"), "this test needs a control group for memory: {said}");
    let exit = || (weft.row("greedy")["state"].clone(), weft.row("greedy")["exit"].clone());
    assert!(eventually(|| exit() == ("exited".into(), 137.into())), "{:?}", exit());
    assert_eq!(weft.row("modest")["state"], "running");
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn without_cgroups_limits_are_a_warning_told_once() {
    let weft = Weft::new(Who::User);
    let file = weft.blueprint(
        "limits.js",
        "import {Container} from 'weft';\nnew Container('a', {command: ['sleep', '99'], memory: '64M', replicas: 3});\n",
    );
    let up = weft.run(&["up", &file]);
    let said = String::from_utf8_lossy(&up.stderr).into_owned();
    assert!(up.status.success(), "{said}");
    assert_eq!(said.matches("memory limit not applied").count(), 1, "{said}");
    assert!(said.contains("warning: 3 containers: memory limit not applied"), "{said}");
    weft.ok(&["stop"]);
    weft.nothing_left();
}
