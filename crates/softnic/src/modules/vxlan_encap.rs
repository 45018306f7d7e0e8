//! [`VxlanEncap`].

use std::hash::{BuildHasher, Hasher};

use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::{IpProtocol, udp, vxlan};
use packet::{Batch, Packet};

use super::front;
use super::ip_encap::Family;
use super::part::{mark, part};
use crate::engine::{Attribute, Context, Gate, Module, Place};

/// Puts UDP and VXLAN headers (RFC 7348) in front of each frame; [`IpEncap`](super::IpEncap) and
/// [`EtherEncap`](super::EtherEncap) add the rest.
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: reads `tun_ip_src` and `tun_ip_dst` (4 bytes each, or 16 where it
/// was made for [`Family::V6`]) and `tun_id` (4, the network identifier in its lower 24 bits), writes `ip_src`, `ip_dst`
/// and `ip_proto` (1) for the next module.
///
/// The source port depends on the inner flow, so that routers on the way spread tunnels over their links, and is one of
/// the private ports 49,152 and above. There is no UDP checksum (RFC 7348 §5, RFC 6935). Dropped are packets whose
/// buffer has no headroom left (BESS lets them pass without headers), that UDP cannot carry, or that the last hop was
/// still to cut into segments.
///
/// ```
/// # use softnic::modules::{Family, VxlanEncap};
/// let encap = VxlanEncap::new(Family::V4, 4789);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct VxlanEncap {
    family: Family,
    port: u16,
    tunnel: [Place; 2],
    id: Place,
    addresses: [Place; 2],
    protocol: Place,
}

const PRIVATE_PORTS: u16 = 0xc000;

impl VxlanEncap {
    /// Tunnels to that UDP port.
    pub fn new(family: Family, port: u16) -> Self {
        let place = Place::default();
        Self { family, port, tunnel: [place; 2], id: place, addresses: [place; 2], protocol: place }
    }

    fn wrap(self, packet: &mut Packet) -> bool {
        const LENGTH: usize = udp::HEADER_LEN + vxlan::HEADER_LEN;
        let inner = packet.len();
        if packet.offload().segmentation.is_some() || inner > usize::from(u16::MAX) - LENGTH {
            return false;
        }
        let source_port = source_port(packet.data());
        let vni = u32::from_be_bytes(self.id.read(packet)) & 0xff_ffff;
        let Some(room) = front::push(packet, LENGTH) else { return false };
        let (datagram, header) = room.split_at_mut(udp::HEADER_LEN);
        udp::Repr { source_port, destination_port: self.port, payload_len: vxlan::HEADER_LEN + inner }
            .emit(&mut udp::View::new_unchecked(datagram));
        vxlan::Repr { vni }.emit(&mut vxlan::View::new_unchecked(header));
        for (from, to) in self.tunnel.into_iter().zip(self.addresses) {
            match self.family {
                Family::V4 => to.write::<4>(packet, from.read(packet)),
                Family::V6 => to.write::<16>(packet, from.read(packet)),
            }
        }
        self.protocol.write(packet, [IpProtocol::UDP.0]);
        true
    }
}

/// A port that packets of one flow, and else of two stations, have in common.
fn source_port(frame: &[u8]) -> u16 {
    // It spreads honest traffic; no table depends on it, so the key need not be secret.
    let hasher = FlowHasher::new(0);
    let key = Layers::of(frame)
        .ok()
        .and_then(|layers| FlowKey::of(&layers, frame).or_else(|| FlowKey::hosts(&layers, frame)));
    let hash = match key {
        Some(key) => hasher.hash(&key),
        None => {
            let mut state = hasher.build_hasher();
            state.write(&frame[..frame.len().min(12)]);
            state.finish()
        }
    };
    hash as u16 | PRIVATE_PORTS
}

impl Module for VxlanEncap {
    fn class(&self) -> &'static str {
        "VXLANEncap"
    }

    fn attributes(&self) -> Vec<Attribute> {
        let length = self.family.address_len();
        vec![
            Attribute::read("tun_ip_src", length),
            Attribute::read("tun_ip_dst", length),
            Attribute::read("tun_id", 4),
            Attribute::write("ip_src", length),
            Attribute::write("ip_dst", length),
            Attribute::write("ip_proto", 1),
        ]
    }

    fn place(&mut self, places: &[Place]) {
        if let &[tunnel_source, tunnel_destination, id, source, destination, protocol] = places {
            self.tunnel = [tunnel_source, tunnel_destination];
            self.addresses = [source, destination];
            (self.id, self.protocol) = (id, protocol);
        }
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let wrapped = mark(batch, |packet| self.wrap(packet));
        part(ctx, batch, wrapped, Some(0), None);
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::EtherType;

    use super::super::frames::{datagram, framed, packet};
    use super::*;
    use crate::engine::Rig;

    fn wrapped(frame: &[u8]) -> Vec<u8> {
        let mut rig = Rig::new(VxlanEncap::new(Family::V4, 4789));
        let mut packet = packet(frame);
        rig.place("tun_ip_src").write(&mut packet, [10, 0, 0, 1]);
        rig.place("tun_ip_dst").write(&mut packet, [10, 0, 0, 2]);
        rig.place("tun_id").write(&mut packet, [0xff, 1, 2, 3]);
        let left = rig.process(0, [packet]);
        assert_eq!(rig.place("ip_src").read(&left[0].1), [10, 0, 0, 1]);
        assert_eq!(rig.place("ip_dst").read(&left[0].1), [10, 0, 0, 2]);
        assert_eq!(rig.place("ip_proto").read(&left[0].1), [17]);
        left[0].1.data().to_vec()
    }

    #[test]
    fn a_frame_becomes_a_datagram() {
        let frame = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworld");
        let packet = wrapped(&frame);
        let outer = udp::View::new_checked(&packet[..]).unwrap();
        assert_eq!((outer.destination_port(), outer.length(), outer.checksum()), (4789, packet.len(), 0));
        assert!(outer.source_port() >= PRIVATE_PORTS);
        let tunnel = vxlan::View::new_checked(outer.payload()).unwrap();
        assert_eq!((tunnel.vni(), tunnel.payload()), (0x01_0203, &frame[..]));
    }

    #[test]
    fn flows_have_a_port_each_and_keep_it() {
        let port = |ends, payload: &[u8]| source_port(&datagram(ends, payload));
        let ends = ["1.2.3.4:10001", "2.3.4.5:10002"];
        assert_eq!(port(ends, b"hello"), port(ends, b"world!"));
        let ports: std::collections::BTreeSet<u16> =
            (0..100).map(|port| source_port(&datagram([&format!("1.2.3.4:{port}"), ends[1]], b""))).collect();
        assert!(ports.len() > 90, "{} ports for 100 flows", ports.len());
        let other = framed(EtherType::LLDP, b"anything");
        assert_eq!(source_port(&other), source_port(&framed(EtherType::LLDP, b"else")));
        assert!(source_port(b"") >= PRIVATE_PORTS);
    }

    #[test]
    fn six_bytes_of_address_are_sixteen() {
        let mut rig = Rig::new(VxlanEncap::new(Family::V6, 4789));
        let mut packet = packet(b"frame");
        rig.place("tun_ip_dst").write(&mut packet, [7; 16]);
        let left = rig.process(0, [packet]);
        assert_eq!(rig.place("ip_dst").read(&left[0].1), [7; 16]);
    }
}
