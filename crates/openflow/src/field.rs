//! The fields a packet is matched by: one table of OXM, NXM and their readable names.

use std::fmt;

/// How a field's value is written for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Decimal.
    Decimal,
    /// Hexadecimal.
    Hex,
    /// A hardware address.
    Mac,
    /// An IPv4 address, with a mask or prefix length.
    Ipv4,
    /// An IPv6 address, with a mask or prefix length.
    Ipv6,
    /// A port of the switch.
    Port,
    /// `no`, `yes`, `first`, `later`, `not_later`.
    Fragment,
    /// `+syn-ack`.
    TcpFlags,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $bits:literal, $maskable:literal, $format:ident,
        [$(($class:literal, $number:literal $(, $experimenter:literal)?)),+];)+) => {
        /// A field. In its value the lowest [`Field::bits`] count.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Field {
            $($(#[$doc])* $name,)+
        }

        impl Field {
            /// Every field.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name as `ovs-ofctl` has it in a match of its own: `nw_src`, `reg0`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Its width.
            #[must_use]
            pub const fn bits(self) -> u32 {
                match self { $(Self::$name => $bits,)+ }
            }

            /// Whether a match may mask it.
            #[must_use]
            pub const fn maskable(self) -> bool {
                match self { $(Self::$name => $maskable,)+ }
            }

            /// How its value is written.
            #[must_use]
            pub const fn format(self) -> Format {
                match self { $(Self::$name => Format::$format,)+ }
            }

            /// Class and number of each of its headers, the preferred one first. Class `0x8000` is OXM's own, `0` and
            /// `1` are Nicira's; an experimenter's (`0xffff`) has its maker too.
            #[must_use]
            pub const fn headers(self) -> &'static [(u16, u8, Option<u32>)] {
                match self {
                    $(Self::$name => &[$(($class, $number, fields!(@maker $($experimenter)?))),+],)+
                }
            }
        }
    };
    (@maker) => { None };
    (@maker $experimenter:literal) => { Some($experimenter) };
}

// OpenFlow 1.3.5, section 7.2.3.7; Nicira's from OVS' public header nicira-ext.h and its manual ovs-fields(7).
fields! {
    /// Port it came in by. `NXM_OF_IN_PORT` has 16 bits on the wire.
    InPort = "in_port", 32, false, Port, [(0x8000, 0), (0x0000, 0)];
    /// Physical port under a logical one.
    InPhyPort = "in_phy_port", 32, false, Port, [(0x8000, 1)];
    /// What earlier tables wrote.
    Metadata = "metadata", 64, true, Hex, [(0x8000, 2)];
    /// Ethernet destination.
    EthDst = "dl_dst", 48, true, Mac, [(0x8000, 3), (0x0000, 1)];
    /// Ethernet source.
    EthSrc = "dl_src", 48, true, Mac, [(0x8000, 4), (0x0000, 2)];
    /// EtherType, behind VLAN tags.
    EthType = "dl_type", 16, false, Hex, [(0x8000, 5), (0x0000, 3)];
    /// VLAN id, and bit 12 set where there is a tag (`OFPVID_PRESENT`).
    VlanVid = "vlan_vid", 13, true, Hex, [(0x8000, 6)];
    /// VLAN priority.
    VlanPcp = "vlan_pcp", 3, false, Decimal, [(0x8000, 7)];
    /// Nicira's: the whole tag, its CFI bit set where there is one.
    VlanTci = "vlan_tci", 16, true, Hex, [(0x0000, 4)];
    /// DSCP, six bits.
    IpDscp = "ip_dscp", 6, false, Decimal, [(0x8000, 8)];
    /// Nicira's: the TOS byte without ECN.
    NwTos = "nw_tos", 8, false, Decimal, [(0x0000, 5)];
    /// ECN.
    IpEcn = "nw_ecn", 2, false, Decimal, [(0x8000, 9), (0x0001, 28)];
    /// IP protocol, behind IPv6 extension headers.
    IpProto = "nw_proto", 8, false, Decimal, [(0x8000, 10), (0x0000, 6)];
    /// IPv4 source.
    Ipv4Src = "nw_src", 32, true, Ipv4, [(0x8000, 11), (0x0000, 7)];
    /// IPv4 destination.
    Ipv4Dst = "nw_dst", 32, true, Ipv4, [(0x8000, 12), (0x0000, 8)];
    /// TCP source port.
    TcpSrc = "tcp_src", 16, true, Decimal, [(0x8000, 13), (0x0000, 9)];
    /// TCP destination port.
    TcpDst = "tcp_dst", 16, true, Decimal, [(0x8000, 14), (0x0000, 10)];
    /// UDP source port.
    UdpSrc = "udp_src", 16, true, Decimal, [(0x8000, 15), (0x0000, 11)];
    /// UDP destination port.
    UdpDst = "udp_dst", 16, true, Decimal, [(0x8000, 16), (0x0000, 12)];
    /// SCTP source port.
    SctpSrc = "sctp_src", 16, true, Decimal, [(0x8000, 17)];
    /// SCTP destination port.
    SctpDst = "sctp_dst", 16, true, Decimal, [(0x8000, 18)];
    /// ICMPv4 type.
    Icmpv4Type = "icmp_type", 8, false, Decimal, [(0x8000, 19), (0x0000, 13)];
    /// ICMPv4 code.
    Icmpv4Code = "icmp_code", 8, false, Decimal, [(0x8000, 20), (0x0000, 14)];
    /// ARP operation.
    ArpOp = "arp_op", 16, false, Decimal, [(0x8000, 21), (0x0000, 15)];
    /// ARP sender's protocol address.
    ArpSpa = "arp_spa", 32, true, Ipv4, [(0x8000, 22), (0x0000, 16)];
    /// ARP target's protocol address.
    ArpTpa = "arp_tpa", 32, true, Ipv4, [(0x8000, 23), (0x0000, 17)];
    /// ARP sender's hardware address.
    ArpSha = "arp_sha", 48, true, Mac, [(0x8000, 24), (0x0001, 17)];
    /// ARP target's hardware address.
    ArpTha = "arp_tha", 48, true, Mac, [(0x8000, 25), (0x0001, 18)];
    /// IPv6 source.
    Ipv6Src = "ipv6_src", 128, true, Ipv6, [(0x8000, 26), (0x0001, 19)];
    /// IPv6 destination.
    Ipv6Dst = "ipv6_dst", 128, true, Ipv6, [(0x8000, 27), (0x0001, 20)];
    /// IPv6 flow label.
    Ipv6Label = "ipv6_label", 20, true, Hex, [(0x8000, 28), (0x0001, 27)];
    /// ICMPv6 type.
    Icmpv6Type = "icmpv6_type", 8, false, Decimal, [(0x8000, 29), (0x0001, 21)];
    /// ICMPv6 code.
    Icmpv6Code = "icmpv6_code", 8, false, Decimal, [(0x8000, 30), (0x0001, 22)];
    /// Neighbour discovery's target.
    NdTarget = "nd_target", 128, true, Ipv6, [(0x8000, 31), (0x0001, 23)];
    /// Neighbour discovery's source link-layer address.
    NdSll = "nd_sll", 48, true, Mac, [(0x8000, 32), (0x0001, 24)];
    /// Neighbour discovery's target link-layer address.
    NdTll = "nd_tll", 48, true, Mac, [(0x8000, 33), (0x0001, 25)];
    /// MPLS label, outermost.
    MplsLabel = "mpls_label", 20, false, Decimal, [(0x8000, 34)];
    /// MPLS traffic class.
    MplsTc = "mpls_tc", 3, false, Decimal, [(0x8000, 35)];
    /// MPLS bottom of stack.
    MplsBos = "mpls_bos", 1, false, Decimal, [(0x8000, 36)];
    /// PBB I-SID.
    PbbIsid = "pbb_isid", 24, true, Hex, [(0x8000, 37)];
    /// Tunnel id.
    TunnelId = "tun_id", 64, true, Hex, [(0x8000, 38), (0x0001, 16)];
    /// IPv6 extension headers present.
    Ipv6ExtHdr = "ipv6_exthdr", 9, true, Hex, [(0x8000, 39)];
    /// PBB UCA bit (1.4's number, as an extension in 1.3: ONF).
    PbbUca = "pbb_uca", 1, false, Decimal, [(0xffff, 41, 0x4f4e_4600), (0x8000, 41)];
    /// TCP flags.
    TcpFlags = "tcp_flags", 12, true, TcpFlags, [(0xffff, 42, 0x4f4e_4600), (0x8000, 42), (0x0001, 34)];
    /// The action set's output port (1.5's, as ONF's extension in 1.3).
    ActsetOutput = "actset_output", 32, false, Port, [(0xffff, 43, 0x4f4e_4600), (0x8000, 43)];
    /// Nicira's: IP fragments.
    IpFrag = "ip_frag", 2, true, Fragment, [(0x0001, 26)];
    /// Nicira's: IP TTL.
    NwTtl = "nw_ttl", 8, false, Decimal, [(0x0001, 29)];
    /// Nicira's: the flow entry's cookie, in requests and in 1.0's flow-mods. Its number is that of `MplsTtl`; the length
    /// tells which.
    Cookie = "cookie", 64, true, Hex, [(0x0001, 30)];
    /// Nicira's: MPLS TTL.
    MplsTtl = "mpls_ttl", 8, false, Decimal, [(0x0001, 30)];
    /// Nicira's: a tunnel's IPv4 source.
    TunSrc = "tun_src", 32, true, Ipv4, [(0x0001, 31)];
    /// Nicira's: a tunnel's IPv4 destination.
    TunDst = "tun_dst", 32, true, Ipv4, [(0x0001, 32)];
    /// Nicira's: the packet's mark.
    PktMark = "pkt_mark", 32, true, Hex, [(0x0001, 33)];
    /// Nicira's: conjunction.
    ConjId = "conj_id", 32, false, Decimal, [(0x0001, 37)];
    /// Nicira's: VXLAN group policy id.
    TunGbpId = "tun_gbp_id", 16, true, Decimal, [(0x0001, 38)];
    /// Nicira's: VXLAN group policy flags.
    TunGbpFlags = "tun_gbp_flags", 8, true, Hex, [(0x0001, 39)];
    /// Nicira's: tunnel flags.
    TunFlags = "tun_flags", 16, true, Hex, [(0x0001, 104)];
    /// Nicira's: connection tracking state.
    CtState = "ct_state", 32, true, Hex, [(0x0001, 105)];
    /// Nicira's: connection tracking zone.
    CtZone = "ct_zone", 16, false, Decimal, [(0x0001, 106)];
    /// Nicira's: connection tracking mark.
    CtMark = "ct_mark", 32, true, Hex, [(0x0001, 107)];
    /// Nicira's: connection tracking label.
    CtLabel = "ct_label", 128, true, Hex, [(0x0001, 108)];
    /// Nicira's: a tunnel's IPv6 source.
    TunIpv6Src = "tun_ipv6_src", 128, true, Ipv6, [(0x0001, 109)];
    /// Nicira's: a tunnel's IPv6 destination.
    TunIpv6Dst = "tun_ipv6_dst", 128, true, Ipv6, [(0x0001, 110)];
    /// Nicira's register 0.
    Reg0 = "reg0", 32, true, Hex, [(0x0001, 0)];
    /// Nicira's register 1.
    Reg1 = "reg1", 32, true, Hex, [(0x0001, 1)];
    /// Nicira's register 2.
    Reg2 = "reg2", 32, true, Hex, [(0x0001, 2)];
    /// Nicira's register 3.
    Reg3 = "reg3", 32, true, Hex, [(0x0001, 3)];
    /// Nicira's register 4.
    Reg4 = "reg4", 32, true, Hex, [(0x0001, 4)];
    /// Nicira's register 5.
    Reg5 = "reg5", 32, true, Hex, [(0x0001, 5)];
    /// Nicira's register 6.
    Reg6 = "reg6", 32, true, Hex, [(0x0001, 6)];
    /// Nicira's register 7.
    Reg7 = "reg7", 32, true, Hex, [(0x0001, 7)];
    /// Nicira's register 8.
    Reg8 = "reg8", 32, true, Hex, [(0x0001, 8)];
    /// Nicira's register 9.
    Reg9 = "reg9", 32, true, Hex, [(0x0001, 9)];
    /// Nicira's register 10.
    Reg10 = "reg10", 32, true, Hex, [(0x0001, 10)];
    /// Nicira's register 11.
    Reg11 = "reg11", 32, true, Hex, [(0x0001, 11)];
    /// Nicira's register 12.
    Reg12 = "reg12", 32, true, Hex, [(0x0001, 12)];
    /// Nicira's register 13.
    Reg13 = "reg13", 32, true, Hex, [(0x0001, 13)];
    /// Nicira's register 14.
    Reg14 = "reg14", 32, true, Hex, [(0x0001, 14)];
    /// Nicira's register 15.
    Reg15 = "reg15", 32, true, Hex, [(0x0001, 15)];
    /// Nicira's registers 0 to 3 as one.
    Xxreg0 = "xxreg0", 128, true, Hex, [(0x0001, 111)];
    /// Nicira's registers 4 to 7 as one.
    Xxreg1 = "xxreg1", 128, true, Hex, [(0x0001, 112)];
    /// Nicira's registers 8 to 11 as one.
    Xxreg2 = "xxreg2", 128, true, Hex, [(0x0001, 113)];
    /// Nicira's registers 12 to 15 as one.
    Xxreg3 = "xxreg3", 128, true, Hex, [(0x0001, 114)];
}

/// Class and number of `NXM_OF_IN_PORT`, which has 1.0's 16 bits.
pub(crate) const NXM_IN_PORT: (u16, u8) = (0, 0);
/// Numbers of fields within a class.
const NUMBERS: usize = 128;

/// Most headers of one field.
const SPELLINGS_MAX: usize = 3;

/// A header of a field as it is on the wire, without mask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WireHeader {
    /// Class, number, no mask bit, length.
    pub(crate) header: u32,
    /// Its maker, where it is an experimenter's.
    pub(crate) experimenter: Option<u32>,
    /// Bytes of the value.
    pub(crate) width: usize,
}

/// The headers of every field.
static WIRE_HEADERS: [[WireHeader; SPELLINGS_MAX]; Field::ALL.len()] = {
    let none = WireHeader { header: 0, experimenter: None, width: 0 };
    let mut all = [[none; SPELLINGS_MAX]; Field::ALL.len()];
    let mut at = 0;
    while at < all.len() {
        let headers = Field::ALL[at].headers();
        let mut spelling = 0;
        while spelling < SPELLINGS_MAX {
            // One that is not there is the preferred one.
            let (class, number, experimenter) = headers[if spelling < headers.len() { spelling } else { 0 }];
            let width = Field::ALL[at].width(class);
            let length = width + if experimenter.is_some() { 4 } else { 0 };
            let header = (class as u32) << 16 | (number as u32) << 9 | length as u32;
            all[at][spelling] = WireHeader { header, experimenter, width };
            spelling += 1;
        }
        assert!(headers.len() <= SPELLINGS_MAX && Field::ALL[at] as usize == at);
        at += 1;
    }
    all
};

/// The fields of a class by number, and which of their headers that is.
const fn by_number(class: u16) -> [Option<(Field, u8)>; NUMBERS] {
    let mut table = [None; NUMBERS];
    let mut at = 0;
    while at < Field::ALL.len() {
        let field = Field::ALL[at];
        let headers = field.headers();
        let mut spelling = 0;
        while spelling < headers.len() {
            let (of, number, experimenter) = headers[spelling];
            // The cookie shares its number and is found by its length.
            if of == class && experimenter.is_none() && !matches!(field, Field::Cookie) {
                table[number as usize] = Some((field, spelling as u8));
            }
            spelling += 1;
        }
        at += 1;
    }
    table
}

static OPENFLOW: [Option<(Field, u8)>; NUMBERS] = by_number(0x8000);
static NICIRA_0: [Option<(Field, u8)>; NUMBERS] = by_number(0x0000);
static NICIRA_1: [Option<(Field, u8)>; NUMBERS] = by_number(0x0001);

impl Field {
    /// Bytes of its value on the wire, in a header of that class.
    #[inline]
    #[must_use]
    pub const fn width(self, class: u16) -> usize {
        match (self, self.bits()) {
            (Self::InPort, _) if class == NXM_IN_PORT.0 => 2,
            (_, 20) => 4,
            (_, bits) => bits.div_ceil(8) as usize,
        }
    }

    /// The header of that spelling; the preferred one where there is none.
    #[inline]
    pub(crate) fn wire_header(self, spelling: u8) -> WireHeader {
        WIRE_HEADERS[self as usize][usize::from(spelling).min(SPELLINGS_MAX - 1)]
    }

    /// The field of a header, whose value has `width` bytes, and which of its [`Field::headers`] that is.
    #[inline]
    #[must_use]
    pub fn from_header(
        class: u16,
        number: u8,
        experimenter: Option<u32>,
        width: usize,
    ) -> Option<(Self, u8)> {
        let (field, spelling) = Self::from_number(class, number, experimenter)?;
        if field.wire_header(spelling).width == width {
            return Some((field, spelling));
        }
        let (_, cookie, _) = Self::Cookie.headers()[0];
        (class == 1 && number == cookie && width == Self::Cookie.width(1)).then_some((Self::Cookie, 0))
    }

    /// The field of that class and number, whatever the length.
    #[inline]
    #[must_use]
    pub fn from_number(class: u16, number: u8, experimenter: Option<u32>) -> Option<(Self, u8)> {
        let table = match class {
            0x8000 => &OPENFLOW,
            0x0000 => &NICIRA_0,
            0x0001 => &NICIRA_1,
            _ => return Self::of_experimenter((class, number, experimenter)),
        };
        table.get(usize::from(number)).copied().flatten()
    }

    fn of_experimenter(header: (u16, u8, Option<u32>)) -> Option<(Self, u8)> {
        Self::ALL.iter().find_map(|field| {
            let spelling = field.headers().iter().position(|known| *known == header)?;
            Some((*field, spelling as u8))
        })
    }

    /// Which of its headers is Nicira's; the preferred one where none is.
    #[must_use]
    pub fn nicira_spelling(self) -> u8 {
        self.headers().iter().position(|(class, ..)| *class <= 1).unwrap_or(0) as u8
    }

    /// The bits that its value may have.
    #[inline]
    #[must_use]
    pub const fn all_bits(self) -> u128 {
        u128::MAX >> (128 - self.bits())
    }

    /// The field of that name: `dl_dst`, `reg0`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_is_found_and_is_the_field_s() {
        for field in Field::ALL {
            for (spelling, (class, number, experimenter)) in field.headers().iter().enumerate() {
                let width = field.width(*class);
                let found = Field::from_header(*class, *number, *experimenter, width);
                assert_eq!(found, Some((*field, spelling as u8)), "{field:?}");
                assert_eq!(Field::from_header(*class, *number, *experimenter, width + 3), None);
            }
            assert_eq!(Field::from_name(field.name()), Some(*field), "{field:?}");
        }
        assert_eq!(Field::from_header(0x8000, 127, None, 1), None);
        assert_eq!(Field::from_header(0xffff, 42, Some(1), 2), None);
    }

    #[test]
    fn widths_of_the_specification() {
        // OpenFlow 1.3.5, table 11.
        assert_eq!(Field::InPort.width(0x8000), 4);
        assert_eq!(Field::InPort.width(0), 2);
        assert_eq!(Field::Ipv6Label.width(0x8000), 4);
        assert_eq!(Field::PbbIsid.width(0x8000), 3);
        assert_eq!(Field::VlanVid.width(0x8000), 2);
        assert_eq!(Field::VlanVid.all_bits(), 0x1fff);
        assert_eq!(Field::Ipv6Src.all_bits(), u128::MAX);
    }
}
