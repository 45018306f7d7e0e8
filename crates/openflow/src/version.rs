//! The protocol versions spoken here.

use std::fmt;

/// A version of the wire protocol, as in the first byte of every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// OpenFlow 1.0 (wire version 1).
    V10,
    /// OpenFlow 1.3 (wire version 4).
    V13,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 2] = [Self::V10, Self::V13];

    /// The version of that wire byte; `None` for one that is not spoken here.
    #[must_use]
    pub const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::V10),
            4 => Some(Self::V13),
            _ => None,
        }
    }

    /// The wire byte.
    #[must_use]
    pub const fn wire(self) -> u8 {
        match self {
            Self::V10 => 1,
            Self::V13 => 4,
        }
    }
}

impl fmt::Display for Version {
    /// `OF1.0`, `OF1.3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V10 => "OF1.0",
            Self::V13 => "OF1.3",
        })
    }
}
