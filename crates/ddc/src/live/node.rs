//! One router with all its links and destinations.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::destination::Destination;
use super::link::{Change, Link};
use super::report::{LinkReport, NodeReport};
use super::site::{Site, Timers};
use super::verdict::{Refused, Verdict, Way};
use super::wire::{Control, Item, Kind, Shim};
use crate::experiment::patience;
use crate::forwarder::Decision;
use crate::header::{Header, Phase};
use crate::map::{FAR, Map};
use crate::plan::{Plan, Priority};

/// The hops of a ghost. One that uses them up is lost, which the protocol stands; without a limit those of a network that is in
/// pieces would go on for ever.
pub const GHOST_HOPS: u16 = 1024;
/// The most ghosts that a router begins in a second. Packets after those whose ghosts it withholds do their work.
pub const GHOSTS_PER_SECOND: u64 = 1000;
const GHOSTS_BURST: u64 = 64;
const SECOND_NS: u64 = 1_000_000_000;

#[derive(Debug)]
struct Ghost {
    way: Way,
    hops: u16,
}

/// A router.
#[derive(Debug)]
pub struct Node {
    names: Vec<String>,
    map: Arc<Map>,
    me: usize,
    timers: Timers,
    links: Vec<Link>,
    destinations: Vec<Destination>,
    /// What every router last said of its links: the number of that, and one bit a port.
    states: Vec<(u32, u64)>,
    /// Has one of these changed since the last plan?
    changed: bool,
    beat_at_ns: u64,
    ghosts: VecDeque<Ghost>,
    ghost_tokens: u64,
    ghost_tokens_at_ns: u64,
    withheld: u64,
    plans: u64,
    dropped: BTreeMap<Refused, u64>,
}

impl Node {
    /// A router that has just started: no link lives. `start` numbers rounds of heartbeats and lives of links; it must be higher
    /// whenever the router starts again, by more than the heartbeats in between. Seconds since some day, times ten, are.
    pub fn new(site: &Site, me: usize, start: u32, now_ns: u64) -> Self {
        let map = site.map.clone();
        let ports = map.ports(me).len();
        let destination = |number: usize| Destination::new(&map, number, me, start);
        let session = |port: u32| start.wrapping_mul(0x9e37_79b1).wrapping_add(port << 8);
        let mut states = vec![(0, 0); map.node_count()];
        states[me].0 = start.max(1);
        Self {
            names: site.routers.iter().map(|router| router.name.clone()).collect(),
            links: (0..ports as u32)
                .map(|port| Link::new(&site.timers, site.digest, session(port), now_ns))
                .collect(),
            destinations: (0..map.node_count()).map(destination).collect(),
            map,
            me,
            timers: site.timers,
            states,
            changed: false,
            beat_at_ns: now_ns + site.timers.heartbeat_ns,
            ghosts: VecDeque::new(),
            ghost_tokens: GHOSTS_BURST,
            ghost_tokens_at_ns: now_ns,
            withheld: 0,
            plans: 0,
            dropped: BTreeMap::new(),
        }
    }

    /// How many ports it has.
    pub fn ports(&self) -> usize {
        self.links.len()
    }

    /// Is a port's link alive?
    pub fn is_up(&self, port: u16) -> bool {
        self.links.get(usize::from(port)).is_some_and(Link::is_up)
    }

    /// The port has or has lost its carrier.
    pub fn set_carrier(&mut self, port: u16, carrier: bool) {
        if let Some(link) = self.links.get_mut(usize::from(port)) {
            let change = link.set_carrier(carrier);
            self.change(port, change);
        }
    }

    fn change(&mut self, port: u16, change: Change) {
        match change {
            Change::None => return,
            Change::Down => {
                self.destinations.iter_mut().for_each(|destination| destination.router.link_down(port));
            }
            Change::Up => {
                self.destinations.iter_mut().for_each(|destination| destination.router.link_up(port));
                for (router, (number, live)) in self.states.iter().copied().enumerate() {
                    if number > 0 && router != self.me {
                        let item = Item::Links { router: router as u16, number, live };
                        // A link that has just come up has room.
                        let _ = self.links[usize::from(port)].say(item);
                    }
                }
            }
        }
        let (number, live) = &mut self.states[self.me];
        *number = number.wrapping_add(1);
        *live ^= 1 << port;
        self.changed = true;
        self.tell_links(self.me, None);
    }

    /// Passes on what a router says of its links, but not to where it came from.
    fn tell_links(&mut self, router: usize, from: Option<u16>) {
        let (number, live) = self.states[router];
        let item = Item::Links { router: router as u16, number, live };
        for port in (0..self.links.len() as u16).filter(|port| Some(*port) != from) {
            self.say(port, item);
        }
    }

    fn say(&mut self, port: u16, item: Item) {
        let change = self.links[usize::from(port)].say(item);
        self.change(port, change);
    }

    /// Takes a frame that came in at a port, from behind its Ethernet header on.
    pub fn arrive(&mut self, now_ns: u64, port: u16, frame: &[u8]) -> Verdict {
        let verdict = match self.take(now_ns, port, frame) {
            Ok(verdict) => verdict,
            Err(refused) => Verdict::Drop { refused, skip: None },
        };
        self.count(verdict)
    }

    fn count(&mut self, verdict: Verdict) -> Verdict {
        if let Verdict::Drop { refused, .. } = verdict {
            *self.dropped.entry(refused).or_default() += 1;
        }
        verdict
    }

    fn take(&mut self, now_ns: u64, port: u16, frame: &[u8]) -> Result<Verdict, Refused> {
        let (shim, rest) = Shim::read(frame).ok_or(Refused::Malformed)?;
        let link = self.links.get_mut(usize::from(port)).ok_or(Refused::Malformed)?;
        if shim.kind == Kind::Control {
            let control = Control::read(rest).ok_or(Refused::Malformed)?;
            let (change, items) = link.hear(now_ns, shim, control)?;
            self.change(port, change);
            items.into_iter().for_each(|item| self.hear(port, item));
            return Ok(Verdict::Taken);
        }
        let (destination, rest) = rest.split_first_chunk().ok_or(Refused::Malformed)?;
        let destination = u16::from_be_bytes(*destination);
        let mut hops = None;
        let mut body = rest;
        if shim.kind == Kind::Ghost {
            let (left, rest) = rest.split_first_chunk().ok_or(Refused::Malformed)?;
            (hops, body) = (Some(u16::from_be_bytes(*left)), rest);
        }
        let (header, header_bytes) = Header::read(body).map_err(|_| Refused::Malformed)?;
        if hops.is_some() != matches!(header.phase, Phase::Ghost) {
            return Err(Refused::Malformed);
        }
        link.accept(now_ns, shim)?;
        if usize::from(destination) >= self.destinations.len() {
            return Err(Refused::NoRouter);
        }
        let skip = frame.len() - body.len() + header_bytes;
        Ok(self.pass(now_ns, Some(port), destination, header, skip, hops))
    }

    /// Takes a packet that starts here, for what is attached to a router.
    pub fn start(&mut self, now_ns: u64, destination: usize) -> Verdict {
        let verdict = match self.destinations.get_mut(destination) {
            None => Verdict::Drop { refused: Refused::NoRouter, skip: Some(0) },
            Some(state) if state.distance == FAR => {
                Verdict::Drop { refused: Refused::Unreachable, skip: Some(0) }
            }
            Some(state) => {
                state.started += 1;
                let header = Header::new(Phase::Patient(patience(state.distance)));
                self.pass(now_ns, None, destination as u16, header, 0, None)
            }
        };
        self.count(verdict)
    }

    fn pass(
        &mut self,
        now_ns: u64,
        port: Option<u16>,
        number: u16,
        header: Header,
        skip: usize,
        hops: Option<u16>,
    ) -> Verdict {
        let Destination { router, guide, .. } = &mut self.destinations[usize::from(number)];
        let outcome = router.receive(port, header, guide);
        let is_ghost = hops.is_some();
        let ghost = outcome.ghost.filter(|_| self.may_send_ghost(now_ns));
        let destination = &mut self.destinations[usize::from(number)];
        destination.note(&outcome, header, port.is_some(), is_ghost);
        let way =
            |forward: crate::Forward| Way { port: forward.port, destination: number, header: forward.header };
        if let Some(forward) = ghost {
            destination.ghosts += 1;
            self.ghosts.push_back(Ghost { way: way(forward), hops: GHOST_HOPS });
        }
        let skip_packet = (!is_ghost).then_some(skip);
        match (outcome.decision, hops) {
            (Decision::Drop(cause), _) => Verdict::Drop { refused: Refused::By(cause), skip: skip_packet },
            (Decision::Deliver, None) => Verdict::Deliver { skip },
            (Decision::Deliver, Some(_)) => Verdict::Taken,
            (Decision::Forward(forward), None) => Verdict::Forward { skip, way: way(forward) },
            (Decision::Forward(_), Some(0)) => Verdict::Drop { refused: Refused::Hops, skip: None },
            (Decision::Forward(forward), Some(hops)) => {
                destination.ghosts += 1;
                self.ghosts.push_back(Ghost { way: way(forward), hops: hops - 1 });
                Verdict::Taken
            }
        }
    }

    fn may_send_ghost(&mut self, now_ns: u64) -> bool {
        let earned = now_ns.saturating_sub(self.ghost_tokens_at_ns) / (SECOND_NS / GHOSTS_PER_SECOND);
        if earned > 0 {
            self.ghost_tokens = (self.ghost_tokens + earned).min(GHOSTS_BURST);
            self.ghost_tokens_at_ns = now_ns;
        }
        let may = self.ghost_tokens > 0;
        self.ghost_tokens -= u64::from(may);
        self.withheld += u64::from(!may);
        may
    }

    /// What goes in front of a packet that leaves. Packets leave in the order in which this is called.
    pub fn seal(&mut self, way: &Way, out: &mut Vec<u8>) {
        self.links[usize::from(way.port)].seal(Kind::Packet).write(out);
        out.extend(way.destination.to_be_bytes());
        way.header.write(out);
    }

    fn hear(&mut self, port: u16, item: Item) {
        match item {
            Item::Of { destination, message } => {
                if let Some(destination) = self.destinations.get_mut(usize::from(destination)) {
                    destination.router.handle(port, message);
                }
            }
            Item::Links { router, number, live } => {
                let router = usize::from(router);
                let Some(known) = self.states.get_mut(router) else { return };
                let newer = number.wrapping_sub(known.0);
                if newer >= 1 << 31 || (newer == 0 && live == known.1) {
                    return;
                }
                if router == self.me {
                    // Said before it started again: what it says now must be newer.
                    known.0 = number.wrapping_add(1);
                    self.tell_links(router, None);
                } else if newer > 0 {
                    *known = (number, live);
                    self.changed = true;
                    self.tell_links(router, Some(port));
                }
            }
        }
    }

    /// The next frame to be sent, and by which port.
    pub fn poll_output(&mut self, now_ns: u64) -> Option<(u16, Vec<u8>)> {
        if let Some(Ghost { way, hops }) = self.ghosts.pop_front() {
            let mut frame = Vec::new();
            self.links[usize::from(way.port)].seal(Kind::Ghost).write(&mut frame);
            frame.extend(way.destination.to_be_bytes());
            frame.extend(hops.to_be_bytes());
            way.header.write(&mut frame);
            return Some((way.port, frame));
        }
        for number in 0..self.destinations.len() {
            while let Some((port, message)) = self.destinations[number].router.poll_output() {
                self.say(port, Item::Of { destination: number as u16, message });
            }
        }
        (0..).zip(&mut self.links).find_map(|(port, link)| link.poll(now_ns).map(|frame| (port, frame)))
    }

    /// When it wants [`Node::expire`] to be called.
    pub fn next_deadline(&self) -> u64 {
        let links = self.links.iter().filter_map(Link::next_deadline);
        links.fold(self.beat_at_ns, u64::min)
    }

    /// Looks at the time: gives up silent links, repeats, plans, beats.
    pub fn expire(&mut self, now_ns: u64) {
        let late = now_ns.saturating_sub(self.next_deadline()) > self.timers.hello_ns;
        for port in 0..self.links.len() as u16 {
            let change = self.links[usize::from(port)].expire(now_ns, late);
            self.change(port, change);
        }
        if now_ns >= self.beat_at_ns {
            self.beat_at_ns = now_ns + self.timers.heartbeat_ns;
            if std::mem::take(&mut self.changed) {
                self.replan();
            }
            self.destinations[self.me].router.beat();
        }
    }

    /// Distances and priorities by what all routers say of their links.
    fn replan(&mut self) {
        self.plans += 1;
        let (map, states) = (&self.map, &self.states);
        let says = |(node, port): (u32, u16)| states[node as usize].1 >> port & 1 != 0;
        let live: Vec<bool> =
            (0..map.link_count()).map(|link| map.ends(link).into_iter().all(says)).collect();
        for (number, destination) in self.destinations.iter_mut().enumerate() {
            let plan = Plan::over(map, number, Priority::Nearest, |link| live[usize::from(link)]);
            destination.router.replan(map, &plan);
            destination.distance = plan.distance[self.me];
        }
    }

    /// What it says of itself.
    pub fn report(&self) -> NodeReport {
        let to = |port: usize| self.names[self.map.ports(self.me)[port].node as usize].clone();
        let links = self.links.iter().enumerate();
        let destinations = self.names.iter().zip(&self.destinations);
        NodeReport {
            router: self.names[self.me].clone(),
            links: links
                .map(|(port, link)| LinkReport { to: to(port), up: link.is_up(), counts: link.counts })
                .collect(),
            destinations: destinations.map(|(name, destination)| destination.report(name, to)).collect(),
            dropped: self.dropped.iter().map(|(cause, count)| (cause.words().to_owned(), *count)).collect(),
            ghosts_withheld: self.withheld,
            plans: self.plans,
        }
    }
}
