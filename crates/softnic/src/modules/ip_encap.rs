//! [`IpEncap`].

use packet::wire::{EtherType, IpProtocol, ipv4, ipv6};
use packet::{Batch, Packet};

use super::front;
use super::part::{mark, part};
use crate::engine::{Attribute, Context, Gate, Module, Place};

/// Puts an IP header in front of each packet.
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: reads `ip_src`, `ip_dst` and `ip_proto` (1 byte), writes
/// `ip_nexthop`, which is the destination, and `ether_type` (2). Addresses have 4 bytes, or 16 where it was made for
/// [`Family::V6`].
///
/// The header has a time to live of 64 and, in IPv4, "don't fragment". Dropped are packets whose buffer has no headroom
/// left (BESS lets them pass without the header), that become longer than IP can say, or that the last hop was still to
/// cut into segments, which it cannot in a tunnel.
///
/// ```
/// # use softnic::modules::{Family, IpEncap};
/// let (four, six) = (IpEncap::new(Family::V4), IpEncap::new(Family::V6));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct IpEncap {
    family: Family,
    source: Place,
    destination: Place,
    protocol: Place,
    next_hop: Place,
    ethertype: Place,
}

/// A version of IP: how long the addresses in attributes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4: 4 bytes.
    V4,
    /// IPv6: 16 bytes.
    V6,
}

impl Family {
    /// Bytes of an address.
    pub const fn address_len(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

impl IpEncap {
    /// Packets of this version.
    pub fn new(family: Family) -> Self {
        let place = Place::default();
        Self { family, source: place, destination: place, protocol: place, next_hop: place, ethertype: place }
    }

    fn wrap(self, packet: &mut Packet) -> bool {
        if packet.offload().segmentation.is_some() {
            return false;
        }
        match self.family {
            Family::V4 => self.wrap_v4(packet),
            Family::V6 => self.wrap_v6(packet),
        }
    }

    fn wrap_v4(self, packet: &mut Packet) -> bool {
        let (source, destination): ([u8; 4], [u8; 4]) =
            (self.source.read(packet), self.destination.read(packet));
        let [protocol] = self.protocol.read(packet);
        let payload_len = packet.len();
        if payload_len > usize::from(u16::MAX) - ipv4::HEADER_LEN {
            return false;
        }
        let Some(room) = front::push(packet, ipv4::HEADER_LEN) else { return false };
        ipv4::Repr::new(source.into(), destination.into(), IpProtocol(protocol), payload_len)
            .emit(&mut ipv4::View::new_unchecked(room));
        self.next_hop.write(packet, destination);
        self.ethertype.write(packet, EtherType::IPV4.0.to_be_bytes());
        true
    }

    fn wrap_v6(self, packet: &mut Packet) -> bool {
        let (source, destination): ([u8; 16], [u8; 16]) =
            (self.source.read(packet), self.destination.read(packet));
        let [protocol] = self.protocol.read(packet);
        let payload_len = packet.len();
        if payload_len > usize::from(u16::MAX) {
            return false;
        }
        let Some(room) = front::push(packet, ipv6::HEADER_LEN) else { return false };
        ipv6::Repr::new(source.into(), destination.into(), IpProtocol(protocol), payload_len)
            .emit(&mut ipv6::View::new_unchecked(room));
        self.next_hop.write(packet, destination);
        self.ethertype.write(packet, EtherType::IPV6.0.to_be_bytes());
        true
    }
}

impl Module for IpEncap {
    fn class(&self) -> &'static str {
        "IPEncap"
    }

    fn attributes(&self) -> Vec<Attribute> {
        let length = self.family.address_len();
        vec![
            Attribute::read("ip_src", length),
            Attribute::read("ip_dst", length),
            Attribute::read("ip_proto", 1),
            Attribute::write("ip_nexthop", length),
            Attribute::write("ether_type", 2),
        ]
    }

    fn place(&mut self, places: &[Place]) {
        if let &[source, destination, protocol, next_hop, ethertype] = places {
            *self = Self { family: self.family, source, destination, protocol, next_hop, ethertype };
        }
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let wrapped = mark(batch, |packet| self.wrap(packet));
        part(ctx, batch, wrapped, Some(0), None);
    }
}

#[cfg(test)]
mod tests {
    use packet::{Offload, Pool, PoolConfig, ROOM_GSO, SegmentKind, Segmentation};

    use super::super::frames::{datagram, packet};
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn a_datagram_gets_its_packet() {
        let frame = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworld");
        let mut rig = Rig::new(IpEncap::new(Family::V4));
        let mut bare = packet(&frame[34..]);
        rig.place("ip_src").write(&mut bare, [1, 2, 3, 4]);
        rig.place("ip_dst").write(&mut bare, [2, 3, 4, 5]);
        rig.place("ip_proto").write(&mut bare, [17]);
        let left = rig.process(0, [bare]);
        assert_eq!(left[0].1.data(), &frame[14..]);
        assert_eq!(rig.place("ip_nexthop").read(&left[0].1), [2, 3, 4, 5]);
        assert_eq!(rig.place("ether_type").read(&left[0].1), [8, 0]);
    }

    #[test]
    fn the_same_for_ipv6() {
        let frame = datagram(["[fd00::1]:10001", "[fd00::2]:10002"], b"helloworld");
        let mut rig = Rig::new(IpEncap::new(Family::V6));
        let mut bare = packet(&frame[54..]);
        rig.place("ip_src").write::<16>(&mut bare, frame[22..38].try_into().unwrap());
        rig.place("ip_dst").write::<16>(&mut bare, frame[38..54].try_into().unwrap());
        rig.place("ip_proto").write(&mut bare, [17]);
        let left = rig.process(0, [bare]);
        assert_eq!(left[0].1.data(), &frame[14..]);
        assert_eq!(rig.place("ip_nexthop").read::<16>(&left[0].1)[..], frame[38..54]);
        assert_eq!(rig.place("ether_type").read(&left[0].1), [0x86, 0xdd]);
    }

    #[test]
    fn what_is_too_long_or_to_be_cut_is_dropped() {
        let pool = Pool::new(PoolConfig { buffers: 4, room: ROOM_GSO, ..PoolConfig::default() }).unwrap();
        let long = |length| {
            let mut packet = pool.alloc().unwrap();
            packet.set_len(length).unwrap();
            packet
        };
        for (family, most) in [(Family::V4, 65_515), (Family::V6, 65_535)] {
            let mut rig = Rig::new(IpEncap::new(family));
            assert_eq!(rig.process(0, [long(most), long(most + 1)]).len(), 1);
            let mut segment = long(1000);
            let segmentation =
                Segmentation { kind: SegmentKind::TcpV4, ecn: false, size: 500, header_len: 54 };
            segment.set_offload(Offload { segmentation: Some(segmentation), ..Offload::default() });
            assert!(rig.process(0, [segment]).is_empty());
            assert_eq!(rig.dropped, 2);
        }
    }
}
