//! What all streams share: the rules, the memory and the counters.

use super::pool::Pool;

/// What becomes of urgent bytes (RFC 9293 section 3.8.5; the byte in front of the one the pointer names, as all systems
/// take it: RFC 6093 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UrgentBytes {
    /// They stay in the stream, as with `SO_OOBINLINE`.
    #[default]
    Inline,
    /// They are taken out of it, as sockets do by default. As with sockets there is one mark at a time: a new one that comes
    /// before the old one is reached leaves the old byte in the stream.
    OutOfBand,
}

/// What gives way when memory or a stream's share of it is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exhausted {
    /// The stream that has waited longest gives up the bytes it waits for; the one whose own share is used up, its own.
    #[default]
    SkipGap,
    /// What cannot be kept of the segment is dropped and counted.
    DropSegment,
}

/// The rules of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamConfig {
    /// Bytes of memory for all streams, reserved at the start.
    pub pool_bytes: usize,
    /// Bytes of a chunk: what a segment takes at least. 65,535 at most.
    pub chunk_bytes: usize,
    /// Bytes one stream may hold behind a hole.
    pub stream_bytes: u32,
    /// Chunks one stream may hold behind a hole. Out-of-order segments are found by walking them.
    pub stream_chunks: u32,
    /// Bytes already told that a stream keeps to compare retransmissions with, until they are acknowledged; 0 keeps none
    /// and leaves the path of segments in order without a copy.
    pub history_bytes: u32,
    /// Segments that begin further ahead are dropped, and acknowledgements of more than that are not believed.
    pub ahead_bytes: u32,
    /// What becomes of urgent bytes.
    pub urgent: UrgentBytes,
    /// What gives way when memory is used up.
    pub exhausted: Exhausted,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            pool_bytes: 64 << 20,
            chunk_bytes: 1536,
            stream_bytes: 1 << 20,
            stream_chunks: 1024,
            history_bytes: 0,
            ahead_bytes: 4 << 20,
            urgent: UrgentBytes::Inline,
            exhausted: Exhausted::SkipGap,
        }
    }
}

/// What happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Segments taken.
    pub segments: u64,
    /// Bytes told in order.
    pub bytes: u64,
    /// Bytes that had been told before.
    pub repeated_bytes: u64,
    /// Gaps told.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Overlaps with different content.
    pub conflicts: u64,
    /// Keep-alives (RFC 9293 section 3.8.4).
    pub keep_alives: u64,
    /// Segments dropped because they lie too far ahead.
    pub ahead: u64,
    /// Bytes dropped because they lie behind a FIN.
    pub after_fin_bytes: u64,
    /// Acknowledgements of more than can have been sent.
    pub stray_acks: u64,
    /// Segments, or the rest of them, dropped for want of memory.
    pub no_room: u64,
}

/// Rules, memory and counters of any number of [`Stream`](super::Stream)s.
#[derive(Debug)]
pub struct Shared {
    pub(super) config: StreamConfig,
    pub(super) pool: Pool,
    pub(super) counters: Counters,
}

impl Shared {
    /// Reserves the memory.
    #[must_use]
    pub fn new(config: StreamConfig) -> Self {
        let pool = Pool::new(config.pool_bytes, config.chunk_bytes);
        Self { config, pool, counters: Counters::default() }
    }

    /// What happened since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of memory in use, whole chunks of it.
    #[must_use]
    pub const fn used_bytes(&self) -> usize {
        (self.pool.capacity() - self.pool.free()) * self.pool.chunk_bytes()
    }
}
