//! Which links are used most.

use std::cmp::Reverse;

use super::Routes;
use crate::graph::Topology;
use crate::link::{Link, LinkId};
use crate::node::{Node, NodeId};

/// How many pairs of nodes use a link: of every node's lowest shortest path to each of the destinations, those that cross it.
/// By link index, so of [`Topology::link_bound`] entries.
pub fn usage(
    topology: &Topology,
    destinations: impl IntoIterator<Item = NodeId>,
    cost: impl Fn(&Link) -> Option<u64>,
) -> Vec<u64> {
    let mut used = vec![0; topology.link_bound()];
    for destination in destinations {
        let routes = Routes::towards(topology, destination, &cost);
        let distance = |node: NodeId| routes.distance(node).map(|distance| (distance, node));
        let mut farthest: Vec<_> = topology.nodes().map(Node::id).filter_map(distance).collect();
        farthest.sort_unstable_by_key(|pair| Reverse(*pair));
        // Every node passes on what comes through it, and its own.
        let mut through = vec![1_u64; topology.node_bound()];
        for (_, node) in farthest {
            if let Some(hop) = routes.next_hop(node) {
                used[hop.link.index()] += through[node.index()];
                through[hop.node.index()] += through[node.index()];
            }
        }
    }
    used
}

/// The `most` links that are used most between all pairs of nodes, the busiest first; of equals, the lower id first.
pub fn most_used(topology: &Topology, most: usize, cost: impl Fn(&Link) -> Option<u64>) -> Vec<LinkId> {
    let used = usage(topology, topology.nodes().map(Node::id), cost);
    let mut links: Vec<LinkId> = topology.links().map(Link::id).collect();
    links.sort_by_key(|link| (Reverse(used[link.index()]), *link));
    links.truncate(most);
    links
}
