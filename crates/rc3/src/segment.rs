//! What sender and receiver say to each other, free of any wire format.

use sim::Time;

use crate::ranges::Range;

/// Most SACK blocks of a segment: what fits beside timestamps in a TCP header.
pub const SACK_BLOCKS_MAX: usize = 3;

/// Bytes before the payload on the wire of the paper's experiments: IPv4, TCP without options, PPP.
pub const HEADER_BYTES: u32 = 20 + 20 + 2;

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks for a connection.
    Syn,
    /// Grants it.
    SynAck,
    /// Bytes of the sender's.
    Data,
    /// What the receiver has.
    Ack,
    /// What the receiver has room for; tells of no segment.
    Window,
}

/// The most recent ranges that a receiver has beyond its cumulative ack; the first holds the segment that is acked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sack {
    blocks: [Range; SACK_BLOCKS_MAX],
    count: u8,
}

impl Sack {
    /// Adds a block, if there is room and it is not there.
    pub fn push(&mut self, block: Range) {
        if self.count() < SACK_BLOCKS_MAX && !self.blocks().contains(&block) {
            self.blocks[self.count()] = block;
            self.count += 1;
        }
    }

    /// The blocks, the most recent first.
    pub fn blocks(&self) -> &[Range] {
        &self.blocks[..self.count()]
    }

    fn count(&self) -> usize {
        usize::from(self.count)
    }
}

/// A segment, of either direction. Bytes are numbered from 0, the first of the application's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// What it is.
    pub kind: Kind,
    /// Its priority, 0 for the primary loop; an ack has that of what it acks.
    pub level: u8,
    /// The number of its first byte.
    pub seq: u64,
    /// How many bytes it carries.
    pub len: u32,
    /// The first byte that the receiver does not have.
    pub ack: u64,
    /// How many bytes from there it has room for.
    pub window: u64,
    /// What it has beyond.
    pub sack: Sack,
    /// Of an ack, when what it acks arrived, by the receiver's clock: the distances tell the rate of the bottleneck.
    pub stamp: Time,
}

impl Segment {
    pub(crate) fn new(kind: Kind, level: u8) -> Self {
        Self { kind, level, seq: 0, len: 0, ack: 0, window: 0, sack: Sack::default(), stamp: Time::ZERO }
    }

    /// Its length on the wire: [`HEADER_BYTES`], its bytes, and the option for its SACK blocks.
    pub fn wire_bytes(&self) -> u32 {
        let option = match self.sack.count {
            0 => 0,
            blocks => 4 + 8 * u32::from(blocks), // two NOPs, kind, length
        };
        HEADER_BYTES + self.len + option
    }
}
