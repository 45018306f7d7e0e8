//! Databases.

use super::{example, says};
use crate::harness::{Weft, Who, eventually};

#[test]
fn redis_replicates_as_root() {
    redis(Who::Root);
}

#[test]
fn redis_replicates_as_an_ordinary_user() {
    redis(Who::User);
}

fn redis(who: Who) {
    let weft = Weft::new(who);
    let file = example(&weft, "redis.js", None);
    weft.ok(&["up", &file]);
    let ask = |host: &str, words: &[&str]| {
        let output = weft.run(&[&["exec", "client", "--", "redis-cli", "-h", host], words].concat());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert!(eventually(|| ask("primary", &["set", "fruit", "apple"]) == "OK"), "{}", weft.ok(&["logs"]));
    assert!(eventually(|| ask("replica", &["get", "fruit"]) == "apple"), "{}", weft.ok(&["logs"]));
    // A value that takes many packets, and comes out as it went in.
    let long = "weft".repeat(50_000);
    let mut set = weft.command(&["exec", "client", "--", "redis-cli", "-h", "primary", "-x", "set", "long"]);
    let mut set = set
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("to start");
    std::io::Write::write_all(&mut set.stdin.take().expect("its input"), long.as_bytes()).expect("to write");
    assert!(set.wait().is_ok_and(|end| end.success()));
    assert!(eventually(|| ask("replica", &["strlen", "long"]) == long.len().to_string()));
    assert!(eventually(|| weft.ok(&["logs", "client"]).contains("visits, as the replica has them: ")));
    assert_eq!(weft.run(&["why", "client", "primary", "6380"]).status.code(), Some(1));
    assert_eq!(weft.run(&["why", "primary", "replica", "6379"]).status.code(), Some(1));
    assert_eq!(weft.run(&["why", "replica", "primary", "6379"]).status.code(), Some(0));
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn sentinels_find_another_primary_as_root() {
    sentinel(Who::Root);
}

#[test]
fn sentinels_find_another_primary_as_an_ordinary_user() {
    sentinel(Who::User);
}

fn sentinel(who: Who) {
    let weft = Weft::new(who);
    weft.ok(&["up", &example(&weft, "sentinel.js", None)]);
    let ask = |container: &str, words: &[&str]| {
        let output = weft.run(&[&["exec", container, "--", "redis-cli"], words].concat());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    // Only once the replicas hold what the primary holds, and every sentinel knows of them and of the other two, is there
    // somebody to take over: a primary that pauses tells nobody anything, and any sentinel may be the one elected.
    let follows = |replica: &str| ask(replica, &["info", "replication"]).contains("master_link_status:up");
    let knows = |sentinel: &str| {
        let state = ask(sentinel, &["-p", "26379", "sentinel", "master", "shop"]);
        let after = |word: &str| state.lines().skip_while(|line| *line != word).nth(1).map(str::to_owned);
        (after("num-slaves"), after("num-other-sentinels")) == (Some("2".into()), Some("2".into()))
    };
    let ready = || {
        ["redis-2", "redis-3"].into_iter().all(follows)
            && ["sentinel-1", "sentinel-2", "sentinel-3"].into_iter().all(knows)
    };
    assert!(eventually(ready), "{}", weft.ok(&["logs"]));
    assert!(says(&weft, "app", |log| log.contains("written to redis-1")), "{}", weft.ok(&["logs"]));
    assert_eq!(ask("redis-1", &["client", "pause", "60000", "all"]), "OK");
    let moved = |log: &str| log.contains("written to redis-2") || log.contains("written to redis-3");
    assert!(says(&weft, "app", moved), "{}", weft.ok(&["logs"]));
    assert_eq!(weft.run(&["why", "redis-2", "sentinel-1", "26379"]).status.code(), Some(1));
    assert_eq!(weft.run(&["why", "app", "sentinels", "6379"]).status.code(), Some(1));
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn mariadb_keeps_what_it_was_given_as_root() {
    mariadb(Who::Root);
}

#[test]
fn mariadb_keeps_what_it_was_given_as_an_ordinary_user() {
    mariadb(Who::User);
}

fn mariadb(who: Who) {
    const PASSWORD: &str = "swordfish-of-this-test";
    let weft = Weft::new(who);
    let file = example(&weft, "mariadb.js", None);
    assert!(weft.fails(&["up", &file]).contains("WEFT_SECRET_DB_PASSWORD"));
    let up = || {
        let up = weft
            .command(&["up", &file])
            .env("WEFT_SECRET_DB_PASSWORD", PASSWORD)
            .output()
            .expect("to run weft");
        assert!(up.status.success(), "{up:?}");
        format!("{}{}", String::from_utf8_lossy(&up.stdout), String::from_utf8_lossy(&up.stderr))
    };
    let mut told = up();
    assert!(says(&weft, "app", |log| log.contains("visits: 2")), "{}", weft.ok(&["logs"]));
    let stranger = weft.run(&["exec", "stranger", "--", "mariadb", "--no-defaults", "-h", "db"]);
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("Can't connect to"), "{stranger:?}");
    told += &weft.ok(&["ps", "--json"]);
    told += &weft.ok(&["plan", "--json", &weft.blueprint("empty.js", "import {Container, deployment} from 'weft'; deployment({name: 'mariadb'}); new Container('x', {command: 'y'});")]);
    assert!(!told.contains(PASSWORD), "{told}");
    weft.ok(&["stop"]);
    up();
    // The log is new, the numbers go on.
    let later = |log: &str| {
        let first = log.lines().find_map(|line| line.rsplit("visits: ").next()?.trim().parse::<u32>().ok());
        first.is_some_and(|first| first > 2)
    };
    assert!(says(&weft, "app", later), "{}", weft.ok(&["logs"]));
    weft.ok(&["stop", "--volumes"]);
    weft.nothing_left();
}
