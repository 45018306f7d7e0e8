//! Tags pushed and popped, and TTLs (OpenFlow 1.3.5, section 5.12).
//!
//! A pushed tag is the outermost, right behind the Ethernet addresses. Its fields are copied from those there are: a VLAN
//! tag's from the outermost tag, an MPLS label's from the outermost label (the TTL else from IP), PBB's service
//! identifier from the outermost one and its priority from the VLAN.

use super::frame::{Frame, be32};
use super::key::{VID_PRESENT, ethertype};
use super::parse::{ADDRESSES, ITAG, be16};
use crate::field::Field;

/// Bytes a frame may grow to by pushing: what fits `total_len` of a packet-in.
pub const FRAME_MAX: usize = 65_535;

/// Bytes of the shortest frame on Ethernet, without its check sequence (IEEE 802.3, section 3.2.8).
pub const FRAME_SHORTEST: usize = 60;

/// Bytes of a PBB header: addresses, EtherType and I-TAG.
const PBB_HEADER: usize = ADDRESSES + 2 + ITAG;

impl Frame {
    fn insert(&mut self, at: usize, bytes: &[u8]) -> bool {
        if self.bytes.len() + bytes.len() > FRAME_MAX || at > self.bytes.len() {
            return false;
        }
        self.bytes.splice(at..at, bytes.iter().copied());
        true
    }

    /// Takes bytes out. A frame that was long enough for Ethernet does not become too short by that: it is padded.
    fn take_out(&mut self, bytes: std::ops::Range<usize>) {
        let is_long_enough = self.bytes.len() >= FRAME_SHORTEST;
        self.bytes.drain(bytes);
        if is_long_enough && self.bytes.len() < FRAME_SHORTEST {
            self.bytes.resize(FRAME_SHORTEST, 0);
        }
        self.reread();
    }

    /// A tag of priority and id as given.
    pub(super) fn push_tag(&mut self, kind: u16, tag: u16) {
        let [k0, k1] = kind.to_be_bytes();
        let [t0, t1] = (tag & !VID_PRESENT).to_be_bytes();
        if self.layout.network > 0 && self.insert(ADDRESSES, &[k0, k1, t0, t1]) {
            self.reread();
        }
    }

    /// `PUSH_VLAN`.
    pub(super) fn push_vlan(&mut self, kind: u16) {
        self.push_tag(kind, self.key.tag());
    }

    /// `POP_VLAN`: the outermost.
    pub(super) fn pop_vlan(&mut self) {
        if self.key.has_tag() {
            self.take_out(ADDRESSES..ADDRESSES + 4);
        }
    }

    /// `PUSH_MPLS`.
    pub(super) fn push_mpls(&mut self, kind: u16) {
        let entry = if self.key.is_mpls() && self.layout.is_whole {
            be32(&self.bytes, self.layout.network) & !0x100
        } else {
            0x100 | if self.key.is_ip() { u32::from(self.key.ttl()) } else { 0 }
        };
        // It stands in the EtherType's place; the tags, or the EtherType, behind it are its payload's, which has none.
        let at = if self.key.has_tag() { ADDRESSES } else { self.layout.ethertype };
        if self.layout.network == 0 || self.bytes.len() + 4 > FRAME_MAX {
            return;
        }
        self.bytes[at..at + 2].copy_from_slice(&kind.to_be_bytes());
        self.insert(at + 2, &entry.to_be_bytes());
        self.reread();
    }

    /// `POP_MPLS`: the outermost label, leaving that EtherType.
    pub(super) fn pop_mpls(&mut self, kind: u16) {
        if self.key.is_mpls() && self.layout.is_whole {
            let (at, network) = (self.layout.ethertype, self.layout.network);
            self.bytes[at..at + 2].copy_from_slice(&kind.to_be_bytes());
            self.take_out(network..network + 4);
        }
    }

    /// `PUSH_PBB`.
    pub(super) fn push_pbb(&mut self, kind: u16) {
        if self.layout.network == 0 {
            return;
        }
        let mut header = [0; PBB_HEADER];
        header[..ADDRESSES].copy_from_slice(&self.bytes[..ADDRESSES]);
        header[ADDRESSES..ADDRESSES + 2].copy_from_slice(&kind.to_be_bytes());
        header[ADDRESSES + 2] = (self.key.tag() >> 13 << 5) as u8;
        if self.key.ethertype() == ethertype::PBB && self.layout.is_whole {
            let isid = self.get(Field::PbbIsid) as u32;
            header[ADDRESSES + 3..].copy_from_slice(&isid.to_be_bytes()[1..]);
        }
        self.insert(0, &header);
        self.reread();
    }

    /// `POP_PBB`: the outermost service tag with the addresses, and backbone tags, in front of it.
    pub(super) fn pop_pbb(&mut self) {
        if self.key.ethertype() == ethertype::PBB && self.layout.is_whole {
            self.take_out(0..self.layout.network + ITAG);
        }
    }

    /// 1.0's `SET_VLAN_VID` and `SET_VLAN_PCP`: the bits under the mask, adding a tag where there is none.
    pub(super) fn set_tag(&mut self, value: u16, mask: u16) {
        let tag = self.key.tag() & !mask | value & mask | VID_PRESENT;
        self.set(Field::VlanTci, u128::from(tag), u128::MAX);
    }

    /// The byte of the TTL in the header behind the outermost one, and whether that is IPv4's: MPLS in MPLS, or IP in
    /// the last label. What is behind a label says itself what it is.
    fn inner_ttl(&self) -> Option<(usize, bool)> {
        if !self.key.is_mpls() || !self.layout.is_whole {
            return None;
        }
        let inner = self.layout.network + 4;
        let is_last = self.bytes[inner - 2] & 1 != 0;
        let rest = &self.bytes[inner..];
        match (is_last, rest.first().map(|first| first >> 4)) {
            (false, Some(_)) if rest.len() >= 4 => Some((inner + 3, false)),
            (true, Some(4)) if rest.len() >= 20 => Some((inner + 8, true)),
            (true, Some(6)) if rest.len() >= 40 => Some((inner + 7, false)),
            _ => None,
        }
    }

    /// `COPY_TTL_OUT`.
    pub(super) fn copy_ttl_out(&mut self) {
        if let Some((at, _)) = self.inner_ttl() {
            let ttl = self.bytes[at];
            self.set(Field::MplsTtl, u128::from(ttl), u128::MAX);
        }
    }

    /// `COPY_TTL_IN`.
    pub(super) fn copy_ttl_in(&mut self) {
        let Some((at, is_ipv4)) = self.inner_ttl() else { return };
        let before = [self.bytes[at], if is_ipv4 { self.bytes[at + 1] } else { 0 }];
        self.bytes[at] = self.key.mpls_ttl();
        if is_ipv4 {
            let check = at + 2;
            let now = [self.bytes[at], self.bytes[at + 1]];
            let fixed = packet::checksum::update(be16(&self.bytes, check), &before, &now);
            self.bytes[check..check + 2].copy_from_slice(&fixed.to_be_bytes());
        }
    }

    /// Decrements IP's TTL; `false` where it was at its end.
    pub(super) fn decrement_ttl(&mut self) -> bool {
        match self.key.ttl() {
            _ if !self.key.is_ip() || !self.layout.is_whole => true,
            0 | 1 => false,
            ttl => {
                self.write_ttl(ttl - 1);
                true
            }
        }
    }

    /// Decrements the outermost label's TTL; `false` where it was at its end.
    pub(super) fn decrement_mpls_ttl(&mut self) -> bool {
        match self.key.mpls_ttl() {
            _ if !self.key.is_mpls() || !self.layout.is_whole => true,
            0 | 1 => false,
            ttl => self.set(Field::MplsTtl, u128::from(ttl - 1), u128::MAX),
        }
    }
}
