//! Routes towards a destination: for every node the distance and the set of equally good next hops (ECMP).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cost_of;
use crate::graph::Topology;
use crate::link::{Hop, Link};
use crate::node::{Node, NodeId};

/// The most nodes of which [`AllRoutes`] keeps every pair: 12 bytes each, 200 MB.
pub const ROUTES_NODES_MAX: usize = 4096;

/// The topology has too many nodes for a table of all pairs; carries how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a table of all pairs of {0} nodes (at most {ROUTES_NODES_MAX}); ask for one destination at a time")]
pub struct TooManyNodes(pub usize);

/// How every node reaches one destination.
#[derive(Debug, Clone)]
pub struct Routes {
    destination: NodeId,
    distances: Vec<Option<u64>>,
    next: Vec<Vec<Hop>>,
}

impl Routes {
    /// Finds them.
    pub fn towards(topology: &Topology, destination: NodeId, cost: impl Fn(&Link) -> Option<u64>) -> Self {
        let distances = distances(topology, destination, None, |_| true, &cost);
        let mut next = vec![Vec::new(); topology.node_bound()];
        for node in topology.nodes().map(Node::id).filter(|node| *node != destination) {
            let Some(distance) = distances[node.index()] else { continue };
            let hops = &mut next[node.index()];
            hops.extend(topology.hops_from(node).filter(|hop| {
                cost_of(topology, *hop, &cost)
                    .zip(distances[hop.node.index()])
                    .is_some_and(|(step, rest)| step.saturating_add(rest) == distance)
            }));
            hops.sort_unstable();
        }
        Self { destination, distances, next }
    }

    /// The node they lead to.
    pub fn destination(&self) -> NodeId {
        self.destination
    }

    /// The cost from a node to the destination; none where there is no way.
    pub fn distance(&self, from: NodeId) -> Option<u64> {
        *self.distances.get(from.index())?
    }

    /// The first steps of all shortest paths from a node, lowest first; none at the destination.
    pub fn next_hops(&self, from: NodeId) -> &[Hop] {
        self.next.get(from.index()).map_or(&[], Vec::as_slice)
    }

    /// The lowest of them: what a router without multipath would take.
    pub fn next_hop(&self, from: NodeId) -> Option<Hop> {
        self.next_hops(from).first().copied()
    }
}

/// Distances from every node to the destination through allowed nodes. With a source, only those of nodes no
/// farther than it are certain.
pub(super) fn distances(
    topology: &Topology,
    destination: NodeId,
    source: Option<NodeId>,
    allowed: impl Fn(NodeId) -> bool,
    cost: &impl Fn(&Link) -> Option<u64>,
) -> Vec<Option<u64>> {
    let mut distances: Vec<Option<u64>> = vec![None; topology.node_bound()];
    let mut waiting = BinaryHeap::new();
    if topology.node(destination).is_some() {
        distances[destination.index()] = Some(0);
        waiting.push(Reverse((0_u64, destination)));
    }
    while let Some(Reverse((distance, node))) = waiting.pop() {
        if distances[node.index()].is_some_and(|known| known < distance) {
            continue;
        }
        if source == Some(node) {
            break;
        }
        for hop in topology.hops_to(node).filter(|hop| allowed(hop.node)) {
            let Some(step) = cost_of(topology, hop, cost) else { continue };
            let candidate = distance.saturating_add(step);
            let known = &mut distances[hop.node.index()];
            if known.is_none_or(|known| candidate < known) {
                *known = Some(candidate);
                waiting.push(Reverse((candidate, hop.node)));
            }
        }
    }
    distances
}

/// The next hop and distance of every pair of nodes.
#[derive(Debug, Clone)]
pub struct AllRoutes {
    bound: usize,
    /// By destination, then source.
    distances: Vec<u64>,
    next: Vec<Option<Hop>>,
}

impl AllRoutes {
    /// Finds them, one destination after the other.
    ///
    /// # Errors
    /// When there are more than [`ROUTES_NODES_MAX`] nodes.
    pub fn of(topology: &Topology, cost: impl Fn(&Link) -> Option<u64>) -> Result<Self, TooManyNodes> {
        let bound = topology.node_bound();
        if bound > ROUTES_NODES_MAX {
            return Err(TooManyNodes(bound));
        }
        let mut all =
            Self { bound, distances: vec![u64::MAX; bound * bound], next: vec![None; bound * bound] };
        for destination in topology.nodes().map(Node::id) {
            let routes = Routes::towards(topology, destination, &cost);
            let row = destination.index() * bound;
            for source in 0..bound {
                all.distances[row + source] = routes.distances[source].unwrap_or(u64::MAX);
                all.next[row + source] = routes.next[source].first().copied();
            }
        }
        Ok(all)
    }

    fn at(&self, from: NodeId, to: NodeId) -> Option<usize> {
        (from.index() < self.bound && to.index() < self.bound).then(|| to.index() * self.bound + from.index())
    }

    /// The first step from one node to another; none where there is no way, or none is needed.
    pub fn next_hop(&self, from: NodeId, to: NodeId) -> Option<Hop> {
        self.next[self.at(from, to)?]
    }

    /// The cost from one node to another; none where there is no way.
    pub fn distance(&self, from: NodeId, to: NodeId) -> Option<u64> {
        Some(self.distances[self.at(from, to)?]).filter(|distance| *distance != u64::MAX)
    }
}
