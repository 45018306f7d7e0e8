//! The network: nodes, links, routes, and the loop that moves packets.

use std::fmt;
use std::ops::ControlFlow;

use crate::arena::{Arena, Hop};
use crate::events::{Events, Key, LinkEvent, Source};
use crate::link::{Arrival, LEVELS_MAX, Link, LinkSpec, LinkStats, Placed};
use crate::packets::{NodeId, Packet};
use crate::random::Random;
use crate::report::{LinkId, NetworkError, NetworkStats, Progress};
use crate::time::Time;
use crate::trace::{Kind, Record, Trace};

/// Most nodes: a table of all pairs is kept, 4 bytes each.
pub const NODES_MAX: usize = 4096;
/// Most links, one way each.
pub const LINKS_MAX: usize = 1 << 20;
/// Most links a packet crosses; then it is dropped and counted, for routes may be circles.
pub const HOPS_MAX: u8 = u8::MAX;
/// Events between two calls of a progress function.
pub const PROGRESS_EVENTS: u64 = 1 << 20;

/// No link, in the table of routes.
const NONE: u32 = u32::MAX;

/// What runs at the nodes. Every call may send packets and ask for timers.
pub trait Hosts<B> {
    /// A packet has reached its node.
    fn packet(&mut self, net: &mut Network<B>, at: NodeId, packet: Packet<B>);

    /// It is the time that was asked for.
    fn timer(&mut self, net: &mut Network<B>, token: u64);

    /// A packet with [`Packet::tell_departure`] has left the queue of its first link.
    fn departed(&mut self, net: &mut Network<B>, flow: u64) {
        let _ = (net, flow);
    }
}

/// Nodes, links, and the packets between.
pub struct Network<B> {
    now: Time,
    sequence: u64,
    seed: u64,
    events: Events,
    arena: Arena<B>,
    links: Vec<Link>,
    starts: Vec<NodeId>,
    nodes: usize,
    /// By node, then destination.
    routes: Vec<u32>,
    /// Nodes that the table of routes is for.
    width: usize,
    stats: NetworkStats,
    /// Flows whose packet has left its first queue, to be told.
    departed: Vec<u64>,
    trace: Option<Box<dyn Trace<B>>>,
}

impl<B> fmt::Debug for Network<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("now", &self.now)
            .field("nodes", &self.nodes)
            .field("links", &self.links.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl<B: Copy> Network<B> {
    /// Without nodes. The seed is for the faults of links.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            sequence: 0,
            seed,
            events: Events::default(),
            arena: Arena::new(),
            links: Vec::new(),
            starts: Vec::new(),
            nodes: 0,
            routes: Vec::new(),
            width: 0,
            stats: NetworkStats::default(),
            departed: Vec::new(),
            trace: None,
        }
    }

    /// Adds a node.
    ///
    /// # Errors
    /// There are [`NODES_MAX`] already.
    pub fn add_node(&mut self) -> Result<NodeId, NetworkError> {
        if self.nodes == NODES_MAX {
            return Err(NetworkError::TooManyNodes);
        }
        self.nodes += 1;
        Ok(NodeId((self.nodes - 1) as u32))
    }

    /// Adds a link that carries one way.
    ///
    /// # Errors
    /// An unknown node, a share of loss or reordering outside 0 to 1, one link too many.
    pub fn add_link(&mut self, from: NodeId, to: NodeId, spec: LinkSpec) -> Result<LinkId, NetworkError> {
        self.index(from)?;
        self.index(to)?;
        spec.check()?;
        if self.links.len() == LINKS_MAX {
            return Err(NetworkError::TooManyLinks);
        }
        let id = LinkId(self.links.len() as u32);
        self.links.push(Link::new(to, spec, Random::new(self.seed, u64::from(id.0))));
        self.starts.push(from);
        Ok(id)
    }

    /// Sends packets for `to` that are at `at` over a link, from now on.
    ///
    /// # Errors
    /// An unknown node or link, or a link that does not start there.
    pub fn set_route(&mut self, at: NodeId, to: NodeId, link: LinkId) -> Result<(), NetworkError> {
        let (node, to) = (self.index(at)?, self.index(to)?);
        let start = self.starts.get(link.0 as usize).ok_or(NetworkError::UnknownLink(link))?;
        if *start != at {
            return Err(NetworkError::NotThere { link, node: at });
        }
        if self.width != self.nodes {
            self.lay_out_routes();
        }
        self.routes[node * self.width + to] = link.0;
        Ok(())
    }

    /// Makes the table as wide as there are nodes, with what is in it.
    fn lay_out_routes(&mut self) {
        let (width, old) = (self.nodes, self.width);
        let mut routes = vec![NONE; width * width];
        for node in 0..old {
            routes[node * width..][..old].copy_from_slice(&self.routes[node * old..][..old]);
        }
        (self.routes, self.width) = (routes, width);
    }

    fn index(&self, node: NodeId) -> Result<usize, NetworkError> {
        let index = node.0 as usize;
        if index < self.nodes { Ok(index) } else { Err(NetworkError::UnknownNode(node)) }
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What the network as a whole did.
    pub fn stats(&self) -> NetworkStats {
        self.stats
    }

    /// What a link did.
    pub fn link_stats(&self, link: LinkId) -> Option<&LinkStats> {
        self.links.get(link.0 as usize).map(|link| &link.stats)
    }

    /// What every link did, by number.
    pub fn all_link_stats(&self) -> impl Iterator<Item = (LinkId, &LinkStats)> {
        (0..).map(LinkId).zip(self.links.iter().map(|link| &link.stats))
    }

    /// The link a node sends packets for another over.
    pub fn route(&self, at: NodeId, to: NodeId) -> Option<LinkId> {
        self.link_towards(at, to.0 as usize).map(LinkId)
    }

    fn link_towards(&self, at: NodeId, to: usize) -> Option<u32> {
        let at = at.0 as usize;
        if at >= self.width || to >= self.width {
            return None; // without routes so far
        }
        self.routes.get(at * self.width + to).copied().filter(|link| *link != NONE)
    }

    /// Slots and entries of the event queue that memory is held for: in steady state these stay as they are.
    pub fn capacities(&self) -> (usize, usize) {
        (self.arena.capacity(), self.events.capacity())
    }

    /// Has every event of a packet recorded, from now on.
    pub fn set_trace(&mut self, trace: Box<dyn Trace<B>>) {
        self.trace = Some(trace);
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// What was recorded could not be written.
    pub fn end_trace(&mut self) -> Result<(), crate::trace::TraceError> {
        self.trace.take().map_or(Ok(()), |mut trace| trace.finish())
    }

    /// Asks for [`Hosts::timer`] at a time, or at once if that is over. It cannot be taken back: hosts look whether it still
    /// matters.
    pub fn timer_at(&mut self, time: Time, token: u64) {
        let key = self.key(time.max(self.now));
        self.events.timers.push(key, token);
    }

    /// Sends a packet from a node. It goes into the queue of the link that leads to its destination, or is dropped and counted
    /// where there is none.
    pub fn send(&mut self, at: NodeId, packet: Packet<B>) {
        let Packet { to, bytes, level, tell_departure, flow, body } = packet;
        let level = level.min(LEVELS_MAX as u8 - 1);
        let slot = if (to.0 as usize) < self.nodes { self.arena.put(flow, body) } else { None };
        let Some(slot) = slot else {
            let count = if (to.0 as usize) < self.nodes {
                &mut self.stats.overflowed
            } else {
                &mut self.stats.unrouted
            };
            *count += 1;
            if tell_departure {
                self.departed.push(flow);
            }
            return;
        };
        self.forward(at, Hop { slot, bytes, to: to.0 as u16, level, hops: 0, tell_departure });
    }

    /// Drops the packets of a flow that wait for a link at levels from `level` on.
    pub fn flush(&mut self, link: LinkId, flow: u64, level: u8) {
        let Self { links, arena, departed, trace, now, .. } = self;
        if let Some(queue) = links.get_mut(link.0 as usize) {
            queue.flush(arena, flow, level, |arena, hop| {
                Self::gone(arena, departed, trace, *now, Some(link), Kind::Flush, hop);
            });
        }
    }

    /// Runs until nothing is left to happen, or the next event would be later than `until`.
    pub fn run(&mut self, hosts: &mut impl Hosts<B>, until: Time) {
        let _ = self.run_with(hosts, until, |_| ControlFlow::Continue(()));
    }

    /// As [`Network::run`], telling every [`PROGRESS_EVENTS`] events how far it is; it ends when told to break.
    pub fn run_with(
        &mut self,
        hosts: &mut impl Hosts<B>,
        until: Time,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        while let Some((key, source)) = self.events.first().filter(|(key, _)| key.time() <= until) {
            self.now = key.time();
            self.stats.events += 1;
            match source {
                Source::Links => self.link_event(hosts),
                Source::Timers => {
                    let timer = self.events.timers.pop();
                    timer.into_iter().for_each(|(_, token)| hosts.timer(self, token));
                }
                Source::Late => {
                    let late = self.events.late.pop();
                    late.into_iter().for_each(|(_, (link, hop))| self.land(hosts, link, hop));
                }
            }
            while let Some(flow) = self.departed.pop() {
                hosts.departed(self, flow);
            }
            if self.stats.events.is_multiple_of(PROGRESS_EVENTS) {
                let NetworkStats { events, hops, .. } = self.stats;
                progress(Progress { now: self.now, events, hops, under_way: self.arena.in_use() })?;
            }
        }
        ControlFlow::Continue(())
    }

    fn key(&mut self, time: Time) -> Key {
        self.sequence += 1;
        Key::new(time, self.sequence)
    }

    /// The first event of a link. What it brings about takes its place in the heap.
    fn link_event(&mut self, hosts: &mut impl Hosts<B>) {
        let Some(&(_, (id, event))) = self.events.links.peek() else { return };
        let link = &mut self.links[id as usize];
        match event {
            LinkEvent::Arrive => {
                let arrived = link.wire.pop_front();
                match link.wire.front() {
                    None => drop(self.events.links.pop()),
                    Some((key, _)) => self.events.links.replace_first(*key, (id, LinkEvent::Arrive)),
                }
                arrived.into_iter().for_each(|(_, hop)| self.land(hosts, id, hop));
            }
            LinkEvent::Free => {
                link.waiting = false;
                let next = link.dequeue();
                link.waiting = next.is_some() && !link.is_empty();
                if let (Some(hop), true) = (next, link.waiting) {
                    let free_at = self.now + link.rate.time_of(u64::from(hop.bytes));
                    let key = self.key(free_at);
                    self.events.links.replace_first(key, (id, LinkEvent::Free));
                } else {
                    self.events.links.pop();
                }
                next.into_iter().for_each(|hop| self.transmit(id, hop));
            }
        }
    }

    fn land(&mut self, hosts: &mut impl Hosts<B>, link: u32, hop: Hop) {
        let at = self.links[link as usize].to;
        if u32::from(hop.to) != at.0 {
            return self.forward(at, hop);
        }
        let packet = self.arena.get(&hop);
        self.arena.release(hop.slot);
        self.stats.delivered += 1;
        if let Some(trace) = &mut self.trace {
            trace.record(&Record { time: self.now, kind: Kind::Deliver, link: Some(LinkId(link)) }, &packet);
        }
        hosts.packet(self, at, packet);
    }

    /// On to the next link.
    fn forward(&mut self, at: NodeId, mut hop: Hop) {
        let Some(link) = self.link_towards(at, usize::from(hop.to)) else {
            self.stats.unrouted += 1;
            return self.drop_hop(None, hop);
        };
        if hop.hops == HOPS_MAX {
            self.stats.looped += 1;
            return self.drop_hop(Some(LinkId(link)), hop);
        }
        hop.hops += 1;
        let queue = &mut self.links[link as usize];
        if queue.free_at <= self.now && !queue.waiting {
            return self.transmit(link, hop);
        }
        if let Some(trace) = &mut self.trace {
            let record = Record { time: self.now, kind: Kind::Queue, link: Some(LinkId(link)) };
            trace.record(&record, &self.arena.get(&hop));
        }
        let Self { arena, departed, trace, now, .. } = self;
        queue.enqueue(hop, |hop| {
            Self::gone(arena, departed, trace, *now, Some(LinkId(link)), Kind::Drop, hop);
        });
        if !queue.waiting && !queue.is_empty() {
            queue.waiting = true;
            let free_at = queue.free_at;
            let key = self.key(free_at);
            self.events.links.push(key, (link, LinkEvent::Free));
        }
    }

    fn transmit(&mut self, id: u32, mut hop: Hop) {
        let link = &mut self.links[id as usize];
        let arrival = link.transmit(self.now, u64::from(hop.bytes));
        self.stats.hops += 1;
        if hop.tell_departure {
            hop.tell_departure = false;
            self.departed.push(self.arena.flow(hop.slot));
        }
        if let Some(trace) = &mut self.trace {
            let record = Record { time: self.now, kind: Kind::Send, link: Some(LinkId(id)) };
            trace.record(&record, &self.arena.get(&hop));
        }
        let Some(Arrival { time, .. }) = arrival else {
            let Self { arena, departed, trace, now, .. } = self;
            return Self::gone(arena, departed, trace, *now, Some(LinkId(id)), Kind::Lose, hop);
        };
        self.sequence += 1;
        let key = Key::new(time, self.sequence);
        match link.place(key, hop) {
            Placed::First => self.events.links.push(key, (id, LinkEvent::Arrive)),
            Placed::Behind => {}
            Placed::Overtakes => self.events.late.push(key, (id, hop)),
        }
    }

    fn drop_hop(&mut self, link: Option<LinkId>, hop: Hop) {
        let Self { arena, departed, trace, now, .. } = self;
        Self::gone(arena, departed, trace, *now, link, Kind::Drop, hop);
    }

    /// A packet is no more.
    fn gone(
        arena: &mut Arena<B>,
        departed: &mut Vec<u64>,
        trace: &mut Option<Box<dyn Trace<B>>>,
        time: Time,
        link: Option<LinkId>,
        kind: Kind,
        hop: Hop,
    ) {
        let packet = arena.get(&hop);
        arena.release(hop.slot);
        if packet.tell_departure {
            departed.push(packet.flow);
        }
        if let Some(trace) = trace {
            trace.record(&Record { time, kind, link }, &packet);
        }
    }
}
