//! What following a packet costs: `cargo bench -p netbricks --bench conntrack`.

use std::net::SocketAddr;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use netbricks::conntrack::{Config, State, Tracker};
use packet::flow::FlowHasher;
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, tcp, udp};

/// Packets followed in one iteration.
const BATCH: usize = 1024;
/// A step through the flows that visits all of them, far from each other.
const STRIDE: u32 = 40_503;

fn main() {
    divan::main();
}

fn frame(source: SocketAddr, destination: SocketAddr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (source, destination) else { panic!("IPv4") };
    let mut bytes = vec![0; ethernet::HEADER_LEN + ipv4::HEADER_LEN];
    ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype: EtherType::IPV4 }
        .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    ipv4::Repr::new(*from.ip(), *to.ip(), protocol, payload.len())
        .emit(&mut ipv4::View::new_unchecked(&mut bytes[ethernet::HEADER_LEN..]));
    bytes.extend(payload);
    bytes
}

/// A client of its own for each flow.
fn client(flow: u32) -> SocketAddr {
    SocketAddr::from(((0x0a00_0000 | flow >> 4).to_be_bytes(), 1024 + (flow & 15) as u16))
}

fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 443))
}

fn segment(flow: u32, there: bool, flags: tcp::Flags, sequence: u32, ack: u32) -> Vec<u8> {
    let (source, destination) = if there { (client(flow), server()) } else { (server(), client(flow)) };
    let repr = tcp::Repr {
        source_port: source.port(),
        destination_port: destination.port(),
        flags,
        sequence,
        ack,
        window: 60_000,
        timestamps: Some((1, 2)),
        ..tcp::Repr::default()
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut tcp::View::new_unchecked(&mut bytes[..]));
    frame(source, destination, IpProtocol::TCP, &bytes)
}

#[inline(never)]
fn follow(tracker: &mut Tracker<u64>, now_ns: u64, frame: &[u8]) -> State {
    let layers = Layers::of(frame).expect("a whole frame");
    tracker.track(now_ns, &layers, frame).state
}

/// A tracker with open connections.
fn opened(flows: u32) -> Tracker<u64> {
    let config = Config { flows: flows as usize, translations: 0, ..Config::default() };
    let mut tracker = Tracker::new(&config, FlowHasher::new(0x5eed));
    let (syn, ack) = (tcp::Flags::SYN, tcp::Flags::ACK);
    for flow in 0..flows {
        for frame in [
            segment(flow, true, syn, 0, 0),
            segment(flow, false, syn | ack, 0, 1),
            segment(flow, true, ack, 1, 1),
        ] {
            assert!(!matches!(follow(&mut tracker, 1, &frame), State::Invalid(_)));
        }
    }
    assert_eq!(tracker.len(), flows as usize);
    tracker
}

/// Segments of established connections in both directions, each from another flow than the one before.
#[divan::bench(args = [1, 1_000, 100_000])]
fn established_tcp(bencher: Bencher<'_, '_>, flows: u32) {
    let mut tracker = opened(flows);
    let frames: Vec<Vec<u8>> = (0..flows.max(2))
        .map(|number| segment(number % flows, number % 2 == 0, tcp::Flags::ACK, 1, 1))
        .collect();
    let mut next = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            next = (next + STRIDE) % frames.len() as u32;
            let state = follow(&mut tracker, u64::from(next) + 2, black_box(&frames[next as usize]));
            debug_assert_eq!(state, State::Established);
            black_box(state);
        }
    });
}

/// The same frames, only parsed: what the tracker adds is the difference.
#[divan::bench(args = [1, 1_000, 100_000])]
fn parsing_alone(bencher: Bencher<'_, '_>, flows: u32) {
    let frames: Vec<Vec<u8>> = (0..flows.max(2))
        .map(|number| segment(number % flows, number % 2 == 0, tcp::Flags::ACK, 1, 1))
        .collect();
    let mut next = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            next = (next + STRIDE) % frames.len() as u32;
            let frame = black_box(&frames[next as usize]);
            black_box(Layers::of(frame).map_or(0, |layers| layers.end));
        }
    });
}

/// One datagram per flow, for ever new flows: each opens one, and in a full table one makes room.
#[divan::bench(args = [100_000])]
fn new_udp_into_a_full_table(bencher: Bencher<'_, '_>, flows: u32) {
    let mut tracker = opened_udp(flows);
    let mut frame = datagram(0);
    let mut next = flows;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            next = next.wrapping_add(1);
            frame[26..30].copy_from_slice(&next.to_be_bytes());
            black_box(follow(&mut tracker, 2, black_box(&frame)));
        }
    });
    assert!(tracker.counters().evicted > 0 && tracker.counters().full() == 0, "{}", tracker.counters());
}

fn datagram(flow: u32) -> Vec<u8> {
    let mut bytes = [0; udp::HEADER_LEN];
    udp::Repr { source_port: 5000, destination_port: 53, payload_len: 0 }
        .emit(&mut udp::View::new_unchecked(&mut bytes[..]));
    let source = SocketAddr::from((flow.to_be_bytes(), 5000));
    frame(source, server(), IpProtocol::UDP, &bytes)
}

fn opened_udp(flows: u32) -> Tracker<u64> {
    let config = Config { flows: flows as usize, translations: 0, ..Config::default() };
    let mut tracker = Tracker::new(&config, FlowHasher::new(0x5eed));
    for flow in 0..flows {
        follow(&mut tracker, 1, &datagram(flow));
    }
    tracker
}
