//! Token buckets: how much may pass, and when.
//!
//! A token is a packet or a byte, as the caller counts. Time is `now_ns`; time that goes back adds nothing and takes nothing.
//! The level is kept in integers as tokens × period, so nothing is ever rounded: a bucket that is emptied a million times
//! has given what its rate says, to the token. Filling and taking need no division.

mod marker;

use std::fmt;
use std::num::NonZeroU64;

pub use marker::{Colour, MarkerError, SingleRateMarker, TwoRateMarker};

const SECOND_NS: NonZeroU64 = NonZeroU64::new(1_000_000_000).unwrap();
const EIGHT_SECONDS_NS: NonZeroU64 = NonZeroU64::new(8_000_000_000).unwrap();
const HOUR_NS: NonZeroU64 = NonZeroU64::new(3_600_000_000_000).unwrap();

/// Tokens per period, exactly: 1 an hour, 3 in 7 ns, 400 Gbit/s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    tokens: u64,
    period_ns: NonZeroU64,
}

impl Rate {
    /// `tokens` in every `period_ns`.
    #[must_use]
    pub const fn new(tokens: u64, period_ns: NonZeroU64) -> Self {
        Self { tokens, period_ns }
    }

    /// Tokens a second.
    #[must_use]
    pub const fn per_second(tokens: u64) -> Self {
        Self::new(tokens, SECOND_NS)
    }

    /// Tokens an hour.
    #[must_use]
    pub const fn per_hour(tokens: u64) -> Self {
        Self::new(tokens, HOUR_NS)
    }

    /// Where a token is a byte: bits a second.
    #[must_use]
    pub const fn bits_per_second(bits: u64) -> Self {
        Self::new(bits, EIGHT_SECONDS_NS)
    }

    /// Whether this is less than `other`.
    fn is_below(self, other: Self) -> bool {
        u128::from(self.tokens) * u128::from(other.period_ns.get())
            < u128::from(other.tokens) * u128::from(self.period_ns.get())
    }

    /// What comes in `elapsed_ns`, in tokens × period.
    #[inline]
    fn credit(self, elapsed_ns: u64) -> u128 {
        u128::from(elapsed_ns) * u128::from(self.tokens)
    }

    /// `tokens` in tokens × period.
    #[inline]
    fn scaled(self, tokens: u64) -> u128 {
        u128::from(tokens) * u128::from(self.period_ns.get())
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} ns", self.tokens, self.period_ns)
    }
}

/// A bucket that fills at a [`Rate`] up to its burst and is full at the start.
///
/// ```
/// use lookup::token_bucket::{Rate, TokenBucket};
///
/// let mut bucket = TokenBucket::new(Rate::bits_per_second(12_000), 1500, 0); // a full frame a second
/// assert!(bucket.take(1500, 0));
/// assert!(!bucket.take(1500, 999_999_999));
/// assert_eq!(bucket.ready_ns(1500, 999_999_999), Some(1_000_000_000));
/// assert!(bucket.take(1500, 1_000_000_000));
/// ```
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: Rate,
    burst: u64,
    /// Level in tokens × period, at `filled_ns`.
    level: u128,
    filled_ns: u64,
}

impl TokenBucket {
    /// A full bucket. With a burst of 0 it never gives anything; with a rate of 0, its burst and no more.
    #[must_use]
    pub fn new(rate: Rate, burst: u64, now_ns: u64) -> Self {
        Self { rate, burst, level: rate.scaled(burst), filled_ns: now_ns }
    }

    #[inline]
    fn fill(&mut self, now_ns: u64) {
        self.level = self.level_at(now_ns);
        self.filled_ns = self.filled_ns.max(now_ns);
    }

    #[inline]
    fn level_at(&self, now_ns: u64) -> u128 {
        let came = self.rate.credit(now_ns.saturating_sub(self.filled_ns));
        self.level.saturating_add(came).min(self.rate.scaled(self.burst))
    }

    /// Takes `tokens` if that many are there; else takes none and says `false`.
    #[inline]
    pub fn take(&mut self, tokens: u64, now_ns: u64) -> bool {
        self.fill(now_ns);
        self.withdraw(tokens)
    }

    #[inline]
    fn withdraw(&mut self, tokens: u64) -> bool {
        let taken = self.level.checked_sub(self.rate.scaled(tokens));
        self.level = taken.unwrap_or(self.level);
        taken.is_some()
    }

    /// Whole tokens that are there.
    #[must_use]
    pub fn available(&self, now_ns: u64) -> u64 {
        (self.level_at(now_ns) / u128::from(self.rate.period_ns.get())) as u64
    }

    /// The first time, `now_ns` or later, at which `tokens` are there if none are taken until then. `None` if that is never:
    /// more than the burst, a rate of 0, or beyond the end of the clock.
    #[must_use]
    pub fn ready_ns(&self, tokens: u64, now_ns: u64) -> Option<u64> {
        if tokens > self.burst {
            return None;
        }
        let missing = self.rate.scaled(tokens).saturating_sub(self.level);
        if missing == 0 {
            return Some(now_ns);
        }
        if self.rate.tokens == 0 {
            return None;
        }
        let wait_ns = u64::try_from(missing.div_ceil(u128::from(self.rate.tokens))).ok()?;
        Some(self.filled_ns.checked_add(wait_ns)?.max(now_ns))
    }

    /// Another rate and burst from `now_ns` on. What is there stays, up to the new burst; a fraction of a token is lost.
    pub fn set_rate(&mut self, rate: Rate, burst: u64, now_ns: u64) {
        let tokens = self.available(now_ns).min(burst);
        let filled_ns = self.filled_ns.max(now_ns);
        *self = Self { rate, burst, level: rate.scaled(tokens), filled_ns };
    }
}
