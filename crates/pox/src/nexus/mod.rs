//! The nexus: every switch that is connected, and what is said to it.
//!
//! What is sent is written once and fits switches of either version: a match of fields, actions, a [`Flow`]. Encoding it for
//! the switch's version translates what has a counterpart there.

mod connection;
mod datapath;
mod events;
mod flood;
mod flow;
mod handshake;
mod packet_in;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use openflow::action::Action;
use openflow::flow::PacketOut;
use openflow::message::Message;
use openflow::port::PortNo;
use thiserror::Error;

use crate::component::ComponentId;
use crate::controller::Output;
use crate::event::{Event, Source};
use crate::{Core, Endpoint};

pub use connection::{Connection, ConnectionCounters, ConnectionId, PORTS_MAX, is_live};
pub use datapath::{Dpid, DpidError};
pub use events::{
    BarrierReply, ConnectionDown, ConnectionUp, Direction, ErrorIn, FeaturesReply, FloodChanged,
    FloodSettled, FlowRemoved, PortStatus, Raw, StatisticsReply,
};
pub use flood::FLOOD_SETTLE;
pub use flow::{Flow, IntoBody, output};
pub use handshake::NexusConfig;
pub use packet_in::PacketIn;
pub use request::{Answer, REQUEST_TIMEOUT, REQUESTS_MAX, RequestError};

/// Messages that may wait to be sent, of all connections together.
pub const OUTPUTS_MAX: usize = 1 << 20;
/// Connections at one time.
pub const CONNECTIONS_MAX: usize = 1 << 16;

/// Every switch that is connected.
#[derive(Default)]
pub(crate) struct Nexus {
    pub(crate) config: NexusConfig,
    connections: HashMap<ConnectionId, Connection, FixedState>,
    /// Those that are up.
    datapaths: BTreeMap<Dpid, ConnectionId>,
    /// When which request's time is over, in that order; those that are answered too, until they come up.
    pub(crate) deadlines: VecDeque<(Duration, ConnectionId, u32)>,
    /// From how many of them on those that are answered are left out.
    pub(crate) deadlines_kept: usize,
    /// Changes of the ports that switches flood to.
    pub(crate) flood_changes: u64,
    /// The packet-in being handled; its buffer is used again for the next one.
    packet_in: PacketIn,
}

impl Nexus {
    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// Forgets who waits for answers.
    pub(crate) fn forget(&mut self, owner: ComponentId) {
        for connection in self.connections.values_mut() {
            connection.requests.retain(|_, pending| pending.owner != owner);
        }
    }
}

/// Which switch something is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum To {
    /// The one of that connection.
    Connection(ConnectionId),
    /// The one with that datapath id.
    Datapath(Dpid),
}

impl From<ConnectionId> for To {
    fn from(connection: ConnectionId) -> Self {
        Self::Connection(connection)
    }
}

impl From<Dpid> for To {
    fn from(datapath: Dpid) -> Self {
        Self::Datapath(datapath)
    }
}

/// Why something was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// No such connection, or no longer.
    #[error("{0} is down")]
    Down(ConnectionId),
    /// No switch of that id.
    #[error("switch {0} is not connected")]
    Disconnected(Dpid),
    /// [`OUTPUTS_MAX`] messages wait.
    #[error("more than {OUTPUTS_MAX} messages wait to be sent")]
    Full,
    /// [`REQUESTS_MAX`] wait for an answer.
    #[error("more than {REQUESTS_MAX} requests wait for an answer")]
    TooManyRequests,
    /// The switch kept neither the packet nor sent all of it.
    #[error("the switch sent {have} bytes of a packet of {whole}, and kept no more")]
    Cut {
        /// Bytes there.
        have: usize,
        /// Bytes of the packet.
        whole: u16,
    },
}

/// Switches.
impl Core {
    /// A connection.
    #[must_use]
    pub fn connection(&self, of: impl Into<To>) -> Option<&Connection> {
        self.nexus.get(self.resolve(of).ok()?)
    }

    /// The connections whose handshake is done, by datapath id.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.nexus.datapaths.values().filter_map(|id| self.nexus.get(*id))
    }

    /// How new connections are greeted.
    #[must_use]
    pub fn nexus_config(&self) -> &NexusConfig {
        &self.nexus.config
    }

    /// How new connections are greeted, to change it: what a switch that is connected was told stays.
    pub fn nexus_config_mut(&mut self) -> &mut NexusConfig {
        &mut self.nexus.config
    }

    /// The connection that is meant.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn resolve(&self, target: impl Into<To>) -> Result<ConnectionId, SendError> {
        match target.into() {
            To::Connection(id) if self.nexus.connections.contains_key(&id) => Ok(id),
            To::Connection(id) => Err(SendError::Down(id)),
            To::Datapath(id) => self.nexus.datapaths.get(&id).copied().ok_or(SendError::Disconnected(id)),
        }
    }

    /// Sends a message; gives its transaction, which an [`ErrorIn`] would name.
    ///
    /// # Errors
    /// A switch that is not connected, too many messages waiting.
    pub fn send(&mut self, to: impl Into<To>, body: impl IntoBody) -> Result<u32, SendError> {
        let id = self.resolve(to)?;
        if self.outputs.len() >= OUTPUTS_MAX {
            return Err(SendError::Full);
        }
        let connection = self.nexus.get_mut(id).ok_or(SendError::Down(id))?;
        let xid = connection.xid();
        connection.counters.sent += 1;
        let datapath = connection.datapath();
        let mut body = body.into_body();
        connection.fit(&mut body);
        let message = Message::new(xid, body);
        if self.wants_raw(id) {
            let raw = |message| Raw { connection: id, datapath, direction: Direction::Sent, message };
            self.raise_from(Source::Connection(id), raw(message.clone()));
            self.raise_from(Source::OpenFlow, raw(message.clone()));
        }
        self.outputs.push_back(Output::Message { connection: id, message });
        Ok(xid)
    }

    /// Sends a packet of the controller's own out of a switch, as if it had come in by that port ([`PortNo::CONTROLLER`] for
    /// none).
    ///
    /// # Errors
    /// As [`Core::send`].
    pub fn inject(
        &mut self,
        to: impl Into<To>,
        in_port: PortNo,
        actions: impl Into<Vec<Action>>,
        packet: impl Into<Vec<u8>>,
    ) -> Result<u32, SendError> {
        let (actions, data) = (actions.into(), packet.into());
        self.send(to, PacketOut { buffer: openflow::flow::NO_BUFFER, in_port, actions, data })
    }

    /// Does something with the packet of a packet-in, wherever it is kept.
    ///
    /// # Errors
    /// As [`Core::send`]; a packet the switch neither kept nor sent whole.
    pub fn packet_out(
        &mut self,
        event: &PacketIn,
        actions: impl Into<Vec<Action>>,
    ) -> Result<u32, SendError> {
        let data = match event.buffer {
            Some(_) => Vec::new(),
            None if event.is_whole() => event.data().to_vec(),
            None => return Err(SendError::Cut { have: event.data().len(), whole: event.total_len }),
        };
        let actions = actions.into();
        self.send(
            event.connection,
            PacketOut { buffer: event.buffer_id(), in_port: event.in_port, actions, data },
        )
    }

    /// Drops the packet of a packet-in: frees the switch's buffer where it has one, and sends nothing where not.
    ///
    /// # Errors
    /// As [`Core::send`].
    pub fn drop_packet(&mut self, event: &PacketIn) -> Result<(), SendError> {
        match event.buffer {
            Some(_) => self.packet_out(event, Vec::new()).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Installs a flow and has it handle the packet of the packet-in that it is made for, kept by the switch or not.
    ///
    /// # Errors
    /// As [`Core::packet_out`]. The flow is installed even where the packet is lost.
    pub fn install_for(&mut self, event: &PacketIn, flow: Flow) -> Result<(), SendError> {
        if event.buffer.is_some() {
            self.send(event.connection, flow.buffer(event.buffer_id()))?;
            return Ok(());
        }
        let actions = flow.applied().to_vec();
        self.send(event.connection, flow)?;
        if !actions.is_empty() {
            self.packet_out(event, actions)?;
        }
        Ok(())
    }

    /// Waits for switches at that place, besides the places it waits at already.
    pub fn listen_for_switches(&mut self, endpoint: Endpoint) {
        self.outputs.push_back(Output::Listen(endpoint));
    }

    /// Calls a switch that waits at that place, again and again.
    pub fn dial_switch(&mut self, endpoint: Endpoint) {
        self.outputs.push_back(Output::Dial(endpoint));
    }

    /// Ends a connection.
    pub fn disconnect(&mut self, of: impl Into<To>, reason: impl Into<String>) {
        if let Ok(connection) = self.resolve(of) {
            self.outputs.push_back(Output::Close { connection, reason: reason.into() });
        }
    }

    /// Whether anybody wants a connection's messages as such.
    pub(crate) fn wants_raw(&self, connection: ConnectionId) -> bool {
        self.is_heard::<Raw>(&Source::OpenFlow) || self.is_heard::<Raw>(&Source::Connection(connection))
    }

    /// Raises an event of a connection, then of all.
    pub(crate) fn dispatch_both<E: Event>(&mut self, connection: ConnectionId, event: &E) {
        if !self.dispatch(Source::Connection(connection), event) {
            self.dispatch(Source::OpenFlow, event);
        }
    }
}
