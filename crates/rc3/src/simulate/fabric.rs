//! A topology as a simulated network.

use std::collections::BTreeSet;

use sim::{LinkSpec as SimLink, Network, NetworkError, NodeId, Rate, Time};
use topology::paths::{Routes, by_delay, by_hops};
use topology::{Capacity, Delay, LinkSpec, Node, NodeKind, NodeSpec, Topology};

use crate::segment::Segment;

/// Why a topology cannot be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FabricError {
    /// It has too many nodes or links, or a link is not what it should be.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A link says nothing of its rate.
    #[error("the link between {0} and {1} has no capacity")]
    NoCapacity(String, String),
    /// Hosts that cannot reach each other.
    #[error("there is no way from {0} to {1}")]
    Disconnected(String, String),
    /// Nobody sends or receives.
    #[error("{0} hosts: want at least 2")]
    TooFewHosts(usize),
    /// A host is no leaf: its traffic would have no one NIC.
    #[error("{name} is a host with {links} links: want 1")]
    NotALeaf {
        /// The host.
        name: String,
        /// Its links.
        links: usize,
    },
}

/// What every run on a topology shares: links, routes, hosts.
#[derive(Debug, Clone)]
pub struct Fabric {
    nodes: usize,
    links: Vec<(NodeId, NodeId, Rate, Time)>,
    /// Where, towards where, by which link.
    routes: Vec<(u32, u32, u32)>,
    /// Hosts and the router each hangs on.
    hosts: Vec<(NodeId, NodeId)>,
    names: Vec<String>,
    access: u64,
}

impl Fabric {
    /// From a topology. Hosts are its nodes of that kind, or, where there are none, its nodes with one link. Routes are those of the least
    /// delay, ties going to the lower node; where no link has a delay, of the fewest links.
    ///
    /// # Errors
    /// A link without a capacity, hosts that cannot reach each other, hosts with several links, fewer than two hosts, too many
    /// nodes.
    pub fn new(topology: &Topology) -> Result<Self, FabricError> {
        let name = |id| topology.node(id).map_or("?", Node::name).to_owned();
        let degree = |node: &&Node| topology.links_at(node.id()).count();
        let is_host = |node: &&Node| node.kind == NodeKind::Host;
        let mut hosts: Vec<&Node> = topology.nodes().filter(is_host).collect();
        if hosts.is_empty() {
            hosts = topology.nodes().filter(|node| degree(node) == 1).collect();
        }
        if hosts.len() < 2 {
            return Err(FabricError::TooFewHosts(hosts.len()));
        }
        let mut links = Vec::with_capacity(2 * topology.link_count());
        let mut of_link = vec![[u32::MAX; 2]; topology.link_bound()];
        for link in topology.links() {
            let (a, b) = (link.from().node, link.to().node);
            let capacity = link.capacity.filter(|capacity| capacity.bits_per_second() > 0);
            let capacity = capacity.ok_or_else(|| FabricError::NoCapacity(name(a), name(b)))?;
            let rate = Rate::from_bits_per_second(capacity.bits_per_second());
            let delay = Time::from_nanos(link.delay.nanos());
            let [a, b] = [a, b].map(|node| NodeId(node.index() as u32));
            of_link[link.id().index()][0] = links.len() as u32;
            links.push((a, b, rate, delay));
            if !link.is_directed() {
                of_link[link.id().index()][1] = links.len() as u32;
                links.push((b, a, rate, delay));
            }
        }
        let delays = topology.links().any(|link| link.delay > Delay::ZERO);
        let (mut routes, mut ends, mut access) = (Vec::new(), Vec::new(), 0);
        for host in &hosts {
            if degree(host) != 1 {
                return Err(FabricError::NotALeaf { name: host.name().to_owned(), links: degree(host) });
            }
            let cost = |link: &topology::Link| if delays { by_delay(link) } else { by_hops(link) };
            let towards = Routes::towards(topology, host.id(), cost);
            for node in topology.nodes().filter(|node| node.id() != host.id()) {
                let Some(hop) = towards.next_hop(node.id()) else {
                    if hosts.iter().any(|host| host.id() == node.id()) {
                        return Err(FabricError::Disconnected(
                            node.name().to_owned(),
                            host.name().to_owned(),
                        ));
                    }
                    continue;
                };
                let link = topology.link(hop.link).is_some_and(|link| link.from().node == node.id());
                let link = of_link[hop.link.index()][usize::from(!link)];
                routes.push((node.id().index() as u32, host.id().index() as u32, link));
            }
            let link = topology.links_at(host.id()).next();
            let router = link.and_then(|link| link.opposite(host.id())).map_or(host.id(), |end| end.node);
            ends.push((NodeId(host.id().index() as u32), NodeId(router.index() as u32)));
            access += link.and_then(|link| link.capacity).map_or(0, Capacity::bits_per_second);
        }
        let mut names = vec![String::new(); topology.node_bound()];
        topology.nodes().for_each(|node| node.name().clone_into(&mut names[node.id().index()]));
        let fabric = Self { nodes: topology.node_bound(), links, routes, hosts: ends, names, access };
        fabric.network(0, |spec| spec)?; // whether it can be
        Ok(fabric)
    }

    /// Hosts and the router each hangs on.
    pub fn hosts(&self) -> &[(NodeId, NodeId)] {
        &self.hosts
    }

    /// The host of a name.
    pub fn host(&self, name: &str) -> Option<NodeId> {
        self.hosts.iter().map(|host| host.0).find(|host| self.names[host.0 as usize] == name)
    }

    /// The name of a node.
    pub fn name(&self, node: NodeId) -> &str {
        self.names.get(node.0 as usize).map_or("?", String::as_str)
    }

    /// What all hosts can send together.
    pub fn access(&self) -> Rate {
        Rate::from_bits_per_second(self.access)
    }

    /// How many links there are, one way each.
    pub fn link_count(&self) -> u32 {
        self.links.len() as u32
    }

    /// The round trip of a few bytes between two hosts, without the time to send them; none where there is no way.
    pub fn round_trip(&self, from: NodeId, to: NodeId) -> Option<Time> {
        Some(self.one_way(from, to)? + self.one_way(to, from)?)
    }

    fn one_way(&self, from: NodeId, to: NodeId) -> Option<Time> {
        let (mut at, mut sum, mut seen) = (from, Time::ZERO, BTreeSet::new());
        while at != to {
            if !seen.insert(at) {
                return None;
            }
            let route = self.routes.iter().find(|route| (route.0, route.1) == (at.0, to.0))?;
            let (_, end, _, delay) = self.links[route.2 as usize];
            (at, sum) = (end, sum + delay);
        }
        Some(sum)
    }

    /// A fresh network; `change` has the last word on every link.
    ///
    /// # Errors
    /// What `change` makes of a link is not one.
    pub fn network(
        &self,
        seed: u64,
        change: impl Fn(SimLink) -> SimLink,
    ) -> Result<Network<Segment>, NetworkError> {
        let mut net = Network::new(seed);
        for _ in 0..self.nodes {
            net.add_node()?;
        }
        for &(from, to, rate, delay) in &self.links {
            net.add_link(from, to, change(SimLink::new(rate, delay)))?;
        }
        for &(at, to, link) in &self.routes {
            net.set_route(NodeId(at), NodeId(to), sim::LinkId(link))?;
        }
        Ok(net)
    }
}

/// Core links of [`internet2`]: routers, and how many of the pairs of routers it is sized for.
const CORE: [(u32, u32, u64); 16] = [
    (0, 1, 5_556),
    (0, 2, 7_778),
    (0, 3, 14_445),
    (1, 2, 3_334),
    (2, 4, 3_334),
    (1, 5, 5_556),
    (4, 5, 1_112),
    (3, 5, 3_334),
    (3, 4, 5_556),
    (5, 6, 4_445),
    (3, 6, 10_000),
    (3, 7, 14_445),
    (7, 8, 1_112),
    (6, 8, 8_889),
    (8, 9, 2_223),
    (7, 9, 7_778),
];

/// The network of the RC3 paper's baseline, after Internet2's backbone: 10 routers `0` to `9` with 16 links of 10 ms between them, and on
/// each router 10 hosts at 1 Gbit/s and 1 ms; host `h` of `10` to `109` hangs on router `h mod 10`. Core links are as fast as the
/// traffic of all hosts at full speed, evenly over the other routers, needs them to be.
pub fn internet2() -> Topology {
    let mut topology = Topology::new();
    topology.name = "internet2".into();
    let mut nodes = Vec::new();
    for number in 0..110 {
        let kind = if number < 10 { NodeKind::Switch } else { NodeKind::Host };
        let node = topology.add_node(NodeSpec::new(kind, number.to_string()));
        nodes.push(node.expect("names are unique, and 110 nodes few"));
    }
    let mut join = |a: u32, b: u32, mbit: u64, ms: u64| {
        let spec = LinkSpec::default().capacity(Capacity::from_mbit(mbit)).delay(Delay::from_millis(ms));
        topology
            .add_link(nodes[a as usize], nodes[b as usize], spec)
            .expect("both are there, and 116 links few");
    };
    CORE.iter().for_each(|&(a, b, mbit)| join(a, b, mbit, 10));
    for host in 10..110 {
        join(host % 10, host, 1_000, 1);
    }
    topology
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_the_papers() {
        let topology = internet2();
        assert_eq!((topology.node_count(), topology.link_count()), (110, 116));
        let fabric = Fabric::new(&topology).unwrap();
        assert_eq!((fabric.hosts().len(), fabric.access()), (100, Rate::from_mbit(100_000)));
        let mut trips = Vec::new();
        for (from, one) in fabric.hosts().iter().filter(|host| host.0.0 < 20) {
            for (to, other) in fabric.hosts().iter().filter(|host| host.0.0 < 20 && host.1 != *one) {
                assert_ne!(one, other);
                trips.push(fabric.round_trip(*from, *to).unwrap().secs_f64());
            }
        }
        let mean = trips.iter().sum::<f64>() / trips.len() as f64;
        assert!((mean * 1e3 - 43.6).abs() < 0.1, "{mean} s between hosts on different routers");
    }

    /// Each core link is sized for the pairs of routers whose packets cross it: every router sends 10 Gbit/s, to each other one ninth.
    #[test]
    fn core_links_are_as_fast_as_what_crosses_them() {
        let fabric = Fabric::new(&internet2()).unwrap();
        let mut crossed = vec![0_u32; fabric.links.len()];
        for (from, one) in fabric.hosts().iter().filter(|host| host.0.0 < 20) {
            for (to, _) in fabric.hosts().iter().filter(|host| host.0.0 < 20 && host.1 != *one) {
                let mut at = *from;
                while at != *to {
                    let route =
                        fabric.routes.iter().find(|route| (route.0, route.1) == (at.0, to.0)).unwrap();
                    crossed[route.2 as usize] += 1;
                    at = fabric.links[route.2 as usize].1;
                }
            }
        }
        for (link, pairs) in fabric.links.iter().zip(crossed).take(32) {
            let mbit = u64::from(pairs) * 10_000 / 9 + 1; // rounded up: no multiple of 9 but 9
            let (from, to, rate, _) = *link;
            let wanted = Rate::from_mbit(if pairs == 9 { 10_000 } else { mbit });
            assert_eq!(rate, wanted, "{from} to {to}, crossed by {pairs} pairs");
        }
    }

    #[test]
    fn what_cannot_be_simulated_is_refused() {
        let fault =
            |text: &str| Fabric::new(&topology::load::edge_list(text).unwrap()).unwrap_err().to_string();
        assert_eq!(fault("a b"), "the link between a and b has no capacity");
        assert_eq!(fault("a b 10 1\nc d 10 1"), "there is no way from c to a");
        assert_eq!(fault("a b 10 1\nb c 10 1\nc a 10 1"), "0 hosts: want at least 2");
        let mut topology = internet2();
        let (host, other) = (topology.find("10").unwrap(), topology.find("1").unwrap());
        topology.add_link(host, other, LinkSpec::default().capacity(Capacity::from_mbit(1))).unwrap();
        assert_eq!(Fabric::new(&topology).unwrap_err().to_string(), "10 is a host with 2 links: want 1");
    }
}
