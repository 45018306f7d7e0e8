//! What a flow entry matches.

use std::net::Ipv4Addr;

use packet::wire::MacAddr;

use crate::oxm::Oxm;

/// A match, as it is on the wire of its version. Either is encoded into the other where it can be said there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// 1.0's fixed structure.
    V10(MatchV10),
    /// A list of fields: 1.3's, and Nicira's in 1.0.
    Fields(Vec<Oxm>),
}

impl Default for Match {
    /// Matches everything.
    fn default() -> Self {
        Self::Fields(Vec::new())
    }
}

/// `ofp_match` of 1.0, bit for bit: wildcarded fields keep what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchV10 {
    /// `OFPFW_*`; address prefixes as the number of low bits left out, 32 and more being all.
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
