//! Nanoseconds per packet through the fabric: `cargo bench -p softnic --bench fabric`.

#[path = "../tests/fabric_kit/mod.rs"]
mod fabric_kit;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fabric_kit::*;
use packet::{Offload, Packet, Pool, PoolConfig, PortId};
use softnic::fabric::Fabric;

fn main() {
    divan::main();
}

/// Flows that take turns, so that not everything is in the first cache.
const FLOWS: u16 = 1024;

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() }).unwrap()
}

/// Puts a frame into a packet's buffer again: what a port does.
fn refill(packet: &mut Packet, frame: &[u8], from: u32) {
    packet.set_len(frame.len()).unwrap();
    packet.data_mut().copy_from_slice(frame);
    packet.set_offload(Offload::default());
    packet.set_ingress(PortId(from));
}

/// Sends frames round and round; the packet that comes out goes in again.
fn drive(bencher: Bencher<'_, '_>, fabric: &mut Fabric, frames: &[Vec<u8>], from: u32) {
    let pool = pool();
    let mut packet = pool.packet(&frames[0]);
    let (mut at, mut now) = (0, SECOND);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let mut sent = packet.take().unwrap_or_else(|| pool.packet(&frames[0]).unwrap());
        refill(&mut sent, &frames[at], from);
        at = (at + 1) % frames.len();
        now += 1000;
        fabric.handle(now, sent, &mut |out| packet = Some(black_box(out)));
    });
}

/// What the loop costs without a fabric.
#[divan::bench]
fn nothing(bencher: Bencher<'_, '_>) {
    let pool = pool();
    let frames = established(WEB, 80, false).1;
    let mut packet = pool.packet(&frames[0]);
    let mut at = 0;
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let mut sent = packet.take().unwrap();
        refill(&mut sent, &frames[at], CLIENT);
        at = (at + 1) % frames.len();
        packet = Some(black_box(sent));
    });
}

/// A fabric with open connections from the client, and a packet of each.
fn established(to: u32, port: u16, v6: bool) -> (Fabric, Vec<Vec<u8>>) {
    let mut net = Net::new(&program());
    let mut frames = Vec::new();
    for client in 0..FLOWS {
        let way = Way::new(CLIENT, to, (20_000 + client, port), v6);
        let member = net.send(CLIENT, &way.tcp(SYN, b"")).unwrap().port;
        let back = Way::new(member, CLIENT, (port, 20_000 + client), v6);
        net.send(member, &back.tcp(SYN_ACK, b"")).unwrap();
        net.send(CLIENT, &way.tcp(ACK, b"")).unwrap();
        frames.push(way.tcp(ACK, &[0; 10]));
    }
    (net.fabric, frames)
}

#[divan::bench(args = [false, true])]
fn established_flow(bencher: Bencher<'_, '_>, v6: bool) {
    let (mut fabric, frames) = established(WEB, 80, v6);
    drive(bencher, &mut fabric, &frames, CLIENT);
}

#[divan::bench(args = [false, true])]
fn established_flow_to_service(bencher: Bencher<'_, '_>, v6: bool) {
    let (mut fabric, frames) = established(TIER, 80, v6);
    drive(bencher, &mut fabric, &frames, CLIENT);
}

#[divan::bench(sample_size = 500)]
fn first_packet(bencher: Bencher<'_, '_>) {
    let frames: Vec<_> =
        (1..60_000u16).map(|port| Way::new(CLIENT, WEB, (port, 9), false).udp(b"x")).collect();
    let mut net = Net::with_flows(&program(), 4096);
    drive(bencher, &mut net.fabric, &frames, CLIENT);
}

#[divan::bench(sample_size = 500)]
fn first_packet_to_service(bencher: Bencher<'_, '_>) {
    let frames: Vec<_> =
        (1..60_000u16).map(|port| Way::new(CLIENT, TIER, (port, 80), false).udp(b"x")).collect();
    let mut net = Net::with_flows(&program(), 4096);
    drive(bencher, &mut net.fabric, &frames, CLIENT);
}

#[divan::bench]
fn dns(bencher: Bencher<'_, '_>) {
    let query = [&[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x03web\0\0\x01\0\x01"].concat();
    let frames = [Way::new(LONER, GATEWAY, (4000, 53), false).udp(&query)];
    let mut net = Net::new(&program());
    drive(bencher, &mut net.fabric, &frames, LONER);
}

#[divan::bench(sample_size = 500)]
fn denied(bencher: Bencher<'_, '_>) {
    let frames = [Way::new(LONER, DB, (4000, 53), false).tcp(SYN, b"")];
    let mut net = Net::new(&program());
    drive(bencher, &mut net.fabric, &frames, LONER);
}
