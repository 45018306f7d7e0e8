//! Messages of the controllers, and what each is answered with.

use std::time::Duration;

use super::check::{Checker, Place};
use super::connections::ConnectionId;
use super::{FRAGMENTS, FRAGMENTS_REASSEMBLE, Output, Queued, Switch};
use crate::codec;
use crate::error::{
    BadRequest, Fault, GroupModFailed, MeterModFailed, QueueOpFailed, SwitchConfigFailed, TableModFailed,
};
use crate::flow::ALL_TABLES;
use crate::group::{GroupCommand, GroupMod};
use crate::message::{
    Body, Error, Features, Message, PortMod, PortReason, Role, SwitchConfig, TableMod, capabilities,
};
use crate::meter::{MeterCommand, MeterMod};
use crate::monitor::MonitorMessage;
use crate::nicira;
use crate::port::PortNo;
use crate::queue::Queue;
use crate::version::Version;

/// Bytes of a refused request that go with the error (at least 64: 1.3.5, section 7.5.4).
pub(super) const ERROR_DATA: usize = 64;

impl Switch {
    /// A message of a controller. What it leads to comes out of [`poll_output`](Self::poll_output); what is wrong with it
    /// comes back as an error. Messages of unknown connections are dropped.
    pub fn handle_message(&mut self, now: Duration, id: ConnectionId, message: &Message) {
        let Some(connection) = self.connections.get(id) else { return };
        let allowed = connection.may(&message.body);
        if let Err(fault) = allowed.and_then(|()| self.handle(now, id, message)) {
            self.monitors.begin(None);
            self.refuse(id, message, fault);
        }
        self.tell_monitors();
    }

    fn refuse(&mut self, id: ConnectionId, message: &Message, fault: Fault) {
        let Some(connection) = self.connections.get(id) else { return };
        let version = connection.version;
        let mut data = Vec::new();
        // One that cannot be said again was never read.
        if codec::encode(version, message, &mut data).is_err() {
            data.clear();
        }
        data.truncate(ERROR_DATA);
        self.reply(id, message.xid, Body::Error(Error { code: fault.code(version), data }));
    }

    pub(super) fn reply(&mut self, connection: ConnectionId, xid: u32, body: Body) {
        let message = Message::new(xid, body);
        self.outputs.push_back(Queued::Output(Output::Message { connection, message }));
    }

    fn handle(&mut self, now: Duration, id: ConnectionId, message: &Message) -> Result<(), Fault> {
        let xid = message.xid;
        let answer = match &message.body {
            Body::EchoRequest(data) => Body::EchoReply(data.clone()),
            Body::FeaturesRequest => Body::FeaturesReply(self.features(id)),
            Body::GetConfigRequest => Body::GetConfigReply(SwitchConfig {
                flags: self.datapath.fragments,
                miss_send_len: self.connections.get(id).map_or(0, |connection| connection.miss_send_len),
            }),
            Body::SetConfig(config) => return self.set_config(id, *config),
            Body::PacketOut(request) => return self.packet_out(now, id, request),
            Body::FlowMod(request) => return self.flow_mod(now, id, xid, request),
            Body::GroupMod(request) => return self.group_mod(now, id, request),
            Body::MeterMod(request) => return self.meter_mod(now, request),
            Body::PortMod(request) => return self.port_mod(id, request),
            Body::TableMod(request) => return self.table_mod(*request),
            Body::MultipartRequest(request) => return self.multipart(now, id, xid, request),
            Body::BarrierRequest => Body::BarrierReply,
            Body::QueueGetConfigRequest(port) => self.queue_config(*port)?,
            Body::RoleRequest(request) => Body::RoleReply(self.connections.request_role(id, *request)?),
            Body::GetAsyncRequest => Body::GetAsyncReply(
                self.connections.get(id).map(|connection| connection.wants).unwrap_or_default(),
            ),
            Body::SetAsync(wants) => {
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.wants = *wants;
                }
                return Ok(());
            }
            Body::Nicira(message) => match self.nicira(id, message)? {
                Some(answer) => answer,
                None => return Ok(()),
            },
            Body::Monitor(MonitorMessage::Cancel(monitor)) => return self.monitors.cancel(id, *monitor),
            Body::Monitor(MonitorMessage::Paused | MonitorMessage::Resumed) => {
                return Err(BadRequest::BadExpType.into());
            }
            Body::Experimenter { .. } => return Err(BadRequest::BadExperimenter.into()),
            // The channel's, or answers to what was not asked.
            Body::Hello(_) | Body::Error(_) | Body::EchoReply(_) => return Ok(()),
            Body::FeaturesReply(_)
            | Body::GetConfigReply(_)
            | Body::PacketIn(_)
            | Body::FlowRemoved(_)
            | Body::PortStatus(_)
            | Body::MultipartReply(_)
            | Body::BarrierReply
            | Body::QueueGetConfigReply { .. }
            | Body::RoleReply(_)
            | Body::GetAsyncReply(_) => return Err(BadRequest::BadType.into()),
        };
        self.reply(id, xid, answer);
        Ok(())
    }

    fn features(&self, id: ConnectionId) -> Features {
        let is_v10 = self.connections.get(id).is_some_and(|connection| connection.version == Version::V10);
        let both = capabilities::FLOW_STATS
            | capabilities::TABLE_STATS
            | capabilities::PORT_STATS
            | capabilities::QUEUE_STATS;
        let own = if is_v10 { capabilities::ARP_MATCH_IP } else { capabilities::STP_OR_GROUP_STATS };
        Features {
            datapath: self.config.datapath,
            buffers: self.config.buffers.min(super::BUFFERS_MAX as u32),
            tables: super::TABLES,
            auxiliary: 0,
            capabilities: both | own,
            // All twelve of 1.0.
            actions: if is_v10 { 0xfff } else { 0 },
            ports: if is_v10 { self.ports().cloned().collect() } else { Vec::new() },
        }
    }

    fn set_config(&mut self, id: ConnectionId, config: SwitchConfig) -> Result<(), Fault> {
        let fragments = config.flags & FRAGMENTS;
        if config.flags & !FRAGMENTS != 0 || fragments == FRAGMENTS_REASSEMBLE {
            return Err(SwitchConfigFailed::BadFlags.into());
        }
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        connection.miss_send_len = config.miss_send_len;
        // How the switch treats packets is no slave's to say.
        if connection.role != Role::Slave && fragments != self.datapath.fragments {
            self.datapath.fragments = fragments;
            self.generation += 1;
        }
        Ok(())
    }

    fn group_mod(&mut self, now: Duration, id: ConnectionId, request: &GroupMod) -> Result<(), Fault> {
        let version = self.connections.get(id).map_or(Version::V13, |connection| connection.version);
        match request.command {
            GroupCommand::Add | GroupCommand::Modify => {
                // What leads to itself is the group's fault, not the action's.
                for bucket in &request.buckets {
                    let actions =
                        bucket.actions.iter().filter(|a| !matches!(a, crate::action::Action::Group(_)));
                    let actions: Vec<_> = actions.cloned().collect();
                    Checker::of_bucket(&self.datapath, version).actions(&actions, Place::Set)?;
                }
                let (groups, ports) = (&mut self.datapath.groups, &self.datapath.ports);
                match request.command {
                    GroupCommand::Add => groups.add(now, request, ports)?,
                    _ => groups.modify(request, ports)?,
                }
            }
            GroupCommand::Delete => {
                let gone = self.datapath.groups.delete(request.group)?;
                self.remove_users_of_groups(now, &gone);
            }
            GroupCommand::Other(_) => return Err(GroupModFailed::BadCommand.into()),
        }
        self.generation += 1;
        Ok(())
    }

    fn meter_mod(&mut self, now: Duration, request: &MeterMod) -> Result<(), Fault> {
        let meters = &mut self.datapath.meters;
        match request.command {
            MeterCommand::Add => meters.add(now, request)?,
            MeterCommand::Modify => meters.modify(now, request)?,
            MeterCommand::Delete => {
                let gone = meters.delete(request.meter)?;
                self.remove_users_of_meters(now, &gone);
            }
            MeterCommand::Other(_) => return Err(MeterModFailed::BadCommand.into()),
        }
        self.generation += 1;
        Ok(())
    }

    fn port_mod(&mut self, id: ConnectionId, request: &PortMod) -> Result<(), Fault> {
        let version = self.connections.get(id).map_or(Version::V13, |connection| connection.version);
        if let Some(port) = self.datapath.ports.modify(version, request)? {
            self.generation += 1;
            self.tell_port_status(PortReason::Modify, &port);
        }
        Ok(())
    }

    /// 1.3 has nothing to configure there.
    fn table_mod(&self, request: TableMod) -> Result<(), Fault> {
        if request.table != ALL_TABLES && !self.datapath.tables.is_there(request.table) {
            return Err(TableModFailed::BadTable.into());
        }
        // The two lowest bits are 1.1's, deprecated.
        if request.config & !3 != 0 { Err(TableModFailed::BadConfig.into()) } else { Ok(()) }
    }

    fn queue_config(&self, port: PortNo) -> Result<Body, Fault> {
        let of = |state: &super::ports::PortState| -> Vec<Queue> {
            state.queues.iter().map(|queue| queue.queue.clone()).collect()
        };
        let queues = match self.datapath.ports.get(port.0) {
            Some(state) => of(state),
            None if port == PortNo::ANY => self.datapath.ports.iter().flat_map(of).collect(),
            None => return Err(QueueOpFailed::BadPort.into()),
        };
        Ok(Body::QueueGetConfigReply { port, queues })
    }

    fn nicira(&mut self, id: ConnectionId, message: &nicira::Message) -> Result<Option<Body>, Fault> {
        if let nicira::Message::RoleRequest(role) = message {
            if let Role::Other(_) = role {
                return Err(BadRequest::BadExpType.into());
            }
            self.connections.set_role(id, *role);
            let role = self.connections.get(id).map_or(Role::Equal, |connection| connection.role);
            return Ok(Some(Body::Nicira(nicira::Message::RoleReply(role))));
        }
        let Some(connection) = self.connections.get_mut(id) else { return Ok(None) };
        match message {
            nicira::Message::SetFlowFormat(format) => match format {
                0 | 2 => connection.flow_format = *format,
                _ => return Err(BadRequest::Eperm.into()),
            },
            nicira::Message::FlowModTableId(set) => connection.has_table_ids = *set,
            nicira::Message::SetPacketInFormat(format) => connection.packet_in_format = *format,
            nicira::Message::SetAsyncConfig(wants) => connection.wants = *wants,
            nicira::Message::SetControllerId(number) => connection.controller_id = *number,
            // Entries' ages run with the clock.
            nicira::Message::FlowAge => {}
            nicira::Message::RoleRequest(_)
            | nicira::Message::RoleReply(_)
            | nicira::Message::Other { .. } => {
                return Err(BadRequest::BadExpType.into());
            }
        }
        Ok(None)
    }
}
