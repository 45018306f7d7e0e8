//! Statistics and descriptions: 1.0's stats messages, 1.3's multipart messages.

use crate::group::{GroupDescription, GroupFeatures, GroupStats};
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::meter::{MeterConfig, MeterFeatures, MeterStats};
use crate::monitor::{MonitorRequest, MonitorUpdate};
use crate::nicira;
use crate::port::{Port, PortNo, PortStats};
use crate::queue::QueueStats;
use crate::table::{TableFeatures, TableStats};

/// More follow under the same transaction (`OFPMPF_REQ_MORE`, `OFPMPF_REPLY_MORE`, `OFPSF_REPLY_MORE`).
pub const MORE: u16 = 1;

/// A request for statistics or descriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartRequest {
    /// [`MORE`] or 0.
    pub flags: u16,
    /// What is wanted.
    pub body: Request,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Who made you?
    Description,
    /// Flow entries, one by one.
    Flow(FlowRequest),
    /// Flow entries, summed up.
    Aggregate(FlowRequest),
    /// Tables' counters.
    Table,
    /// A port's counters; all with [`PortNo::ANY`].
    Port(PortNo),
    /// A queue's counters.
    Queue {
        /// Its port; all with [`PortNo::ANY`] (1.0: `ALL`).
        port: PortNo,
        /// Its number; all with [`crate::queue::ALL`].
        queue: u32,
    },
    /// 1.3: a group's counters; all with [`crate::group::ALL`].
    Group(u32),
    /// 1.3: all groups.
    GroupDescription,
    /// 1.3: what groups can do.
    GroupFeatures,
    /// 1.3: a meter's counters; all with [`crate::meter::ALL`].
    Meter(u32),
    /// 1.3: a meter; all with [`crate::meter::ALL`].
    MeterConfig(u32),
    /// 1.3: what meters can do.
    MeterFeatures,
    /// 1.3: what tables can do; with entries, let them do just that.
    TableFeatures(Vec<TableFeatures>),
    /// 1.3 (and 1.0 in OVS): all ports.
    PortDescription,
    /// Monitors to be set up: Nicira's in 1.0, the Foundation's in 1.3.
    FlowMonitor(Vec<MonitorRequest>),
    /// One of Nicira's (1.0, 1.3).
    Nicira(nicira::StatsRequest),
    /// Another maker's.
    Experimenter {
        /// Who.
        experimenter: u32,
        /// All that follows.
        data: Vec<u8>,
    },
}

/// Which flow entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRequest {
    /// Of that table, of all with [`crate::flow::ALL_TABLES`].
    pub table: u8,
    /// That output there, or [`PortNo::ANY`].
    pub out_port: PortNo,
    /// 1.3: that lead to that group, or [`crate::group::ANY`].
    pub out_group: u32,
    /// 1.3: with these bits in the cookie.
    pub cookie: u64,
    /// 1.3: which bits.
    pub cookie_mask: u64,
    /// That the match covers.
    pub matching: Match,
}

/// A reply, or part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartReply {
    /// [`MORE`] or 0.
    pub flags: u16,
    /// What it says.
    pub body: Reply,
}

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Who made the switch.
    Description(Description),
    /// Flow entries.
    Flow(Vec<FlowStats>),
    /// Their sum.
    Aggregate(AggregateStats),
    /// Tables' counters.
    Table(Vec<TableStats>),
    /// Ports' counters.
    Port(Vec<PortStats>),
    /// Queues' counters.
    Queue(Vec<QueueStats>),
    /// Groups' counters.
    Group(Vec<GroupStats>),
    /// Groups.
    GroupDescription(Vec<GroupDescription>),
    /// What groups can do.
    GroupFeatures(GroupFeatures),
    /// Meters' counters.
    Meter(Vec<MeterStats>),
    /// Meters.
    MeterConfig(Vec<MeterConfig>),
    /// What meters can do.
    MeterFeatures(MeterFeatures),
    /// What tables can do.
    TableFeatures(Vec<TableFeatures>),
    /// Ports.
    PortDescription(Vec<Port>),
    /// Entries that monitors cover: those there are, or, unasked, changes of them.
    FlowMonitor(Vec<MonitorUpdate>),
    /// One of Nicira's.
    Nicira(nicira::StatsReply),
    /// Another maker's.
    Experimenter {
        /// Who.
        experimenter: u32,
        /// All that follows.
        data: Vec<u8>,
    },
}

/// `ofp_desc`: strings without their NULs, lossily from UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Maker, at most 255 bytes.
    pub manufacturer: String,
    /// Hardware, at most 255 bytes.
    pub hardware: String,
    /// Software, at most 255 bytes.
    pub software: String,
    /// Serial number, at most 31 bytes.
    pub serial: String,
    /// Datapath, at most 255 bytes.
    pub datapath: String,
}

/// A flow entry with its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowStats {
    /// Its table.
    pub table: u8,
    /// Its age: seconds, nanoseconds.
    pub duration: (u32, u32),
    /// Its priority.
    pub priority: u16,
    /// Its idle timeout, seconds.
    pub idle_timeout: u16,
    /// Its hard timeout, seconds.
    pub hard_timeout: u16,
    /// 1.3: `flow::flags::*`.
    pub flags: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Its match.
    pub matching: Match,
    /// Its instructions; 1.0: one `ApplyActions`.
    pub instructions: Vec<Instruction>,
}

/// `ofp_aggregate_stats_reply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AggregateStats {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Entries.
    pub flows: u32,
}
