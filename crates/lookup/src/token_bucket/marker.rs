//! Three-colour markers: one rate (RFC 2697) and two (RFC 2698).
//!
//! The RFCs let tokens drop into the buckets one at a time; here they flow, so that a marker's answer depends on no clock tick.
//! A colour-blind marker is a colour-aware one all of whose packets arrive green.

use super::{Rate, TokenBucket};

/// What a marker says of a packet, and what an earlier one may have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Colour {
    /// Within what is committed.
    Green,
    /// Beyond it, within the excess or peak.
    Yellow,
    /// Beyond both.
    Red,
}

/// Why there is no such marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// RFC 2698, section 2: PIR must not be less than CIR.
    #[error("the peak rate ({peak:?}) is below the committed rate ({committed:?})")]
    PeakBelowCommitted {
        /// Peak information rate.
        peak: Rate,
        /// Committed information rate.
        committed: Rate,
    },
    /// RFC 2697, section 2: one burst must be above 0. RFC 2698, section 2: both must.
    #[error("bursts of {committed} and {other} bytes pass no packet")]
    NoBurst {
        /// Committed burst size.
        committed: u64,
        /// Excess or peak burst size.
        other: u64,
    },
}

/// The single rate three-colour marker of RFC 2697: what the committed bucket has no room for flows into the excess bucket.
#[derive(Debug, Clone)]
pub struct SingleRateMarker {
    rate: Rate,
    /// CBS and EBS, Tc and Te, in tokens × period.
    committed_burst: u128,
    excess_burst: u128,
    committed: u128,
    excess: u128,
    filled_ns: u64,
}

impl SingleRateMarker {
    /// Both buckets full. The bursts are CBS and EBS.
    ///
    /// # Errors
    /// [`MarkerError::NoBurst`] where both are 0.
    pub fn new(
        rate: Rate,
        committed_burst: u64,
        excess_burst: u64,
        now_ns: u64,
    ) -> Result<Self, MarkerError> {
        if committed_burst == 0 && excess_burst == 0 {
            return Err(MarkerError::NoBurst { committed: committed_burst, other: excess_burst });
        }
        let (committed, excess) = (rate.scaled(committed_burst), rate.scaled(excess_burst));
        Ok(Self {
            rate,
            committed_burst: committed,
            excess_burst: excess,
            committed,
            excess,
            filled_ns: now_ns,
        })
    }

    fn fill(&mut self, now_ns: u64) {
        let came = self.rate.credit(now_ns.saturating_sub(self.filled_ns));
        let committed = came.min(self.committed_burst - self.committed);
        self.committed += committed;
        self.excess = self.excess.saturating_add(came - committed).min(self.excess_burst);
        self.filled_ns = self.filled_ns.max(now_ns);
    }

    /// The colour of a packet of `bytes` that arrives as `arrived` (section 3).
    pub fn mark(&mut self, bytes: u64, arrived: Colour, now_ns: u64) -> Colour {
        self.fill(now_ns);
        let bytes = self.rate.scaled(bytes);
        if arrived == Colour::Green && bytes <= self.committed {
            self.committed -= bytes;
            Colour::Green
        } else if arrived != Colour::Red && bytes <= self.excess {
            self.excess -= bytes;
            Colour::Yellow
        } else {
            Colour::Red
        }
    }
}

/// The two rate three-colour marker of RFC 2698: red beyond the peak rate, yellow beyond the committed rate.
#[derive(Debug, Clone)]
pub struct TwoRateMarker {
    committed: TokenBucket,
    peak: TokenBucket,
}

impl TwoRateMarker {
    /// Both buckets full; each is a rate and its burst: CIR and CBS, PIR and PBS.
    ///
    /// # Errors
    /// See [`MarkerError`].
    pub fn new(committed: (Rate, u64), peak: (Rate, u64), now_ns: u64) -> Result<Self, MarkerError> {
        if peak.0.is_below(committed.0) {
            return Err(MarkerError::PeakBelowCommitted { peak: peak.0, committed: committed.0 });
        }
        if committed.1 == 0 || peak.1 == 0 {
            return Err(MarkerError::NoBurst { committed: committed.1, other: peak.1 });
        }
        Ok(Self {
            committed: TokenBucket::new(committed.0, committed.1, now_ns),
            peak: TokenBucket::new(peak.0, peak.1, now_ns),
        })
    }

    /// The colour of a packet of `bytes` that arrives as `arrived` (section 3).
    pub fn mark(&mut self, bytes: u64, arrived: Colour, now_ns: u64) -> Colour {
        self.peak.fill(now_ns);
        self.committed.fill(now_ns);
        if arrived == Colour::Red || !self.peak.withdraw(bytes) {
            Colour::Red
        } else if arrived == Colour::Yellow || !self.committed.withdraw(bytes) {
            Colour::Yellow
        } else {
            Colour::Green
        }
    }
}
