//! What the tracker says of a packet, and what it has counted.

use std::fmt;

use lookup::flow_table::FlowId;

/// Which way a packet travels through its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// As the packet that opened the flow.
    Original,
    /// Against it.
    Reply,
}

impl Direction {
    /// The other one.
    #[inline]
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Original => "original",
            Self::Reply => "reply",
        })
    }
}

/// What a packet is to the flows known: `ct state` of nftables, and two more for what Linux never sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It opens a flow, or travels on in the direction of one that nothing has answered yet.
    New,
    /// It belongs to a flow that has seen both directions, or is the first answer.
    Established,
    /// An ICMP error about a packet of the flow.
    Related,
    /// A fragment that is not the first: it has no ports, so it belongs to no flow before it is put together.
    Fragment,
    /// Not tracked: not IP, or neighbour and multicast discovery.
    Untracked,
    /// It belongs to no flow, or not there in it.
    Invalid(Invalid),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::Established => f.write_str("established"),
            Self::Related => f.write_str("related"),
            Self::Fragment => f.write_str("fragment"),
            Self::Untracked => f.write_str("untracked"),
            Self::Invalid(reason) => write!(f, "invalid: {reason}"),
        }
    }
}

/// Why a packet is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Invalid {
    /// The TCP, UDP or ICMP checksum is wrong.
    Checksum,
    /// TCP flags that no connection has: none, SYN with FIN or RST, FIN without ACK, …
    Flags,
    /// A TCP segment of no known flow that cannot open one.
    NotOpening,
    /// A TCP segment that does not follow from the flow's state.
    OutOfState,
    /// Its sequence number lies beyond the receiver's window.
    SequenceAbove,
    /// It acknowledges what was never sent.
    AckAbove,
    /// A reset with a sequence number that was acknowledged before (RFC 5961 §3).
    Reset,
    /// An ICMP message that is neither a query, nor the answer to a known one, nor an error.
    IcmpType,
    /// The packet an ICMP error quotes cannot be read.
    Quote,
    /// An ICMP error about no known flow.
    Unrelated,
    /// An ICMP error that is not addressed to the sender of the packet it quotes.
    QuoteLies,
    /// Its tuple is that of a translated flow, the wrong way round.
    Collision,
    /// It would open a flow, and there is no room.
    TableFull,
}

impl Invalid {
    /// Every reason there is.
    pub const ALL: [Self; 13] = [
        Self::Checksum,
        Self::Flags,
        Self::NotOpening,
        Self::OutOfState,
        Self::SequenceAbove,
        Self::AckAbove,
        Self::Reset,
        Self::IcmpType,
        Self::Quote,
        Self::Unrelated,
        Self::QuoteLies,
        Self::Collision,
        Self::TableFull,
    ];

    /// The reason in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checksum => "wrong checksum",
            Self::Flags => "impossible TCP flags",
            Self::NotOpening => "opens no connection",
            Self::OutOfState => "does not follow from the state",
            Self::SequenceAbove => "sequence beyond the window",
            Self::AckAbove => "acknowledges what was not sent",
            Self::Reset => "reset out of sequence",
            Self::IcmpType => "ICMP type without a flow",
            Self::Quote => "unreadable quote",
            Self::Unrelated => "error about no known flow",
            Self::QuoteLies => "error to another than the quoted sender",
            Self::Collision => "tuple of a translated flow",
            Self::TableFull => "table full",
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the tracker says of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What it is.
    pub state: State,
    /// Which way it travels; for ICMP errors the error, not the packet it quotes, which travelled against it.
    pub direction: Direction,
    /// Its flow; for an invalid packet the one it claims to belong to, if there is one.
    pub flow: Option<FlowId>,
}

impl Verdict {
    pub(super) const fn of(state: State) -> Self {
        Self { state, direction: Direction::Original, flow: None }
    }
}

/// What a tracker has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets of known flows.
    pub found: u64,
    /// Flows opened.
    pub new: u64,
    /// ICMP errors about known flows.
    pub related: u64,
    /// Fragments that are not the first.
    pub fragments: u64,
    /// Packets that are not tracked.
    pub untracked: u64,
    /// TCP segments that passed without changing their flow: too old, or perhaps about another connection.
    pub ignored: u64,
    /// TCP flows replaced by a new connection between the same ends.
    pub reopened: u64,
    /// Flows forgotten because nothing came in time.
    pub expired: u64,
    /// Flows forgotten to make room.
    pub evicted: u64,
    /// Flows forgotten because the caller said so.
    pub removed: u64,
    /// Reply tuples that could not be altered because another flow has them.
    pub collisions: u64,
    invalid: [u64; Invalid::ALL.len()],
}

impl Counters {
    /// Packets that were invalid for this reason.
    #[must_use]
    pub const fn invalid(&self, reason: Invalid) -> u64 {
        self.invalid[reason as usize]
    }

    /// Packets that were invalid.
    #[must_use]
    pub fn invalid_total(&self) -> u64 {
        self.invalid.iter().sum()
    }

    /// Flows that were not opened for want of room.
    #[must_use]
    pub const fn full(&self) -> u64 {
        self.invalid(Invalid::TableFull)
    }

    #[inline]
    pub(super) fn count(&mut self, state: State) {
        match state {
            State::New | State::Established => {}
            State::Related => self.related += 1,
            State::Fragment => self.fragments += 1,
            State::Untracked => self.untracked += 1,
            State::Invalid(reason) => self.invalid[reason as usize] += 1,
        }
    }
}

/// One line, and one more for each reason a packet was invalid.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "found {} new {} related {} fragments {} untracked {} ignored {} reopened {} expired {} evicted {} \
             removed {} collisions {} invalid {}",
            self.found,
            self.new,
            self.related,
            self.fragments,
            self.untracked,
            self.ignored,
            self.reopened,
            self.expired,
            self.evicted,
            self.removed,
            self.collisions,
            self.invalid_total()
        )?;
        let seen = Invalid::ALL.iter().filter(|reason| self.invalid(**reason) > 0);
        seen.into_iter().try_for_each(|reason| write!(f, "\n  {reason}: {}", self.invalid(*reason)))
    }
}
