//! [`VxlanDecap`].

use std::net::IpAddr;

use packet::parse::Layers;
use packet::wire::{IpProtocol, udp, vxlan};
use packet::{Batch, Packet};

use super::front;
use super::ip_encap::Family;
use super::part::{mark, part};
use crate::engine::{Attribute, Context, Gate, Module, Place};

/// Takes the outer Ethernet, IP, UDP and VXLAN headers (RFC 7348) off each frame.
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: writes `tun_ip_src` and `tun_ip_dst` (4 bytes each, or 16 where it
/// was made for [`Family::V6`]) and `tun_id` (4).
///
/// Whatever comes is taken for VXLAN, whichever its UDP port, so a classifier comes first. What is no UDP in IP of that
/// version, is a fragment, or has no valid network identifier (§5), is dropped; BESS takes off as many bytes anyway.
///
/// ```
/// # use softnic::modules::{Family, VxlanDecap};
/// let decap = VxlanDecap::new(Family::V4);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct VxlanDecap {
    family: Family,
    source: Place,
    destination: Place,
    id: Place,
}

impl VxlanDecap {
    /// Tunnels through IP of this version.
    pub fn new(family: Family) -> Self {
        let place = Place::default();
        Self { family, source: place, destination: place, id: place }
    }

    fn unwrap(self, packet: &mut Packet) -> bool {
        let Some((addresses, vni, start, end)) = open(packet.data()) else { return false };
        match (self.family, addresses) {
            (Family::V4, (IpAddr::V4(source), IpAddr::V4(destination))) => {
                self.source.write(packet, source.octets());
                self.destination.write(packet, destination.octets());
            }
            (Family::V6, (IpAddr::V6(source), IpAddr::V6(destination))) => {
                self.source.write(packet, source.octets());
                self.destination.write(packet, destination.octets());
            }
            _ => return false,
        }
        self.id.write(packet, vni.to_be_bytes());
        packet.truncate(end);
        front::pull(packet, start)
    }
}

type Tunnelled = ((IpAddr, IpAddr), u32, usize, usize);

/// The addresses and the identifier of a tunnel, and where what it carries starts and ends.
fn open(frame: &[u8]) -> Option<Tunnelled> {
    let layers = Layers::of(frame).ok()?;
    if layers.protocol != IpProtocol::UDP || layers.fragment.is_some() {
        return None;
    }
    let datagram = udp::View::new_checked(layers.segment(frame)).ok()?;
    let tunnel = vxlan::View::new_checked(datagram.payload()).ok()?;
    let l4 = layers.l4?;
    let start = l4 + udp::HEADER_LEN + vxlan::HEADER_LEN;
    Some((layers.addresses(frame)?, tunnel.vni(), start, l4 + datagram.length()))
}

impl Module for VxlanDecap {
    fn class(&self) -> &'static str {
        "VXLANDecap"
    }

    fn attributes(&self) -> Vec<Attribute> {
        let length = self.family.address_len();
        vec![
            Attribute::write("tun_ip_src", length),
            Attribute::write("tun_ip_dst", length),
            Attribute::write("tun_id", 4),
        ]
    }

    fn place(&mut self, places: &[Place]) {
        if let &[source, destination, id] = places {
            *self = Self { family: self.family, source, destination, id };
        }
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let unwrapped = mark(batch, |packet| self.unwrap(packet));
        part(ctx, batch, unwrapped, Some(0), None);
    }
}

#[cfg(test)]
mod tests {
    use packet::{Checksum, Offload};

    use super::super::frames::{datagram, packet};
    use super::*;
    use crate::engine::Rig;

    fn tunnelled(ends: [&str; 2], inner: &[u8]) -> Vec<u8> {
        let header = [8, 0, 0, 0, 0, 1, 2, 0];
        datagram(ends, &[&header[..], inner].concat())
    }

    const FOUR: [&str; 2] = ["10.0.0.1:50000", "10.0.0.2:4789"];
    const SIX: [&str; 2] = ["[fd00::1]:50000", "[fd00::2]:4789"];

    #[test]
    fn the_inside_comes_out_without_padding_or_old_work() {
        let inner = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworld");
        let mut rig = Rig::new(VxlanDecap::new(Family::V4));
        let mut padded = packet(&[&tunnelled(FOUR, &inner)[..], &[0; 9]].concat());
        padded.set_offload(Offload {
            checksum: Checksum::Partial { start: 34, offset: 6 },
            segmentation: None,
        });
        let left = rig.process(0, [padded]);
        assert_eq!((left[0].1.data(), left[0].1.offload()), (&inner[..], Offload::default()));
        assert_eq!(rig.place("tun_ip_src").read(&left[0].1), [10, 0, 0, 1]);
        assert_eq!(rig.place("tun_ip_dst").read(&left[0].1), [10, 0, 0, 2]);
        assert_eq!(rig.place("tun_id").read(&left[0].1), [0, 0, 1, 2]);
        // The inner packet's unfinished checksum is the inner packet's.
        let mut packet = packet(&tunnelled(FOUR, &inner));
        packet.set_offload(Offload {
            checksum: Checksum::Partial { start: 84, offset: 6 },
            segmentation: None,
        });
        let left = rig.process(0, [packet]);
        assert_eq!(left[0].1.offload().checksum, Checksum::Partial { start: 34, offset: 6 });
    }

    #[test]
    fn each_version_has_its_module() {
        let mut six = Rig::new(VxlanDecap::new(Family::V6));
        let left = six.process(0, [packet(&tunnelled(SIX, b"frame")), packet(&tunnelled(FOUR, b"frame"))]);
        assert_eq!((left.len(), left[0].1.data(), six.dropped), (1, &b"frame"[..], 1));
        assert_eq!(six.place("tun_ip_dst").read::<16>(&left[0].1)[15], 2);
    }

    #[test]
    fn what_is_no_tunnel_is_dropped() {
        let mut rig = Rig::new(VxlanDecap::new(Family::V4));
        let without_id = datagram(FOUR, &[0; 20]);
        let short = datagram(FOUR, &[8; 7]);
        let mut fragment = tunnelled(FOUR, b"frame");
        fragment[20] = 0x20;
        let no_udp = super::super::frames::segment(FOUR, packet::wire::tcp::Flags::ACK, &[8; 20]);
        let frames = [&without_id[..], &short, &fragment, &no_udp, &tunnelled(FOUR, b"")[..45], b""];
        assert!(rig.process(0, frames.map(packet)).is_empty());
        assert_eq!(rig.dropped, 6);
    }
}
