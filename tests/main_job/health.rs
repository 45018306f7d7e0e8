//! Health checks: what is asked, what is shown, and who gets new connections.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Weft, Who, eventually, kill};

/// Two web servers that are healthy unless a file says otherwise, and containers with a check of each kind.
const CARE: &str = r"import {Container, allow, deployment} from 'weft';
deployment({name: 'care'});
const often = {interval: '100ms', timeout: '2s', retries: 2, startPeriod: '10s'};
const serve = ['weft', 'tool', 'web', '--listen', '80'];
const web = new Container('web', {command: serve, replicas: 2, health: {...often, command: 'test ! -e /tmp/sick || { echo I am sick; false; }'}});
const client = new Container('client', {command: ['sleep', '1000']});
allow(client, web, 80);
new Container('page', {command: serve, health: {...often, http: {port: 80, path: '/health'}}});
new Container('wrong', {command: serve, health: {...often, startPeriod: '0s', http: {port: 80, path: '/nothing'}}});
new Container('port', {command: serve, health: {...often, tcp: 80}});
new Container('closed', {command: ['sleep', '1000'], health: {...often, startPeriod: '0s', tcp: 80}});
new Container('slow', {command: ['sleep', '1000'], health: {...often, startPeriod: '0s', timeout: '200ms', command: 'sleep 1000'}});
new Container('late', {command: 'sleep 2; exec weft tool web --listen 80', health: {...often, tcp: 80}});
new Container('again', {command: 'rm -f /tmp/sick; sleep 1000', health: {...often, restartAfter: 3, command: 'test ! -e /tmp/sick'}});
";

fn health(weft: &Weft, container: &str) -> Value {
    weft.row(container)["health"].clone()
}

fn is(weft: &Weft, container: &str, state: &str) -> bool {
    eventually(|| health(weft, container)["state"] == state)
}

/// Who is behind the name `web` for new connections.
fn members(weft: &Weft) -> String {
    let output = weft.run(&["why", "client", "web", "80", "--json"]);
    serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default()["members"].to_string()
}

#[test]
fn only_the_healthy_get_new_connections_as_root() {
    only_the_healthy(Who::Root);
}

#[test]
fn only_the_healthy_get_new_connections_as_an_ordinary_user() {
    only_the_healthy(Who::User);
}

fn only_the_healthy(who: Who) {
    let weft = Weft::new(who);
    let file = weft.blueprint("care.js", CARE);
    weft.ok(&["up", &file]);
    assert_eq!(health(&weft, "late")["state"], "starting", "it listens only after two seconds");
    assert!(weft.row("client")["health"].is_null(), "who has no check is not judged");
    for container in ["web-1", "web-2", "page", "port", "again"] {
        assert!(is(&weft, container, "healthy"), "{container}: {}", weft.row(container));
    }
    every_kind_of_check_fails_in_words(&weft);
    assert!(is(&weft, "late", "healthy"), "{}", weft.row("late"));
    assert_eq!(health(&weft, "late")["failures"], 0);
    let table = weft.ok(&["ps"]);
    for (container, word) in [("web-1", "healthy"), ("closed", "unhealthy"), ("client", "running")] {
        let row = table.lines().find(|line| line.starts_with(container)).unwrap_or_default();
        assert!(row.split_whitespace().nth(1) == Some(word), "{container} is {word}: {table}");
    }
    assert!(table.contains("closed: ") && table.contains("health checks failed in a row"), "{table}");
    assert!(eventually(|| members(&weft) == r#"["web-1","web-2"]"#), "{}", members(&weft));

    a_sick_one_leaves_the_rotation_and_comes_back(&weft, &file);
    it_is_started_anew_when_asked_for(&weft);
    weft.ok(&["stop"]);
    weft.nothing_left();
}

fn every_kind_of_check_fails_in_words(weft: &Weft) {
    for (container, words) in
        [("wrong", "GET /nothing: HTTP/1.1 404"), ("closed", "refused"), ("slow", "no answer within 200 ms")]
    {
        assert!(is(weft, container, "unhealthy"), "{container}: {}", weft.row(container));
        let health = health(weft, container);
        assert!(health["message"].as_str().is_some_and(|text| text.contains(words)), "{container}: {health}");
        assert!(health["failures"].as_u64() >= Some(2), "{health}");
        assert_eq!(weft.row(container)["restarts"], 0, "nobody asked for a restart");
    }
}

fn a_sick_one_leaves_the_rotation_and_comes_back(weft: &Weft, file: &str) {
    weft.inside("web-1", &["touch", "/tmp/sick"]);
    assert!(is(weft, "web-1", "unhealthy"), "{}", weft.row("web-1"));
    assert!(health(weft, "web-1")["message"].as_str().is_some_and(|text| text.contains("I am sick")));
    assert!(eventually(|| members(weft) == r#"["web-2"]"#), "{}", members(weft));
    for _ in 0..4 {
        assert_eq!(weft.inside("client", &["curl", "-sS", "http://web/"]), "hello from web-2\n");
    }
    let own = weft.inside("client", &["curl", "-sS", "http://web-1/"]);
    assert_eq!(own, "hello from web-1\n", "its own name is not a service's");
    // Nobody remembers it but the files: a new dataplane reads how things stand.
    let pids = weft.pids();
    kill(weft.carrier("care", "dataplane").into());
    assert!(eventually(|| weft.json(&["ps", "--json"])["dataplane"].is_null()));
    weft.ok(&["up", file]);
    assert_eq!(weft.pids(), pids, "no container was started again");
    assert!(eventually(|| members(weft) == r#"["web-2"]"#), "{}", members(weft));
    // The last one goes as well: then nobody answers for the name, and that is told at once.
    weft.inside("web-2", &["touch", "/tmp/sick"]);
    assert!(eventually(|| members(weft) == "[]"), "{}", members(weft));
    let refused = weft.run(&["exec", "client", "--", "curl", "-sS", "--max-time", "20", "http://web/"]);
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
    for container in ["web-1", "web-2"] {
        weft.inside(container, &["rm", "/tmp/sick"]);
        assert!(is(weft, container, "healthy"), "{}", weft.row(container));
    }
    assert!(eventually(|| members(weft) == r#"["web-1","web-2"]"#), "{}", members(weft));
    // Whose init is killed is not ready any more, whatever it last said.
    kill(weft.pids()["web-1"]);
    assert!(eventually(|| members(weft) == r#"["web-2"]"#), "{}", members(weft));
    weft.ok(&["up", file]);
    assert!(eventually(|| members(weft) == r#"["web-1","web-2"]"#), "{}", members(weft));
}

fn it_is_started_anew_when_asked_for(weft: &Weft) {
    assert_eq!(weft.row("again")["restarts"], 0);
    weft.inside("again", &["touch", "/tmp/sick"]);
    let restarted = || weft.row("again")["restarts"] == 1 && health(weft, "again")["state"] == "healthy";
    assert!(eventually(restarted), "{}", weft.row("again"));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(weft.row("again")["restarts"], 1, "once was enough");
}
