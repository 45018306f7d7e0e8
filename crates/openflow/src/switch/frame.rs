//! A packet on its way through the pipeline: its bytes, its key, and how a field of either is changed.
//!
//! Checksums are kept as right or wrong as they were (RFC 1624): what was damaged on the way in is still seen to be
//! damaged on the way out.

use packet::checksum;

use super::key::{ALL, Key, VID_PRESENT, Words, ethertype, get, met, needs, ones, protocol, put};
use super::parse::{ADDRESSES, Layout, be16, read};
use super::sctp;
use crate::field::Field;

/// A packet, parsed.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) key: Key,
    pub(super) layout: Layout,
    /// Fragments have no ports, not even the first (`OFPC_FRAG_NORMAL`).
    pub(super) hides_ports: bool,
}

/// Reads a packet's fields into `key`; where its headers are.
pub(super) fn parse(bytes: &[u8], key: &mut Key, hides_ports: bool) -> Layout {
    let mut layout = read(bytes, key);
    if hides_ports && key.fragment() != 0 {
        (layout.transport, layout.has_target) = (None, false);
        key.hide_transport();
    }
    layout
}

impl Frame {
    /// As it came in by a port.
    pub(super) fn new(bytes: Vec<u8>, in_port: u32, hides_ports: bool) -> Self {
        let mut key = Key::arriving(in_port);
        let layout = parse(&bytes, &mut key, hides_ports);
        Self { bytes, key, layout, hides_ports }
    }

    /// Looks again, after headers came or went.
    pub(super) fn reread(&mut self) {
        self.layout = parse(&self.bytes, &mut self.key, self.hides_ports);
    }

    /// Whether the packet has that field.
    pub(super) fn has(&self, field: Field) -> bool {
        let is_there = match field {
            Field::NdTarget => self.layout.has_target,
            Field::NdSll => self.layout.source_mac.is_some(),
            Field::NdTll => self.layout.target_mac.is_some(),
            Field::EthDst | Field::EthSrc | Field::EthType => self.layout.network > 0,
            _ => true,
        };
        let needs = needs(field);
        let whole = match needs {
            super::key::Needs::Ether(_) => self.layout.is_whole,
            super::key::Needs::Protocol(..) => self.layout.transport.is_some(),
            _ => true,
        };
        is_there && whole && met(needs, &self.key.0, &ALL)
    }

    /// Sets a field's bits under `mask` where the packet has it; whether it has.
    pub(super) fn set(&mut self, field: Field, value: u128, mask: u128) -> bool {
        if !self.has(field) {
            return false;
        }
        let mask = mask & ones(field);
        let value = self.key.get(field) & !mask | value & mask;
        self.write(field, value)
    }

    fn write(&mut self, field: Field, value: u128) -> bool {
        let Layout { network, .. } = self.layout;
        match field {
            Field::EthDst => self.bytes[..6].copy_from_slice(&value.to_be_bytes()[10..]),
            Field::EthSrc => self.bytes[6..12].copy_from_slice(&value.to_be_bytes()[10..]),
            Field::EthType => {
                let at = self.layout.ethertype;
                self.bytes[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
                self.reread();
                return true;
            }
            Field::VlanVid | Field::VlanPcp | Field::VlanTci => return self.write_tag(field, value as u16),
            Field::IpDscp | Field::IpEcn | Field::NwTos => {
                let mut words = self.key.0;
                put(&mut words, field, value, u128::MAX);
                self.write_tos(Key(words).tos());
            }
            Field::NwTtl => self.write_ttl(value as u8),
            Field::IpProto => return self.write_protocol(value as u8),
            Field::Ipv4Src => self.write_address(network + 12, &(value as u32).to_be_bytes()),
            Field::Ipv4Dst => self.write_address(network + 16, &(value as u32).to_be_bytes()),
            Field::Ipv6Src => self.write_address(network + 8, &value.to_be_bytes()),
            Field::Ipv6Dst => self.write_address(network + 24, &value.to_be_bytes()),
            Field::Ipv6Label => {
                let first = be32(&self.bytes, network) & 0xfff0_0000 | value as u32;
                self.bytes[network..network + 4].copy_from_slice(&first.to_be_bytes());
            }
            Field::ArpOp => self.write_bytes(network + 6, &(value as u16).to_be_bytes()),
            Field::ArpSha => self.write_bytes(network + 8, &value.to_be_bytes()[10..]),
            Field::ArpSpa => self.write_bytes(network + 14, &(value as u32).to_be_bytes()),
            Field::ArpTha => self.write_bytes(network + 18, &value.to_be_bytes()[10..]),
            Field::ArpTpa => self.write_bytes(network + 24, &(value as u32).to_be_bytes()),
            Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => {
                self.write_covered(0, &(value as u16).to_be_bytes());
            }
            Field::TcpDst | Field::UdpDst | Field::SctpDst => {
                self.write_covered(2, &(value as u16).to_be_bytes());
            }
            Field::TcpFlags => {
                let word = self.layout.transport.map_or(0, |at| be16(&self.bytes, at + 12));
                self.write_covered(12, &(word & 0xf000 | value as u16).to_be_bytes());
            }
            Field::Icmpv4Type | Field::Icmpv6Type => {
                self.write_covered(0, &[value as u8]);
                self.reread();
                return true;
            }
            Field::Icmpv4Code | Field::Icmpv6Code => self.write_covered(1, &[value as u8]),
            Field::NdTarget => self.write_covered(8, &value.to_be_bytes()),
            Field::NdSll | Field::NdTll => {
                let option =
                    if field == Field::NdSll { self.layout.source_mac } else { self.layout.target_mac };
                if let (Some(option), Some(transport)) = (option, self.layout.transport) {
                    self.write_covered(option - transport, &value.to_be_bytes()[10..]);
                }
            }
            Field::MplsLabel | Field::MplsTc | Field::MplsBos | Field::MplsTtl => {
                let mut words: Words = self.key.0;
                put(&mut words, field, value, u128::MAX);
                let entry = words[13] as u32;
                self.write_bytes(network, &entry.to_be_bytes());
            }
            Field::PbbIsid => self.write_bytes(network + 1, &(value as u32).to_be_bytes()[1..]),
            Field::PbbUca => {
                let first = self.bytes[network] & !8 | (value as u8) << 3;
                self.write_bytes(network, &[first]);
            }
            // What is read from the bytes and cannot be written; they are refused before.
            Field::IpFrag | Field::Ipv6ExtHdr => return false,
            // The pipeline's own: no bytes.
            _ => {}
        }
        self.key.set(field, value);
        true
    }

    fn write_bytes(&mut self, at: usize, value: &[u8]) {
        self.bytes[at..at + value.len()].copy_from_slice(value);
    }

    /// The outermost tag. Setting its presence adds or removes it (Nicira's `vlan_tci`).
    fn write_tag(&mut self, field: Field, value: u16) -> bool {
        let mut words = self.key.0;
        put(&mut words, field, u128::from(value), u128::MAX);
        let tag = Key(words).tag();
        match (self.key.has_tag(), tag & VID_PRESENT != 0) {
            (true, true) => {
                let at = ADDRESSES + 2;
                // The drop eligible bit stays.
                let control = be16(&self.bytes, at) & VID_PRESENT | tag & !VID_PRESENT;
                self.bytes[at..at + 2].copy_from_slice(&control.to_be_bytes());
                self.key.0 = words;
            }
            (false, true) => self.push_tag(ethertype::VLAN, tag),
            (true, false) => self.pop_vlan(),
            (false, false) => return false,
        }
        true
    }

    pub(super) fn write_tos(&mut self, tos: u8) {
        let at = self.layout.network;
        if self.key.ethertype() == ethertype::IPV4 {
            let old = be16(&self.bytes, at);
            self.bytes[at + 1] = tos;
            self.fix_ipv4(old, be16(&self.bytes, at));
        } else {
            let first = be32(&self.bytes, at) & 0xf00f_ffff | u32::from(tos) << 20;
            self.bytes[at..at + 4].copy_from_slice(&first.to_be_bytes());
        }
        self.key.0[12] = self.key.0[12] & !0xff00 | u64::from(tos) << 8;
    }

    pub(super) fn write_ttl(&mut self, ttl: u8) {
        let at = self.layout.network;
        if self.key.ethertype() == ethertype::IPV4 {
            let old = be16(&self.bytes, at + 8);
            self.bytes[at + 8] = ttl;
            self.fix_ipv4(old, be16(&self.bytes, at + 8));
        } else {
            self.bytes[at + 7] = ttl;
        }
        self.key.0[12] = self.key.0[12] & !0xff | u64::from(ttl);
    }

    /// A word of the IPv4 header changed.
    fn fix_ipv4(&mut self, old: u16, new: u16) {
        let at = self.layout.network + 10;
        let check = checksum::update16(be16(&self.bytes, at), old, new);
        self.bytes[at..at + 2].copy_from_slice(&check.to_be_bytes());
    }

    fn write_protocol(&mut self, value: u8) -> bool {
        let old = self.key.protocol();
        // The pseudo header has it too.
        self.fix_transport(&[0, old], &[0, value], true);
        if self.key.ethertype() == ethertype::IPV4 {
            let at = self.layout.network + 8;
            let word = be16(&self.bytes, at);
            self.bytes[at + 1] = value;
            self.fix_ipv4(word, be16(&self.bytes, at));
        } else {
            let at = self.layout.next_header;
            self.bytes[at] = value;
        }
        self.reread();
        true
    }

    /// An IP address: the IPv4 header's checksum and the pseudo header cover it.
    fn write_address(&mut self, at: usize, new: &[u8]) {
        let mut old = [0; 16];
        let old = &mut old[..new.len()];
        old.copy_from_slice(&self.bytes[at..at + new.len()]);
        self.fix_transport(old, new, true);
        if new.len() == 4 {
            let check = self.layout.network + 10;
            let fixed = checksum::update(be16(&self.bytes, check), old, new);
            self.bytes[check..check + 2].copy_from_slice(&fixed.to_be_bytes());
        }
        self.write_bytes(at, new);
    }

    /// Bytes of the transport header, which its checksum covers.
    fn write_covered(&mut self, offset: usize, new: &[u8]) {
        let Some(transport) = self.layout.transport else { return };
        if self.key.protocol() == protocol::SCTP {
            let end = self.layout.end;
            let before = sctp::crc(&self.bytes[transport..end]);
            self.write_bytes(transport + offset, new);
            let after = sctp::crc(&self.bytes[transport..end]);
            // Linear: what was wrong with it stays wrong. A fragment's cannot be told from its part.
            if self.key.get(Field::IpFrag) == 0 {
                for (byte, change) in
                    self.bytes[transport + 8..].iter_mut().zip((before ^ after).to_le_bytes())
                {
                    *byte ^= change;
                }
            }
            return;
        }
        // Whole 16-bit words round what changes, as the checksum sees them.
        let start = transport + (offset & !1);
        let length = (transport + (offset + new.len()).next_multiple_of(2)).min(self.layout.end) - start;
        let mut old = [0; 18];
        let old = &mut old[..length];
        old.copy_from_slice(&self.bytes[start..start + length]);
        self.write_bytes(transport + offset, new);
        let mut now = [0; 18];
        now[..length].copy_from_slice(&self.bytes[start..start + length]);
        self.fix_transport(old, &now[..length], false);
    }

    /// `old` became `new` in what the transport's checksum covers: in the pseudo header or in the segment.
    fn fix_transport(&mut self, old: &[u8], new: &[u8], pseudo: bool) {
        let Some(transport) = self.layout.transport else { return };
        let at = transport
            + match self.key.protocol() {
                protocol::TCP => 16,
                protocol::UDP => 6,
                protocol::ICMPV6 => 2,
                protocol::ICMP if !pseudo => 2,
                _ => return,
            };
        let check = be16(&self.bytes, at);
        let fixed = if self.key.protocol() == protocol::UDP {
            checksum::update_udp(check, old, new)
        } else {
            checksum::update(check, old, new)
        };
        self.bytes[at..at + 2].copy_from_slice(&fixed.to_be_bytes());
    }

    /// Bits of a field, 0 where the packet has it not.
    pub(super) fn get(&self, field: Field) -> u128 {
        get(&self.key.0, field)
    }
}

pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
