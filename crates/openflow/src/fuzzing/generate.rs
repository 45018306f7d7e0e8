//! Random messages, each as it decodes: what a version has no room for is not in it.

use std::net::Ipv4Addr;

use packet::fuzzing::bounded::Random;
use packet::wire::MacAddr;

use crate::error::{EXPERIMENTER, ErrorCode};
use crate::field::Field;
use crate::flow::{
    FlowCommand, FlowMod, FlowRemoved, PacketIn, PacketInFormat, PacketInReason, PacketOut, RemovedReason,
};
use crate::matching::{Match, MatchV10};
use crate::message::{
    AsyncConfig, Body, Error, Features, Hello, HelloElement, Message, PortMod, PortReason, PortStatus, Role,
    RoleMessage, SwitchConfig, TableMod,
};
use crate::monitor::MonitorMessage;
use crate::oxm::Oxm;
use crate::port::{Port, PortNo};
use crate::queue::{Queue, QueueProperty};
use crate::{Version, group, nicira};

/// Makers that are not Nicira.
pub(super) const MAKER: u32 = 0x1234_5678;
/// Most elements of a list.
const LIST_MAX: usize = 4;

/// Makes random messages of one version.
#[derive(Debug)]
pub struct Generator<'a> {
    pub(super) random: &'a mut Random,
    pub(super) version: Version,
}

impl<'a> Generator<'a> {
    /// Of that version.
    pub const fn new(random: &'a mut Random, version: Version) -> Self {
        Self { random, version }
    }

    pub(super) const fn u8(&mut self) -> u8 {
        self.random.next() as u8
    }

    pub(super) const fn u16(&mut self) -> u16 {
        self.random.next() as u16
    }

    pub(super) const fn u32(&mut self) -> u32 {
        self.random.next() as u32
    }

    pub(super) const fn u64(&mut self) -> u64 {
        self.random.next()
    }

    pub(super) fn bool(&mut self) -> bool {
        self.random.one_in(2)
    }

    pub(super) fn v10(&self) -> bool {
        self.version == Version::V10
    }

    /// Zero in 1.0, which has no room for it.
    pub(super) fn newer<T: Default>(&mut self, value: impl FnOnce(&mut Self) -> T) -> T {
        if self.v10() { T::default() } else { value(self) }
    }

    pub(super) fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.random.below(LIST_MAX + 1)).map(|_| one(self)).collect()
    }

    pub(super) fn bytes(&mut self, max: usize) -> Vec<u8> {
        let count = self.random.below(max + 1);
        self.random.bytes(count)
    }

    /// Bytes that with `before` more fill 8-byte words.
    pub(super) fn words(&mut self, before: usize) -> Vec<u8> {
        let count = 8 * self.random.below(3) + before.next_multiple_of(8) - before;
        self.random.bytes(count)
    }

    pub(super) fn text(&mut self, size: usize) -> String {
        let count = self.random.below(size);
        let mut text: String =
            (0..count).map(|_| self.random.one_of(&['a', 'Z', '-', '1', 'é', '面'])).collect();
        text.truncate(text.floor_char_boundary(size - 1));
        text
    }

    pub(super) fn duration(&mut self) -> (u32, u32) {
        (self.u32(), self.u32())
    }

    pub(super) fn mac(&mut self) -> MacAddr {
        MacAddr(self.u64().to_be_bytes()[2..].try_into().unwrap_or_default())
    }

    pub(super) fn ipv4(&mut self) -> Ipv4Addr {
        self.u32().into()
    }

    /// Any port of the version.
    pub(super) fn port(&mut self) -> PortNo {
        if self.v10() || self.bool() { PortNo::from_v10(self.u16()) } else { PortNo(self.u32()) }
    }

    /// Any message.
    pub fn message(&mut self) -> Message {
        let kinds = if self.v10() { 21 } else { 29 };
        let kind = self.random.below(kinds + 1);
        Message::new(self.u32(), self.body(kind))
    }

    fn body(&mut self, kind: usize) -> Body {
        match kind {
            0 => Body::Hello(self.hello()),
            1 => Body::Error(self.error()),
            2 => Body::EchoRequest(self.bytes(40)),
            3 => Body::EchoReply(self.bytes(40)),
            4 => Body::Experimenter { experimenter: MAKER, data: self.bytes(40) },
            5 => match self.u8() % 5 {
                0 => Body::Monitor(MonitorMessage::Cancel(self.u32())),
                1 => Body::Monitor(self.random.one_of(&[MonitorMessage::Paused, MonitorMessage::Resumed])),
                _ => Body::Nicira(self.nicira_message()),
            },
            6 => match self.u8() % 4 {
                0 => Body::FeaturesRequest,
                1 => Body::GetConfigRequest,
                2 => Body::BarrierRequest,
                _ => Body::BarrierReply,
            },
            7 => Body::FeaturesReply(self.features()),
            8 => Body::GetConfigReply(SwitchConfig { flags: self.u16(), miss_send_len: self.u16() }),
            9 => Body::SetConfig(SwitchConfig { flags: self.u16(), miss_send_len: self.u16() }),
            10 | 11 => Body::PacketIn(self.packet_in()),
            12 => Body::FlowRemoved(self.flow_removed()),
            13 => Body::PortStatus(self.port_status()),
            14 => Body::PacketOut(self.packet_out()),
            15 | 16 => Body::FlowMod(self.flow_mod()),
            17 => Body::PortMod(self.port_mod()),
            18 => Body::MultipartRequest(self.multipart_request()),
            19 => Body::MultipartReply(self.multipart_reply()),
            20 => Body::QueueGetConfigRequest(self.port()),
            21 => self.queues(),
            22 => Body::GroupMod(self.group_mod()),
            23 => Body::TableMod(TableMod { table: self.u8(), config: self.u32() }),
            24 => Body::MeterMod(self.meter_mod()),
            25 => Body::RoleRequest(self.role_message()),
            26 => Body::RoleReply(self.role_message()),
            27 => Body::GetAsyncRequest,
            28 => Body::GetAsyncReply(self.async_config()),
            _ => Body::SetAsync(self.async_config()),
        }
    }

    fn hello(&mut self) -> Hello {
        let element = |this: &mut Self| match this.bool() {
            true => HelloElement::VersionBitmap(this.list(Self::u32)),
            false => HelloElement::Other(2 + this.u16() % 100, this.bytes(20)),
        };
        Hello { elements: self.list(element) }
    }

    fn error(&mut self) -> Error {
        let code = match (self.version, self.bool()) {
            (_, false) => ErrorCode::new(self.u16() % 20, self.u16() % 20),
            (Version::V10, true) => {
                ErrorCode { kind: self.u16(), code: self.u16(), experimenter: Some(nicira::VENDOR) }
            }
            (Version::V13, true) => {
                ErrorCode { kind: EXPERIMENTER, code: self.u16(), experimenter: Some(self.u32()) }
            }
        };
        Error { code, data: self.bytes(64) }
    }

    fn features(&mut self) -> Features {
        Features {
            datapath: self.u64(),
            buffers: self.u32(),
            tables: self.u8(),
            auxiliary: self.newer(Self::u8),
            capabilities: self.u32(),
            actions: self.u32(),
            ports: if self.v10() { self.list(Self::port_description) } else { Vec::new() },
        }
    }

    /// Feature bits; 1.0's as they are moved.
    fn port_features(&mut self) -> u32 {
        let bits = self.u32();
        if self.v10() { bits & 0x7f | bits & 0xffff_f800 } else { bits }
    }

    pub(super) fn port_description(&mut self) -> Port {
        Port {
            number: self.port(),
            address: self.mac(),
            name: self.text(16),
            config: self.u32(),
            state: self.u32(),
            current: self.port_features(),
            advertised: self.port_features(),
            supported: self.port_features(),
            peer: self.port_features(),
            speed_current: self.newer(Self::u32),
            speed_max: self.newer(Self::u32),
        }
    }

    fn port_status(&mut self) -> PortStatus {
        let reason = match self.u8() % 4 {
            0 => PortReason::Add,
            1 => PortReason::Delete,
            2 => PortReason::Modify,
            _ => PortReason::Other(self.u8() | 4),
        };
        PortStatus { reason, port: self.port_description() }
    }

    fn port_mod(&mut self) -> PortMod {
        PortMod {
            port: self.port(),
            address: self.mac(),
            config: self.u32(),
            mask: self.u32(),
            advertise: self.port_features(),
        }
    }

    fn queues(&mut self) -> Body {
        let port = self.port();
        let queue = |this: &mut Self| Queue {
            queue: this.u32(),
            port: if this.v10() { port } else { this.port() },
            properties: this.list(|this| match this.u8() % 4 {
                0 => QueueProperty::MinRate(this.u16()),
                1 => QueueProperty::MaxRate(this.u16()),
                2 => QueueProperty::Experimenter { experimenter: this.u32(), data: this.bytes(20) },
                _ => QueueProperty::Other(3 + this.u16() % 100, this.bytes(20)),
            }),
        };
        Body::QueueGetConfigReply { port, queues: self.list(queue) }
    }

    pub(super) fn role(&mut self, no_change: bool) -> Role {
        match self.u8() % 5 {
            0 if no_change => Role::NoChange,
            0 | 1 => Role::Equal,
            2 => Role::Master,
            3 => Role::Slave,
            _ => Role::Other(self.u32() | 4),
        }
    }

    fn role_message(&mut self) -> RoleMessage {
        RoleMessage { role: self.role(true), generation: self.u64() }
    }

    pub(super) fn async_config(&mut self) -> AsyncConfig {
        let mut pair = || [self.u32(), self.u32()];
        AsyncConfig { packet_in: pair(), port_status: pair(), flow_removed: pair() }
    }

    fn packet_in(&mut self) -> PacketIn {
        let nicira = self.random.one_in(4);
        let own = self.v10() && !nicira;
        PacketIn {
            format: if nicira { PacketInFormat::Nxm } else { PacketInFormat::Standard },
            buffer: self.u32(),
            total_len: self.u16(),
            reason: match self.u8() % 4 {
                0 => PacketInReason::NoMatch,
                1 => PacketInReason::Action,
                2 => PacketInReason::InvalidTtl,
                _ => PacketInReason::Other(self.u8() | 4),
            },
            table: if own { 0 } else { self.u8() },
            cookie: if own { 0 } else { self.u64() },
            metadata: Match::Fields(match own {
                true => vec![Oxm::exact(Field::InPort, self.port().0.into())],
                false => self.list(Self::oxm),
            }),
            data: self.bytes(100),
        }
    }

    fn packet_out(&mut self) -> PacketOut {
        PacketOut {
            buffer: self.u32(),
            in_port: self.port(),
            actions: self.list(Self::action),
            data: self.bytes(100),
        }
    }

    fn flow_mod(&mut self) -> FlowMod {
        let nxm = self.v10() && self.bool();
        FlowMod {
            nxm,
            cookie: self.u64(),
            cookie_mask: self.newer(Self::u64),
            table: self.u8(),
            command: match self.u8() % 6 {
                0 => FlowCommand::Add,
                1 => FlowCommand::Modify,
                2 => FlowCommand::ModifyStrict,
                3 => FlowCommand::Delete,
                4 => FlowCommand::DeleteStrict,
                _ => FlowCommand::Other(self.u8() | 8),
            },
            idle_timeout: self.u16(),
            hard_timeout: self.u16(),
            priority: self.u16(),
            buffer: self.u32(),
            out_port: self.port(),
            out_group: if self.v10() { group::ANY } else { self.u32() },
            flags: self.u16(),
            matching: self.matching(nxm),
            instructions: self.instructions(),
        }
    }

    fn flow_removed(&mut self) -> FlowRemoved {
        let nxm = self.v10() && self.bool();
        FlowRemoved {
            nxm,
            cookie: self.u64(),
            priority: self.u16(),
            reason: self.removed_reason(),
            table: if nxm { self.u8() } else { self.newer(Self::u8) },
            duration: self.duration(),
            idle_timeout: self.u16(),
            hard_timeout: self.newer(Self::u16),
            packets: self.u64(),
            bytes: self.u64(),
            matching: self.matching(nxm),
        }
    }

    pub(super) fn removed_reason(&mut self) -> RemovedReason {
        match self.u8() % 5 {
            0 => RemovedReason::IdleTimeout,
            1 => RemovedReason::HardTimeout,
            2 => RemovedReason::Delete,
            3 => RemovedReason::GroupDelete,
            _ => RemovedReason::Other(self.u8() | 4),
        }
    }

    /// A match in the version's form, or in Nicira's.
    pub(super) fn matching(&mut self, nxm: bool) -> Match {
        if !self.v10() || nxm {
            return Match::Fields(self.list(Self::oxm));
        }
        Match::V10(MatchV10 {
            wildcards: self.u32(),
            in_port: self.u16(),
            dl_src: self.mac(),
            dl_dst: self.mac(),
            dl_vlan: self.random.one_of(&[0, 5, 0xffff]),
            dl_vlan_pcp: self.u8(),
            dl_type: self.random.one_of(&[0x0800, 0x0806, 0x86dd, 0x05ff, 0x88cc]),
            nw_tos: self.u8(),
            nw_proto: self.random.one_of(&[1, 6, 17, 58, 132, 200]),
            nw_src: self.ipv4(),
            nw_dst: self.ipv4(),
            tp_src: self.u16(),
            tp_dst: self.u16(),
        })
    }

    /// Any field, known or not, of any value that there is room for.
    pub(super) fn oxm(&mut self) -> Oxm {
        if self.random.one_in(8) {
            let maker = self.bool();
            let mut payload = if maker { MAKER.to_be_bytes().to_vec() } else { Vec::new() };
            payload.extend(self.bytes(20));
            let class: u32 = if maker { 0xffff } else { 0x1234 };
            let header = class << 16 | u32::from(self.u8()) << 8 | payload.len() as u32;
            return Oxm::Unknown { header, payload };
        }
        let field = self.random.one_of(Field::ALL);
        let spelling = self.random.below(field.headers().len());
        let (class, number, _) = field.headers()[spelling];
        let narrow = (class, number) == (0, 0);
        let room = u128::MAX >> (128 - 8 * field.width(class));
        let mut number = || u128::from(self.random.next()) << 64 | u128::from(self.random.next());
        let (mut value, mask) = (number() & room, number() & room);
        if narrow {
            value = PortNo::from_v10(value as u16).0.into();
        }
        let mask = (!narrow && self.bool()).then_some(mask);
        Oxm::Known { field, spelling: spelling as u8, value, mask }
    }

    /// A header without payload.
    pub(super) fn oxm_header(&mut self) -> Oxm {
        match self.oxm() {
            Oxm::Known { field, spelling, mask, .. } => {
                Oxm::Known { field, spelling, value: 0, mask: mask.map(|_| 0) }
            }
            Oxm::Unknown { header, mut payload } => {
                payload.truncate(if header >> 16 == 0xffff { 4 } else { 0 });
                Oxm::Unknown { header, payload }
            }
        }
    }
}
