//! [`UpdateTtl`].

use packet::wire::{EtherType, ipv4, ipv6};
use packet::{Batch, Packet};

use super::link::{network, plain_v4};
use super::part::{mark, part};
use crate::engine::{Context, Gate, Module};

/// Lowers the time to live of IPv4 packets, or the hop limit of IPv6 packets, by one, and mends the header's checksum.
///
/// *Input gates*: one. *Output gates*: one.
///
/// A packet that has 1 or 0 left is dropped; so is IP whose header is malformed. What is not IP passes as it is.
///
/// ```
/// let hop = softnic::modules::UpdateTtl;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct UpdateTtl;

#[inline]
fn hop(packet: &mut Packet) -> bool {
    match plain_v4(packet.data_mut()) {
        Some(header) => ipv4::View::new_unchecked(header).decrement_ttl(),
        None => hop_with_care(packet),
    }
}

fn hop_with_care(packet: &mut Packet) -> bool {
    let frame = packet.data_mut();
    match network(frame) {
        Some((EtherType::IPV4, l3)) => {
            ipv4::View::new_checked(&mut frame[l3..]).is_ok_and(|mut ip| ip.decrement_ttl())
        }
        Some((EtherType::IPV6, l3)) => {
            ipv6::View::new_checked(&mut frame[l3..]).is_ok_and(|mut ip| ip.decrement_hop_limit())
        }
        _ => true,
    }
}

impl Module for UpdateTtl {
    fn class(&self) -> &'static str {
        "UpdateTTL"
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let alive = mark(batch, hop);
        part(ctx, batch, alive, Some(0), None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{datagram, framed, packet, tagged};
    use super::*;
    use crate::engine::Rig;

    const ENDS: [&str; 2] = ["10.0.0.1:1000", "192.0.2.7:53"];

    fn with_ttl(ttl: u8) -> Vec<u8> {
        let mut frame = datagram(ENDS, b"x");
        let mut ip = ipv4::View::new_unchecked(&mut frame[14..]);
        ip.set_ttl(ttl);
        ip.fill_checksum();
        frame
    }

    #[test]
    fn one_hop_less_and_the_checksum_follows() {
        let mut rig = Rig::new(UpdateTtl);
        for ttl in 2..=255 {
            let left = rig.process(0, [packet(&with_ttl(ttl))]);
            assert_eq!(left[0].1.data(), with_ttl(ttl - 1), "{ttl}");
        }
        let mut six = datagram(["[fd00::1]:1", "[fd00::2]:2"], b"x");
        let left = rig.process(0, [packet(&tagged(&six, EtherType::VLAN, 5))]);
        six[21] -= 1;
        assert_eq!(left[0].1.data(), tagged(&six, EtherType::VLAN, 5));
    }

    #[test]
    fn the_last_hop_is_dropped_and_counted() {
        let mut rig = Rig::new(UpdateTtl);
        let left = rig.process(0, [0, 2, 1, 3].map(|ttl| packet(&with_ttl(ttl))));
        let ttls: Vec<u8> = left.iter().map(|(_, packet)| packet.data()[22]).collect();
        assert_eq!((ttls, rig.dropped), (vec![1, 2], 2));
    }

    #[test]
    fn what_is_not_ip_passes_and_half_a_header_does_not() {
        let mut rig = Rig::new(UpdateTtl);
        let arp = framed(EtherType::ARP, &[1; 28]);
        assert_eq!(rig.process(0, [packet(&arp), packet(b"runt")]).len(), 2);
        assert!(rig.process(0, [packet(&with_ttl(9)[..30])]).is_empty());
    }
}
