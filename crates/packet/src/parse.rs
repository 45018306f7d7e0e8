//! Where the layers of a frame are: one pass over the headers, every length validated before anything is sliced.
//!
//! [`Layers`] holds offsets, not borrows, so it can travel beside a packet that is being changed. All offsets count
//! from the first byte handed in. Ethernet padding lies behind [`Layers::end`] and is never payload.

use std::fmt;
use std::net::IpAddr;

use crate::wire::{
    EtherType, IpProtocol, WireError, arp, ethernet, icmpv4, icmpv6, ipv4, ipv6, mpls, need, span, tcp, udp,
    vlan,
};

/// The tags of a frame, outermost first.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct VlanStack {
    tags: [Option<vlan::Tag>; vlan::TAGS_MAX],
}

impl VlanStack {
    /// Outermost first.
    pub fn iter(&self) -> impl Iterator<Item = vlan::Tag> + '_ {
        self.tags.iter().map_while(|tag| *tag)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether the frame is untagged.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tags[0].is_none()
    }

    /// The outermost tag.
    #[inline]
    #[must_use]
    pub const fn outer(&self) -> Option<vlan::Tag> {
        self.tags[0]
    }
}

impl fmt::Debug for VlanStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A fragment's place in its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Identification; 16 bits in IPv4.
    pub ident: u32,
    /// Place in the original, in bytes. Only at 0 is there an L4 header.
    pub offset: u16,
    /// Not the last.
    pub more: bool,
}

/// The network layer found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// ARP for IPv4 over Ethernet.
    Arp,
    /// Something else, or MPLS over something unknown: see [`Layers::ethertype`].
    Other,
}

/// Where the layers of one frame are.
///
/// ```
/// # use packet::{parse::{Layers, Network}, wire::*};
/// # let mut frame = [0u8; 60]; // padded
/// # ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr::BROADCAST, ethertype: EtherType::IPV4 }
/// #     .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
/// # ipv4::Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 10)
/// #     .emit(&mut ipv4::View::new_unchecked(&mut frame[14..]));
/// # udp::Repr { source_port: 5000, destination_port: 53, payload_len: 2 }
/// #     .emit(&mut udp::View::new_unchecked(&mut frame[34..]));
/// let layers = Layers::of(&frame)?; // a UDP datagram of 2 bytes in a frame padded to 60
/// assert_eq!((layers.network, layers.l3), (Network::V4, 14));
/// assert_eq!((layers.protocol, layers.l4, layers.payload), (IpProtocol::UDP, Some(34), Some(42)));
/// assert_eq!(layers.end, 44);
/// assert_eq!(layers.l4_payload(&frame).len(), 2);
/// # Ok::<(), packet::wire::WireError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// The network layer's EtherType, behind tags and labels; below 0x0600 an 802.3 length.
    pub ethertype: EtherType,
    /// The network layer.
    pub network: Network,
    /// 802.1Q and 802.1ad tags.
    pub vlans: VlanStack,
    /// MPLS labels passed.
    pub labels: u8,
    /// Where the network header starts.
    pub l3: usize,
    /// Where the L4 header starts; `None` for fragments that are not the first, for "no next header" and for other
    /// networks. The header there is whole if `protocol` is TCP, UDP, ICMP or ICMPv6.
    pub l4: Option<usize>,
    /// What the L4 header is, behind IPv6 extension headers; [`IpProtocol::NONE`] for networks that are not IP.
    pub protocol: IpProtocol,
    /// Where the payload of TCP, UDP, ICMP or ICMPv6 starts; for other protocols where their own header starts.
    pub payload: Option<usize>,
    /// Where the network packet ends; what follows is Ethernet padding. The end of the bytes for other networks.
    pub end: usize,
    /// If it is a fragment, which.
    pub fragment: Option<Fragment>,
    /// The IPv4 header has options: the packet may ask for a source route.
    pub ip_options: bool,
}

/// Whether lengths must hold, or the packet is quoted in an ICMP error and usually cut.
#[derive(Clone, Copy, PartialEq)]
enum Lengths {
    Whole,
    Quoted,
}

impl Layers {
    /// Reads an Ethernet frame.
    ///
    /// # Errors
    /// Any header on the way that is cut, or whose length lies: IHL, total length, extension headers, data offset, UDP
    /// length; more tags, labels or extension headers than their limits.
    #[inline]
    pub fn of(frame: &[u8]) -> Result<Self, WireError> {
        let ethertype = ethernet::View::new_checked(frame)?.ethertype();
        let mut layers = Self::empty(ethertype, ethernet::HEADER_LEN, frame.len());
        if ethertype.is_vlan() {
            layers.vlan_tags(frame)?;
        }
        if layers.ethertype.is_mpls() {
            layers.mpls_labels(frame)?;
        }
        layers.network_layer(frame, Lengths::Whole)?;
        Ok(layers)
    }

    /// Reads an IP packet without a link header (a TUN device, a tunnel's payload).
    ///
    /// # Errors
    /// As [`Layers::of`]; a version that is neither 4 nor 6.
    pub fn of_ip(packet: &[u8]) -> Result<Self, WireError> {
        Self::from_ip(packet, Lengths::Whole)
    }

    /// Reads the IP packet quoted in an ICMP error, which is usually cut: the IP header must be whole, and of TCP and UDP
    /// the 8 bytes RFC 792 promises, ports included. [`Layers::end`] is where the quote ends. [`Layers::payload`] is
    /// `None` where the quoted L4 header is cut.
    ///
    /// # Errors
    /// A quote too short for that.
    pub fn of_quoted(packet: &[u8]) -> Result<Self, WireError> {
        Self::from_ip(packet, Lengths::Quoted)
    }

    fn from_ip(packet: &[u8], lengths: Lengths) -> Result<Self, WireError> {
        need("ip header", packet, 1)?;
        let ethertype = match packet[0] >> 4 {
            4 => EtherType::IPV4,
            6 => EtherType::IPV6,
            version => return Err(WireError::BadValue { what: "ip version", value: u64::from(version) }),
        };
        let mut layers = Self::empty(ethertype, 0, packet.len());
        layers.network_layer(packet, lengths)?;
        Ok(layers)
    }

    const fn empty(ethertype: EtherType, l3: usize, end: usize) -> Self {
        Self {
            ethertype,
            network: Network::Other,
            vlans: VlanStack { tags: [None; vlan::TAGS_MAX] },
            labels: 0,
            l3,
            l4: None,
            protocol: IpProtocol::NONE,
            payload: None,
            end,
            fragment: None,
            ip_options: false,
        }
    }

    #[cold]
    fn vlan_tags(&mut self, frame: &[u8]) -> Result<(), WireError> {
        let mut tags = vlan::Tags::new(self.ethertype, span(frame, self.l3, usize::MAX));
        for place in &mut self.vlans.tags {
            let Some(tag) = tags.next() else { break };
            *place = Some(tag?);
        }
        if let Some(further) = tags.next() {
            further?;
        }
        self.ethertype = tags.ethertype();
        self.l3 += tags.offset();
        Ok(())
    }

    #[cold]
    fn mpls_labels(&mut self, frame: &[u8]) -> Result<(), WireError> {
        let mut labels = mpls::Labels::new(span(frame, self.l3, usize::MAX));
        for label in labels.by_ref() {
            label?;
            self.labels += 1;
        }
        self.l3 += labels.offset();
        self.ethertype = labels.guess().unwrap_or(self.ethertype);
        Ok(())
    }

    #[inline]
    fn network_layer(&mut self, frame: &[u8], lengths: Lengths) -> Result<(), WireError> {
        let data = span(frame, self.l3, usize::MAX);
        match self.ethertype {
            EtherType::IPV4 => self.v4(data, lengths),
            EtherType::IPV6 => self.v6(data, lengths),
            EtherType::ARP => {
                arp::View::new_checked(data)?;
                self.network = Network::Arp;
                self.end = self.l3 + arp::PACKET_LEN;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    #[inline]
    fn v4(&mut self, data: &[u8], lengths: Lengths) -> Result<(), WireError> {
        let ip = match lengths {
            Lengths::Whole => ipv4::View::new_checked(data)?,
            Lengths::Quoted => ipv4::View::new_quoted(data)?,
        };
        self.network = Network::V4;
        self.protocol = ip.protocol();
        self.ip_options = ip.header_len() > ipv4::HEADER_LEN;
        self.end = self.l3 + ip.packet().len();
        if ip.is_fragment() {
            let (ident, offset, more) = (u32::from(ip.ident()), ip.fragment_offset(), ip.more_fragments());
            self.fragment = Some(Fragment { ident, offset, more });
        }
        self.transport(ip.payload(), ip.header_len(), lengths)
    }

    #[inline]
    fn v6(&mut self, data: &[u8], lengths: Lengths) -> Result<(), WireError> {
        let ip = match lengths {
            Lengths::Whole => ipv6::View::new_checked(data)?,
            Lengths::Quoted => ipv6::View::new_quoted(data)?,
        };
        self.network = Network::V6;
        self.end = self.l3 + ip.packet().len();
        let upper = ip.upper()?;
        self.protocol = upper.protocol;
        // An atomic fragment (offset 0, no more) is a whole packet (RFC 6946).
        self.fragment = upper
            .fragment
            .filter(|fragment| fragment.offset != 0 || fragment.more)
            .map(|fragment| Fragment { ident: fragment.ident, offset: fragment.offset, more: fragment.more });
        self.transport(span(ip.packet(), upper.offset, usize::MAX), upper.offset, lengths)
    }

    /// `data` is the IP payload, `offset` bytes behind the network header's start.
    #[inline]
    fn transport(&mut self, data: &[u8], offset: usize, lengths: Lengths) -> Result<(), WireError> {
        if self.fragment.is_some_and(|fragment| fragment.offset > 0) || self.protocol == IpProtocol::NONE {
            return Ok(());
        }
        let l4 = self.l3 + offset;
        self.l4 = Some(l4);
        let header = match lengths {
            Lengths::Whole => Some(self.header_len(data)?),
            Lengths::Quoted => {
                if matches!(self.protocol, IpProtocol::TCP | IpProtocol::UDP) {
                    need("quoted transport header", data, 8)?;
                }
                self.header_len(data).ok()
            }
        };
        self.payload = header.map(|header| l4 + header);
        Ok(())
    }

    /// Bytes of the L4 header, once it is known to be whole and honest.
    #[inline]
    fn header_len(&self, data: &[u8]) -> Result<usize, WireError> {
        Ok(match self.protocol {
            IpProtocol::TCP => tcp::View::new_checked(data)?.header_len(),
            IpProtocol::UDP => {
                // A first fragment's UDP length is that of the whole datagram.
                match self.fragment {
                    Some(_) => udp::View::new_quoted(data)?,
                    None => udp::View::new_checked(data)?,
                };
                udp::HEADER_LEN
            }
            IpProtocol::ICMP if self.network == Network::V4 => {
                icmpv4::View::new_checked(data)?;
                icmpv4::HEADER_LEN
            }
            IpProtocol::ICMPV6 if self.network == Network::V6 => {
                icmpv6::View::new_checked(data)?;
                icmpv6::HEADER_LEN
            }
            _ => 0,
        })
    }

    /// The IP addresses, source first; `None` where the network is not IP.
    #[inline]
    #[must_use]
    pub fn addresses(&self, frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
        let data = span(frame, self.l3, usize::MAX);
        match self.network {
            Network::V4 => {
                let ip = ipv4::View::new_quoted(data).ok()?;
                Some((ip.source().into(), ip.destination().into()))
            }
            Network::V6 => {
                let ip = ipv6::View::new_quoted(data).ok()?;
                Some((ip.source().into(), ip.destination().into()))
            }
            Network::Arp | Network::Other => None,
        }
    }

    /// The network packet, header included, without padding.
    #[inline]
    #[must_use]
    pub fn network_packet<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        span(frame, self.l3, self.end)
    }

    /// The L4 segment, header included, without padding; empty where there is none.
    #[inline]
    #[must_use]
    pub fn segment<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        self.l4.map_or(&[], |l4| span(frame, l4, self.end))
    }

    /// The L4 segment, header included, without padding; empty where there is none.
    #[inline]
    #[must_use]
    pub fn segment_mut<'a>(&self, frame: &'a mut [u8]) -> &'a mut [u8] {
        self.l4.map_or(&mut [], |l4| crate::wire::span_mut(frame, l4, self.end))
    }

    /// What the L4 header carries, without padding; empty where there is none. A UDP datagram that is shorter than its IP
    /// packet ends where its own length says.
    #[inline]
    #[must_use]
    pub fn l4_payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let (Some(l4), Some(payload)) = (self.l4, self.payload) else { return &[] };
        let mut end = self.end;
        if self.protocol == IpProtocol::UDP
            && self.fragment.is_none()
            && let Ok(datagram) = udp::View::new_quoted(span(frame, l4, end))
        {
            end = end.min(l4 + datagram.length());
        }
        span(frame, payload, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MacAddr;

    fn frame(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ethernet::HEADER_LEN];
        ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype }
            .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
        bytes.extend(payload);
        bytes
    }

    fn v4(protocol: IpProtocol, fragment: (u16, bool), payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ipv4::HEADER_LEN];
        ipv4::Repr {
            dont_fragment: false,
            fragment_offset: fragment.0,
            more_fragments: fragment.1,
            ident: 77,
            ..ipv4::Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol, payload.len())
        }
        .emit(&mut ipv4::View::new_unchecked(&mut bytes[..]));
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn tags_and_labels_are_passed() {
        let mut payload = vec![0, 100, 0x81, 0, 0, 200, 0x88, 0x47, 0, 1, 0, 64, 0, 1, 1, 64];
        payload.extend(v4(IpProtocol::UDP, (0, false), &[0, 1, 0, 2, 0, 8, 0, 0]));
        let layers = Layers::of(&frame(EtherType::QINQ, &payload)).unwrap();
        assert_eq!(layers.vlans.iter().map(|tag| tag.id).collect::<Vec<_>>(), [100, 200]);
        assert_eq!((layers.labels, layers.l3, layers.l4), (2, 30, Some(50)));
        assert_eq!((layers.ethertype, layers.protocol), (EtherType::IPV4, IpProtocol::UDP));
    }

    #[test]
    fn five_tags_are_too_many() {
        let payload = [0, 1, 0x81, 0].repeat(5);
        let wrong = Layers::of(&frame(EtherType::VLAN, &payload)).unwrap_err();
        assert_eq!(wrong, WireError::TooMany { what: "vlan tags", limit: 4 });
    }

    #[test]
    fn first_fragment_has_ports_and_later_ones_have_no_l4() {
        // The UDP length 1000 is the whole datagram's.
        let first =
            frame(EtherType::IPV4, &v4(IpProtocol::UDP, (0, true), &[0, 1, 0, 2, 3, 232, 0, 0, 9, 9]));
        let layers = Layers::of(&first).unwrap();
        assert_eq!(layers.fragment, Some(Fragment { ident: 77, offset: 0, more: true }));
        assert_eq!(layers.l4_payload(&first), [9, 9]);
        let later = frame(EtherType::IPV4, &v4(IpProtocol::TCP, (64, false), &[1, 2, 3]));
        let layers = Layers::of(&later).unwrap();
        assert_eq!((layers.l4, layers.payload), (None, None));
        assert_eq!(layers.fragment, Some(Fragment { ident: 77, offset: 64, more: false }));
        assert!(layers.segment(&later).is_empty());
    }

    #[test]
    fn tiny_first_fragment_that_hides_tcp_flags_is_refused() {
        // RFC 1858 §3: the first fragment ends inside the TCP header.
        let tiny = frame(EtherType::IPV4, &v4(IpProtocol::TCP, (0, true), &[0; 8]));
        assert_eq!(Layers::of(&tiny), Err(WireError::Truncated { what: "tcp header", need: 20, have: 8 }));
    }

    #[test]
    fn quote_of_eight_bytes_still_has_ports() {
        let whole = v4(IpProtocol::TCP, (0, false), &[0; 40]);
        let layers = Layers::of_quoted(&whole[..28]).unwrap();
        assert_eq!((layers.l4, layers.payload, layers.end), (Some(20), None, 28));
        assert!(Layers::of_quoted(&whole[..27]).is_err());
        assert!(Layers::of_ip(&whole[..28]).is_err());
    }

    #[test]
    fn quote_whose_total_length_ends_inside_its_header_is_refused() {
        // Found by fuzzing: the layers ended in front of where they started.
        let mut whole = v4(IpProtocol::ICMP, (0, false), &[0; 8]);
        whole[2..4].copy_from_slice(&2u16.to_be_bytes());
        let expected = Err(WireError::BadLength { what: "ipv4 total length", value: 2 });
        assert_eq!(Layers::of_quoted(&whole), expected);
    }

    #[test]
    fn frames_that_are_not_ip_have_no_l4() {
        let layers = Layers::of(&frame(EtherType(40), &[0; 46])).unwrap();
        assert_eq!((layers.network, layers.l3, layers.l4), (Network::Other, 14, None));
        let layers = Layers::of(&frame(EtherType::LLDP, &[])).unwrap();
        assert_eq!(layers.protocol, IpProtocol::NONE);
    }
}
