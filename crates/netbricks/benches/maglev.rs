//! What balancing a packet costs: `cargo bench -p netbricks --bench maglev`. Each packet is of another connection than the one
//! before; `plain_forward` does all that is done around it, and nothing to the packet.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use netbricks::functions::{Backend, BalancerConfig, Maglev, Mode, Service};
use netbricks::{Context, Gate, NetworkFunction};
use packet::flow::FlowHasher;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, tcp};
use packet::{BATCH, Batch, Pool, PoolConfig};

/// Packets of one iteration.
const PACKETS: usize = 32 * BATCH;
/// A step through the flows that visits all of them, far from each other.
const STRIDE: usize = 40_503;

fn main() {
    divan::main();
}

/// Sends everything on.
struct Forward;

impl NetworkFunction for Forward {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        ctx.send_batch(gate ^ 1, batch);
    }
}

/// A segment of 64 bytes, with the frame's checksum that is not here, of a client of its own to the service.
fn segment(flow: u32, flags: tcp::Flags) -> Vec<u8> {
    let mut bytes = vec![0; 60];
    ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype: EtherType::IPV4 }
        .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    let (client, service) = ((0x0a00_0000 | flow >> 4).into(), [192, 0, 2, 10].into());
    ipv4::Repr::new(client, service, IpProtocol::TCP, tcp::HEADER_LEN)
        .emit(&mut ipv4::View::new_unchecked(&mut bytes[14..]));
    let repr = tcp::Repr {
        source_port: 1024 + (flow & 15) as u16,
        destination_port: 80,
        flags,
        ..tcp::Repr::default()
    };
    let mut view = tcp::View::new_unchecked(&mut bytes[34..54]);
    repr.emit(&mut view);
    view.fill_checksum(client.into(), service.into());
    bytes
}

fn balancer(mode: Mode) -> Maglev {
    let service = Service { address: [192, 0, 2, 10].into(), port: 80, protocol: IpProtocol::TCP };
    let port = if matches!(mode, Mode::Nat) { 8080 } else { service.port };
    let backend = |n: u8| Backend { address: [172, 16, 0, n].into(), port, weight: 1, mac: None };
    let backends = (1..=100).map(backend).collect();
    Maglev::new(service, backends, mode, BalancerConfig::default(), FlowHasher::new(0x5eed)).expect("a table")
}

fn run(bencher: Bencher<'_, '_>, function: &mut dyn NetworkFunction, flows: usize) {
    let pool = Pool::new(PoolConfig { buffers: 2 * BATCH, ..PoolConfig::default() }).expect("memory");
    let (mut ctx, mut batch) = (Context::new(2), Batch::new());
    let mut pass = |frame: &[u8]| {
        batch.push(pool.packet(frame).expect("a buffer")).expect("room");
        if batch.len() == BATCH {
            function.process(1, &mut batch, &mut ctx);
            ctx.drain(0, Batch::clear);
        }
    };
    let syns = flows.next_multiple_of(BATCH);
    (0..syns).for_each(|flow| pass(&segment((flow % flows) as u32, tcp::Flags::SYN)));
    let frames: Vec<_> = (0..flows).map(|flow| segment(flow as u32, tcp::Flags::ACK)).collect();
    let mut next = 0;
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        for _ in 0..PACKETS {
            next = (next + STRIDE) % flows;
            pass(black_box(&frames[next]));
        }
    });
}

const FLOWS: [usize; 3] = [1, 1_000, 100_000];

#[divan::bench(args = FLOWS)]
fn plain_forward(bencher: Bencher<'_, '_>, flows: usize) {
    run(bencher, &mut Forward, flows);
}

#[divan::bench(args = FLOWS)]
fn nat(bencher: Bencher<'_, '_>, flows: usize) {
    run(bencher, &mut balancer(Mode::Nat), flows);
}

#[divan::bench(args = FLOWS)]
fn gre(bencher: Bencher<'_, '_>, flows: usize) {
    run(bencher, &mut balancer(Mode::Gre([172, 16, 1, 1].into())), flows);
}
