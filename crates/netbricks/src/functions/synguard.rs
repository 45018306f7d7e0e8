//! Guards servers at gate 0 against SYN floods: beyond a rate, connections are opened by SYN cookies.
//!
//! Connections to a server's port pass as they are, up to a rate of SYNs. Beyond it the guard answers each SYN itself, with
//! a sequence number that is a keyed hash, and remembers nothing. Whoever sends the right ACK sees what is sent to its
//! address. For him the guard opens the connection to the server, and from then on translates the sequence numbers between
//! the two. So forged SYNs cost neither server nor guard any memory, and those who connect meanwhile do connect.
//!
//! It counts neither sources, which a flood invents, nor half-open connections, whose oldest are as likely a client's as the
//! flood's: limits on these refuse the clients with the flood.
//!
//! Arguments:
//!   rate=COUNT     SYNs a second to each server port that pass as they are; 0: every connection is opened by cookie
//!                  (default: 100)
//!   burst=COUNT    how many may pass at once (default: 200). The server's backlog should take them
//!   mss=BYTES      segment size that clients are told (default: 1460; 20 less for IPv6)
//!   flows=COUNT    connections opened by cookie at a time (default: 65536)
//!   idle=DURATION  how long one of them may be silent (default: 1h)
//!   syns=COUNT     how often a server that does not answer is asked, 1 to 8 times (default: 5)
//!
//! A server that does not answer is asked again after 1, 2, 4, 8 … seconds, as RFC 6298 has it; as long after the last time
//! (31 s after the first, by default) the client is reset. Until the server has answered, the client's window is closed.
//!
//! A connection opened by cookie has no window scaling, SACK or time stamps, which no cookie remembers. If the guard
//! restarts it breaks; those that passed as they are do not. Up to 4096 server ports have a rate of their own; all SYNs to
//! others get cookies. Someone who guesses cookies opens one connection in 2^24 attempts. What is not TCP passes.
//!
//! Example:
//!   weft netbricks run synguard rate=500 --in tap:servers --out tap:internet

mod opened;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lookup::flow_table::{FlowId, FlowTable, RECLAIM_TURNS};
use lookup::token_bucket::{Rate, TokenBucket};
use packet::flow::{FlowHasher, FlowKey, Tuple};
use packet::parse::Layers;
use packet::wire::IpProtocol;
use packet::wire::tcp::{self, Flags, HeaderOption};
use packet::{Batch, Packet, Pool, checksum};

use super::Setup;
use crate::answer::{may_be_told, segment, turn_round};
use crate::rewrite::is_partial;
use crate::syn_cookie::{SLOT_NS, SynCookies};
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};
use opened::{Link, Opened, Stage, answer_ns};

const SERVERS: Gate = 0;
const CLIENTS: Gate = 1;

const MARTIAN: Cause = Cause::new("SYN that may not be answered");
const FULL: Cause = Cause::new("no room for another connection");
const OPENING: Cause = Cause::new("connection is still being opened");
const LINK: Cause = Cause::new("link header that is too long");

/// Server ports with a rate of their own.
const DESTINATIONS_MAX: usize = 4096;
/// How long a connection is remembered after both sides closed it, or one reset it.
const CLOSED_NS: u64 = 60_000_000_000;
/// Connections looked at in one call for their end, or for a server that has not answered.
const EXPIRE_MOST: usize = 256;

/// A guard against SYN floods.
pub struct SynGuard {
    pool: Pool,
    cookies: SynCookies,
    /// SYNs that may still pass, by server address and port.
    destinations: FlowTable<FlowKey, TokenBucket>,
    fresh: TokenBucket,
    full_ns: u64,
    /// By the client's tuple.
    opened: FlowTable<FlowKey, Opened>,
    /// Those whose time has come, between two looks at the table.
    due: Vec<(FlowKey, Opened)>,
    idle_ns: u64,
    segment: u16,
    syns: u8,
    /// Until then there may be cookies about.
    cookies_until_ns: u64,
    passed: u64,
    answered: u64,
    proven: u64,
    asked_again: u64,
    given_up: u64,
}

impl std::fmt::Debug for SynGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SynGuard").field("opened", &self.opened.len()).finish_non_exhaustive()
    }
}

/// What a guard is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarding {
    /// SYNs a second to each server port that pass as they are.
    pub rate: u64,
    /// How many may pass at once.
    pub burst: u64,
    /// Segment size that clients are told.
    pub segment: u16,
    /// Connections opened by cookie at a time.
    pub flows: usize,
    /// How long one of them may be silent.
    pub idle_ns: u64,
    /// How often a server that does not answer is asked, at least once.
    pub syns: u8,
}

impl SynGuard {
    /// A guard that hashes under `setup.key`.
    #[must_use]
    pub fn new(guarding: &Guarding, setup: &Setup) -> Self {
        let Guarding { rate, burst, .. } = *guarding;
        let burst = if rate == 0 { 0 } else { burst };
        let hasher = FlowHasher::new(setup.key);
        Self {
            pool: setup.pool.clone(),
            cookies: SynCookies::new(setup.key),
            destinations: FlowTable::with_hasher(DESTINATIONS_MAX, hasher),
            fresh: TokenBucket::new(Rate::per_second(rate), burst, 0),
            // A bucket that is full again is as good as new.
            full_ns: burst.saturating_mul(1_000_000_000).checked_div(rate).unwrap_or(0).max(1_000_000_000),
            opened: FlowTable::with_hasher(guarding.flows.max(1), hasher),
            due: Vec::with_capacity(EXPIRE_MOST),
            idle_ns: guarding.idle_ns,
            segment: guarding.segment,
            syns: guarding.syns.max(1),
            cookies_until_ns: 0,
            passed: 0,
            answered: 0,
            proven: 0,
            asked_again: 0,
            given_up: 0,
        }
    }

    /// The gate at which the packet leaves, as it is or as another.
    fn judge(&mut self, gate: Gate, packet: &mut Packet, ctx: &mut Context) -> Result<Gate, Cause> {
        let layers = Layers::of(packet.data())?;
        if layers.protocol != IpProtocol::TCP || layers.fragment.is_some() || layers.labels > 0 {
            return Ok(gate ^ 1);
        }
        let Some(key) = FlowKey::of(&layers, packet.data()) else { return Ok(gate ^ 1) };
        let client = if gate == CLIENTS { key } else { key.reversed() };
        let found = self.opened.find(&client, ctx.now_ns());
        match (found, gate) {
            (Some(id), CLIENTS) => self.client_says(id, &key, &layers, packet, ctx),
            (Some(id), _) => self.server_says(id, &client, &layers, packet, ctx),
            (None, CLIENTS) => self.stranger(&key, &layers, packet, ctx.now_ns()),
            (None, _) => Ok(gate ^ 1),
        }
    }

    /// A segment from the clients' side that belongs to no connection of the guard's.
    fn stranger(
        &mut self,
        key: &FlowKey,
        layers: &Layers,
        packet: &mut Packet,
        now_ns: u64,
    ) -> Result<Gate, Cause> {
        let view = tcp::View::new_checked(layers.segment(packet.data()))?;
        let (flags, sequence, ack) = (view.flags(), view.sequence(), view.ack());
        if opens(flags) {
            if self.may_pass(key, now_ns) {
                self.passed += 1;
                return Ok(SERVERS);
            }
            return self.answer(key, layers, packet, now_ns);
        }
        let acks = flags.contains(Flags::ACK) && !flags.intersects(Flags(Flags::SYN.0 | Flags::RST.0));
        if !acks || now_ns > self.cookies_until_ns {
            return Ok(SERVERS);
        }
        let (sequence, cookie) = (sequence.wrapping_sub(1), ack.wrapping_sub(1));
        let Some(segment) = self.cookies.open(key, sequence, cookie, now_ns) else { return Ok(SERVERS) };
        self.proven += 1;
        let stage = Stage::Asking(1, Link::of(layers, packet.data()).ok_or(LINK)?);
        let opened = Opened { sequence, cookie, segment, window: view.window(), stage };
        let deadline_ns = now_ns.saturating_add(answer_ns(1));
        self.opened.insert(*key, opened, deadline_ns, now_ns).map_err(|_| FULL)?;
        segment::write(packet, layers.l3, (key.source(), key.destination()), &opened.syn(key))?;
        Ok(SERVERS)
    }

    /// Whether another SYN to this server port may pass as it is.
    fn may_pass(&mut self, key: &FlowKey, now_ns: u64) -> bool {
        let destination = match key {
            FlowKey::V4(tuple) => {
                FlowKey::V4(Tuple { source: Ipv4Addr::UNSPECIFIED, source_port: 0, ..*tuple })
            }
            FlowKey::V6(tuple) => {
                FlowKey::V6(Tuple { source: Ipv6Addr::UNSPECIFIED, source_port: 0, ..*tuple })
            }
        };
        let deadline_ns = now_ns.saturating_add(self.full_ns);
        let found = match self.destinations.find(&destination, now_ns) {
            Some(id) => Some(id),
            None => {
                self.destinations.expire(now_ns, RECLAIM_TURNS, |_, _| ());
                self.destinations.insert(destination, self.fresh.clone(), deadline_ns, now_ns).ok()
            }
        };
        let Some(id) = found else { return false };
        self.destinations.set_deadline(id, deadline_ns);
        self.destinations.get_mut(id).is_some_and(|bucket| bucket.take(1, now_ns))
    }

    /// Makes a SYN its answer, with a cookie. The window is closed until the server has answered too.
    fn answer(
        &mut self,
        key: &FlowKey,
        layers: &Layers,
        packet: &mut Packet,
        now_ns: u64,
    ) -> Result<Gate, Cause> {
        if !may_be_told(layers, packet.data()) {
            return Err(MARTIAN);
        }
        let view = tcp::View::new_checked(layers.segment(packet.data()))?;
        let sequence = view.sequence();
        let offered = view.options().find_map(|option| match option {
            Ok(HeaderOption::MaximumSegment(size)) => Some(size),
            _ => None,
        });
        let cookie = self.cookies.make(key, sequence, offered.unwrap_or(536), now_ns);
        let ports = (key.destination_port(), key.source_port());
        let flags = Flags::SYN | Flags::ACK;
        let mut repr = segment::plain(ports, (cookie, sequence.wrapping_add(1)), flags, 0);
        repr.maximum_segment = Some(if key.source().is_ipv4() { self.segment } else { self.segment - 20 });
        segment::write(packet, layers.l3, (key.destination(), key.source()), &repr)?;
        turn_round(packet.data_mut());
        self.answered += 1;
        self.cookies_until_ns = now_ns.saturating_add(2 * SLOT_NS);
        Ok(CLIENTS)
    }

    fn client_says(
        &mut self,
        id: FlowId,
        key: &FlowKey,
        layers: &Layers,
        packet: &mut Packet,
        ctx: &mut Context,
    ) -> Result<Gate, Cause> {
        let now_ns = ctx.now_ns();
        let view = tcp::View::new_checked(layers.segment(packet.data()))?;
        let (flags, sequence) = (view.flags(), view.sequence());
        let Some(opened) = self.opened.get(id) else { return Ok(SERVERS) };
        if opens(flags) {
            if sequence == opened.sequence {
                return Err(OPENING);
            }
            // The client uses its port again.
            self.opened.remove(id);
            return self.stranger(key, layers, packet, now_ns);
        }
        let Stage::Open { distance, .. } = opened.stage else {
            // Should the server answer yet, the client resets it.
            if flags.contains(Flags::RST) && sequence == opened.sequence.wrapping_add(1) {
                self.opened.remove(id);
            }
            return Err(OPENING);
        };
        shift(packet, layers, 0, if flags.contains(Flags::ACK) { distance } else { 0 });
        self.live_on(id, CLIENTS, flags, now_ns);
        Ok(SERVERS)
    }

    fn server_says(
        &mut self,
        id: FlowId,
        client: &FlowKey,
        layers: &Layers,
        packet: &mut Packet,
        ctx: &mut Context,
    ) -> Result<Gate, Cause> {
        let view = tcp::View::new_checked(layers.segment(packet.data()))?;
        let (flags, sequence, window) = (view.flags(), view.sequence(), view.window());
        let Some(opened) = self.opened.get_mut(id) else { return Ok(CLIENTS) };
        let (told, next) = (opened.cookie.wrapping_add(1), opened.sequence.wrapping_add(1));
        let to_client = (client.destination(), client.source());
        let ports = (client.destination_port(), client.source_port());
        if flags.contains(Flags::SYN | Flags::ACK) && view.ack() == next {
            let mut reply = self.pool.packet(&packet.data()[..layers.l3]).ok_or(Cause::NO_BUFFER)?;
            turn_round(reply.data_mut());
            let numbers = (next, sequence.wrapping_add(1));
            let ack = segment::plain((ports.1, ports.0), numbers, Flags::ACK, opened.window);
            segment::write(&mut reply, layers.l3, (client.source(), client.destination()), &ack)?;
            ctx.send(SERVERS, reply);
            if matches!(opened.stage, Stage::Asking(..)) {
                let distance = sequence.wrapping_sub(opened.cookie);
                opened.stage = Stage::Open { distance, finished: [false; 2] };
            }
            self.opened.set_deadline(id, ctx.now_ns().saturating_add(self.idle_ns));
            // The client may send now.
            let update = segment::plain(ports, (told, next), Flags::ACK, window);
            segment::write(packet, layers.l3, to_client, &update)?;
            return Ok(CLIENTS);
        }
        let Stage::Open { distance, .. } = opened.stage else {
            if !flags.contains(Flags::RST) {
                return Err(OPENING);
            }
            segment::write(packet, layers.l3, to_client, &opened.reset(client))?;
            self.opened.remove(id);
            return Ok(CLIENTS);
        };
        shift(packet, layers, distance.wrapping_neg(), 0);
        self.live_on(id, SERVERS, flags, ctx.now_ns());
        Ok(CLIENTS)
    }

    /// Notes that a connection lives, or how it ends.
    fn live_on(&mut self, id: FlowId, gate: Gate, flags: Flags, now_ns: u64) {
        let Some(Opened { stage: Stage::Open { finished, .. }, .. }) = self.opened.get_mut(id) else {
            return;
        };
        finished[usize::from(gate)] |= flags.contains(Flags::FIN);
        let ends = *finished == [true; 2] || flags.contains(Flags::RST);
        let lives_ns = if ends { CLOSED_NS.min(self.idle_ns) } else { self.idle_ns };
        self.opened.set_deadline(id, now_ns.saturating_add(lives_ns));
    }

    /// Ends connections that are over, and asks servers again that have not answered.
    #[cold]
    fn turn(&mut self, ctx: &mut Context) {
        let now_ns = ctx.now_ns();
        let mut due = std::mem::take(&mut self.due);
        self.opened.expire(now_ns, EXPIRE_MOST, |key, opened| due.push((key, opened)));
        for (key, opened) in due.drain(..) {
            let Stage::Asking(asked, link) = opened.stage else { continue };
            let client = (key.source(), key.destination());
            if asked >= self.syns {
                self.given_up += 1;
                self.say(ctx, CLIENTS, &link, (client.1, client.0), &opened.reset(&key));
                continue;
            }
            self.asked_again += 1;
            let opened = Opened { stage: Stage::Asking(asked + 1, link), ..opened };
            let deadline_ns = now_ns.saturating_add(answer_ns(asked + 1));
            // Its place has just been left.
            if self.opened.insert(key, opened, deadline_ns, now_ns).is_ok() {
                self.say(ctx, SERVERS, &link, client, &opened.syn(&key));
            }
        }
        self.due = due;
    }

    /// Sends a segment of its own, by the link that a client's came by.
    fn say(&self, ctx: &mut Context, gate: Gate, link: &Link, hosts: (IpAddr, IpAddr), repr: &tcp::Repr) {
        let Some(mut packet) = self.pool.packet(link.bytes()) else { return ctx.count(Cause::NO_BUFFER, 1) };
        if gate == CLIENTS {
            turn_round(packet.data_mut());
        }
        match segment::write(&mut packet, link.bytes().len(), hosts, repr) {
            Ok(()) => ctx.send(gate, packet),
            Err(cause) => ctx.drop(packet, cause),
        }
    }

    fn is_due(&self, now_ns: u64) -> bool {
        self.opened.next_deadline_ns().is_some_and(|deadline_ns| deadline_ns <= now_ns)
    }
}

/// Whether a segment asks for a connection.
fn opens(flags: Flags) -> bool {
    flags.contains(Flags::SYN) && !flags.intersects(Flags(Flags::ACK.0 | Flags::RST.0 | Flags::FIN.0))
}

/// Moves the sequence and the acknowledgement number on, and mends the checksum, unless it is still to be done: then it
/// covers the addresses only.
fn shift(packet: &mut Packet, layers: &Layers, sequence_by: u32, ack_by: u32) {
    let partial = is_partial(layers, &packet.offload());
    let mut view = tcp::View::new_unchecked(layers.segment_mut(packet.data_mut()));
    let (sequence, ack) = (view.sequence(), view.ack());
    let (new_sequence, new_ack) = (sequence.wrapping_add(sequence_by), ack.wrapping_add(ack_by));
    view.set_sequence(new_sequence);
    view.set_ack(new_ack);
    if !partial {
        let check = checksum::update32(view.checksum(), sequence, new_sequence);
        view.set_checksum(checksum::update32(check, ack, new_ack));
    }
}

impl NetworkFunction for SynGuard {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        // First, so that no connection is overdue, and not found, when a packet of it comes.
        if self.is_due(ctx.now_ns()) {
            self.turn(ctx);
        }
        for mut packet in batch.drain(..) {
            match self.judge(gate, &mut packet, ctx) {
                Ok(gate) => ctx.send(gate, packet),
                Err(cause) => ctx.drop(packet, cause),
            }
        }
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.opened.next_deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.turn(ctx);
    }

    fn report(&self, report: &mut Report) {
        report.counter("SYNs passed", self.passed);
        report.counter("SYNs answered with a cookie", self.answered);
        report.counter("cookies that came back", self.proven);
        report.counter("connections opened by cookie", self.opened.len() as u64);
        report.counter("SYNs sent again", self.asked_again);
        report.counter("connections given up, server silent", self.given_up);
        report.counter("server ports", self.destinations.len() as u64);
    }
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let guarding = Guarding {
        rate: args.number("rate", 100, 0..=1_000_000_000)?,
        burst: args.number("burst", 200, 1..=1_000_000_000)?,
        segment: args.number("mss", 1460, 536..=8940)? as u16,
        flows: args.number("flows", 65_536, 1..=1 << 22)? as usize,
        idle_ns: args.duration_ns("idle", 3_600_000_000_000)?,
        syns: args.number("syns", 5, 1..=8)? as u8,
    };
    Ok(Box::new(SynGuard::new(&guarding, setup)))
}

#[cfg(test)]
mod tests;
