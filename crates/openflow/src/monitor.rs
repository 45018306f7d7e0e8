//! Flow monitors: who sets one up is told of every change of the flow entries that it covers (`ovs-ofctl monitor … watch:`).
//!
//! In 1.0 they are Nicira's (`NXST_FLOW_MONITOR` of OVS' public header nicira-ext.h), in 1.3 the same in the words of the
//! Foundation's extension 187 (`ONFST_FLOW_MONITOR`).

use crate::flow::RemovedReason;
use crate::instruction::Instruction;
use crate::matching::Match;
use crate::port::PortNo;

/// Bits of [`MonitorRequest::flags`] (`NXFMF_*`).
pub mod flags {
    /// Entries that are there now.
    pub const INITIAL: u16 = 1 << 0;
    /// Entries that are added.
    pub const ADD: u16 = 1 << 1;
    /// Entries that are removed.
    pub const DELETE: u16 = 1 << 2;
    /// Entries whose instructions or cookie are changed.
    pub const MODIFY: u16 = 1 << 3;
    /// With their instructions.
    pub const ACTIONS: u16 = 1 << 4;
    /// In full too what a request of the same connection changed, which else is told by its transaction alone.
    pub const OWN: u16 = 1 << 5;
}

/// A monitor to be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorRequest {
    /// The controller's name for it.
    pub id: u32,
    /// When to tell, and what: [`flags`].
    pub flags: u16,
    /// Entries that output there, before or after the change; of all with [`PortNo::ANY`].
    pub out_port: PortNo,
    /// Entries of that table; of all with [`crate::flow::ALL_TABLES`].
    pub table: u8,
    /// Entries that this covers.
    pub matching: Match,
}

/// What has become of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorEvent {
    /// It is there.
    Added,
    /// It is gone.
    Removed(RemovedReason),
    /// Its instructions or its cookie are others.
    Modified,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonitorUpdate {
    /// Of an entry.
    Flow(FlowUpdate),
    /// What a flow-mod of this connection did.
    Own {
        /// Its transaction.
        xid: u32,
    },
}

/// A change of an entry, which is as it was left, or as it was when it was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowUpdate {
    /// What has become of it.
    pub event: MonitorEvent,
    /// Its table.
    pub table: u8,
    /// Its priority.
    pub priority: u16,
    /// Its idle timeout, seconds.
    pub idle_timeout: u16,
    /// Its hard timeout, seconds.
    pub hard_timeout: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Its match.
    pub matching: Match,
    /// Its instructions where they were asked for; 1.0: one `ApplyActions`.
    pub instructions: Vec<Instruction>,
}

/// Messages about monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorMessage {
    /// That one is wanted no more.
    Cancel(u32),
    /// There is more to tell than can be sent: additions and changes are kept back for now.
    Paused,
    /// What was kept back has been told.
    Resumed,
}
