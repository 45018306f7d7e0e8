//! What a packet costs to translate: `cargo bench -p netbricks --bench nat`.
//!
//! 100,000 flows of 100,000 hosts, each packet of another flow than the one before, 32 to a batch, beside the same packets
//! through a function that only forwards, in the same run. CPU time of the thread; the median of several rounds.

use netbricks::functions::{Kind, Setup};
use netbricks::{Args, Context, Gate, NetworkFunction};
use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, ipv6, udp};
use packet::{BATCH, Batch, Offload, Pool, PoolConfig};
use rustix::time::{ClockId, clock_gettime};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Flows, and as many hosts.
const FLOWS: usize = 100_000;
/// A step through the flows that visits all of them, far from each other.
const STRIDE: usize = 40_503;
/// Rounds through all flows.
const ROUNDS: usize = 9;
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

struct Trial {
    function: Box<dyn NetworkFunction>,
    ctx: Context,
    pool: Pool,
}

impl Trial {
    fn new(name: &str, words: &[&str]) -> Self {
        let pool = Pool::new(PoolConfig::default()).expect("a pool");
        let setup = Setup { pool: pool.clone(), key: 0x5eed, seed: 1 };
        let mut args = Args::parse(name, words).expect("words");
        let function = Kind::find(name).expect("a function").build(&mut args, &setup).expect("its words");
        Self { function, ctx: Context::new(2), pool }
    }

    /// One round through all frames, in batches; CPU nanoseconds per packet. Every packet must leave.
    fn round(&mut self, gate: Gate, frames: &[Vec<u8>], mut seen: impl FnMut(usize, &[u8])) -> f64 {
        let (mut next, mut left) = (0, 0);
        let start = cpu_ns();
        for from in (0..frames.len()).step_by(BATCH) {
            let count = BATCH.min(frames.len() - from);
            let mut batch = Batch::new();
            let first = next;
            for _ in 0..count {
                let packet = self.pool.packet(&frames[next]).expect("a buffer");
                batch.push(packet).expect("room");
                next = (next + STRIDE) % frames.len();
            }
            self.function.process(gate, &mut batch, &mut self.ctx);
            self.ctx.drain(gate ^ 1, |batch| {
                for (at, packet) in batch.drain(..).enumerate() {
                    seen((first + at * STRIDE) % frames.len(), packet.data());
                    left += 1;
                }
            });
        }
        let spent = cpu_ns() - start;
        assert_eq!(left, frames.len(), "{:?}", self.ctx.drops());
        spent as f64 / frames.len() as f64
    }

    fn median(&mut self, gate: Gate, frames: &[Vec<u8>]) -> f64 {
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| self.round(gate, frames, |_, _| ())).collect();
        rounds.sort_by(f64::total_cmp);
        rounds[ROUNDS / 2]
    }
}

fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A datagram of 22 bytes: 64 bytes of frame for IPv4.
fn frame(key: &FlowKey) -> Vec<u8> {
    let mut segment = [0; 30];
    let (source_port, destination_port) = (key.source_port(), key.destination_port());
    let mut view = udp::View::new_unchecked(&mut segment[..]);
    udp::Repr { source_port, destination_port, payload_len: 22 }.emit(&mut view);
    view.fill_checksum(key.source(), key.destination());
    let (ethertype, header) = match key {
        FlowKey::V4(key) => {
            let mut header = vec![0; ipv4::HEADER_LEN];
            ipv4::Repr::new(key.source, key.destination, IpProtocol::UDP, segment.len())
                .emit(&mut ipv4::View::new_unchecked(&mut header[..]));
            (EtherType::IPV4, header)
        }
        FlowKey::V6(key) => {
            let mut header = vec![0; ipv6::HEADER_LEN];
            ipv6::Repr::new(key.source, key.destination, IpProtocol::UDP, segment.len())
                .emit(&mut ipv6::View::new_unchecked(&mut header[..]));
            (EtherType::IPV6, header)
        }
    };
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr {
        source: MacAddr([2, 0, 0, 0, 0, 9]),
        destination: MacAddr([2, 0, 0, 0, 0, 1]),
        ethertype,
    }
    .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    [frame, header, segment.to_vec()].concat()
}

/// A host of its own for each flow.
fn host(flow: usize, six: bool) -> (IpAddr, IpAddr) {
    if six {
        let own = 0xfd00u128 << 112 | (flow as u128 + 16);
        let server = 0x0064_ff9bu128 << 96 | u128::from(SERVER.to_bits());
        return (IpAddr::V6(own.into()), IpAddr::V6(server.into()));
    }
    (IpAddr::V4((0x0a00_0010 + flow as u32).into()), SERVER.into())
}

fn translator(name: &str, inside: &str, six: bool, forward: f64) {
    let words = [
        inside,
        "outside=192.0.2.2/24",
        "external=192.0.2.2-192.0.2.9",
        "flows=131072",
        "mappings=131072",
        "inside-mac=02:00:00:00:00:01",
        "outside-mac=02:00:00:00:00:01",
        "inside-next-hop=02:00:00:00:00:02",
        "outside-next-hop=02:00:00:00:00:02",
    ];
    let mut trial = Trial::new(name, &words);
    let outgoing: Vec<Vec<u8>> = (0..FLOWS)
        .map(|flow| {
            let (own, server) = host(flow, six);
            let own = SocketAddr::new(own, 1024 + (flow % 60_000) as u16);
            frame(&FlowKey::new(IpProtocol::UDP, own, SocketAddr::new(server, 53)).expect("one family"))
        })
        .collect();
    let mut incoming = vec![Vec::new(); FLOWS];
    let opening = trial.round(0, &outgoing, |_, _| ());
    trial.round(0, &outgoing, |flow, left| {
        let layers = Layers::of(left).expect("a frame");
        let key = FlowKey::of(&layers, left).expect("a tuple").reversed();
        let mut frame = left.to_vec();
        netbricks::rewrite::tuple(&mut frame, &layers, &Offload::default(), &key);
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        incoming[flow] = frame;
    });
    let (out, back) = (trial.median(0, &outgoing), trial.median(1, &incoming));
    println!(
        "{name}, {FLOWS} flows: out {out:.0} ns, in {back:.0} ns, a flow's first packet {opening:.0} ns"
    );
    let more = [out - forward, back - forward];
    println!("  above forwarding: out {:.0} ns, in {:.0} ns a packet", more[0], more[1]);
}

fn main() {
    let keys = (0..FLOWS).map(|flow| {
        let (own, server) = host(flow, false);
        FlowKey::new(IpProtocol::UDP, SocketAddr::new(own, 1024), SocketAddr::new(server, 53))
    });
    let frames: Vec<Vec<u8>> = keys.map(|key| frame(&key.expect("one family"))).collect();
    let forward = Trial::new("macswap", &[]).median(0, &frames);
    println!("macswap, the same packets: {forward:.0} ns");
    translator("nat44", "inside=10.0.0.1/8", false, forward);
    translator("nat64", "inside=fd00::1/64", true, forward);
}
