//! [`VlanSplit`].

use packet::{Batch, Checksum, Offload, Packet};

use super::gates::send_by;
use crate::engine::{Context, Gate, Module};

/// Gates: as many as there are VLANs.
const VLANS: Gate = 4096;
/// Where a frame's EtherType, and so its tag, is: behind both addresses.
const TAG: usize = 12;
/// Bytes of a tag.
const TAG_BYTES: usize = 4;

/// Takes the outer VLAN tag off and sends packets to the gate of its VLAN.
///
/// *Input gates*: one. *Output gates*: 4096, one for each VLAN identifier. Frames without a tag, and those that end in it,
/// go to gate 0 as they are, together with those whose tag only says a priority.
///
/// Tags of both kinds are taken off, 802.1Q and 802.1ad; one further in stays.
///
/// ```
/// let split = softnic::modules::VlanSplit;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct VlanSplit;

/// Takes the tag off; the VLAN.
#[inline]
fn untag(packet: &mut Packet) -> Gate {
    let Some(&[kind @ .., high, low]) = packet.data().get(TAG..).and_then(<[u8]>::first_chunk::<TAG_BYTES>)
    else {
        return 0;
    };
    if !matches!(kind, [0x81, 0x00] | [0x88, 0xa8]) {
        return 0;
    }
    packet.data_mut().copy_within(..TAG, TAG_BYTES);
    packet.trim_front(TAG_BYTES);
    if packet.offload() != Offload::default() {
        shift_offload(packet);
    }
    Gate::from_be_bytes([high, low]) & (VLANS - 1)
}

/// What is left to do lies nearer to the front now.
#[cold]
fn shift_offload(packet: &mut Packet) {
    let mut offload = packet.offload();
    if let Checksum::Partial { start, .. } = &mut offload.checksum {
        *start = start.saturating_sub(TAG_BYTES as u16);
    }
    if let Some(segmentation) = &mut offload.segmentation {
        segmentation.header_len = segmentation.header_len.saturating_sub(TAG_BYTES as u16);
    }
    packet.set_offload(offload);
}

impl Module for VlanSplit {
    fn class(&self) -> &'static str {
        "VLANSplit"
    }

    fn outputs(&self) -> Gate {
        VLANS
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        send_by(ctx, batch, untag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::{Rig, packet};

    const ADDRESSES: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn split(rest: &[u8]) -> (Gate, Vec<u8>) {
        let out = Rig::on(&mut VlanSplit).pass(0, [packet(&[&ADDRESSES[..], rest].concat())]);
        (out[0].0, out[0].1.data().to_vec())
    }

    #[test]
    fn the_outer_tag_is_taken_off() {
        let inner = [0x81, 0x00, 0, 5, 0x08, 0x00, 1, 2];
        let left = [&ADDRESSES[..], &inner].concat();
        for kind in [[0x81, 0x00], [0x88, 0xa8]] {
            assert_eq!(split(&[&kind[..], &[0x6f, 0xfe], &inner].concat()), (0xffe, left.clone()));
        }
        assert_eq!(split(&inner), (5, [&ADDRESSES[..], &inner[4..]].concat()));
        assert_eq!(split(&[0x81, 0x00, 0, 7]), (7, ADDRESSES.to_vec()), "nothing behind the tag");
    }

    #[test]
    fn frames_without_a_whole_tag_stay_as_they_are() {
        for rest in [&[0x08, 0x00, 9, 9][..], &[0x81, 0x00, 1], &[0x81], &[]] {
            assert_eq!(split(rest), (0, [&ADDRESSES[..], rest].concat()));
        }
    }

    #[test]
    fn an_unfinished_checksum_moves_with_its_bytes() {
        let mut tagged = packet(&[&ADDRESSES[..], &[0x81, 0x00, 0, 5], &[0; 40]].concat());
        let checksum = Checksum::Partial { start: 38, offset: 6 };
        tagged.set_offload(Offload { checksum, segmentation: None });
        let out = Rig::on(&mut VlanSplit).pass(0, [tagged]);
        assert_eq!(out[0].1.offload().checksum, Checksum::Partial { start: 34, offset: 6 });
    }
}
