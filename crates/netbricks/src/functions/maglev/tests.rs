use std::collections::BTreeMap;

use packet::wire::tcp::{self, Flags};
use packet::wire::{MacAddr, ethernet, gre, ipv4, udp};
use packet::{Checksum, Pool};

use super::super::test_frames::{datagram, frame, segment};
use super::super::tests::{at, function, left, setup};
use super::*;

const VIP: &str = "vip=192.0.2.10:80/tcp";
const SERVICE: &str = "192.0.2.10:80";

/// Runs frames in at a gate one after the other.
struct Run {
    maglev: Box<dyn NetworkFunction>,
    ctx: Context,
    pool: Pool,
}

impl Run {
    fn new(words: &[&str]) -> Self {
        let setup = setup();
        Self { maglev: function("maglev", words, &setup), ctx: Context::new(2), pool: setup.pool }
    }

    /// The one frame that leaves at the other gate.
    fn pass(&mut self, gate: Gate, now_ns: u64, bytes: &[u8]) -> Vec<u8> {
        let mut left = at(&mut *self.maglev, &mut self.ctx, (gate, now_ns), &self.pool, &[bytes]);
        assert_eq!((left.len(), left[0].0), (1, gate ^ 1));
        left.remove(0).1
    }

    fn maglev(&mut self) -> &mut Maglev {
        let any: &mut dyn std::any::Any = &mut *self.maglev;
        any.downcast_mut().unwrap()
    }
}

fn key(bytes: &[u8]) -> FlowKey {
    FlowKey::of(&Layers::of(bytes).unwrap(), bytes).unwrap()
}

/// Checksums of IP and TCP or UDP.
fn is_right(bytes: &[u8]) -> bool {
    let layers = Layers::of(bytes).unwrap();
    let (source, destination) = layers.addresses(bytes).unwrap();
    let segment = layers.segment(bytes);
    let transport = match layers.protocol {
        IpProtocol::TCP => tcp::View::new_checked(segment).unwrap().verify_checksum(source, destination),
        IpProtocol::UDP => udp::View::new_checked(segment).unwrap().verify_checksum(source, destination),
        IpProtocol::ICMP => icmpv4::View::new_checked(segment).unwrap().verify_checksum(),
        other => panic!("{other}"),
    };
    transport && (source.is_ipv6() || ipv4::View::new_checked(&bytes[14..]).unwrap().verify_checksum())
}

fn client(n: u32) -> String {
    format!("198.51.{}.{}:{}", n >> 8 & 0xff, n & 0xff, 1024 + (n >> 16))
}

#[test]
fn both_ways_are_translated_and_checksums_stay_right() {
    for (service, backend, from) in [
        (SERVICE, "10.0.0.1:8080", "198.51.100.1:40000"),
        ("[2001:db8::10]:80", "[fd00::1]:8080", "[2001:db8:1::1]:40000"),
    ] {
        let mut run = Run::new(&[&format!("vip={service}/tcp"), &format!("backend={backend}")]);
        let there = run.pass(1, 0, &segment([from, service], 9, Flags::SYN, b""));
        assert!(key(&there).to_string() == format!("tcp {from} -> {backend}") && is_right(&there));
        let back = run.pass(0, 1, &segment([backend, from], 5, Flags::SYN | Flags::ACK, b"x"));
        assert!(key(&back).to_string() == format!("tcp {service} -> {from}") && is_right(&back));
    }
    let mut run = Run::new(&["vip=192.0.2.10:53/udp", "backend=10.0.0.1"]);
    let there = run.pass(1, 0, &datagram(["198.51.100.1:4000", "192.0.2.10:53"], b"q"));
    assert!(key(&there).to_string() == "udp 198.51.100.1:4000 -> 10.0.0.1:53" && is_right(&there));
}

#[test]
fn what_is_not_the_services_passes_unchanged() {
    let mut run = Run::new(&[VIP, "backend=10.0.0.1:8080"]);
    let frames = [
        segment(["198.51.100.1:1", "192.0.2.10:81"], 0, Flags::SYN, b""),
        segment(["198.51.100.1:1", "192.0.2.11:80"], 0, Flags::SYN, b""),
        datagram(["198.51.100.1:1", SERVICE], b""),
        b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5??".to_vec(),
        b"runt".to_vec(),
    ];
    frames.iter().for_each(|bytes| assert_eq!(run.pass(1, 0, bytes), *bytes));
    let others = [
        segment(["10.0.0.1:22", "198.51.100.1:1"], 0, Flags::ACK, b""),
        segment(["10.0.0.9:8080", "198.51.100.1:1"], 0, Flags::ACK, b""),
    ];
    others.iter().for_each(|bytes| assert_eq!(run.pass(0, 0, bytes), *bytes));
}

#[test]
fn weights_share_out_connections_and_established_ones_stay() {
    let backends = ["backend=10.0.0.1", "backend=10.0.0.2,weight=2", "backend=10.0.0.3"];
    let mut run = Run::new(&[&[VIP, "down=10.0.0.3"], &backends[..]].concat());
    let syn = |n| segment([&client(n), SERVICE], 0, Flags::SYN, b"");
    let ack = |n| segment([&client(n), SERVICE], 1, Flags::ACK, b"x");
    let first: Vec<_> = (0..3000).map(|n| key(&run.pass(1, 0, &syn(n))).destination().to_string()).collect();
    let mut shares = BTreeMap::new();
    first.iter().for_each(|address| *shares.entry(&**address).or_insert(0) += 1);
    let (one, two) = (shares["10.0.0.1"], shares["10.0.0.2"]);
    assert!((900..1100).contains(&one) && one + two == 3000, "{shares:?}");
    // The first goes, the third comes back.
    let new = ["10.0.0.2", "10.0.0.3"].map(|text| text.parse().unwrap());
    let other = Backend { address: "fd00::1".parse().unwrap(), port: 0, weight: 1, mac: None };
    let refused = run.maglev().set_backends(vec![other]).unwrap_err().to_string();
    assert_eq!(refused, "back end fd00::1: it is of another family than the service");
    run.maglev().set_backends(new.to_vec()).unwrap();
    for (n, address) in (0..3000).zip(&first) {
        assert_eq!(key(&run.pass(1, 1, &ack(n))).destination().to_string(), *address);
    }
    let gone = first.iter().position(|address| address == "10.0.0.1").unwrap() as u32;
    let answer = segment(["10.0.0.1:80", &client(gone)], 1, Flags::ACK, b"");
    assert_eq!(key(&run.pass(0, 2, &answer)).source().to_string(), "192.0.2.10");
    let fresh: Vec<_> =
        (3000..6000).map(|n| key(&run.pass(1, 1, &syn(n))).destination().to_string()).collect();
    assert!(fresh.iter().all(|address| address != "10.0.0.1"));
    // A port that is used again after the end of its connection begins anew; a SYN sent again does not.
    let fin = segment([&client(gone), SERVICE], 2, Flags::FIN | Flags::ACK, b"");
    assert_eq!(key(&run.pass(1, 3, &syn(gone))).destination().to_string(), "10.0.0.1");
    assert_eq!(key(&run.pass(1, 3, &fin)).destination().to_string(), "10.0.0.1");
    assert_ne!(key(&run.pass(1, 4, &syn(gone))).destination().to_string(), "10.0.0.1");
}

#[test]
fn silent_connections_are_forgotten_and_a_full_table_still_balances() {
    let mut run = Run::new(&[VIP, "backend=10.0.0.1", "backend=10.0.0.2", "flows=2", "idle=10s"]);
    let syn = |n| segment([&client(n), SERVICE], 0, Flags::SYN, b"");
    let first: Vec<_> = (0..50).map(|n| key(&run.pass(1, 0, &syn(n))).destination()).collect();
    let again: Vec<_> = (0..50).map(|n| key(&run.pass(1, 1, &syn(n))).destination()).collect();
    assert_eq!(first, again);
    assert!(first.iter().any(|address| *address != first[0]));
    let mut report = Report::default();
    run.maglev.report(&mut report);
    assert_eq!((report.get("connections"), report.get("connections not kept, table full")), (2, 96));
    // Answers of connections that were not kept are translated all the same.
    let answer = segment(["10.0.0.1:80", &client(40)], 1, Flags::ACK, b"");
    assert_eq!(key(&run.pass(0, 2, &answer)).source().to_string(), "192.0.2.10");
    run.ctx.set_now_ns(run.maglev.deadline_ns().unwrap());
    run.maglev.expire(&mut run.ctx);
    assert_eq!(run.maglev.deadline_ns(), Some(10_000_000_001), "the second was heard of later");
    run.maglev().set_backends(Vec::new()).unwrap();
    at(&mut *run.maglev, &mut run.ctx, (1, 99_000_000_000), &run.pool, &[&syn(1)]);
    assert_eq!(run.ctx.drops().of(NO_BACKEND), 1);
}

/// An ICMP error from a host to the source of what it quotes.
fn error(from: &str, quote: &[u8]) -> Vec<u8> {
    let ip = &quote[14..];
    let receiver = ipv4::View::new_checked(ip).unwrap().source();
    let mut message = vec![0; 8];
    (message[0], message[1]) = (icmpv4::Type::UNREACHABLE.0, icmpv4::unreachable::FRAGMENTATION_NEEDED);
    message.extend_from_slice(&ip[..28]);
    icmpv4::View::new_unchecked(&mut message[..]).fill_checksum();
    frame(from.parse().unwrap(), receiver.into(), IpProtocol::ICMP, &message)
}

#[test]
fn icmp_errors_follow_the_connection_they_quote() {
    let mut run = Run::new(&[VIP, "backend=10.0.0.1:8080"]);
    let from = "198.51.100.1:40000";
    run.pass(1, 0, &segment([from, SERVICE], 9, Flags::SYN, b""));
    // A router on the client's side could not send on what the service had answered.
    let answer = segment([SERVICE, from], 5, Flags::ACK, b"long");
    let there = run.pass(1, 1, &error("203.0.113.1", &answer));
    let layers = Layers::of(&there).unwrap();
    assert!(is_right(&there));
    assert_eq!(layers.addresses(&there).unwrap().1.to_string(), "10.0.0.1");
    assert_eq!(quoted(&layers, &there).unwrap().to_string(), "tcp 10.0.0.1:8080 -> 198.51.100.1:40000");
    // The back end could not take what the client had sent.
    for (who, seen) in [("10.0.0.1", "192.0.2.10"), ("10.0.0.254", "10.0.0.254")] {
        let request = segment([from, "10.0.0.1:8080"], 9, Flags::SYN, b"");
        let back = run.pass(0, 2, &error(who, &request));
        let layers = Layers::of(&back).unwrap();
        assert!(is_right(&back));
        assert_eq!(layers.addresses(&back).unwrap().0.to_string(), seen);
        assert_eq!(quoted(&layers, &back).unwrap().to_string(), "tcp 198.51.100.1:40000 -> 192.0.2.10:80");
    }
    // Nobody's.
    let strange = error("10.0.0.1", &segment([from, "10.0.0.7:8080"], 9, Flags::SYN, b""));
    assert_eq!(run.pass(0, 3, &strange), strange);
}

/// A datagram in two fragments.
fn fragments(ends: [&str; 2]) -> [Vec<u8>; 2] {
    let whole = datagram(ends, b"0123456789abcdef");
    let cut = 14 + 20 + 16;
    let (mut first, mut later) = (whole[..cut].to_vec(), whole[..34].to_vec());
    later.extend_from_slice(&whole[cut..]);
    for (bytes, more, offset) in [(&mut first, true, 0), (&mut later, false, 16)] {
        let length = bytes.len() - 14;
        let mut ip = ipv4::View::new_unchecked(&mut bytes[14..]);
        ip.set_total_len(length);
        ip.set_fragment(false, more, offset);
        ip.set_ident(77);
        ip.fill_checksum();
    }
    [first, later]
}

#[test]
fn fragments_follow_their_first() {
    let words = ["vip=192.0.2.10:53/udp", "backend=10.0.0.1:5353", "backend=10.0.0.2:5353"];
    let mut run = Run::new(&words);
    let [first, later] = fragments(["198.51.100.1:4000", "192.0.2.10:53"]);
    assert!(at(&mut *run.maglev, &mut run.ctx, (1, 0), &run.pool, &[&later]).is_empty());
    assert_eq!(run.ctx.drops().of(EARLY_FRAGMENT), 1);
    let there = [run.pass(1, 1, &first), run.pass(1, 1, &later)];
    let to = key(&there[0]).destination();
    assert_eq!(Layers::of(&there[1]).unwrap().addresses(&there[1]).unwrap().1, to);
    // Put together, the checksum holds.
    let mut whole = there[0][34..].to_vec();
    whole.extend_from_slice(&there[1][34..]);
    let view = udp::View::new_checked(&whole[..]).unwrap();
    assert!(view.destination_port() == 5353 && view.verify_checksum([198, 51, 100, 1].into(), to));
    let back = fragments([&format!("{to}:5353"), "198.51.100.1:4000"]);
    for bytes in [run.pass(0, 2, &back[0]), run.pass(0, 2, &back[1])] {
        assert_eq!(Layers::of(&bytes).unwrap().addresses(&bytes).unwrap().0.to_string(), "192.0.2.10");
    }
}

#[test]
fn tunnels_and_direct_return_leave_the_packet_itself_alone() {
    let mut syn = segment(["198.51.100.1:40000", SERVICE], 9, Flags::SYN, b"");
    let inner = syn[14..].to_vec();
    syn.resize(60, 0xee); // padding
    let mut run = Run::new(&[VIP, "backend=10.0.0.1,mac=02:00:00:00:00:99", "mode=dsr"]);
    let out = run.pass(1, 0, &syn);
    assert_eq!((&out[..6], &out[6..]), (&MacAddr([2, 0, 0, 0, 0, 0x99]).0[..], &syn[6..]));
    let answer = segment([SERVICE, "198.51.100.1:40000"], 5, Flags::ACK, b"");
    assert_eq!(run.pass(0, 0, &answer), answer);
    for (mode, source, backend) in [
        ("mode=ipip", "source=10.0.0.254", "backend=10.0.0.1"),
        ("mode=gre", "source=10.0.0.254", "backend=10.0.0.1"),
        ("mode=ipip", "source=fd00::fe", "backend=fd00::1"),
        ("mode=gre", "source=fd00::fe", "backend=fd00::1"),
    ] {
        let out = Run::new(&[VIP, backend, mode, source]).pass(1, 0, &syn);
        let layers = Layers::of(&out).unwrap();
        let (from, to) = layers.addresses(&out).unwrap();
        assert_eq!((format!("source={from}"), format!("backend={to}")), (source.into(), backend.into()));
        let carried = layers.segment(&out);
        let carried = if mode == "mode=gre" {
            gre::View::new_checked(carried).unwrap().payload().to_vec()
        } else {
            carried.to_vec()
        };
        assert!(carried == inner && out.len() == layers.end, "{mode} {source}");
        assert_eq!(ethernet::View::new_checked(&out[..]).unwrap().destination(), MacAddr([2, 0, 0, 0, 0, 2]));
    }
}

#[test]
fn unfinished_checksums_stay_unfinished_and_right() {
    let bytes = segment(["198.51.100.1:40000", SERVICE], 9, Flags::SYN, b"payload");
    for words in [&["backend=10.0.0.1:8080"][..], &["backend=10.0.0.1", "mode=ipip", "source=10.0.0.254"]] {
        let mut run = Run::new(&[&[VIP], words].concat());
        let mut packet = run.pool.packet(&bytes).unwrap();
        // As a sender leaves it: the pseudo header's sum, not complemented.
        let (source, service) = ([198, 51, 100, 1].into(), [192, 0, 2, 10].into());
        let pseudo = packet::checksum::pseudo_v4(source, service, IpProtocol::TCP, 27);
        packet.data_mut()[50..52].copy_from_slice(&pseudo.to_be_bytes());
        let checksum = Checksum::Partial { start: 34, offset: 16 };
        packet.set_offload(Offload { checksum, segmentation: None });
        let mut batch = Batch::new();
        batch.push(packet).unwrap();
        run.maglev.process(1, &mut batch, &mut run.ctx);
        let mut out = Vec::new();
        run.ctx.drain(0, |batch| out.extend(batch.drain(..)));
        let mut packet = out.remove(0);
        let Checksum::Partial { start, offset } = packet.offload().checksum else { panic!("{words:?}") };
        let (start, at) = (usize::from(start), usize::from(start + offset));
        // The last hop finishes it.
        let check = packet::checksum::checksum(&packet.data()[start..]);
        packet.data_mut()[at..at + 2].copy_from_slice(&check.to_be_bytes());
        let inner = if words.len() > 1 { packet.trim_front(20) } else { 0 };
        if inner > 0 {
            packet.data_mut()[12..14].copy_from_slice(&[8, 0]);
        }
        assert!(is_right(packet.data()), "{words:?}");
    }
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    for (words, said) in [
        (&[][..], "vip=… is missing"),
        (&[VIP, "backend=10.0.0.1", "down=10.0.0.2"], "no such back end"),
        (&[VIP, "backend=fd00::1"], "another family"),
        (&[VIP, "backend=10.0.0.1", "mode=dsr"], "needs its mac"),
        (&[VIP, "backend=10.0.0.1", "mode=gre"], "needs source"),
        (&[VIP, "backend=10.0.0.1,mac=02:00:00:00:00:01", "backend=10.0.0.1"], "same name"),
        (&[VIP, "backend=10.0.0.1", "table=10"], "prime"),
    ] {
        let error = build(&mut Args::parse("maglev", words).unwrap(), &setup()).err().unwrap().to_string();
        assert!(error.contains(said), "{words:?}: {error}");
    }
    assert!(left(&mut Context::new(2)).is_empty());
}
