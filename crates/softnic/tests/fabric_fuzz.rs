//! Anything at all into the fabric: it never panics, and what comes out is whole and goes to a port that exists.
//!
//! `WEFT_FUZZ_SECONDS` says how long (2 by default); `WEFT_FUZZ_SEED` repeats a run.

mod fabric_kit;

use std::time::{Duration, Instant};

use fabric_kit::*;
use packet::{Checksum, Offload, SegmentKind, Segmentation};
use softnic::fabric::program::Protocol;

/// SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

const PARTIES: [u32; 10] = [0, 1, 2, 3, 4, 5, 6, TIER, GATEWAY, NOBODY];

fn way(random: &mut Random) -> Way {
    let from = random.below(7) as u32;
    let to = PARTIES[random.below(10) as usize];
    let ports = [53, 80, 81, 5432, 1, 2, 3];
    let port = |random: &mut Random| ports[random.below(7) as usize];
    Way::new(from, to, (port(random), port(random)), random.one_in(2))
}

/// A frame that makes sense, of any kind.
fn sensible(random: &mut Random, last: &[u8]) -> (u32, Vec<u8>) {
    let way = way(random);
    let payload: Vec<u8> = (0..random.below(80)).map(|_| random.next() as u8).collect();
    let flags = [SYN, SYN_ACK, ACK, FIN_ACK, RST][random.below(5) as usize];
    let frame = match random.below(7) {
        0 | 1 => way.tcp(flags, &payload),
        2 => way.udp(&payload),
        3 => way.udp(
            &[&[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1][..], b"\x03web\0\0\x01\0\x01\0\0\x29\x10\0\0\0\0\0\0\0"]
                .concat(),
        ),
        4 => way.echo(random.one_in(2), &payload),
        5 if last.len() > 14 => way.unreachable(&last[14..last.len().min(600)]),
        _ => {
            let protocol = packet::wire::IpProtocol(random.next() as u8);
            frame(way.from, ip(way.from, way.v6), ip(way.to, way.v6), protocol, &payload)
        }
    };
    (way.from, frame)
}

fn spoil(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(4) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes.extend((0..random.below(32)).map(|byte| byte as u8)),
            2 => bytes[at] ^= 1 << random.below(8),
            _ => bytes[at] = random.next() as u8,
        }
    }
    // A header checksum that is right gets a spoilt packet further.
    if bytes.len() >= 34 && bytes[12..14] == [8, 0] && !random.one_in(4) {
        let length = (usize::from(bytes[14] & 15) * 4).clamp(20, bytes.len() - 14);
        bytes[24..26].fill(0);
        let check = packet::checksum::checksum(&bytes[14..14 + length]);
        bytes[24..26].copy_from_slice(&check.to_be_bytes());
    }
}

fn offload(random: &mut Random) -> Offload {
    if !random.one_in(3) {
        return Offload::default();
    }
    let start = [34, 54, 14, 62, random.next() as u16][random.below(5) as usize];
    let offset = [16, 6, 2, random.next() as u16][random.below(4) as usize];
    let checksum = match random.below(4) {
        0 => Checksum::Unknown,
        1 => Checksum::Verified,
        _ => Checksum::Partial { start, offset },
    };
    let kind = [SegmentKind::TcpV4, SegmentKind::TcpV6, SegmentKind::Udp][random.below(3) as usize];
    let segmentation = random.one_in(2).then(|| Segmentation {
        kind,
        ecn: random.one_in(2),
        size: random.next() as u16,
        header_len: random.next() as u16,
    });
    Offload { checksum, segmentation }
}

#[test]
fn anything_goes_in_and_only_whole_packets_come_out() {
    let seed = environment("WEFT_FUZZ_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let seconds = environment("WEFT_FUZZ_SECONDS").unwrap_or(2);
    println!("WEFT_FUZZ_SEED={seed} WEFT_FUZZ_SECONDS={seconds}");
    let mut random = Random(seed);
    let mut net = Net::with_flows(&program(), 256);
    let (mut sent, mut came_out) = (0u64, 0u64);
    let mut last = Vec::new();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        for _ in 0..256 {
            let (from, mut bytes) = sensible(&mut random, &last);
            spoil(&mut random, &mut bytes);
            let from = if random.one_in(16) { random.below(9) as u32 } else { from };
            net.now += random.below(SECOND / 100);
            sent += 1;
            // `send_with` judges what comes out.
            let offload = offload(&mut random);
            let Some(out) = net.send_with(from, &bytes, offload) else { continue };
            assert!(out.port < 7, "seed {seed}: port {} does not exist", out.port);
            came_out += 1;
            last = out.frame;
        }
        shake(&mut random, &mut net);
    }
    let counters = net.fabric.counters();
    assert!(counters.flows.active <= 256);
    assert!(sent < 1000 || came_out > sent / 20, "seed {seed}: only {came_out} of {sent} came out");
    assert_eq!(net.pool.available(), net.pool.capacity(), "seed {seed}: every buffer is home");
}

/// What happens around packets: programs, links, restarts, time.
fn shake(random: &mut Random, net: &mut Net) {
    match random.below(8) {
        0 => {
            let mut changed = program();
            if random.one_in(2) {
                changed.rules.remove(random.below(4) as usize);
                changed.services[0].members.remove(random.below(3) as usize);
                changed.endpoints.swap(0, random.below(7) as usize);
            }
            net.fabric.apply(&changed).unwrap();
        }
        1 => net.fabric.set_link(packet::PortId(random.below(9) as u32), random.one_in(3)),
        2 => net.fabric.adopt_existing(net.now + SECOND),
        3 => net.now += random.below(400) * SECOND,
        4 => (0..8).for_each(|port| net.fabric.set_link(packet::PortId(port), true)),
        5 => {
            net.fabric.explain("client", "tier", Protocol::Tcp, random.next() as u16).unwrap();
        }
        _ => net.fabric.expire(net.now),
    }
}
