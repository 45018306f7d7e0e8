//! One flow: its two tuples, what it has carried, and what its users keep with it.

use std::fmt;
use std::hash::{Hash, Hasher};

use lookup::flow_table::FlowId;
use packet::flow::FlowKey;
use packet::wire::IpProtocol;

use super::tcp::{Tcp, TcpState};
use super::verdict::Direction;

/// A packet's tuple, and for ICMP queries which query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuple {
    pub(super) key: FlowKey,
    /// The ICMP type of the query (0 for what is not ICMP): two hosts may ping each other with the same identifier, and
    /// these are two flows. ICMPv6's echo has ICMP's number, so that a flow may cross from one family to the other.
    pub(super) query: u8,
    /// It answers the query.
    pub(super) answers: bool,
}

impl Tuple {
    /// The tuple of a packet with ports, or with addresses alone.
    #[inline]
    pub(super) const fn plain(key: FlowKey) -> Self {
        Self { key, query: 0, answers: false }
    }

    /// The tuple of the packets that come back.
    pub(super) fn reversed(self) -> Self {
        Self { key: self.key.reversed(), answers: self.query != 0 && !self.answers, ..self }
    }

    /// What both directions are found by.
    #[inline]
    pub(super) fn index(self) -> Index {
        let key = match (self.query, self.answers) {
            (0, _) => self.key.symmetric(),
            (_, false) => self.key,
            (_, true) => self.key.reversed(),
        };
        Index { key, query: self.query }
    }
}

/// What a flow is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Index {
    key: FlowKey,
    query: u8,
}

/// Queries between the same ends with the same identifier share a hash: there are five kinds of them.
impl Hash for Index {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// Packets and bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Packets that were not invalid.
    pub packets: u64,
    /// Their bytes from the IP header on.
    pub bytes: u64,
}

/// How firmly a flow is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// A packet came back.
    pub(super) replied: bool,
    /// It is not given up for new flows.
    pub(super) assured: bool,
}

/// What is particular to a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp(Tcp),
    Udp,
    Icmp,
    Other,
}

/// One flow, with what its user keeps with it in [`data`](Flow::data).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow<T> {
    /// The user's own: a translation, a backend, a rule.
    pub data: T,
    pub(super) original: Tuple,
    pub(super) reply: Tuple,
    /// The flow's entry among the altered reply tuples.
    pub(super) altered: Option<FlowId>,
    pub(super) transport: Transport,
    pub(super) standing: Standing,
    /// It stands among those that may be evicted.
    pub(super) is_candidate: bool,
    pub(super) since_ns: u64,
    pub(super) traffic: [Traffic; 2],
}

impl<T> Flow<T> {
    pub(super) fn new(original: Tuple, transport: Transport, now_ns: u64, data: T) -> Self {
        Self {
            data,
            original,
            reply: original.reversed(),
            altered: None,
            transport,
            standing: Standing::default(),
            is_candidate: false,
            since_ns: now_ns,
            traffic: [Traffic::default(); 2],
        }
    }

    /// The tuple of the packet that opened the flow.
    #[inline]
    #[must_use]
    pub const fn original(&self) -> &FlowKey {
        &self.original.key
    }

    /// The tuple its answers have: the original reversed, unless a translation altered it.
    #[inline]
    #[must_use]
    pub const fn reply(&self) -> &FlowKey {
        &self.reply.key
    }

    /// What travelled in a direction.
    #[inline]
    #[must_use]
    pub const fn traffic(&self, direction: Direction) -> Traffic {
        self.traffic[direction as usize]
    }

    /// The state of a TCP flow.
    #[inline]
    #[must_use]
    pub const fn tcp_state(&self) -> Option<TcpState> {
        match &self.transport {
            Transport::Tcp(tcp) => tcp.state(),
            Transport::Udp | Transport::Icmp | Transport::Other => None,
        }
    }

    /// Whether a packet came back.
    #[inline]
    #[must_use]
    pub const fn is_replied(&self) -> bool {
        self.standing.replied
    }

    /// Whether it is kept when the table is full: a TCP connection that was opened, a UDP flow of 2 s and more in both
    /// directions.
    #[inline]
    #[must_use]
    pub const fn is_assured(&self) -> bool {
        self.standing.assured
    }

    /// Whether a translation altered the reply tuple.
    #[inline]
    #[must_use]
    pub const fn is_altered(&self) -> bool {
        self.altered.is_some()
    }

    /// When its first packet came.
    #[inline]
    #[must_use]
    pub const fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// The protocol.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> IpProtocol {
        self.original.key.protocol()
    }

    /// Whether it may be forgotten to make room.
    pub(super) fn is_evictable(&self) -> bool {
        !self.standing.assured || self.tcp_state().is_some_and(TcpState::is_closing)
    }

    /// Which way `tuple` travels; `None` where it only shares the index.
    #[inline]
    pub(super) fn direction_of(&self, tuple: &Tuple) -> Option<Direction> {
        if *tuple == self.original {
            Some(Direction::Original)
        } else if *tuple == self.reply {
            Some(Direction::Reply)
        } else {
            None
        }
    }

    pub(super) fn count(&mut self, direction: Direction, bytes: usize) {
        let traffic = &mut self.traffic[direction as usize];
        traffic.packets += 1;
        traffic.bytes += bytes as u64;
    }
}

/// As `conntrack -L` has it, on one line.
impl<T> fmt::Display for Flow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [there, back] = self.traffic;
        write!(f, "{}", self.original.key)?;
        if let Some(state) = self.tcp_state() {
            write!(f, " {state}")?;
        }
        if self.is_altered() {
            write!(f, " reply {}", self.reply.key)?;
        }
        write!(f, " packets {}/{} bytes {}/{}", there.packets, back.packets, there.bytes, back.bytes)?;
        match self.standing {
            Standing { replied: false, .. } => f.write_str(" [UNREPLIED]"),
            Standing { assured: true, .. } => f.write_str(" [ASSURED]"),
            Standing { .. } => Ok(()),
        }
    }
}

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Nothing came in time, or a reset refused it.
    Expired,
    /// A new connection between the same ends took its place.
    Reopened,
    /// It made room for another.
    Evicted,
}
