//! What the judge of manifests says of a blueprint, asked once for all tests of this process.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use quilt::check::reach::{Index, allowed_outside};
use quilt::kubernetes::export::{self, Exported, export};
use quilt::model::{Blueprint, Ports, Protocol};

use crate::judges::{self, Allowed};
use crate::sides::Manifests;
use crate::{CORPUS, blueprint, corpus};

pub(crate) type Found = BTreeMap<(String, String), Allowed>;

fn secret(_: &str) -> Option<String> {
    Some("not told".into())
}

pub(crate) fn exported(blueprint: &Blueprint) -> Exported {
    let options = export::Options { secrets: Some(&secret), ..export::Options::default() };
    export(blueprint, &options).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// What network-config-analyzer says of manifests.
pub(crate) fn judged(exported: &Exported) -> Found {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("all.yaml");
    fs::write(&file, exported.yaml().expect("YAML")).expect("to write it");
    judges::connectivity(&judges::place(), &file)
}

/// The same of a blueprint of the corpus: it takes seconds, so the answer is kept.
pub(crate) fn found(path: &Path, blueprint: &Blueprint) -> Arc<Found> {
    type Answers = HashMap<PathBuf, Arc<OnceLock<Arc<Found>>>>;
    static ANSWERS: LazyLock<Mutex<Answers>> = LazyLock::new(Mutex::default);
    let answer = ANSWERS.lock().expect("nobody panics with it").entry(path.to_owned()).or_default().clone();
    answer.get_or_init(|| Arc::new(judged(&exported(blueprint)))).clone()
}

/// Every port at which anything can change.
fn edges(blueprint: &Blueprint, found: &Found) -> Vec<u16> {
    let links = blueprint.links.iter().map(|link| link.ports);
    let published = blueprint.publishes.iter().map(|publish| Ports::one(publish.container_port));
    let said = links.chain(published).flat_map(|ports| [ports.min, ports.max]);
    let found = found.values().flat_map(|allowed| allowed.ports.values().flatten());
    let mut ports = std::collections::BTreeSet::from([1, 22, 65535]);
    for port in said.chain(found.flat_map(|(min, max)| [*min, *max])) {
        ports.extend([port.saturating_sub(1).max(1), port, port.saturating_add(1)]);
    }
    ports.into_iter().collect()
}

/// What an address outside may do, or be done to: the judge speaks of ranges.
fn outside<'f>(found: &'f Found, pod: &str, address: IpAddr, inwards: bool) -> Vec<&'f Allowed> {
    let covers = |range: &str| {
        let (Some((min, max)), false) = (range.split_once('-'), range.contains('/')) else { return false };
        match (min.parse::<IpAddr>(), max.parse::<IpAddr>()) {
            (Ok(min), Ok(max)) => min.is_ipv4() == address.is_ipv4() && min <= address && address <= max,
            _ => false,
        }
    };
    found
        .iter()
        .filter(|((from, to), _)| if inwards { to == pod && covers(from) } else { from == pod && covers(to) })
        .map(|(_, allowed)| allowed)
        .collect()
}

const PROTOCOLS: [(Protocol, &str); 2] = [(Protocol::Tcp, "TCP"), (Protocol::Udp, "UDP")];

/// Without a network, so without root: the graph and the judge of manifests, on all ports at which anything changes, and
/// with the world outside.
#[test]
fn manifests_let_through_what_links_do_on_every_port() {
    let (mut compared, mut may) = (0, 0);
    for name in CORPUS {
        let path = corpus().join(name);
        let blueprint = blueprint(&path);
        let found = found(&path, &blueprint);
        let manifests = Manifests::of(&blueprint, &exported(&blueprint), &found);
        let index = Index::new(&blueprint);
        let ports = edges(&blueprint, &found);
        for (from, source) in manifests.pods() {
            for to in manifests.pods().keys().filter(|to| *to != from) {
                let found = manifests.between(from, to).expect("both are pods");
                assert!(!found.everything && !found.ports.contains_key("SCTP"), "{path:?}: {from} -> {to}");
                for port in &ports {
                    for (protocol, word) in PROTOCOLS {
                        let expected = index.allowed(from, to, *port, protocol).is_some();
                        let what = || format!("{name}: {from} -> {to} {port}/{word}");
                        assert_eq!(found.allows(word, *port), expected, "{}", what());
                        compared += 1;
                        may += usize::from(expected);
                    }
                }
            }
            compared += with_the_world(&blueprint, &found, from, source, &ports);
        }
    }
    println!("{compared} questions, {may} of them between pods answered with yes");
    assert!(may > 500 && compared > 10 * may);
}

/// One container and addresses outside, both ways; returns how many questions that were.
fn with_the_world(blueprint: &Blueprint, found: &Found, from: &str, pod: &str, ports: &[u16]) -> usize {
    let mut compared = 0;
    for address in ["8.8.8.8", "2600::1", "10.1.2.3", "fd00::1"] {
        let address: IpAddr = address.parse().expect("an address");
        let public = address.to_string().starts_with(['8', '2']);
        let inwards = outside(found, pod, address, true);
        let outwards = outside(found, pod, address, false);
        for port in ports {
            for (protocol, word) in PROTOCOLS {
                let published = blueprint.publishes.iter().any(|publish| {
                    publish.container_port == *port
                        && publish.protocol == protocol
                        && blueprint.members(&publish.to).contains(&from)
                });
                let what = || format!("{}: {address}, {from} {port}/{word}", blueprint.name);
                assert_eq!(inwards.iter().any(|one| one.allows(word, *port)), published, "{}", what());
                let out = public && allowed_outside(blueprint, from, *port, protocol).is_some();
                assert_eq!(outwards.iter().any(|one| one.allows(word, *port)), out, "{}", what());
                compared += 2;
            }
        }
    }
    compared
}
