//! [`Track`].

use packet::Batch;

use crate::engine::GateHook;

/// Bytes that a frame takes on the wire beside its own: preamble, checksum and the gap after it (as BESS counts).
pub const ETHERNET_OVERHEAD: u64 = 24;

/// Counts batches, packets and, if wanted, bytes.
///
/// Output gates are counted by the engine in any case; this is for input gates, and for counts that begin anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Track {
    bytes: bool,
    /// Batches, packets and bytes that have passed, [`ETHERNET_OVERHEAD`] included.
    pub counts: [u64; 3],
}

impl Track {
    /// Counts from zero, bytes too if `bytes` says so.
    pub fn new(bytes: bool) -> Self {
        Self { bytes, counts: [0; 3] }
    }
}

impl GateHook for Track {
    fn class(&self) -> &'static str {
        "Track"
    }

    fn pass(&mut self, batch: &Batch, _now_ns: u64) {
        self.counts[0] += 1;
        self.counts[1] += batch.len() as u64;
        if self.bytes {
            self.counts[2] += batch.iter().map(|packet| packet.len() as u64 + ETHERNET_OVERHEAD).sum::<u64>();
        }
    }
}
