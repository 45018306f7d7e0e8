//! Whose bytes count where segments overlap.

use std::fmt;
use std::str::FromStr;

/// How the receiving host resolves segments that overlap with different content.
///
/// An attacker who knows that the monitor and the target resolve them differently shows each another stream (Ptacek and
/// Newsham, "Insertion, Evasion, and Denial of Service", 1998, section 5). So the monitor takes on the target's way: Shankar
/// and Paxson, "Active Mapping", 2003; Novak and Sturges, "Target-Based TCP Stream Reassembly", 2007. The names and the rules
/// are those of Suricata's `host-os-policy` and Snort's `stream_tcp.policy`.
///
/// Each policy is a total order of segments, and a byte belongs to the best of the segments that cover it:
///
/// | policy | the new segment takes the overlap where it … | hosts |
/// |---|---|---|
/// | `First` | never does | Windows Vista and later |
/// | `Last` | always does | Cisco IOS |
/// | `Bsd` | starts before the old one | the BSDs, macOS, Windows up to 2003 |
/// | `Linux` | starts before it, or starts with it and ends after it | Linux 2.4 and later |
/// | `OldLinux` | starts before it, or starts with it and does not end before it | Linux 2.2 |
///
/// Start and end are those the segments arrived with, also where another has since taken a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// What came first stays.
    First,
    /// What comes last replaces.
    Last,
    /// Earlier start wins; the first of those that start together.
    Bsd,
    /// Earlier start wins; of those that start together the longest, the first of equals.
    #[default]
    Linux,
    /// Earlier start wins; of those that start together the longest, the last of equals.
    OldLinux,
}

/// Where a segment lay when it arrived, as stream positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extent {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 5] = [Self::First, Self::Last, Self::Bsd, Self::Linux, Self::OldLinux];

    /// Whether bytes of `new` replace those of `old`, which arrived before it.
    #[inline]
    pub(super) const fn replaces(self, new: Extent, old: Extent) -> bool {
        let (earlier, together) = (new.start < old.start, new.start == old.start);
        match self {
            Self::First => false,
            Self::Last => true,
            Self::Bsd => earlier,
            Self::Linux => earlier || together && new.end > old.end,
            Self::OldLinux => earlier || together && new.end >= old.end,
        }
    }

    /// The name configurations use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Bsd => "bsd",
            Self::Linux => "linux",
            Self::OldLinux => "old-linux",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No policy has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no overlap policy {0:?}: first, last, bsd, linux or old-linux")]
pub struct UnknownPolicy(pub String);

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == text)
            .ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("windows".parse::<Policy>(), Err(UnknownPolicy("windows".to_owned())));
    }
}
