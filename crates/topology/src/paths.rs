//! Ways through a topology: shortest paths, routes, alternatives, and how many there are side by side.
//!
//! What a link costs is a function from the link to its cost, or none where the link must not be used, so that
//! the same algorithms serve routing weights ([`by_weight`]), hop counts ([`by_hops`]), delays ([`by_delay`])
//! and failed links (`|link| (!failed.contains(&link.id())).then_some(1)`). A cost of 0 counts as 1: every step
//! gets closer, so no choice among equals can go round in a circle.
//!
//! Ties are broken by the lower node id, then the lower link id.

mod flow;
mod routes;
mod shortest;
mod usage;
mod yen;

pub use flow::{Cut, FlowError, edge_connectivity, edge_disjoint_paths, min_cut};
pub use routes::{AllRoutes, ROUTES_NODES_MAX, Routes, TooManyNodes};
pub use shortest::ShortestPaths;
pub use usage::{most_used, usage};
pub use yen::{PATHS_MAX, k_shortest};

use crate::graph::Topology;
use crate::link::{Hop, Link};
use crate::node::NodeId;

/// A way from a node to another that crosses no node twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The sum of the costs of its links.
    pub cost: u64,
    /// Where it starts.
    pub start: NodeId,
    /// Its steps; none where it ends where it starts.
    pub hops: Vec<Hop>,
}

impl Path {
    /// Where it ends.
    pub fn end(&self) -> NodeId {
        self.hops.last().map_or(self.start, |hop| hop.node)
    }

    /// Its nodes, both ends included.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        std::iter::once(self.start).chain(self.hops.iter().map(|hop| hop.node))
    }
}

/// A link costs its weight.
pub fn by_weight(link: &Link) -> Option<u64> {
    Some(link.weight.get().into())
}

/// A link costs 1.
pub fn by_hops(_: &Link) -> Option<u64> {
    Some(1)
}

/// A link costs its delay in nanoseconds, at least 1.
pub fn by_delay(link: &Link) -> Option<u64> {
    Some(link.delay.nanos())
}

/// The cost of one link, at least 1, so that a step always gets closer.
fn cost_of(topology: &Topology, hop: Hop, cost: &impl Fn(&Link) -> Option<u64>) -> Option<u64> {
    cost(topology.link(hop.link)?).map(|cost| cost.max(1))
}
