//! Frames between data planes: GENEVE in UDP, with the tag as an option.

use std::net::Ipv4Addr;

use packet::Packet;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, geneve, ipv4, udp};

use super::tag::{TAG_LEN, Tag};

/// Class and type of the option: of the classes for experiments (RFC 8926, section 7), and critical, since a packet without its tag
/// would go astray.
const CLASS: u16 = 0xffe2;
const KIND: u8 = 0x80 | 1;
const OPTION: usize = 4 + TAG_LEN;
const OUTER: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN;

/// Bytes in front of the frame.
pub(super) const OVERHEAD: usize = OUTER + geneve::HEADER_LEN + OPTION;

/// Network identifiers from here on are ports, those below are instances.
const PORTS: u32 = 1 << 23;

/// Whom a packet in a tunnel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Instance(u32),
    Port(u32),
}

impl To {
    fn vni(self) -> u32 {
        match self {
            Self::Instance(instance) => instance & (PORTS - 1),
            Self::Port(port) => PORTS | port,
        }
    }

    const fn of_vni(vni: u32) -> Self {
        if vni < PORTS { Self::Instance(vni) } else { Self::Port(vni - PORTS) }
    }
}

/// The hardware address of an end: locally administered, made from its IP address.
fn station(address: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = address.octets();
    MacAddr([0x02, 0xe2, a, b, c, d])
}

/// Puts the headers in front; `false` where there is no room.
pub(super) fn wrap(packet: &mut Packet, ends: (Ipv4Addr, Ipv4Addr), to: To, tag: Tag, entropy: u16) -> bool {
    let inner = packet.len();
    let Ok(head) = packet.prepend(OVERHEAD) else { return false };
    let (local, remote) = ends;
    let link =
        ethernet::Repr { source: station(local), destination: station(remote), ethertype: EtherType::IPV4 };
    let (link_head, rest) = head.split_at_mut(ethernet::HEADER_LEN);
    link.emit(&mut ethernet::View::new_unchecked(link_head));
    let (ip_head, rest) = rest.split_at_mut(ipv4::HEADER_LEN);
    let behind_ip = OVERHEAD - ethernet::HEADER_LEN - ipv4::HEADER_LEN + inner;
    ipv4::Repr::new(local, remote, IpProtocol::UDP, behind_ip).emit(&mut ipv4::View::new_unchecked(ip_head));
    let (udp_head, rest) = rest.split_at_mut(udp::HEADER_LEN);
    let ports = udp::Repr {
        source_port: 0xc000 | entropy & 0x3fff,
        destination_port: geneve::PORT,
        payload_len: behind_ip - udp::HEADER_LEN,
    };
    ports.emit(&mut udp::View::new_unchecked(udp_head));
    let repr = geneve::Repr {
        vni: to.vni(),
        protocol: EtherType::BRIDGING,
        control: false,
        critical: true,
        options_len: OPTION,
    };
    let mut view = geneve::View::new_unchecked(rest);
    repr.emit(&mut view);
    let bytes = tag.to_bytes();
    geneve::TunnelOption { class: CLASS, kind: KIND, data: &bytes }.emit(view.options_mut()).is_ok()
}

/// Takes the headers away; none where it is no packet of ours for `local`, which is then as it was.
pub(super) fn unwrap(packet: &mut Packet, local: Ipv4Addr) -> Option<(To, Tag)> {
    let link = ethernet::View::new_checked(packet.data()).ok()?;
    if link.ethertype() != EtherType::IPV4 {
        return None;
    }
    let frame = packet.data();
    let ip = ipv4::View::new_checked(frame.get(ethernet::HEADER_LEN..)?).ok()?;
    let whole = ip.protocol() == IpProtocol::UDP && !ip.is_fragment() && ip.verify_checksum();
    if !whole || ip.destination() != local {
        return None;
    }
    let (end, udp_at) = (ethernet::HEADER_LEN + ip.total_len(), ethernet::HEADER_LEN + ip.header_len());
    let ports = udp::View::new_checked(frame.get(udp_at..end)?).ok()?;
    if ports.destination_port() != geneve::PORT {
        return None;
    }
    let inside = geneve::View::new_checked(frame.get(udp_at + udp::HEADER_LEN..end)?).ok()?;
    if inside.protocol() != EtherType::BRIDGING {
        return None;
    }
    let mut options = inside.options().filter_map(Result::ok);
    let own = options.find(|option| (option.class, option.kind) == (CLASS, KIND))?;
    let tag = Tag::of_bytes(own.data.try_into().ok()?);
    let (to, start) = (To::of_vni(inside.vni()), udp_at + udp::HEADER_LEN + inside.header_len());
    packet.truncate(end);
    packet.trim_front(start);
    Some((to, tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::{Pool, PoolConfig};

    const ENDS: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));

    fn pool() -> Pool {
        Pool::new(PoolConfig { buffers: 4, ..PoolConfig::default() }).unwrap()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let tag = Tag { port: 1, pipelet: 2, sent_on: true, attributes: 77 };
        for to in [To::Instance(0), To::Instance(123_456), To::Port(9)] {
            let mut packet = pool().packet(&[0xab; 60]).unwrap();
            assert!(wrap(&mut packet, ENDS, to, tag, 0xffff));
            assert_eq!(packet.len(), 60 + OVERHEAD);
            assert_eq!(unwrap(&mut packet, ENDS.0), None, "for another");
            assert_eq!(unwrap(&mut packet, ENDS.1), Some((to, tag)));
            assert_eq!(packet.data(), [0xab; 60]);
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_no_tunnel_and_stays_as_it_is() {
        let pool = pool();
        let mut whole = pool.packet(&[7; 60]).unwrap();
        assert!(wrap(&mut whole, ENDS, To::Port(1), Tag::of_port(1), 1));
        for len in 0..OVERHEAD {
            let mut cut = pool.packet(&whole.data()[..len]).unwrap();
            assert_eq!(unwrap(&mut cut, ENDS.1), None);
            assert_eq!(cut.len(), len);
        }
        // Whatever bit is turned: it is refused, or something is told; nothing panics.
        for bit in 0..OVERHEAD * 8 {
            let mut bytes = whole.data().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = unwrap(&mut pool.packet(&bytes).unwrap(), ENDS.1);
        }
    }
}
