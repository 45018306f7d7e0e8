//! What is asked: whether one party may open a flow to another, on a port, over TCP or UDP.

use std::collections::BTreeSet;
use std::fmt;

use quilt::model::{Blueprint, Party, Ports, Protocol};

/// The source that stands for published ports; the dataplane calls it so.
pub(crate) const EDGE: &str = quilt::compile::EDGE;
/// Ports beside those that links name.
const UNNAMED: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Question<'a> {
    /// A container, or [`EDGE`].
    pub(crate) from: &'a str,
    /// A container or a service.
    pub(crate) to: &'a str,
    pub(crate) port: u16,
    /// TCP or UDP.
    pub(crate) protocol: Protocol,
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}:{}/{}", self.from, self.to, self.port, self.protocol)
    }
}

/// Every pair of parties, on every port that a link or a published port names, in the middle of ranges, and on two
/// that none names where there are two.
pub(crate) fn all(blueprint: &Blueprint) -> Vec<Question<'_>> {
    let ports = ports(blueprint);
    let containers: Vec<&str> = blueprint.containers.iter().map(|one| one.name.as_str()).collect();
    let services = blueprint.services.iter().map(|one| one.name.as_str());
    let destinations: Vec<&str> = containers.iter().copied().chain(services).collect();
    let mut questions = Vec::new();
    // Where nothing is published there is no edge.
    let edge = (!blueprint.publishes.is_empty()).then_some(EDGE);
    for from in containers.iter().copied().chain(edge) {
        for to in destinations.iter().copied().filter(|to| *to != from) {
            for port in &ports {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    questions.push(Question { from, to, port: *port, protocol });
                }
            }
        }
    }
    questions
}

pub(crate) fn ports(blueprint: &Blueprint) -> Vec<u16> {
    let links = blueprint.links.iter().filter(|link| link.to != Party::PublicInternet).map(|link| link.ports);
    let published = blueprint.publishes.iter().map(|publish| Ports::one(publish.container_port));
    let ranges: Vec<Ports> = links.chain(published).collect();
    let middle = |ports: &Ports| ports.min + (ports.max - ports.min) / 2;
    let named: BTreeSet<u16> =
        ranges.iter().flat_map(|ports| [ports.min, middle(ports), ports.max]).collect();
    let beside = named.iter().flat_map(|port| [port.saturating_add(1), port.saturating_sub(1).max(1)]);
    let mut unnamed: Vec<u16> = beside.collect();
    // The first is next to one that is named, the second is far from all.
    unnamed.insert(unnamed.len().min(1), 54_321);
    unnamed.push(22);
    unnamed.retain(|port| !ranges.iter().any(|ports| ports.contains(*port)));
    let unnamed: BTreeSet<u16> = unnamed.into_iter().take(UNNAMED).collect();
    named.into_iter().chain(unnamed).collect()
}
