//! [`GtpuEncap`].

use packet::wire::{EtherType, IpProtocol, gtpu, ipv4, ipv6, udp};
use packet::{Batch, Packet};

use super::front;
use super::link::network;
use super::part::{mark, part};
use crate::engine::{Attribute, Context, Gate, Module, Place};

/// Puts IPv4, UDP and GTP-U headers (3GPP TS 29.281) between the Ethernet header of each packet and its IPv4 or IPv6.
///
/// *Input gates*: one. *Output gates*: two; packets leave at gate 1. Gate 0 is for those that are not IP or malformed, have
/// no headroom left, become too long, or were still to be cut into segments by the last hop; they leave as they are.
/// *Attributes*: reads `action` (1 byte, the PDU type), `tunnel_out_src_ip4addr`, `tunnel_out_dst_ip4addr` and
/// `tunnel_out_teid` (4 each), `tunnel_out_udp_port` (2, both ports) and `qfi` (1), numbers in the machine's byte order.
///
/// The type of service is the inner packet's, the time to live 64. There is no UDP checksum. If told so, it adds the PDU
/// session container with `action` and `qfi`. Ethernet padding does not become payload.
///
/// ```
/// # use softnic::modules::GtpuEncap;
/// let encap = GtpuEncap::new(true); // with the PDU session container
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GtpuEncap {
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

impl GtpuEncap {
    /// With the PDU session container, or without.
    pub fn new(has_session: bool) -> Self {
        let place = Place::default();
        Self {
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
        let u32_of = |place: Place| u32::from_ne_bytes(place.read(packet));
        let ([kind], [flow]) = (self.kind.read(packet), self.flow.read(packet));
        let header = gtpu::Repr {
            message: gtpu::Message::G_PDU,
            teid: u32_of(self.teid),
            sequence: None,
            pdu_session: self.has_session.then_some(gtpu::PduSession { kind, flow }),
            payload_len: length,
        };
        let port = u16::from_ne_bytes(self.port.read(packet));
        let payload_len = header.buffer_len() + length;
        let datagram = udp::Repr { source_port: port, destination_port: port, payload_len };
        let (source, destination) = (u32_of(self.source).into(), u32_of(self.destination).into());
        let payload_len = udp::HEADER_LEN + payload_len;
        let ip = ipv4::Repr {
            tos,
            ident: IDENT,
            dont_fragment: false,
            ..ipv4::Repr::new(source, destination, IpProtocol::UDP, payload_len)
        };
        let is_too_long = ipv4::HEADER_LEN + payload_len > usize::from(u16::MAX);
        if is_too_long || packet.offload().segmentation.is_some() {
            return false;
        }
        let Some(room) = front::insert(packet, l3, ipv4::HEADER_LEN + udp::HEADER_LEN + header.buffer_len())
        else {
            return false;
        };
        let (outer, rest) = room.split_at_mut(ipv4::HEADER_LEN);
        ip.emit(&mut ipv4::View::new_unchecked(outer));
        let (outer, rest) = rest.split_at_mut(udp::HEADER_LEN);
        datagram.emit(&mut udp::View::new_unchecked(outer));
        header.emit(&mut gtpu::View::new_unchecked(rest));
        packet.data_mut()[l3 - 2..l3].copy_from_slice(&EtherType::IPV4.0.to_be_bytes());
        packet.truncate(l3 + ipv4::HEADER_LEN + payload_len);
        true
    }
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
        vec![
            Attribute::read("action", 1),
            Attribute::read("tunnel_out_src_ip4addr", 4),
            Attribute::read("tunnel_out_dst_ip4addr", 4),
            Attribute::read("tunnel_out_teid", 4),
            Attribute::read("tunnel_out_udp_port", 2),
            Attribute::read("qfi", 1),
        ]
    }

    fn place(&mut self, places: &[Place]) {
        if let &[kind, source, destination, teid, port, flow] = places {
            *self = Self { has_session: self.has_session, kind, source, destination, teid, port, flow };
        }
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let wrapped = mark(batch, |packet| self.wrap(packet));
        part(ctx, batch, wrapped, Some(1), Some(0));
    }
}

#[cfg(test)]
mod tests {
    use packet::parse::Layers;

    use super::super::frames::{datagram, framed, packet, tagged};
    use super::*;
    use crate::engine::Rig;

    fn wrap(has_session: bool, frame: &[u8]) -> (Gate, Vec<u8>) {
        let mut rig = Rig::new(GtpuEncap::new(has_session));
        let mut packet = packet(frame);
        rig.place("action").write(&mut packet, [1]);
        rig.place("tunnel_out_src_ip4addr").write(&mut packet, 0x0a00_0001u32.to_ne_bytes());
        rig.place("tunnel_out_dst_ip4addr").write(&mut packet, 0x0a00_0002u32.to_ne_bytes());
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
            for tags in [0, 1] {
                let padded = [&inner[..], &[0; 7]].concat();
                let frame = if tags == 0 { padded } else { tagged(&padded, EtherType::VLAN, 5) };
                let (gate, outer) = wrap(has_session, &frame);
                let layers = Layers::of(&outer).unwrap();
                assert_eq!((gate, layers.l3, layers.end), (1, 14 + 4 * tags, outer.len()));
                let ends = (std::net::IpAddr::from([10, 0, 0, 1]), std::net::IpAddr::from([10, 0, 0, 2]));
                assert_eq!(layers.addresses(&outer), Some(ends));
                assert!(ipv4::View::new_checked(layers.network_packet(&outer)).unwrap().verify_checksum());
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
        assert_eq!(wrap(true, &arp), (0, arp));
        let half = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"")[..30].to_vec();
        assert_eq!(wrap(true, &half), (0, half));
    }
}
