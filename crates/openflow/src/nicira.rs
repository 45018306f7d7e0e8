//! Nicira's extensions (vendor `0x2320`), after OVS' public header `nicira-ext.h`.

use crate::flow::PacketInFormat;
use crate::matching::Match;
use crate::message::{AsyncConfig, Role};
use crate::oxm::Oxm;
use crate::port::PortNo;

/// The vendor number.
pub const VENDOR: u32 = 0x0000_2320;

/// A message of Nicira's. Its flow-mod, flow-removed and packet-in are [`crate::message::Body`]'s own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A role is wanted.
    RoleRequest(Role),
    /// The role there is.
    RoleReply(Role),
    /// Form of flows in removed flows and statistics: 0 1.0's, 2 NXM.
    SetFlowFormat(u32),
    /// Whether a 1.0 flow-mod's command has the table in its upper byte.
    FlowModTableId(bool),
    /// Form of packet-ins.
    SetPacketInFormat(PacketInFormat),
    /// Which unasked messages to send.
    SetAsyncConfig(AsyncConfig),
    /// The number that `controller` actions name this connection by.
    SetControllerId(u16),
    /// Age flows from now.
    FlowAge,
    /// Any other.
    Other {
        /// `subtype`.
        subtype: u32,
        /// All that follows.
        data: Vec<u8>,
    },
}

/// A range of a field's bits (`ofs_nbits`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subfield {
    /// The field's 32-bit header, payload length included.
    pub header: u32,
    /// First bit, from the lowest.
    pub offset: u16,
    /// How many.
    pub bits: u16,
}

/// An action of Nicira's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look up again as if it had come in by that port.
    Resubmit(u16),
    /// The same in another table; 0xff is this one.
    ResubmitTable {
        /// The port; `0xfff8` leaves it.
        port: u16,
        /// The table.
        table: u8,
    },
    /// Set the tunnel id.
    SetTunnel(u32),
    /// Set the tunnel id, 64 bits.
    SetTunnel64(u64),
    /// Choose the queue of later outputs.
    SetQueue(u32),
    /// Back to the queue at the start.
    PopQueue,
    /// Copy bits from field to field.
    RegMove {
        /// From.
        source: Subfield,
        /// To; as many bits.
        destination: Subfield,
    },
    /// Set bits of a field.
    RegLoad {
        /// Which, at most 64.
        destination: Subfield,
        /// To what.
        value: u64,
    },
    /// Set a field under a mask.
    RegLoad2(Oxm),
    /// Nothing, with a note.
    Note(Vec<u8>),
    /// Hash to one of several links.
    Multipath {
        /// Fields to hash: 0 Ethernet source, 1 symmetric L4, …
        fields: u16,
        /// Seed.
        basis: u16,
        /// How to hash.
        algorithm: u16,
        /// Highest result.
        max_link: u16,
        /// Of iterative hash.
        argument: u32,
        /// Where the result goes.
        destination: Subfield,
    },
    /// Send to one of several ports.
    Bundle(Bundle),
    /// Set a field to one of several ports' numbers.
    BundleLoad(Bundle),
    /// Send to the port that a field names.
    OutputReg {
        /// The field.
        source: Subfield,
        /// To the controller: at most so many bytes.
        max_len: u16,
    },
    /// Add a flow made of this packet.
    Learn(Learn),
    /// No further action, in this and outer tables.
    Exit,
    /// Decrement the IP TTL.
    DecTtl,
    /// The same; a packet-in of an expired one goes to these controllers.
    DecTtlControllers(Vec<u16>),
    /// After a FIN or RST, shorter timeouts.
    FinTimeout {
        /// Idle, seconds.
        idle: u16,
        /// Hard, seconds.
        hard: u16,
    },
    /// To one controller.
    Controller {
        /// At most so many bytes.
        max_len: u16,
        /// Which.
        controller: u16,
        /// `ofp_packet_in_reason`.
        reason: u8,
    },
    /// Push an MPLS label under that EtherType.
    PushMpls(u16),
    /// Pop an MPLS label, leaving that EtherType.
    PopMpls(u16),
    /// Set the MPLS label.
    SetMplsLabel(u32),
    /// Set the MPLS traffic class.
    SetMplsTc(u8),
    /// Set the MPLS TTL.
    SetMplsTtl(u8),
    /// Decrement the MPLS TTL.
    DecMplsTtl,
    /// Push bits on a stack.
    StackPush(Subfield),
    /// Pop them.
    StackPop(Subfield),
    /// Any other, padding included.
    Other {
        /// `subtype`.
        subtype: u16,
        /// All that follows.
        data: Vec<u8>,
    },
}

/// `nx_action_bundle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// 0 the first that is up, 1 highest random weight.
    pub algorithm: u16,
    /// Fields to hash.
    pub fields: u16,
    /// Seed.
    pub basis: u16,
    /// What the ports are: `NXM_OF_IN_PORT`'s header.
    pub port_type: u32,
    /// Where `bundle_load` puts the number.
    pub destination: Option<Subfield>,
    /// The ports.
    pub ports: Vec<u16>,
}

/// `nx_action_learn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learn {
    /// Idle timeout of the new flow.
    pub idle_timeout: u16,
    /// Hard timeout.
    pub hard_timeout: u16,
    /// Priority.
    pub priority: u16,
    /// Cookie.
    pub cookie: u64,
    /// `NX_LEARN_F_*`.
    pub flags: u16,
    /// Its table.
    pub table: u8,
    /// Idle timeout after a FIN.
    pub fin_idle_timeout: u16,
    /// Hard timeout after a FIN.
    pub fin_hard_timeout: u16,
    /// What it is made of.
    pub specs: Vec<LearnSpec>,
}

/// A part of a learned flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnSpec {
    /// Where the bits come from.
    pub source: LearnSource,
    /// Where they go.
    pub destination: LearnDestination,
    /// How many.
    pub bits: u16,
}

/// Where a learned flow's bits come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LearnSource {
    /// A field of the packet: header, first bit.
    Field(u32, u16),
    /// These bytes, rounded up to 16-bit words.
    Immediate(Vec<u8>),
}

/// Where a learned flow's bits go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnDestination {
    /// Its match: header, first bit.
    Match(u32, u16),
    /// A `load` of its actions: header, first bit.
    Load(u32, u16),
    /// An `output` of its actions.
    Output,
}

/// Statistics of Nicira's that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsRequest {
    /// Flow entries, by a match of fields.
    Flow {
        /// That output there.
        out_port: PortNo,
        /// Of that table.
        table: u8,
        /// That it covers.
        matching: Match,
    },
    /// Their sum.
    Aggregate {
        /// That output there.
        out_port: PortNo,
        /// Of that table.
        table: u8,
        /// That it covers.
        matching: Match,
    },
    /// Any other.
    Other {
        /// `subtype`.
        subtype: u32,
        /// All that follows.
        data: Vec<u8>,
    },
}

/// Statistics of Nicira's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsReply {
    /// Flow entries.
    Flow(Vec<FlowStats>),
    /// Their sum.
    Aggregate(crate::multipart::AggregateStats),
    /// Any other.
    Other {
        /// `subtype`.
        subtype: u32,
        /// All that follows.
        data: Vec<u8>,
    },
}

/// `nx_flow_stats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowStats {
    /// What 1.0's form has too.
    pub flow: crate::multipart::FlowStats,
    /// Seconds and one since the last packet; 0 unknown.
    pub idle_age: u16,
    /// Seconds and one since the last change; 0 unknown.
    pub hard_age: u16,
}
