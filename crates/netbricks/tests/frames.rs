//! What typed frames promise when they are changed: offsets, lengths, checksums, and what is left to the last hop.

use netbricks::header::{Ethernet, Gre, Icmpv4, Ip, Ipv4, Ipv6, Mpls, Tcp, Udp, Vlan, Vxlan};
use netbricks::{Cause, Frame, Stop};
use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, gre, ipv4, ipv6, udp, vlan, vxlan};
use packet::{Checksum, Offload, Packet, Pool, PoolConfig};

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 8, room: 512, headroom: 128, ..PoolConfig::default() }).unwrap()
}

fn link(ethertype: EtherType) -> Vec<u8> {
    let mut bytes = vec![0; 14];
    ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    bytes
}

/// A UDP datagram over IPv4 with right checksums, and padding behind it.
fn datagram(payload: &[u8], padding: usize) -> Vec<u8> {
    let mut frame = link(EtherType::IPV4);
    let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let mut ip = vec![0; 28 + payload.len()];
    ip[28..].copy_from_slice(payload);
    ipv4::Repr::new(source, destination, IpProtocol::UDP, 8 + payload.len())
        .emit(&mut ipv4::View::new_unchecked(&mut ip[..]));
    let mut view = udp::View::new_unchecked(&mut ip[20..]);
    udp::Repr { source_port: 5000, destination_port: 4789, payload_len: payload.len() }.emit(&mut view);
    view.fill_checksum(source.into(), destination.into());
    frame.extend(ip);
    frame.resize(frame.len() + padding, 0xee);
    frame
}

fn checksums_hold(bytes: &[u8]) {
    let layers = Layers::of(bytes).unwrap();
    let (source, destination) = layers.addresses(bytes).unwrap();
    if source.is_ipv4() {
        assert!(ipv4::View::new_checked(layers.network_packet(bytes)).unwrap().verify_checksum());
    }
    if layers.protocol == IpProtocol::UDP {
        let view = udp::View::new_checked(layers.segment(bytes)).unwrap();
        assert!(view.verify_checksum(source, destination), "{view}");
    }
}

#[test]
fn padding_is_no_payload_and_a_payload_that_grows_takes_its_place() {
    let pool = pool();
    let parse = |packet: Packet| Frame::new(packet).parse::<Ethernet>()?.parse::<Ipv4>()?.parse::<Udp>();
    let mut frame = parse(pool.packet(&datagram(b"hi", 16)).unwrap()).unwrap();
    assert_eq!(frame.payload(), b"hi");
    frame.resize_payload(6).unwrap();
    assert_eq!(frame.payload(), b"hi\0\0\0\0");
    frame.payload_mut()[2..].copy_from_slice(b"gher");
    frame.reconcile();
    frame.trim_payload_front(1);
    frame.reconcile();
    let packet = frame.into_packet();
    assert_eq!(packet.len(), 14 + 20 + 8 + 5);
    checksums_hold(packet.data());
    assert_eq!(parse(packet).unwrap().payload(), b"igher");
}

#[test]
fn a_payload_that_does_not_fit_leaves_a_frame_that_is_whole() {
    let pool = pool();
    let frame = Frame::new(pool.packet(&datagram(b"hi", 20)).unwrap());
    let mut frame = frame.parse::<Ethernet>().unwrap().parse::<Ipv4>().unwrap().parse::<Udp>().unwrap();
    assert!(frame.resize_payload(4096).is_err());
    assert!(frame.resize_payload(usize::MAX).is_err());
    assert_eq!(frame.payload(), b"hi");
    let frame = frame.deparse().deparse();
    assert_eq!((frame.header().ethertype(), frame.payload().len()), (EtherType::IPV4, 30));
}

#[test]
fn a_header_pushed_and_taken_out_again_leaves_the_frame_as_it_was() {
    let pool = pool();
    let bytes = datagram(b"payload", 0);
    let frame = Frame::new(pool.packet(&bytes).unwrap()).parse::<Ethernet>().unwrap();
    let tag = vlan::Repr { id: 7, priority: 3, drop_eligible: false, ethertype: EtherType::IPV4 };
    let tagged = frame.push::<Vlan>(&tag).unwrap();
    let layers = Layers::of(tagged.bytes()).unwrap();
    assert_eq!(layers.vlans.iter().map(|tag| tag.id).collect::<Vec<_>>(), [7]);
    assert_eq!(tagged.layer::<Ethernet, _>().ethertype(), EtherType::VLAN);
    let mut frame = tagged.remove();
    frame.header_mut().set_ethertype(EtherType::IPV4);
    assert_eq!(frame.bytes(), bytes);
}

#[test]
fn the_outer_of_two_tags_is_a_service_tag_whatever_the_first_was() {
    for first in [EtherType::VLAN, EtherType::QINQ, EtherType::QINQ_OLD] {
        let pool = pool();
        let mut bytes = link(first);
        bytes.extend([0, 5, 0x88, 0xb5, 1, 2, 3, 4]);
        let tag = vlan::Repr { id: 9, priority: 0, drop_eligible: false, ethertype: first };
        let frame = Frame::new(pool.packet(&bytes).unwrap()).parse::<Ethernet>().unwrap();
        let frame = frame.push::<Vlan>(&tag).unwrap();
        assert_eq!(frame.layer::<Ethernet, _>().ethertype(), EtherType::QINQ);
        assert_eq!(Layers::of(frame.bytes()).unwrap().vlans.len(), 2);
    }
}

#[test]
fn a_tunnel_is_built_from_the_outside_in_and_read_again() {
    let pool = pool();
    // Outer headers over an inner frame, which so far is all there is.
    let inner = datagram(b"inner", 0);
    let (source, destination) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    let mut bytes = link(EtherType(0x88b5));
    bytes.extend(&inner);
    let outer = Frame::new(pool.packet(&bytes).unwrap()).parse::<Ethernet>().unwrap();
    let ip = ipv4::Repr::new(source, destination, IpProtocol::UDP, 0);
    let datagram = udp::Repr { source_port: 4242, destination_port: 0, payload_len: 0 };
    let outer = outer.push::<Ipv4>(&ip).unwrap().push::<Udp>(&datagram).unwrap();
    let mut outer = outer.push::<Vxlan>(&vxlan::Repr { vni: 77 }).unwrap();
    outer.reconcile();
    let packet = outer.into_packet();
    checksums_hold(packet.data());
    let tunnel = Frame::new(packet).parse::<Ethernet>().unwrap().parse::<Ipv4>().unwrap();
    let tunnel = tunnel.parse::<Udp>().unwrap().parse::<Vxlan>().unwrap();
    assert_eq!((tunnel.header().vni(), tunnel.payload()), (77, &inner[..]));
    let inside = tunnel.parse::<Ethernet>().unwrap().parse::<Ip>().unwrap().parse::<Udp>().unwrap();
    assert_eq!(inside.payload(), b"inner");
}

#[test]
fn what_is_pushed_behind_extension_headers_is_announced_by_the_last_of_them() {
    let pool = pool();
    let (source, destination) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let mut bytes = link(EtherType::IPV6);
    let mut ip = vec![0; 40 + 8 + 4];
    ipv6::Repr::new(source, destination, IpProtocol::HOP_BY_HOP, 12)
        .emit(&mut ipv6::View::new_unchecked(&mut ip[..]));
    ip[40..48].copy_from_slice(&[59, 0, 5, 2, 0, 0, 1, 0]);
    bytes.extend(ip);
    let frame =
        Frame::new(pool.packet(&bytes).unwrap()).parse::<Ethernet>().unwrap().parse::<Ipv6>().unwrap();
    let repr = gre::Repr { protocol: EtherType::IPV4, checksum: false, key: Some(5), sequence: None };
    let mut frame = frame.push::<Gre>(&repr).unwrap();
    frame.reconcile();
    let again = frame.reset().parse::<Ethernet>().unwrap().parse::<Ipv6>().unwrap();
    assert_eq!(again.header().next_header(), IpProtocol::HOP_BY_HOP);
    assert_eq!(again.parse::<Gre>().unwrap().header().key(), Some(5));
}

#[test]
fn a_checksum_left_to_the_last_hop_stays_where_it_was_when_the_front_moves() {
    let pool = pool();
    let mut packet = pool.packet(&datagram(b"hi", 0)).unwrap();
    let partial = |start| Offload { checksum: Checksum::Partial { start, offset: 6 }, segmentation: None };
    packet.set_offload(partial(34));
    let frame = Frame::new(packet).parse::<Ethernet>().unwrap();
    let tag = vlan::Repr { id: 7, priority: 0, drop_eligible: false, ethertype: EtherType::IPV4 };
    let tagged = frame.push::<Vlan>(&tag).unwrap();
    assert_eq!(tagged.packet().offload(), partial(38));
    assert_eq!(tagged.remove().packet().offload(), partial(34));
}

#[test]
fn the_checksum_of_a_first_fragment_covers_more_than_the_fragment_and_is_left() {
    let pool = pool();
    let mut bytes = link(EtherType::IPV4);
    let mut ip = vec![0; 20 + 16];
    let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let repr = ipv4::Repr::new(source, destination, IpProtocol::ICMP, 16);
    ipv4::Repr { more_fragments: true, dont_fragment: false, ..repr }
        .emit(&mut ipv4::View::new_unchecked(&mut ip[..]));
    ip[20..24].copy_from_slice(&[8, 0, 0xab, 0xcd]);
    bytes.extend(ip);
    let frame = Frame::new(pool.packet(&bytes).unwrap()).parse::<Ethernet>().unwrap();
    let mut frame = frame.parse::<Ipv4>().unwrap().parse::<Icmpv4>().unwrap();
    frame.reconcile();
    assert_eq!(frame.bytes(), bytes);
}

#[test]
fn what_does_not_follow_ends_with_its_name() {
    let pool = pool();
    let ip = || Frame::new(pool.packet(&datagram(b"hi", 0)).unwrap()).parse::<Ethernet>()?.parse::<Ipv4>();
    let not = |what| Stop::Dropped(Cause { kind: "not", what });
    assert_eq!(ip().unwrap().parse::<Tcp>().unwrap_err(), not("tcp"));
    assert_eq!(ip().unwrap().parse::<Icmpv4>().unwrap_err(), not("icmp"));
    assert_eq!(ip().unwrap().deparse().parse::<Mpls>().unwrap_err(), not("mpls"));
    assert_eq!(pool.available(), pool.capacity());
    let key: FlowKey = ip().unwrap().flow_key().unwrap();
    assert_eq!(key.to_string(), "udp 10.0.0.1:5000 -> 10.0.0.2:4789");
}
