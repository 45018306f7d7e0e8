//! What a class shares out, and how.

use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Bytes that a packet of no bytes costs on a wire: preamble, frame check sequence, inter-frame gap. What BESS counts.
pub const PACKET_OVERHEAD_BYTES: u64 = 24;

/// What a turn uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Resource {
    /// Turns.
    Count,
    /// Cycles of the processor's counter ([`host::cycles`]).
    Cycle,
    /// Packets brought into the graph.
    Packet,
    /// Their bits on a wire, [`PACKET_OVERHEAD_BYTES`] a packet included.
    Bit,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Count, Self::Cycle, Self::Packet, Self::Bit];

    /// Its name, as BESS has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Cycle => "cycle",
            Self::Packet => "packet",
            Self::Bit => "bit",
        }
    }

    /// The resource of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What turns have used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Turns.
    pub count: u64,
    /// Cycles of the processor's counter.
    pub cycles: u64,
    /// Packets brought into the graph.
    pub packets: u64,
    /// Their bits on a wire.
    pub bits: u64,
}

impl Usage {
    /// One turn.
    #[inline]
    pub(crate) fn turn(cycles: u64, packets: u64, bytes: u64) -> Self {
        let bits = bytes.saturating_add(packets * PACKET_OVERHEAD_BYTES).saturating_mul(8);
        Self { count: 1, cycles, packets, bits }
    }

    /// How much of one resource.
    #[inline]
    pub fn of(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Count => self.count,
            Resource::Cycle => self.cycles,
            Resource::Packet => self.packets,
            Resource::Bit => self.bits,
        }
    }

    /// What a weighted-fair class charges for this turn. A turn that used nothing costs as much as the smallest packet, or
    /// a task that finds nothing but never says so would have all turns.
    #[inline]
    pub(super) fn price(&self, resource: Resource) -> u64 {
        let least = if resource == Resource::Bit { PACKET_OVERHEAD_BYTES * 8 } else { 1 };
        self.of(resource).max(least)
    }
}

impl AddAssign for Usage {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        // Counters wrap, after centuries.
        self.count = self.count.wrapping_add(other.count);
        self.cycles = self.cycles.wrapping_add(other.cycles);
        self.packets = self.packets.wrapping_add(other.packets);
        self.bits = self.bits.wrapping_add(other.bits);
    }
}

/// How an inner class shares out turns among its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// The child with the lowest number that can run.
    Priority,
    /// Each child in proportion to its share, by what it uses of a resource.
    WeightedFair {
        /// What is shared.
        resource: Resource,
    },
    /// One turn each.
    RoundRobin,
    /// Its only child, as far as a rate allows.
    RateLimit {
        /// What is limited.
        resource: Resource,
        /// How much a second. With 0 the child never runs.
        limit: u64,
        /// How much may be saved up while the child has nothing to do.
        max_burst: u64,
    },
}

impl Policy {
    /// Its name, as BESS has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::WeightedFair { .. } => "weighted_fair",
            Self::RoundRobin => "round_robin",
            Self::RateLimit { .. } => "rate_limit",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Priority | Self::RoundRobin => Ok(()),
            Self::WeightedFair { resource } => write!(f, " by {resource}"),
            Self::RateLimit { resource, limit, max_burst } => {
                write!(f, " of {limit} {resource}s/s, burst {max_burst}")
            }
        }
    }
}
