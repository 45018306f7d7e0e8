//! Packets, as hosts give and get them.

use std::fmt;

/// Most packets that are under way at once; more are dropped and counted.
pub const PACKETS_MAX: usize = 1 << 24;

/// Which node, counted from 0 in the order in which they were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A packet: where it goes, how long it is, and what the caller has it carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<B> {
    /// Where it goes.
    pub to: NodeId,
    /// Its length on the wire, with every header that takes time there.
    pub bytes: u32,
    /// Its priority: 0 goes first. Numbers from [`LEVELS_MAX`](crate::LEVELS_MAX) on count as the last level.
    pub level: u8,
    /// Whether the hosts want to hear when it has left the queue of its first link, be it on the wire or dropped.
    pub tell_departure: bool,
    /// Whose it is: what [`Hosts::departed`](crate::Hosts::departed) is told, traces show and flushing selects by.
    pub flow: u64,
    /// What it carries.
    pub body: B,
}

impl<B> Packet<B> {
    /// A packet of the first level.
    pub fn new(to: NodeId, bytes: u32, flow: u64, body: B) -> Self {
        Self { to, bytes, level: 0, tell_departure: false, flow, body }
    }
}
