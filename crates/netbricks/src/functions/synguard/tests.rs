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
    let asked = bench.one(CLIENTS, &tcp(CLIENT, SERVER, "A", (1001, cookie.wrapping_add(1)), b""), SERVERS);
    assert!(words(&asked).contains("Flags [S], seq 1000, win 64000, options [mss 536]"), "{}", words(&asked));
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
        assert_eq!(bench.one(CLIENTS, &frame, SERVERS), frame, "not ours: the server says what it thinks");
    }
    assert_eq!(bench.count("connections opened by cookie"), 0);
}

/// A client that has sent its cookie back, to a server that says nothing.
fn waiting(bench: &mut Bench) -> (u32, Vec<u8>) {
    let answer = bench.one(CLIENTS, &tcp(CLIENT, SERVER, "S", (1000, 0), b""), CLIENTS);
    let cookie = segment(&answer).sequence();
    let ack = tcp(CLIENT, SERVER, "A", (1001, cookie.wrapping_add(1)), b"");
    bench.one(CLIENTS, &ack, SERVERS);
    (cookie, ack)
}

/// What leaves when the guard's time has come, with the time.
fn next(bench: &mut Bench) -> Option<(u64, Gate, Vec<u8>)> {
    let deadline_ns = bench.guard.deadline_ns()?;
    bench.ctx.set_now_ns(deadline_ns);
    bench.guard.expire(&mut bench.ctx);
    let mut left = super::super::tests::left(&mut bench.ctx);
    assert_eq!((left.len(), bench.setup.pool.available()), (1, bench.setup.pool.capacity()));
    let (gate, frame) = left.pop()?;
    Some((deadline_ns, gate, frame))
}

const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn a_server_that_refuses_is_heard() {
    let mut bench = Bench::new(&["rate=0"]);
    let (cookie, ack) = waiting(&mut bench);
    let now_ns = bench.ctx.now_ns();
    assert!(bench.at(CLIENTS, now_ns + 500, &ack).is_empty(), "the server has been asked");
    let refused = bench.one(SERVERS, &tcp(SERVER, CLIENT, "RA", (0, 1001), b""), CLIENTS);
    assert_eq!(
        (segment(&refused).flags(), segment(&refused).sequence()),
        (Flags(0x14), cookie.wrapping_add(1))
    );
    assert_eq!(bench.count("connections opened by cookie"), 0);
}

#[test]
fn a_silent_server_is_asked_again_ever_more_rarely_and_then_the_client_is_reset() {
    for (arguments, times) in [(&["rate=0"][..], &[1, 3, 7, 15, 31][..]), (&["rate=0", "syns=1"], &[1])] {
        let mut bench = Bench::new(arguments);
        let (cookie, _) = waiting(&mut bench);
        let start_ns = bench.ctx.now_ns();
        let mut said = Vec::new();
        while let Some((at_ns, gate, frame)) = next(&mut bench) {
            let text = words(&frame);
            said.push(((at_ns - start_ns) / SECOND_NS, gate));
            if gate == SERVERS {
                let syn = "Flags [S], seq 1000, win 64000, options [mss 536]";
                assert!(text.contains(syn) && text.contains("198.51.100.7 > 192.0.2.1"), "{text}");
                continue;
            }
            let view = segment(&frame);
            assert_eq!(
                (view.flags(), view.sequence(), view.ack()),
                (Flags(0x14), cookie.wrapping_add(1), 1001)
            );
            assert!(
                text.starts_with("02:00:00:00:00:02 > 02:00:00:00:00:01: 192.0.2.1 > 198.51.100.7"),
                "{text}"
            );
        }
        let (last, before) = times.split_last().unwrap();
        let expected: Vec<_> = before.iter().map(|at| (*at, SERVERS)).chain([(*last, CLIENTS)]).collect();
        assert_eq!(said, expected);
        let counts =
            ["connections opened by cookie", "SYNs sent again", "connections given up, server silent"];
        assert_eq!(counts.map(|name| bench.count(name)), [0, before.len() as u64, 1]);
    }
}

#[test]
fn a_server_that_comes_late_is_connected_also_to_a_client_that_says_nothing() {
    let mut bench = Bench::new(&["rate=0"]);
    let (cookie, _) = waiting(&mut bench);
    next(&mut bench).unwrap();
    let (at_ns, ..) = next(&mut bench).unwrap();
    let mut left = bench.at(SERVERS, at_ns + 1000, &tcp(SERVER, CLIENT, "SA", (77, 1001), b""));
    let (update, ack) = (left.pop().unwrap(), left.pop().unwrap());
    assert_eq!((ack.0, update.0, segment(&update.1).window()), (SERVERS, CLIENTS, 64_000));
    let greeting = bench.one(SERVERS, &tcp(SERVER, CLIENT, "A", (78, 1001), b"hello"), CLIENTS);
    assert_eq!(
        (segment(&greeting).sequence(), segment(&greeting).payload()),
        (cookie.wrapping_add(1), &b"hello"[..])
    );
    assert!(bench.guard.deadline_ns().unwrap() <= at_ns + 3601 * SECOND_NS);
    // Overdue or not, a connection is known when its packets come first.
    let answer = tcp(SERVER, CLIENT, "A", (83, 1001), b"again");
    assert_eq!(bench.at(SERVERS, at_ns + 3000 * SECOND_NS, &answer).len(), 1);
}

#[test]
fn an_answer_that_comes_with_its_deadline_is_not_a_strangers() {
    let mut bench = Bench::new(&["rate=0"]);
    waiting(&mut bench);
    let deadline_ns = bench.guard.deadline_ns().unwrap();
    let left = bench.at(SERVERS, deadline_ns, &tcp(SERVER, CLIENT, "SA", (77, 1001), b""));
    let flags: Vec<_> = left.iter().map(|(gate, frame)| (*gate, segment(frame).flags())).collect();
    assert_eq!(flags, [(SERVERS, Flags::SYN), (SERVERS, Flags::ACK), (CLIENTS, Flags::ACK)]);
}

#[test]
fn a_client_that_leaves_before_the_server_answers_is_forgotten() {
    let mut bench = Bench::new(&["rate=0"]);
    waiting(&mut bench);
    let now_ns = bench.ctx.now_ns();
    for (sequence, left) in [(1002, 1), (1001, 0)] {
        assert!(bench.at(CLIENTS, now_ns, &tcp(CLIENT, SERVER, "R", (sequence, 0), b"")).is_empty());
        assert_eq!(bench.count("connections opened by cookie"), left, "only by the number that is next");
    }
    let late = tcp(SERVER, CLIENT, "SA", (77, 1001), b"");
    assert_eq!(bench.one(SERVERS, &late, CLIENTS), late, "which the client resets");
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
