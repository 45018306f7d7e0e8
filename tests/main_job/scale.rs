//! A hundred containers at once.

use std::time::Instant;

use crate::harness::{Weft, Who};

#[test]
fn a_hundred_containers_reach_each_other_and_go_as_root() {
    a_hundred(Who::Root);
}

#[test]
fn a_hundred_containers_reach_each_other_and_go_as_an_ordinary_user() {
    a_hundred(Who::User);
}

fn a_hundred(who: Who) {
    let weft = Weft::new(who);
    let file = weft.blueprint(
        "hundred.js",
        "import {Container, allow} from 'weft';\n\
         const all = [];\n\
         for (let i = 0; i < 100; i++) all.push(new Container(`c${i}`, {command: ['weft', 'tool', 'web', '--listen', '80']}));\n\
         for (let i = 0; i < 100; i++) allow(all[i], all[(i + 1) % 100], 80);\n",
    );
    let start = Instant::now();
    weft.ok(&["up", &file]);
    let up = start.elapsed();
    assert_eq!(weft.pids().len(), 100);
    for i in [0, 1, 50, 98, 99] {
        let next = format!("c{}", (i + 1) % 100);
        let url = format!("http://{next}/");
        let curl = ["curl", "-sS", "--retry-connrefused", "--retry", "5", "--max-time", "20", &url];
        assert_eq!(weft.inside(&format!("c{i}"), &curl).trim(), format!("hello from {next}"));
        let back = format!("http://c{i}/");
        let denied = weft.run(&["exec", &next, "--", "curl", "-sS", "--max-time", "20", &back]);
        assert_eq!(denied.status.code(), Some(7), "links have a direction: {denied:?}");
    }
    let start = Instant::now();
    weft.ok(&["stop"]);
    // Printed, not judged: other tests run at the same time, and this is no release build.
    eprintln!("100 containers as {who:?}: up in {up:?}, down in {:?}", start.elapsed());
    weft.nothing_left();
}
