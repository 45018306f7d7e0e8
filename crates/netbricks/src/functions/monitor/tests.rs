use packet::wire::tcp::{Repr, SackBlocks};

use super::super::test_frames::{answer, datagram, segment};
use super::super::tests::{at, setup};
use super::*;

const MS: u64 = 1_000_000;
const THERE: [&str; 2] = ["10.0.0.1:40000", "10.0.0.2:80"];
const BACK: [&str; 2] = ["10.0.0.2:80", "10.0.0.1:40000"];

/// Hands in frames at their times.
fn monitor(flows: usize, frames: &[(u64, Vec<u8>)]) -> (TcpMonitor, Report) {
    let (setup, mut ctx) = (setup(), Context::new(2));
    let mut monitor = TcpMonitor::new(flows, 600_000 * MS, 10, FlowHasher::new(1));
    for (time_ns, frame) in frames {
        let left = at(&mut monitor, &mut ctx, (0, *time_ns), &setup.pool, &[frame]);
        assert_eq!(left, [(1, frame.clone())]);
    }
    let mut report = Report::default();
    monitor.report(&mut report);
    (monitor, report)
}

/// A handshake of 10 ms to the server and 2 ms to the client.
fn opening() -> Vec<(u64, Vec<u8>)> {
    vec![
        (0, segment(THERE, 99, Flags::SYN, b"")),
        (10 * MS, segment(BACK, 0, Flags::SYN | Flags::ACK, b"")),
        (12 * MS, segment(THERE, 100, Flags::ACK, b"")),
    ]
}

#[test]
fn a_connection_is_followed_from_syn_to_fin() {
    let mut frames = opening();
    let states = |frames: &[(u64, Vec<u8>)]| monitor(9, frames).0.top()[0].state;
    assert_eq!(states(&frames[..1]), State::SynSent);
    assert_eq!(states(&frames[..2]), State::SynReceived);
    assert_eq!(states(&frames), State::Established);
    frames.push((13 * MS, segment(THERE, 100, Flags::ACK, b"GET /")));
    frames.push((24 * MS, segment(BACK, 1, Flags::ACK | Flags::FIN, b"hello")));
    assert_eq!(states(&frames), State::Closing);
    frames.push((26 * MS, segment(THERE, 105, Flags::ACK | Flags::FIN, b"")));
    frames.push((26 * MS, datagram(["10.0.0.1:1", "10.0.0.2:2"], b"")));
    let (monitor, report) = monitor(9, &frames);
    let connection = monitor.top()[0];
    assert_eq!(
        (connection.state, connection.key.to_string()),
        (State::Closed, "tcp 10.0.0.1:40000 -> 10.0.0.2:80".into())
    );
    let [there, back] = connection.ends;
    assert_eq!((there.packets, there.bytes, there.payload_bytes), (4, 4 * 54 + 5, 5));
    assert_eq!((back.packets, back.bytes, back.payload_bytes), (2, 2 * 54 + 5, 5));
    assert_eq!((back.round_trips.least_ns, there.round_trips.least_ns), (10 * MS, 2 * MS));
    assert_eq!(
        (report.get("connections"), report.get("connections closed"), report.get("packets")),
        (1, 1, 6)
    );
    assert_eq!((report.get("retransmissions"), report.get("out of order")), (0, 0));
}

#[test]
fn what_was_seen_is_sent_again_and_what_was_overtaken_is_not() {
    let data = |time_ns, sequence, payload: &[u8]| (time_ns, segment(THERE, sequence, Flags::ACK, payload));
    let counts = |more: &[(u64, Vec<u8>)]| {
        let report = monitor(9, &[&opening()[..], more].concat()).1;
        (report.get("retransmissions"), report.get("out of order"), report.get("keep-alives"))
    };
    let (first, third) = (data(20 * MS, 100, b"aaaa"), data(21 * MS, 108, b"cccc"));
    assert_eq!(counts(&[first.clone(), first.clone()]), (1, 0, 0));
    assert_eq!(counts(&[first.clone(), third.clone(), data(22 * MS, 104, b"bbbb")]), (0, 1, 0));
    assert_eq!(
        counts(&[first.clone(), third.clone(), data(90 * MS, 104, b"bbbb")]),
        (1, 0, 0),
        "later than 12 ms"
    );
    let twice = [first.clone(), third.clone(), data(22 * MS, 104, b"bbbb"), data(23 * MS, 104, b"bbbb")];
    assert_eq!(counts(&twice), (1, 1, 0));
    let halves = [first.clone(), third.clone(), data(22 * MS, 106, b"bb"), data(23 * MS, 104, b"bb")];
    assert_eq!(counts(&halves), (0, 2, 0));
    assert_eq!(counts(&[first.clone(), data(30 * MS, 103, b"a"), data(31 * MS, 103, b"")]), (0, 0, 2));
    assert_eq!(counts(&[first, third, data(22 * MS, 102, b"aabb")]), (1, 0, 0), "in part seen");
    let syns = [(1, segment(THERE, 99, Flags::SYN, b"")), (2, segment(THERE, 99, Flags::SYN, b""))];
    assert_eq!(monitor(9, &syns).1.get("retransmissions"), 1);
}

#[test]
fn sequence_numbers_wrap() {
    let start = u32::MAX - 3;
    let frames = [
        (0, segment(THERE, start.wrapping_sub(1), Flags::SYN, b"")),
        (1, segment(THERE, start, Flags::ACK, b"12345678")),
        (2, segment(THERE, 8, Flags::ACK, b"x")),
        (3, segment(THERE, 4, Flags::ACK, b"abcd")),
        (4, segment(THERE, start, Flags::ACK, b"12345678")),
    ];
    let report = monitor(9, &frames).1;
    assert_eq!((report.get("retransmissions"), report.get("out of order")), (1, 1));
}

#[test]
fn timestamps_measure_round_trips_and_closed_windows_count() {
    let mut frames = opening();
    let repr = |ends: [u16; 2], sequence, timestamps, window| Repr {
        source_port: ends[0],
        destination_port: ends[1],
        sequence,
        ack: 1,
        flags: Flags::ACK,
        window,
        urgent: 0,
        maximum_segment: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: Some(timestamps),
        sack: SackBlocks::default(),
    };
    let (client, server) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    for n in 0..10 {
        let time_ns = u64::from(n) * 100 * MS + 20 * MS;
        let ask = repr([40_000, 80], 100 + n, (1000 + n, 0), 500);
        let echo = repr([80, 40_000], 1, (7, 1000 + n), 0);
        frames.push((time_ns, answer(client, server, &ask, b"x")));
        frames.push((time_ns + 30 * MS, answer(server, client, &echo, b"")));
        frames.push((time_ns + 50 * MS, answer(server, client, &echo, b"")));
    }
    let (monitor, report) = monitor(9, &frames);
    let trips = monitor.top()[0].ends[1].round_trips;
    assert_eq!((trips.count, trips.least_ns), (11, 10 * MS), "the handshake and ten echoes");
    assert!((20 * MS..30 * MS).contains(&trips.mean_ns), "{}", trips.mean_ns);
    assert_eq!(report.get("zero windows"), 20);
    assert!(report.lines()[0].contains(" rtt 10000/"), "{}", report.lines()[0]);
}

#[test]
fn the_largest_are_listed_also_when_they_are_over() {
    let mut frames = Vec::new();
    for n in 0..30u16 {
        let end = format!("10.0.0.1:{}", 1000 + n);
        frames.push((0, segment([&end, THERE[1]], 0, Flags::SYN, b"")));
        frames.push((1, segment([&end, THERE[1]], 1, Flags::ACK, &vec![0; usize::from(n)])));
        if n % 2 == 0 {
            frames.push((2, segment([THERE[1], &end], 0, Flags::RST | Flags::ACK, b"")));
            frames.push((3, segment([&end, THERE[1]], 500, Flags::SYN, b""))); // the same ends again
        }
    }
    frames.push((4, segment(["10.0.0.9:1", "10.0.0.8:1"], 0, Flags::RST, b"")));
    let (monitor, report) = monitor(30, &frames);
    let ports: Vec<_> = monitor.top().iter().map(|connection| connection.key.source_port()).collect();
    assert_eq!(ports, [1028, 1026, 1024, 1022, 1020, 1018, 1016, 1014, 1012, 1010]);
    assert_eq!(
        (report.get("connections"), report.get("connections reset"), report.get("segments not watched")),
        (45, 15, 1)
    );
    assert_eq!(report.get("packets"), 91 - 1);
}

#[test]
fn a_full_table_is_counted_and_silence_ends() {
    let frames: Vec<_> = (0..5u64)
        .map(|n| (n, segment([&format!("10.0.0.1:{}", 1000 + n), THERE[1]], 0, Flags::SYN, b"")))
        .collect();
    let (mut monitor, report) = monitor(3, &frames);
    assert_eq!((report.get("connections"), report.get("segments not watched")), (3, 2));
    let mut ctx = Context::new(2);
    while let Some(due_ns) = monitor.deadline_ns() {
        ctx.set_now_ns(due_ns);
        monitor.expire(&mut ctx);
    }
    assert_eq!(
        (monitor.connections().count(), monitor.totals().silent, monitor.totals().past.packets),
        (0, 3, 3)
    );
}
