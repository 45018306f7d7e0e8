//! Policies that are read, and every way in which one can be wrong, with its line.

use e2::compile::plan;
use e2::policy::{Delivery, Kind, Policy};
use e2::{Rate, key::Fields};

const SHOP: &str = include_str!("../examples/shop.yaml");

/// The shop with one text exchanged for another, and the line where that is.
fn shop_with(old: &str, new: &str) -> (String, u32) {
    assert_eq!(SHOP.matches(old).count(), 1, "{old:?} stands once in the file");
    let line = SHOP[..SHOP.find(old).unwrap()].lines().count().max(1) as u32;
    (SHOP.replace(old, new), line)
}

#[test]
fn the_shop_is_read_and_planned() {
    let policy = Policy::read(SHOP).unwrap();
    let names: Vec<&str> = policy.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["firewall", "ids", "cache", "nat"]);
    let cache = &policy.functions[2];
    assert_eq!((cache.kind, &cache.attributes[0]), (Kind::Legacy, &("hit".to_owned(), Delivery::Port)));
    assert_eq!(policy.functions[3].rewrites, Fields::SOURCE.with(Fields::SOURCE_PORT));
    assert_eq!(policy.pipelets[0].rate, Rate::gbit(8));
    assert_eq!(policy.cores(), 12);
    let plan = plan(&policy).unwrap();
    // 10 Gbit/s at 5 a core; 2 and 4; 6 + 1.8 at 4 a core; 2 at 3 a core.
    assert_eq!(plan.sizes.instances, [2, 2, 2, 1]);
    assert!(plan.bound <= plan.cut);
}

#[test]
fn every_fault_has_its_line() {
    for (old, new, wanted) in [
        (
            "{from: firewall, to: nat}",
            "{from: firewal, to: nat}",
            "there is no network function or port `firewal` (`firewall`?)",
        ),
        ("when: safe,", "when: save,", "`firewall` gives no attribute `save`; it gives safe"),
        ("when: hit,", "when: firewall.safe and hit,", "`cache` on the way is legacy, where tags end"),
        ("when: hit,", "when: ids.alarm,", "legacy, where tags end"),
        ("when: not alarm,", "when: cache.hit,", "a port says it only"),
        (
            "{from: internet, to: firewall}",
            "{from: internet, to: firewall, when: safe}",
            "`internet` is a port and gives no attribute `safe`",
        ),
        (
            "{from: nat, to: internet}",
            "{from: nat, to: firewall}",
            "`updates` goes in a circle: firewall → nat → firewall",
        ),
        (
            "{from: shop, to: firewall}",
            "{from: nat, to: shop, when: host 10.0.0.9}",
            "`updates` starts nowhere: no edge of it comes from a port",
        ),
        ("{from: nat, to: internet}", "{from: ids, to: internet}", "no traffic of `updates` reaches `ids`"),
        ("share: 90%}", "share: 190%}", "`190%` is no share"),
        ("share: 90%}", "share: -1%}", "`-1%` is no share"),
        (
            "{from: ids, to: cache, when: not alarm, share: 90%}",
            "{from: firewall, to: nat, when: not safe, share: 90%}",
            "has all that its filter matches",
        ),
        ("rate: 8 Gbit/s", "rate: -8 Gbit/s", "`-8 Gbit/s` is no rate"),
        ("rate: 8 Gbit/s", "rate: 0", "a pipelet's traffic of 0 bit/s"),
        ("capacity: 1 Gbit/s", "capacity: 0 Mbit/s", "a capacity of 0 bit/s"),
        ("capacity: 1 Gbit/s", "capacity: 1 Gallon", "`Gallon` is no unit"),
        ("affinity: host pair", "affinity: hosts", "`hosts` is no field"),
        ("capacity: 1 Gbit/s", "instances: {least: 3, most: 2}", "from 3 to 2 instances"),
        ("capacity: 1 Gbit/s", "instances: {least: 0}", "from 0 to 1024 instances"),
        ("capacity: 1 Gbit/s", "instances: {most: 5000}", "from 1 to 5000 instances"),
        ("capacity: 1 Gbit/s", "scalable: false\n    instances: {least: 2}", "what is not scalable has 1"),
        ("capacity: 1 Gbit/s", "instances: {lest: 2}", "unknown field"),
        (
            "kind: legacy",
            "kind: legacy\n    isolated: true",
            "`cache` is legacy: it has a namespace of its own",
        ),
        ("name: nat\n", "name: cache\n", "`cache` is already the name of a network function, in line 14"),
        ("name: nat\n", "name: internet\n", "`internet` is already the name of a port"),
        ("name: nat\n", "name: tcp\n", "`tcp` cannot be a name"),
        (
            "{name: hit, by: port}",
            "{name: hit, by: metadata}",
            "`cache` is legacy and can give `hit` only by a port",
        ),
        ("{name: hit, by: port}", "{name: hit, by: magic}", "`magic` is no way to give an attribute"),
        ("kind: legacy", "kind: leagcy", "`leagcy` is no kind of network function"),
        ("traffic: tcp dst port 80", "traffic: tcp dst port 80 or udp and icmp", "want brackets"),
        ("traffic: tcp dst port 80", "traffic: tcp dst port 80000", "`80000` is no number"),
        ("traffic: tcp dst port 80", "traffic: safe", "told by headers alone"),
        ("{name: s2, cores: 4}", "{name: s2, cores: 0}", "`s2` has no cores"),
        ("{name: s2, cores: 4}", "{name: s2, cores: -4}", "`s2` has no cores"),
        ("{name: s2, cores: 4}", "{name: s2, cores: 5000}", "`s2` has 5000 cores (at most 1024)"),
        ("between: [s2, tor]", "between: [s9, tor]", "there is no server or switch `s9`"),
        ("between: [s2, tor]", "between: [s1, s2]", "links join a server and the switch"),
        ("entries: 2048}", "entries: 99999999}", "99999999 table entries"),
        ("switch_entries: 200", "switch_entrys: 200", "unknown field"),
    ] {
        let (text, line) = shop_with(old, new);
        let faults = Policy::read(&text).expect_err(new);
        let there = faults.0.iter().any(|fault| fault.to_string().contains(wanted));
        assert!(there, "{new}: {faults}");
        let near = faults.0.iter().any(|fault| {
            fault.place.line.abs_diff(line) <= if wanted.contains("starts nowhere") { 4 } else { 1 }
                && fault.place.column > 0
        });
        assert!(near, "{new} in line {line}: {faults}");
    }
}

#[test]
fn a_server_that_no_link_leads_to_is_named() {
    let (text, _) = shop_with("    - {between: [s2, tor], rate: 40 Gbit/s}\n", "");
    let faults = Policy::read(&text).unwrap_err().to_string();
    let line = SHOP.lines().position(|line| line.contains("name: s2")).unwrap() + 1;
    assert_eq!(faults, format!("line {line}, column 14: no link leads to `s2`"));
}

#[test]
fn what_cannot_be_met_is_told_with_what_is_missing() {
    for (old, new, wanted) in [
        (
            "capacity: 1 Gbit/s",
            "capacity: 100 Mbit/s",
            "23 instances need a core each, and the servers have 12: 11 are missing; 20 of ids, 2 of cache, 1 of nat",
        ),
        (
            "capacity: 1 Gbit/s",
            "capacity: 1 Gbit/s\n    scalable: false",
            "2 Gbit/s go to `ids`, one core of which carries 1 Gbit/s, and it is not scalable: 1 Gbit/s are missing",
        ),
        (
            "name: internet, rate: 20 Gbit/s",
            "name: internet, rate: 5 Gbit/s",
            "8 Gbit/s come in at `internet`, which carries 5 Gbit/s: 3 Gbit/s are missing",
        ),
        ("entries: 2048}", "entries: 5}", "entries, and `tor` has 5:"),
        (
            "capacity: 1 Gbit/s",
            "capacity: 1 Gbit/s\n    instances: {most: 1}",
            "`ids` would need 2 instances for 2 Gbit/s (at most 1)",
        ),
        (
            "capacity: 1 Gbit/s",
            "capacity: 1 kbit/s",
            "`ids` would need 2000000 instances for 2 Gbit/s (at most 1024)",
        ),
    ] {
        let (text, _) = shop_with(old, new);
        let faults = plan(&Policy::read(&text).unwrap()).expect_err(new);
        assert!(faults.to_string().contains(wanted), "{new}: {faults}");
        assert!(faults.0.iter().all(|fault| fault.place.line > 0));
    }
    // More than the rate asks for, where that is wanted.
    let (text, _) = shop_with("capacity: 1 Gbit/s", "capacity: 1 Gbit/s\n    instances: {least: 3, most: 4}");
    assert_eq!(plan(&Policy::read(&text).unwrap()).unwrap().sizes.instances[1], 3);
    let text = SHOP.replace("rate: 40 Gbit/s", "rate: 1 Gbit/s");
    let faults = plan(&Policy::read(&text).unwrap()).unwrap_err().to_string();
    assert!(faults.contains("whose links carry 1 Gbit/s") && faults.contains("are missing"), "{faults}");
}

#[test]
fn pipelets_that_a_legacy_function_mixes_are_refused() {
    // Behind the cache the two are told by their source, which the translator has changed.
    let text = SHOP.replace(
        "{from: nat, to: internet}",
        "{from: nat, to: cache}\n      - {from: cache, to: internet, when: not hit}",
    );
    let policy = Policy::read(&text).unwrap();
    let faults = plan(&policy).unwrap_err().to_string();
    assert!(
        faults.contains("behind `cache`, which is legacy") && faults.contains("ip.src+port.src"),
        "{faults}"
    );
}
