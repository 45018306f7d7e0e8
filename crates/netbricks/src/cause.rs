//! Why packets end, and how many did of each cause.

use std::fmt;

use packet::NoRoom;
use packet::wire::WireError;

/// The most causes that are told apart; what comes beyond is counted as [`Cause::OTHER`].
pub const CAUSES_MAX: usize = 64;

/// Why a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// What kind of fault: `truncated`, `bad length`; empty for causes of one word.
    pub kind: &'static str,
    /// What it was about: `udp length`, `no route`.
    pub what: &'static str,
}

impl Cause {
    /// Beyond [`CAUSES_MAX`].
    pub const OTHER: Self = Self::new("other causes");
    /// The panic of a network function took it along.
    pub const PANIC: Self = Self::new("panic");
    /// More packets left in one call than the context keeps.
    pub const OUTPUT_FULL: Self = Self::new("output full");
    /// It left at a gate that does not exist.
    pub const NO_GATE: Self = Self::new("no such gate");
    /// A function left it in its batch without sending it.
    pub const LEFT_BEHIND: Self = Self::new("left behind");
    /// The pool had no buffer for a new packet.
    pub const NO_BUFFER: Self = Self::new("no buffer");

    /// A cause of one word.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self { kind: "", what }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.is_empty() { f.write_str(self.what) } else { write!(f, "{}: {}", self.kind, self.what) }
    }
}

impl From<WireError> for Cause {
    #[cold]
    fn from(error: WireError) -> Self {
        let (kind, what) = match error {
            WireError::Truncated { what, .. } => ("truncated", what),
            WireError::BadLength { what, .. } => ("bad length", what),
            WireError::BadValue { what, .. } => ("bad value", what),
            WireError::TooMany { what, .. } => ("too many", what),
        };
        Self { kind, what }
    }
}

impl From<NoRoom> for Cause {
    #[cold]
    fn from(_: NoRoom) -> Self {
        Self::new("no room in the buffer")
    }
}

/// Packets that ended, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops(Vec<(Cause, u64)>);

impl Drops {
    /// Counts `packets` more.
    #[cold]
    pub fn count(&mut self, cause: Cause, packets: u64) {
        if packets == 0 {
            return;
        }
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == cause) {
            *count += packets;
        } else if self.0.len() < CAUSES_MAX || cause == Cause::OTHER {
            self.0.push((cause, packets));
        } else {
            self.count(Cause::OTHER, packets);
        }
    }

    /// How many ended of this cause.
    #[must_use]
    pub fn of(&self, cause: Cause) -> u64 {
        self.0.iter().find(|(known, _)| *known == cause).map_or(0, |(_, count)| *count)
    }

    /// How many ended.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// All causes that have occurred, in the order in which they first did.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Adds another's counts to these.
    pub fn add(&mut self, other: &Self) {
        other.iter().for_each(|(cause, count)| self.count(cause, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_beyond_the_limit_share_one_count() {
        let mut drops = Drops::default();
        let names: Vec<&'static str> =
            (0..CAUSES_MAX + 9).map(|n| &*Box::leak(n.to_string().into_boxed_str())).collect();
        names.iter().for_each(|name| drops.count(Cause::new(name), 2));
        drops.count(Cause::new("7"), 1);
        assert_eq!((drops.of(Cause::new("7")), drops.of(Cause::OTHER)), (3, 18));
        assert_eq!(drops.total(), 2 * (CAUSES_MAX as u64 + 9) + 1);
        assert_eq!(drops.iter().count(), CAUSES_MAX + 1);
    }

    #[test]
    fn a_malformed_header_is_a_cause_of_its_own() {
        let wrong = packet::wire::udp::View::new_checked(&[0u8; 3][..]).unwrap_err();
        assert_eq!(Cause::from(wrong).to_string(), "truncated: udp header");
    }
}
