//! Emulated links between containers: what they cost, and who tells of them.

use std::time::Instant;

use crate::harness::{Weft, Who, flat};

/// The link is in line 5.
const BLUEPRINT: &str = "import {Container, allow, deployment, link} from 'weft';
deployment({name: 'wan'});
const [a, b, c] = ['a', 'b', 'c'].map((name) => new Container(name, {command: ['sleep', '1000']}));
allow(a, [b, c], 5201);
link(a, b, {rate: '50mbit', delay: '40ms'});
";
/// Bytes that go from one container to another.
const BYTES: u64 = 4_000_000;

/// The median round trip of a ping from `a`, in milliseconds.
fn round_trip(weft: &Weft, to: &str) -> f64 {
    let said = weft.inside("a", &["ping", "-n", "-c", "9", "-i", "0.2", "-W", "5", to]);
    let mut times: Vec<f64> = said
        .lines()
        .filter_map(|line| line.split_once("time=")?.1.strip_suffix(" ms")?.parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    assert!(times.len() >= 5, "{said}");
    times[times.len() / 2]
}

/// How long a known number of bytes takes from `a` to `b`, in seconds.
fn transfer(weft: &Weft) -> f64 {
    let mut server = weft.start(&["exec", "b", "--", "iperf3", "-s", "-1"]);
    let listens = "until [ -n \"$(ss -Hltn sport = :5201)\" ]; do sleep 0.1; done";
    weft.inside("b", &["timeout", "30", "sh", "-c", listens]);
    let start = Instant::now();
    weft.inside("a", &["iperf3", "-c", "b", "-n", &BYTES.to_string()]);
    let took = start.elapsed().as_secs_f64();
    server.wait().expect("its end");
    took
}

fn scenario(who: Who) {
    let weft = Weft::new(who);
    weft.blueprint("wan.js", BLUEPRINT);
    let plan = weft.ok(&["plan", "wan.js"]);
    assert!(plan.contains("+ emulated link a <-> b (50 Mbit/s, 40 ms, buffer 500000 bytes)"), "{plan}");
    weft.ok(&["up", "-q", "wan.js"]);
    let (far, near) = (round_trip(&weft, "b"), round_trip(&weft, "c"));
    println!("{who:?}: a round trip of {far} ms over the link, of {near} ms without");
    assert!((80.0..140.0).contains(&far) && near < 40.0, "{far} {near}");
    let took = transfer(&weft);
    let counters = weft.json(&["top", "--json"]);
    // The last of it may have been cut off with the connection.
    let carried = counters["fabric"]["links"][0]["ways"][0]["bytes"].as_u64().unwrap_or_default();
    assert!(carried > BYTES / 2, "{counters:#}");
    let ideal = carried as f64 * 8.0 / 50e6;
    println!("{who:?}: {carried} bytes in {took:.2} s, of which {ideal:.2} are the rate's");
    assert!(took > ideal, "{took} s for what takes {ideal}");
    let top = weft.ok(&["top", "--once"]);
    assert!(top.contains("a => b") && top.contains("wan.js:5:1"), "{top}");
    let why = weft.ok(&["why", "a", "b", "5201"]);
    assert!(why.contains("over the link a <-> b of wan.js:5:1 (50 Mbit/s, 40 ms"), "{why}");
    assert!(!weft.ok(&["why", "a", "c", "5201"]).contains("over the link"));

    // Another shape is another link; without one nothing takes time.
    weft.blueprint("wan.js", &BLUEPRINT.replace("50mbit", "1mbit"));
    let plan = weft.ok(&["plan", "wan.js"]);
    assert!(plan.contains("+ emulated link a <-> b (1 Mbit/s"), "{plan}");
    assert!(plan.contains("- emulated link a <-> b (50 Mbit/s"), "{plan}");
    weft.blueprint("wan.js", &BLUEPRINT.replace("link(a, b", "void (a, b"));
    weft.ok(&["up", "-q", "wan.js"]);
    assert!(round_trip(&weft, "b") < 40.0);
    weft.ok(&["stop"]);
    weft.nothing_left();
}

#[test]
fn packets_take_their_time_as_root() {
    scenario(Who::Root);
}

#[test]
fn packets_take_their_time_as_an_ordinary_user() {
    scenario(Who::User);
}

#[test]
fn a_link_that_makes_no_sense_is_shown_at_its_line() {
    let weft = Weft::new(Who::Root);
    weft.blueprint("bad.js", &(BLUEPRINT.to_owned() + "link(b, a, {rate: '1mbit'});\n"));
    let error = flat(&weft.fails(&["up", "bad.js"]));
    let parts = [
        "packets between b and a would go over two emulated links",
        "bad.js:6:1",
        "the first is at bad.js:5:1",
    ];
    for part in parts {
        assert!(error.contains(part), "{error}");
    }
}
