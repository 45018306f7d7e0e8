//! Frames for the tests of the functions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::wire::{
    EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv4, icmpv6, ipv4, ipv6, ndp, tcp, udp,
};

/// Who sends, and whom it is sent to.
pub(crate) const FROM: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const TO: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

pub(crate) fn ethernet(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr { source: FROM, destination: TO, ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    frame.extend(payload);
    frame
}

/// An IP packet in a frame.
pub(crate) fn ip(from: &str, to: &str, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    match (from.parse().unwrap(), to.parse().unwrap()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut packet = vec![0; ipv4::HEADER_LEN];
            ipv4::Repr { dont_fragment: false, ..ipv4::Repr::new(from, to, protocol, payload.len()) }
                .emit(&mut ipv4::View::new_unchecked(&mut packet[..]));
            packet.extend(payload);
            ethernet(EtherType::IPV4, &packet)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut packet = vec![0; ipv6::HEADER_LEN];
            ipv6::Repr::new(from, to, protocol, payload.len())
                .emit(&mut ipv6::View::new_unchecked(&mut packet[..]));
            packet.extend(payload);
            ethernet(EtherType::IPV6, &packet)
        }
        other => panic!("{other:?}"),
    }
}

fn hosts(from: &str, to: &str) -> (IpAddr, IpAddr) {
    (from.parse().unwrap(), to.parse().unwrap())
}

/// Address and port: `10.0.0.1:80`, `[fd00::1]:80`.
fn ends(from: &str, to: &str) -> [(String, u16); 2] {
    [from, to].map(|end| {
        let end: std::net::SocketAddr = end.parse().unwrap();
        (end.ip().to_string(), end.port())
    })
}

pub(crate) fn udp(from: &str, to: &str, data: &[u8]) -> Vec<u8> {
    let [(from, source_port), (to, destination_port)] = ends(from, to);
    let repr = udp::Repr { source_port, destination_port, payload_len: data.len() };
    let mut segment = vec![0; udp::HEADER_LEN];
    segment.extend(data);
    let mut view = udp::View::new_unchecked(&mut segment[..]);
    repr.emit(&mut view);
    let (source, destination) = hosts(&from, &to);
    view.fill_checksum(source, destination);
    ip(&from, &to, IpProtocol::UDP, &segment)
}

/// A segment, with flags as letters: `S`, `SA`, `A`, `FA`, `R`.
pub(crate) fn tcp(from: &str, to: &str, flags: &str, (sequence, ack): (u32, u32), data: &[u8]) -> Vec<u8> {
    let [(from, source_port), (to, destination_port)] = ends(from, to);
    let flag = |letter| match letter {
        'F' => tcp::Flags::FIN.0,
        'S' => tcp::Flags::SYN.0,
        'R' => tcp::Flags::RST.0,
        'A' => tcp::Flags::ACK.0,
        other => panic!("{other}"),
    };
    let repr = tcp::Repr {
        source_port,
        destination_port,
        sequence,
        ack,
        flags: tcp::Flags(flags.chars().fold(0, |bits, letter| bits | flag(letter))),
        window: 64_000,
        urgent: 0,
        maximum_segment: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        sack: tcp::SackBlocks::default(),
    };
    let mut segment = vec![0; repr.buffer_len()];
    segment.extend(data);
    let mut view = tcp::View::new_unchecked(&mut segment[..]);
    repr.emit(&mut view);
    let (source, destination) = hosts(&from, &to);
    view.fill_checksum(source, destination);
    ip(&from, &to, IpProtocol::TCP, &segment)
}

pub(crate) fn echo(from: &str, to: &str, data: &[u8]) -> Vec<u8> {
    icmp(from, to, &icmpv4::Repr::EchoRequest { ident: 7, sequence: 9, data })
}

pub(crate) fn icmp(from: &str, to: &str, repr: &icmpv4::Repr<'_>) -> Vec<u8> {
    let mut message = vec![0; repr.buffer_len()];
    repr.emit(&mut icmpv4::View::new_unchecked(&mut message[..]));
    ip(from, to, IpProtocol::ICMP, &message)
}

pub(crate) fn echo6(from: &str, to: &str, data: &[u8]) -> Vec<u8> {
    icmp6(from, to, &icmpv6::Repr::EchoRequest { ident: 7, sequence: 9, data })
}

pub(crate) fn icmp6(from: &str, to: &str, repr: &icmpv6::Repr<'_>) -> Vec<u8> {
    let mut message = vec![0; repr.buffer_len()];
    let (source, destination): (Ipv6Addr, Ipv6Addr) = (from.parse().unwrap(), to.parse().unwrap());
    repr.emit(source, destination, &mut icmpv6::View::new_unchecked(&mut message[..]));
    ip(from, to, IpProtocol::ICMPV6, &message)
}

pub(crate) fn who_has(sender: &str, target: &str) -> Vec<u8> {
    let (sender_ip, target_ip): (Ipv4Addr, Ipv4Addr) = (sender.parse().unwrap(), target.parse().unwrap());
    let repr = arp::Repr {
        operation: arp::Operation::REQUEST,
        sender_mac: FROM,
        sender_ip,
        target_mac: MacAddr::UNSPECIFIED,
        target_ip,
    };
    let mut packet = vec![0; arp::PACKET_LEN];
    repr.emit(&mut arp::View::new_unchecked(&mut packet[..]));
    let mut frame = ethernet(EtherType::ARP, &packet);
    ethernet::View::new_unchecked(&mut frame[..]).set_destination(MacAddr::BROADCAST);
    frame
}

/// A neighbour solicitation; a probe where `sender` is `::`.
pub(crate) fn solicitation(sender: &str, target: &str) -> Vec<u8> {
    let (sender, target): (Ipv6Addr, Ipv6Addr) = (sender.parse().unwrap(), target.parse().unwrap());
    let group = ipv6::solicited_node(target);
    let source_mac = (!sender.is_unspecified()).then_some(FROM);
    let repr = ndp::Repr::NeighbourSolicitation { target, source_mac };
    let mut message = vec![0; repr.buffer_len()];
    repr.emit(sender, group, &mut icmpv6::View::new_unchecked(&mut message[..]));
    let mut frame = ip(&sender.to_string(), &group.to_string(), IpProtocol::ICMPV6, &message);
    let mut link = ethernet::View::new_unchecked(&mut frame[..]);
    link.set_destination(MacAddr::multicast_v6(group));
    ipv6::View::new_unchecked(link.payload_mut()).set_hop_limit(255);
    frame
}

/// The frame in words, as tcpdump would print it, with every checksum verified.
pub(crate) fn words(frame: &[u8]) -> String {
    use packet::parse::{Layers, Network};
    let layers = Layers::of(frame).unwrap_or_else(|wrong| panic!("{wrong}: {frame:02x?}"));
    assert_eq!(layers.end, frame.len(), "padding left: {frame:02x?}");
    let link = ethernet::View::new_checked(frame).unwrap();
    let mut text = format!("{} > {}: ", link.source(), link.destination());
    let packet = layers.network_packet(frame);
    match layers.network {
        Network::Arp => return text + &arp::View::new_checked(packet).unwrap().to_string(),
        Network::V4 => assert!(ipv4::View::new_checked(packet).unwrap().verify_checksum(), "{frame:02x?}"),
        Network::V6 => {}
        Network::Other => return text,
    }
    let (source, destination) = layers.addresses(frame).unwrap();
    text += &format!("{source} > {destination}: ");
    let segment = layers.segment(frame);
    let (right, what) = match (layers.protocol, source, destination) {
        (IpProtocol::ICMP, ..) => {
            let view = icmpv4::View::new_checked(segment).unwrap();
            (view.verify_checksum(), view.to_string())
        }
        (IpProtocol::ICMPV6, IpAddr::V6(source), IpAddr::V6(destination)) => {
            let view = icmpv6::View::new_checked(segment).unwrap();
            (view.verify_checksum(source, destination), view.to_string())
        }
        (IpProtocol::TCP, ..) => {
            let view = tcp::View::new_checked(segment).unwrap();
            (view.verify_checksum(source, destination), view.to_string())
        }
        (IpProtocol::UDP, ..) => {
            let view = udp::View::new_checked(segment).unwrap();
            (view.verify_checksum(source, destination), view.to_string())
        }
        (other, ..) => (true, other.to_string()),
    };
    assert!(right, "wrong checksum: {text}{what}");
    text + &what
}
