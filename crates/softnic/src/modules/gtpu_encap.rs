//! [`GtpuEncap`].

use netbricks::rewrite;
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, gtpu, ipv4, ipv6, udp};
use packet::{Batch, Checksum, Packet};

use super::front;
use super::ip_encap::Family;
use super::link::network;
use super::part::{mark, part};
use crate::engine::{Attribute, Context, Gate, Module, Place};

/// Puts IP, UDP and GTP-U headers (3GPP TS 29.281) between the Ethernet header of each packet and its IPv4 or IPv6.
///
/// *Input gates*: one. *Output gates*: two; packets leave at gate 1. Gate 0 is for those that are not IP or malformed, have
/// no headroom left, become too long, or were still to be cut into segments by the last hop; they leave as they are.
/// *Attributes*: reads `action` (1 byte, the PDU type), `tunnel_out_src_ip4addr`, `tunnel_out_dst_ip4addr` and
/// `tunnel_out_teid` (4 each), `tunnel_out_udp_port` (2, both ports) and `qfi` (1), numbers in the machine's byte order.
/// Made for [`Family::V6`] it reads `tunnel_out_src_ip6addr` and `tunnel_out_dst_ip6addr` (16 each, as on the wire) instead
/// of IPv4 addresses.
///
/// The type of service is the inner packet's, the time to live 64. Over IPv4 there is no UDP checksum; over IPv6, which
/// wants one (RFC 8200 §8.1), there is, and what was left to the last hop inside is done before. If told so, it adds the
/// PDU session container with `action` and `qfi`. Ethernet padding does not become payload.
///
/// ```
/// # use softnic::modules::{Family, GtpuEncap};
/// let encap = GtpuEncap::new(Family::V4, true); // with the PDU session container
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GtpuEncap {
    family: Family,
    has_session: bool,
    kind: Place,
    source: Place,
    destination: Place,
    teid: Place,
    port: Place,
    flow: Place,
}

/// The identification of outer packets (BESS): they may not be told apart by it, as they are not fragmented here.
const IDENT: u16 = 0x513;

/// The outer IP header.
enum Outer {
    V4(ipv4::Repr),
    V6(ipv6::Repr),
}

impl Outer {
    const fn header_len(&self) -> usize {
        match self {
            Self::V4(_) => ipv4::HEADER_LEN,
            Self::V6(_) => ipv6::HEADER_LEN,
        }
    }

    /// The longest payload.
    fn payload_max(&self) -> usize {
        match self {
            Self::V4(_) => usize::from(u16::MAX) - ipv4::HEADER_LEN,
            Self::V6(_) => usize::from(u16::MAX),
        }
    }

    const fn ethertype(&self) -> EtherType {
        match self {
            Self::V4(_) => EtherType::IPV4,
            Self::V6(_) => EtherType::IPV6,
        }
    }

    fn emit(&self, room: &mut [u8]) {
        match self {
            Self::V4(repr) => repr.emit(&mut ipv4::View::new_unchecked(room)),
            Self::V6(repr) => repr.emit(&mut ipv6::View::new_unchecked(room)),
        }
    }
}

impl GtpuEncap {
    /// Tunnels over this version of IP, with the PDU session container or without.
    pub fn new(family: Family, has_session: bool) -> Self {
        let place = Place::default();
        Self {
            family,
            has_session,
            kind: place,
            source: place,
            destination: place,
            teid: place,
            port: place,
            flow: place,
        }
    }

    fn wrap(self, packet: &mut Packet) -> bool {
        let Some((l3, length, tos)) = inner(packet.data()) else { return false };
        let ([kind], [flow]) = (self.kind.read(packet), self.flow.read(packet));
        let header = gtpu::Repr {
            message: gtpu::Message::G_PDU,
            teid: u32::from_ne_bytes(self.teid.read(packet)),
            sequence: None,
            pdu_session: self.has_session.then_some(gtpu::PduSession { kind, flow }),
            payload_len: length,
        };
        let port = u16::from_ne_bytes(self.port.read(packet));
        let payload_len = header.buffer_len() + length;
        let datagram = udp::Repr { source_port: port, destination_port: port, payload_len };
        let payload_len = udp::HEADER_LEN + payload_len;
        let outer = self.outer(packet, tos, payload_len);
        if payload_len > outer.payload_max() || packet.offload().segmentation.is_some() {
            return false;
        }
        if self.family == Family::V6 && !finish(packet) {
            return false;
        }
        let headers_len = outer.header_len() + udp::HEADER_LEN + header.buffer_len();
        let Some(room) = front::insert(packet, l3, headers_len) else { return false };
        let (ip, rest) = room.split_at_mut(outer.header_len());
        outer.emit(ip);
        let (udp, rest) = rest.split_at_mut(udp::HEADER_LEN);
        datagram.emit(&mut udp::View::new_unchecked(udp));
        header.emit(&mut gtpu::View::new_unchecked(rest));
        packet.data_mut()[l3 - 2..l3].copy_from_slice(&outer.ethertype().0.to_be_bytes());
        let l4 = l3 + outer.header_len();
        packet.truncate(l4 + payload_len);
        if let Outer::V6(ip) = outer {
            udp::View::new_unchecked(&mut packet.data_mut()[l4..])
                .fill_checksum(ip.source.into(), ip.destination.into());
        }
        true
    }

    /// The header in front of so many bytes.
    fn outer(self, packet: &Packet, tos: u8, payload_len: usize) -> Outer {
        match self.family {
            Family::V4 => {
                let address = |place: Place| u32::from_ne_bytes(place.read(packet)).into();
                let (source, destination) = (address(self.source), address(self.destination));
                Outer::V4(ipv4::Repr {
                    tos,
                    ident: IDENT,
                    dont_fragment: false,
                    ..ipv4::Repr::new(source, destination, IpProtocol::UDP, payload_len)
                })
            }
            Family::V6 => {
                let address = |place: Place| place.read::<16>(packet).into();
                let (source, destination) = (address(self.source), address(self.destination));
                let repr = ipv6::Repr::new(source, destination, IpProtocol::UDP, payload_len);
                Outer::V6(ipv6::Repr { traffic_class: tos, ..repr })
            }
        }
    }
}

/// Does what was left to the last hop, since the outer checksum covers it. Whether nothing is left.
fn finish(packet: &mut Packet) -> bool {
    if let (Checksum::Partial { .. }, Ok(layers)) = (packet.offload().checksum, Layers::of(packet.data())) {
        rewrite::finish(packet, &layers);
    }
    !matches!(packet.offload().checksum, Checksum::Partial { .. })
}

/// Where the IP packet of a frame is, how long, and its type of service.
fn inner(frame: &[u8]) -> Option<(usize, usize, u8)> {
    match network(frame)? {
        (EtherType::IPV4, l3) => {
            let ip = ipv4::View::new_checked(&frame[l3..]).ok()?;
            Some((l3, ip.total_len(), ip.tos()))
        }
        (EtherType::IPV6, l3) => {
            let ip = ipv6::View::new_checked(&frame[l3..]).ok()?;
            Some((l3, ip.total_len(), ip.traffic_class()))
        }
        _ => None,
    }
}

impl Module for GtpuEncap {
    fn class(&self) -> &'static str {
        "GtpuEncap"
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn attributes(&self) -> Vec<Attribute> {
        let [source, destination] = match self.family {
            Family::V4 => ["tunnel_out_src_ip4addr", "tunnel_out_dst_ip4addr"],
            Family::V6 => ["tunnel_out_src_ip6addr", "tunnel_out_dst_ip6addr"],
        };
        vec![
            Attribute::read("action", 1),
            Attribute::read(source, self.family.address_len()),
            Attribute::read(destination, self.family.address_len()),
            Attribute::read("tunnel_out_teid", 4),
            Attribute::read("tunnel_out_udp_port", 2),
            Attribute::read("qfi", 1),
        ]
    }

    fn place(&mut self, places: &[Place]) {
        if let &[kind, source, destination, teid, port, flow] = places {
            *self = Self { kind, source, destination, teid, port, flow, ..*self };
        }
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let wrapped = mark(batch, |packet| self.wrap(packet));
        part(ctx, batch, wrapped, Some(1), Some(0));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use packet::Offload;

    use super::super::frames::{datagram, framed, packet, tagged};
    use super::*;
    use crate::engine::Rig;

    const ENDS: [(Family, [&str; 2]); 2] =
        [(Family::V4, ["10.0.0.1", "10.0.0.2"]), (Family::V6, ["fd00::a", "fd00::b"])];

    fn wrap(family: Family, has_session: bool, frame: &[u8]) -> (Gate, Vec<u8>) {
        through(family, has_session, packet(frame))
    }

    fn through(family: Family, has_session: bool, mut packet: Packet) -> (Gate, Vec<u8>) {
        let mut rig = Rig::new(GtpuEncap::new(family, has_session));
        rig.place("action").write(&mut packet, [1]);
        let ends = ENDS[usize::from(family == Family::V6)].1.map(|end| end.parse().unwrap());
        for (end, name) in ends.into_iter().zip(["src", "dst"]) {
            match end {
                IpAddr::V4(end) => rig
                    .place(&format!("tunnel_out_{name}_ip4addr"))
                    .write(&mut packet, end.to_bits().to_ne_bytes()),
                IpAddr::V6(end) => {
                    rig.place(&format!("tunnel_out_{name}_ip6addr")).write(&mut packet, end.octets());
                }
            }
        }
        rig.place("tunnel_out_teid").write(&mut packet, 77u32.to_ne_bytes());
        rig.place("tunnel_out_udp_port").write(&mut packet, 2152u16.to_ne_bytes());
        rig.place("qfi").write(&mut packet, [9]);
        let (gate, packet) = rig.process(0, [packet]).remove(0);
        (gate, packet.data().to_vec())
    }

    #[test]
    fn the_packet_is_in_the_tunnel_without_its_padding() {
        let four = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworld");
        let six = datagram(["[fd00::1]:10001", "[fd00::2]:10002"], b"helloworld");
        for (inner, has_session) in [(&four, true), (&four, false), (&six, true)] {
            for ((family, ends), tags) in ENDS.into_iter().flat_map(|ends| [(ends, 0), (ends, 1)]) {
                let padded = [&inner[..], &[0; 7]].concat();
                let frame = if tags == 0 { padded } else { tagged(&padded, EtherType::VLAN, 5) };
                let (gate, outer) = wrap(family, has_session, &frame);
                let layers = Layers::of(&outer).unwrap();
                assert_eq!((gate, layers.l3, layers.end), (1, 14 + 4 * tags, outer.len()));
                let ends = ends.map(|end| end.parse::<IpAddr>().unwrap());
                assert_eq!(layers.addresses(&outer), Some((ends[0], ends[1])));
                let datagram = udp::View::new_checked(layers.segment(&outer)).unwrap();
                match family {
                    Family::V4 => {
                        let ip = ipv4::View::new_checked(layers.network_packet(&outer)).unwrap();
                        assert!(ip.verify_checksum() && datagram.checksum() == 0);
                    }
                    Family::V6 => {
                        assert!(datagram.checksum() != 0 && datagram.verify_checksum(ends[0], ends[1]));
                    }
                }
                let message = gtpu::View::new_checked(layers.l4_payload(&outer)).unwrap();
                let session = has_session.then_some(gtpu::PduSession { kind: 1, flow: 9 });
                assert_eq!((message.teid(), message.pdu_session()), (77, session));
                assert_eq!(message.payload(), &inner[14..]);
            }
        }
    }

    #[test]
    fn what_is_no_packet_leaves_at_gate_0() {
        let arp = framed(EtherType::ARP, &[0; 28]);
        assert_eq!(wrap(Family::V4, true, &arp), (0, arp));
        let half = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"")[..30].to_vec();
        assert_eq!(wrap(Family::V6, true, &half), (0, half));
    }

    #[test]
    fn over_ipv6_the_inner_checksum_is_done_before_the_outer_one() {
        let whole = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworld");
        let mut unfinished = whole.clone();
        let ends = [[1, 2, 3, 4], [2, 3, 4, 5]].map(IpAddr::from);
        let pseudo = packet::checksum::pseudo(ends[0], ends[1], IpProtocol::UDP, 18).unwrap();
        unfinished[40..42].copy_from_slice(&pseudo.to_be_bytes());
        let mut partial = packet(&unfinished);
        let checksum = Checksum::Partial { start: 34, offset: 6 };
        partial.set_offload(Offload { checksum, segmentation: None });
        assert_eq!(through(Family::V6, false, partial), wrap(Family::V6, false, &whole));
    }
}
