//! Which packets go first.

use std::fmt;
use std::str::FromStr;

use packet::wire::EtherType;

use crate::modules::link;

pub use sim::LEVELS_MAX;

/// Code points of the DS field (RFC 2474).
const CODE_POINTS: usize = 64;

/// The level of a packet by its DSCP: 0 goes first, 7 last. What is not IP has level 0.
///
/// ```
/// use softnic::modules::LevelMap;
///
/// assert_eq!("dscp".parse(), Ok(LevelMap::DSCP)); // n is level n up to 7, all others level 0
/// assert_eq!("one".parse(), Ok(LevelMap::ONE)); // all are level 0
/// let map: LevelMap = "46=0,8=7,*=3".parse()?; // EF first, CS1 last, all others between
/// assert_eq!(map.to_string(), "46=0,8=7,*=3");
/// # Ok::<(), softnic::modules::LevelMapError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelMap([u8; CODE_POINTS]);

/// A text that is no map of levels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no map of levels: want dscp, one, or DSCP=LEVEL,…,*=LEVEL with levels 0 to 7")]
pub struct LevelMapError(String);

impl LevelMap {
    /// DSCP n is level n for n below 8; all others are level 0. DSCP 1 is the one for less than best effort (RFC 8622).
    pub const DSCP: Self = {
        let mut levels = [0; CODE_POINTS];
        let mut level = 0;
        while level < LEVELS_MAX {
            levels[level] = level as u8;
            level += 1;
        }
        Self(levels)
    };
    /// All are one level: a queue without priorities.
    pub const ONE: Self = Self([0; CODE_POINTS]);

    /// The level of a frame.
    #[inline]
    pub(super) fn of(&self, frame: &[u8]) -> u8 {
        let Some((ethertype, at)) = link::network(frame) else { return 0 };
        let Some(&[first, second]) = frame.get(at..).and_then(|header| header.first_chunk()) else {
            return 0;
        };
        let dscp = match ethertype {
            EtherType::IPV4 => second >> 2,
            // The traffic class lies across both bytes.
            EtherType::IPV6 => (first << 4 | second >> 4) >> 2,
            _ => return 0,
        };
        self.0[usize::from(dscp)]
    }
}

impl FromStr for LevelMap {
    type Err = LevelMapError;

    fn from_str(text: &str) -> Result<Self, LevelMapError> {
        let read = || {
            let (mut others, mut known) = (None, [None; CODE_POINTS]);
            for pair in text.split(',') {
                let (point, level) = pair.split_once('=')?;
                let level =
                    level.trim().parse::<u8>().ok().filter(|level| usize::from(*level) < LEVELS_MAX)?;
                let place = match point.trim() {
                    "*" => &mut others,
                    point => known.get_mut(point.parse::<usize>().ok()?)?,
                };
                if place.replace(level).is_some() {
                    return None;
                }
            }
            Some(Self(known.map(|level| level.or(others).unwrap_or(0))))
        };
        match text.trim() {
            "dscp" => Ok(Self::DSCP),
            "one" => Ok(Self::ONE),
            _ => read().ok_or_else(|| LevelMapError(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for LevelMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::DSCP => return f.write_str("dscp"),
            Self::ONE => return f.write_str("one"),
            Self(_) => {}
        }
        let count = |level: u8| self.0.iter().filter(|other| **other == level).count();
        let others =
            (0..LEVELS_MAX as u8).max_by_key(|level| (count(*level), std::cmp::Reverse(*level))).unwrap_or(0);
        for level in (0..LEVELS_MAX as u8).filter(|level| *level != others) {
            for (point, _) in self.0.iter().enumerate().filter(|(_, other)| **other == level) {
                write!(f, "{point}={level},")?;
            }
        }
        write!(f, "*={others}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::frames::{datagram, framed};
    use super::*;

    #[test]
    fn both_versions_of_ip_and_frames_with_tags() {
        let mut four = datagram(["10.0.0.1:1", "10.0.0.2:2"], b"x");
        four[15] = 5 << 2 | 3;
        let mut six = datagram(["[fd00::1]:1", "[fd00::2]:2"], b"x");
        (six[14], six[15]) = (0x60 | (5 << 2) >> 4, (5 << 2) << 4 & 0xf0 | 9);
        let tagged = framed(EtherType::VLAN, &[&[0, 1, 0x08, 0x00], &four[14..]].concat());
        for frame in [&four, &six, &tagged] {
            assert_eq!((LevelMap::DSCP.of(frame), LevelMap::ONE.of(frame)), (5, 0));
        }
        assert_eq!(LevelMap::DSCP.of(&framed(EtherType::ARP, &[0xff; 28])), 0);
        for length in 0..four.len() {
            assert!(LevelMap::DSCP.of(&four[..length]) <= 5);
        }
    }

    #[test]
    fn maps_that_are_none() {
        for wrong in
            ["", "two", "46", "46=8", "64=0", "46=0,46=1", "*=1,*=1", "46=0,", "-1=0", &"=".repeat(1_000)]
        {
            assert!(wrong.parse::<LevelMap>().unwrap_err().to_string().len() < 250, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_map_survives_the_round_trip(levels in proptest::collection::vec(0..LEVELS_MAX as u8, CODE_POINTS)) {
            let map = LevelMap(levels.try_into().unwrap());
            prop_assert_eq!(map.to_string().parse(), Ok(map));
        }
    }
}
