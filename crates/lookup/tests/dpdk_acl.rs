//! The classifier beside DPDK's, on 10,000 rules of every flavour: every packet must get the same rule.

use lookup::acl::Acl;
use lookup::acl::classbench::{self, Flavour, Version};

mod dpdk;

const RULES: usize = 10_000;
const PACKETS: usize = 5_000;

fn agree(flavour: Flavour, version: Version, seed: u64) {
    let rules = classbench::rules(flavour, version, RULES, seed);
    let packets = classbench::trace(&rules, PACKETS, 0.1, seed);
    let options = dpdk::Options { algorithm: "default", iterations: 1, results: true };
    let theirs = dpdk::run(&rules, &packets, &options).unwrap_or_else(|words| panic!("{words}"));
    assert_eq!(theirs.results.len(), PACKETS);
    assert!(theirs.ns_per_packet > 0.0);

    let acl = Acl::build(rules.into_iter().map(|rule| (rule, ()))).unwrap();
    let mut ours = vec![None; PACKETS];
    acl.lookup_batch(&packets, &mut ours);
    for ((key, ours), theirs) in packets.iter().zip(&ours).zip(&theirs.results) {
        assert_eq!(ours, theirs, "{flavour:?} {version:?} seed {seed}: {key}");
    }
    let matched = ours.iter().flatten().count();
    assert!((PACKETS / 2..=PACKETS).contains(&matched), "{matched} matched");
}

#[test]
fn acl_rules() {
    agree(Flavour::Acl, Version::V4, 1);
}

#[test]
fn fw_rules() {
    agree(Flavour::Fw, Version::V4, 2);
}

#[test]
fn ipc_rules() {
    agree(Flavour::Ipc, Version::V4, 3);
}

#[test]
fn acl_rules_ipv6() {
    agree(Flavour::Acl, Version::V6, 4);
}

#[test]
fn ipc_rules_ipv6() {
    agree(Flavour::Ipc, Version::V6, 5);
}
