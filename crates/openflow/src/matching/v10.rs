//! 1.0's match, and its meaning in fields (OpenFlow 1.0, section 3.4 and 5.2.3).

use std::net::Ipv4Addr;

use packet::wire::MacAddr;

use crate::field::Field;
use crate::oxm::Oxm;
use crate::port::PortNo;

/// Bits of [`MatchV10::wildcards`] (`ofp_flow_wildcards`).
pub mod wildcards {
    /// Any port.
    pub const IN_PORT: u32 = 1 << 0;
    /// Any VLAN id, and none.
    pub const DL_VLAN: u32 = 1 << 1;
    /// Any Ethernet source.
    pub const DL_SRC: u32 = 1 << 2;
    /// Any Ethernet destination.
    pub const DL_DST: u32 = 1 << 3;
    /// Any EtherType.
    pub const DL_TYPE: u32 = 1 << 4;
    /// Any IP protocol, any ARP operation.
    pub const NW_PROTO: u32 = 1 << 5;
    /// Any source port.
    pub const TP_SRC: u32 = 1 << 6;
    /// Any destination port.
    pub const TP_DST: u32 = 1 << 7;
    /// Where the number of low source address bits left out is: six bits, 32 and more being all.
    pub const NW_SRC_SHIFT: u32 = 8;
    /// The same of the destination address.
    pub const NW_DST_SHIFT: u32 = 14;
    /// The six bits.
    pub const NW_BITS: u32 = 0x3f;
    /// Any VLAN priority.
    pub const DL_VLAN_PCP: u32 = 1 << 20;
    /// Any TOS.
    pub const NW_TOS: u32 = 1 << 21;
    /// Everything, with 32 address bits left out.
    pub const ALL: u32 = 0xff | 32 << NW_SRC_SHIFT | 32 << NW_DST_SHIFT | DL_VLAN_PCP | NW_TOS;
}

/// `dl_vlan` of untagged packets (`OFP_VLAN_NONE`).
pub(super) const VLAN_NONE: u16 = 0xffff;
/// `OFPVID_PRESENT`, and the CFI bit of Nicira's tag field.
const PRESENT: u128 = 0x1000;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// `ofp_match` of 1.0, bit for bit: wildcarded fields keep what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchV10 {
    /// `OFPFW_*`, see [`wildcards`]; address prefixes as the number of low bits left out, 32 and more being all.
    pub wildcards: u32,
    /// Port it came in by.
    pub in_port: u16,
    /// Ethernet source.
    pub dl_src: MacAddr,
    /// Ethernet destination.
    pub dl_dst: MacAddr,
    /// VLAN id, `0xffff` for untagged.
    pub dl_vlan: u16,
    /// VLAN priority.
    pub dl_vlan_pcp: u8,
    /// EtherType, or `0x05ff` for IEEE 802.3 frames without SNAP.
    pub dl_type: u16,
    /// TOS byte, the upper six bits.
    pub nw_tos: u8,
    /// IP protocol, or the lower eight bits of the ARP operation.
    pub nw_proto: u8,
    /// IPv4 source, or ARP sender.
    pub nw_src: Ipv4Addr,
    /// IPv4 destination, or ARP target.
    pub nw_dst: Ipv4Addr,
    /// TCP or UDP source port, ICMP type.
    pub tp_src: u16,
    /// TCP or UDP destination port, ICMP code.
    pub tp_dst: u16,
}

impl Default for MatchV10 {
    fn default() -> Self {
        Self::ALL
    }
}

/// A mask with so many low bits left out.
const fn prefix(left_out: u32) -> u32 {
    if left_out >= 32 { 0 } else { u32::MAX << left_out }
}

impl MatchV10 {
    /// Matches everything.
    pub const ALL: Self = Self {
        wildcards: wildcards::ALL,
        in_port: 0,
        dl_src: MacAddr::UNSPECIFIED,
        dl_dst: MacAddr::UNSPECIFIED,
        dl_vlan: 0,
        dl_vlan_pcp: 0,
        dl_type: 0,
        nw_tos: 0,
        nw_proto: 0,
        nw_src: Ipv4Addr::UNSPECIFIED,
        nw_dst: Ipv4Addr::UNSPECIFIED,
        tp_src: 0,
        tp_dst: 0,
    };

    /// Whether none of those bits is set.
    const fn has(&self, bit: u32) -> bool {
        self.wildcards & bit == 0
    }

    /// The mask of the source address.
    #[must_use]
    pub const fn nw_src_mask(&self) -> u32 {
        prefix(self.wildcards >> wildcards::NW_SRC_SHIFT & wildcards::NW_BITS)
    }

    /// The mask of the destination address.
    #[must_use]
    pub const fn nw_dst_mask(&self) -> u32 {
        prefix(self.wildcards >> wildcards::NW_DST_SHIFT & wildcards::NW_BITS)
    }

    /// Whether every field is there, so that the entry comes before all others in 1.0, whatever its priority.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        const ADDRESSES: u32 =
            wildcards::NW_BITS << wildcards::NW_SRC_SHIFT | wildcards::NW_BITS << wildcards::NW_DST_SHIFT;
        self.wildcards & (wildcards::ALL & !ADDRESSES) == 0
            && self.nw_src_mask() == u32::MAX
            && self.nw_dst_mask() == u32::MAX
    }

    /// What it means. A field counts only where those before it let it: a port is one of TCP only if the protocol is TCP
    /// (OpenFlow 1.0.1, section 3.4; as Open vSwitch reads it).
    #[must_use]
    pub fn fields(&self) -> Vec<Oxm> {
        let mut fields = Vec::with_capacity(12);
        let mut exact = |bit: u32, field: Field, value: u128| {
            if self.has(bit) {
                fields.push(Oxm::exact(field, value));
            }
        };
        exact(wildcards::IN_PORT, Field::InPort, PortNo::from_v10(self.in_port).0.into());
        exact(wildcards::DL_DST, Field::EthDst, of_mac(self.dl_dst));
        exact(wildcards::DL_SRC, Field::EthSrc, of_mac(self.dl_src));
        exact(wildcards::DL_TYPE, Field::EthType, self.dl_type.into());
        self.vlan(&mut fields);
        if self.has(wildcards::DL_TYPE) {
            self.network(&mut fields);
        }
        fields
    }

    fn vlan(&self, fields: &mut Vec<Oxm>) {
        let pcp = self.has(wildcards::DL_VLAN_PCP);
        if self.has(wildcards::DL_VLAN) {
            if self.dl_vlan == VLAN_NONE {
                fields.push(Oxm::exact(Field::VlanVid, 0));
                return;
            }
            fields.push(Oxm::exact(Field::VlanVid, PRESENT | u128::from(self.dl_vlan & 0xfff)));
        } else if pcp {
            fields.push(Oxm::masked(Field::VlanVid, PRESENT, PRESENT));
        }
        if pcp {
            fields.push(Oxm::exact(Field::VlanPcp, (self.dl_vlan_pcp & 7).into()));
        }
    }

    fn network(&self, fields: &mut Vec<Oxm>) {
        let (source, destination) = match self.dl_type {
            IPV4 => (Field::Ipv4Src, Field::Ipv4Dst),
            ARP => (Field::ArpSpa, Field::ArpTpa),
            // Of IPv6, 1.0 knows all but the addresses.
            IPV6 => (Field::Ipv6Src, Field::Ipv6Dst),
            _ => return,
        };
        let ip = self.dl_type != ARP;
        if ip && self.has(wildcards::NW_TOS) {
            fields.push(Oxm::exact(Field::IpDscp, (self.nw_tos >> 2).into()));
        }
        if self.has(wildcards::NW_PROTO) {
            let field = if ip { Field::IpProto } else { Field::ArpOp };
            fields.push(Oxm::exact(field, self.nw_proto.into()));
        }
        if self.dl_type != IPV6 {
            for (field, address, mask) in
                [(source, self.nw_src, self.nw_src_mask()), (destination, self.nw_dst, self.nw_dst_mask())]
            {
                match mask {
                    0 => {}
                    u32::MAX => fields.push(Oxm::exact(field, address.to_bits().into())),
                    mask => fields.push(Oxm::masked(field, address.to_bits().into(), mask.into())),
                }
            }
        }
        if ip && self.has(wildcards::NW_PROTO) {
            self.transport(fields);
        }
    }

    fn transport(&self, fields: &mut Vec<Oxm>) {
        let Some((source, destination)) = ports(self.dl_type, self.nw_proto) else { return };
        for (bit, field, value) in
            [(wildcards::TP_SRC, source, self.tp_src), (wildcards::TP_DST, destination, self.tp_dst)]
        {
            if self.has(bit) {
                fields.push(Oxm::exact(field, u128::from(value) & field.all_bits()));
            }
        }
    }

    /// The structure that means those fields; `None` where it has no room for one of them.
    #[must_use]
    pub fn from_fields(fields: &[Oxm]) -> Option<Self> {
        let mut matching = Self::ALL;
        for oxm in fields {
            let Oxm::Known { field, value, mask, .. } = oxm else { return None };
            match mask {
                Some(0) => continue,
                Some(mask) if *mask != field.all_bits() => matching.set_masked(*field, *value, *mask)?,
                _ => matching.set(*field, *value)?,
            }
        }
        matching.complete(fields).then_some(matching)
    }

    fn set(&mut self, field: Field, value: u128) -> Option<()> {
        let bytes = value.to_be_bytes();
        let mac = MacAddr([bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]]);
        let bit = match field {
            Field::InPort => {
                self.in_port = PortNo(u32::try_from(value).ok()?).to_v10()?;
                wildcards::IN_PORT
            }
            Field::EthSrc => {
                self.dl_src = mac;
                wildcards::DL_SRC
            }
            Field::EthDst => {
                self.dl_dst = mac;
                wildcards::DL_DST
            }
            Field::EthType => {
                self.dl_type = u16::try_from(value).ok()?;
                wildcards::DL_TYPE
            }
            Field::VlanVid => {
                self.dl_vlan = match value {
                    0 => VLAN_NONE,
                    value if value & PRESENT != 0 => (value & 0xfff) as u16,
                    _ => return None,
                };
                wildcards::DL_VLAN
            }
            Field::VlanPcp => {
                self.dl_vlan_pcp = u8::try_from(value).ok()?;
                wildcards::DL_VLAN_PCP
            }
            Field::VlanTci => return self.set_tci(value, 0xffff),
            Field::IpDscp => {
                self.nw_tos = u8::try_from(value << 2).ok()?;
                wildcards::NW_TOS
            }
            Field::NwTos => {
                self.nw_tos = u8::try_from(value).ok()?;
                wildcards::NW_TOS
            }
            Field::IpProto | Field::ArpOp => {
                self.nw_proto = u8::try_from(value).ok()?;
                wildcards::NW_PROTO
            }
            Field::Ipv4Src | Field::Ipv4Dst | Field::ArpSpa | Field::ArpTpa => {
                return self.set_masked(field, value, u32::MAX.into());
            }
            Field::TcpSrc | Field::UdpSrc | Field::SctpSrc | Field::Icmpv4Type | Field::Icmpv6Type => {
                self.tp_src = u16::try_from(value).ok()?;
                wildcards::TP_SRC
            }
            Field::TcpDst | Field::UdpDst | Field::SctpDst | Field::Icmpv4Code | Field::Icmpv6Code => {
                self.tp_dst = u16::try_from(value).ok()?;
                wildcards::TP_DST
            }
            _ => return None,
        };
        self.wildcards &= !bit;
        Some(())
    }

    fn set_masked(&mut self, field: Field, value: u128, mask: u128) -> Option<()> {
        let (address, shift) = match field {
            Field::Ipv4Src | Field::ArpSpa => (&mut self.nw_src, wildcards::NW_SRC_SHIFT),
            Field::Ipv4Dst | Field::ArpTpa => (&mut self.nw_dst, wildcards::NW_DST_SHIFT),
            // Any tag: what a priority alone means. `complete` asks that there is one.
            Field::VlanVid if (value, mask) == (PRESENT, PRESENT) => return Some(()),
            Field::VlanTci => return self.set_tci(value, mask),
            _ => return None,
        };
        let (value, mask) = (u32::try_from(value).ok()?, u32::try_from(mask).ok()?);
        let left_out = mask.trailing_zeros();
        if prefix(left_out) != mask || mask == 0 {
            return None;
        }
        *address = Ipv4Addr::from_bits(value & mask);
        self.wildcards = self.wildcards & !(wildcards::NW_BITS << shift) | left_out << shift;
        Some(())
    }

    /// Nicira's whole tag: untagged, the id, the priority, or both of a tag.
    fn set_tci(&mut self, value: u128, mask: u128) -> Option<()> {
        if value & mask == 0 && mask == 0xffff {
            return self.set(Field::VlanVid, 0);
        }
        if value & mask & PRESENT == 0 {
            return None;
        }
        match mask & 0xfff {
            0 => {}
            0xfff => self.set(Field::VlanVid, value & 0x1fff)?,
            _ => return None,
        }
        match mask >> 13 {
            0 => Some(()),
            7 => self.set(Field::VlanPcp, value >> 13),
            _ => None,
        }
    }

    /// Whether the structure means just those fields: none of them without what it needs, none of another protocol.
    fn complete(&self, fields: &[Oxm]) -> bool {
        let of = self.fields();
        let means = |field: Field| of.iter().any(|oxm| oxm.field() == Some(field));
        fields.iter().filter(|oxm| oxm.effective_mask() != 0).all(|oxm| match oxm.field() {
            Some(Field::NwTos) => means(Field::IpDscp),
            Some(Field::VlanTci) => means(Field::VlanVid),
            Some(field) => means(field),
            None => false,
        }) && fields.len() <= distinct(fields)
    }
}

/// How many of the fields are different ones.
fn distinct(fields: &[Oxm]) -> usize {
    let twice = |at: usize| fields[..at].iter().any(|other| other.field() == fields[at].field());
    (0..fields.len()).filter(|at| !twice(*at)).count()
}

/// What ports mean in a protocol: TCP's, UDP's, SCTP's, or type and code of ICMP.
const fn ports(ethertype: u16, protocol: u8) -> Option<(Field, Field)> {
    match (ethertype, protocol) {
        (_, 6) => Some((Field::TcpSrc, Field::TcpDst)),
        (_, 17) => Some((Field::UdpSrc, Field::UdpDst)),
        (_, 132) => Some((Field::SctpSrc, Field::SctpDst)),
        (IPV4, 1) => Some((Field::Icmpv4Type, Field::Icmpv4Code)),
        (IPV6, 58) => Some((Field::Icmpv6Type, Field::Icmpv6Code)),
        _ => None,
    }
}

fn of_mac(address: MacAddr) -> u128 {
    address.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}
