//! A hundred containers at once.

use crate::harness::{Weft, Who};

#[test]
fn a_hundred_containers_reach_each_other_and_go() {
    let weft = Weft::new(Who::Root);
    let file = weft.blueprint(
        "hundred.js",
        "import {Container, allow} from 'weft';\n\
         const all = [];\n\
         for (let i = 0; i < 100; i++) all.push(new Container(`c${i}`, {command: ['weft', 'tool', 'web', '--listen', '80']}));\n\
         for (let i = 0; i < 100; i++) allow(all[i], all[(i + 1) % 100], 80);\n",
    );
    weft.ok(&["up", &file]);
    assert_eq!(weft.pids().len(), 100);
    for i in [0, 1, 50, 98, 99] {
        let next = format!("c{}", (i + 1) % 100);
        let page = weft.ok(&["exec", &format!("c{i}"), "--", "curl", "-sS", "--max-time", "5", &format!("http://{next}/")]);
        assert_eq!(page.trim(), format!("hello from {next}"));
        let denied = weft.run(&["exec", &next, "--", "curl", "-sS", "--max-time", "5", &format!("http://c{i}/")]);
        assert_eq!(denied.status.code(), Some(7), "links have a direction: {denied:?}");
    }
    weft.ok(&["stop"]);
    weft.nothing_left();
}
