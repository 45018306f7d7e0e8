//! Matches made field by field, and of packets.

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::parse::{Layers, Network};
use packet::wire::MacAddr;

use super::check::{Needs, needs};
use super::v10::{MatchV10, VLAN_NONE};
use super::{Match, wildcards};
use crate::field::Field;
use crate::oxm::Oxm;
use crate::port::PortNo;

/// `dl_type` of IEEE 802.3 frames without a SNAP header (`OFP_DL_TYPE_NOT_ETH_TYPE`).
const NOT_ETH_TYPE: u16 = 0x05ff;
/// The DSCP in a TOS byte.
const DSCP: u8 = 0xfc;
/// `OFPVID_PRESENT`.
const VID_PRESENT: u16 = 0x1000;

macro_rules! exact {
    ($($(#[$doc:meta])* $name:ident($type:ty) = $field:ident;)+) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(self, value: $type) -> Self {
            self.with(Oxm::exact(Field::$field, Value::from(value).0))
        })+
    };
}

macro_rules! masked {
    ($($(#[$doc:meta])* $name:ident($type:ty) = $field:ident;)+) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(self, value: $type, mask: $type) -> Self {
            self.with(Oxm::masked(Field::$field, Value::from(value).0, Value::from(mask).0))
        })+
    };
}

/// A field's value in the lowest bits.
struct Value(u128);

macro_rules! values {
    ($($type:ty: |$value:ident| $number:expr;)+) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self($number)
            }
        })+
    };
}

values! {
    u8: |value| value.into();
    u16: |value| value.into();
    u32: |value| value.into();
    u64: |value| value.into();
    u128: |value| value;
    PortNo: |port| port.0.into();
    MacAddr: |address| address.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
    Ipv4Addr: |address| address.to_bits().into();
    Ipv6Addr: |address| address.to_bits();
}

/// Each replaces what was said of the same field, and adds the fields that it needs where they are missing.
impl Match {
    /// Matches everything.
    #[must_use]
    pub const fn new() -> Self {
        Self::Fields(Vec::new())
    }

    exact! {
        /// Port it came in by.
        in_port(PortNo) = InPort;
        /// Metadata of earlier tables.
        metadata(u64) = Metadata;
        /// Ethernet destination.
        eth_dst(MacAddr) = EthDst;
        /// Ethernet source.
        eth_src(MacAddr) = EthSrc;
        /// EtherType, behind VLAN tags.
        eth_type(u16) = EthType;
        /// VLAN priority, of tagged packets.
        vlan_pcp(u8) = VlanPcp;
        /// DSCP, six bits.
        ip_dscp(u8) = IpDscp;
        /// ECN, two bits.
        ip_ecn(u8) = IpEcn;
        /// IP protocol; IPv4's where nothing is said.
        ip_proto(u8) = IpProto;
        /// IPv4 source.
        ipv4_src(Ipv4Addr) = Ipv4Src;
        /// IPv4 destination.
        ipv4_dst(Ipv4Addr) = Ipv4Dst;
        /// IPv6 source.
        ipv6_src(Ipv6Addr) = Ipv6Src;
        /// IPv6 destination.
        ipv6_dst(Ipv6Addr) = Ipv6Dst;
        /// TCP source port.
        tcp_src(u16) = TcpSrc;
        /// TCP destination port.
        tcp_dst(u16) = TcpDst;
        /// UDP source port.
        udp_src(u16) = UdpSrc;
        /// UDP destination port.
        udp_dst(u16) = UdpDst;
        /// SCTP source port.
        sctp_src(u16) = SctpSrc;
        /// SCTP destination port.
        sctp_dst(u16) = SctpDst;
        /// ICMPv4 type.
        icmpv4_type(u8) = Icmpv4Type;
        /// ICMPv4 code.
        icmpv4_code(u8) = Icmpv4Code;
        /// ICMPv6 type.
        icmpv6_type(u8) = Icmpv6Type;
        /// ICMPv6 code.
        icmpv6_code(u8) = Icmpv6Code;
        /// ARP operation.
        arp_op(u16) = ArpOp;
        /// ARP sender's protocol address.
        arp_spa(Ipv4Addr) = ArpSpa;
        /// ARP target's protocol address.
        arp_tpa(Ipv4Addr) = ArpTpa;
        /// ARP sender's hardware address.
        arp_sha(MacAddr) = ArpSha;
        /// ARP target's hardware address.
        arp_tha(MacAddr) = ArpTha;
        /// MPLS label.
        mpls_label(u32) = MplsLabel;
        /// Tunnel id.
        tunnel_id(u64) = TunnelId;
    }

    masked! {
        /// Bits of the metadata.
        metadata_masked(u64) = Metadata;
        /// Bits of the Ethernet destination.
        eth_dst_masked(MacAddr) = EthDst;
        /// Bits of the Ethernet source.
        eth_src_masked(MacAddr) = EthSrc;
        /// IPv4 source prefix: address and mask.
        ipv4_src_masked(Ipv4Addr) = Ipv4Src;
        /// IPv4 destination prefix: address and mask.
        ipv4_dst_masked(Ipv4Addr) = Ipv4Dst;
        /// IPv6 source prefix: address and mask.
        ipv6_src_masked(Ipv6Addr) = Ipv6Src;
        /// IPv6 destination prefix: address and mask.
        ipv6_dst_masked(Ipv6Addr) = Ipv6Dst;
    }

    /// A VLAN tag of that id.
    #[must_use]
    pub fn vlan_vid(self, id: u16) -> Self {
        self.with(Oxm::exact(Field::VlanVid, (VID_PRESENT | id & 0xfff).into()))
    }

    /// Any VLAN tag.
    #[must_use]
    pub fn any_vlan(self) -> Self {
        self.with(Oxm::masked(Field::VlanVid, VID_PRESENT.into(), VID_PRESENT.into()))
    }

    /// No VLAN tag.
    #[must_use]
    pub fn untagged(self) -> Self {
        self.with(Oxm::exact(Field::VlanVid, 0))
    }

    /// IPv4 packets.
    #[must_use]
    pub fn ipv4(self) -> Self {
        self.eth_type(0x0800)
    }

    /// ARP packets.
    #[must_use]
    pub fn arp(self) -> Self {
        self.eth_type(0x0806)
    }

    /// LLDP frames.
    #[must_use]
    pub fn lldp(self) -> Self {
        self.eth_type(0x88cc)
    }

    /// Any field.
    #[must_use]
    pub fn with(self, oxm: Oxm) -> Self {
        let mut fields = match self {
            Self::Fields(fields) => fields,
            Self::V10(matching) => matching.fields(),
        };
        match oxm.field() {
            Some(field) => {
                add_needed(&mut fields, field);
                match fields.iter_mut().find(|other| other.field() == Some(field)) {
                    Some(other) => *other = oxm,
                    None => fields.push(oxm),
                }
            }
            None => fields.push(oxm),
        }
        Self::Fields(fields)
    }

    /// The twelve fields of 1.0 as that packet has them, so that its flow matches, on either version: see
    /// [`MatchV10::from_packet`].
    #[must_use]
    pub fn from_packet(in_port: PortNo, packet: &[u8]) -> Self {
        let matching = MatchV10::from_packet(in_port, packet);
        let mut fields = matching.fields();
        if in_port.to_v10().is_none() {
            // A number that 1.0 does not have.
            fields.insert(0, Oxm::exact(Field::InPort, in_port.0.into()));
        }
        Self::Fields(fields)
    }
}

/// Adds what a field needs and is not there.
fn add_needed(fields: &mut Vec<Oxm>, field: Field) {
    let needs = needs(field);
    if needs.met(fields) {
        return;
    }
    let needed = match needs {
        Needs::Nothing => return,
        Needs::InPort => Oxm::exact(Field::InPort, 0),
        Needs::Tag => Oxm::masked(Field::VlanVid, VID_PRESENT.into(), VID_PRESENT.into()),
        Needs::EtherType(types) => Oxm::exact(Field::EthType, types[0].into()),
        Needs::Protocol(types, protocol) => {
            if !Needs::EtherType(types).met(fields) {
                replace(fields, Oxm::exact(Field::EthType, types[0].into()));
            }
            Oxm::exact(Field::IpProto, protocol.into())
        }
        Needs::Icmpv6(kinds) => {
            add_needed(fields, Field::Icmpv6Type);
            Oxm::exact(Field::Icmpv6Type, kinds[0].into())
        }
    };
    replace(fields, needed);
}

fn replace(fields: &mut Vec<Oxm>, oxm: Oxm) {
    fields.retain(|other| other.field() != oxm.field());
    fields.push(oxm);
}

impl MatchV10 {
    /// Every field as that packet has it; those that it has not are wildcarded. A frame too malformed to read is matched
    /// by its Ethernet header alone. IPv6 is matched without addresses, which 1.0 does not have.
    #[must_use]
    pub fn from_packet(in_port: PortNo, packet: &[u8]) -> Self {
        let mut matching = Self::ALL;
        let mut there = 0;
        if let Some(port) = in_port.to_v10() {
            matching.in_port = port;
            there |= wildcards::IN_PORT;
        }
        if let Some((destination, source)) = packet.first_chunk::<12>().map(|chunk| chunk.split_at(6)) {
            matching.dl_dst.0.copy_from_slice(destination);
            matching.dl_src.0.copy_from_slice(source);
            there |= wildcards::DL_DST | wildcards::DL_SRC;
        }
        if let Ok(layers) = Layers::of(packet) {
            there |= matching.vlan_of(&layers) | matching.network_of(&layers, packet);
        }
        matching.wildcards &= !there;
        matching
    }

    fn vlan_of(&mut self, layers: &Layers) -> u32 {
        match layers.vlans.outer() {
            None => {
                self.dl_vlan = VLAN_NONE;
                wildcards::DL_VLAN
            }
            Some(tag) => {
                self.dl_vlan = tag.id;
                self.dl_vlan_pcp = tag.priority;
                wildcards::DL_VLAN | wildcards::DL_VLAN_PCP
            }
        }
    }

    fn network_of(&mut self, layers: &Layers, packet: &[u8]) -> u32 {
        self.dl_type = ethertype(layers, packet);
        if layers.labels > 0 {
            // What the labels lead to does not count.
            return wildcards::DL_TYPE;
        }
        let network = layers.network_packet(packet);
        match layers.network {
            Network::V4 => {
                self.nw_tos = network.get(1).copied().unwrap_or(0) & DSCP;
                self.addresses_of(network, 12, 16);
            }
            Network::V6 => {
                let first = network.first_chunk::<2>().map_or(0, |bytes| u16::from_be_bytes(*bytes));
                self.nw_tos = (first >> 4) as u8 & DSCP;
            }
            Network::Arp => {
                // The lower byte of the operation.
                self.nw_proto = network.get(7).copied().unwrap_or(0);
                self.addresses_of(network, 14, 24);
                return wildcards::DL_TYPE | wildcards::NW_PROTO;
            }
            Network::Other => return wildcards::DL_TYPE,
        }
        self.nw_proto = layers.protocol.0;
        let there = wildcards::DL_TYPE | wildcards::NW_TOS | wildcards::NW_PROTO;
        let ports = match (layers.protocol.0, layers.l4.and_then(|at| packet.get(at..))) {
            (1 | 58, Some([kind, code, ..])) => [u16::from(*kind), u16::from(*code)],
            (6 | 17 | 132, Some([a, b, c, d, ..])) => {
                [u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])]
            }
            // Fragments but the first have ports of zero (OpenFlow 1.0, section 3.4).
            (1 | 58 | 6 | 17 | 132, None) if layers.fragment.is_some() => [0, 0],
            _ => return there,
        };
        [self.tp_src, self.tp_dst] = ports;
        there | wildcards::TP_SRC | wildcards::TP_DST
    }

    /// Takes the addresses at those places, whole.
    fn addresses_of(&mut self, network: &[u8], source: usize, destination: usize) {
        let at = |at: usize| network.get(at..)?.first_chunk::<4>().copied();
        if let (Some(source), Some(destination)) = (at(source), at(destination)) {
            (self.nw_src, self.nw_dst) = (source.into(), destination.into());
            let bits = wildcards::NW_BITS;
            self.wildcards &= !(bits << wildcards::NW_SRC_SHIFT | bits << wildcards::NW_DST_SHIFT);
        }
    }
}

/// The EtherType behind VLAN tags, whatever labels it leads to.
fn ethertype(layers: &Layers, packet: &[u8]) -> u16 {
    let at = 12 + 4 * layers.vlans.len();
    let there = packet.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u16::from_be_bytes(*bytes));
    match there.unwrap_or(layers.ethertype.0) {
        // A length.
        ..0x0600 => NOT_ETH_TYPE,
        ethertype => ethertype,
    }
}
