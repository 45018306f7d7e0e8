//! Packets a component makes itself: whole Ethernet frames, checksums included.
//!
//! ```
//! use packet::wire::{MacAddr, arp};
//! use pox::compose;
//!
//! let (mine, theirs) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
//! let request = arp::Repr {
//!     operation: arp::Operation::REQUEST,
//!     sender_mac: theirs,
//!     sender_ip: [10, 0, 0, 2].into(),
//!     target_mac: MacAddr::UNSPECIFIED,
//!     target_ip: [10, 0, 0, 1].into(),
//! };
//! let reply = compose::arp(&request.reply(mine));
//! assert_eq!((reply.len(), &reply[..6]), (42, &theirs.0[..]));
//! ```

use std::net::Ipv4Addr;

use packet::wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv4, ipv4, udp};

/// A frame that carries `payload`.
#[must_use]
pub fn ethernet(source: MacAddr, destination: MacAddr, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN + payload.len()];
    ethernet::Repr { source, destination, ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    frame[ethernet::HEADER_LEN..].copy_from_slice(payload);
    frame
}

/// An ARP packet: a request goes to everybody, a reply to its target.
#[must_use]
pub fn arp(packet: &arp::Repr) -> Vec<u8> {
    let to = if packet.operation == arp::Operation::REPLY { packet.target_mac } else { MacAddr::BROADCAST };
    arp_to(packet, to)
}

/// An ARP packet to a station.
#[must_use]
pub fn arp_to(packet: &arp::Repr, destination: MacAddr) -> Vec<u8> {
    let mut bytes = [0; arp::PACKET_LEN];
    packet.emit(&mut arp::View::new_unchecked(&mut bytes[..]));
    ethernet(packet.sender_mac, destination, EtherType::ARP, &bytes)
}

/// Both ends of a packet, source first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Ethernet addresses.
    pub macs: (MacAddr, MacAddr),
    /// IPv4 addresses.
    pub ips: (Ipv4Addr, Ipv4Addr),
}

impl Ends {
    /// The way back.
    #[must_use]
    pub const fn back(self) -> Self {
        Self { macs: (self.macs.1, self.macs.0), ips: (self.ips.1, self.ips.0) }
    }
}

/// An IPv4 packet.
#[must_use]
pub fn ipv4(ends: Ends, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; ipv4::HEADER_LEN + payload.len()];
    let header = ipv4::Repr::new(ends.ips.0, ends.ips.1, protocol, payload.len());
    header.emit(&mut ipv4::View::new_unchecked(&mut packet[..]));
    packet[ipv4::HEADER_LEN..].copy_from_slice(payload);
    ethernet(ends.macs.0, ends.macs.1, EtherType::IPV4, &packet)
}

/// A UDP datagram, source port first.
#[must_use]
pub fn udp(ends: Ends, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; udp::HEADER_LEN + payload.len()];
    datagram[udp::HEADER_LEN..].copy_from_slice(payload);
    let mut view = udp::View::new_unchecked(&mut datagram[..]);
    udp::Repr { source_port: ports.0, destination_port: ports.1, payload_len: payload.len() }.emit(&mut view);
    view.fill_checksum(ends.ips.0.into(), ends.ips.1.into());
    ipv4(ends, IpProtocol::UDP, &datagram)
}

/// An ICMP message.
#[must_use]
pub fn icmpv4(ends: Ends, message: &icmpv4::Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut icmpv4::View::new_unchecked(&mut bytes[..]));
    ipv4(ends, IpProtocol::ICMP, &bytes)
}
