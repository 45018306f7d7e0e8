//! Starting in order: each container once what it depends on is ready.

use crate::harness::{Weft, Who, eventually, flat};

/// A chain; the database is ready when it has opened, which it does by itself a second after its start, or not.
fn blueprint(weft: &Weft, opens: bool, within: &str) -> String {
    let opening = if opens { "sleep 1; touch /tmp/open; " } else { "" };
    let text = format!(
        "import {{Container, deployment}} from 'weft';
deployment({{name: 'chain'}});
const sleep = ['sleep', '1000'];
const health = {{interval: '100ms', command: 'test -e /tmp/open || {{ echo it is closed; false; }}'}};
const db = new Container('db', {{command: 'echo opening the database; {opening}sleep 1000', health, readyWithin: '{within}'}});
const job = new Container('job', {{command: 'sleep 0.3', restart: 'never'}});
const web = new Container('web', {{command: sleep, replicas: 2, dependsOn: [db, job]}});
new Container('client', {{command: sleep, dependsOn: web}});
new Container('other', {{command: sleep}});
"
    );
    weft.blueprint("chain.js", &text)
}

#[test]
fn containers_start_once_what_they_depend_on_is_ready_as_root() {
    in_order(Who::Root);
}

#[test]
fn containers_start_once_what_they_depend_on_is_ready_as_an_ordinary_user() {
    in_order(Who::User);
}

fn in_order(who: Who) {
    let weft = Weft::new(who);
    let file = blueprint(&weft, true, "30s");
    weft.ok(&["up", &file]);
    let started = |name: &str| weft.row(name)["started_ms"].as_u64().expect("a start");
    let ready = weft.row("db")["health"]["changed_ms"].as_u64().expect("a change");
    assert_eq!(weft.row("db")["health"]["state"], "healthy");
    assert!(started("other") < ready, "what depends on nothing waits for nobody");
    for web in ["web-1", "web-2"] {
        assert!(started(web) >= ready, "{web} waits for db");
        assert!(started("client") >= started(web), "client waits for {web}");
    }
    assert_eq!(weft.ok(&["plan", &file]).trim(), "nothing to change");
    // What runs is ready already.
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn what_does_not_get_ready_is_told_and_the_next_command_goes_on_as_root() {
    not_ready(Who::Root);
}

#[test]
fn what_does_not_get_ready_is_told_and_the_next_command_goes_on_as_an_ordinary_user() {
    not_ready(Who::User);
}

fn not_ready(who: Who) {
    let weft = Weft::new(who);
    let file = blueprint(&weft, false, "1500ms");
    let error = weft.fails(&["up", &file]);
    for words in [
        "container 'db' is not ready after 1.5 s",
        "its health check does not succeed yet (it is closed)",
        "its last line is 'opening the database'",
        "it keeps waiting web-1, web-2",
        "web-1 waits for it",
        "chain.js:5:",
    ] {
        assert!(flat(&error).contains(words), "{words}: {error}");
    }
    let before = weft.pids();
    assert_eq!(before.keys().collect::<Vec<_>>(), ["db", "other"], "what could be started was: {before:?}");
    let plan = weft.ok(&["plan", &file]);
    assert!(plan.contains("+ container web-1") && plan.contains("+ container client"), "{plan}");
    assert!(!plan.contains("container db") && !plan.contains("container other"), "{plan}");

    weft.inside("db", &["touch", "/tmp/open"]);
    weft.ok(&["up", &file]);
    let after = weft.pids();
    assert!(before.iter().all(|(name, pid)| after[name] == *pid), "{before:?} {after:?}");
    assert!(["web-1", "web-2", "client"].iter().all(|name| after.contains_key(*name)), "{after:?}");
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn a_job_that_fails_keeps_nobody_waiting() {
    let weft = Weft::new(Who::User);
    // Its check fails for as long as it works: else it would be ready, now and then, before it has ended.
    let text = "import {Container} from 'weft';\nconst job = new Container('job', {command: 'echo no luck; exit 7', restart: 'never', health: {command: 'false'}});\nnew Container('web', {command: ['sleep', '1000'], dependsOn: [job]});\n";
    let file = weft.blueprint("job.js", text);
    let error = weft.fails(&["up", &file]);
    let told = flat(&error);
    assert!(told.contains("its command ended with code 7") && told.contains("'no luck'"), "{error}");
    assert!(error.contains("job.js:2:"), "{error}");
    let fixed = weft.blueprint("job.js", &text.replace("exit 7", "exit 0"));
    weft.ok(&["up", &fixed]);
    assert!(eventually(|| weft.row("web")["state"] == "running"));
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn who_waits_for_what_cannot_be_started_is_not_started() {
    let weft = Weft::new(Who::User);
    let text = "import {Container} from 'weft';\nconst bad = new Container('bad', {command: ['no-such-program']});\nnew Container('web', {command: ['sleep', '1000'], dependsOn: [bad]});\n";
    let error = weft.fails(&["up", &weft.blueprint("bad.js", text)]);
    let told = flat(&error);
    assert!(told.contains("`no-such-program` not found"), "{error}");
    assert!(told.contains("it waits for 'bad', which did not start"), "{error}");
    weft.nothing_left();
}
