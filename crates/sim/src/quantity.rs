//! Rates, times and bytes as people write them: `50mbit`, `1.5ms`, `64KB`.

use std::str::FromStr;

use crate::time::{Rate, Time};

/// A text that is no such quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// No rate.
    #[error("`{0}` is no rate: want 1bit to 1000tbit, such as 10mbit or 1gbit")]
    Rate(String),
    /// No time.
    #[error("`{0}` is no time: want at most 1000000s, such as 10ms")]
    Time(String),
    /// No number of bytes.
    #[error("`{0}` are no bytes: want such as 5MB, 64KB or 1500")]
    Bytes(String),
    /// No share.
    #[error("`{0}` is no share: want 0% to 100%, such as 0.1% or 0.001")]
    Share(String),
    /// No buffer.
    #[error("`{0}` is no buffer: want bytes such as 64KB, or up to 1000bdp, such as 0.25bdp")]
    Buffer(String),
}

/// How much may wait before a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Buffer {
    /// So many bytes.
    Bytes(u64),
    /// So many times what the link carries in a round trip: its bandwidth-delay product.
    Products(f64),
}

/// The least buffer of a link for which nothing was said: 66 long frames.
const USUAL_LEAST_BYTES: u64 = 100_000;

impl Buffer {
    /// What a link has for which nothing was said, in bytes: one bandwidth-delay product, and 100 kB at least.
    pub fn usual(rate: Rate, round_trip: Time) -> u64 {
        rate.bytes_in(round_trip).max(USUAL_LEAST_BYTES)
    }

    /// In bytes, for a link of that rate and a round trip of that length.
    pub fn bytes(self, rate: Rate, round_trip: Time) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Products(products) => (rate.bytes_in(round_trip) as f64 * products) as u64,
        }
    }
}

/// `64KB`, `1bdp`, `0.25bdp`.
impl FromStr for Buffer {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let error = || QuantityError::Buffer(shown(text));
        match split(text).ok_or_else(error)? {
            (products, "bdp" | "BDP") if products <= 1_000.0 => Ok(Self::Products(products)),
            (_, "bdp" | "BDP") => Err(error()),
            _ => bytes(text).map(Self::Bytes).map_err(|_| error()),
        }
    }
}

/// A share: `0.1%` or `0.001`.
///
/// # Errors
/// Another text, or what is not between 0 and 1.
pub fn share(text: &str) -> Result<f64, QuantityError> {
    let (number, factor) = text.trim().strip_suffix('%').map_or((text, 1.0), |number| (number, 0.01));
    let share = number.trim().parse::<f64>().ok().map(|number| number * factor);
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| QuantityError::Share(shown(text)))
}

/// Characters of a text that an error repeats.
const SHOWN_MAX: usize = 80;

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// A number above or at 0 and the unit behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..unit].trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some((number, &text[unit..]))
}

/// `10mbit`, `1gbit`, `500kbit`, `9600bit`; powers of 1,000, upper or lower case.
impl FromStr for Rate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let bits = split(text).and_then(|(number, unit)| {
            let factor = match unit.to_ascii_lowercase().as_str() {
                "bit" => 1.0,
                "kbit" => 1e3,
                "mbit" => 1e6,
                "gbit" => 1e9,
                "tbit" => 1e12,
                _ => return None,
            };
            Some(number * factor).filter(|bits| (1.0..=1e15).contains(bits))
        });
        bits.map(|bits| Self::from_bits_per_second(bits as u64))
            .ok_or_else(|| QuantityError::Rate(shown(text)))
    }
}

/// `10ms`, `1.5s`, `20us`, `5ns`.
impl FromStr for Time {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let seconds = split(text).and_then(|(number, unit)| {
            let factor = match unit {
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
            Some(number * factor).filter(|seconds| *seconds <= 1e6)
        });
        seconds.map(Self::from_secs_f64).ok_or_else(|| QuantityError::Time(shown(text)))
    }
}

/// Bytes: `5MB`, `64KB`, `1500`, `1500B`; powers of 1,000.
///
/// # Errors
/// Another text, or more than 10¹⁵.
pub fn bytes(text: &str) -> Result<u64, QuantityError> {
    let bytes = split(text).and_then(|(number, unit)| {
        let factor = match unit {
            "" | "B" => 1.0,
            "KB" | "kB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            _ => return None,
        };
        Some(number * factor).filter(|bytes| *bytes <= 1e15)
    });
    bytes.map(|bytes| bytes as u64).ok_or_else(|| QuantityError::Bytes(shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_nonsense_is_not() {
        assert_eq!("50mbit".parse(), Ok(Rate::from_mbit(50)));
        assert_eq!(" 2.5 Gbit".parse(), Ok(Rate::from_mbit(2_500)));
        assert_eq!("1.5ms".parse(), Ok(Time::from_micros(1_500)));
        assert_eq!("20µs".parse(), Ok(Time::from_micros(20)));
        assert_eq!((bytes("64KB"), bytes("1500"), bytes("0B")), (Ok(64_000), Ok(1_500), Ok(0)));
        for wrong in ["", "mbit", "-1mbit", "0bit", "50", "1e300mbit", "infmbit", "1pbit", "ümbit"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
        for wrong in ["", "10", "ms", "-1ms", "1000001s", "1min", "nans"] {
            assert!(wrong.parse::<Time>().is_err(), "{wrong}");
        }
        for wrong in ["", "B", "1e16", "5mb", "1TB", &"9".repeat(10_000)] {
            assert!(bytes(wrong).unwrap_err().to_string().len() < 200, "{wrong}");
        }
        assert_eq!((share("0.1%"), share("1"), share("100 %")), (Ok(0.001), Ok(1.0), Ok(1.0)));
        for wrong in ["", "%", "-1%", "101%", "1.1", "nan", "0.1%%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        let buffer = |text: &str| {
            text.parse::<Buffer>().map(|buffer| buffer.bytes(Rate::from_mbit(50), Time::from_millis(80)))
        };
        assert_eq!(
            (buffer("1bdp"), buffer("0.25 bdp"), buffer("64KB")),
            (Ok(500_000), Ok(125_000), Ok(64_000))
        );
        for wrong in ["", "bdp", "-1bdp", "1001bdp", "1ms"] {
            assert!(buffer(wrong).is_err(), "{wrong}");
        }
    }
}
