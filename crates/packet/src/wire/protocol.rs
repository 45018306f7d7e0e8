//! Numbers that name the next header: EtherTypes and IP protocols.

use std::fmt;

/// An EtherType ([IEEE 802 numbers](https://www.iana.org/assignments/ieee-802-numbers)). Values below 0x0600 are
/// 802.3 lengths.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4, RFC 894.
    pub const IPV4: Self = Self(0x0800);
    /// ARP, RFC 826.
    pub const ARP: Self = Self(0x0806);
    /// Transparent Ethernet bridging: an Ethernet frame inside GRE or GENEVE, RFC 1701.
    pub const BRIDGING: Self = Self(0x6558);
    /// 802.1Q customer tag.
    pub const VLAN: Self = Self(0x8100);
    /// IPv6, RFC 2464.
    pub const IPV6: Self = Self(0x86dd);
    /// MPLS with downstream-assigned label, RFC 5332.
    pub const MPLS: Self = Self(0x8847);
    /// MPLS with upstream-assigned label, RFC 5332.
    pub const MPLS_UPSTREAM: Self = Self(0x8848);
    /// 802.1ad service tag.
    pub const QINQ: Self = Self(0x88a8);
    /// EAP over LANs, IEEE 802.1X.
    pub const EAPOL: Self = Self(0x888e);
    /// LLDP, IEEE 802.1AB.
    pub const LLDP: Self = Self(0x88cc);
    /// The QinQ tag of equipment older than 802.1ad.
    pub const QINQ_OLD: Self = Self(0x9100);

    /// The smallest value that is a type and not an 802.3 length.
    pub const TYPE_MIN: u16 = 0x0600;

    /// Whether an 802.1Q or 802.1ad tag follows.
    #[inline]
    #[must_use]
    pub const fn is_vlan(self) -> bool {
        matches!(self, Self::VLAN | Self::QINQ | Self::QINQ_OLD)
    }

    /// Whether an MPLS label stack follows.
    #[inline]
    #[must_use]
    pub const fn is_mpls(self) -> bool {
        matches!(self, Self::MPLS | Self::MPLS_UPSTREAM)
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::IPV4 => "IPv4",
            Self::ARP => "ARP",
            Self::BRIDGING => "TEB",
            Self::VLAN => "802.1Q",
            Self::IPV6 => "IPv6",
            Self::MPLS => "MPLS unicast",
            Self::MPLS_UPSTREAM => "MPLS multicast",
            Self::QINQ => "802.1Q-QinQ",
            Self::EAPOL => "EAPOL",
            Self::LLDP => "LLDP",
            Self::QINQ_OLD => "802.1Q-9100",
            _ => return None,
        })
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} (0x{:04x})", self.0),
            None => write!(f, "Unknown (0x{:04x})", self.0),
        }
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An IP protocol number ([IANA](https://www.iana.org/assignments/protocol-numbers)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpProtocol(pub u8);

impl IpProtocol {
    /// IPv6 hop-by-hop options, RFC 8200.
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP, RFC 792.
    pub const ICMP: Self = Self(1);
    /// IGMP, RFC 9776.
    pub const IGMP: Self = Self(2);
    /// IPv4 in IP, RFC 2003.
    pub const IPV4: Self = Self(4);
    /// TCP, RFC 9293.
    pub const TCP: Self = Self(6);
    /// UDP, RFC 768.
    pub const UDP: Self = Self(17);
    /// IPv6 in IP, RFC 2473.
    pub const IPV6: Self = Self(41);
    /// IPv6 routing header, RFC 8200.
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header, RFC 8200.
    pub const FRAGMENT: Self = Self(44);
    /// GRE, RFC 2784.
    pub const GRE: Self = Self(47);
    /// Encapsulating security payload, RFC 4303.
    pub const ESP: Self = Self(50);
    /// Authentication header, RFC 4302.
    pub const AH: Self = Self(51);
    /// ICMPv6, RFC 4443.
    pub const ICMPV6: Self = Self(58);
    /// IPv6: nothing follows, RFC 8200.
    pub const NONE: Self = Self(59);
    /// IPv6 destination options, RFC 8200.
    pub const DESTINATION: Self = Self(60);
    /// SCTP, RFC 9260.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite, RFC 3828.
    pub const UDP_LITE: Self = Self(136);

    /// The protocol's name as tcpdump prints it, in capitals.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::HOP_BY_HOP => "Options",
            Self::ICMP => "ICMP",
            Self::IGMP => "IGMP",
            Self::IPV4 => "IPIP",
            Self::TCP => "TCP",
            Self::UDP => "UDP",
            Self::IPV6 => "IPv6",
            Self::ROUTING => "Routing",
            Self::FRAGMENT => "Fragment",
            Self::GRE => "GRE",
            Self::ESP => "ESP",
            Self::AH => "AH",
            Self::ICMPV6 => "ICMPv6",
            Self::NONE => "No next header",
            Self::DESTINATION => "DSTOPT",
            Self::SCTP => "SCTP",
            Self::UDP_LITE => "UDPLite",
            _ => return None,
        })
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "unknown ({})", self.0),
        }
    }
}

impl fmt::Debug for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
