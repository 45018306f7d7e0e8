//! [`L4Checksum`].

use netbricks::rewrite;
use packet::parse::Layers;
use packet::wire::{IpProtocol, tcp, udp};
use packet::{Batch, Packet};

use super::part::{mark, part};
use crate::engine::{Context, GATES_MAX, Gate, Module};

/// Computes the checksum of TCP and UDP over IPv4 and IPv6, or verifies it.
///
/// *Input gates*: any, all alike. *Output gates*: two; 1 is for packets whose checksum is wrong, where it verifies.
///
/// A checksum that is left to the last hop ([`packet::Checksum::Partial`]) stays left to it, and counts as right. UDP over
/// IPv4 may have none, which counts as right. What is neither TCP nor UDP, and fragments, of which no one has all that
/// the checksum covers, leave at gate 0 as they are. What is malformed leaves at gate 1 if verified. (BESS loses TCP
/// packets whose checksum it has computed; here they leave.)
///
/// ```
/// # use softnic::modules::L4Checksum;
/// let (fill, check) = (L4Checksum::new(), L4Checksum::verifying());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct L4Checksum {
    verifies: bool,
}

impl L4Checksum {
    /// Computes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Verifies.
    pub fn verifying() -> Self {
        Self { verifies: true }
    }

    fn is_right(self, packet: &mut Packet) -> bool {
        let Ok(layers) = Layers::of(packet.data()) else { return !self.verifies };
        let has_checksum = matches!(layers.protocol, IpProtocol::TCP | IpProtocol::UDP);
        if !has_checksum || layers.fragment.is_some() || rewrite::is_partial(&layers, &packet.offload()) {
            return true;
        }
        if self.verifies {
            return verify(&layers, packet.data());
        }
        rewrite::fill(packet.data_mut(), &layers);
        true
    }
}

fn verify(layers: &Layers, frame: &[u8]) -> bool {
    let Some((source, destination)) = layers.addresses(frame) else { return false };
    let segment = layers.segment(frame);
    match layers.protocol {
        IpProtocol::TCP => {
            tcp::View::new_checked(segment).is_ok_and(|segment| segment.verify_checksum(source, destination))
        }
        _ => udp::View::new_checked(segment)
            .is_ok_and(|datagram| datagram.verify_checksum(source, destination)),
    }
}

impl Module for L4Checksum {
    fn class(&self) -> &'static str {
        "L4Checksum"
    }

    fn inputs(&self) -> Gate {
        GATES_MAX
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let right = mark(batch, |packet| self.is_right(packet));
        part(ctx, batch, right, Some(0), Some(1));
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::tcp::Flags;
    use packet::{Checksum, Offload};

    use super::super::frames::{datagram, framed, packet, segment};
    use super::*;
    use crate::engine::Rig;

    /// Frames with their checksums right, and where those lie.
    fn frames() -> Vec<(Vec<u8>, usize)> {
        let [four, six] = [["10.0.0.1:5000", "192.0.2.7:53"], ["[fd00::1]:5000", "[2001:db8::7]:53"]];
        vec![
            (datagram(four, b"hello"), 40),
            (datagram(six, b"hello!"), 60),
            (segment(four, Flags::ACK, b"hello"), 50),
            (segment(six, Flags::SYN, b""), 70),
        ]
    }

    fn spoilt((frame, at): &(Vec<u8>, usize)) -> Vec<u8> {
        let mut frame = frame.clone();
        frame[*at] ^= 0x55;
        frame
    }

    #[test]
    fn checksums_are_computed_for_both_protocols_and_versions() {
        let mut rig = Rig::new(L4Checksum::new());
        let left = rig.process(7, frames().iter().map(|frame| packet(&spoilt(frame))));
        assert_eq!(left.len(), 4);
        for ((gate, packet), (expected, _)) in left.iter().zip(frames()) {
            assert_eq!((*gate, packet.data()), (0, &expected[..]));
        }
    }

    #[test]
    fn wrong_ones_leave_at_gate_1() {
        let mut rig = Rig::new(L4Checksum::verifying());
        let right = rig.process(0, frames().iter().map(|(frame, _)| packet(frame)));
        assert!(right.iter().all(|(gate, _)| *gate == 0) && right.len() == 4);
        let wrong = rig.process(0, frames().iter().map(|frame| packet(&spoilt(frame))));
        assert!(wrong.iter().all(|(gate, _)| *gate == 1) && wrong.len() == 4);
        let none = |(mut frame, at): (Vec<u8>, usize)| {
            frame[at..at + 2].fill(0);
            packet(&frame)
        };
        let gates: Vec<Gate> =
            rig.process(0, frames().into_iter().map(none)).iter().map(|(gate, _)| *gate).collect();
        assert_eq!(gates, [0, 1, 1, 1], "only UDP over IPv4 may go without");
    }

    #[test]
    fn what_the_last_hop_will_do_is_left_to_it() {
        let (frame, at) = frames().swap_remove(2);
        let partial = Offload { checksum: Checksum::Partial { start: 34, offset: 16 }, segmentation: None };
        for module in [L4Checksum::new(), L4Checksum::verifying()] {
            let mut packet = packet(&spoilt(&(frame.clone(), at)));
            packet.set_offload(partial);
            let left = Rig::new(module).process(0, [packet]);
            assert_eq!((left[0].0, left[0].1.offload()), (0, partial));
            assert_eq!(left[0].1.data(), spoilt(&(frame.clone(), at)));
        }
    }

    #[test]
    fn fragments_and_others_pass_and_malformed_ones_are_wrong() {
        let (mut fragment, at) = frames().swap_remove(0);
        fragment[20] = 0x20; // more fragments
        fragment[at] ^= 1;
        let arp = framed(packet::wire::EtherType::ARP, &[0; 4]);
        let malformed = frames()[2].0[..40].to_vec();
        let gates: Vec<Gate> = Rig::new(L4Checksum::verifying())
            .process(0, [&fragment, &arp, &malformed].map(|frame| packet(frame)))
            .iter()
            .map(|(gate, _)| *gate)
            .collect();
        // Half an ARP packet is malformed, too.
        assert_eq!(gates, [0, 1, 1]);
    }
}
