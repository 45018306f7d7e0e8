//! A connection's life: how it is greeted, what comes from it, its end.
//!
//! ```text
//! the channel is up, features and ports known → configuration, tables emptied, table-miss entry, barrier → its reply → up
//! ```

use std::cell::OnceCell;
use std::mem::take;

use openflow::Version;
use openflow::action::Action;
use openflow::error::ErrorCode;
use openflow::field::Field;
use openflow::flow::{self, ALL_TABLES, FlowCommand, FlowMod, NO_BUFFER};
use openflow::group::{self, GroupCommand, GroupKind, GroupMod};
use openflow::matching::Match;
use openflow::message::{self, Body, Features, Message, PortReason, SwitchConfig};
use openflow::multipart::{MultipartReply, Reply};
use openflow::oxm::Oxm;
use openflow::port::PortNo;

use super::connection::{Stage, by_number};
use super::events::{
    BarrierReply, ConnectionDown, ConnectionUp, Direction, ErrorIn, FeaturesReply, FlowRemoved, PortStatus,
    Raw, StatisticsReply,
};
use super::{CONNECTIONS_MAX, Connection, ConnectionId, Dpid, Flow, PORTS_MAX, PacketIn, RequestError};
use crate::Core;
use crate::controller::Output;
use crate::event::Source;

/// How switches are greeted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NexusConfig {
    /// Bytes of a packet that a table miss sends. All of it, unless somebody wants less: components that answer packets need
    /// them whole, and Open vSwitch keeps none.
    pub miss_send_len: u16,
    /// Whether a switch that connects loses the flows it has.
    pub clear_flows: bool,
    /// Whether a 1.3 switch is told to send what no flow matches, as 1.0 switches do by themselves.
    pub table_miss: bool,
    /// Whether its ports are closed for floods at first: see [`Core::hold_floods`].
    pub hold_floods: bool,
}

impl Default for NexusConfig {
    fn default() -> Self {
        Self { miss_send_len: 0xffff, clear_flows: true, table_miss: true, hold_floods: false }
    }
}

/// Connections.
impl Core {
    /// A channel is up.
    pub(crate) fn connected(&mut self, id: ConnectionId, version: Version, features: Features, peer: &str) {
        if self.nexus.connections.len() >= CONNECTIONS_MAX {
            self.close(id, format!("more than {CONNECTIONS_MAX} connections"));
        } else if features.auxiliary != 0 {
            // What they are for, packet-ins beside the main connection, one channel does well enough.
            self.close(id, format!("auxiliary connection {} is not used", features.auxiliary));
        } else if self.nexus.connections.contains_key(&id) {
            self.close(id, "its number is taken".into());
        } else {
            self.nexus.connections.insert(id, Connection::new(id, version, features, peer));
            self.put_in_order(id);
        }
    }

    fn close(&mut self, connection: ConnectionId, reason: String) {
        self.outputs.push_back(Output::Close { connection, reason });
    }

    /// Sends what need not arrive: a connection that is gone will say so itself.
    fn say(&mut self, id: ConnectionId, body: Body) -> u32 {
        self.send(id, body).unwrap_or(0)
    }

    /// Tells the switch what it is to start from; the barrier's reply ends the handshake.
    fn put_in_order(&mut self, id: ConnectionId) {
        let config = self.nexus.config.clone();
        let Some(connection) = self.nexus.get(id) else { return };
        let version = connection.version;
        let ports: Vec<PortNo> = connection.ports.keys().copied().collect();
        self.say(id, Body::SetConfig(SwitchConfig { flags: 0, miss_send_len: config.miss_send_len }));
        if config.clear_flows {
            let all = FlowMod { table: ALL_TABLES, command: FlowCommand::Delete, ..FlowMod::default() };
            self.say(id, Body::FlowMod(all));
            if version == Version::V13 {
                let (command, kind) = (GroupCommand::Delete, GroupKind::All);
                self.say(
                    id,
                    Body::GroupMod(GroupMod { command, kind, group: group::ALL, buckets: Vec::new() }),
                );
            }
        }
        if config.table_miss && version == Version::V13 {
            let to_controller = Action::Output { port: PortNo::CONTROLLER, max_len: config.miss_send_len };
            let miss = Flow::add(Match::new()).priority(0).action(to_controller);
            self.say(id, Body::FlowMod(miss.into_flow_mod()));
        }
        self.hold_ports(id, &ports);
        let xid = self.say(id, Body::BarrierRequest);
        if let Some(connection) = self.nexus.get_mut(id) {
            connection.stage = Stage::Ordering(xid);
        }
        self.keep_time(id, xid);
    }

    /// A channel is closed.
    pub(crate) fn disconnected(&mut self, id: ConnectionId, reason: &str) {
        let Some(connection) = self.nexus.connections.remove(&id) else { return };
        let datapath = connection.datapath();
        let was_up = connection.is_up();
        if self.nexus.datapaths.get(&datapath) == Some(&id) {
            self.nexus.datapaths.remove(&datapath);
        }
        self.answer_all_down(connection);
        if was_up {
            crate::info!(self, "switch {datapath} is down: {reason}");
            self.dispatch_both(id, &ConnectionDown { connection: id, datapath, reason: reason.into() });
        }
        self.settle();
        self.unlisten_all(&Source::Connection(id));
    }

    /// A message could not be said in the switch's version.
    pub(crate) fn unsaid(&mut self, id: ConnectionId, xid: u32, problem: &str) {
        if self.answer(id, xid, Err(RequestError::Unsaid(problem.into()))).is_some() {
            crate::warning!(self, "{id}: message {xid} was not sent: {problem}");
        }
    }

    /// A message came.
    pub(crate) fn received(&mut self, id: ConnectionId, message: Message) {
        let Some(connection) = self.nexus.get_mut(id) else { return };
        connection.counters.received += u64::from(!matches!(message.body, Body::PacketIn(_)));
        let (stage, datapath) = (connection.stage, connection.datapath());
        if self.wants_raw(id) {
            let raw =
                Raw { connection: id, datapath, direction: Direction::Received, message: message.clone() };
            self.dispatch_both(id, &raw);
        }
        let Message { xid, body } = message;
        match body {
            Body::PacketIn(packet) => self.packet_came(id, packet),
            Body::FeaturesReply(features) => self.features_came(id, xid, features),
            Body::MultipartReply(reply) => self.statistics_came(id, datapath, xid, reply),
            Body::BarrierReply if stage == Stage::Ordering(xid) => self.up(id),
            Body::BarrierReply => {
                if self.answer(id, xid, Ok(Body::BarrierReply)).is_some() {
                    self.dispatch_both(id, &BarrierReply { connection: id, datapath, xid });
                }
            }
            // A switch without barriers says so; it is in order all the same.
            Body::Error(_) if stage == Stage::Ordering(xid) => self.up(id),
            Body::Error(error) => self.error_came(id, datapath, xid, error),
            Body::PortStatus(status) => self.port_came(id, datapath, status),
            Body::FlowRemoved(flow) => {
                self.dispatch_both(id, &FlowRemoved { connection: id, datapath, flow });
            }
            other => {
                self.answer(id, xid, Ok(other));
            }
        }
    }

    /// Features that somebody asked for again.
    fn features_came(&mut self, id: ConnectionId, xid: u32, features: Features) {
        let Some(connection) = self.nexus.get_mut(id) else { return };
        let (before, datapath) = (connection.datapath(), Dpid(features.datapath));
        if before != datapath {
            self.disconnect(id, format!("it was switch {before}, and now says it is {datapath}"));
            return;
        }
        if connection.version == Version::V10 {
            connection.ports = by_number(&features.ports);
        }
        connection.features = features.clone();
        self.answer(id, xid, Ok(Body::FeaturesReply(features.clone())));
        self.dispatch_both(id, &FeaturesReply { connection: id, datapath, features });
    }

    fn statistics_came(&mut self, id: ConnectionId, datapath: Dpid, xid: u32, reply: MultipartReply) {
        if let (Reply::PortDescription(ports), Some(connection)) = (&reply.body, self.nexus.get_mut(id)) {
            connection.ports = by_number(ports);
        }
        if let Some(Ok(Body::MultipartReply(reply))) = self.answer(id, xid, Ok(Body::MultipartReply(reply))) {
            self.dispatch_both(id, &StatisticsReply { connection: id, datapath, xid, reply: reply.body });
        }
    }

    /// The handshake is done: everybody gets to know the switch.
    fn up(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.nexus.get_mut(id) else { return };
        let datapath = connection.datapath();
        if let Some(&before) = self.nexus.datapaths.get(&datapath) {
            // The same switch again: its old connection is dead, or it lies. The newer one counts.
            self.close(before, "the switch has connected anew".into());
            self.disconnected(before, "it has connected anew");
        }
        let Some(connection) = self.nexus.get_mut(id) else { return };
        connection.stage = Stage::Up;
        connection.up_since = now;
        let text = connection.to_string();
        self.nexus.datapaths.insert(datapath, id);
        crate::info!(self, "switch {text} is up");
        self.dispatch_both(id, &ConnectionUp { connection: id, datapath });
    }

    fn error_came(&mut self, id: ConnectionId, datapath: Dpid, xid: u32, error: message::Error) {
        if let Some(connection) = self.nexus.get_mut(id) {
            connection.counters.errors += 1;
        }
        let Some(Err(RequestError::Refused(error))) = self.answer(id, xid, Err(RequestError::Refused(error)))
        else {
            return;
        };
        let ErrorCode { kind, code, .. } = error.code;
        crate::warning!(self, "switch {datapath} refused message {xid}: type {kind}, code {code}");
        self.dispatch_both(id, &ErrorIn { connection: id, datapath, xid, error });
    }

    fn port_came(&mut self, id: ConnectionId, datapath: Dpid, status: message::PortStatus) {
        let message::PortStatus { reason, port } = status;
        let Some(connection) = self.nexus.get_mut(id) else { return };
        let number = port.number;
        let before = match reason {
            PortReason::Delete => {
                connection.flooding.closed.remove(&number);
                connection.ports.remove(&number)
            }
            _ if connection.ports.len() < PORTS_MAX || connection.ports.contains_key(&number) => {
                connection.ports.insert(number, port.clone())
            }
            _ => None,
        };
        if before.is_none() && reason != PortReason::Delete {
            self.hold_ports(id, &[number]);
        }
        if self.nexus.get(id).is_some_and(Connection::is_up) {
            self.dispatch_both(id, &PortStatus { connection: id, datapath, reason, port, before });
        }
    }

    /// A packet-in that was decoded whole.
    fn packet_came(&mut self, id: ConnectionId, packet: flow::PacketIn) {
        let in_port = in_port(&packet.metadata);
        let flow::PacketIn { buffer, total_len, reason, table, cookie, data, .. } = packet;
        let buffer = (buffer != NO_BUFFER).then_some(buffer);
        let event =
            PacketIn { in_port, buffer, total_len, reason, table, cookie, data, ..PacketIn::default() };
        self.packet_in(id, event);
    }

    /// A packet-in. The event's buffer may be had back by [`Core::spare_packet_in`].
    pub(crate) fn packet_in(&mut self, id: ConnectionId, mut event: PacketIn) {
        let Some(connection) = self.nexus.connections.get_mut(&id) else { return };
        connection.counters.packet_ins += 1;
        // Before everybody knows the switch, nobody can have asked for its packets.
        if connection.stage == Stage::Up {
            event.connection = id;
            event.datapath = connection.datapath();
            event.layers = OnceCell::new();
            self.dispatch_both(id, &event);
        }
        self.nexus.packet_in = event;
    }

    /// An event to fill: the last one, for its buffer.
    pub(crate) fn spare_packet_in(&mut self) -> PacketIn {
        take(&mut self.nexus.packet_in)
    }
}

/// The port among a packet-in's metadata.
fn in_port(metadata: &Match) -> PortNo {
    let port = |field: &Oxm| match field {
        Oxm::Known { field: Field::InPort, value, .. } => u32::try_from(*value).ok().map(PortNo),
        _ => None,
    };
    match metadata {
        Match::V10(matching) => PortNo::from_v10(matching.in_port),
        Match::Fields(fields) => fields.iter().find_map(port).unwrap_or(PortNo::ANY),
    }
}
