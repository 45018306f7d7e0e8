//! Frames for tests, those of the crate's own modules and those over BESS's interface alike.

use std::net::{IpAddr, SocketAddr};

use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, ipv6, tcp, udp};

/// The stations that the frames travel between.
pub(crate) const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];

/// An Ethernet frame.
pub(crate) fn framed(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr { source: MACS[0], destination: MACS[1], ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    frame.extend_from_slice(payload);
    frame
}

/// An IP packet in a frame; the addresses say of which version.
pub(crate) fn ip(source: IpAddr, destination: IpAddr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let (mut packet, ethertype) = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0; ipv4::HEADER_LEN];
            ipv4::Repr::new(source, destination, protocol, payload.len())
                .emit(&mut ipv4::View::new_unchecked(&mut header[..]));
            (header, EtherType::IPV4)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0; ipv6::HEADER_LEN];
            ipv6::Repr::new(source, destination, protocol, payload.len())
                .emit(&mut ipv6::View::new_unchecked(&mut header[..]));
            (header, EtherType::IPV6)
        }
        _ => panic!("{source} and {destination} are of two families"),
    };
    packet.extend_from_slice(payload);
    framed(ethertype, &packet)
}

/// A UDP datagram in a frame, from `10.0.0.1:1000` or `[fd00::1]:1000` to such an end.
pub(crate) fn datagram(ends: [&str; 2], payload: &[u8]) -> Vec<u8> {
    let [source, destination] = ends.map(|end| end.parse::<SocketAddr>().unwrap());
    let mut bytes = vec![0; udp::HEADER_LEN + payload.len()];
    let mut view = udp::View::new_unchecked(&mut bytes[..]);
    let (source_port, destination_port) = (source.port(), destination.port());
    udp::Repr { source_port, destination_port, payload_len: payload.len() }.emit(&mut view);
    view.payload_mut().copy_from_slice(payload);
    view.fill_checksum(source.ip(), destination.ip());
    ip(source.ip(), destination.ip(), IpProtocol::UDP, &bytes)
}

/// A TCP segment in a frame.
pub(crate) fn segment(ends: [&str; 2], flags: tcp::Flags, payload: &[u8]) -> Vec<u8> {
    let [source, destination] = ends.map(|end| end.parse::<SocketAddr>().unwrap());
    let repr = tcp::Repr {
        source_port: source.port(),
        destination_port: destination.port(),
        sequence: 0,
        ack: 0,
        flags,
        window: 8192,
        urgent: 0,
        maximum_segment: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        sack: tcp::SackBlocks::default(),
    };
    let mut bytes = vec![0; repr.buffer_len() + payload.len()];
    let mut view = tcp::View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view);
    view.payload_mut().copy_from_slice(payload);
    view.fill_checksum(source.ip(), destination.ip());
    ip(source.ip(), destination.ip(), IpProtocol::TCP, &bytes)
}

/// Puts a tag into a frame, in front of those it has.
pub(crate) fn tagged(frame: &[u8], kind: EtherType, id: u16) -> Vec<u8> {
    let [a, b] = kind.0.to_be_bytes();
    let [c, d] = id.to_be_bytes();
    [&frame[..12], &[a, b, c, d], &frame[12..]].concat()
}
