//! What becomes of frames and packets.

use crate::forwarder::Cause;
use crate::header::Header;

/// Why a frame or a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// It is no frame of a router.
    Malformed,
    /// Its sender has another network file.
    Foreign,
    /// It is of another life of its link.
    Stale,
    /// It was overtaken.
    Late,
    /// A control message before it is missing.
    Ahead,
    /// No router has the number.
    NoRouter,
    /// As the last plan says, no way leads there.
    Unreachable,
    /// A ghost has used up its hops.
    Hops,
    /// What the forwarder says.
    By(Cause),
}

impl Refused {
    /// It in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Foreign => "from a router with another network file",
            Self::Stale => "of an earlier life of its link",
            Self::Late => "overtaken on its link",
            Self::Ahead => "a control message before it is missing",
            Self::NoRouter => "for a router that does not exist",
            Self::Unreachable => "no way to its destination",
            Self::Hops => "a ghost's hops used up",
            Self::By(Cause::Isolated) => "no live link leads on",
            Self::By(Cause::OutOfOrder) => "against the order of its link",
            Self::By(Cause::UnknownLink) => "its link is not in the graph",
        }
    }
}

/// By which port a packet leaves, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The port.
    pub port: u16,
    pub(super) destination: u16,
    pub(super) header: Header,
}

/// What becomes of a frame or packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was the router's own.
    Taken,
    /// It is for what is attached here; the IP packet begins behind so many bytes.
    Deliver {
        /// How many.
        skip: usize,
    },
    /// It leaves: without its first bytes, with those in front that [`Node::seal`](super::Node::seal) gives.
    Forward {
        /// How many bytes it loses.
        skip: usize,
        /// How it leaves.
        way: Way,
    },
    /// It is gone. Where it was a packet, that begins behind `skip` bytes.
    Drop {
        /// Why.
        refused: Refused,
        /// Where the IP packet begins, if there is one.
        skip: Option<usize>,
    },
}
