//! What the fabric reads of a packet, once: addresses, ports, fragment, and where the headers lie.
//!
//! This is not [`packet::parse`]: it works on packets quoted in ICMP errors too, which are cut short, and reads no
//! more than a flow look-up needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::wire::{EtherType, IpProtocol};
use packet::{Checksum, Offload, SegmentKind, checksum};

use super::report::DropReason;

/// Bytes of an Ethernet header; what lies in front of every IP header here.
pub(crate) const ETHERNET: usize = 14;
pub(crate) const IPV4: usize = 20;
pub(crate) const IPV6: usize = 40;

pub(crate) const ICMP: u8 = IpProtocol::ICMP.0;
pub(crate) const TCP: u8 = IpProtocol::TCP.0;
pub(crate) const UDP: u8 = IpProtocol::UDP.0;
pub(crate) const ICMPV6: u8 = IpProtocol::ICMPV6.0;

pub(crate) const TCP_FIN: u8 = 0x01;
pub(crate) const TCP_SYN: u8 = 0x02;
pub(crate) const TCP_RST: u8 = 0x04;
pub(crate) const TCP_ACK: u8 = 0x10;

/// IPv6 extension headers looked through before a packet is called malformed.
const EXTENSIONS_MAX: usize = 8;

/// An address of either family, IPv4 as `::ffff:a.b.c.d`, in the form it is hashed and compared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address(pub(crate) u64, pub(crate) u64);

impl Address {
    const MAPPED: u64 = 0xffff << 32;

    pub(crate) const fn v4(bits: u32) -> Self {
        Self(0, Self::MAPPED | bits as u64)
    }

    pub(crate) fn v6(octets: &[u8]) -> Self {
        Self(be64(&octets[..8]), be64(&octets[8..16]))
    }

    pub(crate) const fn is_v4(self) -> bool {
        self.0 == 0 && self.1 >> 32 == 0xffff
    }

    /// The four bytes of an IPv4 address.
    pub(crate) const fn bits_v4(self) -> u32 {
        self.1 as u32
    }

    pub(crate) fn octets_v6(self) -> [u8; 16] {
        ((u128::from(self.0) << 64) | u128::from(self.1)).to_be_bytes()
    }

    pub(crate) fn to_ip(self) -> IpAddr {
        if self.is_v4() {
            IpAddr::V4(Ipv4Addr::from_bits(self.bits_v4()))
        } else {
            IpAddr::V6(Ipv6Addr::from(self.octets_v6()))
        }
    }

    pub(crate) fn is_unspecified(self) -> bool {
        self == Self::v4(0) || self == Self(0, 0)
    }

    /// Whether it is a group, broadcast included.
    pub(crate) const fn is_multicast(self) -> bool {
        if self.is_v4() {
            let bits = self.bits_v4();
            bits >> 28 == 0xe || bits == u32::MAX
        } else {
            self.0 >> 56 == 0xff
        }
    }

    /// Whether packets to it may leave a machine, and leave its links: neither loopback, link-local, a group nor one of
    /// the addresses that mean nobody (RFC 6890, "forwardable").
    pub(crate) const fn is_forwardable(self) -> bool {
        if self.is_v4() {
            let bits = self.bits_v4();
            let first = bits >> 24;
            return first != 0 && first != 127 && bits >> 16 != 0xa9fe && first < 224;
        }
        // ::/96 is unspecified, loopback, and the old "IPv4-compatible" addresses.
        let nobody = self.0 == 0 && self.1 >> 32 == 0;
        !nobody && !self.is_link_local_v6() && !self.is_multicast()
    }

    /// Whether it is in fe80::/10.
    pub(crate) const fn is_link_local_v6(self) -> bool {
        self.0 >> 54 == 0x3fa
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Self::v4(address.to_bits())
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        Self::v6(&address.octets())
    }
}

/// What a flow is known by, in one direction.
///
/// An echo request has its identifier as source port and its reply as destination port, so that one is the reverse
/// of the other as with ports. Protocols without ports have zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    /// Source port, destination port, protocol, from the high bits down.
    rest: u64,
}

impl Key {
    pub(crate) const fn new(source: Address, destination: Address, protocol: u8, ports: (u16, u16)) -> Self {
        Self { source, destination, rest: (ports.0 as u64) << 32 | (ports.1 as u64) << 16 | protocol as u64 }
    }

    pub(crate) const fn source_port(&self) -> u16 {
        (self.rest >> 32) as u16
    }

    pub(crate) const fn destination_port(&self) -> u16 {
        (self.rest >> 16) as u16
    }

    pub(crate) const fn protocol(&self) -> u8 {
        self.rest as u8
    }

    pub(crate) const fn words(&self) -> [u64; 5] {
        [self.source.0, self.source.1, self.destination.0, self.destination.1, self.rest]
    }

    /// What a packet of the other direction has.
    pub(crate) const fn reversed(&self) -> Self {
        let ports = (self.destination_port(), self.source_port());
        Self::new(self.destination, self.source, self.protocol(), ports)
    }
}

/// What part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragment {
    Whole,
    /// The one with the transport header, and more to come.
    First(u32),
    Later(u32),
}

/// What the transport header is, as far as the fabric treats them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    EchoRequest,
    EchoReply,
    /// An ICMP message about another packet, which it quotes.
    IcmpError,
    /// Any other ICMP message, neighbour discovery among them.
    IcmpOther,
    Other,
    /// Not here: a fragment other than the first.
    Absent,
}

/// A packet's headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers {
    pub(crate) v4: bool,
    /// Where the IP header starts.
    pub(crate) l3: usize,
    /// Where the transport header starts.
    pub(crate) l4: usize,
    /// Where the IP packet ends; padding may follow.
    pub(crate) end: usize,
    pub(crate) ttl: u8,
    /// TCP's flags, the low eight; 0 for others.
    pub(crate) flags: u8,
    pub(crate) fragment: Fragment,
    pub(crate) transport: Transport,
    pub(crate) key: Key,
}

pub(crate) fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

pub(crate) fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn be64(bytes: &[u8]) -> u64 {
    u64::from(be32(bytes)) << 32 | u64::from(be32(&bytes[4..]))
}

/// The bytes from `at` on, of which there must be `count`.
fn part(data: &[u8], at: usize, count: usize) -> Result<&[u8], DropReason> {
    data.get(at..).filter(|rest| rest.len() >= count).ok_or(DropReason::Malformed)
}

impl Headers {
    /// Reads a frame whose EtherType has been looked at.
    #[inline]
    pub(crate) fn of_frame(frame: &[u8], ethertype: EtherType) -> Result<Self, DropReason> {
        match ethertype {
            EtherType::IPV4 => Self::of_v4(frame, ETHERNET, false),
            EtherType::IPV6 => Self::of_v6(frame, ETHERNET, false),
            _ => Err(DropReason::NotIp),
        }
    }

    /// Reads the packet quoted at `l3`, which may be cut short anywhere behind its first eight transport bytes.
    pub(crate) fn of_quoted(frame: &[u8], l3: usize, v4: bool) -> Result<Self, DropReason> {
        if v4 { Self::of_v4(frame, l3, true) } else { Self::of_v6(frame, l3, true) }
    }

    fn of_v4(frame: &[u8], l3: usize, quoted: bool) -> Result<Self, DropReason> {
        let ip = part(frame, l3, IPV4)?;
        let header = usize::from(ip[0] & 0xf) * 4;
        let total = usize::from(be16(&ip[2..]));
        if ip[0] >> 4 != 4 || header < IPV4 || header > ip.len() || total < header {
            return Err(DropReason::Malformed);
        }
        if !quoted && (total > ip.len() || checksum::sum(&ip[..header]) != 0xffff) {
            return Err(DropReason::Malformed);
        }
        let fragment = match (u32::from(be16(&ip[4..])), be16(&ip[6..]) & 0x3fff) {
            (_, 0) => Fragment::Whole,
            (id, 0x2000) => Fragment::First(id),
            (id, _) => Fragment::Later(id),
        };
        let (source, destination) = (Address::v4(be32(&ip[12..])), Address::v4(be32(&ip[16..])));
        let mut headers = Self {
            v4: true,
            l3,
            l4: l3 + header,
            end: l3 + total.min(ip.len()),
            ttl: ip[8],
            flags: 0,
            fragment,
            transport: Transport::Absent,
            key: Key::new(source, destination, ip[9], (0, 0)),
        };
        headers.read_transport(frame, ip[9], quoted)?;
        Ok(headers)
    }

    fn of_v6(frame: &[u8], l3: usize, quoted: bool) -> Result<Self, DropReason> {
        let ip = part(frame, l3, IPV6)?;
        let total = IPV6 + usize::from(be16(&ip[4..]));
        if ip[0] >> 4 != 6 || !quoted && total > ip.len() {
            return Err(DropReason::Malformed);
        }
        let end = l3 + total.min(ip.len());
        let (source, destination) = (Address::v6(&ip[8..24]), Address::v6(&ip[24..40]));
        if source.is_v4() || destination.is_v4() {
            return Err(DropReason::Malformed);
        }
        let (l4, protocol, fragment) = extensions(&frame[..end], l3 + IPV6, ip[6])?;
        let mut headers = Self {
            v4: false,
            l3,
            l4,
            end,
            ttl: ip[7],
            flags: 0,
            fragment,
            transport: Transport::Absent,
            key: Key::new(source, destination, protocol, (0, 0)),
        };
        headers.read_transport(frame, protocol, quoted)?;
        Ok(headers)
    }

    fn read_transport(&mut self, frame: &[u8], protocol: u8, quoted: bool) -> Result<(), DropReason> {
        if matches!(self.fragment, Fragment::Later(_)) {
            return Ok(());
        }
        let l4 = &frame[self.l4..self.end];
        let (transport, ports) = match protocol {
            TCP => {
                let tcp = part(l4, 0, if quoted { 8 } else { 20 })?;
                if !quoted {
                    let header = usize::from(tcp[12] >> 4) * 4;
                    if header < 20 || header > tcp.len() {
                        return Err(DropReason::Malformed);
                    }
                    self.flags = tcp[13];
                }
                (Transport::Tcp, (be16(tcp), be16(&tcp[2..])))
            }
            UDP => {
                let udp = part(l4, 0, 8)?;
                let length = usize::from(be16(&udp[4..]));
                if !quoted && (length < 8 || self.fragment == Fragment::Whole && length > udp.len()) {
                    return Err(DropReason::Malformed);
                }
                (Transport::Udp, (be16(udp), be16(&udp[2..])))
            }
            ICMP if self.v4 => icmp(part(l4, 0, 8)?, 8, 0, |kind| matches!(kind, 3 | 4 | 5 | 11 | 12)),
            ICMPV6 if !self.v4 => icmp(part(l4, 0, 8)?, 128, 129, |kind| kind < 128),
            _ => (Transport::Other, (0, 0)),
        };
        self.transport = transport;
        self.key = Key::new(self.key.source, self.key.destination, protocol, ports);
        Ok(())
    }

    /// Where the transport checksum lies, in bytes from [`Headers::l4`].
    pub(crate) const fn checksum_offset(&self) -> Option<usize> {
        match self.transport {
            Transport::Tcp => Some(16),
            Transport::Udp => Some(6),
            _ => None,
        }
    }

    /// Whether the work left on the packet is possible on it.
    ///
    /// A sum that starts behind the transport header is that of a packet inside a tunnel; the outer checksum is then
    /// complete (`Documentation/networking/checksum-offloads.rst`, "LCO").
    #[inline]
    pub(crate) fn check_offload(&self, offload: &Offload) -> Result<(), DropReason> {
        if *offload == Offload::default() {
            return Ok(());
        }
        let mut sum_here = false;
        if let Checksum::Partial { start, offset } = offload.checksum {
            let (start, offset) = (usize::from(start), usize::from(offset));
            sum_here = start == self.l4;
            let fits = start >= self.l4 && start + offset + 2 <= self.end;
            let right_place = !sum_here || self.checksum_offset() == Some(offset);
            if !fits || !right_place || self.fragment != Fragment::Whole {
                return Err(DropReason::Malformed);
            }
        }
        let Some(segmentation) = offload.segmentation else { return Ok(()) };
        let right_kind = match segmentation.kind {
            SegmentKind::TcpV4 => self.v4 && self.transport == Transport::Tcp,
            SegmentKind::TcpV6 => !self.v4 && self.transport == Transport::Tcp,
            SegmentKind::Udp => self.transport == Transport::Udp,
        };
        if right_kind && sum_here && segmentation.size > 0 { Ok(()) } else { Err(DropReason::Malformed) }
    }

    /// Bytes of the largest IP packet this one comes to on a wire.
    pub(crate) fn size_on_wire(&self, offload: &Offload) -> usize {
        let whole = self.end - self.l3;
        let Some(segmentation) = offload.segmentation else { return whole };
        let header = if self.transport == Transport::Tcp { 20 } else { 8 };
        whole.min(self.l4 - self.l3 + header + usize::from(segmentation.size))
    }
}

fn icmp(message: &[u8], request: u8, reply: u8, is_error: impl Fn(u8) -> bool) -> (Transport, (u16, u16)) {
    let id = be16(&message[4..]);
    match message[0] {
        kind if kind == request => (Transport::EchoRequest, (id, 0)),
        kind if kind == reply => (Transport::EchoReply, (0, id)),
        kind if is_error(kind) => (Transport::IcmpError, (0, 0)),
        _ => (Transport::IcmpOther, (0, 0)),
    }
}

/// Walks IPv6 extension headers (RFC 8200 §4): where the transport header starts, what it is, and the fragment.
fn extensions(data: &[u8], mut at: usize, mut next: u8) -> Result<(usize, u8, Fragment), DropReason> {
    let mut fragment = Fragment::Whole;
    for _ in 0..EXTENSIONS_MAX {
        match IpProtocol(next) {
            IpProtocol::HOP_BY_HOP | IpProtocol::DESTINATION | IpProtocol::ROUTING => {
                let header = part(data, at, 8)?;
                let routed = next == IpProtocol::ROUTING.0;
                // Segments left: the destination is not the last one, which only a router on the way may see.
                if routed && header[3] != 0 {
                    return Err(DropReason::Malformed);
                }
                let length = 8 + usize::from(header[1]) * 8;
                part(data, at, length)?;
                (next, at) = (header[0], at + length);
            }
            IpProtocol::FRAGMENT => {
                let header = part(data, at, 8)?;
                let (id, place) = (be32(&header[4..]), be16(&header[2..]));
                fragment = match (place & 0xfff8, place & 1) {
                    (0, 0) => Fragment::Whole, // an atomic fragment, RFC 6946
                    (0, _) => Fragment::First(id),
                    _ => Fragment::Later(id),
                };
                (next, at) = (header[0], at + 8);
                if matches!(fragment, Fragment::Later(_)) {
                    return Ok((at, next, fragment));
                }
            }
            _ => return Ok((at, next, fragment)),
        }
    }
    Err(DropReason::Malformed)
}
