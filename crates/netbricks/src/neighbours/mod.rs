//! Who is behind a gate, and at which Ethernet address: ARP (RFC 826) and neighbour discovery (RFC 4861) for functions
//! that route.
//!
//! ```text
//!  packet, next hop ──► send ──► known: out at the gate, with Ethernet addresses
//!                         └────► not known: waits, the link is asked, 3 times in 3 s
//!  ARP, neighbour discovery ──► input ──► answered, learnt from; what waited leaves
//! ```
//!
//! What is learnt serves for 30 s from the last sign of life; then the neighbour is asked again while packets go on, and
//! forgotten when it does not answer. Everything is bounded, and who sends on the link cannot fill it: only addresses of
//! the link are learnt, and of those only what was asked for, what was known, and who asks for one of ours.
//!
//! ```
//! use netbricks::Context;
//! use netbricks::neighbours::{Interface, Neighbours};
//! use packet::{Pool, PoolConfig, flow::FlowHasher, parse::Layers, wire::MacAddr};
//!
//! let pool = Pool::new(PoolConfig::default()).unwrap();
//! let link = Interface::new(MacAddr([2, 0, 0, 0, 0, 1]), vec!["10.0.0.1/24".parse()?]);
//! let mut neighbours = Neighbours::new(vec![link], &pool, FlowHasher::new(0x5eed));
//! let mut ctx = Context::new(1);
//!
//! neighbours.send(&mut ctx, 0, [10, 0, 0, 2].into(), pool.packet(&[0; 60]).unwrap());
//! assert_eq!(neighbours.held(), 1, "waits for the answer");
//! ctx.drain(0, |batch| {
//!     let question = Layers::of(batch.iter().next().unwrap().data()).unwrap();
//!     assert_eq!(question.network, packet::parse::Network::Arp);
//! });
//! # Ok::<(), netbricks::neighbours::SubnetError>(())
//! ```

mod frames;
mod interface;

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use lookup::flow_table::FlowTable;
use packet::flow::FlowHasher;
use packet::parse::Layers;
use packet::wire::{MacAddr, ethernet};
use packet::{Packet, Pool};

use crate::{Cause, Context, Gate, Report};

pub use interface::{Interface, Subnet, SubnetError};

/// Neighbours known at a time, all gates together.
pub const KNOWN_MAX: usize = 4096;
/// Of these, those that nobody asked for: they asked for us.
pub const UNASKED_MAX: usize = KNOWN_MAX / 4 * 3;
/// Neighbours asked for at a time.
pub const ASKING_MAX: usize = 256;
/// Packets that wait for one neighbour.
pub const WAITING_EACH_MAX: usize = 16;
/// Packets that wait.
pub const WAITING_MAX: usize = 256;
/// How often one is asked for before it counts as unreachable (RFC 4861 §10, `MAX_MULTICAST_SOLICIT`).
pub const QUESTIONS: u8 = 3;
/// How long an answer is waited for (RFC 4861 §10, `RETRANS_TIMER`).
pub const ANSWER_NS: u64 = 1_000_000_000;
/// How long an answer serves (RFC 4861 §10, `REACHABLE_TIME`).
pub const REACHABLE_NS: u64 = 30_000_000_000;
/// How long a neighbour is kept that is not sent to (Linux' `gc_stale_time`).
pub const UNUSED_NS: u64 = 60_000_000_000;

/// Entries that are looked at, for one that is learnt, whether they are out of use.
const EXPIRE_TURNS: usize = 8;

/// The neighbour did not answer.
pub const UNREACHABLE: Cause = Cause::new("neighbour does not answer");
/// Too many packets wait for this neighbour, or for all.
pub const QUEUE_FULL: Cause = Cause::new("neighbour queue full");
/// Too many neighbours are asked for, or known.
pub const TABLE_FULL: Cause = Cause::new("neighbour table full");
/// A message of address resolution that says nothing believable.
pub const DISBELIEVED: Cause = Cause::new("address resolution not believed");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    gate: Gate,
    address: IpAddr,
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.address {
            IpAddr::V4(address) => state.write_u64(u64::from(address.to_bits()) << 16 | u64::from(self.gate)),
            IpAddr::V6(address) => {
                state.write_u64((address.to_bits() >> 64) as u64);
                state.write_u64(address.to_bits() as u64);
                state.write_u64(u64::from(self.gate));
            }
        }
    }
}

/// A neighbour whose Ethernet address is known.
#[derive(Clone, Copy, Debug)]
struct Known {
    mac: MacAddr,
    /// From when on it is asked again, and how often it has been.
    ask_ns: u64,
    asked: u8,
}

/// A neighbour that is being asked for.
#[derive(Clone, Copy, Debug)]
struct Asking {
    key: Key,
    ask_ns: u64,
    asked: u8,
    waiting: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    questions: u64,
    answers: u64,
    learnt: u64,
}

/// The neighbours of all gates; see the [module's documentation](self).
#[derive(Debug)]
pub struct Neighbours {
    interfaces: Vec<Interface>,
    pool: Pool,
    known: FlowTable<Key, Known>,
    asking: Vec<Asking>,
    waiting: Vec<(Key, Packet)>,
    counters: Counters,
}

impl Neighbours {
    /// With one interface for each gate. Questions are made of buffers of `pool`.
    #[must_use]
    pub fn new(interfaces: Vec<Interface>, pool: &Pool, hasher: FlowHasher) -> Self {
        Self {
            interfaces,
            pool: pool.clone(),
            known: FlowTable::with_hasher(KNOWN_MAX, hasher),
            asking: Vec::with_capacity(ASKING_MAX),
            waiting: Vec::with_capacity(WAITING_MAX),
            counters: Counters::default(),
        }
    }

    /// A gate's side of its link.
    #[inline]
    #[must_use]
    pub fn interface(&self, gate: Gate) -> Option<&Interface> {
        self.interfaces.get(usize::from(gate))
    }

    /// The Ethernet address of a neighbour, if it is known. One that was not heard of for long is asked again meanwhile.
    #[inline]
    pub fn resolve(&mut self, ctx: &mut Context, gate: Gate, next_hop: IpAddr) -> Option<MacAddr> {
        let fixed = self.interface(gate)?.next_hop;
        if fixed.is_some() {
            return fixed;
        }
        let now_ns = ctx.now_ns();
        let id = self.known.find(&Key { gate, address: next_hop }, now_ns)?;
        self.known.set_deadline(id, now_ns.saturating_add(UNUSED_NS));
        let known = self.known.get_mut(id)?;
        if known.ask_ns > now_ns {
            return Some(known.mac);
        }
        if known.asked == QUESTIONS {
            self.known.remove(id);
            return None;
        }
        (known.asked, known.ask_ns) = (known.asked + 1, now_ns.saturating_add(ANSWER_NS));
        let mac = known.mac;
        self.ask(ctx, Key { gate, address: next_hop }, Some(mac));
        Some(mac)
    }

    /// Lets an Ethernet frame out at `gate` to the neighbour that has the address `next_hop`; its Ethernet addresses are
    /// written here, the EtherType is the caller's. Where the neighbour is not known yet the packet waits.
    #[inline]
    pub fn send(&mut self, ctx: &mut Context, gate: Gate, next_hop: IpAddr, mut packet: Packet) {
        match self.resolve(ctx, gate, next_hop) {
            Some(mac) => {
                if let Some(interface) = self.interface(gate) {
                    address(interface, mac, &mut packet);
                }
                ctx.send(gate, packet);
            }
            None => self.wait(ctx, Key { gate, address: next_hop }, packet),
        }
    }

    #[cold]
    fn wait(&mut self, ctx: &mut Context, key: Key, packet: Packet) {
        let on_link = self.interface(key.gate).is_some_and(|interface| interface.is_on_link(key.address));
        if !on_link {
            return ctx.drop(packet, UNREACHABLE);
        }
        let at = self.asking.iter().position(|asking| asking.key == key);
        if at.is_none() && self.asking.len() == ASKING_MAX {
            return ctx.drop(packet, TABLE_FULL);
        }
        let at = at.unwrap_or_else(|| {
            let ask_ns = ctx.now_ns().saturating_add(ANSWER_NS);
            self.asking.push(Asking { key, ask_ns, asked: 1, waiting: 0 });
            self.ask(ctx, key, None);
            self.asking.len() - 1
        });
        let asking = &mut self.asking[at];
        if asking.waiting == WAITING_EACH_MAX || self.waiting.len() == WAITING_MAX {
            return ctx.drop(packet, QUEUE_FULL);
        }
        asking.waiting += 1;
        self.waiting.push((key, packet));
    }

    fn ask(&mut self, ctx: &mut Context, key: Key, mac: Option<MacAddr>) {
        let Some(interface) = self.interfaces.get(usize::from(key.gate)) else { return };
        match frames::question(&self.pool, interface, key.address, mac) {
            Some(question) => {
                self.counters.questions += 1;
                ctx.send(key.gate, question);
            }
            None => ctx.count(Cause::NO_BUFFER, 1),
        }
    }

    /// Takes in ARP and neighbour discovery, and gives back what is neither. `layers` were read from the packet, which came
    /// in at `gate`. Tagged frames are given back: a gate is one link.
    #[inline]
    pub fn input(
        &mut self,
        ctx: &mut Context,
        gate: Gate,
        layers: &Layers,
        packet: Packet,
    ) -> Option<Packet> {
        if !layers.vlans.is_empty() {
            return Some(packet);
        }
        let Some(said) = frames::read(layers, &packet) else { return Some(packet) };
        match said {
            Some(said) => self.hear(ctx, gate, &said, packet),
            None => ctx.drop(packet, DISBELIEVED),
        }
        None
    }

    #[cold]
    fn hear(&mut self, ctx: &mut Context, gate: Gate, said: &frames::Said, mut packet: Packet) {
        let Some(interface) = self.interface(gate) else { return ctx.drop(packet, Cause::NO_GATE) };
        let mac = interface.mac;
        let asked = said.asked.filter(|(target, _)| interface.answers_for(*target));
        let believed = said
            .claim
            .filter(|(address, _)| interface.is_on_link(*address) && !interface.answers_for(*address));
        if let Some((address, claimed)) = believed {
            self.learn(ctx, Key { gate, address }, claimed, said.yields, asked.is_some());
        }
        if let Some((target, asker)) = asked {
            match frames::answer(&mut packet, mac, target, asker) {
                Ok(()) => {
                    self.counters.answers += 1;
                    ctx.send(gate, packet);
                }
                Err(no_room) => ctx.drop(packet, no_room.into()),
            }
        }
    }

    /// Takes note of a neighbour's claim. One of whom nothing was known is noted if it `asks` for us.
    fn learn(&mut self, ctx: &mut Context, key: Key, mac: MacAddr, yields: bool, asks: bool) {
        let now_ns = ctx.now_ns();
        let fresh = Known { mac, ask_ns: now_ns.saturating_add(REACHABLE_NS), asked: 0 };
        if let Some(known) = self.known.find(&key, now_ns).and_then(|id| self.known.get_mut(id)) {
            if known.mac == mac || !yields {
                *known = fresh;
            }
            return;
        }
        self.known.expire(now_ns, EXPIRE_TURNS, |_, _| ());
        let at = self.asking.iter().position(|asking| asking.key == key);
        if at.is_none() && (!asks || self.known.len() >= UNASKED_MAX) {
            return;
        }
        if self.known.insert(key, fresh, now_ns.saturating_add(UNUSED_NS), now_ns).is_err() {
            return ctx.count(TABLE_FULL, 1); // those who wait wait on, and fail in time
        }
        self.counters.learnt += 1;
        let Some(at) = at else { return };
        self.asking.swap_remove(at);
        let Some(interface) = self.interfaces.get(usize::from(key.gate)) else { return };
        for mut packet in take(&mut self.waiting, key) {
            address(interface, mac, &mut packet);
            ctx.send(key.gate, packet);
        }
    }

    /// When [`expire`](Self::expire) has work.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.asking.iter().map(|asking| asking.ask_ns).min()
    }

    /// Asks again for those who have not answered. Who was asked often enough is given up, and what waited for it goes to
    /// `unreachable`, with the gate it was to leave at.
    pub fn expire(&mut self, ctx: &mut Context, mut unreachable: impl FnMut(&mut Context, Gate, Packet)) {
        let now_ns = ctx.now_ns();
        for at in (0..self.asking.len()).rev() {
            let Asking { key, ask_ns, asked, .. } = self.asking[at];
            if ask_ns > now_ns {
                continue;
            }
            if asked == QUESTIONS {
                self.asking.swap_remove(at);
                take(&mut self.waiting, key).for_each(|packet| unreachable(ctx, key.gate, packet));
                continue;
            }
            (self.asking[at].asked, self.asking[at].ask_ns) = (asked + 1, now_ns.saturating_add(ANSWER_NS));
            self.ask(ctx, key, None);
        }
    }

    /// Packets that wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.waiting.len()
    }

    /// What it has counted.
    pub fn report(&self, report: &mut Report) {
        report.counter("neighbours known", self.known.len() as u64);
        report.counter("neighbours asked for", self.counters.questions);
        report.counter("neighbours learnt", self.counters.learnt);
        report.counter("neighbours answered", self.counters.answers);
    }
}

#[inline]
fn address(interface: &Interface, mac: MacAddr, packet: &mut Packet) {
    if let Some(link) = packet.data_mut().get_mut(..ethernet::HEADER_LEN) {
        let mut link = ethernet::View::new_unchecked(link);
        link.set_source(interface.mac);
        link.set_destination(mac);
    }
}

/// What waits for a neighbour, in the order in which it came.
fn take(waiting: &mut Vec<(Key, Packet)>, key: Key) -> impl Iterator<Item = Packet> {
    waiting.extract_if(.., move |(waits_for, _)| *waits_for == key).map(|(_, packet)| packet)
}

#[cfg(test)]
mod tests;
