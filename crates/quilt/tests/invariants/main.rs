//! Expectations of the network against brute force: every container written out, for every count of replicas.

mod net;
mod twin;

use std::collections::HashMap;

use net::{Net, net};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use quilt::check::invariant::{Counterexample, Hop, decide};
use quilt::eval::{Options, evaluate_text};
use quilt::model::{Blueprint, Claim, Invariant, Party};

/// Random networks that are compared.
const NETWORKS: u32 = 10_000;

#[test]
fn the_checker_agrees_with_brute_force_for_every_count_of_replicas() {
    let mut verdicts: HashMap<(&str, bool, bool), usize> = HashMap::new();
    let mut runner = TestRunner::new(Config { cases: NETWORKS, ..Config::default() });
    let verdicts_seen = std::cell::RefCell::new(&mut verdicts);
    let compared = std::cell::Cell::new(0);
    runner
        .run(&net(), |net| {
            let blueprint = net.blueprint(&net.written);
            let found = decide(&blueprint);
            let expected = expected(&net);
            for ((invariant, found), expected) in blueprint.invariants.iter().zip(found).zip(expected) {
                prop_assert_eq!(found.is_none(), expected, "{}: {:?}", invariant, found);
                if let Some(Counterexample::Chain(hops)) = &found {
                    a_real_chain(&blueprint, invariant, hops)?;
                }
                let kind = match invariant.claim {
                    Claim::Connect { .. } => "connect",
                    Claim::Reach { .. } => "reach",
                    Claim::Between { .. } => "between",
                    Claim::Enough => unreachable!("a claim about machines, see `placement.rs`"),
                };
                *verdicts_seen.borrow_mut().entry((kind, invariant.holds, expected)).or_default() += 1;
            }
            compared.set(compared.get() + 1);
            Ok(())
        })
        .unwrap();
    assert_eq!(compared.get(), NETWORKS, "all of them, whatever the environment says");
    // A comparison that only ever sees one answer shows little.
    for kind in ["connect", "reach", "between"] {
        for holds in [true, false] {
            for verdict in [true, false] {
                let seen = verdicts.get(&(kind, holds, verdict)).copied().unwrap_or_default();
                assert!(seen > 300, "{kind} {holds} was {verdict} only {seen} times");
            }
        }
    }
}

/// Whether each claim is true of the network written out, in every count of replicas.
fn expected(net: &Net) -> Vec<bool> {
    let mut all = vec![true; net.claims.len()];
    for counts in net.every_count() {
        let blueprint = net.blueprint(&counts);
        let explicit = twin::Explicit::of(&blueprint);
        for (holds, invariant) in all.iter_mut().zip(&blueprint.invariants) {
            *holds &= explicit.is_true(invariant);
        }
    }
    all
}

/// Each hop is a link of the blueprint, they follow one another, and what must be avoided is.
fn a_real_chain(blueprint: &Blueprint, invariant: &Invariant, hops: &[Hop]) -> Result<(), TestCaseError> {
    let is = |party: &Party, name: &str| {
        name.contains("replica")
            || party.name() == name
            || blueprint.members(party).into_iter().any(|member| member == name)
    };
    let (from, to, through): (_, _, &[Party]) = match &invariant.claim {
        Claim::Connect { from, to, .. } | Claim::Reach { from, to, .. } => (from, to, &[]),
        Claim::Between { from, through, to } => (from, to, through),
        Claim::Enough => unreachable!("a claim about machines"),
    };
    prop_assert!(is(from, &hops[0].from) && is(to, &hops[hops.len() - 1].to), "{:?}", hops);
    prop_assert!(hops.windows(2).all(|pair| pair[0].to == pair[1].from), "{:?}", hops);
    prop_assert!(hops[0].from != hops[hops.len() - 1].to || hops[0].from.contains("replica"), "{:?}", hops);
    for hop in hops {
        let link = blueprint.links.iter().find(|link| link.span == hop.span);
        let publish = blueprint.publishes.iter().find(|publish| publish.span == hop.span);
        let (from, to) = match (link, publish) {
            (Some(link), _) => (&link.from, &link.to),
            (_, Some(publish)) => (&Party::PublicInternet, &publish.to),
            _ => return Err(TestCaseError::fail(format!("no rule at {}", hop.span))),
        };
        prop_assert!(is(from, &hop.from) && is(to, &hop.to), "{:?} is not by {} -> {}", hop, from, to);
        let avoided = through.iter().any(|party| {
            !hop.to.contains("replica") && is(party, &hop.to)
                || !hop.from.contains("replica") && is(party, &hop.from)
        });
        prop_assert!(!avoided, "{:?} passes what it should avoid", hops);
    }
    Ok(())
}

fn faults(text: &str) -> Vec<String> {
    let evaluation = evaluate_text("net.js", text, &Options::default()).unwrap();
    match quilt::checked(evaluation, &|_| true) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.faults.iter().map(|fault| format!("{}: {fault}", fault.span)).collect(),
    }
}

const THREE: &str = "import { Container, Service, allow, expect, publicInternet, publish, udp } from 'weft';
const client = new Container('client', { command: ['x'] });
const web = new Container('web', { command: ['x'], replicas: 2 });
const db = new Container('db', { command: ['x'] });
publish(web, 8080, 80);
allow(client, web, 80);
allow(web, db, 5432, 'tcp');
";

#[test]
fn what_holds_is_silent() {
    let text = format!(
        "{THREE}
expect(client).canConnect(web, 80).canReach(db).cannotConnect(db).cannotReach(db, 80);
expect(client).canReach(db, 5432);
expect(web).isBetween(client, db).isBetween(publicInternet, db);
expect(db).cannotReach([client, web]);
expect(publicInternet).canConnect(web, 80).cannotConnect([client, 'db']);
expect('web').canConnect(db, 5432).cannotConnect(db, udp(5432)).cannotReach('web');
expect(db).isNotBetween(client, web);"
    );
    assert_eq!(faults(&text), Vec::<String>::new());
}

#[test]
fn what_does_not_hold_is_shown_with_its_lines() {
    let text = format!(
        "{THREE}
expect(client).cannotReach(db);
expect(web).canConnect(db, 5432, 'any');
expect('web-1').isBetween(client, db);
expect(db).canReach(client);
expect(publicInternet).cannotReach(db);"
    );
    assert_eq!(
        faults(&text),
        [
            "net.js:9:1: client is not to reach db, but client -> web-1 on 80 (net.js:6:1) -> db on 5432/tcp (net.js:7:1)",
            "net.js:10:1: web is to connect to db on 5432, but that does not lead from web-1 to db: web-1 reaches db",
            "net.js:11:1: web-1 is to be between client and db, but client -> web-2 on 80 (net.js:6:1) -> db on 5432/tcp (net.js:7:1)",
            "net.js:12:1: db is to reach client, but nothing leads from db to client: db reaches nothing",
            "net.js:13:1: public internet is not to reach db, but public internet -> web-1 on 80/tcp (net.js:5:1) -> db on 5432/tcp (net.js:7:1)",
        ]
    );
}

#[test]
fn what_is_true_of_two_replicas_only_is_not_true() {
    let text = "import { Container, allow, expect } from 'weft';
const web = new Container('web', { command: ['x'], replicas: 2 });
const db = new Container('db', { command: ['x'] });
allow('web-1', db, 1);
allow('web-2', db, 1);
expect(web).canConnect(db, 1);";
    let found = "net.js:6:1: web is to connect to db on 1/tcp, but nothing leads from another replica to db: \
                 another replica reaches nothing";
    assert_eq!(faults(text), [found]);
}

#[test]
fn a_link_to_each_member_does_not_open_the_services_name() {
    let text = "import { Container, allow, expect } from 'weft';
const a = new Container('a', { command: ['x'] });
const web = new Container('web', { command: ['x'], replicas: 1 });
allow(a, 'web-1', 80);
expect(a).canReach('web-1', 80);
expect(a).canConnect(web);";
    let found = "net.js:6:1: a is to connect to web, but that does not lead from a to another replica: a reaches web-1";
    assert_eq!(faults(text), [found]);
    let both = "import { Container, Service, allow, expect } from 'weft';
const a = new Container('a', { command: ['x'] });
const one = new Container('web-1', { command: ['x'] });
const web = new Service('web', [one]);
allow(a, one, 80);
expect(a).canReach(web, 80);
expect(a).canConnect(web);";
    let found =
        "net.js:7:1: a is to connect to web, but that does not lead from a to the name web: a reaches web-1";
    assert_eq!(faults(both), [found]);
}

#[test]
fn expectations_name_what_exists_and_ports_that_are() {
    let text = format!(
        "{THREE}
expect(client).canReach('bd');
expect(client).canConnect(db, 70000);
expect(client).canConnect(db, 80, 'icmp');"
    );
    assert_eq!(
        faults(&text),
        [
            "net.js:9:1: the expectation names 'bd', which does not exist",
            "net.js:10:1: port 70000 of the expectation of client and db is out of range",
            "net.js:11:1: protocol of the expectation of client and db must be 'tcp', 'udp' or 'any', found 'icmp'",
        ]
    );
}

#[test]
fn too_many_expectations_are_an_error() {
    let text = format!("{THREE} for (let i = 0; i < 1001; i += 1) expect(client).cannotConnect(db);");
    assert_eq!(faults(&text), ["net.js:8:2: the blueprint is too large: 1001 expectations"]);
    let text = format!(
        "{THREE} const all = []; for (let i = 0; i < 1000; i += 1) all.push(client);
expect(all).cannotConnect(all);"
    );
    assert_eq!(
        faults(&text),
        ["net.js:9:1: the blueprint is too large: its expectations name more than 100000 parties"]
    );
}

/// The most that a blueprint may hold, with a hundred expectations of chains that run through all of it.
#[test]
fn ten_thousand_containers_are_decided_at_once() {
    let text = "import { Container, allow, expect } from 'weft';
const tiers = [];
for (let i = 0; i < 1000; i += 1) tiers.push(new Container(`t${i}`, { command: ['x'], replicas: 10 }));
for (let i = 1; i < 1000; i += 1) allow(tiers[i - 1], tiers[i], 80);
for (let i = 1; i <= 25; i += 1) {
  expect(tiers[0]).canReach(tiers[999 - i]);
  expect(tiers[999]).cannotReach(tiers[i]);
  expect(tiers[500 + i]).isBetween(tiers[0], tiers[999]);
  expect(tiers[999 - i]).isNotBetween(tiers[0], tiers[500]);
}";
    let blueprint = evaluate_text("net.js", text, &Options::default()).unwrap().blueprint;
    assert_eq!((blueprint.containers.len(), blueprint.invariants.len()), (10_000, 100));
    let cpu = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
    };
    let before = cpu();
    let found = decide(&blueprint);
    let took = cpu() - before;
    println!("100 expectations of 10,000 containers: {took:.3} s of CPU time");
    assert!(found.iter().all(Option::is_none));
    assert!(took < 1.0, "{took:.3} s of CPU time");
}
