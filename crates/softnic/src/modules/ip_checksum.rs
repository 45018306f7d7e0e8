//! [`IpChecksum`].

use packet::wire::{EtherType, ipv4};
use packet::{Batch, Packet, checksum};

use super::link::{network, plain_v4};
use super::part::{mark, part};
use crate::engine::{Context, Gate, Module};

/// Computes the header checksum of IPv4 packets, or verifies it.
///
/// *Input gates*: one. *Output gates*: two; 1 is for packets whose checksum is wrong, where it verifies.
///
/// It looks behind VLAN tags. What is not IPv4 leaves at gate 0: IPv6 has no such checksum. IPv4 whose header is
/// malformed has none that is right, so it leaves at gate 1 if verified, and at gate 0 as it is otherwise.
///
/// ```
/// # use softnic::modules::IpChecksum;
/// let (fill, check) = (IpChecksum::new(), IpChecksum::verifying());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct IpChecksum {
    verifies: bool,
}

impl IpChecksum {
    /// Computes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Verifies.
    pub fn verifying() -> Self {
        Self { verifies: true }
    }

    #[inline]
    fn is_right(self, packet: &mut Packet) -> bool {
        let Some(header) = plain_v4(packet.data_mut()) else { return self.is_right_with_care(packet) };
        if self.verifies {
            return checksum::sum_header(header) == u16::MAX;
        }
        let check = checksum::checksum_header(header);
        header[10..12].copy_from_slice(&check.to_be_bytes());
        true
    }

    fn is_right_with_care(self, packet: &mut Packet) -> bool {
        let frame = packet.data_mut();
        let Some((EtherType::IPV4, l3)) = network(frame) else { return true };
        match ipv4::View::new_checked(&mut frame[l3..]) {
            Ok(ip) if self.verifies => ip.verify_checksum(),
            Ok(mut ip) => {
                ip.fill_checksum();
                true
            }
            Err(_) => !self.verifies,
        }
    }
}

impl Module for IpChecksum {
    fn class(&self) -> &'static str {
        "IPChecksum"
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
    use super::super::frames::{datagram, framed, packet, tagged};
    use super::*;
    use crate::engine::Rig;

    /// A frame without, with one and with two tags, its checksum right or 0.
    fn frames(right: bool) -> [Vec<u8>; 3] {
        let mut frame = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworldhelloworldhelloworld");
        if !right {
            frame[24..26].fill(0);
        }
        let one = tagged(&frame, EtherType::VLAN, 6);
        let two = tagged(&one, EtherType::QINQ, 5);
        [frame, one, two]
    }

    #[test]
    fn checksums_are_computed_behind_tags() {
        let left = Rig::new(IpChecksum::new()).process(0, frames(false).map(|frame| packet(&frame)));
        for ((gate, packet), expected) in left.iter().zip(frames(true)) {
            assert_eq!((*gate, packet.data()), (0, &expected[..]));
        }
    }

    #[test]
    fn wrong_ones_leave_at_gate_1_and_are_not_mended() {
        let mut rig = Rig::new(IpChecksum::verifying());
        for (right, gate) in [(true, 0), (false, 1)] {
            let left = rig.process(0, frames(right).map(|frame| packet(&frame)));
            for ((at, packet), expected) in left.iter().zip(frames(right)) {
                assert_eq!((*at, packet.data()), (gate, &expected[..]));
            }
        }
    }

    #[test]
    fn other_packets_and_half_headers() {
        let others = || {
            let six = datagram(["[fd00::1]:1", "[fd00::2]:2"], b"x");
            let half = frames(true)[0][..30].to_vec();
            [six, framed(EtherType::ARP, &[]), b"runt".to_vec(), half].map(|frame| packet(&frame))
        };
        let gates = |left: Vec<(Gate, Packet)>| {
            let mut counts = [0; 2];
            left.iter().for_each(|(gate, _)| counts[usize::from(*gate)] += 1);
            counts
        };
        assert_eq!(gates(Rig::new(IpChecksum::new()).process(0, others())), [4, 0]);
        assert_eq!(gates(Rig::new(IpChecksum::verifying()).process(0, others())), [3, 1]);
    }
}
