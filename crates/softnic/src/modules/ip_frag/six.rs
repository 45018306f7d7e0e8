//! Fragments of IPv6 packets (RFC 8200 §4.5).

use std::hash::BuildHasher;

use netbricks::rewrite;
use packet::Packet;
use packet::flow::FlowHasher;
use packet::parse::Layers;
use packet::wire::{IpProtocol, ipv6};

use super::IpFrag;

/// Identifications that nobody can foretell (RFC 7739 §5.3).
#[derive(Debug)]
pub(super) struct Idents {
    hasher: FlowHasher,
    count: u64,
}

impl Idents {
    pub(super) fn new(seed: u64) -> Self {
        Self { hasher: FlowHasher::new(seed.into()), count: 0 }
    }

    fn next(&mut self) -> u32 {
        self.count = self.count.wrapping_add(1);
        self.hasher.hash_one(self.count) as u32
    }
}

/// How a packet is cut, with places counted from its fixed header.
#[derive(Clone, Copy)]
struct Plan {
    /// The byte that announces what follows the headers that every fragment has.
    announced: usize,
    /// Where those headers end.
    common: usize,
    /// Where the packet ends.
    end: usize,
    ident: u32,
}

/// Where the headers end that every fragment has, up to the routing header or, without one, the hop-by-hop options, and the
/// byte that announces what follows them; `None` where the packet is a fragment.
fn common(ip: &ipv6::View<&[u8]>) -> Option<(usize, usize)> {
    const NEXT_HEADER: usize = 6;
    let mut extensions = ip.extensions();
    let mut found = (NEXT_HEADER, ipv6::HEADER_LEN);
    let mut header = ipv6::HEADER_LEN;
    while let Some(extension) = extensions.next() {
        let end = ipv6::HEADER_LEN + extensions.offset();
        match extension.ok()? {
            ipv6::Extension::HopByHop(_) | ipv6::Extension::Routing { .. } => found = (header, end),
            ipv6::Extension::Fragment(_) => return None,
            _ => {}
        }
        header = end;
    }
    Some(found)
}

impl IpFrag {
    pub(super) fn cut_v6(&mut self, packet: &mut Packet, layers: &Layers) -> bool {
        let Some(idents) = &mut self.idents else { return false };
        let Ok(ip) = ipv6::View::new_checked(layers.network_packet(packet.data())) else { return false };
        let Some((announced, common)) = common(&ip) else { return false };
        let headers = layers.l3 + common + ipv6::FRAGMENT_LEN;
        let room = self.frame_max.saturating_sub(headers) / 8 * 8;
        let end = ip.total_len();
        // All headers are in the first fragment (RFC 8200 §4.5, RFC 7112).
        let last_header = layers.payload.or(layers.l4).unwrap_or(layers.l3 + common) - layers.l3;
        if room == 0 || (end - common).div_ceil(room) > Self::FRAGMENTS_MAX || last_header > common + room {
            return false;
        }
        let plan = Plan { announced, common, end, ident: idents.next() };
        rewrite::finish(packet, layers);
        self.cut_at(end - common, room, |frag, start, length| {
            frag.fragment_v6(packet, layers.l3, &plan, start, length)
        })
    }

    /// The fragment that carries `length` bytes from `start` on; `None` without a buffer.
    fn fragment_v6(
        &self,
        packet: &Packet,
        l3: usize,
        plan: &Plan,
        start: usize,
        length: usize,
    ) -> Option<Packet> {
        let (headers, rest) = packet.data().split_at_checked(l3 + plan.common)?;
        let more = plan.common + start + length < plan.end;
        let place = (start as u16 | u16::from(more)).to_be_bytes();
        let next = headers[l3 + plan.announced];
        let ident = plan.ident.to_be_bytes();
        let header = [&[next, 0][..], &place, &ident].concat();
        let mut fragment = self.assembled(packet, &[headers, &header, rest.get(start..start + length)?])?;
        let ip = &mut fragment.data_mut()[l3..];
        ip[plan.announced] = IpProtocol::FRAGMENT.0;
        ipv6::View::new_unchecked(ip)
            .set_payload_len(plan.common - ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN + length);
        Some(fragment)
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::{EtherType, udp};
    use packet::{Pool, PoolConfig, ROOM_GSO};

    use super::super::super::frames::{datagram, framed, tagged};
    use super::*;
    use crate::engine::{Left, Rig};
    use crate::modules::IpDefrag;

    fn large() -> Pool {
        Pool::new(PoolConfig { buffers: 256, room: ROOM_GSO, ..PoolConfig::default() }).unwrap()
    }

    /// A datagram of `length` bytes behind these extension headers, the first of which is announced as `first`.
    fn whole(first: IpProtocol, extensions: &[u8], length: usize) -> Vec<u8> {
        let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let frame = datagram(["[fd00::1]:1000", "[fd00::2]:2000"], &payload);
        let mut packet = [&frame[14..54], extensions, &frame[54..]].concat();
        let mut ip = ipv6::View::new_unchecked(&mut packet[..]);
        ip.set_next_header(first);
        ip.set_payload_len(extensions.len() + udp::HEADER_LEN + length);
        framed(EtherType::IPV6, &packet)
    }

    fn cut(length: i64, frame: &[u8]) -> Left {
        let pool = large();
        let frag = IpFrag::new(pool.clone(), length).unwrap().with_ipv6(7);
        Rig::new(frag).process(0, [pool.packet(frame).unwrap()])
    }

    /// What our other module makes of fragments.
    fn together(left: Left, most: usize) -> Vec<u8> {
        let mut rig = Rig::new(IpDefrag::new(large(), 10, 1).unwrap());
        let fragments = left.into_iter().map(|(gate, fragment)| {
            assert!(gate == 1 && fragment.len() + 4 <= most);
            fragment
        });
        let mut whole = rig.process(0, fragments.collect::<Vec<_>>());
        assert_eq!((whole.len(), whole[0].0), (1, 1));
        whole.remove(0).1.data().to_vec()
    }

    const UDP: u8 = 17;
    /// Hop-by-hop options and a routing header, which all fragments have; then destination options, which are cut.
    const EXTENSIONS: [u8; 24] = [
        43, 0, 1, 4, 0, 0, 0, 0, // padding
        60, 0, 4, 0, 0, 0, 0, 0, // routing
        UDP, 0, 1, 4, 0, 0, 0, 0, // padding
    ];

    #[test]
    fn fragments_are_the_packet() {
        for length in [1473, 3000, 9000] {
            for frame in [
                whole(IpProtocol::UDP, &[], length),
                whole(IpProtocol::HOP_BY_HOP, &EXTENSIONS, length),
                tagged(&whole(IpProtocol::ROUTING, &EXTENSIONS[8..], length), EtherType::VLAN, 5),
                whole(IpProtocol::DESTINATION, &EXTENSIONS[16..], length),
            ] {
                for most in [1518, 1294, 590] {
                    assert_eq!(together(cut(most, &frame), most as usize), frame);
                }
            }
        }
    }

    #[test]
    fn every_fragment_has_the_headers_for_routers() {
        let left = cut(1518, &whole(IpProtocol::HOP_BY_HOP, &EXTENSIONS, 3000));
        for (_, fragment) in &left {
            let ip = ipv6::View::new_checked(&fragment.data()[14..]).unwrap();
            let kinds: Vec<_> = ip.extensions().map(Result::unwrap).collect();
            assert!(matches!(
                kinds[..3],
                [ipv6::Extension::HopByHop(_), ipv6::Extension::Routing { .. }, ipv6::Extension::Fragment(_)]
            ));
        }
        assert_eq!(left.len(), 3);
    }

    #[test]
    fn each_packet_has_its_identification() {
        let pool = large();
        let mut rig = Rig::new(IpFrag::new(pool.clone(), 1518).unwrap().with_ipv6(7));
        let frame = whole(IpProtocol::UDP, &[], 2000);
        let mut idents = std::collections::BTreeSet::new();
        for _ in 0..10 {
            let left = rig.process(0, [pool.packet(&frame).unwrap()]);
            let of = |at: usize| Layers::of(left[at].1.data()).unwrap().fragment.unwrap().ident;
            assert_eq!((left.len(), of(0)), (2, of(1)));
            idents.insert(of(0));
        }
        assert_eq!(idents.len(), 10);
    }

    #[test]
    fn what_may_not_be_cut_leaves_at_gate_0() {
        let fragment = cut(1518, &whole(IpProtocol::UDP, &[], 2000)).remove(0).1.data().to_vec();
        let long_headers = [&[UDP, 63, 1, 253][..], &[0; 253], &[1, 253], &[0; 253]].concat();
        assert_eq!(long_headers.len(), 512);
        let headers = whole(IpProtocol::DESTINATION, &long_headers, 1000);
        for frame in [&fragment, &headers] {
            let left = cut(518, frame);
            assert_eq!((left.len(), left[0].0, left[0].1.data()), (1, 0, &frame[..]));
        }
        let tiny = cut(14 + 40 + 8 + 4 + 7, &whole(IpProtocol::UDP, &[], 1000));
        assert_eq!((tiny.len(), tiny[0].0), (1, 0), "no room for eight bytes");
    }
}
