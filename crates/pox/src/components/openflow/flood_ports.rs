//! Which ports floods may leave by: those of a tree, and those with no other switch behind them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::discovery::{Discovery, Link};
use crate::{Connection, Core, Dpid, PortNo, PortReason, PortStatus, is_live};

/// A port of a switch.
pub(crate) type Place = (Dpid, PortNo);

/// What the status of a port comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing that matters here.
    Nothing,
    /// Nothing leaves by it any more.
    Gone,
    /// It is live now; who knows what is behind it.
    New,
}

/// The ports of all switches, as far as floods are concerned.
#[derive(Debug)]
pub(crate) struct FloodPorts {
    /// How long a port must be without another switch to be a host's; a quarter of the time in which every port is probed, where
    /// nobody has said.
    hold_down: Option<Duration>,
    /// Since when each port is live.
    since: BTreeMap<Place, Duration>,
    /// Ports with another switch behind them, or that had one since they came up. One whose link is gone though it has kept its
    /// carrier may be joined to that switch again at any moment: it is no host's.
    linked: BTreeSet<Place>,
    /// The ports of the present tree.
    tree: BTreeSet<Place>,
}

impl FloodPorts {
    pub(crate) fn new(hold_down: Option<Duration>) -> Self {
        Self { hold_down, since: BTreeMap::new(), linked: BTreeSet::new(), tree: BTreeSet::new() }
    }

    pub(crate) fn hold_down(&self, discovery: &Discovery) -> Duration {
        self.hold_down.unwrap_or(discovery.cycle() / 4)
    }

    pub(crate) fn connected(&mut self, connection: &Connection, now: Duration) {
        let datapath = connection.datapath();
        self.since.extend(connection.live_ports().map(|port| ((datapath, port.number), now)));
    }

    pub(crate) fn disconnected(&mut self, datapath: Dpid) {
        self.since.retain(|(other, _), _| *other != datapath);
        self.linked.retain(|(other, _)| *other != datapath);
    }

    pub(crate) fn port_status(&mut self, event: &PortStatus, now: Duration) -> Seen {
        let place = (event.datapath, event.port.number);
        if event.port.number >= PortNo::MAX {
            return Seen::Nothing;
        }
        if event.reason == PortReason::Delete || !is_live(&event.port) {
            self.since.remove(&place);
            self.linked.remove(&place);
            Seen::Gone
        } else if let Entry::Vacant(since) = self.since.entry(place) {
            since.insert(now);
            Seen::New
        } else {
            Seen::Nothing
        }
    }

    /// Whether the tree's links leave by a port.
    pub(crate) fn is_tree_port(&self, place: Place) -> bool {
        self.tree.contains(&place)
    }

    /// Floods follow that tree of the links there are.
    pub(crate) fn set_tree(&mut self, tree: BTreeSet<Place>, discovery: &Discovery) {
        let ends = discovery.links().flat_map(|link| [link.from, link.to]);
        self.linked.extend(ends.filter(|place| self.since.contains_key(place)));
        self.tree = tree;
    }

    /// Whether floods may leave by a port.
    pub(crate) fn are_open(&self, place: Place, discovery: &Discovery, now: Duration) -> bool {
        let Some(since) = self.since.get(&place) else { return false };
        if discovery.is_edge_port(place.0, place.1) {
            !self.linked.contains(&place) && now >= *since + self.hold_down(discovery)
        } else {
            self.is_tree_port(place)
        }
    }
}

/// The switches that are connected, and the links that carry both ways, whoever they are between.
pub(crate) fn network(core: &Core, discovery: &Discovery) -> (BTreeSet<Dpid>, Vec<Link>) {
    (core.connections().map(Connection::datapath).collect(), discovery.two_way_links().collect())
}

/// The ports of a tree of least hops over links that carry both ways, from the switch of the lowest id; one tree for each part
/// that hangs together.
pub(crate) fn least_hops(switches: &BTreeSet<Dpid>, links: &[Link]) -> BTreeSet<Place> {
    let mut neighbours: BTreeMap<Dpid, Vec<Link>> = BTreeMap::new();
    for link in links.iter().flat_map(|link| [*link, link.flipped()]) {
        neighbours.entry(link.from.0).or_default().push(link);
    }
    let (mut seen, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for &root in switches {
        let mut waiting = VecDeque::from([root]);
        if !seen.insert(root) {
            continue;
        }
        while let Some(switch) = waiting.pop_front() {
            let links = neighbours.get(&switch).map(Vec::as_slice).unwrap_or_default();
            // In order, so that the same links always give the same tree.
            let mut links: Vec<&Link> = links.iter().filter(|link| switches.contains(&link.to.0)).collect();
            links.sort_unstable_by_key(|link| (link.to, link.from));
            for link in links {
                if seen.insert(link.to.0) {
                    ports.extend([link.from, link.to]);
                    waiting.push_back(link.to.0);
                }
            }
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(from: (u64, u32), to: (u64, u32)) -> Link {
        Link { from: (Dpid(from.0), PortNo(from.1)), to: (Dpid(to.0), PortNo(to.1)) }
    }

    #[test]
    fn a_ring_and_a_double_link_are_cut_once() {
        let links = [
            link((1, 1), (2, 1)),
            link((1, 2), (3, 1)),
            link((2, 2), (3, 2)),
            link((1, 3), (2, 3)),
            link((7, 1), (8, 1)),
        ];
        let switches = [1, 2, 3, 7, 8].map(Dpid).into();
        let ports: Vec<_> =
            least_hops(&switches, &links).into_iter().map(|(id, port)| (id.0, port.0)).collect();
        assert_eq!(ports, [(1, 1), (1, 2), (2, 1), (3, 1), (7, 1), (8, 1)]);
    }

    #[test]
    fn a_switch_that_is_not_connected_is_not_part_of_it() {
        let links = [link((1, 1), (2, 1)), link((2, 2), (3, 1))];
        let ports = least_hops(&[1, 3].map(Dpid).into(), &links);
        assert!(ports.is_empty(), "{ports:?}");
    }
}
