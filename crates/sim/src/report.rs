//! What the network says of itself: ids, errors, counts.

use std::fmt;

use crate::network::{LINKS_MAX, NODES_MAX};
use crate::packets::NodeId;
use crate::time::Time;

/// Which link, one way, counted from 0 in the order in which they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l{}", self.0)
    }
}

/// Why a network cannot be made so.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// One node more than there may be.
    #[error("more than {NODES_MAX} nodes")]
    TooManyNodes,
    /// One link more than there may be.
    #[error("more than {LINKS_MAX} links")]
    TooManyLinks,
    /// A node that was not added.
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    /// A link that was not added.
    #[error("there is no link {0}")]
    UnknownLink(LinkId),
    /// A route over a link that starts elsewhere.
    #[error("link {link} does not start at {node}")]
    NotThere {
        /// The link.
        link: LinkId,
        /// Where the route is to start.
        node: NodeId,
    },
    /// A share that is none.
    #[error("{what} of {value}: want 0 to 1")]
    BadShare {
        /// Loss or reordering.
        what: &'static str,
        /// The value.
        value: f64,
    },
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The virtual time.
    pub now: Time,
    /// Events so far.
    pub events: u64,
    /// Links crossed by packets so far.
    pub hops: u64,
    /// Packets under way.
    pub under_way: usize,
}

/// What the network as a whole did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkStats {
    /// Events so far.
    pub events: u64,
    /// Links crossed by packets so far.
    pub hops: u64,
    /// Packets that reached their node.
    pub delivered: u64,
    /// Packets for which a node had no route.
    pub unrouted: u64,
    /// Packets that crossed [`HOPS_MAX`](crate::HOPS_MAX) links.
    pub looped: u64,
    /// Packets for which there was no slot ([`PACKETS_MAX`](crate::PACKETS_MAX)).
    pub overflowed: u64,
}
