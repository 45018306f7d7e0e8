//! What the fabric says itself, built in the buffer of the packet that asked: ARP and neighbour discovery, echo
//! replies, DNS answers, ICMP errors, TCP resets.
//!
//! ICMP errors follow RFC 1812 §4.3.2 and RFC 4443 §2.4: never about an ICMP error, a group address, a fragment other
//! than the first, or a packet without a source; and never more than [`ERRORS_PER_SECOND`] to one endpoint.

use packet::wire::IpProtocol;
use packet::wire::{MacAddr, arp};
use packet::{Offload, Packet, checksum};

use super::header::{
    Address, ETHERNET, Headers, ICMP, ICMPV6, IPV4, IPV6, Key, TCP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, be16,
    be32,
};
use super::report::DropReason;
use super::rewrite;

/// ICMP errors and resets that one endpoint is sent in a second.
pub(crate) const ERRORS_PER_SECOND: u64 = 200;
/// How many it may be sent at once.
pub(crate) const ERRORS_BURST: u64 = 200;

/// The gateway's link-local address, fe80::1.
pub(crate) const LINK_LOCAL_GATEWAY: Address = Address(0xfe80 << 48, 1);

const TTL: u8 = 64;
/// Precedence "internetwork control" (RFC 1812 §4.3.2.5).
const TOS_ERROR: u8 = 0xc0;
/// RFC 1812 §4.3.2.3: as much of the packet as fits in 576 bytes.
const QUOTED_V4_MAX: usize = 576 - IPV4 - 8;
/// RFC 4443 §3: as much as fits in the minimum MTU.
const QUOTED_V6_MAX: usize = 1280 - IPV6 - 8;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const NEIGHBOUR_LENGTH: usize = 32;

/// What a sender is told about a packet that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Communication administratively prohibited.
    Prohibited,
    HostUnreachable,
    ProtocolUnreachable,
    PortUnreachable,
    TimeExceeded,
    TooBig(u32),
    /// A TCP reset.
    Reset,
}

impl Notice {
    /// Type, code and the four bytes behind the checksum.
    const fn message(self, v4: bool) -> (u8, u8, u32) {
        match (self, v4) {
            (Self::Prohibited, true) => (3, 13, 0),
            (Self::HostUnreachable, true) => (3, 1, 0),
            (Self::ProtocolUnreachable, true) => (3, 2, 0),
            (Self::PortUnreachable | Self::Reset, true) => (3, 3, 0),
            (Self::TimeExceeded, true) => (11, 0, 0),
            (Self::TooBig(mtu), true) => (3, 4, mtu & 0xffff),
            (Self::Prohibited, false) => (1, 1, 0),
            (Self::HostUnreachable, false) => (1, 3, 0),
            // Unrecognised next header; the pointer is that field of the IPv6 header.
            (Self::ProtocolUnreachable, false) => (4, 1, 6),
            (Self::PortUnreachable | Self::Reset, false) => (1, 4, 0),
            (Self::TimeExceeded, false) => (3, 0, 0),
            (Self::TooBig(mtu), false) => (2, 0, mtu),
        }
    }
}

/// Ethernet addresses of an answer: whoever asked, and the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) to: MacAddr,
    pub(crate) gateway: MacAddr,
}

/// Writes an IP header without options over the bytes behind the Ethernet header.
fn ip_header(frame: &mut [u8], source: Address, destination: Address, protocol: u8, tos: u8, ttl: u8) {
    let length = frame.len() - ETHERNET;
    let ip = &mut frame[ETHERNET..];
    if source.is_v4() {
        ip[..IPV4].fill(0);
        (ip[0], ip[1], ip[8], ip[9]) = (0x45, tos, ttl, protocol);
        ip[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        ip[12..16].copy_from_slice(&source.bits_v4().to_be_bytes());
        ip[16..20].copy_from_slice(&destination.bits_v4().to_be_bytes());
        let check = checksum::checksum(&ip[..IPV4]);
        ip[10..12].copy_from_slice(&check.to_be_bytes());
    } else {
        ip[..IPV6].fill(0);
        (ip[0], ip[6], ip[7]) = (0x60, protocol, ttl);
        ip[4..6].copy_from_slice(&((length - IPV6) as u16).to_be_bytes());
        ip[8..24].copy_from_slice(&source.octets_v6());
        ip[24..40].copy_from_slice(&destination.octets_v6());
    }
}

/// Computes a transport checksum whose field is at `field` from `l4` on, and holds zero.
fn finish(frame: &mut [u8], source: Address, destination: Address, protocol: u8, l4: usize, field: usize) {
    let length = (frame.len() - l4) as u32;
    let pseudo =
        checksum::pseudo(source.to_ip(), destination.to_ip(), IpProtocol(protocol), length).unwrap_or(0);
    let pseudo = if protocol == ICMP { 0 } else { pseudo };
    let check = !checksum::combine(pseudo, checksum::sum(&frame[l4..]));
    let check = if protocol == super::header::UDP { checksum::udp_on_wire(check) } else { check };
    frame[l4 + field..l4 + field + 2].copy_from_slice(&check.to_be_bytes());
}

fn ip_length(v4: bool) -> usize {
    if v4 { IPV4 } else { IPV6 }
}

/// Turns a packet into the ICMP error about it.
pub(crate) fn icmp_error(
    packet: &mut Packet,
    headers: &Headers,
    gateway: Address,
    link: Link,
    notice: Notice,
) -> Result<(), DropReason> {
    let v4 = headers.v4;
    let added = ip_length(v4) + 8;
    packet.truncate(headers.end.min(ETHERNET + if v4 { QUOTED_V4_MAX } else { QUOTED_V6_MAX }));
    packet.prepend(added).map_err(|_| DropReason::NoBuffer)?;
    packet.set_offload(Offload::default());
    let frame = packet.data_mut();
    frame.copy_within(added + 12..added + 14, 12); // the EtherType
    rewrite::ethernet(frame, link.to, link.gateway);
    let (source, destination) = (gateway, headers.key.source);
    let protocol = if v4 { ICMP } else { ICMPV6 };
    ip_header(frame, source, destination, protocol, TOS_ERROR, TTL);
    let l4 = ETHERNET + ip_length(v4);
    let (kind, code, rest) = notice.message(v4);
    frame[l4..l4 + 4].copy_from_slice(&[kind, code, 0, 0]);
    frame[l4 + 4..l4 + 8].copy_from_slice(&rest.to_be_bytes());
    finish(frame, source, destination, protocol, l4, 2);
    Ok(())
}

/// Turns a TCP packet into the reset that a host without its connection sends (RFC 9293 §3.5.2).
pub(crate) fn reset(packet: &mut Packet, headers: &Headers, link: Link) -> Result<(), DropReason> {
    let tcp = &packet.data()[headers.l4..headers.end];
    let (sequence, acknowledgement, flags) = (be32(&tcp[4..]), be32(&tcp[8..]), headers.flags);
    let payload = tcp.len() - usize::from(tcp[12] >> 4) * 4;
    let spoken = payload as u32 + u32::from(flags & TCP_SYN != 0) + u32::from(flags & TCP_FIN != 0);
    let l4 = ETHERNET + ip_length(headers.v4);
    packet.set_len(l4 + 20).map_err(|_| DropReason::NoBuffer)?;
    packet.set_offload(Offload::default());
    let frame = packet.data_mut();
    rewrite::ethernet(frame, link.to, link.gateway);
    let back = headers.key.reversed();
    ip_header(frame, back.source, back.destination, TCP, 0, TTL);
    let tcp = &mut frame[l4..];
    tcp.fill(0);
    tcp[..2].copy_from_slice(&back.source_port().to_be_bytes());
    tcp[2..4].copy_from_slice(&back.destination_port().to_be_bytes());
    tcp[12] = 5 << 4;
    if flags & TCP_ACK != 0 {
        tcp[4..8].copy_from_slice(&acknowledgement.to_be_bytes());
        tcp[13] = TCP_RST;
    } else {
        tcp[8..12].copy_from_slice(&sequence.wrapping_add(spoken).to_be_bytes());
        tcp[13] = TCP_RST | TCP_ACK;
    }
    finish(frame, back.source, back.destination, TCP, l4, 16);
    Ok(())
}

/// Turns an echo request into its reply.
pub(crate) fn echo(packet: &mut Packet, headers: &Headers, link: Link) {
    packet.truncate(headers.end);
    packet.set_offload(Offload::default());
    let frame = packet.data_mut();
    rewrite::ethernet(frame, link.to, link.gateway);
    let Headers { l3, l4, .. } = *headers;
    let back = headers.key.reversed();
    rewrite::addresses(frame, headers, &back, &Offload::default());
    let old = be16(&frame[l4..]);
    frame[l4] = if headers.v4 { 0 } else { 129 };
    let check = checksum::update16(be16(&frame[l4 + 2..]), old, be16(&frame[l4..]));
    frame[l4 + 2..l4 + 4].copy_from_slice(&check.to_be_bytes());
    if headers.v4 {
        let old = be16(&frame[l3 + 8..]);
        frame[l3 + 8] = TTL;
        let check = checksum::update16(be16(&frame[l3 + 10..]), old, be16(&frame[l3 + 8..]));
        frame[l3 + 10..l3 + 12].copy_from_slice(&check.to_be_bytes());
    } else {
        frame[l3 + 7] = TTL;
    }
}

/// Turns a UDP datagram into one with `payload`, going back.
pub(crate) fn datagram(
    packet: &mut Packet,
    headers: &Headers,
    link: Link,
    payload: &[u8],
) -> Result<(), DropReason> {
    let l4 = ETHERNET + ip_length(headers.v4);
    packet.set_len(l4 + 8 + payload.len()).map_err(|_| DropReason::NoBuffer)?;
    packet.set_offload(Offload::default());
    let frame = packet.data_mut();
    rewrite::ethernet(frame, link.to, link.gateway);
    let back: Key = headers.key.reversed();
    ip_header(frame, back.source, back.destination, back.protocol(), 0, TTL);
    let udp = &mut frame[l4..];
    udp[..2].copy_from_slice(&back.source_port().to_be_bytes());
    udp[2..4].copy_from_slice(&back.destination_port().to_be_bytes());
    udp[4..6].copy_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    udp[6..8].fill(0);
    udp[8..].copy_from_slice(payload);
    finish(frame, back.source, back.destination, back.protocol(), l4, 6);
    Ok(())
}

/// Turns an ARP request into the reply. The gateway answers for every address but the sender's own, and not for
/// probes (RFC 5227) or announcements, which no one else has to hear.
pub(crate) fn arp(packet: &mut Packet, own: Address, link: Link) -> Result<(), DropReason> {
    let frame = packet.data_mut();
    let request = arp::View::new_checked(&frame[ETHERNET..]).map_err(|_| DropReason::Malformed)?;
    let request = arp::Repr::parse(&request);
    let (sender, target) = (Address::from(request.sender_ip), Address::from(request.target_ip));
    let asks = request.operation == arp::Operation::REQUEST && !sender.is_unspecified() && sender != target;
    if request.sender_mac != link.to || (!sender.is_unspecified() && sender != own) {
        return Err(DropReason::SpoofedSource);
    }
    if !asks || target.is_unspecified() || target.is_multicast() {
        return Err(DropReason::Unanswered);
    }
    request.reply(link.gateway).emit(&mut arp::View::new_unchecked(&mut frame[ETHERNET..]));
    rewrite::ethernet(frame, link.to, link.gateway);
    packet.truncate(ETHERNET + arp::PACKET_LEN);
    packet.set_offload(Offload::default());
    Ok(())
}

/// Turns a neighbour solicitation (RFC 4861 §4.3) into the advertisement. As with ARP the gateway answers for every
/// address but the sender's own; duplicate address detection (an unspecified source) is never answered.
pub(crate) fn neighbour(
    packet: &mut Packet,
    headers: &Headers,
    own: Address,
    link: Link,
) -> Result<(), DropReason> {
    let message = &packet.data()[headers.l4..headers.end];
    if message[0] != NEIGHBOUR_SOLICITATION || headers.key.source.is_unspecified() {
        return Err(DropReason::Unanswered);
    }
    if headers.ttl != 255 || message[1] != 0 || message.len() < 24 {
        return Err(DropReason::Malformed);
    }
    let target = Address::v6(&message[8..24]);
    let strange = target.is_link_local_v6() && target != LINK_LOCAL_GATEWAY;
    if target == own || strange || target.is_multicast() || target.is_unspecified() || target.is_v4() {
        return Err(DropReason::Unanswered);
    }
    let l4 = ETHERNET + IPV6;
    packet.set_len(l4 + NEIGHBOUR_LENGTH).map_err(|_| DropReason::NoBuffer)?;
    packet.set_offload(Offload::default());
    let frame = packet.data_mut();
    rewrite::ethernet(frame, link.to, link.gateway);
    ip_header(frame, target, headers.key.source, ICMPV6, 0, 255);
    let message = &mut frame[l4..];
    message.fill(0);
    message[0] = NEIGHBOUR_ADVERTISEMENT;
    message[4] = 0xe0; // router, solicited, override
    message[8..24].copy_from_slice(&target.octets_v6());
    message[24..26].copy_from_slice(&[2, 1]); // target link-layer address, 8 bytes
    message[26..].copy_from_slice(&link.gateway.0);
    finish(frame, target, headers.key.source, ICMPV6, l4, 2);
    Ok(())
}
