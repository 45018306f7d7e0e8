//! What the fabric keeps of endpoints and rules, and what becomes of a packet.

use super::answer::Notice;
use super::header::Headers;
use super::report::DropReason;
use super::tables::NONE;

/// What an endpoint has beside its place in the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointState {
    pub(crate) up: bool,
    /// It has said that it is not ready: services give it nothing.
    pub(crate) unready: bool,
    /// Whether it was attached when the grace after a start began, and is since: only then it may have connections from
    /// before.
    pub(crate) from_before: bool,
    pub(crate) sent_packets: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_packets: u64,
    pub(crate) received_bytes: u64,
    pub(crate) dropped_packets: u64,
    /// When its share of ICMP errors is whole again (the "theoretical arrival time" of a leaky bucket).
    pub(crate) errors_until_ns: u64,
}

/// What passed because of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuleState {
    pub(crate) flows: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// The rule's chain of network functions, here because each packet comes by anyway.
    pub(crate) chain: u32,
}

impl Default for RuleState {
    fn default() -> Self {
        Self { flows: 0, packets: 0, bytes: 0, chain: NONE }
    }
}

/// What passed an instance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlotState {
    pub(crate) packets: [u64; 2],
    pub(crate) bytes: [u64; 2],
    pub(crate) left: [u64; 2],
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    Endpoint(u32),
    /// To a gate of the network function that has a slot.
    Function {
        slot: u16,
        gate: usize,
    },
}

/// A packet that goes no further, and what its sender is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) reason: DropReason,
    pub(crate) notice: Option<(Notice, Headers)>,
    /// Whether the pair of addresses is listed among the denied.
    pub(crate) listed: bool,
}

impl Stop {
    pub(crate) fn telling(reason: DropReason, notice: Notice, headers: &Headers) -> Self {
        Self { reason, notice: Some((notice, *headers)), listed: false }
    }

    /// A flow that policy denies.
    pub(crate) fn denied(reason: DropReason, headers: &Headers) -> Self {
        Self { reason, notice: Some((Notice::Prohibited, *headers)), listed: true }
    }
}

impl From<DropReason> for Stop {
    fn from(reason: DropReason) -> Self {
        Self { reason, notice: None, listed: false }
    }
}
