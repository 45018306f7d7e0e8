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
//!
//! A connection opened by cookie has no window scaling, SACK or time stamps, which no cookie remembers. If the guard
//! restarts it breaks; those that passed as they are do not. Up to 4096 server ports have a rate of their own; all SYNs to
//! others get cookies. Someone who guesses cookies opens one connection in 2^24 attempts. What is not TCP passes.
//!
//! Example:
//!   weft netbricks run synguard rate=500 --in tap:servers --out tap:internet

use std::net::{Ipv4Addr, Ipv6Addr};

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

const SERVERS: Gate = 0;
const CLIENTS: Gate = 1;

const MARTIAN: Cause = Cause::new("SYN that may not be answered");
const FULL: Cause = Cause::new("no room for another connection");
const OPENING: Cause = Cause::new("connection is still being opened");

/// Server ports with a rate of their own.
const DESTINATIONS_MAX: usize = 4096;
/// How long the server may take to answer.
const OPENING_NS: u64 = 30_000_000_000;
/// The client's segments have the guard ask the server again, this often.
const AGAIN_NS: u64 = 1_000_000_000;
/// How long a connection is remembered after both sides closed it, or one reset it.
const CLOSED_NS: u64 = 60_000_000_000;
/// Connections looked at for their end in one call.
const EXPIRE_MOST: usize = 256;

/// A connection that was opened by cookie.
#[derive(Clone, Copy, Debug)]
struct Opened {
    /// The client's first sequence number.
    sequence: u32,
    /// The sequence number that the client was told, and how far the server's is from it once the server has answered.
    cookie: u32,
    distance: Option<u32>,
    segment: u16,
    window: u16,
    /// When the server was asked last.
    asked_ns: u64,
    /// Sides that have sent a FIN, by gate.
    finished: [bool; 2],
}

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
    idle_ns: u64,
    segment: u16,
    /// Until then there may be cookies about.
    cookies_until_ns: u64,
    passed: u64,
    answered: u64,
    proven: u64,
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
            idle_ns: guarding.idle_ns,
            segment: guarding.segment,
            cookies_until_ns: 0,
            passed: 0,
            answered: 0,
            proven: 0,
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
        let opened = Opened {
            sequence,
            cookie,
            distance: None,
            segment,
            window: view.window(),
            asked_ns: now_ns,
            finished: [false; 2],
        };
        self.opened.expire(now_ns, RECLAIM_TURNS, |_, _| ());
        let deadline_ns = now_ns.saturating_add(OPENING_NS);
        self.opened.insert(*key, opened, deadline_ns, now_ns).map_err(|_| FULL)?;
        write_syn(packet, layers, key, &opened)?;
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
        let flags = Flags(Flags::SYN.0 | Flags::ACK.0);
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
        let Some(opened) = self.opened.get_mut(id) else { return Ok(SERVERS) };
        if opens(flags) {
            if sequence == opened.sequence {
                return Err(OPENING);
            }
            // The client uses its port again.
            self.opened.remove(id);
            return self.stranger(key, layers, packet, now_ns);
        }
        let Some(distance) = opened.distance else {
            if flags.contains(Flags::RST) || now_ns < opened.asked_ns.saturating_add(AGAIN_NS) {
                return Err(OPENING);
            }
            opened.asked_ns = now_ns;
            write_syn(packet, layers, key, opened)?;
            return Ok(SERVERS);
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
        if flags.contains(Flags(Flags::SYN.0 | Flags::ACK.0)) && view.ack() == next {
            let mut reply = self.pool.packet(&packet.data()[..layers.l3]).ok_or(Cause::NO_BUFFER)?;
            turn_round(reply.data_mut());
            let numbers = (next, sequence.wrapping_add(1));
            let ack = segment::plain((ports.1, ports.0), numbers, Flags::ACK, opened.window);
            segment::write(&mut reply, layers.l3, (client.source(), client.destination()), &ack)?;
            ctx.send(SERVERS, reply);
            opened.distance = Some(sequence.wrapping_sub(opened.cookie));
            self.opened.set_deadline(id, ctx.now_ns().saturating_add(self.idle_ns));
            // The client may send now.
            let update = segment::plain(ports, (told, next), Flags::ACK, window);
            segment::write(packet, layers.l3, to_client, &update)?;
            return Ok(CLIENTS);
        }
        let Some(distance) = opened.distance else {
            if !flags.contains(Flags::RST) {
                return Err(OPENING);
            }
            let reset = segment::plain(ports, (told, next), Flags(Flags::RST.0 | Flags::ACK.0), 0);
            segment::write(packet, layers.l3, to_client, &reset)?;
            self.opened.remove(id);
            return Ok(CLIENTS);
        };
        shift(packet, layers, distance.wrapping_neg(), 0);
        self.live_on(id, SERVERS, flags, ctx.now_ns());
        Ok(CLIENTS)
    }

    /// Notes that a connection lives, or how it ends.
    fn live_on(&mut self, id: FlowId, gate: Gate, flags: Flags, now_ns: u64) {
        let Some(opened) = self.opened.get_mut(id) else { return };
        opened.finished[usize::from(gate)] |= flags.contains(Flags::FIN);
        let ends = opened.finished == [true; 2] || flags.contains(Flags::RST);
        let lives_ns = if ends { CLOSED_NS.min(self.idle_ns) } else { self.idle_ns };
        self.opened.set_deadline(id, now_ns.saturating_add(lives_ns));
    }
}

/// Whether a segment asks for a connection.
fn opens(flags: Flags) -> bool {
    flags.contains(Flags::SYN) && !flags.intersects(Flags(Flags::ACK.0 | Flags::RST.0 | Flags::FIN.0))
}

/// Makes a packet of the client's the SYN that the server did not see.
fn write_syn(packet: &mut Packet, layers: &Layers, key: &FlowKey, opened: &Opened) -> Result<(), Cause> {
    let ports = (key.source_port(), key.destination_port());
    let mut repr = segment::plain(ports, (opened.sequence, 0), Flags::SYN, opened.window);
    repr.maximum_segment = Some(opened.segment);
    segment::write(packet, layers.l3, (key.source(), key.destination()), &repr)
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
        self.opened.expire(ctx.now_ns(), EXPIRE_MOST, |_, _| ());
    }

    fn report(&self, report: &mut Report) {
        report.counter("SYNs passed", self.passed);
        report.counter("SYNs answered with a cookie", self.answered);
        report.counter("cookies that came back", self.proven);
        report.counter("connections opened by cookie", self.opened.len() as u64);
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
    };
    Ok(Box::new(SynGuard::new(&guarding, setup)))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{tcp, udp, words};
    use super::super::tests::{at, function, setup};
    use super::*;
    use packet::wire::ipv4;

    const CLIENT: &str = "198.51.100.7:4000";
    const SERVER: &str = "192.0.2.1:80";

    struct Bench {
        setup: Setup,
        guard: Box<dyn NetworkFunction>,
        ctx: Context,
    }

    impl Bench {
        fn new(arguments: &[&str]) -> Self {
            let setup = setup();
            Self { guard: function("synguard", arguments, &setup), setup, ctx: Context::new(2) }
        }

        fn at(&mut self, gate: Gate, now_ns: u64, frame: &[u8]) -> Vec<(Gate, Vec<u8>)> {
            let left = at(&mut *self.guard, &mut self.ctx, (gate, now_ns), &self.setup.pool, &[frame]);
            assert_eq!(self.setup.pool.available(), self.setup.pool.capacity());
            left.iter().for_each(|(_, frame)| drop(words(frame)));
            left
        }

        /// The one frame that leaves at the gate that is expected.
        fn one(&mut self, gate: Gate, frame: &[u8], expected: Gate) -> Vec<u8> {
            let now_ns = self.ctx.now_ns();
            let mut left = self.at(gate, now_ns, frame);
            assert_eq!(left.iter().map(|(gate, _)| *gate).collect::<Vec<_>>(), [expected]);
            left.pop().unwrap().1
        }

        fn count(&self, name: &str) -> u64 {
            let mut report = Report::default();
            self.guard.report(&mut report);
            report.get(name)
        }
    }

    fn segment(frame: &[u8]) -> tcp::View<&[u8]> {
        let layers = Layers::of(frame).unwrap();
        tcp::View::new_checked(layers.segment(frame)).unwrap()
    }

    /// A SYN from an address that is made up.
    fn forged(n: u32) -> Vec<u8> {
        let mut frame = tcp("10.0.0.1:1", SERVER, "S", (n, 0), b"");
        let source = [100, (n >> 16) as u8, (n >> 8) as u8, n as u8].into();
        let mut ip = ipv4::View::new_unchecked(&mut frame[14..]);
        ip.set_source(source);
        ip.fill_checksum();
        let destination = ip.destination();
        tcp::View::new_unchecked(&mut frame[34..]).fill_checksum(source.into(), destination.into());
        frame
    }

    #[test]
    fn below_the_rate_nothing_is_touched() {
        let mut bench = Bench::new(&["rate=100", "burst=3"]);
        for frame in [
            tcp(CLIENT, SERVER, "S", (1, 0), b""),
            tcp(CLIENT, SERVER, "A", (2, 9), b"data"),
            udp(CLIENT, SERVER, b"data"),
        ] {
            assert_eq!(bench.one(CLIENTS, &frame, SERVERS), frame);
        }
        let answer = tcp(SERVER, CLIENT, "SA", (8, 2), b"");
        assert_eq!(bench.one(SERVERS, &answer, CLIENTS), answer);
        assert_eq!((bench.count("SYNs passed"), bench.count("SYNs answered with a cookie")), (1, 0));
    }

    #[test]
    fn a_million_forged_sources_cost_no_memory_and_no_more_than_the_rate_reaches_the_server() {
        let mut bench = Bench::new(&["rate=100", "burst=100"]);
        let mut reached = 0;
        for n in 0..1_000_000u32 {
            let mut batch = Batch::new();
            batch.push(bench.setup.pool.packet(&forged(n)).unwrap()).unwrap();
            bench.ctx.set_now_ns(u64::from(n) * 10_000); // ten seconds
            bench.guard.process(CLIENTS, &mut batch, &mut bench.ctx);
            bench.ctx.drain(SERVERS, |batch| reached += batch.drain(..).count());
            bench.ctx.drain(CLIENTS, Batch::clear);
        }
        assert!((1090..=1100).contains(&reached), "{reached}");
        assert_eq!((bench.count("connections opened by cookie"), bench.count("server ports")), (0, 1));
        assert_eq!(bench.count("SYNs answered with a cookie"), 1_000_000 - reached as u64);
    }

    /// Opens a connection by cookie: the cookie that the client has, and the server's first number.
    fn open(bench: &mut Bench) -> (u32, u32) {
        let answer = bench.one(CLIENTS, &tcp(CLIENT, SERVER, "S", (1000, 0), b""), CLIENTS);
        let view = segment(&answer);
        assert_eq!((view.flags(), view.ack(), view.window()), (Flags(0x12), 1001, 0));
        let cookie = view.sequence();
        let asked =
            bench.one(CLIENTS, &tcp(CLIENT, SERVER, "A", (1001, cookie.wrapping_add(1)), b""), SERVERS);
        assert!(
            words(&asked).contains("Flags [S], seq 1000, win 64000, options [mss 536]"),
            "{}",
            words(&asked)
        );
        let first = 0xffff_fff0;
        let mut left = bench.at(SERVERS, 2, &tcp(SERVER, CLIENT, "SA", (first, 1001), b""));
        let (update, ack) = (left.pop().unwrap(), left.pop().unwrap());
        assert_eq!((ack.0, update.0), (SERVERS, CLIENTS));
        let (ack, update) = (segment(&ack.1), segment(&update.1));
        assert_eq!((ack.flags(), ack.sequence(), ack.ack()), (Flags::ACK, 1001, first + 1));
        assert_eq!(
            (update.flags(), update.sequence(), update.ack(), update.window()),
            (Flags::ACK, cookie.wrapping_add(1), 1001, 64_000)
        );
        (cookie, first)
    }

    #[test]
    fn who_sends_the_cookie_back_is_connected() {
        let mut bench = Bench::new(&["rate=0"]);
        let (cookie, first) = open(&mut bench);
        let request = tcp(CLIENT, SERVER, "A", (1001, cookie.wrapping_add(1)), b"get");
        let request = bench.one(CLIENTS, &request, SERVERS);
        assert_eq!((segment(&request).sequence(), segment(&request).ack()), (1001, first + 1));
        let reply = tcp(SERVER, CLIENT, "A", (first.wrapping_add(1), 1004), &[7; 500]);
        let reply = bench.one(SERVERS, &reply, CLIENTS);
        assert_eq!(
            (segment(&reply).sequence(), segment(&reply).payload()),
            (cookie.wrapping_add(1), &[7; 500][..])
        );
        let done = tcp(CLIENT, SERVER, "FA", (1004, cookie.wrapping_add(501)), b"");
        let done = bench.one(CLIENTS, &done, SERVERS);
        assert_eq!(segment(&done).ack(), first.wrapping_add(501));
        bench.one(SERVERS, &tcp(SERVER, CLIENT, "FA", (first.wrapping_add(501), 1005), b""), CLIENTS);
        let end_ns = bench.guard.deadline_ns().unwrap();
        for _ in 0..8 {
            let deadline_ns = bench.guard.deadline_ns().unwrap_or(end_ns).max(CLOSED_NS + 10);
            bench.ctx.set_now_ns(deadline_ns);
            bench.guard.expire(&mut bench.ctx);
        }
        assert_eq!(bench.count("connections opened by cookie"), 0);
    }

    #[test]
    fn forged_acks_open_nothing() {
        let mut bench = Bench::new(&["rate=0"]);
        bench.one(CLIENTS, &tcp(CLIENT, SERVER, "S", (1000, 0), b""), CLIENTS);
        for guess in 0..10_000u32 {
            let frame = tcp(CLIENT, SERVER, "A", (1001, guess.wrapping_mul(2_654_435_761)), b"");
            assert_eq!(
                bench.one(CLIENTS, &frame, SERVERS),
                frame,
                "not ours: the server says what it thinks"
            );
        }
        assert_eq!(bench.count("connections opened by cookie"), 0);
    }

    #[test]
    fn a_server_that_refuses_is_heard_and_one_that_is_slow_is_asked_again() {
        let mut bench = Bench::new(&["rate=0"]);
        let answer = bench.one(CLIENTS, &tcp(CLIENT, SERVER, "S", (1000, 0), b""), CLIENTS);
        let cookie = segment(&answer).sequence();
        let ack = tcp(CLIENT, SERVER, "A", (1001, cookie.wrapping_add(1)), b"");
        bench.one(CLIENTS, &ack, SERVERS);
        let now_ns = bench.ctx.now_ns();
        assert!(bench.at(CLIENTS, now_ns, &ack).is_empty(), "not before a second is over");
        let again = bench.at(CLIENTS, now_ns + AGAIN_NS, &ack);
        assert!(words(&again[0].1).contains("Flags [S], seq 1000"));
        let refused = bench.one(SERVERS, &tcp(SERVER, CLIENT, "RA", (0, 1001), b""), CLIENTS);
        assert_eq!(
            (segment(&refused).flags(), segment(&refused).sequence()),
            (Flags(0x14), cookie.wrapping_add(1))
        );
        assert_eq!(bench.count("connections opened by cookie"), 0);
    }

    #[test]
    fn connections_by_cookie_are_bounded() {
        let mut bench = Bench::new(&["rate=0", "flows=10"]);
        for port in 1..=30u16 {
            let client = format!("198.51.100.7:{port}");
            let answer = bench.one(CLIENTS, &tcp(&client, SERVER, "S", (5, 0), b""), CLIENTS);
            let cookie = segment(&answer).sequence();
            bench.at(CLIENTS, 1, &tcp(&client, SERVER, "A", (6, cookie.wrapping_add(1)), b""));
        }
        assert_eq!(bench.count("connections opened by cookie"), 10);
        assert_eq!(bench.ctx.drops().of(FULL), 20);
    }
}
