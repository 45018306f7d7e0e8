//! How many ways there are side by side: maximum flow by Dinic's algorithm, the minimum cut that bounds it, and
//! edge-disjoint paths out of a flow of one unit a link.

use std::collections::{HashMap, VecDeque};

use super::Path;
use crate::graph::Topology;
use crate::link::{Hop, Link, LinkId};
use crate::node::{Node, NodeId};

/// Why there is no cut or set of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// A node has no flow to itself.
    #[error("{0} is both the source and the destination")]
    SameNode(NodeId),
    /// No such node.
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
}

/// What separates two nodes at the lowest cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The sum of the capacities of its links: also the largest flow between the two nodes.
    pub capacity: u64,
    /// The links to cut, by id.
    pub links: Vec<LinkId>,
    /// The nodes left on the source's side, by id.
    pub source_side: Vec<NodeId>,
}

/// The links of the least total capacity whose loss leaves no way from `from` to `to`. Capacities are what the
/// function says, 0 for a link that carries nothing; totals saturate at `u64::MAX`.
///
/// # Errors
/// When the nodes are the same or do not exist.
pub fn min_cut(
    topology: &Topology,
    from: NodeId,
    to: NodeId,
    capacity: impl Fn(&Link) -> u64,
) -> Result<Cut, FlowError> {
    let mut network = Network::new(topology, from, to, &capacity)?;
    let total = network.fill(from.index(), to.index());
    let levels = network.levels(from.index());
    let inside = |node: NodeId| levels[node.index()] != UNREACHED;
    let crosses = |link: &&Link| {
        let (a, b) = (inside(link.from().node), inside(link.to().node));
        (a && !b) || (b && !a && !link.is_directed())
    };
    let links = topology.links().filter(crosses).filter(|link| capacity(link) > 0).map(Link::id).collect();
    let source_side = topology.nodes().map(Node::id).filter(|node| inside(*node)).collect();
    Ok(Cut { capacity: total, links, source_side })
}

/// As many paths as possible of which no two share a link, shortest first; the cost of each is its hop count.
/// `usable` says which links may be taken.
///
/// # Errors
/// When the nodes are the same or do not exist.
pub fn edge_disjoint_paths(
    topology: &Topology,
    from: NodeId,
    to: NodeId,
    usable: impl Fn(&Link) -> bool,
) -> Result<Vec<Path>, FlowError> {
    let mut network = Network::new(topology, from, to, &|link| u64::from(usable(link)))?;
    let count = network.fill(from.index(), to.index());
    let mut carrying = network.carrying();
    let mut paths: Vec<Path> = (0..count).map(|_| follow(&mut carrying, from, to)).collect();
    paths.sort_unstable();
    Ok(paths)
}

/// Takes one path out of the links that carry a unit each, dropping the circles it would make.
fn follow(carrying: &mut HashMap<NodeId, Vec<Hop>>, from: NodeId, to: NodeId) -> Path {
    let mut hops: Vec<Hop> = Vec::new();
    let mut node = from;
    while node != to {
        // What flows into a node flows out of it, so the walk ends at the destination.
        let Some(hop) = carrying.get_mut(&node).and_then(Vec::pop) else { break };
        node = hop.node;
        hops.push(hop);
        let seen = if node == from {
            Some(0)
        } else {
            hops[..hops.len() - 1].iter().position(|earlier| earlier.node == node).map(|at| at + 1)
        };
        if let Some(keep) = seen {
            hops.truncate(keep);
        }
    }
    Path { cost: hops.len() as u64, start: from, hops }
}

/// How many links must fail before the topology can fall apart: the least cut between any two nodes, taking
/// every link as carrying both ways. 0 for fewer than two nodes.
pub fn edge_connectivity(topology: &Topology) -> u64 {
    let Some(first) = topology.nodes().next().map(Node::id) else { return 0 };
    let mut both_ways = Network::both_ways(topology);
    let empty = both_ways.clone();
    let others = topology.nodes().skip(1).map(Node::id);
    let least = others.map(|other| {
        both_ways.clone_from(&empty);
        both_ways.fill(first.index(), other.index())
    });
    least.min().unwrap_or(0)
}

const UNREACHED: u32 = u32::MAX;

/// An arc and what more it can take. The arc of index `i ^ 1` is the same link the other way.
#[derive(Debug, Clone)]
struct Arc {
    to: usize,
    link: LinkId,
    capacity: u64,
    room: u64,
}

#[derive(Debug, Clone)]
struct Network {
    arcs: Vec<Arc>,
    /// By node: the arcs that leave it.
    out: Vec<Vec<usize>>,
}

impl Network {
    fn new(
        topology: &Topology,
        from: NodeId,
        to: NodeId,
        capacity: &impl Fn(&Link) -> u64,
    ) -> Result<Self, FlowError> {
        if from == to {
            return Err(FlowError::SameNode(from));
        }
        if let Some(id) = [from, to].into_iter().find(|id| topology.node(*id).is_none()) {
            return Err(FlowError::UnknownNode(id));
        }
        let mut network = Self { arcs: Vec::new(), out: vec![Vec::new(); topology.node_bound()] };
        for link in topology.links() {
            let there = capacity(link);
            network.add(link, there, if link.is_directed() { 0 } else { there });
        }
        Ok(network)
    }

    fn both_ways(topology: &Topology) -> Self {
        let mut network = Self { arcs: Vec::new(), out: vec![Vec::new(); topology.node_bound()] };
        topology.links().for_each(|link| network.add(link, 1, 1));
        network
    }

    fn add(&mut self, link: &Link, there: u64, back: u64) {
        let (from, to) = (link.from().node.index(), link.to().node.index());
        for (start, to, capacity) in [(from, to, there), (to, from, back)] {
            self.out[start].push(self.arcs.len());
            self.arcs.push(Arc { to, link: link.id(), capacity, room: capacity });
        }
    }

    /// Steps from the source over arcs that have room.
    fn levels(&self, source: usize) -> Vec<u32> {
        let mut levels = vec![UNREACHED; self.out.len()];
        levels[source] = 0;
        let mut waiting = VecDeque::from([source]);
        while let Some(node) = waiting.pop_front() {
            for arc in self.out[node].iter().map(|index| &self.arcs[*index]) {
                if arc.room > 0 && levels[arc.to] == UNREACHED {
                    levels[arc.to] = levels[node] + 1;
                    waiting.push_back(arc.to);
                }
            }
        }
        levels
    }

    /// Sends as much as possible; returns how much.
    fn fill(&mut self, source: usize, sink: usize) -> u64 {
        let mut total: u64 = 0;
        loop {
            let levels = self.levels(source);
            if levels[sink] == UNREACHED || total == u64::MAX {
                return total;
            }
            let mut next = vec![0; self.out.len()];
            loop {
                let sent = self.augment(source, sink, &levels, &mut next);
                if sent == 0 {
                    break;
                }
                total = total.saturating_add(sent);
            }
        }
    }

    /// Sends along one path of rising level, without recursion; `next` remembers which arcs lead nowhere.
    fn augment(&mut self, source: usize, sink: usize, levels: &[u32], next: &mut [usize]) -> u64 {
        let mut path: Vec<usize> = Vec::new();
        let mut node = source;
        while node != sink {
            if let Some(index) = self.out[node].get(next[node]).copied() {
                let arc = &self.arcs[index];
                if arc.room > 0 && levels[arc.to] == levels[node] + 1 {
                    path.push(index);
                    node = arc.to;
                } else {
                    next[node] += 1;
                }
            } else {
                // A dead end: go back one arc and never take it again in this phase.
                let Some(index) = path.pop() else { return 0 };
                node = self.arcs[index ^ 1].to;
                next[node] += 1;
            }
        }
        let sent = path.iter().map(|index| self.arcs[*index].room).min().unwrap_or(0);
        for index in path {
            self.arcs[index].room -= sent;
            // May pass u64::MAX only for links that no sum of capacities could fill.
            self.arcs[index ^ 1].room = self.arcs[index ^ 1].room.saturating_add(sent);
        }
        sent
    }

    /// The steps that carry something, by node, in descending order of hop, so that the lowest is popped first.
    fn carrying(&self) -> HashMap<NodeId, Vec<Hop>> {
        let mut carrying: HashMap<NodeId, Vec<Hop>> = HashMap::new();
        for (index, arc) in self.arcs.iter().enumerate().filter(|(_, arc)| arc.room < arc.capacity) {
            let from = NodeId::at(self.arcs[index ^ 1].to);
            carrying.entry(from).or_default().push(Hop { node: NodeId::at(arc.to), link: arc.link });
        }
        carrying.values_mut().for_each(|hops| hops.sort_unstable_by(|a, b| b.cmp(a)));
        carrying
    }
}
