//! The translator's short way beside its long one: whatever comes, in whatever order, both make the same bytes of it and keep
//! the same of every flow. The twin goes the long way only.

use std::net::{Ipv4Addr, SocketAddr};

use netbricks::nat::{self, Arrivals, Config, Glances, Hastened, Limits, Nat, Outcome, Realm};
use netbricks::{Gate, Report, conntrack, rewrite};
use packet::flow::{FlowHasher, FlowKey};
use packet::fuzzing::bounded::Random;
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, icmpv4, ipv4, tcp, udp};
use packet::{BATCH, Checksum, Offload, Packet, Pool, PoolConfig};

const SCRIPTS: usize = 250;
const BATCHES: usize = 60;
/// Frames that left lately, to be answered and quoted.
const LATELY: usize = 24;
const EXTERNAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
/// Where the network layer of an untagged frame begins, and the transport layer where there are no options.
const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv4::HEADER_LEN;

/// What a packet came to, with its bytes afterwards.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Left(Gate, std::net::IpAddr, Vec<u8>),
    Ended(Outcome),
    Malformed,
}

/// How often what happened, over all scripts: a test of ways that nothing goes shows nothing.
#[derive(Debug, Default)]
struct Seen {
    /// On the short way, by protocol and side.
    udp: [u64; 2],
    tcp: [u64; 2],
    partial: u64,
    ended: u64,
    /// The short way seemed open and was not.
    turned_back: u64,
    errors: u64,
    long: u64,
    refused: u64,
    moved: u64,
}

/// Both translators under one configuration.
struct Both {
    config: Config,
    forwards: bool,
    short: Nat,
    long: Nat,
    key: u128,
}

impl Both {
    fn new(random: &mut Random) -> Self {
        let flows = random.one_of(&[3, 8, 64]);
        let low = random.one_of(&[1, 1000]);
        let limits = Limits {
            ports: low..=low + random.one_of(&[3, 40]),
            mappings: random.one_of(&[4, 64]),
            per_host: random.one_of(&[2, 64]),
        };
        let conntrack = conntrack::Config {
            flows,
            translations: random.one_of(&[2, flows, flows]),
            checksums: random.one_in(16),
            loose: !random.one_in(4),
            liberal: random.one_in(2),
            timeouts: nat::timeouts(),
            ..conntrack::Config::default()
        };
        let externals = vec![EXTERNAL.into()];
        let config = Config { realm: Realm::Same, externals, limits, filters: random.one_in(2), conntrack };
        let (forwards, key) = (random.one_in(2), u128::from(random.next()));
        let [short, long] = [0, 1].map(|_| Self::nat(&config, forwards, key));
        Self { config, forwards, short, long, key }
    }

    fn nat(config: &Config, forwards: bool, key: u128) -> Nat {
        let mut nat = Nat::new(config, FlowHasher::new(key));
        if forwards {
            let inside = inside(0);
            for port in [8080, 8081] {
                for protocol in [IpProtocol::TCP, IpProtocol::UDP] {
                    assert!(nat.forward(protocol, SocketAddr::new(EXTERNAL.into(), port), inside));
                }
            }
        }
        nat
    }

    /// All flows go on in other translators.
    fn hand_over(&mut self, now_ns: u64) {
        self.key += 1;
        let fresh = || Self::nat(&self.config, self.forwards, self.key);
        let [mut short, mut long] = [fresh(), fresh()];
        for (old, new) in [(&self.short, &mut short), (&self.long, &mut long)] {
            for flow in old.moved() {
                let _ = new.take_in(&flow, now_ns);
            }
        }
        (self.short, self.long) = (short, long);
    }
}

/// All that can be told of a translator.
fn state(nat: &Nat) -> Vec<String> {
    let mut flows: Vec<String> = nat.moved().map(|flow| format!("{flow:?}")).collect();
    flows.sort_unstable();
    let mut report = Report::default();
    nat.report(&mut report);
    flows.push(format!("{:?} {} {:?}", report.counters(), nat.mapped(), nat.deadline_ns()));
    flows
}

/// The twin: one packet after the other, each read anew.
fn long(nat: &mut Nat, now_ns: u64, gate: Gate, packet: &mut Packet) -> Fate {
    let Ok(arrival) = nat.arrival(gate, packet.data()) else { return Fate::Malformed };
    let outcome = nat.translate(now_ns, gate, &arrival, packet.data());
    match outcome.apply(packet, arrival.layers()) {
        Some((gate, to)) => Fate::Left(gate, to, packet.data().to_vec()),
        None => Fate::Ended(outcome),
    }
}

/// A batch as functions put it through.
fn short(nat: &mut Nat, now_ns: u64, gate: Gate, packets: &mut [Packet], seen: &mut Seen) -> Vec<Fate> {
    let (mut glances, mut arrivals) = (Glances::default(), Arrivals::default());
    nat.glance(packets.iter().map(Packet::data), &mut glances);
    nat.arrivals(gate, &glances, packets.iter().map(Packet::data), &mut arrivals);
    assert_eq!(glances.len(), packets.len());
    let mut fates = Vec::new();
    for (number, packet) in packets.iter_mut().enumerate() {
        let (glance, before) = (&glances[number], packet.data().to_vec());
        if glance.is_known() {
            assert_eq!(Ok(glance.layers(&before)), Layers::of(&before));
        }
        let fate = match nat.hasten(now_ns, gate, glance, packet) {
            Some(Hastened::Passed(out, to)) => {
                let by = if before[L3 + 9] == IpProtocol::UDP.0 { &mut seen.udp } else { &mut seen.tcp };
                by[usize::from(gate)] += 1;
                seen.partial += u64::from(packet.offload() != Offload::default());
                Fate::Left(out, to.into(), packet.data().to_vec())
            }
            Some(Hastened::Ended(cause)) => {
                seen.ended += 1;
                assert_eq!(packet.data(), before);
                Fate::Ended(Outcome::End(cause))
            }
            None => {
                seen.turned_back += u64::from(glance.is_known());
                seen.long += 1;
                assert_eq!(packet.data(), before);
                match arrivals.get(number) {
                    Some(Ok(arrival)) => {
                        let outcome = nat.translate(now_ns, gate, arrival, packet.data());
                        seen.errors += u64::from(matches!(outcome, Outcome::Error { .. }));
                        seen.refused += u64::from(matches!(outcome, Outcome::Refuse(_)));
                        match outcome.apply(packet, arrival.layers()) {
                            Some((gate, to)) => Fate::Left(gate, to, packet.data().to_vec()),
                            None => Fate::Ended(outcome),
                        }
                    }
                    Some(Err(_)) => Fate::Malformed,
                    None => long(nat, now_ns, gate, packet),
                }
            }
        };
        fates.push(fate);
    }
    fates
}

fn inside(number: usize) -> SocketAddr {
    let (host, port) = (2 + (number / 2 % 3) as u8, 1000 + (number % 2) as u16);
    SocketAddr::from(([10, 0, 0, host], port))
}

fn outside(number: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1 + (number / 2 % 2) as u8], 53 + (number % 2) as u16))
}

/// An end of the translator's.
fn external(random: &mut Random) -> SocketAddr {
    let port = random.one_of(&[1, 2, 4, 20, 1000, 1001, 1002, 1003, 1010, 8080, 8081, 9]);
    SocketAddr::from((EXTERNAL, port))
}

fn in_ip(random: &mut Random, key: &FlowKey, protocol: IpProtocol, segment: &[u8]) -> Vec<u8> {
    let FlowKey::V4(key) = key else { panic!("IPv4") };
    let mut frame = vec![0; L4];
    let ethertype = EtherType::IPV4;
    ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    let mut repr = ipv4::Repr::new(key.source, key.destination, protocol, segment.len());
    repr.tos = random.one_of(&[0, 1, 0xb8]);
    repr.ident = random.one_of(&[7, 8]);
    (repr.more_fragments, repr.fragment_offset) =
        random.one_of(&[[(false, 0); 8].as_slice(), &[(true, 0), (true, 64), (false, 64)]].concat());
    repr.emit(&mut ipv4::View::new_unchecked(&mut frame[L3..]));
    frame.extend(segment);
    frame
}

/// TCP, UDP or a ping between the ends of a key.
fn made(random: &mut Random, key: &FlowKey) -> Vec<u8> {
    let payload = random.bytes(random.0 as usize % 9);
    let (source_port, destination_port) = (key.source_port(), key.destination_port());
    let mut segment;
    match key.protocol() {
        IpProtocol::TCP => {
            let usual = [0x10, 0x18, 0x30, 0xd0];
            let rare = [0x02, 0x02, 0x12, 0x11, 0x14, 0x04, 0x00];
            let flags = if random.one_in(3) { random.one_of(&rare) } else { random.one_of(&usual) };
            let number = [1, 1, 2, 5, 10, 100_000, u32::MAX];
            let repr = tcp::Repr {
                source_port,
                destination_port,
                flags: tcp::Flags(flags),
                sequence: random.one_of(&number),
                ack: random.one_of(&number),
                window: random.one_of(&[0, 1000, 60_000]),
                timestamps: random.one_of(&[None, Some((1, 2))]),
                ..tcp::Repr::default()
            };
            segment = vec![0; repr.buffer_len()];
            repr.emit(&mut tcp::View::new_unchecked(&mut segment[..]));
            segment.extend(payload);
            tcp::View::new_unchecked(&mut segment[..]).fill_checksum(key.source(), key.destination());
        }
        IpProtocol::UDP => {
            segment = vec![0; udp::HEADER_LEN];
            let repr = udp::Repr { source_port, destination_port, payload_len: payload.len() };
            repr.emit(&mut udp::View::new_unchecked(&mut segment[..]));
            segment.extend(payload);
            if !random.one_in(4) {
                udp::View::new_unchecked(&mut segment[..]).fill_checksum(key.source(), key.destination());
            }
        }
        _ => {
            let (ident, sequence, data) = (source_port, 1, &payload[..]);
            let repr = match random.one_in(2) {
                true => icmpv4::Repr::EchoRequest { ident, sequence, data },
                false => icmpv4::Repr::EchoReply { ident, sequence, data },
            };
            segment = vec![0; repr.buffer_len()];
            repr.emit(&mut icmpv4::View::new_unchecked(&mut segment[..]));
        }
    }
    in_ip(random, key, key.protocol(), &segment)
}

/// An error about a packet that left, from whoever was to get it or a router before.
fn quoting(random: &mut Random, left: &[u8]) -> Option<Vec<u8>> {
    let layers = Layers::of(left).ok()?;
    let key = FlowKey::of(&layers, left)?;
    let packet = layers.network_packet(left);
    let quoted = &packet[..(28 + random.below(12)).min(packet.len())];
    let message = match random.one_in(2) {
        true => icmpv4::Repr::time_exceeded(quoted),
        false => icmpv4::Repr::unreachable(random.below(4) as u8, quoted),
    };
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut icmpv4::View::new_unchecked(&mut bytes[..]));
    let router = SocketAddr::from(([198, 51, 100, 1], 0));
    let from = if random.one_in(2) { SocketAddr::new(key.destination(), 0) } else { router };
    let outer = FlowKey::new(IpProtocol::ICMP, from, SocketAddr::new(key.source(), 0))?;
    Some(in_ip(random, &outer, IpProtocol::ICMP, &bytes))
}

/// The next frame that comes in at `gate`.
fn frame(random: &mut Random, gate: Gate, lately: &[(Gate, Vec<u8>)]) -> Vec<u8> {
    let there: Vec<&Vec<u8>> = lately.iter().filter(|(at, _)| *at == gate).map(|(_, frame)| frame).collect();
    if !there.is_empty() && !random.one_in(3) {
        let left = there[random.below(there.len())];
        if random.one_in(8) {
            return quoting(random, left).unwrap_or_default();
        }
        let layers = Layers::of(left).expect("what leaves can be read");
        if let Some(key) = FlowKey::of(&layers, left)
            && layers.l4.is_some()
        {
            return made(random, &key.reversed());
        }
    }
    let (tcp, udp) = (IpProtocol::TCP, IpProtocol::UDP);
    let protocol = random.one_of(&[tcp, tcp, tcp, udp, udp, IpProtocol::ICMP]);
    let number = random.below(6);
    let (from, to) = match gate {
        0 if random.one_in(6) => (inside(number), external(random)),
        0 => (inside(number), outside(random.below(4))),
        _ => (outside(number), external(random)),
    };
    let key = FlowKey::new(protocol, from, to).expect("one family");
    made(random, &key)
}

/// What else may be the matter with a frame.
fn bent(random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
    match random.below(40) {
        0 if !frame.is_empty() => {
            let at = random.below(frame.len());
            frame[at] ^= 1 << random.below(8);
        }
        // Of the headers alone.
        1 if frame.len() > L3 => {
            let at = 12 + random.below(frame.len().min(L4 + 14) - 12);
            frame[at] = random.next() as u8;
        }
        2 => frame.truncate(random.0 as usize % 70),
        // A tag.
        3 if frame.len() > L3 => drop(frame.splice(12..12, [0x81, 0, 0, 5])),
        // Options.
        4 if frame.len() > L4 => {
            frame.splice(L4..L4, [1, 1, 1, 0]);
            frame[L3] = 0x46;
            let length = u16::from_be_bytes([frame[L3 + 2], frame[L3 + 3]]).wrapping_add(4);
            frame[L3 + 2..L3 + 4].copy_from_slice(&length.to_be_bytes());
            ipv4::View::new_unchecked(&mut frame[L3..]).fill_checksum();
        }
        5..=9 => frame.resize(frame.len().max(60), 0xee),
        _ => {}
    }
    frame
}

/// What is left to the last hop: now and then a sum, here or somewhere else.
fn offload(random: &mut Random, frame: &[u8]) -> Offload {
    let start = if random.one_in(4) { 54 } else { L4 as u16 };
    let offset = if frame.get(L3 + 9) == Some(&6) { 16 } else { 6 };
    match random.below(8) {
        0 => Offload { checksum: Checksum::Partial { start, offset }, segmentation: None },
        1 => Offload { checksum: Checksum::Verified, segmentation: None },
        _ => Offload::default(),
    }
}

fn script(random: &mut Random, pool: &Pool, seen: &mut Seen) {
    let mut both = Both::new(random);
    let mut lately: Vec<(Gate, Vec<u8>)> = Vec::new();
    let mut now_ns = 1 + random.next() % SECOND;
    for _ in 0..BATCHES {
        now_ns += random.one_of(&[
            0,
            0,
            MILLISECOND,
            MILLISECOND,
            SECOND,
            SECOND,
            3 * SECOND,
            9 * SECOND,
            30 * SECOND,
            70 * SECOND,
            240 * SECOND,
            8000 * SECOND,
        ]);
        if random.one_in(4) {
            both.short.expire(now_ns);
            both.long.expire(now_ns);
        }
        if random.one_in(50) {
            both.hand_over(now_ns);
            seen.moved += both.short.moved().count() as u64;
        }
        let gate = random.below(2) as Gate;
        let count = random.one_of(&[1, 2, 5, BATCH]);
        let frames: Vec<(Vec<u8>, Offload)> = (0..count)
            .map(|_| {
                let frame = frame(random, gate, &lately);
                let frame = bent(random, frame);
                let offload = offload(random, &frame);
                (frame, offload)
            })
            .collect();
        let packets = || -> Vec<Packet> {
            let packet = |(frame, offload): &(Vec<u8>, Offload)| {
                let mut packet = pool.packet(frame).expect("a buffer");
                packet.set_offload(*offload);
                packet
            };
            frames.iter().map(packet).collect()
        };
        let expected: Vec<Fate> =
            packets().iter_mut().map(|packet| long(&mut both.long, now_ns, gate, packet)).collect();
        let fates = short(&mut both.short, now_ns, gate, &mut packets(), seen);
        for ((fate, expected), (frame, offload)) in fates.iter().zip(&expected).zip(&frames) {
            assert_eq!(fate, expected, "at gate {gate}, {offload:?}: {frame:02x?}");
            if let Fate::Left(gate, _, left) = fate {
                lately.push((*gate, left.clone()));
            }
        }
        assert_eq!(state(&both.short), state(&both.long));
        lately.drain(..lately.len().saturating_sub(LATELY));
    }
    // What was kept is given back with the last flow.
    for nat in [&mut both.short, &mut both.long] {
        while nat.deadline_ns().is_some() {
            nat.expire(u64::MAX);
        }
    }
    assert_eq!(state(&both.short), state(&both.long));
}

#[test]
fn both_ways_lead_to_the_same() {
    let fresh = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("WEFT_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(fresh);
    eprintln!("WEFT_TEST_SEED={seed}");
    let mut random = Random(seed);
    let pool = Pool::new(PoolConfig { buffers: 4 * BATCH, ..PoolConfig::default() }).expect("a pool");
    let mut seen = Seen::default();
    for _ in 0..SCRIPTS {
        script(&mut random, &pool, &mut seen);
    }
    eprintln!("{seen:?}");
    let Seen { udp, tcp, partial, ended, turned_back, errors, long, refused, moved } = seen;
    let all = [udp[0], udp[1], tcp[0], tcp[1], partial, ended, turned_back, errors, long, refused, moved];
    assert!(all.iter().all(|count| *count > 10), "{seen:?}");
}

/// The key of a translated packet, the other way round, in a frame of the same content.
fn answer(frame: &[u8]) -> Vec<u8> {
    let (layers, mut frame) = (Layers::of(frame).unwrap(), frame.to_vec());
    let key = FlowKey::of(&layers, &frame).unwrap().reversed();
    rewrite::tuple(&mut frame, &layers, &Offload::default(), &key);
    frame
}

/// Every packet of a conversation but the first of each direction goes the short way.
#[test]
fn the_short_way_is_the_usual_one() {
    let mut random = Random(1);
    let mut both = Both::new(&mut random);
    both.config.conntrack.checksums = false;
    both.hand_over(1);
    let nat = &mut both.short;
    let pool = Pool::new(PoolConfig { buffers: BATCH, ..PoolConfig::default() }).expect("a pool");
    let key = FlowKey::new(IpProtocol::UDP, inside(0), outside(0)).unwrap();
    let mut query = vec![0; L4 + 10];
    query[12] = 8;
    let FlowKey::V4(tuple) = key else { panic!("IPv4") };
    ipv4::Repr::new(tuple.source, tuple.destination, IpProtocol::UDP, 10)
        .emit(&mut ipv4::View::new_unchecked(&mut query[L3..]));
    udp::Repr { source_port: tuple.source_port, destination_port: tuple.destination_port, payload_len: 2 }
        .emit(&mut udp::View::new_unchecked(&mut query[L4..]));
    let mut hastened = [0; 2];
    for round in 0..10 {
        let mut pass = |gate: Gate, frame: &[u8]| {
            let mut packets = [pool.packet(frame).unwrap()];
            let mut seen = Seen::default();
            let fates = short(nat, SECOND * round + 2, gate, &mut packets, &mut seen);
            hastened[usize::from(gate)] += seen.udp[usize::from(gate)];
            match &fates[..] {
                [Fate::Left(out, _, left)] if *out == gate ^ 1 => left.clone(),
                fates => panic!("{fates:?}"),
            }
        };
        let left = pass(0, &query);
        let back = pass(1, &answer(&left));
        assert_eq!(answer(&back), query);
    }
    assert_eq!(hastened, [9, 9]);
}
