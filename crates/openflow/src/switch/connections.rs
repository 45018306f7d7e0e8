//! Controllers' connections: what each wants to be told, and in what form.

use std::collections::BTreeMap;
use std::time::Duration;

use super::buffers::Buffers;
pub use crate::channel::ConnectionId;
use crate::error::{BadRequest, Fault, RoleRequestFailed};
use crate::flow::{PacketInFormat, PacketInReason, RemovedReason};
use crate::message::{AsyncConfig, Body, PortReason, Role, RoleMessage};
use crate::multipart::Request;
use crate::version::Version;

/// Connections at most.
pub const CONNECTIONS_MAX: usize = 1024;
/// `OFP_DEFAULT_MISS_SEND_LEN`.
pub const MISS_SEND_LEN: u16 = 128;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) version: Version,
    pub(super) role: Role,
    /// Which unasked messages: by role.
    pub(super) wants: AsyncConfig,
    pub(super) miss_send_len: u16,
    pub(super) packet_in_format: PacketInFormat,
    /// 1.0: removed flows in Nicira's form where it can say more.
    pub(super) flow_format: u32,
    pub(super) has_table_ids: bool,
    pub(super) controller_id: u16,
    pub(super) buffers: Buffers,
}

const fn bit(reason: u8) -> u32 {
    if reason < 32 { 1 << reason } else { 0 }
}

impl Connection {
    fn new(version: Version, buffers: usize) -> Self {
        // A slave hears of ports alone (1.3.5, section 6.3.6). 1.0 knows no TTL.
        let packet_in = if version == Version::V10 { 0b011 } else { 0b111 };
        let wants =
            AsyncConfig { packet_in: [packet_in, 0], port_status: [0b111; 2], flow_removed: [0b1111, 0] };
        Self {
            version,
            role: Role::Equal,
            wants,
            miss_send_len: MISS_SEND_LEN,
            packet_in_format: PacketInFormat::Standard,
            flow_format: 0,
            has_table_ids: false,
            controller_id: 0,
            buffers: Buffers::new(buffers),
        }
    }

    fn side(&self) -> usize {
        usize::from(self.role == Role::Slave)
    }

    pub(super) fn wants_packet_in(&self, reason: PacketInReason) -> bool {
        let number = match reason {
            PacketInReason::NoMatch => 0,
            PacketInReason::Action => 1,
            PacketInReason::InvalidTtl => 2,
            PacketInReason::Other(number) => number,
        };
        self.wants.packet_in[self.side()] & bit(number) != 0
    }

    pub(super) fn wants_port_status(&self, reason: PortReason) -> bool {
        let number = match reason {
            PortReason::Add => 0,
            PortReason::Delete => 1,
            PortReason::Modify => 2,
            PortReason::Other(number) => number,
        };
        self.wants.port_status[self.side()] & bit(number) != 0
    }

    pub(super) fn wants_removed(&self, reason: RemovedReason) -> bool {
        let number = match reason {
            RemovedReason::IdleTimeout => 0,
            RemovedReason::HardTimeout => 1,
            RemovedReason::Delete => 2,
            RemovedReason::GroupDelete => 3,
            RemovedReason::Other(number) => number,
        };
        self.wants.flow_removed[self.side()] & bit(number) != 0
    }

    /// A slave changes nothing (1.3.5, section 6.3.6).
    pub(super) fn may(&self, body: &Body) -> Result<(), Fault> {
        let changes = match body {
            Body::PacketOut(_)
            | Body::FlowMod(_)
            | Body::GroupMod(_)
            | Body::PortMod(_)
            | Body::TableMod(_)
            | Body::MeterMod(_) => true,
            Body::MultipartRequest(request) => {
                matches!(&request.body, Request::TableFeatures(tables) if !tables.is_empty())
            }
            _ => false,
        };
        if changes && self.role == Role::Slave { Err(BadRequest::IsSlave.into()) } else { Ok(()) }
    }
}

/// All connections, and the last election.
#[derive(Debug, Default)]
pub(super) struct Connections {
    connections: BTreeMap<ConnectionId, Connection>,
    generation: Option<u64>,
}

impl Connections {
    pub(super) fn add(&mut self, id: ConnectionId, version: Version, buffers: usize) -> bool {
        if self.connections.len() >= CONNECTIONS_MAX && !self.connections.contains_key(&id) {
            return false;
        }
        self.connections.insert(id, Connection::new(version, buffers));
        true
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.connections.iter().map(|(id, connection)| (*id, connection))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut Connection)> {
        self.connections.iter_mut().map(|(id, connection)| (*id, connection))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// `OFPT_ROLE_REQUEST`: the role it has then. A new master makes the old one a slave.
    pub(super) fn request_role(
        &mut self,
        id: ConnectionId,
        request: RoleMessage,
    ) -> Result<RoleMessage, Fault> {
        match request.role {
            Role::Other(_) => return Err(RoleRequestFailed::BadRole.into()),
            Role::Master | Role::Slave => {
                // Numbers go round: older is behind by less than half of all (section 6.3.6).
                let is_stale =
                    self.generation.is_some_and(|last| (request.generation.wrapping_sub(last) as i64) < 0);
                if is_stale {
                    return Err(RoleRequestFailed::Stale.into());
                }
                self.generation = Some(request.generation);
            }
            Role::NoChange | Role::Equal => {}
        }
        self.set_role(id, request.role);
        let role = self.get(id).map_or(Role::Equal, |connection| connection.role);
        Ok(RoleMessage { role, generation: self.generation.unwrap_or(u64::MAX) })
    }

    pub(super) fn set_role(&mut self, id: ConnectionId, role: Role) {
        if role == Role::Master {
            for connection in self.connections.values_mut().filter(|other| other.role == Role::Master) {
                connection.role = Role::Slave;
            }
        }
        if let Some(connection) = self.connections.get_mut(&id)
            && role != Role::NoChange
        {
            connection.role = role;
        }
    }

    pub(super) fn expire(&mut self, now: Duration) {
        self.connections.values_mut().for_each(|connection| connection.buffers.expire(now));
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.connections.values().filter_map(|connection| connection.buffers.deadline()).min()
    }
}
