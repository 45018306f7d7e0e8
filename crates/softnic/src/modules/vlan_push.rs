//! [`VlanPush`].

use packet::wire::{EtherType, ethernet, vlan};
use packet::{Batch, Packet};

use super::front;
use crate::engine::{Context, Gate, Module};

/// Tags each frame (IEEE 802.1Q).
///
/// *Input gates*: one. *Output gates*: one.
///
/// The tag goes in front of those a frame has. It is an 802.1Q tag, or where the frame has one of those in front, an 802.1ad
/// tag. What is too short for an Ethernet header, or has no headroom left, passes as it is.
///
/// ```
/// # use softnic::modules::VlanPush;
/// let push = VlanPush::new(5); // priority 0, VLAN 5
/// ```
#[derive(Clone, Copy, Debug)]
pub struct VlanPush {
    control: u16,
}

/// Bytes in front of the EtherType.
const ADDRESSES: usize = 12;

impl VlanPush {
    /// Tags with this control information: priority (3 bits), drop eligible (1), VLAN identifier (12).
    pub fn new(control: u16) -> Self {
        Self { control }
    }

    /// Tags with another one from now on.
    pub fn set(&mut self, control: u16) {
        self.control = control;
    }

    fn push(self, packet: &mut Packet) {
        let Ok(frame) = ethernet::View::new_checked(packet.data()) else { return };
        let kind = if frame.ethertype() == EtherType::VLAN { EtherType::QINQ } else { EtherType::VLAN };
        // The type that announces the tag, and the tag up to the type that it announces.
        if let Some(tag) = front::insert(packet, ADDRESSES, vlan::TAG_LEN) {
            tag[..2].copy_from_slice(&kind.0.to_be_bytes());
            tag[2..].copy_from_slice(&self.control.to_be_bytes());
        }
    }
}

impl Module for VlanPush {
    fn class(&self) -> &'static str {
        "VLANPush"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        batch.iter_mut().for_each(|packet| self.push(packet));
    }

    fn status(&self) -> String {
        let Self { control } = self;
        format!("PCP={} DEI={} VID={}", control >> 13, control >> 12 & 1, control & 0xfff)
    }
}

#[cfg(test)]
mod tests {
    use packet::HEADROOM;

    use super::super::frames::{datagram, packet, tagged};
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn tags_are_stacked_and_their_kinds_differ() {
        let frame = datagram(["1.2.3.4:1", "1.2.3.5:2"], b"x");
        let mut rig = Rig::new(VlanPush::new(5));
        let once = rig.process(0, [packet(&frame)]).remove(0).1;
        assert_eq!(once.data(), tagged(&frame, EtherType::VLAN, 5));
        rig.module.set(0xf006);
        let twice = rig.process(0, [once]).remove(0).1;
        assert_eq!(twice.data(), tagged(&tagged(&frame, EtherType::VLAN, 5), EtherType::QINQ, 0xf006));
        assert_eq!(rig.module.status(), "PCP=7 DEI=1 VID=6");
    }

    #[test]
    fn what_cannot_be_tagged_passes() {
        let mut full = packet(&[0; 60]);
        full.prepend(HEADROOM - 3).unwrap().fill(0);
        let before = full.data().to_vec();
        let left = Rig::new(VlanPush::new(5)).process(0, [packet(&[1; 13]), full]);
        assert_eq!((left[0].1.data(), left[1].1.data()), (&[1; 13][..], &before[..]));
    }
}
