//! Flow entries and the packets that go to and from the controller.

use crate::action::Action;
use crate::field::Field;
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::port::PortNo;

/// No buffer: the packet is in the message (`OFP_NO_BUFFER`).
pub const NO_BUFFER: u32 = 0xffff_ffff;
/// Every table, in deletions and requests (`OFPTT_ALL`).
pub const ALL_TABLES: u8 = 0xff;
/// Priority where none is given (`OFP_DEFAULT_PRIORITY`).
pub const DEFAULT_PRIORITY: u16 = 0x8000;

/// What a [`FlowMod`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowCommand {
    /// A new entry, in place of an equal one.
    Add,
    /// Other instructions for what the match covers.
    Modify,
    /// Other instructions for exactly that match and priority.
    ModifyStrict,
    /// Remove what the match covers.
    Delete,
    /// Remove exactly that match and priority.
    DeleteStrict,
    /// None of these.
    Other(u8),
}

/// Bits of [`FlowMod::flags`] (`ofp_flow_mod_flags`).
pub mod flags {
    /// Tell when it is removed.
    pub const SEND_FLOW_REM: u16 = 1 << 0;
    /// Refuse what overlaps an entry of the same priority.
    pub const CHECK_OVERLAP: u16 = 1 << 1;
    /// 1.0: for when the controller is away. 1.3: reset the counters.
    pub const EMERG_OR_RESET_COUNTS: u16 = 1 << 2;
    /// 1.3: do not count packets.
    pub const NO_PACKET_COUNTS: u16 = 1 << 3;
    /// 1.3: do not count bytes.
    pub const NO_BYTE_COUNTS: u16 = 1 << 4;
}

/// `ofp_flow_mod`, and Nicira's `nx_flow_mod` where [`FlowMod::nxm`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowMod {
    /// 1.0: in Nicira's form, with a match of fields. Decoded so; encoding a 1.0 flow-mod uses it too where the match
    /// or the table cannot be said in 1.0's own form.
    pub nxm: bool,
    /// Cookie.
    pub cookie: u64,
    /// 1.3: which cookie bits restrict a modification or deletion.
    pub cookie_mask: u64,
    /// Table (1.3, and 1.0 with Nicira's `flow_mod_table_id`, where 0xff lets the switch choose).
    pub table: u8,
    /// What to do.
    pub command: FlowCommand,
    /// Removed after so many seconds without a packet; 0 never.
    pub idle_timeout: u16,
    /// Removed after so many seconds; 0 never.
    pub hard_timeout: u16,
    /// Higher is first.
    pub priority: u16,
    /// A buffered packet to apply it to, or [`NO_BUFFER`].
    pub buffer: u32,
    /// Deletions: only what outputs there, or [`PortNo::ANY`].
    pub out_port: PortNo,
    /// 1.3, deletions: only what leads to that group, or [`crate::group::ANY`].
    pub out_group: u32,
    /// `flags::*`.
    pub flags: u16,
    /// What packets.
    pub matching: Match,
    /// What with them. 1.0: at most one `ApplyActions`; none is an empty list of actions, which drops.
    pub instructions: Vec<Instruction>,
}

impl Default for FlowMod {
    /// Adds an entry of default priority that matches everything and drops it.
    fn default() -> Self {
        Self {
            nxm: false,
            cookie: 0,
            cookie_mask: 0,
            table: 0,
            command: FlowCommand::Add,
            idle_timeout: 0,
            hard_timeout: 0,
            priority: DEFAULT_PRIORITY,
            buffer: NO_BUFFER,
            out_port: PortNo::ANY,
            out_group: crate::group::ANY,
            flags: 0,
            matching: Match::default(),
            instructions: Vec::new(),
        }
    }
}

/// Why a flow entry is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemovedReason {
    /// No packet for too long.
    IdleTimeout,
    /// Its time was over.
    HardTimeout,
    /// A flow-mod removed it.
    Delete,
    /// 1.3: its group was removed.
    GroupDelete,
    /// None of these.
    Other(u8),
}

/// `ofp_flow_removed`, and Nicira's `nx_flow_removed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRemoved {
    /// 1.0: in Nicira's form.
    pub nxm: bool,
    /// Its cookie.
    pub cookie: u64,
    /// Its priority.
    pub priority: u16,
    /// Why.
    pub reason: RemovedReason,
    /// Its table (1.3, Nicira's form).
    pub table: u8,
    /// Its age: seconds, nanoseconds.
    pub duration: (u32, u32),
    /// Its idle timeout.
    pub idle_timeout: u16,
    /// Its hard timeout (1.3).
    pub hard_timeout: u16,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Its match.
    pub matching: Match,
}

/// Why a packet comes to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketInReason {
    /// No entry matched, or a table-miss entry sent it.
    NoMatch,
    /// An action sent it.
    Action,
    /// 1.3: its TTL was too low.
    InvalidTtl,
    /// None of these.
    Other(u8),
}

/// How a packet-in is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketInFormat {
    /// That of the version.
    Standard,
    /// `nx_packet_in`: 1.0 with metadata as fields.
    Nxm,
}

/// `ofp_packet_in`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketIn {
    /// Its layout.
    pub format: PacketInFormat,
    /// Buffer that holds the packet, or [`NO_BUFFER`].
    pub buffer: u32,
    /// Its whole length in bytes.
    pub total_len: u16,
    /// Why it comes.
    pub reason: PacketInReason,
    /// Table that sent it (1.3, Nicira's form).
    pub table: u8,
    /// Cookie of the entry that sent it (1.3, Nicira's form).
    pub cookie: u64,
    /// Its metadata; the port it came in by among them. In 1.0's form that port alone, as a field.
    pub metadata: Match,
    /// The packet, or its first bytes.
    pub data: Vec<u8>,
}

/// `ofp_packet_out`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketOut {
    /// Buffer that holds the packet, or [`NO_BUFFER`].
    pub buffer: u32,
    /// The port it is taken to have come in by; [`PortNo::CONTROLLER`] or [`PortNo::ANY`] for none.
    pub in_port: PortNo,
    /// What to do with it.
    pub actions: Vec<Action>,
    /// The packet, where it is not in a buffer.
    pub data: Vec<u8>,
}

impl PacketIn {
    /// The port it came in by, of its metadata.
    #[must_use]
    pub fn in_port(&self) -> Option<PortNo> {
        self.metadata.exact(Field::InPort).and_then(|port| u32::try_from(port).ok()).map(PortNo)
    }
}
