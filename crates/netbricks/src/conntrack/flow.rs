//! One flow: its two tuples, what it has carried, and what its users keep with it.

use std::fmt;

use lookup::flow_table::FlowId;
use packet::flow::FlowKey;
use packet::wire::IpProtocol;

use super::tcp::{Tcp, TcpState};
use super::verdict::Direction;
use super::way::Way;

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

/// Of all a flow is made of, this has the most values that never occur, so the compiler uses one of them where a place in a
/// table holds no flow. A lookup then asks that of a cache line that it reads anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum First {
    Here,
}

/// One flow, with what its user keeps with it in [`data`](Flow::data).
///
/// In this order, so that a packet touches the beginning and nothing else: the first 8 bytes lie in one cache line with the
/// table's key, what TCP needs in the next, the counts behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C)]
pub struct Flow<T> {
    first: First,
    /// The original direction is the one that runs [against](Way::against) the index.
    against: bool,
    is_altered: bool,
    /// It stands among those that may be evicted.
    pub(super) is_candidate: bool,
    pub(super) standing: Standing,
    pub(super) transport: Transport,
    pub(super) traffic: [Traffic; 2],
    pub(super) since_ns: u64,
    /// The user's own: a translation, a backend, a rule.
    pub data: T,
    /// The flow's entry among the altered reply tuples, if it has one.
    altered: FlowId,
    pub(super) original: Tuple,
    reply: Tuple,
}

impl<T> Flow<T> {
    pub(super) fn new(way: &Way, transport: Transport, now_ns: u64, data: T) -> Self {
        let original = way.tuple();
        Self {
            first: First::Here,
            against: way.against,
            is_altered: false,
            data,
            original,
            reply: original.reversed(),
            altered: FlowId::NONE,
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
        self.is_altered
    }

    /// The flow's entry among the altered reply tuples.
    pub(super) const fn altered(&self) -> Option<FlowId> {
        if self.is_altered { Some(self.altered) } else { None }
    }

    /// Gives it a reply tuple, altered where it has an entry for it.
    pub(super) fn alter(&mut self, reply: Tuple, altered: Option<FlowId>) {
        (self.reply, self.is_altered) = (reply, altered.is_some());
        self.altered = altered.unwrap_or(FlowId::NONE);
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
    #[inline]
    pub(super) fn is_evictable(&self) -> bool {
        !self.standing.assured || self.tcp_state().is_some_and(TcpState::is_closing)
    }

    /// Which way a packet travels; `None` where it only shares the index. `own` says that it was found under the index of
    /// the flow itself: then its tuple is the original or that reversed, and if nobody altered the reply this is all there is.
    #[inline(always)]
    pub(super) fn direction_of(&self, way: &Way, own: bool) -> Option<Direction> {
        if own && way.against == self.against {
            Some(Direction::Original)
        } else if own && !self.is_altered {
            Some(Direction::Reply)
        } else {
            (way.tuple() == self.reply).then_some(Direction::Reply)
        }
    }

    /// Reads a word of each cache line that a packet touches, so that they are there when it comes.
    #[inline]
    pub(super) const fn touch(&self) -> u64 {
        let transport = match &self.transport {
            Transport::Tcp(tcp) => tcp.touch(),
            Transport::Udp | Transport::Icmp | Transport::Other => 0,
        };
        let counts = self.traffic[0].packets ^ self.traffic[1].bytes;
        // Whoever alters the reply sends packets on by these.
        let tuples =
            if self.is_altered { self.since_ns ^ (self.original.query ^ self.reply.query) as u64 } else { 0 };
        transport as u64 ^ counts ^ tuples
    }

    /// [`touch`](Self::touch), but for the tuples.
    #[inline]
    pub(super) const fn touch_state(&self) -> u64 {
        let transport = match &self.transport {
            Transport::Tcp(tcp) => tcp.touch(),
            Transport::Udp | Transport::Icmp | Transport::Other => 0,
        };
        transport as u64 ^ self.traffic[0].packets
    }

    #[inline(always)]
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

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::super::way::Index;
    use super::*;

    /// The flow lies behind 16 bytes of the table's and the index, at the start of a cache line.
    #[test]
    fn a_packet_touches_three_cache_lines() {
        let flow = 16 + size_of::<Index>();
        assert_eq!(flow + offset_of!(Flow<u64>, transport), 64);
        assert!(flow + offset_of!(Flow<u64>, data) < 192, "traffic and a word of the user's");
        assert_eq!(size_of::<Option<Flow<std::net::SocketAddr>>>(), size_of::<Flow<std::net::SocketAddr>>());
    }
}
