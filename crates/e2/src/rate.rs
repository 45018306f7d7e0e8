//! Rates and shares, in integers: plans are the same on every platform.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// The highest rate, in bit/s: 1 Pbit/s. Sums of all rates of a policy stay far from the end of 64 bits.
pub const RATE_MAX: u64 = 1_000_000_000_000_000;

/// A rate, in bit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Rate(pub u64);

/// What is no rate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RateError {
    /// No number, or a negative one.
    #[error("`{0}` is no rate: a number of at least 0 and a unit are wanted, as in `2.5 Gbit/s`")]
    Number(String),
    /// No such unit.
    #[error("`{0}` is no unit of a rate: bit/s, kbit/s, Mbit/s, Gbit/s, Tbit/s (also bps, kbps, …)")]
    Unit(String),
    /// Larger than [`RATE_MAX`].
    #[error("`{0}` is more than 1000 Tbit/s")]
    TooHigh(String),
}

impl Rate {
    /// From Gbit/s.
    pub const fn gbit(rate: u64) -> Self {
        Self(rate.saturating_mul(1_000_000_000))
    }

    /// The part of it that `of` in `whole` is, rounded down; nothing of nothing.
    #[must_use]
    pub fn part(self, of: u64, whole: u64) -> Self {
        let part = (u128::from(self.0) * u128::from(of)).checked_div(u128::from(whole)).unwrap_or(0);
        Self(u64::try_from(part).unwrap_or(u64::MAX))
    }

    /// How many times `capacity` it takes to carry this, at least 1.
    pub fn instances(self, capacity: Self) -> u64 {
        self.0.checked_div(capacity.0).map_or(1, |_| self.0.div_ceil(capacity.0).max(1))
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it; 0 where nothing is.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Rate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self(0), Self::plus)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let wrong = || RateError::Number(shown(text));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let unit = unit.trim();
        let power: u32 = match unit.to_ascii_lowercase().trim_end_matches("it/s").trim_end_matches("ps") {
            "" | "b" => 0,
            "k" | "kb" => 3,
            "m" | "mb" => 6,
            "g" | "gb" => 9,
            "t" | "tb" => 12,
            _ if number.is_empty() => return Err(wrong()),
            _ => return Err(RateError::Unit(shown(unit))),
        };
        let whole: String = whole.chars().filter(|c| *c != '_').collect();
        if whole.is_empty() || fraction.contains(['.', '_']) {
            return Err(wrong());
        }
        let high = || RateError::TooHigh(shown(text));
        let whole: u64 = whole.parse().map_err(|_| high())?;
        let mut bits = whole.checked_mul(10u64.pow(power)).ok_or_else(high)?;
        // Digits behind the last bit say nothing.
        for (place, digit) in (0..power).rev().zip(fraction.bytes()) {
            bits = bits.checked_add(u64::from(digit - b'0') * 10u64.pow(place)).ok_or_else(high)?;
        }
        if bits > RATE_MAX { Err(high()) } else { Ok(Self(bits)) }
    }
}

/// At most 40 characters of a text that somebody else wrote.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// With three digits behind the point at most.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1_000_000_000_000, "Tbit/s"),
            (1_000_000_000, "Gbit/s"),
            (1_000_000, "Mbit/s"),
            (1_000, "kbit/s"),
        ];
        let Some((size, unit)) = units.into_iter().find(|(size, _)| self.0 >= *size) else {
            return write!(f, "{} bit/s", self.0);
        };
        let thousandths = (u128::from(self.0) * 1000 / u128::from(size)) as u64;
        let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        write!(f, "{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A share of what a network function sends, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Share(pub u32);

/// What is no share.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no share: from 0% to 100%, with four digits behind the point at most")]
pub struct ShareError(String);

impl Share {
    /// All of it.
    pub const ALL: Self = Self(1_000_000);

    /// This much of a rate, rounded down.
    pub fn of(self, rate: Rate) -> Rate {
        rate.part(self.0.into(), Self::ALL.0.into())
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let wrong = || ShareError(shown(text));
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || fraction.len() > 4 || !digits(whole) || !digits(fraction) {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let fraction: u32 = format!("{fraction:0<4}").parse().map_err(|_| wrong())?;
        let share = Self(whole * 10_000 + fraction);
        if share > Self::ALL { Err(wrong()) } else { Ok(share) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, bits) in [
            ("10Gbit/s", 10_000_000_000),
            ("2.5 Gbps", 2_500_000_000),
            ("800 Mbit/s", 800_000_000),
            ("1_000", 1000),
            ("0", 0),
            ("1.0000000019 G", 1_000_000_001),
            ("64 kbps", 64_000),
            ("7 bit/s", 7),
            ("1000 Tbit/s", RATE_MAX),
        ] {
            assert_eq!(text.parse(), Ok(Rate(bits)), "{text}");
        }
        for text in ["", "-1 Gbit/s", "Gbit/s", "1.2.3 G", ".5 G", "nan", "inf", "1e9"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert_eq!("3 parsecs".parse::<Rate>(), Err(RateError::Unit("parsecs".into())));
        assert_eq!("1001 T".parse::<Rate>(), Err(RateError::TooHigh("1001 T".into())));
        assert_eq!(Rate(2_345_678_901).to_string(), "2.345 Gbit/s");
        assert_eq!(Rate(999).to_string(), "999 bit/s");
    }

    #[test]
    fn shares_are_exact() {
        assert_eq!("33.3333%".parse(), Ok(Share(333_333)));
        assert_eq!("100 %".parse(), Ok(Share::ALL));
        assert_eq!(Share(25_000).to_string(), "2.5%");
        for text in ["30", "101%", "-1%", "1.23456%", "%", "0x1%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!(Share(333_333).of(Rate(10)), Rate(3));
    }

    #[test]
    fn instances_are_rounded_up() {
        assert_eq!(Rate(0).instances(Rate(10)), 1);
        assert_eq!(Rate(10).instances(Rate(10)), 1);
        assert_eq!(Rate(11).instances(Rate(10)), 2);
    }
}
