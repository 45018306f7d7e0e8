//! Services: turns, translation there and back, and every checksum on the way.

mod fabric_kit;

use fabric_kit::*;
use packet::wire::{icmpv4, icmpv6, ipv4, ipv6};
use packet::{Checksum, Offload, PortId, SegmentKind, Segmentation, checksum};
use softnic::fabric::program::{Protocol, Selector};
use softnic::fabric::report::DropReason;

const BOTH: [bool; 2] = [false, true];

fn to_tier(port: u16, v6: bool) -> Way {
    Way::new(CLIENT, TIER, (port, 80), v6)
}

#[test]
fn replicas_answer_in_turn_and_flows_stay() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let mut served = Vec::new();
        for port in 0..6 {
            let way = to_tier(40_000 + port, v6);
            let syn = net.send(CLIENT, &way.tcp(SYN, b"")).unwrap();
            assert_checksum(&syn);
            assert_eq!(addresses(&syn.frame), (ip(CLIENT, v6), ip(syn.port, v6)));
            served.push(syn.port);
            let back = Way::new(syn.port, CLIENT, (80, 40_000 + port), v6);
            let answer = net.send(syn.port, &back.tcp(SYN_ACK, b"")).unwrap();
            assert_checksum(&answer);
            assert_eq!(answer.port, CLIENT);
            assert_eq!(
                addresses(&answer.frame),
                (ip(TIER, v6), ip(CLIENT, v6)),
                "the answer is the service's"
            );
            let data = net.send(CLIENT, &way.tcp(ACK, b"GET / HTTP/1.0")).unwrap();
            assert_eq!(data.port, syn.port);
            assert_checksum(&data);
        }
        assert_eq!(served, [3, 4, 5, 3, 4, 5]);
        let counters = net.fabric.counters();
        assert_eq!((counters.rules[2].flows, counters.rules[2].packets), (6, 18));
    }
}

#[test]
fn members_are_reached_through_the_address_only() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let direct = Way::new(CLIENT, REPLICAS[0], (40_000, 80), v6);
        assert_eq!(icmp_kind(&net.send(CLIENT, &direct.tcp(SYN, b"")).unwrap().frame), prohibited(v6));
        let other = Way::new(LONER, TIER, (40_000, 80), v6);
        assert_eq!(icmp_kind(&net.send(LONER, &other.tcp(SYN, b"")).unwrap().frame), prohibited(v6));
    }
}

#[test]
fn members_that_are_down_lose_their_turn() {
    let mut net = Net::new(&program());
    net.fabric.set_link(PortId(REPLICAS[1]), false);
    let ports = |net: &mut Net, from: u16| -> Vec<u32> {
        (0..4)
            .map(|port| net.send(CLIENT, &to_tier(from + port, false).tcp(SYN, b"")).unwrap().port)
            .collect()
    };
    assert_eq!(ports(&mut net, 1000), [3, 5, 3, 5]);
    net.fabric.set_link(PortId(REPLICAS[1]), true);
    assert_eq!(ports(&mut net, 2000), [3, 4, 5, 3]);
    for replica in REPLICAS {
        net.fabric.set_link(PortId(replica), false);
    }
    let refused = net.send(CLIENT, &to_tier(3000, false).tcp(SYN, b"")).unwrap();
    assert_eq!((refused.port, icmp_kind(&refused.frame)), (CLIENT, (3, 1)));
    assert_eq!(net.dropped(DropReason::NoMember), 1);
}

/// A member that is taken out has its flows to end: TCP says when that is, of UDP it is guessed from silence.
#[test]
fn connections_to_members_are_counted_until_they_are_over() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let counted = |net: &Net| {
            let states = net.fabric.rotation(net.now, &["r1", "r2", "nobody"].map(String::from));
            assert_eq!([states[0].1, states[1].1, states[2].1], [true, true, false]);
            [states[0].0, states[1].0, states[2].0]
        };
        assert_eq!(counted(&net), [0, 0, 0]);
        assert_eq!(net.send(CLIENT, &to_tier(40_000, v6).tcp(SYN, b"")).unwrap().port, REPLICAS[0]);
        assert_eq!(net.send(CLIENT, &to_tier(40_001, v6).udp(b"ask")).unwrap().port, REPLICAS[1]);
        assert_eq!(counted(&net), [1, 1, 0]);
        net.now += 3 * SECOND / 2;
        let back = Way::new(REPLICAS[1], CLIENT, (80, 40_001), v6);
        net.send(REPLICAS[1], &back.udp(b"answer")).unwrap();
        net.now += 3 * SECOND / 2;
        assert_eq!(counted(&net), [1, 1, 0], "it was heard of a moment ago");
        net.now += SECOND / 2;
        assert_eq!(counted(&net), [1, 0, 0]);
        net.send(CLIENT, &to_tier(40_000, v6).tcp(RST, b"")).unwrap();
        assert_eq!(counted(&net), [0, 0, 0]);
    }
}

#[test]
fn the_address_itself_answers_ping_to_whom_it_is_linked() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let reply = net.send(CLIENT, &Way::new(CLIENT, TIER, (9, 0), v6).echo(false, b"hello")).unwrap();
        assert_eq!((reply.port, icmp_kind(&reply.frame)), (CLIENT, if v6 { (129, 0) } else { (0, 0) }));
        assert_eq!(addresses(&reply.frame), (ip(TIER, v6), ip(CLIENT, v6)));
        assert_checksum(&reply);
        let denied = net.send(LONER, &Way::new(LONER, TIER, (9, 0), v6).echo(false, b"")).unwrap();
        assert_eq!(icmp_kind(&denied.frame), prohibited(v6));
    }
}

#[test]
fn udp_without_a_checksum_stays_without() {
    let mut net = Net::new(&program());
    let mut datagram = to_tier(5000, false).udp(b"payload");
    let with = net.send(CLIENT, &datagram).unwrap();
    assert_checksum(&with);
    datagram[40..42].fill(0);
    let without = net.send(CLIENT, &datagram).unwrap();
    assert_eq!(without.frame[40..42], [0, 0]);
    let answer = net.send(with.port, &Way::new(with.port, CLIENT, (80, 5000), false).udp(b"x")).unwrap();
    assert_checksum(&answer);
    assert_eq!(addresses(&answer.frame).0, ip(TIER, false));
}

/// A frame whose checksum is left to the last hop, as a kernel hands it over.
fn partial(mut frame: Vec<u8>, field: usize) -> (Vec<u8>, Offload) {
    let (l4, protocol) = transport(&frame);
    let (source, destination) = addresses(&frame);
    let sum = checksum::pseudo(source, destination, protocol, (frame.len() - l4) as u32).unwrap();
    frame[l4 + field..l4 + field + 2].copy_from_slice(&sum.to_be_bytes());
    let checksum = Checksum::Partial { start: l4 as u16, offset: field as u16 };
    (frame, Offload { checksum, segmentation: None })
}

#[test]
fn partial_checksums_and_large_segments_are_translated_whole() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let way = to_tier(40_000, v6);
        let (syn, offload) = partial(way.tcp(SYN, b""), 16);
        let out = net.send_with(CLIENT, &syn, offload).unwrap();
        assert_eq!(out.offload, offload);
        assert_checksum(&out);
        let header = if v6 { 60 } else { 40 };
        let payload: Vec<u8> = (0..65_535 - 14 - header).map(|byte| byte as u8).collect();
        let (large, mut offload) = partial(way.tcp(ACK, &payload), 16);
        let kind = if v6 { SegmentKind::TcpV6 } else { SegmentKind::TcpV4 };
        let header_len = 14 + header as u16;
        offload.segmentation = Some(Segmentation { kind, ecn: false, size: 1400, header_len });
        let out = net.send_with(CLIENT, &large, offload).unwrap();
        assert_eq!((out.port, out.offload), (REPLICAS[0], offload));
        assert_checksum(&out);
        assert!(out.frame.ends_with(&payload));
        let back = Way::new(REPLICAS[0], CLIENT, (80, 40_000), v6);
        let (answer, offload) = partial(back.tcp(ACK, b"ok"), 16);
        assert_checksum(&net.send_with(REPLICAS[0], &answer, offload).unwrap());
        let (datagram, offload) = partial(to_tier(5, v6).udp(b"four"), 6);
        assert_checksum(&net.send_with(CLIENT, &datagram, offload).unwrap());
        let mut wrong = offload;
        wrong.checksum = Checksum::Partial { start: 60_000, offset: 16 };
        assert!(net.send_with(CLIENT, &datagram, wrong).is_none(), "a sum outside the packet");
    }
}

#[test]
fn icmp_errors_find_the_client_and_speak_of_what_it_sent() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let sent = to_tier(5000, v6).udp(b"anyone there?");
        let arrived = net.send(CLIENT, &sent).unwrap();
        let error = Way::new(arrived.port, CLIENT, (0, 0), v6).unreachable(&arrived.frame[14..]);
        let out = net.send(arrived.port, &error).expect("the error passes");
        assert_eq!(out.port, CLIENT);
        assert_checksum(&out);
        assert_eq!(addresses(&out.frame), (ip(TIER, v6), ip(CLIENT, v6)));
        let (l4, _) = transport(&out.frame);
        // The quoted packet is what the client sent, but for the hop it took.
        let mut expected = sent[14..].to_vec();
        match v6 {
            false => {
                icmpv4::View::new_checked(&out.frame[l4..]).unwrap().quoted().unwrap();
                let mut view = ipv4::View::new_unchecked(&mut expected[..]);
                view.set_ttl(63);
                view.fill_checksum();
            }
            true => {
                icmpv6::View::new_checked(&out.frame[l4..]).unwrap().quoted().unwrap();
                ipv6::View::new_unchecked(&mut expected[..]).set_hop_limit(63);
            }
        }
        assert_eq!(out.frame[l4 + 8..], expected);

        let nonsense = Way::new(LONER, CLIENT, (0, 0), v6).unreachable(&arrived.frame[14..]);
        assert!(net.send(LONER, &nonsense).is_none(), "not about a packet it received");
    }
}

#[test]
fn a_member_may_be_its_own_client() {
    for v6 in BOTH {
        let mut program = program();
        let tier = || Selector::Service("tier".into());
        let mut own = rule(9, "", tier(), Protocol::Tcp, 80..=80);
        own.from = tier();
        program.rules.push(own);
        let mut net = Net::new(&program);
        let member = REPLICAS[0];
        let way = Way::new(member, TIER, (40_000, 80), v6);
        let syn = net.send(member, &way.tcp(SYN, b"")).unwrap();
        assert_eq!(syn.port, member, "its own turn");
        assert_eq!(addresses(&syn.frame), (ip(TIER, v6), ip(member, v6)));
        assert_checksum(&syn);
        let answer = net.send(member, &Way::new(member, TIER, (80, 40_000), v6).tcp(SYN_ACK, b"")).unwrap();
        assert_eq!(addresses(&answer.frame), (ip(TIER, v6), ip(member, v6)));
        assert_checksum(&answer);
        assert_eq!(net.send(member, &way.tcp(ACK, b"")).unwrap().port, member);
        let next = net.send(member, &Way::new(member, TIER, (40_001, 80), v6).tcp(SYN, b"")).unwrap();
        assert_eq!((next.port, addresses(&next.frame).0), (REPLICAS[1], ip(member, v6)));
    }
}

#[test]
fn flows_that_would_look_the_same_go_to_another_member() {
    let mut program = program();
    program.rules.push(rule(9, "client", to("r1"), Protocol::Tcp, 80..=80));
    let mut net = Net::new(&program);
    assert_eq!(net.send(CLIENT, &Way::new(CLIENT, 3, (7000, 80), false).tcp(SYN, b"")).unwrap().port, 3);
    assert_eq!(net.send(CLIENT, &to_tier(7000, false).tcp(SYN, b"")).unwrap().port, 4);
}

/// Cuts an IP packet into fragments of `size` payload bytes (a multiple of eight).
fn fragments(frame: &[u8], size: usize, id: u16) -> Vec<Vec<u8>> {
    let v4 = frame[14] >> 4 == 4;
    let (l4, protocol) = transport(frame);
    let count = frame[l4..].len().div_ceil(size);
    frame[l4..]
        .chunks(size)
        .enumerate()
        .map(|(index, part)| {
            let (offset, more) = (index * size, index + 1 < count);
            let mut out = frame[..l4].to_vec();
            if v4 {
                let mut view = ipv4::View::new_unchecked(&mut out[14..]);
                view.set_total_len(20 + part.len());
                view.set_ident(id);
                view.set_fragment(false, more, offset as u16);
                view.fill_checksum();
            } else {
                let mut view = ipv6::View::new_unchecked(&mut out[14..]);
                view.set_payload_len(8 + part.len());
                view.set_next_header(packet::wire::IpProtocol::FRAGMENT);
                let place = offset as u16 | u16::from(more);
                out.extend([protocol.0, 0]);
                out.extend(place.to_be_bytes());
                out.extend(u32::from(id).to_be_bytes());
            }
            out.extend_from_slice(part);
            out
        })
        .collect()
}

#[test]
fn fragments_follow_the_first() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let payload: Vec<u8> = (0..3000).map(|byte| byte as u8).collect();
        let whole = to_tier(5000, v6).udp(&payload);
        let parts = fragments(&whole, 1024, 77);
        assert_eq!(parts.len(), 3);
        assert!(net.send(CLIENT, &parts[1]).is_none(), "before the first");
        assert_eq!(net.dropped(DropReason::FragmentUnknown), 1);
        let mut joined = Vec::new();
        let header = if v6 { 62 } else { 34 };
        for part in &parts {
            let out = net.send(CLIENT, part).expect("follows the first");
            assert_eq!((out.port, addresses(&out.frame).1), (3, ip(3, v6)));
            joined.extend_from_slice(&out.frame[header..]);
        }
        let (source, destination) = (ip(CLIENT, v6), ip(3, v6));
        let pseudo =
            checksum::pseudo(source, destination, packet::wire::IpProtocol::UDP, joined.len() as u32);
        assert_eq!(checksum::combine(pseudo.unwrap(), checksum::sum(&joined)), 0xffff, "the joined datagram");
        let other = fragments(&whole, 1024, 78);
        assert!(net.send(CLIENT, &other[2]).is_none(), "another datagram");
        net.now += 31 * SECOND;
        assert!(net.send(CLIENT, &parts[2]).is_none(), "long after the first");
    }
}
