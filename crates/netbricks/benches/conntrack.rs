//! What following a packet costs: instructions and CPU time per packet.
//!
//! `cargo bench -p netbricks --bench conntrack`. Instructions are counted by valgrind's callgrind, of three times as many
//! packets less those of once as many, so that only packets count. Times are the thread's CPU time: the best of some runs,
//! and the median.

use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Command;

use netbricks::conntrack::{Config, State, Tracker};
use packet::flow::FlowHasher;
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, tcp, udp};
use rustix::time::{ClockId, clock_gettime};

/// A step through the flows that visits all of them, far from each other.
const STRIDE: u32 = 40_503;
/// Flows that are followed.
const FLOWS: [u32; 3] = [1, 1_000, 100_000];
/// Packets between two looks at the clock, and how often it is looked at.
const PACKETS: u32 = 64 * 1024;
const RUNS: usize = 15;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Segments of established connections in both directions, each from another flow than the one before.
    OneByOne,
    /// The same, 32 at a time.
    Batch,
    /// The same frames, only parsed: what the tracker adds is the difference.
    Parse,
    /// One datagram per flow, for ever new flows: each opens one, and in a full table one makes room.
    New,
}

const KINDS: [(&str, Kind); 4] = [
    ("established, one by one", Kind::OneByOne),
    ("established, 32 at a time", Kind::Batch),
    ("parsing alone", Kind::Parse),
    ("new UDP flow, full table", Kind::New),
];

fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, verb, name, flows, packets] = &args[..]
        && verb == "run"
    {
        let (_, kind) = KINDS.into_iter().find(|(known, _)| known == name).expect("a kind");
        let packets = packets.parse().expect("a number");
        Bench::new(kind, flows.parse().expect("a number")).run(packets);
        return;
    }
    println!("per packet: instructions, ns of CPU time (best of {RUNS} runs; median)\n");
    println!("| flows | {} |", FLOWS.map(|flows| flows.to_string()).join(" | "));
    println!("| --- | --- | --- | --- |");
    for (name, kind) in KINDS {
        let cells = FLOWS.map(|flows| {
            let mut bench = Bench::new(kind, flows);
            bench.run(PACKETS); // to be warm
            let mut times = [0; RUNS].map(|_: u32| {
                let start = cpu_ns();
                bench.run(PACKETS);
                (cpu_ns() - start) as f64 / f64::from(PACKETS)
            });
            times.sort_by(f64::total_cmp);
            let count = instructions(name, flows);
            format!("{count:.0}, {:.1} ns; {:.1}", times[0], times[RUNS / 2])
        });
        println!("| {name} | {} |", cells.join(" | "));
    }
}

/// Instructions per packet, as callgrind counts them.
fn instructions(name: &str, flows: u32) -> f64 {
    let packets = 32 * 500;
    let count = |packets: u32| -> u64 {
        let program = std::env::current_exe().expect("this program");
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args(["run", name, &flows.to_string(), &packets.to_string()])
            .output()
            .expect("valgrind: `tests/install.sh bench` installs it");
        let text = String::from_utf8_lossy(&output.stderr);
        let count =
            text.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("callgrind says: {text}"))
    };
    (count(3 * packets) - count(packets)) as f64 / f64::from(2 * packets)
}

/// A tracker with its flows, and frames of theirs.
struct Bench {
    kind: Kind,
    tracker: Tracker<u64>,
    frames: Vec<Vec<u8>>,
    next: u32,
}

impl Bench {
    fn new(kind: Kind, flows: u32) -> Self {
        let (tracker, frames) = match kind {
            Kind::New => (opened_udp(flows), vec![datagram(0)]),
            _ => {
                let ack = |number| segment(number % flows, number % 2 == 0, tcp::Flags::ACK, 1, 1);
                (opened(flows), (0..flows.max(2)).map(ack).collect())
            }
        };
        Self { kind, tracker, frames, next: flows }
    }

    fn step(&mut self) -> usize {
        self.next = (self.next + STRIDE) % self.frames.len() as u32;
        self.next as usize
    }

    fn run(&mut self, packets: u32) {
        match self.kind {
            Kind::OneByOne => (0..packets).for_each(|_| {
                let (at, now_ns) = (self.step(), u64::from(self.next) + 2);
                let state = follow(&mut self.tracker, now_ns, black_box(&self.frames[at]));
                assert_eq!(black_box(state), State::Established);
            }),
            Kind::Batch => (0..packets / packet::BATCH as u32).for_each(|_| self.batch()),
            Kind::Parse => (0..packets).for_each(|_| {
                let at = self.step();
                black_box(Layers::of(black_box(&self.frames[at])).map_or(0, |layers| layers.end));
            }),
            Kind::New => (0..packets).for_each(|_| self.open()),
        }
    }

    fn batch(&mut self) {
        let numbers: [usize; packet::BATCH] = std::array::from_fn(|_| self.step());
        let now_ns = u64::from(self.next) + 2;
        let frames = numbers.map(|at| black_box(&self.frames[at][..]));
        let arrivals = frames.map(|frame| self.tracker.arrival(frame).expect("a whole frame"));
        self.tracker.fetch(&arrivals);
        for (arrival, frame) in arrivals.iter().zip(frames) {
            let verdict = self.tracker.track_arrival(now_ns, arrival, frame, &mut |_, _| ());
            assert_eq!(black_box(verdict.state), State::Established);
        }
    }

    fn open(&mut self) {
        self.next = self.next.wrapping_add(1);
        let frame = &mut self.frames[0];
        frame[26..30].copy_from_slice(&self.next.to_be_bytes());
        black_box(follow(&mut self.tracker, 2, black_box(frame)));
        assert_eq!(self.tracker.counters().full(), 0);
    }
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
        sack_permitted: flags.contains(tcp::Flags::SYN),
        timestamps: Some((1, 2)),
        ..tcp::Repr::default()
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut tcp::View::new_unchecked(&mut bytes[..]));
    if !repr.sack_permitted {
        bytes[tcp::HEADER_LEN..].rotate_right(2); // the padding in front of the timestamps, as all systems have it
    }
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
