//! What the firewalls and the router cost beside a function that only forwards: `cargo bench -p netbricks --bench functions`.
//!
//! 100,000 prepared frames of 64 bytes, 32 to a batch, each far from the one before, so that neither a flow, a rule nor a
//! route is warm by chance. Both functions of a row take the same frames, in turn, in the same run; copying a frame into
//! its buffer is part of both. CPU time of the thread; the median of several rounds.
//!
//! * `acl`: 10,000 rules of ClassBench's kind, and packets of which 15 of 16 lie in one of them;
//! * `firewall`: 100,000 UDP flows that were answered, and their packets in both directions;
//! * `router`: 100,000 routes by 64 next hops, found by ARP, and destinations at random in the routes.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lookup::acl::classbench::{self, Flavour, Version};
use lookup::lpm::sample::{self, Random, address_in};
use netbricks::functions::{Kind, Setup};
use netbricks::{Args, Context, Gate, NetworkFunction, chain};
use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, ipv4, tcp, udp};
use packet::{BATCH, Batch, Pool, PoolConfig};
use rustix::time::{ClockId, clock_gettime};

const FRAME: usize = 64;
const FRAMES: usize = 100_000;
/// A step through the frames that visits all of them.
const STRIDE: usize = 40_503;
const ROUNDS: usize = 9;
const RULES: usize = 10_000;
const ROUTES: usize = 100_000;
const NEXT_HOPS: u32 = 64;
const SEED: u64 = 7;
/// All is measured at one moment: nothing ages.
const NOW_NS: u64 = 1_000_000_000;

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

type Frame = [u8; FRAME];

/// A function, and what it needs to run.
struct Trial {
    function: Box<dyn NetworkFunction>,
    ctx: Context,
    pool: Pool,
}

impl Trial {
    fn new(make: impl FnOnce(&Setup) -> Box<dyn NetworkFunction>) -> Self {
        let pool = Pool::new(PoolConfig::default()).expect("a pool");
        let setup = Setup { pool: pool.clone(), key: 0x5eed, seed: SEED };
        let mut ctx = Context::new(2);
        ctx.set_now_ns(NOW_NS);
        Self { function: make(&setup), ctx, pool }
    }

    fn of(name: &str, words: &[&str]) -> Self {
        Self::new(|setup| {
            let mut args = Args::parse(name, words).expect("words");
            Kind::find(name).expect("a function").build(&mut args, setup).expect("its words")
        })
    }

    /// One frame in; what leaves, with its gate.
    fn one(&mut self, gate: Gate, frame: &[u8]) -> Vec<(Gate, Vec<u8>)> {
        let mut batch = Batch::new();
        batch.push(self.pool.packet(frame).expect("a buffer")).expect("room");
        self.function.process(gate, &mut batch, &mut self.ctx);
        let mut left = Vec::new();
        for gate in 0..2 {
            let take =
                |batch: &mut Batch| left.extend(batch.drain(..).map(|packet| (gate, packet.data().to_vec())));
            self.ctx.drain(gate, take);
        }
        left
    }

    /// All frames once, in batches; CPU nanoseconds per packet. Every packet must leave on the other side.
    fn round(&mut self, gate: Gate, frames: &[Frame]) -> f64 {
        let (mut next, mut left) = (0, 0);
        let mut batch = Batch::new();
        let start = cpu_ns();
        for from in (0..frames.len()).step_by(BATCH) {
            for _ in 0..BATCH.min(frames.len() - from) {
                batch.push(self.pool.packet(&frames[next]).expect("a buffer")).expect("room");
                next = (next + STRIDE) % frames.len();
            }
            self.function.process(gate, &mut batch, &mut self.ctx);
            self.ctx.drain(gate ^ 1, |batch| {
                left += batch.len();
                batch.clear();
            });
        }
        let spent = cpu_ns() - start;
        assert_eq!(left, frames.len(), "{:?}", self.ctx.drops());
        spent as f64 / frames.len() as f64
    }
}

fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A frame of a TCP or UDP flow over IPv4.
fn frame(key: &FlowKey) -> Frame {
    let mut bytes = [0; FRAME];
    let FlowKey::V4(ip) = key else { panic!("{key} is not IPv4") };
    let (source_port, destination_port) = (key.source_port(), key.destination_port());
    ethernet::Repr { source: THEIRS, destination: OURS, ethertype: EtherType::IPV4 }
        .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    ipv4::Repr::new(ip.source, ip.destination, ip.protocol, FRAME - 34)
        .emit(&mut ipv4::View::new_unchecked(&mut bytes[14..]));
    if ip.protocol == IpProtocol::TCP {
        let flags = tcp::Flags::ACK;
        let repr = tcp::Repr { source_port, destination_port, flags, window: 1000, ..tcp::Repr::default() };
        let mut segment = tcp::View::new_unchecked(&mut bytes[34..]);
        repr.emit(&mut segment);
        segment.fill_checksum(key.source(), key.destination());
    } else {
        let mut datagram = udp::View::new_unchecked(&mut bytes[34..]);
        udp::Repr { source_port, destination_port, payload_len: FRAME - 42 }.emit(&mut datagram);
        datagram.fill_checksum(key.source(), key.destination());
    }
    bytes
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures a function beside the plain one, round by round, and prints the row.
fn row(name: &str, trial: &mut Trial, gate: Gate, frames: &[Frame]) {
    let mut plain = Trial::new(|_| Box::new(chain().build()));
    let (mut forward, mut own) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let pair = (plain.round(gate, frames), trial.round(gate, frames));
        if round > 0 {
            forward.push(pair.0);
            own.push(pair.1);
        }
    }
    let range = own.iter().fold((f64::MAX, 0f64), |(low, high), v| (low.min(*v), high.max(*v)));
    let (forward, own) = (median(forward), median(own));
    println!("| {name} | {forward:.1} | {own:.1} ({:.1}–{:.1}) | {:.1} |", range.0, range.1, own / forward);
}

fn acl(directory: &std::path::Path) {
    let rules = classbench::rules(Flavour::Acl, Version::V4, RULES, SEED);
    let path = directory.join("rules");
    let text = rules.iter().fold(String::new(), |mut text, rule| {
        writeln!(text, "{rule}").expect("a string takes it");
        text
    });
    std::fs::write(&path, text).expect("a file");
    let keys = classbench::trace(&rules, 4 * FRAMES, 0.1, SEED);
    let has_ports = |key: &&FlowKey| matches!(key.protocol(), IpProtocol::TCP | IpProtocol::UDP);
    let frames: Vec<Frame> = keys.iter().filter(has_ports).take(FRAMES).map(frame).collect();
    assert_eq!(frames.len(), FRAMES);
    let mut trial = Trial::of("acl", &[&format!("classbench=@{}", path.display()), "default=permit"]);
    row(&format!("acl, {RULES} rules"), &mut trial, 0, &frames);
}

fn firewall() {
    let keys: Vec<FlowKey> = (0..FRAMES as u32)
        .map(|flow| {
            let own = SocketAddr::new(
                Ipv4Addr::from_bits(0x0a00_0010 + flow).into(),
                1024 + (flow % 60_000) as u16,
            );
            let server: IpAddr = [203, 0, 113, 9].into();
            FlowKey::new(IpProtocol::UDP, own, SocketAddr::new(server, 53)).expect("one family")
        })
        .collect();
    let outgoing: Vec<Frame> = keys.iter().map(frame).collect();
    let incoming: Vec<Frame> = keys.iter().map(|key| frame(&key.reversed())).collect();
    let mut trial = Trial::of("firewall", &["rule=permit out any any", "flows=131072"]);
    trial.round(0, &outgoing);
    trial.round(1, &incoming);
    row(&format!("firewall, {FRAMES} flows, out"), &mut trial, 0, &outgoing);
    row(&format!("firewall, {FRAMES} flows, in"), &mut trial, 1, &incoming);
}

fn router(directory: &std::path::Path) {
    let routes = sample::ipv4(ROUTES, SEED);
    let path = directory.join("routes");
    let text = routes.iter().fold(String::new(), |mut text, (prefix, hop)| {
        let via = 2 + hop % NEXT_HOPS;
        writeln!(text, "{prefix},gate=1,via=172.31.0.{via}").expect("a string takes it");
        text
    });
    std::fs::write(&path, text).expect("a file");
    let words = [
        &format!("interface=0,address=10.0.0.1/24,mac={OURS}"),
        &format!("interface=1,address=172.31.0.1/24,mac={OURS}"),
        &format!("route=@{}", path.display()),
    ];
    let mut trial = Trial::of("router", &words.map(|word| &**word));
    let mut random = Random(SEED);
    let host = SocketAddr::from(([10, 0, 0, 2], 4000));
    let frames: Vec<Frame> = std::iter::repeat_with(|| {
        let (prefix, _) = routes[random.below(routes.len() as u64) as usize];
        IpAddr::V4(address_in(prefix, &mut random))
    })
    .filter(|to| !matches!(to, IpAddr::V4(to) if to.is_link_local() || to.octets()[..2] == [172, 31]))
    .map(|to| frame(&FlowKey::new(IpProtocol::UDP, host, SocketAddr::new(to, 9)).expect("one family")))
    .take(FRAMES)
    .collect();
    frames.iter().for_each(|frame| answer_arp(&mut trial, frame));
    row(&format!("router, {ROUTES} routes"), &mut trial, 0, &frames);
}

/// Sends a frame through, and answers the question that leaves in its place if its next hop is not known.
fn answer_arp(trial: &mut Trial, frame: &Frame) {
    for (gate, question) in trial.one(0, frame) {
        if !Layers::of(&question).is_ok_and(|layers| layers.network == Network::Arp) {
            continue;
        }
        let asked = arp::View::new_checked(&question[14..]).expect("a question");
        let mut answer = [0; ethernet::HEADER_LEN + arp::PACKET_LEN];
        ethernet::Repr { source: THEIRS, destination: asked.sender_mac(), ethertype: EtherType::ARP }
            .emit(&mut ethernet::View::new_unchecked(&mut answer[..]));
        arp::Repr {
            operation: arp::Operation::REPLY,
            sender_mac: THEIRS,
            sender_ip: asked.target_ip(),
            target_mac: asked.sender_mac(),
            target_ip: asked.sender_ip(),
        }
        .emit(&mut arp::View::new_unchecked(&mut answer[ethernet::HEADER_LEN..]));
        trial.one(gate, &answer);
    }
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    println!(
        "CPU ns per packet of {FRAME} B, {FRAMES} frames, median of {ROUNDS} rounds in turn (lowest–highest)\n"
    );
    println!("| function | plain forward | it | ratio |");
    println!("| --- | --- | --- | --- |");
    acl(directory.path());
    firewall();
    router(directory.path());
}
