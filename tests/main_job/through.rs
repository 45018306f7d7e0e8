//! Links that go through network functions: what passes, what does not, and who tells of it.

use serde_json::Value;

use crate::harness::{Weft, Who, curl, eventually, flat, free_port};
use crate::streams::{SERVER, Stream};

/// curl's exit code for a time that is over (curl(1)).
const TIMED_OUT: i32 = 28;

/// The link is in line 9. Port 81 is allowed, and stopped by the guard.
const BLUEPRINT: &str = r#"import {Container, PortRange, deployment} from 'weft';
import {NF} from 'weft/nf';
deployment({name: 'led'});
const watch = new NF('watch', {run: 'monitor'});
const guard = new NF('guard', {run: 'firewall rule=permit out tcp any any 80', instances: 2});
const serve = 'weft tool web --listen 81 & exec weft tool web --listen 80';
const web = new Container('web', {command: serve, replicas: 2});
const client = new Container('client', {command: ['sleep', '1000']});
web.allowTraffic(client, new PortRange(80, 81)).through(watch, guard);
"#;

/// Fetches a page from the client: whether it came, and curl's exit code.
fn fetch(weft: &Weft, url: &str) -> (bool, Option<i32>) {
    let output = weft.run(&["exec", "client", "--", "curl", "-sS", "--max-time", "2", url]);
    (String::from_utf8_lossy(&output.stdout).contains("hello"), output.status.code())
}

/// The instances of a function in `weft top`, by its name.
fn instances(weft: &Weft, function: &str) -> Vec<Value> {
    let counters = weft.json(&["top", "--json"]);
    let functions = counters["fabric"]["functions"].as_array().cloned().unwrap_or_default();
    let found = functions.into_iter().find(|found| found["name"] == function);
    found.and_then(|found| found["instances"].as_array().cloned()).expect("a function")
}

/// Packets there and back that instances were given, that left them, and that they dropped.
fn sums(instances: &[Value]) -> ([u64; 2], u64, u64) {
    let number = |value: &Value| value.as_u64().expect("a number");
    let mut sums = ([0, 0], 0, 0);
    for instance in instances {
        for way in 0..2 {
            sums.0[way] += number(&instance["packets"][way]);
            sums.1 += number(&instance["left"][way]);
        }
        let drops = instance["drops"].as_array().expect("drops");
        sums.2 += drops.iter().map(|drop| number(&drop[1])).sum::<u64>();
        assert_eq!(number(&instance["held"]), 0);
    }
    sums
}

fn scenario(who: Who) {
    let weft = Weft::new(who);
    weft.blueprint("led.js", BLUEPRINT);
    let plan = weft.ok(&["plan", "led.js"]);
    for line in [
        "+ function watch (monitor)",
        "+ function guard (firewall rule=permit out tcp any any 80; 2 instances, affinity flow)",
        "+ link client -> web:80-81 through watch, guard",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    weft.ok(&["up", "-q", "led.js"]);
    assert!(eventually(|| (0..4).all(|_| fetch(&weft, "http://web/").0)), "{}", weft.ok(&["logs"]));
    for _ in 0..12 {
        assert_eq!(fetch(&weft, "http://web/"), (true, Some(0)));
    }
    assert_eq!(fetch(&weft, "http://web-1/"), (true, Some(0)));
    assert_eq!(fetch(&weft, "http://web:81/"), (false, Some(TIMED_OUT)), "allowed, and stopped by the guard");

    // What was given to a function has left it, or was dropped; what left the first was given to the second.
    let ([there, back], left, dropped) = sums(&instances(&weft, "watch"));
    assert!(there >= 13 * 4 && back >= 13 * 3, "{there} {back}");
    assert_eq!((there + back, dropped), (left, 0));
    let guards = instances(&weft, "guard");
    let (given, left, dropped) = sums(&guards);
    assert_eq!((given, given[0] + given[1]), ([there, back], left + dropped));
    assert!(dropped > 0 && guards.iter().any(|guard| guard["drops"][0][0] == "denied by rule"), "{guards:?}");
    assert!(guards.iter().all(|guard| guard["packets"][0].as_u64() > Some(0)), "both have some: {guards:?}");
    let why = weft.ok(&["why", "client", "web", "80"]);
    for part in [
        "by led.js:9:1",
        "through watch, guard\n",
        "  watch-1 (monitor): ",
        "  guard-2 (firewall rule=permit out tcp",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let fabric = &weft.json(&["top", "--json"])["fabric"];
    let ruled = fabric["rules"].as_array().expect("rules").iter();
    let ruled: u64 = ruled.filter_map(|rule| rule["packets"].as_u64()).sum();
    let watched = fabric["functions"][0]["instances"].as_array().expect("instances");
    let ([there, back], ..) = sums(watched);
    assert_eq!(there + back, ruled, "all packets of the link, and no others: {fabric:#}");
    let top = weft.ok(&["top", "--once"]);
    assert!(top.contains("FUNCTION") && top.contains("guard-2"), "{top}");
    assert!(weft.ok(&["why", "--all"]).contains("watch, guard"));
    assert!(weft.ok(&["graph", "led.js"]).contains("80-81 through watch, guard"));
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn links_go_through_functions_as_root() {
    scenario(Who::Root);
}

#[test]
fn links_go_through_functions_as_an_ordinary_user() {
    scenario(Who::User);
}

#[test]
fn a_stream_flows_on_while_its_functions_change() {
    let weft = Weft::new(Who::Root);
    let blueprint = |functions: &str, through: &str| {
        format!(
            "import {{Container, allow, deployment}} from 'weft';\nimport {{NF}} from 'weft/nf';\n\
             deployment({{name: 'led'}});\n{functions}\n\
             const server = new Container('server', {{command: ['perl', '-e', {SERVER:?}]}});\n\
             const client = new Container('client', {{command: ['sleep', '1000']}});\n\
             allow(client, server, 80){through};\n"
        )
    };
    let watch = "const watch = new NF('watch', {run: 'monitor'});";
    let guard = |rule: &str| format!("{watch}\nconst guard = new NF('guard', {{run: 'firewall {rule}'}});");
    weft.blueprint("led.js", &blueprint(watch, ".through(watch)"));
    weft.ok(&["up", "-q", "led.js"]);
    let reads = ["curl", "-sS", "-N", "--retry-connrefused", "--retry", "9", "http://server/"];
    let stream = Stream::of(weft.start(&[&["exec", "client", "--"], &reads[..]].concat()));
    stream.flows("at first");
    let mut watched = sums(&instances(&weft, "watch")).0[1];
    let mut change = |functions: &str, through: &str, planned: &[&str]| {
        weft.blueprint("led.js", &blueprint(functions, through));
        let plan = weft.ok(&["plan", "led.js"]);
        assert_eq!(plan.lines().collect::<Vec<_>>(), planned);
        weft.ok(&["up", "-q", "led.js"]);
        stream.flows(through);
        let now = sums(&instances(&weft, "watch")).0[1];
        assert!(now > watched, "the monitor stays what it was: {now}, {watched} before");
        watched = now;
    };
    // Who sends first behind a firewall that begins anew may be either side.
    let rule = "rule=permit any any";
    change(
        &guard(rule),
        ".through(watch, guard)",
        &[
            "+ function guard (firewall rule=permit any any)",
            "~ chain client -> server:80 (watch -> watch, guard)",
        ],
    );
    change(
        &guard("rule=permit tcp any any"),
        ".through(guard, watch)",
        &["~ function guard (run changed)", "~ chain client -> server:80 (watch, guard -> guard, watch)"],
    );
    let (given, left, dropped) = sums(&instances(&weft, "guard"));
    assert_eq!((given[0] + given[1], dropped), (left, 0));
    change(
        watch,
        ".through(watch)",
        &["~ chain client -> server:80 (guard, watch -> watch)", "- function guard"],
    );
    // Nothing was lost on the way either.
    let counters = weft.json(&["top", "--json"]);
    let drops = counters["fabric"]["drops"].as_array().cloned().unwrap_or_default();
    let ours = |drop: &&Value| ["strayed", "chain-changed"].iter().any(|reason| drop[0] == *reason);
    assert_eq!(drops.iter().filter(ours).count(), 0, "{drops:?}");
    weft.ok(&["stop"]);
    drop(stream);
    weft.nothing_left();
}

#[test]
fn a_published_port_goes_through_functions_and_manifests_refuse_them() {
    let weft = Weft::new(Who::Root);
    let port = free_port();
    let text = format!(
        "import {{Container, deployment, publish}} from 'weft';\nimport {{NF}} from 'weft/nf';\n\
         deployment({{name: 'led'}});\nconst watch = new NF('watch', {{run: 'monitor'}});\n\
         publish(new Container('web', {{command: ['weft', 'tool', 'web', '--listen', '80']}}), {port}, 80).through(watch);\n"
    );
    weft.blueprint("led.js", &text);
    weft.ok(&["up", "-q", "led.js"]);
    let url = format!("http://localhost:{port}/");
    assert!(eventually(|| curl(&url).is_ok()));
    let ([there, back], ..) = sums(&instances(&weft, "watch"));
    assert!(there > 3 && back > 3, "{there} {back}");
    weft.ok(&["stop"]);
    weft.nothing_left();
    let error = flat(&weft.fails(&["export", "kubernetes", "led.js"]));
    for part in ["-> web:80/tcp through watch: Kubernetes manifests lead no packets through", "led.js:5:1"] {
        assert!(error.contains(part), "{error}");
    }
}
