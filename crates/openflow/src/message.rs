//! Messages, of both versions in one type.
//!
//! A message does not say its version: the connection does. What only one version has is marked; encoding it for the
//! other is an error, never a silent change.

use crate::error::ErrorCode;
use crate::flow::{FlowMod, FlowRemoved, PacketIn, PacketOut};
use crate::group::GroupMod;
use crate::meter::MeterMod;
use crate::monitor::MonitorMessage;
use crate::multipart::{MultipartReply, MultipartRequest};
use crate::nicira;
use crate::port::{Port, PortNo};
use crate::queue::Queue;

use packet::wire::MacAddr;

/// A message and the transaction it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Transaction id: a reply carries its request's.
    pub xid: u32,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The first message of either side.
    Hello(Hello),
    /// A request failed.
    Error(Error),
    /// Are you there? With anything.
    EchoRequest(Vec<u8>),
    /// Yes. With the same.
    EchoReply(Vec<u8>),
    /// One of Nicira's.
    Nicira(nicira::Message),
    /// Another maker's (vendor in 1.0).
    Experimenter {
        /// Who.
        experimenter: u32,
        /// All that follows the maker's number.
        data: Vec<u8>,
    },
    /// One about flow monitors: Nicira's in 1.0, the Foundation's in 1.3.
    Monitor(MonitorMessage),
    /// Who are you?
    FeaturesRequest,
    /// The switch's answer.
    FeaturesReply(Features),
    /// How do you treat fragments, how much do you send?
    GetConfigRequest,
    /// The answer.
    GetConfigReply(SwitchConfig),
    /// Do it so.
    SetConfig(SwitchConfig),
    /// A packet for the controller.
    PacketIn(PacketIn),
    /// A flow entry is gone.
    FlowRemoved(FlowRemoved),
    /// A port came, went or changed.
    PortStatus(PortStatus),
    /// A packet from the controller.
    PacketOut(PacketOut),
    /// A change of the flow tables.
    FlowMod(FlowMod),
    /// 1.3: a change of the groups.
    GroupMod(GroupMod),
    /// A change of a port.
    PortMod(PortMod),
    /// 1.3: a change of a table.
    TableMod(TableMod),
    /// 1.3: a change of the meters.
    MeterMod(MeterMod),
    /// Statistics (1.0) and descriptions wanted.
    MultipartRequest(MultipartRequest),
    /// Statistics and descriptions.
    MultipartReply(MultipartReply),
    /// Finish everything before, then answer.
    BarrierRequest,
    /// Finished.
    BarrierReply,
    /// What queues has that port?
    QueueGetConfigRequest(PortNo),
    /// These.
    QueueGetConfigReply {
        /// The port.
        port: PortNo,
        /// Its queues.
        queues: Vec<Queue>,
    },
    /// 1.3: the role that the controller wants.
    RoleRequest(RoleMessage),
    /// 1.3: the role it has.
    RoleReply(RoleMessage),
    /// 1.3: which unasked messages do I get?
    GetAsyncRequest,
    /// 1.3: these.
    GetAsyncReply(AsyncConfig),
    /// 1.3: send me these.
    SetAsync(AsyncConfig),
}

/// `ofp_hello`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// 1.3: the elements, as they came. None in 1.0.
    pub elements: Vec<HelloElement>,
}

/// An element of a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelloElement {
    /// Versions spoken: bit `v % 32` of word `v / 32` for wire version `v`.
    VersionBitmap(Vec<u32>),
    /// Another: its type and bytes.
    Other(u16, Vec<u8>),
}

/// `ofp_error_msg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub code: ErrorCode,
    /// At least 64 bytes of the failed request, or text for a failed hello.
    pub data: Vec<u8>,
}

/// `ofp_switch_features`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// Datapath id.
    pub datapath: u64,
    /// Packets it can buffer.
    pub buffers: u32,
    /// Flow tables.
    pub tables: u8,
    /// 1.3: which of its connections this is; 0 is the main one.
    pub auxiliary: u8,
    /// `OFPC_*`.
    pub capabilities: u32,
    /// 1.0: bit `1 << action type`; 1.3: reserved.
    pub actions: u32,
    /// 1.0: its ports. (1.3 has a multipart request for them.)
    pub ports: Vec<Port>,
}

/// Capability bits of [`Features`] (`ofp_capabilities`).
pub mod capabilities {
    /// Flow statistics.
    pub const FLOW_STATS: u32 = 1 << 0;
    /// Table statistics.
    pub const TABLE_STATS: u32 = 1 << 1;
    /// Port statistics.
    pub const PORT_STATS: u32 = 1 << 2;
    /// 1.0: 802.1D spanning tree. 1.3: groups' statistics.
    pub const STP_OR_GROUP_STATS: u32 = 1 << 3;
    /// IP reassembly.
    pub const IP_REASM: u32 = 1 << 5;
    /// Queue statistics.
    pub const QUEUE_STATS: u32 = 1 << 6;
    /// 1.0: matches IP addresses in ARP.
    pub const ARP_MATCH_IP: u32 = 1 << 7;
    /// 1.3: blocks looping ports itself.
    pub const PORT_BLOCKED: u32 = 1 << 8;
}

/// `ofp_switch_config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SwitchConfig {
    /// Treatment of fragments: 0 as any, 1 dropped, 2 reassembled, 3 Nicira's matching.
    pub flags: u16,
    /// Bytes of a packet-in of a table miss.
    pub miss_send_len: u16,
}

/// Why a [`PortStatus`] is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortReason {
    /// It came.
    Add,
    /// It went.
    Delete,
    /// It changed.
    Modify,
    /// None of these.
    Other(u8),
}

/// `ofp_port_status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortStatus {
    /// Why.
    pub reason: PortReason,
    /// The port.
    pub port: Port,
}

/// `ofp_port_mod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMod {
    /// The port.
    pub port: PortNo,
    /// Its address, to be sure it is that one.
    pub address: MacAddr,
    /// Bits of `port::config`.
    pub config: u32,
    /// Which of them to change.
    pub mask: u32,
    /// Features to advertise; 0 leaves them.
    pub advertise: u32,
}

/// `ofp_table_mod` (1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMod {
    /// The table, `0xff` for all.
    pub table: u8,
    /// Deprecated bits.
    pub config: u32,
}

/// A controller's role (`ofp_controller_role`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Tell me what I have.
    NoChange,
    /// As any other.
    Equal,
    /// The one that changes things.
    Master,
    /// Reads only.
    Slave,
    /// None of these.
    Other(u32),
}

/// `ofp_role_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleMessage {
    /// The role.
    pub role: Role,
    /// Election number, growing.
    pub generation: u64,
}

/// `ofp_async_config` (1.3): bit `1 << reason`; first for master and equal, then for slave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsyncConfig {
    /// Packet-ins.
    pub packet_in: [u32; 2],
    /// Port status.
    pub port_status: [u32; 2],
    /// Removed flows.
    pub flow_removed: [u32; 2],
}

impl Message {
    /// A message of that transaction.
    #[must_use]
    pub const fn new(xid: u32, body: Body) -> Self {
        Self { xid, body }
    }
}
