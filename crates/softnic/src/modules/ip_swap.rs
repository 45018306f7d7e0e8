//! [`IpSwap`].

use netbricks::rewrite;
use packet::Batch;
use packet::flow::FlowKey;
use packet::parse::Layers;

use crate::engine::{Context, Gate, Module};

/// Exchanges the addresses of every IPv4 and IPv6 packet, and the ports of TCP and UDP.
///
/// *Input gates*: one. *Output gates*: one.
///
/// Sums do not care about order, so all checksums stay right. Fragments that are not the first have no ports to exchange;
/// whatever is not IP, or is malformed, passes as it is.
///
/// ```
/// let back = softnic::modules::IpSwap;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct IpSwap;

impl Module for IpSwap {
    fn class(&self) -> &'static str {
        "IPSwap"
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        for packet in batch {
            let Ok(layers) = Layers::of(packet.data()) else { continue };
            let key = FlowKey::of(&layers, packet.data()).or_else(|| FlowKey::hosts(&layers, packet.data()));
            if let Some(key) = key {
                let offload = packet.offload();
                rewrite::tuple(packet.data_mut(), &layers, &offload, &key.reversed());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::tcp::Flags;
    use packet::wire::{EtherType, IpProtocol};

    use super::super::frames::{datagram, framed, ip, packet, segment, tagged};
    use super::*;
    use crate::engine::Rig;

    fn swapped(frame: &[u8]) -> Vec<u8> {
        Rig::new(IpSwap).process(0, [packet(frame)]).remove(0).1.data().to_vec()
    }

    #[test]
    fn ends_change_places_and_checksums_stay_right() {
        for [one, other] in [["10.0.0.1:1000", "192.0.2.7:53"], ["[fd00::1]:1000", "[2001:db8::7]:53"]] {
            assert_eq!(swapped(&datagram([one, other], b"hello")), datagram([other, one], b"hello"));
            let there = segment([one, other], Flags::ACK, b"hello!");
            let back = segment([other, one], Flags::ACK, b"hello!");
            assert_eq!(swapped(&there), back);
            let tagged_there = tagged(&there, EtherType::VLAN, 5);
            assert_eq!(swapped(&tagged_there), tagged(&back, EtherType::VLAN, 5));
        }
    }

    #[test]
    fn what_has_no_ports_keeps_its_payload() {
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        for protocol in [IpProtocol::ICMP, IpProtocol::GRE] {
            let payload = [8, 0, 0, 0, 1, 2, 3, 4];
            assert_eq!(swapped(&ip(one, other, protocol, &payload)), ip(other, one, protocol, &payload));
        }
        let arp = framed(EtherType::ARP, &[0; 28]);
        assert_eq!(swapped(&arp), arp);
        assert_eq!(swapped(b"runt"), b"runt");
    }
}
