//! Groups (OpenFlow 1.3.5, sections 5.6 and 7.3.4.3).

use crate::action::Action;
use crate::port::PortNo;

/// No group: any, in requests and filters (`OFPG_ANY`).
pub const ANY: u32 = 0xffff_ffff;
/// Every group, in deletions (`OFPG_ALL`).
pub const ALL: u32 = 0xffff_fffc;
/// The highest number of a group (`OFPG_MAX`).
pub const MAX: u32 = 0xffff_ff00;

/// What a group does with its buckets. A number that 1.3 does not have is kept, for an error to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// All of them.
    All,
    /// One, by hash of the flow.
    Select,
    /// The only one.
    Indirect,
    /// The first live one.
    FastFailover,
    /// None of these.
    Other(u8),
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bucket {
    /// Share of a select group.
    pub weight: u16,
    /// Port whose state says whether it is live (fast failover), or [`PortNo::ANY`].
    pub watch_port: PortNo,
    /// Group whose state says so, or [`ANY`].
    pub watch_group: u32,
    /// What it does.
    pub actions: Vec<Action>,
}

/// What a [`GroupMod`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupCommand {
    /// A new group.
    Add,
    /// Another for the one there.
    Modify,
    /// None.
    Delete,
    /// None of 1.3's commands.
    Other(u16),
}

/// `ofp_group_mod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// What kind of group.
    pub kind: GroupKind,
    /// Its number.
    pub group: u32,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
}

/// A group as it is described (`ofp_group_desc`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// What kind of group.
    pub kind: GroupKind,
    /// Its number.
    pub group: u32,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
}

/// Counters of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupStats {
    /// Its number.
    pub group: u32,
    /// Flow entries and groups that lead to it.
    pub references: u32,
    /// Packets through it.
    pub packets: u64,
    /// Bytes through it.
    pub bytes: u64,
    /// Its age: seconds, nanoseconds.
    pub duration: (u32, u32),
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

/// `ofp_group_features`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupFeatures {
    /// Bit `1 << kind`.
    pub types: u32,
    /// `OFPGFC_*`.
    pub capabilities: u32,
    /// Most groups of each kind.
    pub max_groups: [u32; 4],
    /// Bit `1 << action type` for each kind.
    pub actions: [u32; 4],
}
