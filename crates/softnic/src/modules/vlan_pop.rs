//! [`VlanPop`].

use packet::wire::{ethernet, vlan};
use packet::{Batch, Packet};

use super::front;
use crate::engine::{Context, Gate, Module};

/// Takes the outermost VLAN tag off each frame (IEEE 802.1Q, 802.1ad).
///
/// *Input gates*: one. *Output gates*: one. A frame without a tag passes as it is.
///
/// ```
/// let pop = softnic::modules::VlanPop;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct VlanPop;

/// Bytes in front of the EtherType.
const ADDRESSES: usize = 12;

fn pop(packet: &mut Packet) {
    let is_tagged = ethernet::View::new_checked(packet.data()).is_ok_and(|frame| frame.ethertype().is_vlan());
    if is_tagged && packet.len() >= ethernet::HEADER_LEN + vlan::TAG_LEN {
        front::cut(packet, ADDRESSES, vlan::TAG_LEN);
    }
}

impl Module for VlanPop {
    fn class(&self) -> &'static str {
        "VLANPop"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        batch.iter_mut().for_each(pop);
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::EtherType;
    use packet::{Checksum, Offload};

    use super::super::frames::{datagram, packet, tagged};
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn tags_come_off_one_by_one() {
        let frame = datagram(["1.2.3.4:1", "1.2.3.5:2"], b"x");
        let one = tagged(&frame, EtherType::VLAN, 5);
        let two = tagged(&one, EtherType::QINQ, 6);
        let mut rig = Rig::new(VlanPop);
        let partial =
            |start| Offload { checksum: Checksum::Partial { start, offset: 6 }, segmentation: None };
        let mut packet = packet(&two);
        packet.set_offload(partial(42));
        for (expected, start) in [(&one, 38), (&frame, 34), (&frame, 34)] {
            packet = rig.process(0, [packet]).remove(0).1;
            assert_eq!((packet.data(), packet.offload()), (&expected[..], partial(start)));
        }
    }

    #[test]
    fn a_frame_that_ends_in_its_tag_passes() {
        let cut = &tagged(&[0; 14], EtherType::VLAN, 5)[..17];
        assert_eq!(Rig::new(VlanPop).process(0, [packet(cut)])[0].1.data(), cut);
    }
}
