//! Dijkstra's algorithm from one node.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Path, cost_of};
use crate::graph::Topology;
use crate::link::{Hop, Link};
use crate::node::NodeId;

/// The shortest paths from one node to every other.
#[derive(Debug, Clone)]
pub struct ShortestPaths {
    source: NodeId,
    /// By node index: the distance and the last step (over a link, *from* a node).
    reached: Vec<Option<(u64, Option<Hop>)>>,
}

impl ShortestPaths {
    /// Finds them. Nodes that cannot be reached have none.
    pub fn from(topology: &Topology, source: NodeId, cost: impl Fn(&Link) -> Option<u64>) -> Self {
        let mut reached = vec![None; topology.node_bound()];
        let mut settled = vec![false; topology.node_bound()];
        let mut waiting = BinaryHeap::new();
        if topology.node(source).is_some() {
            reached[source.index()] = Some((0, None));
            waiting.push(Reverse((0_u64, source)));
        }
        while let Some(Reverse((distance, node))) = waiting.pop() {
            if std::mem::replace(&mut settled[node.index()], true) {
                continue;
            }
            for hop in topology.hops_from(node) {
                let Some(step) = cost_of(topology, hop, &cost) else { continue };
                let candidate = (distance.saturating_add(step), Some(Hop { node, link: hop.link }));
                let best = &mut reached[hop.node.index()];
                // Every node before this one on a shortest path is settled earlier, because no step costs 0:
                // the lowest of equally good last steps wins whatever the order of the search.
                let closer = best.is_none_or(|(known, _)| candidate.0 < known);
                if closer {
                    waiting.push(Reverse((candidate.0, hop.node)));
                }
                if !settled[hop.node.index()] && best.is_none_or(|best| candidate < best) {
                    *best = Some(candidate);
                }
            }
        }
        Self { source, reached }
    }

    /// The node the paths start from.
    pub fn source(&self) -> NodeId {
        self.source
    }

    /// The cost of the shortest path to a node; none where it cannot be reached.
    pub fn distance(&self, to: NodeId) -> Option<u64> {
        Some((*self.reached.get(to.index())?)?.0)
    }

    /// The shortest path to a node; of several, the one with the lowest last step, then the one before, ….
    pub fn path(&self, to: NodeId) -> Option<Path> {
        let cost = self.distance(to)?;
        let (mut hops, mut node) = (Vec::new(), to);
        while let Some((_, Some(last))) = self.reached[node.index()] {
            hops.push(Hop { node, link: last.link });
            node = last.node;
        }
        hops.reverse();
        Some(Path { cost, start: self.source, hops })
    }
}
