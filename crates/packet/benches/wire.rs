//! What reading a packet costs: `cargo bench -p packet --bench wire`.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use packet::checksum;
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, ipv6, tcp};

/// Packets read in one iteration, each from its own memory, as in a batch.
const BATCH: usize = 32;

fn main() {
    divan::main();
}

fn segment() -> Vec<u8> {
    let repr = tcp::Repr {
        source_port: 40_000,
        destination_port: 80,
        flags: tcp::Flags::ACK,
        timestamps: Some((1, 2)),
        ..tcp::Repr::default()
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut tcp::View::new_unchecked(&mut bytes[..]));
    bytes
}

fn frame(ethertype: EtherType, packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    bytes.extend(packet);
    bytes
}

fn tcp_v4() -> Vec<u8> {
    let segment = segment();
    let mut packet = vec![0; ipv4::HEADER_LEN];
    ipv4::Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::TCP, segment.len())
        .emit(&mut ipv4::View::new_unchecked(&mut packet[..]));
    packet.extend(segment);
    frame(EtherType::IPV4, &packet)
}

fn tcp_v6() -> Vec<u8> {
    let segment = segment();
    let mut packet = vec![0; ipv6::HEADER_LEN];
    let address = std::net::Ipv6Addr::LOCALHOST;
    ipv6::Repr::new(address, address, IpProtocol::TCP, segment.len())
        .emit(&mut ipv6::View::new_unchecked(&mut packet[..]));
    packet.extend(segment);
    frame(EtherType::IPV6, &packet)
}

fn per_packet(bencher: Bencher<'_, '_>, frame: &[u8], read: impl Fn(&[u8]) -> u64 + Sync) {
    let batch: Vec<Vec<u8>> = (0..BATCH).map(|_| frame.to_vec()).collect();
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench(|| black_box(&batch).iter().map(|frame| read(frame)).fold(0, u64::wrapping_add));
}

#[divan::bench]
fn layers_v4(bencher: Bencher<'_, '_>) {
    per_packet(bencher, &tcp_v4(), |frame| Layers::of(frame).map_or(0, |layers| layers.end as u64));
}

#[divan::bench]
fn layers_v6(bencher: Bencher<'_, '_>) {
    per_packet(bencher, &tcp_v6(), |frame| Layers::of(frame).map_or(0, |layers| layers.end as u64));
}

fn key(frame: &[u8]) -> Option<FlowKey> {
    FlowKey::of(&Layers::of(frame).ok()?, frame)
}

#[divan::bench]
fn layers_and_key_v4(bencher: Bencher<'_, '_>) {
    per_packet(bencher, &tcp_v4(), |frame| key(frame).map_or(0, |key| u64::from(key.source_port())));
}

#[divan::bench]
fn layers_key_and_hash_v4(bencher: Bencher<'_, '_>) {
    let hasher = FlowHasher::new(0x5eed);
    per_packet(bencher, &tcp_v4(), move |frame| key(frame).map_or(0, |key| hasher.hash(&key)));
}

#[divan::bench]
fn layers_key_and_hash_v6(bencher: Bencher<'_, '_>) {
    let hasher = FlowHasher::new(0x5eed);
    per_packet(bencher, &tcp_v6(), move |frame| key(frame).map_or(0, |key| hasher.hash(&key)));
}

#[divan::bench]
fn ttl_and_checksum(bencher: Bencher<'_, '_>) {
    let mut batch: Vec<Vec<u8>> = (0..BATCH).map(|_| tcp_v4()).collect();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for frame in &mut batch {
            if let Ok(mut ip) = ipv4::View::new_checked(&mut frame[ethernet::HEADER_LEN..])
                && !ip.decrement_ttl()
            {
                ip.set_ttl(255);
                ip.fill_checksum();
            }
        }
        black_box(&batch);
    });
}

#[divan::bench(args = [20, 64, 1500, 65_535])]
fn checksum_sum(bencher: Bencher<'_, '_>, length: usize) {
    let data = vec![0x5a; length];
    bencher.counter(BytesCount::new(length)).bench(|| checksum::sum(black_box(&data)));
}
