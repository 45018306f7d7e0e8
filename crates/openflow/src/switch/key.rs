//! A packet's fields as words: what flow tables look up.
//!
//! Fields that no packet has together share a place (an ARP sender's address and an IPv4 source; a port and an ICMP
//! type): a match can only name them with what tells them apart, the EtherType and the protocol, and that is checked
//! before a match becomes a key and a mask.

use crate::field::Field;

/// Words of a key.
pub(super) const WORDS: usize = 26;
/// A key's, or a mask's, words.
pub(super) type Words = [u64; WORDS];

/// `OFPVID_PRESENT`: in a VLAN id, there is a tag.
pub(super) const VID_PRESENT: u16 = 0x1000;
/// EtherType of a frame that has none (`OFP_DL_TYPE_NOT_ETH_TYPE` of 1.0).
pub(super) const NOT_ETHERTYPE: u16 = 0x05ff;
/// `ip_frag`: any fragment.
pub(super) const FRAGMENT_ANY: u8 = 1;
/// `ip_frag`: not the first.
pub(super) const FRAGMENT_LATER: u8 = 2;

/// The EtherTypes the switch looks into.
pub(super) mod ethertype {
    pub(in crate::switch) const IPV4: u16 = 0x0800;
    pub(in crate::switch) const ARP: u16 = 0x0806;
    pub(in crate::switch) const VLAN: u16 = 0x8100;
    pub(in crate::switch) const IPV6: u16 = 0x86dd;
    pub(in crate::switch) const MPLS: u16 = 0x8847;
    pub(in crate::switch) const MPLS_MULTICAST: u16 = 0x8848;
    pub(in crate::switch) const QINQ: u16 = 0x88a8;
    pub(in crate::switch) const QINQ_OLD: u16 = 0x9100;
    pub(in crate::switch) const PBB: u16 = 0x88e7;
}

/// The protocols the switch looks into.
pub(super) mod protocol {
    pub(in crate::switch) const ICMP: u8 = 1;
    pub(in crate::switch) const TCP: u8 = 6;
    pub(in crate::switch) const UDP: u8 = 17;
    pub(in crate::switch) const ICMPV6: u8 = 58;
    pub(in crate::switch) const SCTP: u8 = 132;
}

/// Where a field's bits are: a word, counted from 0, and the shift in it. A field of 128 bits has two words, the higher
/// half first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) word: usize,
    pub(super) shift: u32,
}

const FIRST_REGISTER: usize = 3;

/// The place of a field; `None` for those this switch has not (connection tracking, tunnels' extras, conjunctions).
pub(super) const fn slot(field: Field) -> Option<Slot> {
    const fn at(word: usize, shift: u32) -> Option<Slot> {
        Some(Slot { word, shift })
    }
    const fn register(number: usize) -> Option<Slot> {
        at(FIRST_REGISTER + number / 2, if number.is_multiple_of(2) { 32 } else { 0 })
    }
    match field {
        Field::InPort => at(0, 32),
        Field::EthType => at(0, 16),
        Field::VlanPcp => at(0, 13),
        Field::VlanVid | Field::VlanTci => at(0, 0),
        Field::Metadata => at(1, 0),
        Field::TunnelId => at(2, 0),
        Field::Reg0 => register(0),
        Field::Reg1 => register(1),
        Field::Reg2 => register(2),
        Field::Reg3 => register(3),
        Field::Reg4 => register(4),
        Field::Reg5 => register(5),
        Field::Reg6 => register(6),
        Field::Reg7 => register(7),
        Field::Reg8 => register(8),
        Field::Reg9 => register(9),
        Field::Reg10 => register(10),
        Field::Reg11 => register(11),
        Field::Reg12 => register(12),
        Field::Reg13 => register(13),
        Field::Reg14 => register(14),
        Field::Reg15 => register(15),
        Field::Xxreg0 => at(FIRST_REGISTER, 0),
        Field::Xxreg1 => at(FIRST_REGISTER + 2, 0),
        Field::Xxreg2 => at(FIRST_REGISTER + 4, 0),
        Field::Xxreg3 => at(FIRST_REGISTER + 6, 0),
        Field::EthDst => at(11, 16),
        Field::IpProto => at(11, 8),
        Field::IpFrag => at(11, 0),
        Field::EthSrc => at(12, 16),
        Field::NwTos | Field::IpEcn => at(12, 8),
        Field::IpDscp => at(12, 10),
        Field::NwTtl => at(12, 0),
        Field::Ipv4Src | Field::ArpSpa => at(13, 32),
        Field::Ipv4Dst | Field::ArpTpa => at(13, 0),
        Field::Ipv6Src => at(13, 0),
        Field::MplsLabel => at(13, 12),
        Field::MplsTc => at(13, 9),
        Field::MplsBos => at(13, 8),
        Field::MplsTtl => at(13, 0),
        Field::PbbIsid => at(13, 0),
        Field::PbbUca => at(13, 24),
        Field::ArpSha => at(14, 16),
        Field::ArpTha => at(15, 16),
        Field::Ipv6Dst => at(15, 0),
        Field::TcpSrc
        | Field::UdpSrc
        | Field::SctpSrc
        | Field::Icmpv4Type
        | Field::Icmpv6Type
        | Field::ArpOp => at(17, 48),
        Field::TcpDst | Field::UdpDst | Field::SctpDst | Field::Icmpv4Code | Field::Icmpv6Code => at(17, 32),
        Field::TcpFlags => at(17, 0),
        Field::NdTarget => at(18, 0),
        Field::NdSll => at(20, 16),
        Field::NdTll => at(21, 16),
        Field::Ipv6Label => at(22, 32),
        Field::Ipv6ExtHdr => at(22, 0),
        Field::TunSrc => at(23, 32),
        Field::TunDst => at(23, 0),
        Field::PktMark => at(24, 32),
        Field::InPhyPort => at(24, 0),
        Field::ActsetOutput => at(25, 0),
        _ => None,
    }
}

/// The ones of a field, in its lowest bits.
pub(super) const fn ones(field: Field) -> u128 {
    match field {
        Field::NwTos => 0xfc,
        _ if field.bits() >= 128 => u128::MAX,
        _ => (1 << field.bits()) - 1,
    }
}

/// The first word that is read from the packet's bytes; those before it are the pipeline's, the first but for its lower
/// half.
pub(super) const PACKET_WORDS: std::ops::Range<usize> = 11..23;

/// Puts bits of a field where they go.
pub(super) fn put(words: &mut Words, field: Field, value: u128, mask: u128) {
    let Some(Slot { word, shift }) = slot(field) else { return };
    let mask = mask & ones(field);
    if field.bits() == 128 {
        words[word] = words[word] & !((mask >> 64) as u64) | ((value & mask) >> 64) as u64;
        words[word + 1] = words[word + 1] & !(mask as u64) | (value & mask) as u64;
    } else {
        words[word] = words[word] & !((mask as u64) << shift) | ((value & mask) as u64) << shift;
    }
}

/// A field's bits.
pub(super) fn get(words: &Words, field: Field) -> u128 {
    let Some(Slot { word, shift }) = slot(field) else { return 0 };
    let value = if field.bits() == 128 {
        u128::from(words[word]) << 64 | u128::from(words[word + 1])
    } else {
        u128::from(words[word] >> shift)
    };
    value & ones(field)
}

/// The fields of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Key(pub(super) Words);

impl Key {
    /// Of a packet that came in by a port, and of which nothing is known yet.
    pub(super) const fn arriving(port: u32) -> Self {
        let mut words = [0; WORDS];
        words[0] = (port as u64) << 32;
        words[24] = port as u64;
        Self(words)
    }

    pub(super) fn get(&self, field: Field) -> u128 {
        get(&self.0, field)
    }

    pub(super) fn set(&mut self, field: Field, value: u128) {
        put(&mut self.0, field, value, u128::MAX);
    }

    pub(super) const fn in_port(&self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    pub(super) const fn set_in_port(&mut self, port: u32) {
        self.0[0] = self.0[0] & 0xffff_ffff | (port as u64) << 32;
    }

    pub(super) const fn ethertype(&self) -> u16 {
        (self.0[0] >> 16) as u16
    }

    /// Priority, presence bit, id.
    pub(super) const fn tag(&self) -> u16 {
        self.0[0] as u16
    }

    pub(super) const fn has_tag(&self) -> bool {
        self.tag() & VID_PRESENT != 0
    }

    pub(super) const fn vlan_id(&self) -> u16 {
        self.tag() & 0x0fff
    }

    pub(super) const fn set_link(&mut self, ethertype: u16, tag: u16) {
        self.0[0] = self.0[0] & !0xffff_ffff | (ethertype as u64) << 16 | tag as u64;
    }

    pub(super) const fn protocol(&self) -> u8 {
        (self.0[11] >> 8) as u8
    }

    /// [`FRAGMENT_ANY`] and [`FRAGMENT_LATER`], or 0.
    pub(super) const fn fragment(&self) -> u8 {
        self.0[11] as u8 & (FRAGMENT_ANY | FRAGMENT_LATER)
    }

    pub(super) const fn ttl(&self) -> u8 {
        self.0[12] as u8
    }

    pub(super) const fn tos(&self) -> u8 {
        (self.0[12] >> 8) as u8
    }

    /// As if the packet had no transport header.
    pub(super) const fn hide_transport(&mut self) {
        self.0[11] &= !(0b1101 << 4);
        let mut word = 17;
        while word <= 21 {
            self.0[word] = 0;
            word += 1;
        }
    }

    pub(super) const fn eth_dst(&self) -> u64 {
        self.0[11] >> 16
    }

    pub(super) const fn eth_src(&self) -> u64 {
        self.0[12] >> 16
    }

    pub(super) const fn mpls_ttl(&self) -> u8 {
        self.0[13] as u8
    }

    pub(super) const fn is_ip(&self) -> bool {
        matches!(self.ethertype(), ethertype::IPV4 | ethertype::IPV6)
    }

    pub(super) const fn is_mpls(&self) -> bool {
        matches!(self.ethertype(), ethertype::MPLS | ethertype::MPLS_MULTICAST)
    }
}

/// What a field needs to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// The port it came in by (of the physical port under it).
    InPort,
    /// A VLAN tag.
    Tag,
    /// One of these EtherTypes.
    Ether(&'static [u16]),
    /// One of these EtherTypes with that protocol.
    Protocol(&'static [u16], u8),
    /// ICMPv6 of one of these types.
    Discovery(&'static [u8]),
}

const IP: &[u16] = &[ethertype::IPV4, ethertype::IPV6];

/// OpenFlow 1.3.5, table 12 ("required match fields").
pub(super) const fn needs(field: Field) -> Needs {
    match field {
        Field::InPhyPort => Needs::InPort,
        Field::VlanPcp => Needs::Tag,
        Field::IpDscp | Field::NwTos | Field::IpEcn | Field::IpProto | Field::IpFrag | Field::NwTtl => {
            Needs::Ether(IP)
        }
        Field::Ipv4Src | Field::Ipv4Dst => Needs::Ether(&[ethertype::IPV4]),
        Field::Ipv6Src | Field::Ipv6Dst | Field::Ipv6Label | Field::Ipv6ExtHdr => {
            Needs::Ether(&[ethertype::IPV6])
        }
        Field::ArpOp | Field::ArpSpa | Field::ArpTpa | Field::ArpSha | Field::ArpTha => {
            Needs::Ether(&[ethertype::ARP])
        }
        Field::MplsLabel | Field::MplsTc | Field::MplsBos | Field::MplsTtl => {
            Needs::Ether(&[ethertype::MPLS, ethertype::MPLS_MULTICAST])
        }
        Field::PbbIsid | Field::PbbUca => Needs::Ether(&[ethertype::PBB]),
        Field::TcpSrc | Field::TcpDst | Field::TcpFlags => Needs::Protocol(IP, protocol::TCP),
        Field::UdpSrc | Field::UdpDst => Needs::Protocol(IP, protocol::UDP),
        Field::SctpSrc | Field::SctpDst => Needs::Protocol(IP, protocol::SCTP),
        Field::Icmpv4Type | Field::Icmpv4Code => Needs::Protocol(&[ethertype::IPV4], protocol::ICMP),
        Field::Icmpv6Type | Field::Icmpv6Code => Needs::Protocol(&[ethertype::IPV6], protocol::ICMPV6),
        Field::NdTarget => Needs::Discovery(&[135, 136]),
        Field::NdSll => Needs::Discovery(&[135]),
        Field::NdTll => Needs::Discovery(&[136]),
        _ => Needs::Nothing,
    }
}

/// Whether what is known (`key` under `mask`) says that the field is there.
pub(super) fn met(needs: Needs, key: &Words, mask: &Words) -> bool {
    let exactly = |field: Field| (get(mask, field) == ones(field)).then(|| get(key, field));
    let ether = |types: &[u16]| {
        exactly(Field::EthType).is_some_and(|found| types.iter().any(|&t| u128::from(t) == found))
    };
    match needs {
        Needs::Nothing => true,
        Needs::InPort => exactly(Field::InPort).is_some(),
        Needs::Tag => get(key, Field::VlanVid) & get(mask, Field::VlanVid) & u128::from(VID_PRESENT) != 0,
        Needs::Ether(types) => ether(types),
        Needs::Protocol(types, protocol) => {
            ether(types) && exactly(Field::IpProto) == Some(u128::from(protocol))
        }
        Needs::Discovery(types) => {
            ether(&[ethertype::IPV6])
                && exactly(Field::IpProto) == Some(u128::from(protocol::ICMPV6))
                && exactly(Field::Icmpv6Type)
                    .is_some_and(|t| types.iter().any(|&known| u128::from(known) == t))
        }
    }
}

/// The mask under which everything is known, as it is of a packet.
pub(super) const ALL: Words = [u64::MAX; WORDS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_occur_together_do_not_touch() {
        for (at, &one) in Field::ALL.iter().enumerate() {
            for &other in &Field::ALL[at + 1..] {
                let mut words = [0; WORDS];
                put(&mut words, one, u128::MAX, u128::MAX);
                let shared = slot(one).is_some() && get(&words, other) != 0;
                let apart = |a: Needs, b: Needs| match (a, b) {
                    (Needs::Ether(a) | Needs::Protocol(a, _), Needs::Ether(b) | Needs::Protocol(b, _))
                        if a.iter().all(|t| !b.contains(t)) =>
                    {
                        true
                    }
                    (Needs::Protocol(_, a), Needs::Protocol(_, b)) => a != b,
                    _ => false,
                };
                // Two names for the same bits.
                let same = |a, b| {
                    matches!((a, b), (Field::VlanVid | Field::VlanPcp, Field::VlanTci))
                        || matches!((a, b), (Field::IpDscp, Field::NwTos))
                        || (a as u8 >= Field::Reg0 as u8 && b as u8 >= Field::Xxreg0 as u8)
                };
                assert!(!shared || apart(needs(one), needs(other)) || same(one, other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_packet_arrives_by_one_port() {
        let mut key = Key::default();
        key.set(Field::InPort, 7);
        key.set(Field::InPhyPort, 7);
        assert_eq!(Key::arriving(7), key);
        key.set(Field::IpFrag, 3);
        assert_eq!((key.fragment(), Key::arriving(7).fragment()), (3, 0));
    }

    #[test]
    fn what_is_put_is_got() {
        for &field in Field::ALL {
            let mut words = ALL;
            put(&mut words, field, 0, u128::MAX);
            if slot(field).is_some() {
                assert_eq!(get(&words, field), 0, "{field}");
                put(&mut words, field, ones(field), u128::MAX);
                assert_eq!(words, ALL, "{field}");
            }
        }
    }
}
