//! Blueprints that cannot run: one clear error each, with the line, and nothing left behind.

use std::net::{TcpListener, UdpSocket};

use crate::harness::{Weft, Who, free_port, take};

/// A blueprint, the line at fault, and words of the error.
const CASES: [(&str, &str, u32, &str); 20] = [
    ("syntax", "import {Container} from 'weft';\nconst a = ;\n", 2, "syntax error"),
    ("endless", "import {Container} from 'weft';\nfor (;;) {}\n", 2, "ran for more than"),
    (
        "memory",
        "import {Container} from 'weft';\nconst a = []; for (;;) a.push('x'.repeat(1 << 20) + a.length);\n",
        2,
        "MiB of memory",
    ),
    (
        "ten gigabytes",
        "import {Container} from 'weft';\nconst a = new Uint8Array(10e9);\n",
        2,
        "MiB of memory",
    ),
    ("a long text", "import {Container} from 'weft';\nconst a = 'x'.repeat(1e10);\n", 2, "repeat count"),
    ("endless function", "const f = () => {\n  for (;;) {}\n};\nf();\n", 1, "ran for more than"),
    ("unknown name", "import {Container, allow} from 'weft';\nallow(missing, missing, 80);\n", 2, "missing"),
    (
        "twice",
        "import {Container} from 'weft';\nnew Container('a', {command: ['sleep', '9']});\nnew Container('a', {command: ['sleep', '9']});\n",
        3,
        "'a'",
    ),
    (
        "port",
        "import {Container, allow} from 'weft';\nconst a = new Container('a', {command: ['sleep', '9']});\nconst b = new Container('b', {command: ['sleep', '9']});\nallow(a, b, 65536);\n",
        4,
        "65536",
    ),
    ("no command", "import {Container} from 'weft';\nnew Container('a', {});\n", 2, "command"),
    (
        "missing command",
        "import {Container} from 'weft';\nnew Container('good', {command: ['sleep', '9']});\nnew Container('bad', {command: ['no-such-program']});\n",
        3,
        "`no-such-program` not found",
    ),
    (
        "a function that is none",
        "import {Container, allow} from 'weft';\nimport {NF} from 'weft/nf';\nnew Container('a', {command: ['sleep', '9']});\nallow('a', 'a', 80).through(\n  new NF('x', {run: 'firewal'}));\n",
        5,
        "there is no network function 'firewal'",
    ),
    (
        "a function with arguments that it does not take",
        "import {Container, allow} from 'weft';\nimport {NF} from 'weft/nf';\nnew Container('a', {command: ['sleep', '9']});\nconst x = new NF('x', {run: 'acl rule=permit all'});\nallow('a', 'a', 80).through(x);\n",
        4,
        "rule=permit all",
    ),
    (
        "a link through a function twice",
        "import {Container, allow} from 'weft';\nimport {NF} from 'weft/nf';\nnew Container('a', {command: ['sleep', '9']});\nconst x = new NF('x', {run: 'monitor'});\nallow('a', 'a', 80).through(x, x);\n",
        5,
        "goes through 'x' twice",
    ),
    (
        "outside",
        "import {Container, PortRange, allow, publicInternet} from 'weft';\nconst a = new Container('a', {command: ['sleep', '9']});\nallow(a, publicInternet, new PortRange(1, 2000));\n",
        3,
        "public internet",
    ),
    (
        "a service without containers",
        "import {Container, Service} from 'weft';\nnew Container('a', {command: ['sleep', '9']});\nnew Service('s', []);\n",
        3,
        "'s' has no containers",
    ),
    (
        "a rule between names that are not there",
        "import {Container, allow} from 'weft';\nnew Container('a', {command: ['sleep', '9']});\nallow('web', 'db', 80);\n",
        3,
        "'web', which does not exist",
    ),
    (
        "who waits for each other",
        "import {Container} from 'weft';\nnew Container('a', {command: ['sleep', '9'], dependsOn: 'b'});\nnew Container('b', {command: ['sleep', '9'], dependsOn: 'a'});\n",
        2,
        "wait for each other: a -> b -> a",
    ),
    (
        "cyclic require",
        "const { web } = require('./bad.js');\nconst { allow } = require('weft');\nallow(web, web, 80);\n",
        3,
        "the source of a link must be a container",
    ),
    (
        "a rule between names that are not deployed",
        "const k = require('kelda');\nconst m = new k.Machine({ provider: 'Amazon' });\nconst inf = new k.Infrastructure(m, m);\n\
         const [a, b] = ['a', 'b'].map((name) => new k.Container({ name, image: 'host', command: ['sleep', '9'] }));\n\
         a.deploy(inf);\nk.allowTraffic(a, b, 80);\n",
        6,
        "the link names 'b', which is never deployed",
    ),
];

#[test]
fn each_bad_blueprint_gets_one_clear_error_and_leaves_nothing_as_root() {
    each_case(Who::Root);
}

#[test]
fn each_bad_blueprint_gets_one_clear_error_and_leaves_nothing_as_an_ordinary_user() {
    each_case(Who::User);
}

fn each_case(who: Who) {
    let weft = Weft::new(who);
    for (name, text, line, words) in CASES {
        let file = weft.blueprint("bad.js", text);
        let error = weft.fails(&["up", &file]);
        assert!(error.contains(words), "{name}: {error}");
        assert!(error.contains(&format!("bad.js:{line}:")), "{name} points at line {line}: {error}");
        assert!(!error.contains("panicked"), "{name}: {error}");
        weft.nothing_left();
    }
    let error = weft.fails(&["up", "no-such-file.js"]);
    assert!(error.contains("no-such-file.js"), "{error}");
    weft.nothing_left();
}

#[test]
fn a_port_that_is_taken_costs_nothing_as_root() {
    a_taken_port(Who::Root);
}

#[test]
fn a_port_that_is_taken_costs_nothing_as_an_ordinary_user() {
    a_taken_port(Who::User);
}

fn a_taken_port(who: Who) {
    let weft = Weft::new(who);
    let port = free_port();
    let _taken = take(port, TcpListener::bind);
    let file = weft.blueprint(
        "taken.js",
        &format!("import {{Container, publish}} from 'weft';\nconst a = new Container('a', {{command: ['sleep', '9']}});\npublish(a, {port}, 80);\n"),
    );
    let error = weft.fails(&["up", &file]);
    assert!(
        error.contains(&format!("port {port}/tcp of the host is taken")) && error.contains("taken.js:3:"),
        "{error}"
    );
    weft.nothing_left();
}

#[test]
fn a_udp_port_that_is_taken_is_told_as_well() {
    let weft = Weft::new(Who::Root);
    let port = free_port();
    let _taken = take(port, UdpSocket::bind);
    let file = weft.blueprint(
        "taken.js",
        &format!("import {{Container, publish}} from 'weft';\nconst a = new Container('a', {{command: ['sleep', '9']}});\npublish(a, {port}, 53, 'udp');\n"),
    );
    let error = weft.fails(&["up", &file]);
    assert!(
        error.contains(&format!("port {port}/udp of the host is taken")) && error.contains("taken.js:3:"),
        "{error}"
    );
    weft.nothing_left();
}

#[test]
fn a_change_that_cannot_be_made_leaves_what_runs_as_root() {
    a_bad_change(Who::Root);
}

#[test]
fn a_change_that_cannot_be_made_leaves_what_runs_as_an_ordinary_user() {
    a_bad_change(Who::User);
}

fn a_bad_change(who: Who) {
    let weft = Weft::new(who);
    let text = |more: &str| {
        format!(
            "import {{Container, deployment}} from 'weft';\ndeployment({{name: 'steady'}});\nnew Container('a', {{command: ['sleep', '1000']}});\n{more}"
        )
    };
    weft.ok(&["up", &weft.blueprint("good.js", &text(""))]);
    let before = weft.pids();
    let bad = text(
        "new Container('b', {command: ['sleep', '1000']});\nnew Container('c', {command: ['no-such-program']});\n",
    );
    let bad = weft.blueprint("bad.js", &bad);
    let error = weft.fails(&["up", &bad]);
    assert!(error.contains("`no-such-program` not found") && error.contains("bad.js:5:"), "{error}");
    let after = weft.pids();
    assert_eq!(after.get("a"), before.get("a"), "what ran runs");
    assert!(after.contains_key("b"), "what could be started was: {after:?}");
    assert_eq!(weft.ok(&["plan", &bad]).trim(), "+ container c");
    let syntax = weft.blueprint("syntax.js", &text("const = 3;\n"));
    assert!(weft.fails(&["up", &syntax]).contains("syntax.js:4:"));
    assert_eq!(weft.pids(), after, "and a blueprint that cannot be read changes nothing");
    weft.ok(&["up", &weft.blueprint("good.js", &text(""))]);
    assert_eq!(weft.pids(), before);
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn damaged_state_is_told_and_can_be_stopped() {
    for who in [Who::Root, Who::User] {
        let weft = Weft::new(who);
        let text = "import {Container, deployment} from 'weft';\ndeployment({name: 'torn'});\nnew Container('a', {command: ['sleep', '1000']});\n";
        let file = weft.blueprint("torn.js", text);
        weft.ok(&["up", &file]);
        let directory = weft.state().join("deployments/torn");
        for note in ["record.json", "sandbox.json", "containers/a/status.json", "containers/a/journal.json"] {
            std::fs::write(directory.join(note), "{torn").expect("to damage it");
        }
        let error = weft.fails(&["up", &file]);
        assert!(error.contains(".json") && !error.contains("panicked"), "{error}");
        weft.ok(&["stop"]);
        weft.nothing_left();
    }
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let weft = Weft::new(Who::Root);
    for args in [
        &["up"][..],
        &["why", "a", "b", "0"],
        &["why", "a", "b"],
        &["why", "--all", "a"],
        &["nonsense"],
        &["exec", "a"],
    ] {
        assert_eq!(weft.run(args).status.code(), Some(2), "{args:?}");
    }
    assert!(weft.fails(&["ps"]).contains("nothing runs"));
    assert!(weft.fails(&["stop"]).contains("nothing runs"));
}
