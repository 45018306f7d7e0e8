//! What reassembly tells of connections: beginnings, ends, losses, urgent bytes, budgets.

use std::net::SocketAddrV4;

use netbricks::reassembly::fuzz::frame;
use netbricks::reassembly::{
    Config, Conversation, Direction, Event, Exhausted, Reassembler, Sink, StreamConfig, UrgentBytes,
};
use packet::flow::FlowHasher;
use packet::parse::Layers;
use packet::wire::tcp::{self, Flags};

const A: Flags = Flags::ACK;
const S: Flags = Flags::SYN;
const SA: Flags = Flags(S.0 | A.0);
const FA: Flags = Flags(Flags::FIN.0 | A.0);
const RA: Flags = Flags(Flags::RST.0 | A.0);

/// Events as text, a line each: `>` from the initiator, `<` from the responder.
#[derive(Default)]
struct Log(Vec<String>);

impl Sink<()> for Log {
    fn event(&mut self, conversation: &mut Conversation<'_, ()>, event: Event<'_>) {
        let way = if conversation.direction == Direction::FromInitiator { '>' } else { '<' };
        self.0.push(match event {
            Event::Opened { midstream: true } => "open midstream".to_owned(),
            Event::Opened { midstream: false } => "open syn".to_owned(),
            Event::Data { offset, bytes } => format!("{way}{offset} {}", String::from_utf8_lossy(bytes)),
            Event::Gap { offset, len, cause } => format!("{way}{offset} gap {len} {cause:?}"),
            Event::Urgent { offset, byte } => format!("{way}{offset} urgent {}", char::from(byte)),
            Event::Conflict { offset, len, replaced } => format!("{way}{offset} conflict {len} {replaced}"),
            Event::Finished => format!("{way}finished"),
            Event::Closed { cause } => format!("closed {cause:?}"),
        });
    }
}

struct Bench {
    reassembler: Reassembler<()>,
    log: Log,
    now_ns: u64,
}

impl Bench {
    fn new(config: Config) -> Self {
        let config = Config { connections: 8, ..config };
        Self { reassembler: Reassembler::new(config, FlowHasher::new(7)), log: Log::default(), now_ns: 0 }
    }

    /// A segment of the connection with this client port; `way` is `>` or `<`.
    fn on(
        &mut self,
        port: u16,
        way: char,
        sequence: u32,
        ack: u32,
        flags: Flags,
        payload: &str,
    ) -> &mut Self {
        self.whole(port, way, tcp::Repr { sequence, ack, flags, ..tcp::Repr::default() }, payload)
    }

    fn whole(&mut self, port: u16, way: char, header: tcp::Repr, payload: &str) -> &mut Self {
        let client = SocketAddrV4::new([10, 0, 0, 1].into(), port);
        let server = SocketAddrV4::new([10, 0, 0, 2].into(), 80);
        let (source, destination) = if way == '>' { (client, server) } else { (server, client) };
        let frame = frame(source, destination, &header, payload.as_bytes());
        let layers = Layers::of(&frame).unwrap();
        self.reassembler.segment(self.now_ns, &layers, &frame, &mut self.log);
        self
    }

    fn client(&mut self, sequence: u32, flags: Flags, payload: &str) -> &mut Self {
        self.on(1, '>', sequence, 501, flags, payload)
    }

    fn server(&mut self, sequence: u32, ack: u32, flags: Flags, payload: &str) -> &mut Self {
        self.on(1, '<', sequence, ack, flags, payload)
    }

    /// The handshake: first bytes at 101 and 501.
    fn open(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.on(1, '>', 100, 0, S, "").server(500, 101, SA, "").client(101, A, "");
        assert_eq!(bench.said(), ["open syn"]);
        bench
    }

    /// What was said since the last time.
    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log.0)
    }

    fn end(&mut self) -> Vec<String> {
        self.reassembler.finish(&mut self.log);
        assert_eq!(self.reassembler.used_bytes(), 0);
        self.said()
    }
}

fn small(pool_bytes: usize, stream_bytes: u32, exhausted: Exhausted) -> Config {
    let stream =
        StreamConfig { pool_bytes, chunk_bytes: 4, stream_bytes, exhausted, ..StreamConfig::default() };
    Config { stream, ..Config::default() }
}

fn urgent(urgent: UrgentBytes) -> Config {
    Config { stream: StreamConfig { urgent, ..StreamConfig::default() }, ..Config::default() }
}

#[test]
fn a_connection_from_call_to_end() {
    let mut bench = Bench::open(Config::default());
    bench.client(101, A, "GET ").client(107, A, "x").client(105, A, "/\n").server(501, 108, A, "200");
    assert_eq!(bench.said(), [">0 GET ", ">4 /\n", ">6 x", "<0 200"]);
    bench.client(108, FA, "").server(504, 109, FA, "!").client(109, A, "");
    assert_eq!(bench.said(), [">finished", "<3 !", "<finished", "closed Finished"]);
    bench.client(108, FA, "late").server(504, 109, FA, "!");
    assert_eq!(bench.said(), [""; 0]);
    assert_eq!(bench.reassembler.table_counters().after_close, 3);
}

#[test]
fn data_on_the_syn_and_on_the_fin_count() {
    let mut bench = Bench::new(Config::default());
    bench.on(1, '>', u32::MAX - 1, 0, S, "tfo").server(500, 2, SA, "hi");
    bench.client(2, FA, "end");
    assert_eq!(bench.said(), ["open syn", ">0 tfo", "<0 hi", ">3 end", ">finished"]);
}

#[test]
fn a_fin_may_overtake_and_nothing_lies_behind_it() {
    let mut bench = Bench::open(Config::default());
    bench.client(107, A, "evil").client(104, FA, "def");
    assert_eq!(bench.said(), [""; 0]);
    bench.client(101, A, "abcd").client(107, A, "evil");
    assert_eq!(bench.said(), [">0 abcd", ">4 ef", ">finished"]);
    assert_eq!(bench.reassembler.counters().after_fin_bytes, 8);
}

#[test]
fn a_reset_must_fit() {
    let mut bench = Bench::open(Config::default());
    bench.client(101, A, "ab").client(105, A, "ef").client(3000, RA, "");
    assert_eq!(bench.said(), [">0 ab"]);
    assert_eq!(bench.reassembler.table_counters().stray_resets, 1);
    bench.client(107, RA, "");
    assert_eq!(bench.said(), [">2 gap 2 Closed", ">4 ef", "closed Reset"]);
}

#[test]
fn a_refused_call_is_a_reset_without_a_stream() {
    let mut bench = Bench::new(Config::default());
    bench.on(1, '>', 100, 0, S, "").server(0, 999, RA, "").server(0, 101, RA, "");
    assert_eq!(bench.said(), ["open syn", "closed Reset"]);
    assert_eq!(bench.reassembler.table_counters().stray_resets, 1);
}

#[test]
fn keep_alives_carry_garbage() {
    let stream = StreamConfig { history_bytes: 100, ..StreamConfig::default() };
    let mut bench = Bench::open(Config { stream, ..Config::default() });
    bench.client(101, A, "abc").client(103, A, "?").client(104, A, "d").client(104, A, "");
    assert_eq!(bench.said(), [">0 abc", ">3 d"]);
    assert_eq!(bench.reassembler.counters().keep_alives, 2);
}

#[test]
fn what_comes_again_and_differs_is_told() {
    let stream = StreamConfig { history_bytes: 100, ..StreamConfig::default() };
    let mut bench = Bench::open(Config { stream, ..Config::default() });
    bench.client(101, A, "attack").client(102, A, "tXXc").client(101, A, "attack");
    assert_eq!(bench.said(), [">0 attack", ">2 conflict 2 false"]);
    bench.server(501, 107, A, "").client(102, A, "XXXX"); // the receiver has it: what comes now cannot matter
    assert_eq!(bench.said(), [""; 0]);
}

#[test]
fn acknowledged_bytes_that_never_came_are_a_gap() {
    let mut bench = Bench::open(Config::default());
    bench.client(111, A, "k").client(121, A, "u").server(501, 119, A, "").client(101, A, "late");
    let expected = [">0 gap 10 Acknowledged", ">10 k", ">11 gap 7 Acknowledged"];
    assert_eq!(bench.said(), expected);
    bench.server(501, 1 << 30, A, ""); // nobody can have sent that much
    assert_eq!(bench.reassembler.counters().stray_acks, 1);
    assert_eq!(bench.end(), [">18 gap 2 Closed", ">20 u", "closed End"]);
}

#[test]
fn acknowledgements_prove_nothing_where_directions_are_captured_apart() {
    let mut bench = Bench::open(Config { acknowledgements: false, ..Config::default() });
    bench.server(501, 105, A, "").client(101, A, "abcd");
    assert_eq!(bench.said(), [">0 abcd"]);
}

#[test]
fn urgent_bytes_stay_or_go() {
    let header = |sequence| tcp::Repr { sequence, flags: A | Flags::URG, urgent: 2, ..tcp::Repr::default() };
    let mut bench = Bench::open(urgent(UrgentBytes::Inline));
    bench.whole(1, '>', header(101), "a!b");
    assert_eq!(bench.said(), [">1 urgent !", ">0 a!b"]);
    let mut bench = Bench::open(urgent(UrgentBytes::OutOfBand));
    bench.whole(1, '>', header(101), "a!b").whole(1, '>', header(104), "c").client(105, A, "!d");
    let expected = [">0 a", ">1 urgent !", ">2 b", ">3 c", ">4 urgent !", ">5 d"];
    assert_eq!(bench.said(), expected);
    bench.whole(1, '>', header(109), "x?y").client(107, A, "ef"); // out of order
    assert_eq!(bench.said(), [">6 ef", ">8 x", ">9 urgent ?", ">10 y"]);
}

#[test]
fn a_stream_that_holds_its_share_gives_up_its_hole() {
    let mut bench = Bench::open(small(1 << 10, 8, Exhausted::SkipGap));
    bench.client(103, A, "cdef").client(109, A, "ijkl").client(115, A, "opq");
    assert_eq!(bench.said(), [">0 gap 2 StreamBudget", ">2 cdef"]);
    let mut bench = Bench::open(small(1 << 10, 8, Exhausted::DropSegment));
    bench.client(103, A, "cdef").client(109, A, "ijkl").client(115, A, "opq").client(101, A, "ab");
    assert_eq!(bench.said(), [">0 ab", ">2 cdef"]);
    assert_eq!(bench.reassembler.counters().no_room, 1);
    assert_eq!(bench.end(), [">6 gap 2 Closed", ">8 ijkl", ">12 gap 5 Closed", "closed End"]);
}

#[test]
fn the_stream_that_has_waited_longest_makes_room() {
    let mut bench = Bench::new(small(8, 100, Exhausted::SkipGap));
    for port in [1, 2, 3] {
        bench.on(port, '>', 100, 0, S, "").on(port, '>', 101 + u32::from(port), 0, A, "wxyz");
    }
    let expected = ["open syn", "open syn", "open syn", ">0 gap 1 PoolBudget", ">1 wxyz"];
    assert_eq!(bench.said(), expected);
    bench.on(2, '>', 101, 0, A, "ab").on(3, '>', 101, 0, A, "abc"); // the others waited, and got theirs
    assert_eq!(bench.said(), [">0 ab", ">2 wxyz", ">0 abc", ">3 wxyz"]);
    assert_eq!(bench.reassembler.used_bytes(), 0);
}

#[test]
fn connections_are_picked_up_midstream_or_not() {
    let mut bench = Bench::new(Config::default());
    bench.client(7000, A, "").client(7000, A, "abc").server(900, 7003, A, "x");
    assert_eq!(bench.said(), ["open midstream", ">0 abc", "<0 x"]);
    assert_eq!(bench.reassembler.table_counters().unknown, 1);
    let mut bench = Bench::new(Config { midstream: false, ..Config::default() });
    bench.client(7000, A, "abc");
    assert_eq!(bench.said(), [""; 0]);
}

#[test]
fn silence_ends_a_connection_and_tells_what_it_held() {
    let mut bench = Bench::open(Config::default());
    bench.client(103, A, "c");
    assert_eq!(bench.reassembler.expire(1_000_000_000, 100, &mut bench.log), 0);
    bench.now_ns = 601_000_000_000;
    assert!(bench.reassembler.next_deadline_ns().unwrap() <= bench.now_ns);
    // The entry is past its deadline and still there: a new call replaces it, and it is told as expired all the same.
    bench.on(1, '>', 9000, 0, S, "");
    assert_eq!(bench.said(), [">0 gap 2 Closed", ">2 c", "closed Expired", "open syn"]);
    bench.reassembler.expire(bench.now_ns + 61_000_000_000, 100, &mut bench.log);
    assert_eq!(bench.said(), ["closed Expired"]);
}

#[test]
fn ends_may_call_again() {
    let mut bench = Bench::open(Config::default());
    bench.client(101, FA, "").server(501, 102, FA, "").on(1, '>', 9000, 0, S, "");
    assert_eq!(bench.said(), [">finished", "<finished", "closed Finished", "open syn"]);
    // Without an end in between, a call alone could be anybody's; that it is answered shows that it is real.
    bench.client(9001, A, "old").on(1, '<', 70, 9004, SA, "").on(1, '>', 42, 0, S, "");
    assert_eq!(bench.said(), [">0 old"]);
    assert_eq!(bench.reassembler.table_counters().stray_syns, 1);
    bench.on(1, '<', 77, 43, SA, "").on(1, '>', 43, 78, A, "new");
    assert_eq!(bench.said(), ["closed Reused", "open syn", ">0 new"]);
}

#[test]
fn a_table_that_is_full_counts_and_goes_on() {
    let mut bench = Bench::new(Config::default());
    (0..10).for_each(|port| {
        bench.on(port, '>', 100, 0, S, "");
    });
    assert_eq!(bench.reassembler.table_counters().table_full, 2);
    assert_eq!(bench.end().len(), 16);
}

#[test]
fn many_look_at_one_stream() {
    let frame_of = |payload: &[u8]| {
        let header = tcp::Repr { flags: A, ..tcp::Repr::default() };
        frame("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap(), &header, payload)
    };
    let frame = frame_of(b"seen");
    let mut reassembler =
        Reassembler::new(Config { connections: 1, ..Config::default() }, FlowHasher::new(1));
    let mut sinks = (Log::default(), vec![Log::default(), Log::default()]);
    reassembler.segment(0, &Layers::of(&frame).unwrap(), &frame, &mut sinks);
    for log in [&sinks.0, &sinks.1[0], &sinks.1[1]] {
        assert_eq!(log.0, ["open midstream", ">0 seen"]);
    }
}

#[test]
fn a_wrong_checksum_is_no_segment() {
    let mut bench = Bench::open(Config { verify_checksums: true, ..Config::default() });
    let header = tcp::Repr { sequence: 101, flags: A, ..tcp::Repr::default() };
    let mut bad = frame("10.0.0.1:1".parse().unwrap(), "10.0.0.2:80".parse().unwrap(), &header, b"evil");
    *bad.last_mut().unwrap() ^= 1;
    bench.reassembler.segment(0, &Layers::of(&bad).unwrap(), &bad, &mut bench.log);
    bench.client(101, A, "good");
    assert_eq!(bench.said(), [">0 good"]);
    assert_eq!(bench.reassembler.table_counters().bad_checksum, 1);
}
