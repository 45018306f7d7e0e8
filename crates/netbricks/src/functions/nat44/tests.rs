use packet::wire::{icmpv4, ipv4};
use packet::{Offload, Pool, PoolConfig};

use std::net::Ipv4Addr;

use packet::wire::IpProtocol;

use super::super::sample::{echo, icmp, ip, tcp, udp, words};
use super::super::tests::{at, function, setup};
use super::*;
use crate::Cause;
use crate::nat;

const SECOND: u64 = 1_000_000_000;

struct Lab {
    function: Box<dyn NetworkFunction>,
    ctx: Context,
    setup: Setup,
    now: u64,
}

fn lab_with(setup: Setup, more: &[&str]) -> Lab {
    let mut words = vec![
        "inside=10.0.0.1/24",
        "outside=192.0.2.2/24",
        "inside-mac=02:00:00:00:00:02",
        "outside-mac=02:00:00:00:00:02",
        "inside-next-hop=02:00:00:00:00:0a",
        "outside-next-hop=02:00:00:00:00:0b",
    ];
    words.extend(more);
    Lab { function: function("nat44", &words, &setup), ctx: Context::new(2), setup, now: SECOND }
}

fn lab(more: &[&str]) -> Lab {
    lab_with(setup(), more)
}

impl Lab {
    /// Hands a frame in at a gate; what left, in words, behind the gate. Every checksum is verified.
    fn at(&mut self, gate: Gate, frame: &[u8]) -> Vec<String> {
        let frames = at(&mut *self.function, &mut self.ctx, (gate, self.now), &self.setup.pool, &[frame]);
        assert_eq!(self.setup.pool.available(), self.setup.pool.capacity(), "no buffer is lost");
        frames.iter().map(|(gate, frame)| format!("{gate}: {}", words(frame))).collect()
    }

    fn one(&mut self, gate: Gate, frame: &[u8]) -> String {
        let mut left = self.at(gate, frame);
        assert_eq!(left.len(), 1, "{left:?}, {:?}", self.ctx.drops());
        left.remove(0)
    }

    fn dropped(&mut self, gate: Gate, frame: &[u8], cause: Cause) {
        let before = self.ctx.drops().of(cause);
        assert_eq!(self.at(gate, frame), [""; 0], "{cause}");
        assert_eq!(self.ctx.drops().of(cause), before + 1, "{cause}: {:?}", self.ctx.drops());
    }

    /// The external port of a UDP packet from an inside end.
    fn port(&mut self, from: &str) -> u16 {
        let left = self.one(0, &udp(from, "203.0.113.9:53", b"x"));
        left.rsplit(": ").nth(1).unwrap().split(" > ").next().unwrap().parse().unwrap()
    }

    fn count(&self, name: &str) -> u64 {
        let mut report = Report::default();
        self.function.report(&mut report);
        report.get(name)
    }
}

#[test]
fn both_directions_are_translated_and_the_rest_stays_out() {
    let mut lab = lab(&[]);
    let out = lab.one(0, &udp("10.0.0.5:5000", "203.0.113.9:53", b"query"));
    assert!(
        out.starts_with("1: 02:00:00:00:00:02 > 02:00:00:00:00:0b: 192.0.2.2 > 203.0.113.9: 5000 > 53"),
        "{out}"
    );
    let back = lab.one(1, &udp("203.0.113.9:53", "192.0.2.2:5000", b"answer"));
    assert!(
        back.starts_with("0: 02:00:00:00:00:02 > 02:00:00:00:00:0a: 203.0.113.9 > 10.0.0.5: 53 > 5000"),
        "{back}"
    );
    lab.dropped(1, &udp("203.0.113.9:54", "192.0.2.2:5000", b"x"), nat::FILTERED);
    lab.dropped(1, &udp("203.0.113.9:53", "192.0.2.2:5001", b"x"), nat::NO_MAPPING);
    lab.dropped(1, &tcp("203.0.113.9:53", "192.0.2.2:5000", "S", (1, 0), b""), nat::NO_MAPPING);
    lab.dropped(0, &ip("10.0.0.5", "203.0.113.9", IpProtocol::GRE, &[0; 8]), nat::PROTOCOL);
    assert_eq!((lab.count("flows"), lab.count("mappings")), (1, 1), "what is refused leaves nothing");
}

#[test]
fn an_end_is_mapped_once_whoever_it_speaks_to() {
    let mut lab = lab(&["filter=off"]);
    lab.one(0, &udp("10.0.0.6:5000", "203.0.113.1:1", b"x"));
    let seen = ["203.0.113.9:53", "203.0.113.9:54", "198.51.100.7:9"].map(|to| {
        let left = lab.one(0, &udp("10.0.0.5:5000", to, b"x"));
        left.rsplit(": ").nth(1).unwrap().split(" > ").next().unwrap().to_owned()
    });
    assert!(seen.iter().all(|port| *port == seen[0] && port != "5000"), "RFC 4787 REQ-1: {seen:?}");
    let external = format!("192.0.2.2:{}", seen[0]);
    let back = lab.one(1, &udp("198.51.100.99:1234", &external, b"x"));
    assert!(back.contains("198.51.100.99 > 10.0.0.5: 1234 > 5000"), "{back}");
    let answer = lab.one(0, &udp("10.0.0.5:5000", "198.51.100.99:1234", b"x"));
    assert!(answer.contains(&format!("192.0.2.2 > 198.51.100.99: {} > 1234", seen[0])), "{answer}");
}

#[test]
fn echoes_have_identifiers_instead_of_ports() {
    let mut lab = lab(&[]);
    assert!(lab.one(0, &echo("10.0.0.5", "203.0.113.9", b"x")).contains("echo request, id 7"));
    let other = lab.one(0, &echo("10.0.0.6", "203.0.113.9", b"x"));
    let ident: u16 = other.split("id ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert_ne!(ident, 7);
    let reply = icmpv4::Repr::EchoReply { ident, sequence: 9, data: b"x" };
    let back = lab.one(1, &icmp("203.0.113.9", "192.0.2.2", &reply));
    assert!(back.contains("203.0.113.9 > 10.0.0.6: echo reply, id 7"), "{back}");
    // Its own addresses it answers for.
    assert!(lab.one(0, &echo("10.0.0.5", "10.0.0.1", b"")).contains("10.0.0.1 > 10.0.0.5: echo reply"));
    assert!(
        lab.one(1, &echo("203.0.113.9", "192.0.2.2", b"")).contains("192.0.2.2 > 203.0.113.9: echo reply")
    );
}

#[test]
fn ttl_edits_leave_the_ip_checksum_right_and_nat_the_l4_checksum() {
    // NetBricks leaves both stale; `words` verifies both.
    let mut lab = lab(&[]);
    for frame in [
        tcp("10.0.0.5:5000", "203.0.113.9:80", "S", (1, 0), b""),
        udp("10.0.0.5:5000", "203.0.113.9:80", b"odd"),
        echo("10.0.0.5", "203.0.113.9", b"x"),
    ] {
        let frames = at(&mut *lab.function, &mut lab.ctx, (0, 1), &lab.setup.pool, &[&frame]);
        words(&frames[0].1);
        assert_eq!(ipv4::View::new_checked(&frames[0].1[14..]).unwrap().ttl(), 63);
    }
    // A datagram without a checksum leaves without one.
    let mut bare = udp("10.0.0.5:5001", "203.0.113.9:80", b"x");
    bare[40..42].fill(0);
    let frames = at(&mut *lab.function, &mut lab.ctx, (0, 1), &lab.setup.pool, &[&bare]);
    assert_eq!(frames[0].1[40..42], [0, 0]);
}

#[test]
fn ttl_0_and_1_end_here_and_the_sender_is_told() {
    let mut lab = lab(&[]);
    for ttl in [0, 1] {
        let mut frame = udp("10.0.0.5:5000", "203.0.113.9:33434", b"x");
        let mut view = ipv4::View::new_unchecked(&mut frame[14..]);
        view.set_ttl(ttl);
        view.fill_checksum();
        let told = lab.one(0, &frame);
        assert!(
            told.starts_with("0: 02:00:00:00:00:02 > 02:00:00:00:00:01: 10.0.0.1 > 10.0.0.5: time exceeded"),
            "{told}"
        );
    }
    assert_eq!(lab.count("flows"), 0);
}

#[test]
fn ipv4_and_tcp_options_are_passed_over() {
    // Capsule reads the ports behind 20 bytes whatever the header says, and the payload behind another 20.
    let mut lab = lab(&[]);
    let plain = tcp("10.0.0.5:5000", "203.0.113.9:80", "S", (1, 0), b"");
    let mut frame = plain[..34].to_vec();
    frame.extend([1, 1, 1, 0]); // NOP, NOP, NOP, end
    frame.extend(&plain[34..]);
    let mut view = ipv4::View::new_unchecked(&mut frame[14..]);
    view.set_header_len(24);
    view.set_total_len(44);
    view.fill_checksum();
    let out = lab.one(0, &frame);
    assert!(out.contains("192.0.2.2 > 203.0.113.9: 5000 > 80"), "{out}");
    assert_eq!(lab.count("flows"), 1);
}

#[test]
fn a_padded_frame_keeps_its_padding_out_of_every_checksum() {
    let mut lab = lab(&[]);
    let mut frame = udp("10.0.0.5:5000", "203.0.113.9:53", b"x");
    let end = frame.len();
    frame.resize(60, 0xee);
    let frames = at(&mut *lab.function, &mut lab.ctx, (0, 1), &lab.setup.pool, &[&frame]);
    words(&frames[0].1[..end]);
    assert_eq!(frames[0].1[end..], frame[end..]);
}

#[test]
fn icmp_errors_find_the_host_and_quote_what_it_sent() {
    let mut lab = lab(&["ports=1024-65535"]);
    lab.one(0, &udp("10.0.0.6:5000", "203.0.113.9:53", b"x"));
    let sent = at(
        &mut *lab.function,
        &mut lab.ctx,
        (0, 2),
        &lab.setup.pool,
        &[&udp("10.0.0.5:5000", "203.0.113.9:53", b"x")],
    );
    let outside = sent[0].1[14..].to_vec();
    let error = icmp("198.51.100.1", "192.0.2.2", &icmpv4::Repr::time_exceeded(&outside));
    let frames = at(&mut *lab.function, &mut lab.ctx, (1, 3), &lab.setup.pool, &[&error]);
    assert_eq!(frames[0].0, 0);
    assert!(words(&frames[0].1).contains("198.51.100.1 > 10.0.0.5: time exceeded"));
    let quoted = &frames[0].1[42..];
    let view = ipv4::View::new_checked(quoted).unwrap();
    assert!(view.verify_checksum() && view.source() == Ipv4Addr::new(10, 0, 0, 5));
    assert_eq!(quoted[20..22], 5000u16.to_be_bytes());
    let datagram = packet::wire::udp::View::new_checked(&quoted[20..]).unwrap();
    assert!(datagram.verify_checksum(view.source().into(), view.destination().into()), "the quote's own");

    // The other way: a host inside says that nobody listens any more.
    let answer = at(
        &mut *lab.function,
        &mut lab.ctx,
        (1, 4),
        &lab.setup.pool,
        &[&udp(
            "203.0.113.9:53",
            &format!("192.0.2.2:{}", u16::from_be_bytes([outside[20], outside[21]])),
            b"x",
        )],
    );
    let error = icmp("10.0.0.5", "203.0.113.9", &icmpv4::Repr::unreachable(3, &answer[0].1[14..]));
    let told = lab.one(0, &error);
    assert!(
        told.contains("192.0.2.2 > 203.0.113.9: 192.0.2.2 udp port")
            || told.contains("192.0.2.2 > 203.0.113.9: 192.0.2.2 port unreachable"),
        "{told}"
    );
    // An error about no flow, and one to another than the quoted sender.
    lab.dropped(
        1,
        &icmp(
            "198.51.100.1",
            "192.0.2.2",
            &icmpv4::Repr::time_exceeded(&udp("192.0.2.2:1", "9.9.9.9:2", b"")[14..]),
        ),
        nat::INVALID,
    );
}

#[test]
fn two_hosts_inside_meet_at_their_external_ends() {
    let mut lab = lab(&["filter=off"]);
    let port = lab.port("10.0.0.6:7000");
    let hairpin = lab.one(0, &udp("10.0.0.5:5000", &format!("192.0.2.2:{port}"), b"x"));
    assert!(
        hairpin.starts_with("0: 02:00:00:00:00:02 > 02:00:00:00:00:0a: 192.0.2.2 > 10.0.0.6: 5000 > 7000"),
        "{hairpin}"
    );
    let back = lab.one(0, &udp("10.0.0.6:7000", "192.0.2.2:5000", b"y"));
    assert!(back.contains(&format!("192.0.2.2 > 10.0.0.5: {port} > 5000")), "{back}");
    lab.dropped(0, &udp("10.0.0.5:5000", "192.0.2.2:9", b"x"), nat::NO_MAPPING);
    lab.dropped(0, &udp("10.0.0.5:5000", "192.0.2.2:5000", b"x"), nat::COLLISION);
}

#[test]
fn static_forwards_let_anybody_in() {
    let mut lab = lab(&["forward=tcp/8080:10.0.0.5:80", "forward=udp/192.0.2.2:53:10.0.0.6:5353"]);
    let inwards = lab.one(1, &tcp("203.0.113.9:4000", "192.0.2.2:8080", "S", (1, 0), b""));
    assert!(inwards.contains("203.0.113.9 > 10.0.0.5: 4000 > 80"), "{inwards}");
    let back = lab.one(0, &tcp("10.0.0.5:80", "203.0.113.9:4000", "SA", (1, 2), b""));
    assert!(back.contains("192.0.2.2 > 203.0.113.9: 8080 > 4000"), "{back}");
    assert!(lab.one(1, &udp("203.0.113.9:1", "192.0.2.2:53", b"x")).contains("> 10.0.0.6: 1 > 5353"));
    let setup = setup();
    for wrong in [
        "tcp/8080:10.0.1.5:80",
        "sctp/1:10.0.0.5:1",
        "tcp/0:10.0.0.5:80",
        "tcp/192.0.2.9:1:10.0.0.5:80",
        "tcp/80",
    ] {
        let words =
            ["inside=10.0.0.1/24".to_owned(), "outside=192.0.2.2/24".into(), format!("forward={wrong}")];
        let built = build(&mut Args::parse("nat44", words).unwrap(), &setup);
        assert!(built.is_err_and(|error| error.to_string().contains(wrong)), "{wrong}");
    }
}

#[test]
fn flows_expire_and_their_ports_are_free_again() {
    let mut lab = lab(&["ports=2000-2000"]);
    assert_eq!(lab.port("10.0.0.5:5000"), 2000);
    let refused = lab.one(0, &udp("10.0.0.6:5000", "203.0.113.9:53", b"x"));
    assert!(
        refused.contains("10.0.0.1 > 10.0.0.6: host 203.0.113.9 unreachable - admin prohibited"),
        "{refused}"
    );
    assert_eq!(lab.ctx.drops().of(nat::PORTS_OUT), 1);
    assert_eq!(lab.function.deadline_ns(), Some(301 * SECOND));
    lab.now = 300 * SECOND;
    assert_eq!(lab.port("10.0.0.5:5000"), 2000, "still there, and kept on");
    lab.now = 599 * SECOND;
    lab.ctx.set_now_ns(lab.now);
    lab.function.expire(&mut lab.ctx);
    assert_eq!(lab.count("mappings"), 1);
    lab.now = 600 * SECOND;
    lab.ctx.set_now_ns(lab.now);
    lab.function.expire(&mut lab.ctx);
    assert_eq!((lab.count("mappings"), lab.count("flows"), lab.function.deadline_ns()), (0, 0, None));
    assert_eq!(lab.port("10.0.0.6:5000"), 2000);
}

#[test]
fn limits_are_counted_and_refusals_may_be_silent() {
    let mut lab = lab(&["per-host=2", "flows=3", "mappings=3", "refuse=silent"]);
    lab.port("10.0.0.5:1000");
    lab.port("10.0.0.5:1001");
    lab.dropped(0, &udp("10.0.0.5:1002", "203.0.113.9:53", b"x"), nat::HOST_FULL);
    lab.port("10.0.0.6:1000");
    assert_eq!(lab.count("mappings"), 3);
    // Who is refused has not driven out an unanswered flow for nothing: the tracker makes room, the mapping goes with it.
    assert!(lab.port("10.0.0.7:1000") >= 1024);
    assert_eq!((lab.count("mappings"), lab.count("flows evicted")), (3, 1));
}

#[test]
fn later_fragments_follow_their_first_and_no_other() {
    let mut lab = lab(&[]);
    let fragment = |from: &str, (offset, more): (u16, bool), payload: &[u8]| {
        let mut frame = ip(from, "203.0.113.9", IpProtocol::UDP, payload);
        let mut view = ipv4::View::new_unchecked(&mut frame[14..]);
        view.set_ident(77);
        view.set_fragment(false, more, offset);
        view.fill_checksum();
        frame
    };
    let whole = udp("10.0.0.5:5000", "203.0.113.9:53", &[7; 40])[34..].to_vec();
    let (first, later) =
        (fragment("10.0.0.5", (0, true), &whole[..24]), fragment("10.0.0.5", (24, false), &whole[24..]));
    lab.dropped(0, &later, nat::FRAGMENT);
    let mut datagram = Vec::new();
    for frame in [&first, &later] {
        let frames = at(&mut *lab.function, &mut lab.ctx, (0, 2), &lab.setup.pool, &[frame]);
        let view = ipv4::View::new_checked(&frames[0].1[14..]).unwrap();
        assert!(view.verify_checksum() && view.source() == Ipv4Addr::new(192, 0, 2, 2));
        datagram.extend(view.payload());
    }
    let datagram = packet::wire::udp::View::new_checked(&datagram[..]).unwrap();
    assert!(
        datagram.verify_checksum([192, 0, 2, 2].into(), [203, 0, 113, 9].into()),
        "put together it is right"
    );
    lab.dropped(0, &fragment("10.0.0.6", (24, false), &whole[24..]), nat::FRAGMENT);
    lab.now = 40 * SECOND;
    lab.dropped(0, &later, nat::FRAGMENT);
}

#[test]
fn spoofed_and_foreign_packets_go_nowhere() {
    let mut lab = lab(&[]);
    let wrong_side = Cause::new("source address of the wrong side");
    for (gate, from) in
        [(0, "203.0.113.1:1"), (0, "10.0.0.1:1"), (1, "10.0.0.5:1"), (1, "192.0.2.2:1"), (1, "127.0.0.1:1")]
    {
        lab.dropped(gate, &udp(from, "203.0.113.9:53", b"x"), wrong_side);
    }
    lab.dropped(0, &udp("10.0.0.5:1", "224.0.0.1:53", b"x"), wrong_side);
    // A packet that looks like the outside's answer, from inside.
    lab.one(0, &udp("10.0.0.5:5000", "203.0.113.9:53", b"x"));
    lab.dropped(0, &udp("203.0.113.9:53", "192.0.2.2:5000", b"x"), wrong_side);
}

#[test]
fn a_tcp_connection_from_syn_to_end() {
    let mut lab = lab(&[]);
    let (a, s, e) = ("10.0.0.5:5000", "203.0.113.9:80", "192.0.2.2:5000");
    lab.one(0, &tcp(a, s, "S", (100, 0), b""));
    lab.one(1, &tcp(s, e, "SA", (300, 101), b""));
    lab.one(0, &tcp(a, s, "A", (101, 301), b""));
    lab.one(0, &tcp(a, s, "A", (101, 301), b"GET"));
    assert_eq!(
        lab.function.deadline_ns().map(|ns| ns / SECOND),
        Some(1 + 240),
        "a bound: nothing was rescheduled yet"
    );
    lab.now = 3600 * SECOND;
    lab.one(1, &tcp(s, e, "A", (301, 104), b"OK"));
    lab.one(0, &tcp(a, s, "FA", (104, 303), b""));
    lab.one(1, &tcp(s, e, "FA", (303, 105), b""));
    lab.one(0, &tcp(a, s, "A", (105, 304), b""));
    lab.now = 3841 * SECOND;
    lab.ctx.set_now_ns(lab.now);
    lab.function.expire(&mut lab.ctx);
    assert_eq!((lab.count("flows"), lab.count("mappings")), (0, 0));
}

#[test]
fn a_partial_checksum_and_a_large_segment_stay_as_they_came() {
    let pool = Pool::new(PoolConfig { buffers: 4, room: packet::ROOM_GSO, ..PoolConfig::default() }).unwrap();
    let mut lab = lab_with(Setup { pool, key: 1, seed: 1 }, &[]);
    let mut frame = tcp("10.0.0.5:5000", "203.0.113.9:80", "A", (1, 1), &vec![7; 60_000]);
    let pseudo = |source: [u8; 4]| {
        packet::checksum::pseudo_v4(source.into(), [203, 0, 113, 9].into(), IpProtocol::TCP, 60_020)
    };
    frame[50..52].copy_from_slice(&pseudo([10, 0, 0, 5]).to_be_bytes());
    let mut packet = lab.setup.pool.packet(&frame).unwrap();
    let offload = Offload {
        checksum: packet::Checksum::Partial { start: 34, offset: 16 },
        segmentation: Some(packet::Segmentation {
            kind: packet::SegmentKind::TcpV4,
            ecn: false,
            size: 1460,
            header_len: 54,
        }),
    };
    packet.set_offload(offload);
    let mut batch = Batch::new();
    batch.push(packet).unwrap();
    lab.function.process(0, &mut batch, &mut lab.ctx);
    lab.ctx.drain(1, |batch| {
        let packet = batch.drain(..).next().unwrap();
        assert_eq!(packet.offload(), offload);
        assert_eq!(packet.data()[50..52], pseudo([192, 0, 2, 2]).to_be_bytes());
        assert_eq!(packet.len(), frame.len());
    });
}
