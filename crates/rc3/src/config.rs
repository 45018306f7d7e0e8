//! What a sender is told.

use sim::{LEVELS_MAX, Rate, Time};

use crate::congestion::Algorithm;
use crate::rtt::RttConfig;

/// How fast the low-priority loop sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// As fast as the NIC takes it: the paper's mode. It assumes that the NIC is the bottleneck, or that buffers hold a
    /// bandwidth-delay product.
    Nic,
    /// At a share of the bottleneck's rate: the remembered one, else that of the first train of acks. Until one is known nothing is
    /// sent at low priority. Halved when low-priority segments are lost, at most once a round trip.
    Bottleneck {
        /// The share, in percent.
        percent: u8,
        /// What an earlier connection has found.
        remembered: Option<Rate>,
    },
}

/// The low-priority loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowConfig {
    /// Levels of the network with the primary's: 2 to [`LEVELS_MAX`]. Segments that would be lower travel at the last.
    pub levels: u8,
    /// How fast it sends.
    pub pacing: Pacing,
    /// Segments that it has in the queue of the NIC at most: at least 1. It sends the next when one has left.
    pub nic_segments: u32,
    /// Whether what is left in the queue of the NIC goes when everything is acked.
    pub flush: bool,
    /// How much that pacing has held up for longer than meant may be made up for in one go: for clocks that go off late.
    pub slack: Time,
}

impl Default for LowConfig {
    fn default() -> Self {
        let pacing = Pacing::Bottleneck { percent: 90, remembered: None };
        Self { levels: 5, pacing, nic_segments: 4, flush: false, slack: Time::ZERO }
    }
}

impl LowConfig {
    /// As in the paper's experiments: 5 levels, not paced.
    pub fn paper() -> Self {
        Self { pacing: Pacing::Nic, ..Self::default() }
    }

    /// The lowest level there is.
    pub(crate) fn lowest(&self) -> u8 {
        self.levels.clamp(2, LEVELS_MAX as u8) - 1
    }
}

/// A sender. The default is the TCP of the paper's experiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderConfig {
    /// Bytes of a full segment: at least 1.
    pub segment: u32,
    /// Segments of the initial window.
    pub initial_window: u32,
    /// How the window grows and shrinks.
    pub algorithm: Algorithm,
    /// Timeouts.
    pub rtt: RttConfig,
    /// Whether the first two duplicate acks let new segments out (RFC 3042), as they do in ns-3.
    pub limited_transmit: bool,
    /// Bytes that may be written and not acked.
    pub buffer: u64,
    /// RC3; none for TCP alone.
    pub low: Option<LowConfig>,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            segment: 1_460,
            initial_window: 4,
            algorithm: Algorithm::NewReno,
            rtt: RttConfig::default(),
            limited_transmit: true,
            buffer: 1 << 30,
            low: None,
        }
    }
}

impl SenderConfig {
    /// The same, with RC3 over it.
    #[must_use]
    pub fn with_low(mut self, low: LowConfig) -> Self {
        self.low = Some(low);
        self
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        u64::from(self.segment.max(1))
    }
}

/// No time, as a deadline.
pub(crate) fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
