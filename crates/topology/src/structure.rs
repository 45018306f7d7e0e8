//! How a topology hangs together. Links count as carrying both ways here.

use std::collections::HashMap;

use crate::graph::Topology;
use crate::link::{Hop, Link, LinkId};
use crate::node::{Node, NodeId};

/// The pieces a topology falls into, each sorted by id, the piece with the lowest id first.
pub fn components(topology: &Topology) -> Vec<Vec<NodeId>> {
    let mut seen = vec![false; topology.node_bound()];
    let mut pieces = Vec::new();
    for start in topology.nodes().map(Node::id) {
        if std::mem::replace(&mut seen[start.index()], true) {
            continue;
        }
        let mut piece = vec![start];
        let mut next = 0;
        while let Some(node) = piece.get(next).copied() {
            next += 1;
            for hop in neighbours(topology, node) {
                if !std::mem::replace(&mut seen[hop.node.index()], true) {
                    piece.push(hop.node);
                }
            }
        }
        piece.sort_unstable();
        pieces.push(piece);
    }
    pieces
}

/// Is there a way between any two nodes? True for an empty topology.
pub fn is_connected(topology: &Topology) -> bool {
    components(topology).len() <= 1
}

/// The links whose loss alone cuts something off, by id (Tarjan, 1974). A link with a parallel one is none.
pub fn bridges(topology: &Topology) -> Vec<LinkId> {
    let mut search = BridgeSearch {
        topology,
        entered: vec![None; topology.node_bound()],
        lowest: vec![0; topology.node_bound()],
        clock: 0,
        bridges: Vec::new(),
    };
    for node in topology.nodes() {
        search.visit(node.id());
    }
    search.bridges.sort_unstable();
    search.bridges
}

struct BridgeSearch<'a> {
    topology: &'a Topology,
    /// By node: when the depth-first search came to it.
    entered: Vec<Option<u32>>,
    /// By node: the earliest node that can be reached from below it without the link it was entered by.
    lowest: Vec<u32>,
    clock: u32,
    bridges: Vec<LinkId>,
}

impl BridgeSearch<'_> {
    /// Depth first with a stack of its own: a line of 100,000 nodes must not overflow the thread's.
    fn visit(&mut self, start: NodeId) {
        if self.entered[start.index()].is_some() {
            return;
        }
        let mut stack = vec![self.enter(start, None)];
        while let Some((node, via, hops)) = stack.last_mut() {
            let (node, via) = (*node, *via);
            if let Some(hop) = hops.pop() {
                if Some(hop.link) == via {
                    continue;
                }
                match self.entered[hop.node.index()] {
                    Some(when) => self.lowest[node.index()] = self.lowest[node.index()].min(when),
                    None => stack.push(self.enter(hop.node, Some(hop.link))),
                }
            } else {
                stack.pop();
                let (Some(link), Some((above, ..))) = (via, stack.last()) else { continue };
                let low = self.lowest[node.index()];
                self.lowest[above.index()] = self.lowest[above.index()].min(low);
                if Some(low) == self.entered[node.index()] {
                    self.bridges.push(link);
                }
            }
        }
    }

    fn enter(&mut self, node: NodeId, via: Option<LinkId>) -> (NodeId, Option<LinkId>, Vec<Hop>) {
        self.entered[node.index()] = Some(self.clock);
        self.lowest[node.index()] = self.clock;
        self.clock += 1;
        (node, via, neighbours(self.topology, node).collect())
    }
}

/// The links of a spanning tree of the least total cost, one tree for every component (Kruskal, 1956), by id.
/// Among links of equal cost the lower id wins. A link without a cost is not used.
pub fn spanning_tree(topology: &Topology, cost: impl Fn(&Link) -> Option<u64>) -> Vec<LinkId> {
    let mut links: Vec<(u64, &Link)> =
        topology.links().filter_map(|link| Some((cost(link)?, link))).collect();
    links.sort_by_key(|(cost, link)| (*cost, link.id()));
    let mut joined = petgraph::unionfind::UnionFind::<usize>::new(topology.node_bound());
    let mut tree: Vec<LinkId> = links
        .into_iter()
        .filter(|(_, link)| joined.union(link.from().node.index(), link.to().node.index()))
        .map(|(_, link)| link.id())
        .collect();
    tree.sort_unstable();
    tree
}

/// How many nodes have how many links, by the number of links: the degree distribution.
pub fn degrees(topology: &Topology) -> Vec<(usize, usize)> {
    let mut counts: HashMap<usize, usize> = HashMap::new();
    for node in topology.nodes() {
        *counts.entry(topology.links_at(node.id()).count()).or_default() += 1;
    }
    let mut degrees: Vec<(usize, usize)> = counts.into_iter().collect();
    degrees.sort_unstable();
    degrees
}

/// Every node at the other end of a link, whichever way the link carries.
fn neighbours(topology: &Topology, node: NodeId) -> impl Iterator<Item = Hop> {
    topology
        .links_at(node)
        .filter(|link| !link.is_loop())
        .filter_map(move |link| Some(Hop { node: link.opposite(node)?.node, link: link.id() }))
}
