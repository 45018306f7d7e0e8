//! Datapath ids: a switch's own number.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A switch's own number, the same whenever it connects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dpid(pub u64);

impl fmt::Display for Dpid {
    /// 16 hexadecimal digits, as `ovs-vsctl` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Dpid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not a datapath id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a datapath id: expected hexadecimal digits like 1, 0x1f, 00-00-00-00-00-01 or 0000000000000001"
)]
pub struct DpidError(String);

impl FromStr for Dpid {
    type Err = DpidError;

    /// Up to 16 hexadecimal digits, with or without `0x`, with or without dashes or colons between pairs. POX's
    /// `00-00-00-00-00-01|5` has the 16 upper bits behind the bar, in decimal.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || DpidError(text.chars().take(40).collect());
        let (lower, upper) = match text.split_once('|') {
            Some((lower, upper)) => (lower, upper.parse::<u16>().map_err(|_| wrong())?),
            None => (text, 0),
        };
        let digits: String =
            lower.trim_start_matches("0x").chars().filter(|c| !matches!(c, '-' | ':')).collect();
        if digits.is_empty() || digits.len() > 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let lower = u64::from_str_radix(&digits, 16).map_err(|_| wrong())?;
        Ok(Self(lower | u64::from(upper) << 48))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read() {
        for text in ["1f", "0x1f", "00-00-00-00-00-1f", "00:00:00:00:00:00:00:1F", "000000000000001f"] {
            assert_eq!(text.parse(), Ok(Dpid(0x1f)), "{text}");
        }
        assert_eq!("00-00-00-00-00-01|5".parse(), Ok(Dpid(0x0005_0000_0000_0001)));
        assert_eq!(Dpid(0x1f).to_string(), "000000000000001f");
        for text in ["", "0x", "x", "12345678901234567", "1|", "+1", "1|65536"] {
            assert!(text.parse::<Dpid>().is_err(), "{text}");
        }
    }
}
