//! Quantities of a link, as types of their own: a delay cannot be passed where a capacity belongs.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// How much a link carries, in bit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capacity(u64);

impl Capacity {
    /// From bit/s.
    pub const fn from_bits_per_second(bits: u64) -> Self {
        Self(bits)
    }

    /// From Mbit/s (10⁶ bit/s), saturating.
    pub const fn from_mbit(mbit: u64) -> Self {
        Self(mbit.saturating_mul(1_000_000))
    }

    /// From Gbit/s (10⁹ bit/s), saturating.
    pub const fn from_gbit(gbit: u64) -> Self {
        Self(gbit.saturating_mul(1_000_000_000))
    }

    /// In bit/s.
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(
            f,
            self.0,
            &[
                (1_000_000_000_000, "Tbit/s"),
                (1_000_000_000, "Gbit/s"),
                (1_000_000, "Mbit/s"),
                (1_000, "kbit/s"),
            ],
            "bit/s",
        )
    }
}

/// How long a bit is on a link, in nanoseconds, one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delay(u64);

impl Delay {
    /// No delay.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From microseconds, saturating.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// From milliseconds, saturating.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// In nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, &[(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")], "ns")
    }
}

/// What a routing protocol says a link costs: at least 1, so that every step towards a destination gets closer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(NonZeroU32);

impl Weight {
    /// The weight of a link nobody gave one.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// From a number; none for 0.
    pub const fn new(weight: u32) -> Option<Self> {
        match NonZeroU32::new(weight) {
            Some(weight) => Some(Self(weight)),
            None => None,
        }
    }

    /// As a number, at least 1.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Writes a value in the largest unit it reaches, with up to two decimals.
fn scaled(f: &mut fmt::Formatter<'_>, value: u64, units: &[(u64, &str)], base: &str) -> fmt::Result {
    let Some((unit, name)) = units.iter().find(|(unit, _)| value >= *unit) else {
        return write!(f, "{value} {base}");
    };
    let (whole, hundredths) = (value / unit, value % unit / (unit / 100));
    match (hundredths, hundredths % 10) {
        (0, _) => write!(f, "{whole} {name}"),
        (_, 0) => write!(f, "{whole}.{} {name}", hundredths / 10),
        _ => write!(f, "{whole}.{hundredths:02} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_people_write_them() {
        assert_eq!(Capacity::from_gbit(10).to_string(), "10 Gbit/s");
        assert_eq!(Capacity::from_mbit(2_500).to_string(), "2.5 Gbit/s");
        assert_eq!(Capacity::from_bits_per_second(64_050).to_string(), "64.05 kbit/s");
        assert_eq!(Capacity::from_bits_per_second(7).to_string(), "7 bit/s");
        assert_eq!(Delay::from_micros(1_500).to_string(), "1.5 ms");
        assert_eq!(Delay::ZERO.to_string(), "0 ns");
        assert_eq!(Weight::new(0), None);
    }
}
