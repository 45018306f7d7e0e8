//! What the gateway answers itself: ARP, neighbour discovery, ping, DNS, and "nothing here".

mod fabric_kit;

use std::net::{IpAddr, Ipv6Addr};

use fabric_kit::*;
use packet::wire::dns::{self, RecordType, ResponseCode};
use packet::wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv6, ipv6, ndp};
use softnic::fabric::Program;
use softnic::fabric::program::DnsName;
use softnic::fabric::report::DropReason;

const BOTH: [bool; 2] = [false, true];

fn arp_frame(from: u32, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0; 60]; // padded, as short frames are
    ethernet::Repr { source: mac(from), destination: MacAddr::BROADCAST, ethertype: EtherType::ARP }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    arp::Repr {
        operation: arp::Operation::REQUEST,
        sender_mac: mac(from),
        sender_ip: sender.into(),
        target_mac: MacAddr::UNSPECIFIED,
        target_ip: target.into(),
    }
    .emit(&mut arp::View::new_unchecked(&mut frame[14..]));
    frame
}

#[test]
fn arp_is_answered_for_everyone_but_oneself() {
    let mut net = Net::new(&program());
    let own = [10, 181, 0, 2];
    for target in [[10, 181, 0, 1], [10, 181, 0, 3], [10, 181, 1, 1], [192, 0, 2, 1]] {
        let reply = net.send(CLIENT, &arp_frame(CLIENT, own, target)).unwrap();
        assert_eq!((reply.port, &reply.frame[..6]), (CLIENT, &mac(CLIENT).0[..]));
        let view = arp::View::new_checked(&reply.frame[14..]).unwrap();
        assert_eq!((view.operation(), view.sender_mac()), (arp::Operation::REPLY, Program::GATEWAY_MAC));
        assert_eq!((view.sender_ip().octets(), view.target_ip().octets()), (target, own));
    }
    assert!(net.send(CLIENT, &arp_frame(CLIENT, own, own)).is_none(), "an announcement");
    assert!(net.send(CLIENT, &arp_frame(CLIENT, [0; 4], own)).is_none(), "a probe");
    assert_eq!(net.dropped(DropReason::Unanswered), 2);
    assert!(
        net.send(CLIENT, &arp_frame(CLIENT, [10, 181, 0, 3], [10, 181, 0, 1])).is_none(),
        "another's address"
    );
    assert_eq!(net.dropped(DropReason::SpoofedSource), 1);
    assert_eq!(net.fabric.counters().answers.arp, 4);
}

/// A neighbour solicitation, as a kernel sends it: to the solicited-node group unless `to` says otherwise.
fn solicitation(from: u32, source: Ipv6Addr, target: Ipv6Addr, to: Option<Ipv6Addr>) -> Vec<u8> {
    let last = target.octets();
    let group = Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(last[13]),
        u16::from_be_bytes([last[14], last[15]]),
    );
    let destination = to.unwrap_or(group);
    let source_mac = (!source.is_unspecified()).then(|| mac(from));
    let repr = ndp::Repr::NeighbourSolicitation { target, source_mac };
    let mut l4 = vec![0; repr.buffer_len()];
    repr.emit(source, destination, &mut icmpv6::View::new_unchecked(&mut l4[..]));
    let mut frame = frame(from, source.into(), destination.into(), IpProtocol::ICMPV6, &l4);
    ipv6::View::new_unchecked(&mut frame[14..]).set_hop_limit(255);
    if to.is_none() {
        frame[..6].copy_from_slice(&MacAddr::multicast_v6(destination).0);
    }
    frame
}

#[test]
fn neighbours_are_solicited_and_duplicates_are_not() {
    let mut net = Net::new(&program());
    let own: Ipv6Addr = "fd57::2".parse().unwrap();
    let link_local: Ipv6Addr = "fe80::1234".parse().unwrap();
    let gateway: Ipv6Addr = "fd57::1".parse().unwrap();
    let router: Ipv6Addr = "fe80::1".parse().unwrap();
    let asked = [
        (own, gateway, None),
        (own, router, None),
        (link_local, router, Some(router)),
        (link_local, gateway, Some(gateway)),
    ];
    for (source, target, to) in asked {
        let reply = net.send(CLIENT, &solicitation(CLIENT, source, target, to)).unwrap();
        assert_checksum(&reply);
        assert_eq!(addresses(&reply.frame), (IpAddr::V6(target), IpAddr::V6(source)));
        assert_eq!(reply.frame[21], 255, "the hop limit says that it crossed no router");
        let view = icmpv6::View::new_checked(&reply.frame[54..]).unwrap();
        let expected = ndp::Repr::NeighbourAdvertisement {
            router: true,
            solicited: true,
            overriding: true,
            target,
            target_mac: Some(Program::GATEWAY_MAC),
        };
        assert_eq!(ndp::Repr::parse(&view).unwrap(), expected);
    }
    let none = Ipv6Addr::UNSPECIFIED;
    for target in [own, link_local, router] {
        assert!(net.send(CLIENT, &solicitation(CLIENT, none, target, None)).is_none(), "duplicate detection");
    }
    assert!(net.send(CLIENT, &solicitation(CLIENT, link_local, own, None)).is_none(), "its own address");
    assert_eq!(net.dropped(DropReason::Unanswered), 4);
    let mut routed = solicitation(CLIENT, own, gateway, None);
    routed[21] = 254;
    assert!(net.send(CLIENT, &routed).is_none(), "it crossed a router");
    assert_eq!(net.dropped(DropReason::Malformed), 1);
    let aside = solicitation(CLIENT, own, "fd57::3".parse().unwrap(), Some("fd57::3".parse().unwrap()));
    assert!(net.send(CLIENT, &aside).is_none(), "neighbour discovery is not routed");
}

#[test]
fn the_gateway_answers_ping() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let reply = net.send(LONER, &Way::new(LONER, GATEWAY, (5, 0), v6).echo(false, b"1234567")).unwrap();
        assert_eq!((reply.port, icmp_kind(&reply.frame)), (LONER, if v6 { (129, 0) } else { (0, 0) }));
        assert_eq!(addresses(&reply.frame), (ip(GATEWAY, v6), ip(LONER, v6)));
        assert_checksum(&reply);
        let (l4, _) = transport(&reply.frame);
        assert_eq!(reply.frame[l4 + 4..], [0, 5, 0, 7, b'1', b'2', b'3', b'4', b'5', b'6', b'7']);
    }
}

#[test]
fn what_the_gateway_does_not_serve_fails_at_once() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let way = Way::new(LONER, GATEWAY, (5, 80), v6);
        let reset = net.send(LONER, &way.tcp(SYN, b"")).unwrap();
        assert_eq!(tcp_flags(&reset.frame), RST | ACK);
        assert_checksum(&reset);
        let unreachable = net.send(LONER, &way.udp(b"")).unwrap();
        assert_eq!(icmp_kind(&unreachable.frame), if v6 { (1, 4) } else { (3, 3) });
        let sctp = frame(LONER, ip(LONER, v6), ip(GATEWAY, v6), IpProtocol::SCTP, &[0; 12]);
        assert_eq!(icmp_kind(&net.send(LONER, &sctp).unwrap().frame), if v6 { (4, 1) } else { (3, 2) });
        assert_eq!(net.dropped(DropReason::NoSuchPort), 3);
    }
}

#[test]
fn groups_are_not_routed_and_not_answered() {
    let mut net = Net::new(&program());
    let mdns =
        |v6: bool| -> IpAddr { if v6 { "ff02::fb".parse().unwrap() } else { [224, 0, 0, 251].into() } };
    for v6 in BOTH {
        let datagram = [0, 9, 0, 9, 0, 8, 0, 0];
        assert!(
            net.send(LONER, &frame(LONER, ip(LONER, v6), mdns(v6), IpProtocol::UDP, &datagram)).is_none()
        );
    }
    let dhcp = frame(LONER, [0; 4].into(), [255; 4].into(), IpProtocol::UDP, &[0, 68, 0, 67, 0, 8, 0, 0]);
    assert!(net.send(LONER, &dhcp).is_none());
    assert_eq!(net.dropped(DropReason::Multicast), 3);
    let mut lldp = dhcp;
    lldp[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert!(net.send(LONER, &lldp).is_none());
    assert_eq!(net.dropped(DropReason::NotIp), 1);
}

/// A query for one name, with EDNS0 if a size is offered.
fn query(name: &str, kind: RecordType, edns: Option<u16>) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.0.to_be_bytes());
    message.extend([0, 1]);
    if let Some(size) = edns {
        message.extend([0, 0, 41]);
        message.extend(size.to_be_bytes());
        message.extend([0; 6]);
    }
    message
}

fn ask(net: &mut Net, message: &[u8], v6: bool) -> Vec<u8> {
    let out = net.send(LONER, &Way::new(LONER, GATEWAY, (4000, 53), v6).udp(message)).expect("an answer");
    assert_checksum(&out);
    let (l4, _) = transport(&out.frame);
    assert_eq!(out.frame[l4..l4 + 4], [0, 53, 0x0f, 0xa0]);
    out.frame[l4 + 8..].to_vec()
}

fn addresses_of(reply: &[u8]) -> Vec<IpAddr> {
    let view = dns::View::new_checked(reply).unwrap();
    view.records().unwrap().filter_map(|record| record.unwrap().address()).collect()
}

fn code(reply: &[u8]) -> ResponseCode {
    let view = dns::View::new_checked(reply).unwrap();
    assert!(view.is_response());
    assert_eq!(view.id(), 0xabcd);
    view.response_code()
}

#[test]
fn names_have_addresses_and_addresses_names() {
    for v6 in BOTH {
        let mut net = Net::new(&program());
        let a = ask(&mut net, &query("WEB", RecordType::A, None), v6);
        assert_eq!((code(&a), addresses_of(&a)), (ResponseCode::NO_ERROR, vec![ip(WEB, false)]));
        let aaaa = ask(&mut net, &query("web", RecordType::AAAA, Some(4096)), v6);
        assert_eq!(addresses_of(&aaaa), vec![ip(WEB, true)]);
        assert_eq!(
            dns::View::new_checked(&aaaa[..]).unwrap().record_counts(),
            [1, 0, 1],
            "EDNS0 is answered"
        );
        let tier = ask(&mut net, &query("tier.weft.INTERNAL", RecordType::A, None), v6);
        assert_eq!(addresses_of(&tier), vec![ip(TIER, false)]);
        for (name, expected) in [
            ("3.0.181.10.in-addr.arpa", "web"),
            ("3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.5.d.f.ip6.arpa", "web"),
        ] {
            let pointer = ask(&mut net, &query(name, RecordType::PTR, None), v6);
            assert_eq!(code(&pointer), ResponseCode::NO_ERROR);
            let wire = [&[expected.len() as u8], expected.as_bytes(), &[0]].concat();
            assert!(pointer.ends_with(&wire), "{name}: {pointer:02x?}");
        }
    }
}

#[test]
fn what_is_not_there_fails_at_once() {
    let mut net = Net::new(&program());
    let cases = [
        ("tier.weft.internal", RecordType::AAAA, ResponseCode::NO_ERROR),
        ("web", RecordType::HTTPS, ResponseCode::NO_ERROR),
        ("db", RecordType::A, ResponseCode::NAME_ERROR),
        ("web.example.com", RecordType::A, ResponseCode::NAME_ERROR),
        ("9.0.181.10.in-addr.arpa", RecordType::PTR, ResponseCode::NAME_ERROR),
        ("", RecordType::A, ResponseCode::NAME_ERROR),
    ];
    for (name, kind, expected) in cases {
        let reply = ask(&mut net, &query(name, kind, None), false);
        assert_eq!((code(&reply), addresses_of(&reply)), (expected, vec![]), "{name} {kind}");
    }
}

#[test]
fn messages_that_are_wrong_get_an_error_or_nothing() {
    let mut net = Net::new(&program());
    let good = query("web", RecordType::A, None);
    let mut status = good.clone();
    status[2] = 0x10;
    assert_eq!(code(&ask(&mut net, &status, false)), ResponseCode::NOT_IMPLEMENTED);
    assert_eq!(code(&ask(&mut net, &good[..good.len() - 1], false)), ResponseCode::FORMAT_ERROR);
    let mut two = good.clone();
    two[5] = 2;
    assert_eq!(code(&ask(&mut net, &two, false)), ResponseCode::FORMAT_ERROR);
    let mut pointed = good.clone();
    pointed[12] = 0xc0;
    assert_eq!(code(&ask(&mut net, &pointed, false)), ResponseCode::FORMAT_ERROR);
    let mut chaos = good.clone();
    let class = chaos.len() - 1;
    chaos[class] = 3;
    assert_eq!(code(&ask(&mut net, &chaos, false)), ResponseCode::REFUSED);
    let way = Way::new(LONER, GATEWAY, (4000, 53), false);
    let mut answer = good.clone();
    answer[2] |= 0x80;
    assert!(net.send(LONER, &way.udp(&answer)).is_none(), "an answer is not answered");
    assert!(net.send(LONER, &way.udp(&good[..11])).is_none(), "no header");
    assert_eq!(tcp_flags(&net.send(LONER, &way.tcp(SYN, b"")).unwrap().frame), RST | ACK, "no TCP");
}

#[test]
fn answers_that_do_not_fit_say_so() {
    let mut program = program();
    let name = ["n".repeat(60), "m".repeat(60), "o".repeat(60), "p".repeat(60)].join(".");
    let ipv6s: Vec<Ipv6Addr> = (0..16).map(|host| Ipv6Addr::new(0xfd57, 7, 0, 0, 0, 0, 0, host)).collect();
    program.names.push(DnsName { name: name.clone(), ipv4s: vec![], ipv6s });
    let mut net = Net::new(&program);
    let plain = ask(&mut net, &query(&name, RecordType::AAAA, None), false);
    let view = dns::View::new_checked(&plain[..]).unwrap();
    assert!(view.truncated() && plain.len() <= 512);
    assert_eq!(addresses_of(&plain).len(), usize::from(view.record_counts()[0]));
    let extended = ask(&mut net, &query(&name, RecordType::AAAA, Some(1400)), false);
    assert!(!dns::View::new_checked(&extended[..]).unwrap().truncated());
    assert_eq!(addresses_of(&extended).len(), 16);
}
