//! The map that the control plane hands out: who is at which port, what a link costs, and how far it is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use topology::{Link, LinkId, Node, Topology};

/// The most links of a map: a scout names one in 16 bits.
pub const LINKS_MAX: usize = 1 << 16;
/// The highest cost of a link, so that no sum over all links overflows; higher ones count as this.
pub const COST_MAX: u64 = 1 << 15;
/// The distance of what cannot be reached.
pub const FAR: u32 = u32::MAX;

/// Why a topology is no map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Links are reversed, so they carry both ways.
    #[error(
        "the link between `{0}` and `{1}` carries one way only; Data-Driven Connectivity turns links round"
    )]
    Directed(String, String),
    /// Too many links.
    #[error("{0} links (at most {LINKS_MAX})")]
    TooManyLinks(usize),
    /// Nowhere to go.
    #[error("{0} nodes; a packet needs two")]
    TooFewNodes(usize),
}

/// One end of a link, as the node at that end sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The node at the other end.
    pub node: u32,
    /// Its port of this link.
    pub far: u16,
    /// The link.
    pub link: u16,
    /// What it costs, at least 1.
    pub cost: u32,
}

/// Nodes and links by small numbers, counted from 0 in the order of the topology. Links from a node to itself are left out.
#[derive(Debug, Clone)]
pub struct Map {
    names: Vec<String>,
    ports: Vec<Vec<Port>>,
    /// By link: node and port of both ends.
    links: Vec<[(u32, u16); 2]>,
    ids: Vec<LinkId>,
}

impl Map {
    /// Takes a topology, with a cost for its links; a link without one is left out.
    ///
    /// # Errors
    /// When a link is directed, there are too many links, or fewer than two nodes.
    pub fn new(topology: &Topology, cost: impl Fn(&Link) -> Option<u64>) -> Result<Self, MapError> {
        let mut number = vec![0; topology.node_bound()];
        let mut names = Vec::new();
        for node in topology.nodes() {
            number[node.id().index()] = names.len() as u32;
            names.push(node.name().to_owned());
        }
        if names.len() < 2 {
            return Err(MapError::TooFewNodes(names.len()));
        }
        if topology.link_count() > LINKS_MAX {
            return Err(MapError::TooManyLinks(topology.link_count()));
        }
        let mut map =
            Self { ports: vec![Vec::new(); names.len()], names, links: Vec::new(), ids: Vec::new() };
        for link in topology.links().filter(|link| !link.is_loop()) {
            let (from, to) = (link.from().node, link.to().node);
            if link.is_directed() {
                let name = |id| topology.node(id).map_or("?", Node::name).to_owned();
                return Err(MapError::Directed(name(from), name(to)));
            }
            if let Some(cost) = cost(link) {
                let cost = cost.clamp(1, COST_MAX) as u32;
                map.join(number[from.index()], number[to.index()], cost);
                map.ids.push(link.id());
            }
        }
        Ok(map)
    }

    fn join(&mut self, a: u32, b: u32, cost: u32) {
        let link = self.links.len() as u16;
        let port = |map: &Self, node: u32| map.ports[node as usize].len() as u16;
        let (at_a, at_b) = (port(self, a), port(self, b));
        self.ports[a as usize].push(Port { node: b, far: at_b, link, cost });
        self.ports[b as usize].push(Port { node: a, far: at_a, link, cost });
        self.links.push([(a, at_a), (b, at_b)]);
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.names.len()
    }

    /// How many links there are.
    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    /// What a node is called.
    pub fn name(&self, node: usize) -> &str {
        &self.names[node]
    }

    /// The node of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The ports of a node.
    pub fn ports(&self, node: usize) -> &[Port] {
        &self.ports[node]
    }

    /// Node and port at both ends of a link.
    pub fn ends(&self, link: usize) -> [(u32, u16); 2] {
        self.links[link]
    }

    /// What the topology calls a link.
    pub fn id(&self, link: usize) -> LinkId {
        self.ids[link]
    }

    /// The cost from every node to one, over the links that `live` lets pass; [`FAR`] where there is no way.
    pub fn distances(&self, to: usize, live: impl Fn(u16) -> bool) -> Vec<u32> {
        let mut distances = vec![FAR; self.node_count()];
        distances[to] = 0;
        let mut waiting = BinaryHeap::from([Reverse((0, to as u32))]);
        while let Some(Reverse((distance, node))) = waiting.pop() {
            if distance > distances[node as usize] {
                continue;
            }
            for port in self.ports[node as usize].iter().filter(|port| live(port.link)) {
                let candidate = distance + port.cost;
                if candidate < distances[port.node as usize] {
                    distances[port.node as usize] = candidate;
                    waiting.push(Reverse((candidate, port.node)));
                }
            }
        }
        distances
    }
}
