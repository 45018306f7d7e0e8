//! When the next packet is due.

use std::str::FromStr;

use thiserror::Error;

const SECOND_NS: u128 = 1_000_000_000;
/// What may be made up for; time missed beyond it is left out.
const BEHIND_NS_MAX: u64 = 100_000_000;
/// The greatest rate: a packet, or a bit, a picosecond.
const RATE_MAX: u64 = 1_000_000_000_000;

/// No such rate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no rate: 1000pps, 64kbit, 10mbit, 1.5gbit, up to a million million")]
pub struct PaceError(pub String);

/// Packets or bits a second, exactly: a packet is due when all before it have taken their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    per_second: u64,
    bits: bool,
    /// When the first was sent, moved by what was left out.
    start_ns: Option<u64>,
    /// Packets or bits sent.
    sent: u128,
    left_out_ns: u64,
}

impl Pace {
    /// So many packets a second; at least 1.
    #[must_use]
    pub const fn packets(per_second: u64) -> Self {
        let per_second = if per_second == 0 { 1 } else { per_second };
        Self { per_second, bits: false, start_ns: None, sent: 0, left_out_ns: 0 }
    }

    /// So many bits a second; at least 1.
    #[must_use]
    pub const fn bits(per_second: u64) -> Self {
        Self { bits: true, ..Self::packets(per_second) }
    }

    /// When the next is due: at once, until [`begin`](Self::begin) has been told the time.
    pub(super) fn due_ns(&self) -> u64 {
        let Some(start_ns) = self.start_ns else { return 0 };
        let after_ns = self.sent * SECOND_NS / u128::from(self.per_second);
        u64::try_from(u128::from(start_ns) + after_ns).unwrap_or(u64::MAX)
    }

    /// Packets are about to be sent.
    pub(super) fn begin(&mut self, now_ns: u64) {
        let Some(start_ns) = &mut self.start_ns else {
            self.start_ns = Some(now_ns);
            return;
        };
        let start = *start_ns;
        let due_ns = u128::from(start) + self.sent * SECOND_NS / u128::from(self.per_second);
        let behind_ns = u128::from(now_ns).saturating_sub(due_ns) as u64;
        let left_out_ns = behind_ns.saturating_sub(BEHIND_NS_MAX);
        *start_ns = start.saturating_add(left_out_ns);
        self.left_out_ns += left_out_ns;
    }

    /// A packet was sent.
    pub(super) fn sent(&mut self, len: usize) {
        self.sent += if self.bits { len as u128 * 8 } else { 1 };
    }

    pub(super) const fn left_out_ns(&self) -> u64 {
        self.left_out_ns
    }
}

impl FromStr for Pace {
    type Err = PaceError;

    fn from_str(text: &str) -> Result<Self, PaceError> {
        let wrong = || PaceError(text.chars().take(40).collect());
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(unit_at);
        let (scale, bits) = match &*unit.to_ascii_lowercase() {
            "pps" => (1, false),
            "kpps" => (1_000, false),
            "mpps" => (1_000_000, false),
            "bit" => (1, true),
            "kbit" => (1_000, true),
            "mbit" => (1_000_000, true),
            "gbit" => (1_000_000_000, true),
            _ => return Err(wrong()),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let value = |digits: &str| match digits.len() {
            0 => Some(0),
            1..=9 => digits.parse::<u64>().ok(),
            _ => None,
        };
        let (Some(units), Some(tenths)) = (value(whole), value(part)) else { return Err(wrong()) };
        let rate = units
            .checked_mul(scale)
            .map(|rate| rate + tenths * scale / 10u64.pow(part.len() as u32))
            .filter(|rate| (1..=RATE_MAX).contains(rate))
            .ok_or_else(wrong)?;
        Ok(if bits { Self::bits(rate) } else { Self::packets(rate) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_exactly_or_refused() {
        for (text, rate) in [
            ("7pps", Pace::packets(7)),
            ("1.5kpps", Pace::packets(1500)),
            ("64kbit", Pace::bits(64_000)),
            ("0.25Gbit", Pace::bits(250_000_000)),
            (".5mbit", Pace::bits(500_000)),
        ] {
            assert_eq!(text.parse(), Ok(rate), "{text}");
        }
        for wrong in
            ["", "5", "pps", "0pps", "-1pps", "1.x2mbit", "1mbyte", "9999999999pps", "9999gbit", "1 pps"]
        {
            assert!(wrong.parse::<Pace>().is_err(), "{wrong}");
        }
    }
}
