//! Changing a packet on its way, in place: addresses, ports and ICMP identifiers, time to live, and the packet that an
//! ICMP error quotes; every checksum these are in is mended by the difference (RFC 1624), in whichever state it is.
//!
//! | the transport checksum is | then |
//! |---|---|
//! | complete | addresses and ports are in it |
//! | still to be done ([`Checksum::Partial`]) | it holds the pseudo header's sum, so addresses are in it and ports are not |
//! | "none" (UDP over IPv4) | it stays none |
//! | behind the end of a quote, or in the first fragment of this later one | it is left alone |
//!
//! No payload is read, so a 64 KiB segment costs no more than any other packet, and a packet that came in with a wrong
//! checksum leaves with a wrong one.
//!
//! ```
//! # use netbricks::rewrite;
//! # use packet::{Offload, flow::FlowKey, parse::Layers, wire::{IpProtocol, ipv4, udp}};
//! # let mut packet = [0; 30];
//! # ipv4::Repr::new([10, 0, 0, 1].into(), [192, 0, 2, 1].into(), IpProtocol::UDP, 10)
//! #     .emit(&mut ipv4::View::new_unchecked(&mut packet[..]));
//! # let mut datagram = udp::View::new_unchecked(&mut packet[20..]);
//! # udp::Repr { source_port: 5000, destination_port: 53, payload_len: 2 }.emit(&mut datagram);
//! # datagram.fill_checksum([10, 0, 0, 1].into(), [192, 0, 2, 1].into());
//! let layers = Layers::of_ip(&packet)?;
//! let new = FlowKey::new(IpProtocol::UDP, "198.51.100.7:1024".parse()?, "192.0.2.1:53".parse()?).unwrap();
//! assert!(rewrite::tuple(&mut packet, &layers, &Offload::default(), &new));
//! assert_eq!(FlowKey::of(&layers, &packet), Some(new));
//! let datagram = udp::View::new_checked(&packet[20..])?;
//! assert!(datagram.verify_checksum([198, 51, 100, 7].into(), [192, 0, 2, 1].into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, icmpv4, icmpv6, ipv4, ipv6, tcp, udp};
use packet::{Checksum, Offload, Packet, checksum};

/// Gives a packet the addresses of `new`, and where it has them the ports or the ICMP identifier. `false`, and nothing
/// changed, where the packet is not of that family. `layers` were read from `frame`, or from a quote with
/// [`Layers::of_quoted`].
#[inline]
pub fn tuple(frame: &mut [u8], layers: &Layers, offload: &Offload, new: &FlowKey) -> bool {
    let Some(addresses) = addresses(frame, layers, new) else { return false };
    transport(frame, layers, offload, new, addresses);
    true
}

/// Writes ports or identifier, and mends the checksum by them and by the difference that `addresses` make.
#[inline]
pub(crate) fn transport(frame: &mut [u8], layers: &Layers, offload: &Offload, new: &FlowKey, addresses: u16) {
    let Some(l4) = layers.l4 else { return };
    let Some(segment) = frame.get_mut(l4..layers.end) else { return };
    let ports = ports(segment, layers, new);
    let Some(at) = checksum_offset(layers) else { return };
    let Some(field) = segment.get_mut(at..at + 2) else { return };
    let held = be16(field);
    // ICMP for IPv4 has no pseudo header.
    let pseudo = if layers.protocol == IpProtocol::ICMP { 0 } else { addresses };
    let mended = if is_partial(layers, offload) {
        checksum::combine(held, pseudo)
    } else {
        match (layers.protocol, held) {
            (IpProtocol::UDP, 0) => 0,
            (IpProtocol::UDP, held) => checksum::udp_on_wire(mend(held, checksum::combine(pseudo, ports))),
            (_, held) => mend(held, checksum::combine(pseudo, ports)),
        }
    };
    field.copy_from_slice(&mended.to_be_bytes());
}

/// Lowers the time to live or hop limit by one hop, with the IPv4 checksum. `false`, and nothing changed, where the
/// packet's life ends here: the caller answers "time exceeded".
#[inline]
#[must_use]
pub fn ttl(frame: &mut [u8], layers: &Layers) -> bool {
    let Some(packet) = frame.get_mut(layers.l3..layers.end) else { return false };
    match layers.network {
        Network::V4 => ipv4::View::new_unchecked(packet).decrement_ttl(),
        Network::V6 => ipv6::View::new_unchecked(packet).decrement_hop_limit(),
        Network::Arp | Network::Other => false,
    }
}

/// Changes the packet that an ICMP error quotes, and mends the error's own checksum. `edit` gets the quote from its IP
/// header on and where its layers are; [`tuple()`] is what it is likely to call (RFC 5508 §4.2). `None`, and nothing changed,
/// where this is no error or the quote cannot be read.
pub fn quote<T>(frame: &mut [u8], layers: &Layers, edit: impl FnOnce(&mut [u8], &Layers) -> T) -> Option<T> {
    let message = frame.get_mut(layers.l4?..layers.end)?;
    let is_error = match layers.network {
        Network::V4 => icmpv4::View::new_checked(&*message).ok()?.kind().is_error(),
        Network::V6 => icmpv6::View::new_checked(&*message).ok()?.kind().is_error(),
        Network::Arp | Network::Other => false,
    };
    checksum_offset(layers).filter(|_| is_error && is_icmp(layers))?;
    let (header, quoted) = message.split_at_mut(icmpv4::HEADER_LEN);
    let inner = Layers::of_quoted(quoted).ok()?;
    let before = checksum::sum(quoted);
    let result = edit(quoted, &inner);
    let difference = checksum::combine(!before, checksum::sum(quoted));
    let field = &mut header[icmpv4::CHECKSUM_OFFSET..][..2];
    let mended = mend(be16(field), difference);
    field.copy_from_slice(&mended.to_be_bytes());
    Some(result)
}

/// Does what was left to the last hop of a packet that does not go on: one that an error is to quote. What is complete stays.
pub fn finish(packet: &mut Packet, layers: &Layers) {
    if is_partial(layers, &packet.offload()) {
        packet.set_offload(Offload::default());
        fill(packet.data_mut(), layers);
    }
}

/// Computes the transport checksum of a whole packet; `false` where there is none.
pub fn fill(frame: &mut [u8], layers: &Layers) -> bool {
    let (Some((source, destination)), Some(at)) = (layers.addresses(frame), checksum_offset(layers)) else {
        return false;
    };
    let mut segment = layers.segment_mut(frame);
    if layers.protocol == IpProtocol::UDP
        && let Ok(datagram) = udp::View::new_quoted(&*segment)
    {
        // A datagram may be shorter than its packet.
        let length = datagram.length().min(segment.len());
        segment = &mut segment[..length];
    }
    let pseudo = match layers.protocol {
        IpProtocol::ICMP => Some(0),
        protocol => checksum::pseudo(source, destination, protocol, segment.len() as u32),
    };
    let (Some(pseudo), Some(field)) = (pseudo, segment.get_mut(at..at + 2)) else { return false };
    field.fill(0);
    let check = !checksum::combine(pseudo, checksum::sum(segment));
    let check = if layers.protocol == IpProtocol::UDP { checksum::udp_on_wire(check) } else { check };
    segment[at..at + 2].copy_from_slice(&check.to_be_bytes());
    true
}

/// Writes the addresses and mends the IPv4 checksum; returns the difference they make to a sum they are in.
#[inline]
fn addresses(frame: &mut [u8], layers: &Layers, new: &FlowKey) -> Option<u16> {
    let packet = frame.get_mut(layers.l3..layers.end)?;
    match (layers.network, new) {
        (Network::V4, FlowKey::V4(new)) => {
            let mut ip = ipv4::View::new_unchecked(packet);
            let source = checksum::partial_update32(0, ip.source().to_bits(), new.source.to_bits());
            let (old, new_bits) = (ip.destination().to_bits(), new.destination.to_bits());
            let difference = checksum::partial_update32(source, old, new_bits);
            ip.set_source(new.source);
            ip.set_destination(new.destination);
            ip.set_checksum(mend(ip.checksum(), difference));
            Some(difference)
        }
        (Network::V6, FlowKey::V6(new)) => {
            let mut ip = ipv6::View::new_unchecked(packet);
            let source = checksum::partial_update(0, &ip.source().octets(), &new.source.octets());
            let (old, new_octets) = (ip.destination().octets(), new.destination.octets());
            let difference = checksum::partial_update(source, &old, &new_octets);
            ip.set_source(new.source);
            ip.set_destination(new.destination);
            Some(difference)
        }
        _ => None,
    }
}

/// Writes ports or identifier; returns the difference they make. Where there are none it is 0.
#[inline]
fn ports(segment: &mut [u8], layers: &Layers, new: &FlowKey) -> u16 {
    let (at, new) = match layers.protocol {
        IpProtocol::TCP | IpProtocol::UDP | IpProtocol::UDP_LITE => {
            (0, u32::from(new.source_port()) << 16 | u32::from(new.destination_port()))
        }
        IpProtocol::ICMP | IpProtocol::ICMPV6 if is_query(segment, layers) => {
            let sequence = segment.get(6..8).map_or(0, be16);
            (4, u32::from(new.source_port()) << 16 | u32::from(sequence))
        }
        _ => return 0,
    };
    let Some(field) = segment.get_mut(at..at + 4) else { return 0 };
    let old = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
    field.copy_from_slice(&new.to_be_bytes());
    checksum::partial_update32(0, old, new)
}

/// Whether an ICMP message has an identifier: echo, and for IPv4 timestamp, information and mask (RFC 792, RFC 950).
fn is_query(segment: &[u8], layers: &Layers) -> bool {
    let kind = segment.first().copied().unwrap_or(u8::MAX);
    match layers.network {
        Network::V4 => matches!(kind, 0 | 8 | 13..=18),
        Network::V6 => matches!(kind, 128 | 129),
        Network::Arp | Network::Other => false,
    }
}

fn is_icmp(layers: &Layers) -> bool {
    matches!(
        (layers.protocol, layers.network),
        (IpProtocol::ICMP, Network::V4) | (IpProtocol::ICMPV6, Network::V6)
    )
}

/// Where in its header the checksum lies.
#[inline]
pub(crate) fn checksum_offset(layers: &Layers) -> Option<usize> {
    match layers.protocol {
        IpProtocol::TCP => Some(tcp::CHECKSUM_OFFSET),
        IpProtocol::UDP | IpProtocol::UDP_LITE => Some(udp::CHECKSUM_OFFSET),
        IpProtocol::ICMP | IpProtocol::ICMPV6 if is_icmp(layers) => Some(icmpv4::CHECKSUM_OFFSET),
        _ => None,
    }
}

/// Whether the sum over the segment is still to be added (`linux/skbuff.h`, `CHECKSUM_PARTIAL`); of a packet in a tunnel it
/// may be the inner one's, which starts elsewhere.
#[inline]
#[must_use]
pub fn is_partial(layers: &Layers, offload: &Offload) -> bool {
    matches!(offload.checksum, Checksum::Partial { start, .. } if Some(usize::from(start)) == layers.l4)
}

#[inline]
pub(crate) const fn mend(check: u16, difference: u16) -> u16 {
    !checksum::combine(!check, difference)
}

#[inline]
fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

#[cfg(test)]
mod tests;
