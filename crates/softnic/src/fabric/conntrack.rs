//! The connection table: one entry per flow, found by the 5-tuple of either direction.
//!
//! ```text
//!   heads: [•][ ][•]…      a hash bucket is a chain through the entries
//!           │     └───────────────┐
//!   flows: [ key 0 | key 1 | … ][ key 0 | key 1 | … ]…
//!                                key 0: client -> service address     (what the opener sends)
//!                                key 1: member -> client              (what the other side sends)
//!   lists: one per state, oldest first: expiry looks at fronts only
//! ```
//!
//! Address translation is nothing but the two keys: a packet of one direction leaves with the reverse of the other
//! direction's key. Where nothing is translated, the one is the reverse of the other already.
//!
//! All timeouts of a state are equal, so a list in the order of arrival is in the order of expiry. A packet only
//! notes the time; a flow that turns out to have been used when its turn comes goes to the back of its list. So
//! expiry does bounded work per call, and a packet of an established flow touches one entry.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use super::header::{Key, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN};
use super::report::FlowCounters;
use super::tables::NONE;

const SECOND: u64 = 1_000_000_000;

/// Flows looked at by one call of [`FlowTable::expire`].
pub(crate) const EXPIRE_WORK: usize = 256;
/// The most flows a table may be made for.
pub(crate) const FLOWS_LIMIT: usize = 1 << 26;

/// How far a flow has come; its list and its timeout.
///
/// After Linux' `nf_conntrack_proto_tcp.c`, with shorter timeouts: a container network sees every FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// SYN sent, no answer yet.
    TcpOpening,
    /// SYN answered.
    TcpAnswered,
    TcpEstablished,
    /// One side is done sending.
    TcpClosing,
    /// Both sides are done.
    TcpClosed,
    TcpReset,
    /// Packets in one direction only.
    UdpOneWay,
    UdpStream,
    EchoOneWay,
    EchoAnswered,
    OtherOneWay,
    OtherAnswered,
}

pub(crate) const STATES: usize = 12;

impl State {
    pub(crate) const fn timeout_ns(self) -> u64 {
        SECOND
            * match self {
                Self::TcpOpening | Self::TcpAnswered | Self::UdpOneWay => 30,
                Self::TcpEstablished => 3 * 3600, // RFC 5382 REQ-5 asks for two hours and four minutes
                Self::TcpClosing => 300,
                Self::TcpClosed => 30,
                Self::TcpReset => 10,
                Self::UdpStream => 180,
                Self::EchoOneWay | Self::EchoAnswered => 30,
                Self::OtherOneWay => 60,
                Self::OtherAnswered => 600,
            }
    }

    /// Whether a packet that opens a flow may take this one's place.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::TcpClosed | Self::TcpReset)
    }

    /// Whose flows make room when the table is full: those that are over, then those that never saw an answer.
    const EVICTABLE: [Self; 6] = [
        Self::TcpReset,
        Self::TcpClosed,
        Self::TcpOpening,
        Self::UdpOneWay,
        Self::EchoOneWay,
        Self::OtherOneWay,
    ];

    const fn is_unanswered(self) -> bool {
        matches!(self, Self::TcpOpening | Self::UdpOneWay | Self::EchoOneWay | Self::OtherOneWay)
    }
}

/// One flow.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) keys: [Key; 2],
    /// Where packets of each direction go.
    pub(crate) to: [u32; 2],
    /// The rule that allows it.
    pub(crate) rule: u32,
    pub(crate) state: State,
    /// Directions that sent a FIN, as bits.
    fins: u8,
    /// Counts the flows that used this entry, so that a reference to an old one is noticed.
    pub(crate) generation: u32,
    last_ns: u64,
    queued_ns: u64,
    chain: [u32; 2],
    previous: u32,
    next: u32,
}

impl Flow {
    /// What the headers of a packet of this direction are when it leaves: see the module's text.
    #[inline]
    pub(crate) fn translated(&self, direction: usize) -> Key {
        self.keys[1 - direction].reversed()
    }

    /// When its last packet came.
    pub(crate) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Whether an address changes.
    #[inline]
    pub(crate) fn is_translated(&self) -> bool {
        self.keys[0].source != self.keys[1].destination || self.keys[0].destination != self.keys[1].source
    }
}

/// A flow that was found, and the direction of the packet that it was found for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) flow: u32,
    pub(crate) direction: usize,
}

/// Why a flow could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    Full,
    /// One of its keys belongs to another flow.
    Collision,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

/// The table. Its memory is bounded by what it was made for.
#[derive(Debug)]
pub(crate) struct FlowTable {
    flows: Vec<Flow>,
    /// Chain ends: flow * 2 + direction.
    heads: Vec<u32>,
    free: u32,
    max: usize,
    lists: [List; STATES],
    hasher: FixedState,
    pub(crate) counters: FlowCounters,
}

impl FlowTable {
    pub(crate) fn new(max: usize, seed: u64) -> Self {
        let max = max.clamp(1, FLOWS_LIMIT);
        Self {
            flows: Vec::with_capacity(max),
            heads: vec![NONE; (max * 2).next_power_of_two()],
            free: NONE,
            max,
            lists: [List { head: NONE, tail: NONE }; STATES],
            hasher: FixedState::with_seed(seed),
            counters: FlowCounters { max: max as u64, ..FlowCounters::default() },
        }
    }

    #[inline]
    fn bucket(&self, key: &Key) -> usize {
        let mut hasher = self.hasher.build_hasher();
        for word in key.words() {
            hasher.write_u64(word);
        }
        hasher.finish() as usize & (self.heads.len() - 1)
    }

    #[inline]
    pub(crate) fn find(&self, key: &Key) -> Option<Found> {
        let mut link = self.heads[self.bucket(key)];
        while link != NONE {
            let (flow, direction) = (link >> 1, (link & 1) as usize);
            let entry = &self.flows[flow as usize];
            if entry.keys[direction] == *key {
                return Some(Found { flow, direction });
            }
            link = entry.chain[direction];
        }
        None
    }

    #[inline]
    pub(crate) fn get(&self, flow: u32) -> &Flow {
        &self.flows[flow as usize]
    }

    /// The flow, if the entry still holds the one that had this generation.
    pub(crate) fn get_if(&self, flow: u32, generation: u32) -> Option<&Flow> {
        self.flows.get(flow as usize).filter(|entry| entry.generation == generation && entry.to[0] != NONE)
    }

    /// Entries there are, free ones included: flows have numbers below.
    pub(crate) fn entries(&self) -> u32 {
        self.flows.len() as u32
    }

    pub(crate) fn is_live(&self, flow: u32) -> bool {
        self.flows[flow as usize].to[0] != NONE
    }

    pub(crate) fn redirect(&mut self, flow: u32, to: [u32; 2], rule: u32) {
        let entry = &mut self.flows[flow as usize];
        (entry.to, entry.rule) = (to, rule);
    }

    /// Adds a flow. A flow that is over makes room for one with the same key; a full table makes room as
    /// [`State::EVICTABLE`] says.
    pub(crate) fn open(
        &mut self,
        now: u64,
        keys: [Key; 2],
        to: [u32; 2],
        rule: u32,
        state: State,
    ) -> Result<u32, OpenError> {
        if keys[0] == keys[1] {
            return Err(OpenError::Collision);
        }
        for key in &keys {
            if let Some(found) = self.find(key) {
                if !self.get(found.flow).state.is_over() {
                    return Err(OpenError::Collision);
                }
                self.remove(found.flow);
            }
        }
        let flow = self.take_entry(now).ok_or(OpenError::Full)?;
        let generation = self.flows.get(flow as usize).map_or(0, |old| old.generation);
        let entry = Flow {
            keys,
            to,
            rule,
            state,
            fins: 0,
            generation,
            last_ns: now,
            queued_ns: now,
            chain: [NONE; 2],
            previous: NONE,
            next: NONE,
        };
        match self.flows.get_mut(flow as usize) {
            Some(old) => *old = entry,
            None => self.flows.push(entry),
        }
        for (direction, key) in keys.iter().enumerate() {
            let bucket = self.bucket(key);
            self.flows[flow as usize].chain[direction] = self.heads[bucket];
            self.heads[bucket] = flow << 1 | direction as u32;
        }
        self.enqueue(flow, now);
        self.counters.opened += 1;
        self.counters.active += 1;
        Ok(flow)
    }

    fn take_entry(&mut self, now: u64) -> Option<u32> {
        if self.free == NONE && self.flows.len() == self.max && self.expire(now) == 0 {
            let Some(victim) = self.victim() else {
                self.counters.refused += 1;
                return None;
            };
            self.counters.evicted += 1;
            self.remove(victim);
        }
        if self.free == NONE {
            return Some(self.flows.len() as u32);
        }
        let flow = self.free;
        self.free = self.flows[flow as usize].next;
        Some(flow)
    }

    fn victim(&self) -> Option<u32> {
        let over = State::EVICTABLE.iter().filter(|state| !state.is_unanswered());
        let unanswered = State::EVICTABLE.iter().filter(|state| state.is_unanswered());
        let front = |state: &State| Some(self.lists[*state as usize].head).filter(|head| *head != NONE);
        let oldest = |flow: &u32| self.flows[*flow as usize].queued_ns;
        over.filter_map(front).min_by_key(oldest).or_else(|| unanswered.filter_map(front).min_by_key(oldest))
    }

    pub(crate) fn remove(&mut self, flow: u32) {
        for direction in 0..2 {
            self.unchain(flow, direction);
        }
        self.dequeue(flow);
        let free = self.free;
        let entry = &mut self.flows[flow as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.to = [NONE; 2];
        entry.next = free;
        self.free = flow;
        self.counters.active -= 1;
    }

    fn unchain(&mut self, flow: u32, direction: usize) {
        let sought = flow << 1 | direction as u32;
        let entry = &self.flows[flow as usize];
        let (next, bucket) = (entry.chain[direction], self.bucket(&entry.keys[direction]));
        let mut link = self.heads[bucket];
        if link == sought {
            self.heads[bucket] = next;
            return;
        }
        while link != NONE {
            let chain = &mut self.flows[(link >> 1) as usize].chain[(link & 1) as usize];
            if *chain == sought {
                *chain = next;
                return;
            }
            link = *chain;
        }
    }

    fn enqueue(&mut self, flow: u32, now: u64) {
        let state = self.flows[flow as usize].state as usize;
        let tail = std::mem::replace(&mut self.lists[state].tail, flow);
        if tail == NONE {
            self.lists[state].head = flow;
        } else {
            self.flows[tail as usize].next = flow;
        }
        let entry = &mut self.flows[flow as usize];
        (entry.previous, entry.next, entry.queued_ns) = (tail, NONE, now);
    }

    fn dequeue(&mut self, flow: u32) {
        let entry = &self.flows[flow as usize];
        let (previous, next, state) = (entry.previous, entry.next, entry.state as usize);
        match previous {
            NONE => self.lists[state].head = next,
            previous => self.flows[previous as usize].next = next,
        }
        match next {
            NONE => self.lists[state].tail = previous,
            next => self.flows[next as usize].previous = previous,
        }
    }

    /// Notes a packet of a flow, and what it does to the flow's state.
    #[inline]
    pub(crate) fn note(&mut self, found: Found, now: u64, flags: u8) {
        let entry = &mut self.flows[found.flow as usize];
        let (state, fins) = next_state(entry.state, entry.fins, found.direction, flags);
        entry.fins = fins;
        if entry.state != State::TcpReset {
            entry.last_ns = now;
        }
        if state != entry.state {
            self.change(found.flow, state, now);
        }
    }

    #[cold]
    fn change(&mut self, flow: u32, state: State, now: u64) {
        self.dequeue(flow);
        self.flows[flow as usize].state = state;
        self.enqueue(flow, now);
    }

    /// Removes flows whose time is up, looking at no more than [`EXPIRE_WORK`]; returns how many it removed.
    pub(crate) fn expire(&mut self, now: u64) -> usize {
        let mut removed = 0;
        let mut work = EXPIRE_WORK;
        for list in 0..STATES {
            while work > 0 && self.lists[list].head != NONE {
                let flow = self.lists[list].head;
                let entry = &self.flows[flow as usize];
                let timeout = entry.state.timeout_ns();
                if entry.queued_ns.saturating_add(timeout) > now {
                    break;
                }
                work -= 1;
                let last = entry.last_ns;
                if last.saturating_add(timeout) > now {
                    self.dequeue(flow);
                    self.enqueue(flow, last);
                } else {
                    self.remove(flow);
                    removed += 1;
                }
            }
        }
        self.counters.expired += removed as u64;
        removed
    }

    /// When [`FlowTable::expire`] has something to look at next.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let due = |list: &List| {
            let entry = self.flows.get(list.head as usize)?;
            Some(entry.queued_ns.saturating_add(entry.state.timeout_ns()))
        };
        self.lists.iter().filter_map(due).min()
    }
}

/// The state after a packet of this direction with these TCP flags (0 for other protocols).
#[inline]
fn next_state(state: State, fins: u8, direction: usize, flags: u8) -> (State, u8) {
    let answered = direction == 1;
    let next = match state {
        State::TcpReset | State::TcpClosed => return (state, fins),
        State::UdpOneWay if answered => State::UdpStream,
        State::EchoOneWay if answered => State::EchoAnswered,
        State::OtherOneWay if answered => State::OtherAnswered,
        State::TcpOpening | State::TcpAnswered | State::TcpEstablished | State::TcpClosing => {
            return next_tcp(state, fins, direction, flags);
        }
        same => same,
    };
    (next, fins)
}

#[inline]
fn next_tcp(state: State, fins: u8, direction: usize, flags: u8) -> (State, u8) {
    if flags & TCP_RST != 0 {
        return (State::TcpReset, fins);
    }
    let fins = if flags & TCP_FIN == 0 { fins } else { fins | 1 << direction };
    let next = match (state, direction) {
        _ if fins == 0b11 => State::TcpClosed,
        _ if fins != 0 => State::TcpClosing,
        (State::TcpOpening, 1) if flags & TCP_SYN != 0 => State::TcpAnswered,
        (State::TcpAnswered, 0) if flags & (TCP_SYN | TCP_ACK) == TCP_ACK => State::TcpEstablished,
        _ => state,
    };
    (next, fins)
}
