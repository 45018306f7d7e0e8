//! Real frames, one of each kind: the fuzzers' seeds, and what tcpdump is asked about.

#![allow(dead_code, reason = "each test uses its part")]

use packet::pcap::{self, LinkType};
use packet::pcapng;
use packet::wire::*;

pub(crate) const MAC_A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const MAC_B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub(crate) const TIME_NS: u64 = 1_700_000_000_123_456_789;

fn v4(last: u8) -> std::net::Ipv4Addr {
    [10, 0, 0, last].into()
}

fn v6(last: u16) -> std::net::Ipv6Addr {
    std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
}

pub(crate) fn ethernet(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr { source: MAC_A, destination: MAC_B, ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    bytes.extend(payload);
    bytes
}

pub(crate) fn ip4(protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    ip4_with(ipv4::Repr::new(v4(1), v4(2), protocol, payload.len()), &[], payload)
}

pub(crate) fn ip4_with(repr: ipv4::Repr, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ipv4::HEADER_LEN + options.len() + payload.len()];
    let length = bytes.len();
    let mut view = ipv4::View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view);
    view.set_header_len(ipv4::HEADER_LEN + options.len());
    view.set_total_len(length);
    view.options_mut().copy_from_slice(options);
    view.payload_mut().copy_from_slice(payload);
    view.fill_checksum();
    bytes
}

pub(crate) fn ip6(next_header: IpProtocol, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ipv6::HEADER_LEN];
    ipv6::Repr { hop_limit, ..ipv6::Repr::new(v6(1), v6(2), next_header, payload.len()) }
        .emit(&mut ipv6::View::new_unchecked(&mut bytes[..]));
    bytes.extend(payload);
    bytes
}

pub(crate) fn udp(ipv6: bool, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let repr = udp::Repr { source_port: ports.0, destination_port: ports.1, payload_len: payload.len() };
    let mut bytes = vec![0; udp::HEADER_LEN];
    bytes.extend(payload);
    let mut view = udp::View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view);
    if ipv6 {
        view.fill_checksum(v6(1).into(), v6(2).into());
    } else {
        view.fill_checksum(v4(1).into(), v4(2).into());
    }
    bytes
}

pub(crate) fn tcp(ipv6: bool, repr: &tcp::Repr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len() + payload.len()];
    let mut view = tcp::View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view);
    view.payload_mut().copy_from_slice(payload);
    if ipv6 {
        view.fill_checksum(v6(1).into(), v6(2).into());
    } else {
        view.fill_checksum(v4(1).into(), v4(2).into());
    }
    bytes
}

pub(crate) fn syn() -> tcp::Repr {
    tcp::Repr {
        source_port: 40_000,
        destination_port: 80,
        sequence: 1000,
        flags: tcp::Flags::SYN,
        window: 64_240,
        maximum_segment: Some(1460),
        sack_permitted: true,
        timestamps: Some((7, 0)),
        window_scale: Some(7),
        ..tcp::Repr::default()
    }
}

fn icmp4(repr: &icmpv4::Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut icmpv4::View::new_unchecked(&mut bytes[..]));
    ip4(IpProtocol::ICMP, &bytes)
}

fn icmp6(repr: &icmpv6::Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(v6(1), v6(2), &mut icmpv6::View::new_unchecked(&mut bytes[..]));
    ip6(IpProtocol::ICMPV6, 64, &bytes)
}

fn neighbour(repr: &ndp::Repr) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(v6(1), v6(2), &mut icmpv6::View::new_unchecked(&mut bytes[..]));
    ip6(IpProtocol::ICMPV6, 255, &bytes)
}

fn query(kind: dns::RecordType) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    let name = "web.shop.weft".parse().unwrap();
    let length = dns::Query { id: 7, recursion_desired: true, name, kind }.emit(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

fn answer(kind: dns::RecordType, answer: dns::Answer<'_>) -> Vec<u8> {
    let mut bytes = vec![0; dns::UDP_LEN_MAX];
    let length = dns::Response { query: &query(kind), answer, ttl_s: 5 }.emit(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

/// Name, frame, and what `tcpdump -nn -t` must say of it.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut frames = internet();
    frames.extend(encapsulated());
    frames.extend(control());
    frames
}

fn dhcp(repr: &dhcpv4::Repr<'_>, ports: (u16, u16)) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut dhcpv4::View::new_unchecked(&mut bytes[..]));
    ethernet(EtherType::IPV4, &ip4(IpProtocol::UDP, &udp(false, ports, &bytes)))
}

fn neighbour_tlvs() -> Vec<u8> {
    let others = [
        lldp::Tlv::SystemName(b"s1"),
        lldp::Tlv::Capabilities { system: 0x14, enabled: 4 },
        lldp::Tlv::Organization { oui: [0x02, 0x77, 0x66], subtype: 1, data: b"secret" },
    ];
    let repr = lldp::Repr {
        chassis: lldp::ChassisId::Local(b"dpid:1"),
        port: lldp::PortId::Interface(b"eth3"),
        ttl_s: 120,
        optional_len: others.iter().map(lldp::Tlv::buffer_len).sum(),
    };
    let mut bytes = vec![0; repr.buffer_len()];
    let mut view = lldp::View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view).unwrap();
    let mut at = 0;
    for tlv in others {
        at += tlv.emit(&mut view.optional_mut()[at..]).unwrap();
    }
    bytes
}

/// What stations and bridges tell each other.
fn control() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let discover = dhcpv4::Repr { host_name: Some(b"h1"), ..dhcpv4::Repr::discover(7, MAC_A) };
    let mut ack = discover.reply(dhcpv4::MessageType::ACK, v4(9), v4(1));
    ack.lease_s = Some(600);
    ack.subnet_mask = Some([255, 255, 255, 0].into());
    ack.routers.push(v4(1));
    let join = igmp::Repr::ReportV2 { group: [239, 1, 2, 3].into() };
    let mut membership = vec![0; join.buffer_len()];
    join.emit(&mut igmp::View::new_unchecked(&mut membership[..]));
    let repr = rip::Repr { command: rip::Command::RESPONSE, entries: 1 };
    let mut routes = vec![0; repr.buffer_len()];
    let mut view = rip::View::new_unchecked(&mut routes[..]);
    repr.emit(&mut view);
    view.set_entry(0, &rip::Entry { address: v4(0), prefix_len: 24, metric: 1, ..rip::Entry::DEFAULT });
    let answer = eapol::Eap {
        code: eapol::EapCode::RESPONSE,
        identifier: 7,
        kind: Some(eapol::eap::IDENTITY),
        data: b"alice",
    };
    let repr = eapol::Repr { version: 2, kind: eapol::PacketType::EAP, body_len: answer.buffer_len() };
    let mut identity = vec![0; repr.buffer_len()];
    let mut view = eapol::View::new_unchecked(&mut identity[..]);
    repr.emit(&mut view);
    answer.emit(view.body_mut()).unwrap();
    let bridge = bpdu::BridgeId { priority: 0x8000, address: MAC_A };
    let repr = bpdu::Repr::Config(bpdu::Config::of(bridge, 0x8001));
    let mut tree = vec![0; 3 + repr.buffer_len()];
    llc::Repr::spanning_tree().emit(&mut llc::View::new_unchecked(&mut tree[..]));
    repr.emit(&mut bpdu::View::new_unchecked(&mut tree[3..]));
    vec![
        (
            "dhcp_discover",
            dhcp(&discover, (68, 67)),
            "BOOTP/DHCP, Request from 02:00:00:00:00:01, length 300",
        ),
        ("dhcp_ack", dhcp(&ack, (67, 68)), "BOOTP/DHCP, Reply, length 300"),
        (
            "igmp_join",
            ethernet(EtherType::IPV4, &ip4(IpProtocol::IGMP, &membership)),
            "igmp v2 report 239.1.2.3",
        ),
        (
            "rip_response",
            ethernet(EtherType::IPV4, &ip4(IpProtocol::UDP, &udp(false, (rip::PORT, rip::PORT), &routes))),
            "RIPv2, Response, length: 24",
        ),
        ("eapol_identity", ethernet(EtherType::EAPOL, &identity), "EAP packet (0) v2, len 10"),
        (
            "bpdu",
            ethernet(EtherType(tree.len() as u16), &tree),
            "STP 802.1d, Config, Flags [none], bridge-id 8000.02:00:00:00:00:01.8001, length 35",
        ),
        ("lldp_neighbour", ethernet(EtherType::LLDP, &neighbour_tlvs()), "LLDP, length 44: s1"),
    ]
}

fn internet() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let four = |packet: &[u8]| ethernet(EtherType::IPV4, packet);
    let six = |packet: &[u8]| ethernet(EtherType::IPV6, packet);
    let data = tcp::Repr {
        source_port: 80,
        destination_port: 40_000,
        sequence: 1,
        ack: 2,
        flags: tcp::Flags::PSH | tcp::Flags::ACK,
        window: 501,
        timestamps: Some((1, 2)),
        ..tcp::Repr::default()
    };
    let mut sack = tcp::Repr { flags: tcp::Flags::ACK, ..data };
    sack.sack.push(100, 200);
    sack.sack.push(300, 400);
    let refused = ip4(IpProtocol::TCP, &tcp(false, &syn(), b""));
    let refused6 = ip6(IpProtocol::TCP, 64, &tcp(true, &syn(), b""));
    let mut arp = vec![0; arp::PACKET_LEN];
    let request = arp::Repr {
        operation: arp::Operation::REQUEST,
        sender_mac: MAC_A,
        sender_ip: v4(1),
        target_mac: MacAddr::UNSPECIFIED,
        target_ip: v4(2),
    };
    request.emit(&mut arp::View::new_unchecked(&mut arp[..]));
    let advertisement = ndp::Repr::RouterAdvertisement {
        hop_limit: 64,
        managed: false,
        other: true,
        lifetime_s: 1800,
        reachable_ms: 0,
        retransmit_ms: 0,
        source_mac: Some(MAC_A),
        mtu: Some(1500),
        prefix: Some(ndp::Prefix {
            prefix: v6(0),
            prefix_len: 64,
            on_link: true,
            autonomous: true,
            valid_s: 600,
            preferred_s: 300,
        }),
    };
    let neighbour_advertisement = ndp::Repr::NeighbourAdvertisement {
        router: true,
        solicited: true,
        overriding: true,
        target: v6(1),
        target_mac: Some(MAC_A),
    };
    let fragment = ipv4::Repr {
        dont_fragment: false,
        more_fragments: true,
        ident: 9,
        ..ipv4::Repr::new(v4(1), v4(2), IpProtocol::UDP, 16)
    };
    let mut extensions = vec![43, 0, 5, 2, 0, 0, 1, 0]; // hop-by-hop: router alert
    extensions.extend([44, 0, 0, 0, 0, 0, 0, 0]); // routing, type 0, nothing left
    extensions.extend([17, 0, 0, 1, 0, 0, 0, 9]); // first fragment
    extensions.extend(udp(true, (5000, 53), b"12345678"));
    vec![
        ("arp", ethernet(EtherType::ARP, &arp), "ARP, Request who-has 10.0.0.2 tell 10.0.0.1"),
        (
            "tcp4_syn",
            four(&refused),
            "IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [S], seq 1000, win 64240, options [mss 1460,sackOK,TS val 7 ecr 0,wscale 7,nop], length 0",
        ),
        (
            "tcp4_data",
            four(&ip4(IpProtocol::TCP, &tcp(false, &data, b"hello"))),
            "IP 10.0.0.1.80 > 10.0.0.2.40000: Flags [P.], seq 1:6, ack 2, win 501",
        ),
        ("tcp4_sack", four(&ip4(IpProtocol::TCP, &tcp(false, &sack, b""))), "sack 2 {100:200}{300:400}"),
        ("tcp6_syn", six(&refused6), "IP6 fd00::1.40000 > fd00::2.80: Flags [S], seq 1000"),
        (
            "udp4",
            four(&ip4(IpProtocol::UDP, &udp(false, (5000, 9), b"hi"))),
            "IP 10.0.0.1.5000 > 10.0.0.2.9: UDP, length 2",
        ),
        (
            "udp4_options",
            four(&ip4_with(
                ipv4::Repr::new(v4(1), v4(2), IpProtocol::UDP, 0),
                &[7, 7, 4, 10, 0, 0, 9, 0],
                &udp(false, (5000, 9), b"hi"),
            )),
            "IP 10.0.0.1.5000 > 10.0.0.2.9: UDP, length 2",
        ),
        (
            "udp4_fragment",
            four(&ip4_with(fragment, &[], &udp(false, (5000, 9), b"12345678"))),
            "IP 10.0.0.1.5000 > 10.0.0.2.9: UDP, length 8",
        ),
        (
            "udp4_last_fragment",
            four(&ip4_with(
                ipv4::Repr { more_fragments: false, fragment_offset: 16, ..fragment },
                &[],
                b"tail",
            )),
            "IP 10.0.0.1 > 10.0.0.2: ",
        ),
        ("udp6_extensions", six(&ip6(IpProtocol::HOP_BY_HOP, 64, &extensions)), "frag (0|16) 5000 > 53"),
        (
            "ping4",
            four(&icmp4(&icmpv4::Repr::EchoRequest { ident: 3, sequence: 9, data: &[7; 56] })),
            "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 3, seq 9, length 64",
        ),
        (
            "prohibited4",
            four(&icmp4(&icmpv4::Repr::unreachable(icmpv4::unreachable::PROHIBITED, &refused))),
            "ICMP host 10.0.0.2 unreachable - admin prohibited filter, length 68",
        ),
        (
            "too_big4",
            four(&icmp4(&icmpv4::Repr::fragmentation_needed(1400, &refused))),
            "ICMP 10.0.0.2 unreachable - need to frag (mtu 1400), length 68",
        ),
        (
            "expired4",
            four(&icmp4(&icmpv4::Repr::time_exceeded(&refused))),
            "ICMP time exceeded in-transit, length 68",
        ),
        (
            "redirect4",
            four(&icmp4(&icmpv4::Repr::Redirect { code: 1, gateway: v4(9), quoted: &refused })),
            "ICMP redirect 10.0.0.2 to host 10.0.0.9, length 68",
        ),
        (
            "problem4",
            four(&icmp4(&icmpv4::Repr::ParameterProblem { code: 0, pointer: 20, quoted: &refused })),
            "ICMP parameter problem - octet 20, length 68",
        ),
        (
            "ping6",
            six(&icmp6(&icmpv6::Repr::EchoReply { ident: 3, sequence: 9, data: b"abc" })),
            "IP6 fd00::1 > fd00::2: ICMP6, echo reply, id 3, seq 9, length 11",
        ),
        (
            "prohibited6",
            six(&icmp6(&icmpv6::Repr::unreachable(icmpv6::unreachable::PROHIBITED, &refused6))),
            "unreachable prohibited fd00::2, length 88",
        ),
        (
            "too_big6",
            six(&icmp6(&icmpv6::Repr::too_big(1280, &refused6))),
            "ICMP6, packet too big, mtu 1280, length 88",
        ),
        (
            "expired6",
            six(&icmp6(&icmpv6::Repr::time_exceeded(&refused6))),
            "ICMP6, time exceeded in-transit for fd00::2, length 88",
        ),
        (
            "solicitation",
            six(&neighbour(&ndp::Repr::NeighbourSolicitation { target: v6(2), source_mac: Some(MAC_A) })),
            "ICMP6, neighbor solicitation, who has fd00::2, length 32",
        ),
        (
            "advertisement",
            six(&neighbour(&neighbour_advertisement)),
            "ICMP6, neighbor advertisement, tgt is fd00::1, length 32",
        ),
        (
            "router_solicitation",
            six(&neighbour(&ndp::Repr::RouterSolicitation { source_mac: Some(MAC_A) })),
            "ICMP6, router solicitation, length 16",
        ),
        ("router_advertisement", six(&neighbour(&advertisement)), "ICMP6, router advertisement, length 64"),
        (
            "redirect6",
            six(&neighbour(&ndp::Repr::Redirect { target: v6(9), destination: v6(2), target_mac: None })),
            "ICMP6, redirect, fd00::2 to fd00::9",
        ),
    ]
}

fn encapsulated() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let four = |packet: &[u8]| ethernet(EtherType::IPV4, packet);
    let inner = ip4(IpProtocol::UDP, &udp(false, (5000, 9), b"hi"));
    let mut tags = [0; 8];
    vlan::Repr { id: 100, priority: 5, drop_eligible: false, ethertype: EtherType::VLAN }
        .emit(&mut vlan::View::new_unchecked(&mut tags[..]));
    vlan::Repr { id: 200, priority: 0, drop_eligible: true, ethertype: EtherType::IPV4 }
        .emit(&mut vlan::View::new_unchecked(&mut tags[4..]));
    let mut labels = [0; 8];
    mpls::Repr { label: 100, traffic_class: 0, bottom: false, ttl: 64 }
        .emit(&mut mpls::View::new_unchecked(&mut labels[..]));
    mpls::Repr { label: 200, traffic_class: 1, bottom: true, ttl: 63 }
        .emit(&mut mpls::View::new_unchecked(&mut labels[4..]));
    let repr = gre::Repr { protocol: EtherType::IPV4, checksum: true, key: Some(9), sequence: Some(1) };
    let mut gre = vec![0; repr.buffer_len() + inner.len()];
    let mut view = gre::View::new_unchecked(&mut gre[..]);
    repr.emit(&mut view);
    view.payload_mut().copy_from_slice(&inner);
    view.fill_checksum();
    let mut vxlan = vec![0; vxlan::HEADER_LEN];
    vxlan::Repr { vni: 42 }.emit(&mut vxlan::View::new_unchecked(&mut vxlan[..]));
    vxlan.extend(four(&inner));
    let session = gtpu::PduSession { kind: 0, flow: 9 };
    let repr = gtpu::Repr {
        message: gtpu::Message::G_PDU,
        teid: 42,
        sequence: None,
        pdu_session: Some(session),
        payload_len: inner.len(),
    };
    let mut gtpu = vec![0; repr.buffer_len()];
    repr.emit(&mut gtpu::View::new_unchecked(&mut gtpu[..]));
    gtpu.extend(&inner);
    let repr = geneve::Repr {
        vni: 42,
        protocol: EtherType::BRIDGING,
        control: false,
        critical: true,
        options_len: 8,
    };
    let mut geneve = vec![0; repr.buffer_len()];
    let mut view = geneve::View::new_unchecked(&mut geneve[..]);
    repr.emit(&mut view);
    geneve::TunnelOption { class: 0x102, kind: 0x80, data: &[1, 2, 3, 4] }.emit(view.options_mut()).unwrap();
    geneve.extend(four(&inner));
    let addresses = ["10.0.0.2", "10.0.0.3", "fd00::2"].map(|text| text.parse().unwrap());
    let dns4 = |ports, message: &[u8]| four(&ip4(IpProtocol::UDP, &udp(false, ports, message)));
    let found = answer(dns::RecordType::A, dns::Answer::Addresses(&addresses));
    let unknown = answer(dns::RecordType::AAAA, dns::Answer::NoName);
    vec![
        (
            "qinq",
            ethernet(EtherType::QINQ, &[&tags[..], &inner].concat()),
            "IP 10.0.0.1.5000 > 10.0.0.2.9: UDP, length 2",
        ),
        (
            "mpls",
            ethernet(EtherType::MPLS, &[&labels[..], &inner].concat()),
            "MPLS (label 100, tc 0, ttl 64) (label 200, tc 1, [S], ttl 63) IP 10.0.0.1.5000 > 10.0.0.2.9: UDP, length 2",
        ),
        ("gre", four(&ip4(IpProtocol::GRE, &gre)), "key=0x9, seq 1"),
        (
            "vxlan",
            four(&ip4(IpProtocol::UDP, &udp(false, (5000, vxlan::PORT), &vxlan))),
            "VXLAN, flags [I] (0x08), vni 42",
        ),
        (
            "gtpu",
            four(&ip4(IpProtocol::UDP, &udp(false, (gtpu::PORT, gtpu::PORT), &gtpu))),
            "IP 10.0.0.1.2152 > 10.0.0.2.2152: UDP, length 46",
        ),
        (
            "geneve",
            four(&ip4(IpProtocol::UDP, &udp(false, (5000, geneve::PORT), &geneve))),
            "Geneve, Flags [C], vni 0x2a",
        ),
        ("dns_query", dns4((5000, 53), &query(dns::RecordType::A)), "7+ A? web.shop.weft. (31)"),
        ("dns_found", dns4((53, 5000), &found), "7* 2/0/0 A 10.0.0.2, A 10.0.0.3 (63)"),
        ("dns_unknown", dns4((53, 5000), &unknown), "7 NXDomain* 0/0/0 (31)"),
        (
            "ip_in_ip",
            four(&ip4(IpProtocol::IPV4, &inner)),
            "IP 10.0.0.1 > 10.0.0.2: IP 10.0.0.1.5000 > 10.0.0.2.9: UDP, length 2",
        ),
        (
            "lldp",
            ethernet(EtherType::LLDP, &[2, 7, 4, 2, 0, 0, 0, 0, 1, 4, 2, 7, 49, 6, 2, 0, 120, 0, 0]),
            "LLDP",
        ),
    ]
}

/// Capture files: both formats, both byte orders of pcap.
pub(crate) fn captures() -> Vec<(&'static str, Vec<u8>)> {
    let frames: Vec<Vec<u8>> = all().into_iter().take(4).map(|(_, frame, _)| frame).collect();
    let old = |nanoseconds| {
        let config = pcap::WriterConfig { link: LinkType::ETHERNET, snaplen: 256, nanoseconds };
        let mut writer = pcap::Writer::with_config(Vec::new(), config).unwrap();
        frames.iter().for_each(|frame| writer.write(TIME_NS, frame).unwrap());
        writer.into_inner().unwrap()
    };
    let mut writer = pcapng::Writer::new(Vec::new()).unwrap();
    let first = writer.add_interface("eth0", LinkType::ETHERNET).unwrap();
    let second = writer.add_interface("eth1", LinkType::ETHERNET).unwrap();
    frames.iter().zip([first, second].into_iter().cycle()).for_each(|(frame, interface)| {
        writer.write(interface, TIME_NS, frame).unwrap();
    });
    let mut big = vec![0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 1];
    big.extend([0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 9, b'a', b'b', b'c']);
    let mut mixed = vec![10, 13, 13, 10, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0];
    mixed.extend([0xff; 8]);
    mixed.extend([0, 0, 0, 28]);
    mixed.extend([0, 0, 0, 1, 0, 0, 0, 28, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0x8a, 0, 0, 0, 0, 0, 0, 28]); // 2^-10 s
    mixed.extend([0, 0, 0, 4, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 16]); // name resolution
    mixed.extend([0, 0, 0, 3, 0, 0, 0, 20, 0, 0, 0, 2, b'h', b'i', 0, 0, 0, 0, 0, 20]); // simple packet
    vec![
        ("nano.pcap", old(true)),
        ("micro.pcap", old(false)),
        ("big_endian.pcap", big),
        ("two_interfaces.pcapng", writer.into_inner().unwrap()),
        ("big_endian.pcapng", mixed),
    ]
}
