//! The table of connections.

mod connection;

use std::fmt;
use std::net::IpAddr;

use lookup::flow_table::{FlowId, FlowTable};
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::IpProtocol;
use packet::wire::tcp::{self, Flags};

use super::event::{CloseCause, Direction, Event, Sink};
use super::holders::{Holder, Holders};
use super::policy::Policy;
use super::shared::{Counters, Exhausted, Shared, StreamConfig};
use super::stream::{Segment, Stream};
use connection::{Connection, Phase};

/// How long a connection is kept that nothing is heard of. The defaults are Suricata's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// While only one end has spoken.
    pub opening_ns: u64,
    /// While both may speak.
    pub established_ns: u64,
    /// After it closed, so that late segments of it do not begin another.
    pub closed_ns: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        const SECOND_NS: u64 = 1_000_000_000;
        Self { opening_ns: 60 * SECOND_NS, established_ns: 600 * SECOND_NS, closed_ns: 60 * SECOND_NS }
    }
}

/// The rules of a [`Reassembler`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Connections it follows at most. Their memory is reserved at the start.
    pub connections: usize,
    /// Of each stream.
    pub stream: StreamConfig,
    /// How overlaps are resolved, where [`Reassembler::set_policies`] does not say otherwise.
    pub policy: Policy,
    /// When connections are given up.
    pub timeouts: Timeouts,
    /// Whether connections are followed whose beginning was not seen. The sender of the first payload counts as initiator.
    pub midstream: bool,
    /// Whether an acknowledgement of bytes that were not seen ends the wait for them. Wrong where the two directions are
    /// captured apart, so that one may be ahead of the other.
    pub acknowledgements: bool,
    /// Whether segments with a wrong checksum are dropped, as receivers do (Ptacek and Newsham call this insertion). Captures
    /// made on an end host hold checksums that its interface was yet to compute.
    pub verify_checksums: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 1 << 16,
            stream: StreamConfig::default(),
            policy: Policy::default(),
            timeouts: Timeouts::default(),
            midstream: true,
            acknowledgements: true,
            verify_checksums: false,
        }
    }
}

/// What the table did since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableCounters {
    /// Connections opened.
    pub opened: u64,
    /// Connections closed.
    pub closed: u64,
    /// Segments of connections that were not followed because the table was full.
    pub table_full: u64,
    /// Frames that carry no whole TCP segment: other protocols, fragments.
    pub not_tcp: u64,
    /// Segments with a wrong checksum.
    pub bad_checksum: u64,
    /// Segments of no connection that may begin one.
    pub unknown: u64,
    /// Segments that came after the close.
    pub after_close: u64,
    /// SYNs that fit neither the connection nor its end.
    pub stray_syns: u64,
    /// Resets that do not fit.
    pub stray_resets: u64,
}

type PolicyOf = Box<dyn Fn(IpAddr) -> Policy + Send>;

/// Follows connections and tells their bytes in order. `T` is the user's state of a connection, made by its `Default` when
/// it opens and dropped when its entry leaves the table.
pub struct Reassembler<T> {
    config: Config,
    table: FlowTable<FlowKey, Connection<T>>,
    shared: Shared,
    holders: Holders,
    counters: TableCounters,
    policy_of: Option<PolicyOf>,
}

/// What one frame says, once it is known to be a whole segment.
struct Arrival<'a> {
    now_ns: u64,
    key: FlowKey,
    ack: u32,
    segment: Segment<'a>,
}

impl Arrival<'_> {
    const fn has(&self, flags: Flags) -> bool {
        self.segment.flags.contains(flags)
    }

    /// Whether it begins a connection rather than answers.
    const fn is_call(&self) -> bool {
        self.has(Flags::SYN) && !self.has(Flags::ACK)
    }
}

impl<T: Default> Reassembler<T> {
    /// Reserves all memory.
    #[must_use]
    pub fn new(config: Config, hasher: FlowHasher) -> Self {
        let shared = Shared::new(config.stream);
        Self {
            config,
            table: FlowTable::with_hasher(config.connections, hasher),
            holders: Holders::new(shared.pool.capacity()),
            shared,
            counters: TableCounters::default(),
            policy_of: None,
        }
    }

    /// Says which policy each receiving host has; asked when a connection opens.
    pub fn set_policies(&mut self, of: impl Fn(IpAddr) -> Policy + Send + 'static) {
        self.policy_of = Some(Box::new(of));
    }

    /// What the table did.
    #[must_use]
    pub const fn table_counters(&self) -> &TableCounters {
        &self.counters
    }

    /// What the streams did.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        self.shared.counters()
    }

    /// Bytes of the pool in use.
    #[must_use]
    pub const fn used_bytes(&self) -> usize {
        self.shared.used_bytes()
    }

    /// Connections in the table, closed ones among them until they time out.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// A lower bound on when [`Reassembler::expire`] has work.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.table.next_deadline_ns()
    }

    /// Takes a frame; `layers` are read from it. Everything it makes known is told before the call returns.
    #[inline]
    pub fn segment(&mut self, now_ns: u64, layers: &Layers, frame: &[u8], sink: &mut impl Sink<T>) {
        let Some(arrival) = self.admit(now_ns, layers, frame) else { return };
        let found = self.table.find(&arrival.key.symmetric(), now_ns);
        if let Some(id) = found.or_else(|| self.open(&arrival, sink)) {
            self.step(id, &arrival, sink);
        }
    }

    #[inline]
    fn admit<'a>(&mut self, now_ns: u64, layers: &Layers, frame: &'a [u8]) -> Option<Arrival<'a>> {
        let whole = layers.protocol == IpProtocol::TCP && layers.fragment.is_none();
        let key = if whole { FlowKey::of(layers, frame) } else { None };
        // A segment from an end to itself (the "land" attack) has no direction.
        let key = key.filter(|key| *key != key.reversed());
        let view = tcp::View::new_checked(layers.segment(frame)).ok();
        let (Some(key), Some(view)) = (key, view) else {
            self.counters.not_tcp += 1;
            return None;
        };
        if self.config.verify_checksums && !view.verify_checksum(key.source(), key.destination()) {
            self.counters.bad_checksum += 1;
            return None;
        }
        Some(Arrival { now_ns, key, ack: view.ack(), segment: view.into() })
    }

    /// Enters a connection if the segment may begin one.
    #[cold]
    fn open(&mut self, arrival: &Arrival<'_>, sink: &mut impl Sink<T>) -> Option<FlowId> {
        let call = arrival.is_call();
        let answer = arrival.has(Flags::SYN) && !call;
        let midstream = self.config.midstream && (answer || !arrival.segment.payload.is_empty());
        if arrival.has(Flags::RST) || !(call || midstream) {
            self.counters.unknown += 1;
            return None;
        }
        let initiator = if answer { arrival.key.reversed() } else { arrival.key };
        let connection = Connection::new(initiator, self.policies(&initiator));
        let deadline_ns = arrival.now_ns.saturating_add(self.config.timeouts.opening_ns);
        let Self { table, shared, counters, .. } = self;
        let gone = |_, mut old: Connection<T>| {
            counters.closed += u64::from(old.close(shared, CloseCause::Expired, sink));
        };
        match table.insert_with(initiator.symmetric(), connection, deadline_ns, arrival.now_ns, gone) {
            Ok(id) => {
                self.counters.opened += 1;
                self.table.get_mut(id)?.tell(sink, Event::Opened { midstream: !call });
                Some(id)
            }
            Err(_) => {
                self.counters.table_full += 1;
                None
            }
        }
    }

    /// Of both directions: the receiver's.
    fn policies(&self, initiator: &FlowKey) -> [Policy; 2] {
        [initiator.destination(), initiator.source()]
            .map(|receiver| self.policy_of.as_ref().map_or(self.config.policy, |of| of(receiver)))
    }

    #[inline]
    fn step(&mut self, id: FlowId, arrival: &Arrival<'_>, sink: &mut impl Sink<T>) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let mut direction = connection.direction_of(&arrival.key);
        if arrival.has(Flags::SYN) || connection.phase == Phase::Closed {
            if !self.admit_to(id, direction, arrival, sink) {
                return;
            }
            let Some(connection) = self.table.get_mut(id) else { return };
            direction = connection.direction_of(&arrival.key);
        }
        if arrival.has(Flags::RST) {
            return self.reset(id, direction, arrival, sink);
        }
        self.take(id, direction, arrival, sink);
        self.note_holders(id);
        self.touch(id, arrival.now_ns, sink);
    }

    /// Acknowledgement and payload.
    #[inline]
    fn take(&mut self, id: FlowId, direction: Direction, arrival: &Arrival<'_>, sink: &mut impl Sink<T>) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if arrival.has(Flags::ACK) && self.config.acknowledgements {
            let (stream, mut out) = connection.stream(direction.reversed(), sink);
            stream.acknowledge(&mut self.shared, arrival.ack, &mut out);
        }
        let mut taken = {
            let (stream, mut out) = connection.stream(direction, sink);
            stream.segment(&mut self.shared, &arrival.segment, &mut out)
        };
        while let Err(stopped) = taken {
            if self.config.stream.exhausted == Exhausted::DropSegment
                || !self.relieve(id, arrival.now_ns, sink)
            {
                self.shared.counters.no_room += 1;
                return;
            }
            let Some(connection) = self.table.get_mut(id) else { return };
            let (stream, mut out) = connection.stream(direction, sink);
            taken = stream.resume(&mut self.shared, &arrival.segment, stopped, &mut out);
        }
    }

    /// Settles what a SYN, or a segment after the close, is. Returns whether it belongs to the connection, which may be a
    /// new one in the place of the old.
    #[cold]
    fn admit_to(
        &mut self,
        id: FlowId,
        direction: Direction,
        arrival: &Arrival<'_>,
        sink: &mut impl Sink<T>,
    ) -> bool {
        let Some(connection) = self.table.get_mut(id) else { return false };
        let sequence = arrival.segment.sequence;
        if connection.phase == Phase::Closed {
            if !arrival.is_call() {
                self.counters.after_close += 1;
                return false;
            }
            self.restart(id, arrival.key, sink);
            return true;
        }
        if connection.fits_syn(direction, sequence) {
            if !arrival.is_call() {
                // The answer tells where the call began, should it not have been seen.
                connection.streams[direction.reversed() as usize].begin(arrival.ack);
            }
            return true;
        }
        if arrival.is_call() && connection.is_untouched(direction) {
            self.restart(id, arrival.key, sink); // called again, with another initial sequence number
            return true;
        }
        if !arrival.is_call() && connection.stray_call == Some((direction.reversed(), arrival.ack)) {
            // The other end has answered a call that did not fit: it knows of no other connection.
            self.restart(id, arrival.key.reversed(), sink);
            if let Some(connection) = self.table.get_mut(id) {
                connection.streams[Direction::FromInitiator as usize].begin(arrival.ack);
            }
            return true;
        }
        connection.stray_call = arrival.is_call().then_some((direction, sequence.wrapping_add(1)));
        self.counters.stray_syns += 1;
        false
    }

    /// Puts a new connection in the place of one.
    fn restart(&mut self, id: FlowId, initiator: FlowKey, sink: &mut impl Sink<T>) {
        let policies = self.policies(&initiator);
        let Some(connection) = self.table.get_mut(id) else { return };
        self.counters.closed += u64::from(connection.close(&mut self.shared, CloseCause::Reused, sink));
        *connection = Connection::new(initiator, policies);
        self.counters.opened += 1;
        connection.tell(sink, Event::Opened { midstream: false });
    }

    #[cold]
    fn reset(&mut self, id: FlowId, direction: Direction, arrival: &Arrival<'_>, sink: &mut impl Sink<T>) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if !connection.accepts_reset(direction, &arrival.segment, arrival.ack) {
            self.counters.stray_resets += 1;
            return;
        }
        self.counters.closed += u64::from(connection.close(&mut self.shared, CloseCause::Reset, sink));
        self.touch(id, arrival.now_ns, sink);
    }

    /// Closes the connection if both ends have finished, and sets its deadline.
    #[inline]
    fn touch(&mut self, id: FlowId, now_ns: u64, sink: &mut impl Sink<T>) {
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.streams.iter().all(Stream::is_finished) {
            self.counters.closed += u64::from(connection.close(&mut self.shared, CloseCause::Finished, sink));
        }
        let timeouts = &self.config.timeouts;
        let timeout_ns = match connection.update_phase() {
            Phase::Opening => timeouts.opening_ns,
            Phase::Established => timeouts.established_ns,
            Phase::Closed => timeouts.closed_ns,
        };
        self.table.set_deadline(id, now_ns.saturating_add(timeout_ns));
    }

    /// Queues the directions of a connection that have come to hold memory.
    #[inline]
    fn note_holders(&mut self, id: FlowId) {
        for direction in Direction::BOTH {
            let Some(connection) = self.table.get_mut(id) else { return };
            if connection.begins_to_hold(direction) {
                let is_live = |holder: &Holder| {
                    self.table.get(holder.id).is_some_and(|connection| connection.is_holder(holder))
                };
                let stamp = self.holders.push(id, direction, is_live);
                if let Some(connection) = self.table.get_mut(id) {
                    connection.held_since[direction as usize] = stamp;
                }
            }
        }
    }

    /// Frees memory at the cost of the stream that has held some for longest. `id` has just run out of it.
    #[cold]
    fn relieve(&mut self, id: FlowId, now_ns: u64, sink: &mut impl Sink<T>) -> bool {
        self.note_holders(id);
        let is_live = |holder: &Holder| {
            self.table.get(holder.id).is_some_and(|connection| connection.is_holder(holder))
        };
        let Some(holder) = self.holders.oldest(is_live) else { return false };
        let Some(connection) = self.table.get_mut(holder.id) else { return false };
        let relieved = {
            let (stream, mut out) = connection.stream(holder.direction, sink);
            stream.relieve(&mut self.shared, &mut out)
        };
        connection.begins_to_hold(holder.direction); // or has it ceased to?
        if holder.id != id && connection.streams.iter().all(Stream::is_finished) {
            self.touch(holder.id, now_ns, sink);
        }
        relieved
    }

    /// Gives up connections that have timed out, and tells what they held. Looks at no more than `most`; returns how many
    /// it gave up.
    pub fn expire(&mut self, now_ns: u64, most: usize, sink: &mut impl Sink<T>) -> usize {
        let Self { table, shared, counters, .. } = self;
        table.expire(now_ns, most, |_, mut connection| {
            counters.closed += u64::from(connection.close(shared, CloseCause::Expired, sink));
        })
    }

    /// Ends all connections: there is no more input. The table is empty then and can go on. Allocates a list of them.
    pub fn finish(&mut self, sink: &mut impl Sink<T>) {
        let ids: Vec<FlowId> = self.table.iter().map(|(id, ..)| id).collect();
        for id in ids {
            if let Some((_, mut connection)) = self.table.remove(id) {
                self.counters.closed += u64::from(connection.close(&mut self.shared, CloseCause::End, sink));
            }
        }
    }
}

impl<T> fmt::Debug for Reassembler<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reassembler")
            .field("config", &self.config)
            .field("connections", &self.table.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
