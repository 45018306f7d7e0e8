//! What happens to switches. Each event is raised of its connection first, then of [`OPENFLOW`](crate::OPENFLOW).

use openflow::flow;
use openflow::message::{Error, Features, Message, PortReason};
use openflow::multipart::Reply;
use openflow::port::Port;

use super::{ConnectionId, Dpid};
use crate::event::Event;

/// A switch is connected: its features and ports are known, its flow tables are as it was told to keep them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionUp {
    /// The connection.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
}

/// A switch that was up is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionDown {
    /// The connection, which is no more.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
    /// Why.
    pub reason: String,
}

/// A switch said what it is, when it connected or because it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeaturesReply {
    /// The connection.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
    /// What it said.
    pub features: Features,
}

/// A port came, went or changed. [`Connection::ports`](super::Connection::ports) has it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortStatus {
    /// The connection.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
    /// Why it is sent.
    pub reason: PortReason,
    /// The port.
    pub port: Port,
    /// The port as it was, where it was known.
    pub before: Option<Port>,
}

/// A flow entry is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRemoved {
    /// The connection.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
    /// The entry.
    pub flow: flow::FlowRemoved,
}

/// All before that barrier is done. (Whoever asked by [`Core::barrier`](crate::Core::barrier) is told there, and not here.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarrierReply {
    /// The connection.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
    /// The barrier's transaction.
    pub xid: u32,
}

/// A switch refused something. (Whoever asked by [`Core::request`](crate::Core::request) is told there, and not here.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorIn {
    /// The connection.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
    /// Transaction of what it refused.
    pub xid: u32,
    /// Why.
    pub error: Error,
}

/// Statistics or a description that were asked for, all parts in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatisticsReply {
    /// The connection.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
    /// The request's transaction.
    pub xid: u32,
    /// What it says.
    pub reply: Reply,
}

/// The ports that a switch floods to have changed: see [`Core::set_flood`](crate::Core::set_flood). Flow entries that flood by a
/// list of ports are to be written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloodChanged {
    /// The connection.
    pub connection: ConnectionId,
    /// The switch.
    pub datapath: Dpid,
}

/// [`FLOOD_SETTLE`](super::FLOOD_SETTLE) has passed since the last [`FloodChanged`] of any switch: no packet is on its old way any
/// more. What was learned meanwhile may be wrong. Raised of [`OPENFLOW`](crate::OPENFLOW) alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloodSettled;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the switch.
    Received,
    /// To it.
    Sent,
}

/// A message, whatever it is, before any other event it leads to. Made only where somebody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// The connection.
    pub connection: ConnectionId,
    /// The switch; 0 where that is not known yet.
    pub datapath: Dpid,
    /// Which way it goes.
    pub direction: Direction,
    /// The message.
    pub message: Message,
}

impl Event for ConnectionUp {}
impl Event for ConnectionDown {}
impl Event for FeaturesReply {}
impl Event for PortStatus {}
impl Event for FlowRemoved {}
impl Event for BarrierReply {}
impl Event for ErrorIn {}
impl Event for StatisticsReply {}
impl Event for FloodChanged {}
impl Event for FloodSettled {}
impl Event for Raw {}
