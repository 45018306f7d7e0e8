//! Time in whole picoseconds, and rates that turn bytes into time.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A moment since the run began, or a length of time, in picoseconds: up to 213 days. A byte at 8 Tbit/s takes one.
///
/// Sums and differences saturate, so no input can make time wrap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

/// Picoseconds in a second.
const SECOND_PS: u64 = 1_000_000_000_000;

impl Time {
    /// The beginning, or no time.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const MAX: Self = Self(u64::MAX);

    /// From picoseconds.
    #[inline]
    pub const fn from_picos(picos: u64) -> Self {
        Self(picos)
    }

    /// From nanoseconds, saturating.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos.saturating_mul(1_000))
    }

    /// From microseconds, saturating.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000_000))
    }

    /// From milliseconds, saturating.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000_000))
    }

    /// From seconds, saturating.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(SECOND_PS))
    }

    /// From seconds with a fraction, to the nearest picosecond; 0 for what is negative or no number.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * SECOND_PS as f64).round() as u64)
    }

    /// In picoseconds.
    #[inline]
    pub const fn picos(self) -> u64 {
        self.0
    }

    /// In whole nanoseconds, rounded down.
    pub const fn nanos(self) -> u64 {
        self.0 / 1_000
    }

    /// In seconds.
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / SECOND_PS as f64
    }

    /// This many times as long, saturating.
    #[must_use]
    #[inline]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// A part of it, rounded down. By 0 it is [`Time::MAX`].
    #[must_use]
    #[inline]
    pub const fn divided(self, divisor: u64) -> Self {
        match self.0.checked_div(divisor) {
            Some(part) => Self(part),
            None => Self::MAX,
        }
    }
}

impl Add for Time {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Time {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Time {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// In seconds with all twelve decimals.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:012}", self.0 / SECOND_PS, self.0 % SECOND_PS)
    }
}

/// How fast a link carries, in bit/s; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// From bit/s; 0 is taken as 1.
    pub const fn from_bits_per_second(bits: u64) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    /// From Mbit/s (10⁶ bit/s), saturating.
    pub const fn from_mbit(mbit: u64) -> Self {
        Self::from_bits_per_second(mbit.saturating_mul(1_000_000))
    }

    /// In bit/s.
    #[inline]
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// How long that many bytes take, to the nearest picosecond, saturating.
    #[must_use]
    #[inline]
    pub fn time_of(self, bytes: u64) -> Time {
        const BYTE: u64 = 8 * SECOND_PS;
        // 2 MB and less, in one word: the case of packets.
        if bytes <= 2_000_000 {
            return Time((bytes * BYTE + self.0.min(BYTE) / 2) / self.0);
        }
        let picos = (u128::from(bytes) * u128::from(BYTE) + u128::from(self.0 / 2)) / u128::from(self.0);
        Time(u64::try_from(picos).unwrap_or(u64::MAX))
    }

    /// How many whole bytes go in that time.
    #[must_use]
    pub fn bytes_in(self, time: Time) -> u64 {
        let bytes = u128::from(time.0) * u128::from(self.0) / (8 * u128::from(SECOND_PS));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        assert_eq!(Rate::from_mbit(1_000).time_of(1_502), Time::from_nanos(12_016));
        assert_eq!(Rate::from_mbit(5_556).time_of(1_502).picos(), 2_162_707); // 2,162,706.98 ps
        assert_eq!(Rate::from_bits_per_second(8).time_of(3_000_000), Time::from_secs(3_000_000));
        assert_eq!(Rate::from_bits_per_second(0).time_of(u64::MAX), Time::MAX);
        assert_eq!(Rate::from_mbit(50).bytes_in(Time::from_millis(80)), 500_000);
    }

    #[test]
    fn time_neither_wraps_nor_goes_below_nothing() {
        assert_eq!(Time::MAX + Time::from_picos(1), Time::MAX);
        assert_eq!(Time::ZERO - Time::from_picos(1), Time::ZERO);
        assert_eq!(Time::from_secs(u64::MAX), Time::MAX);
        assert_eq!(Time::from_secs_f64(f64::NAN), Time::ZERO);
        assert_eq!(Time::from_millis(1_500).to_string(), "1.500000000000");
    }
}
