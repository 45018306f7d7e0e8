//! [`EtherEncap`].

use packet::wire::{EtherType, MacAddr, ethernet};
use packet::{Batch, Packet};

use super::front;
use super::part::{mark, part};
use crate::engine::{Attribute, Context, Gate, Module, Place};

/// Puts an Ethernet header in front of each packet.
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: reads `ether_src` and `ether_dst` (6 bytes each) and
/// `ether_type` (2), as they go on the wire.
///
/// A packet whose buffer has no headroom left is dropped (BESS lets it pass without the header).
///
/// ```
/// let encap = softnic::modules::EtherEncap::default();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EtherEncap {
    source: Place,
    destination: Place,
    ethertype: Place,
}

impl EtherEncap {
    fn wrap(self, packet: &mut Packet) -> bool {
        let header = ethernet::Repr {
            source: MacAddr(self.source.read(packet)),
            destination: MacAddr(self.destination.read(packet)),
            ethertype: EtherType(u16::from_be_bytes(self.ethertype.read(packet))),
        };
        let Some(room) = front::push(packet, ethernet::HEADER_LEN) else { return false };
        header.emit(&mut ethernet::View::new_unchecked(room));
        true
    }
}

impl Module for EtherEncap {
    fn class(&self) -> &'static str {
        "EtherEncap"
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![
            Attribute::read("ether_src", 6),
            Attribute::read("ether_dst", 6),
            Attribute::read("ether_type", 2),
        ]
    }

    fn place(&mut self, places: &[Place]) {
        if let &[source, destination, ethertype] = places {
            *self = Self { source, destination, ethertype };
        }
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let wrapped = mark(batch, |packet| self.wrap(packet));
        part(ctx, batch, wrapped, Some(0), None);
    }
}

#[cfg(test)]
mod tests {
    use packet::{Checksum, HEADROOM, Offload};

    use super::super::frames::{datagram, packet};
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn a_packet_gets_its_frame() {
        let frame = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworld");
        let mut rig = Rig::new(EtherEncap::default());
        let mut bare = packet(&frame[14..]);
        rig.place("ether_dst").write::<6>(&mut bare, frame[..6].try_into().unwrap());
        rig.place("ether_src").write::<6>(&mut bare, frame[6..12].try_into().unwrap());
        rig.place("ether_type").write(&mut bare, [8, 0]);
        let partial =
            |start| Offload { checksum: Checksum::Partial { start, offset: 6 }, segmentation: None };
        bare.set_offload(partial(20));
        let left = rig.process(0, [bare]);
        assert_eq!((left[0].1.data(), left[0].1.offload()), (&frame[..], partial(34)));
    }

    #[test]
    fn without_headroom_there_is_no_frame() {
        let mut rig = Rig::new(EtherEncap::default());
        let mut full = packet(b"x");
        full.prepend(HEADROOM - 13).unwrap().fill(0);
        assert!(rig.process(0, [full]).is_empty());
        assert_eq!(rig.dropped, 1);
    }
}
