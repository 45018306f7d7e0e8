//! From a frame's bytes to its key, and to where its headers are.
//!
//! Every length is checked before a byte behind it is believed. A header that lies is not there: its frame still has the
//! fields in front of it.

use packet::wire::{arp, ipv4, ipv6};

use super::key::{
    FRAGMENT_ANY, FRAGMENT_LATER, Key, NOT_ETHERTYPE, PACKET_WORDS, VID_PRESENT, ethertype, protocol,
};
use crate::field::Field;

/// Bytes of an Ethernet header: what a frame must have.
pub const FRAME_MIN: usize = 14;
/// VLAN tags that are looked behind.
pub const TAGS_MAX: usize = 8;
/// Bytes of two Ethernet addresses, behind which tags are.
pub(super) const ADDRESSES: usize = 12;
/// Bytes of a PBB header behind its EtherType and in front of the inner frame.
pub(super) const ITAG: usize = 4;

/// Where headers are in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Layout {
    /// The EtherType behind the tags.
    pub(super) ethertype: usize,
    /// What follows it.
    pub(super) network: usize,
    /// Whether an IP, ARP, MPLS or PBB header is there and whole.
    pub(super) is_whole: bool,
    /// The transport header, where there is one: not in later fragments.
    pub(super) transport: Option<usize>,
    /// The end of what IP says is its payload.
    pub(super) end: usize,
    /// IPv6: the byte that says what the transport is.
    pub(super) next_header: usize,
    /// Neighbour discovery's target is there.
    pub(super) has_target: bool,
    /// Neighbour discovery's link-layer address options: the addresses in them.
    pub(super) source_mac: Option<usize>,
    pub(super) target_mac: Option<usize>,
}

/// Big-endian 16 bits that are known to be there.
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The same for up to eight bytes.
fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

const fn is_tag(kind: u16) -> bool {
    matches!(kind, ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD)
}

/// Reads the fields of `frame` into `key`, whose pipeline fields stay as they are.
pub(super) fn read(frame: &[u8], key: &mut Key) -> Layout {
    key.0[PACKET_WORDS].fill(0);
    key.set_link(0, 0);
    let mut layout = Layout::default();
    if frame.len() < FRAME_MIN {
        return layout;
    }
    key.0[11] = be(&frame[..6]) << 16;
    key.0[12] = be(&frame[6..12]) << 16;
    let (mut at, mut tag) = (ADDRESSES, 0);
    let mut kind = be16(frame, at);
    for count in 0..TAGS_MAX {
        if !is_tag(kind) || frame.len() < at + 6 {
            break;
        }
        if count == 0 {
            let control = be16(frame, at + 2);
            tag = control & 0xefff | VID_PRESENT;
        }
        at += 4;
        kind = be16(frame, at);
    }
    if kind < 0x0600 {
        // IEEE 802.3; behind LLC and SNAP of Ethernet there is an EtherType after all (RFC 1042).
        let is_snap = frame.len() >= at + 10 && frame[at + 2..at + 8] == [0xaa, 0xaa, 3, 0, 0, 0];
        if is_snap && be16(frame, at + 8) >= 0x0600 {
            at += 8;
            kind = be16(frame, at);
        } else {
            kind = NOT_ETHERTYPE;
        }
    }
    key.set_link(kind, tag);
    (layout.ethertype, layout.network, layout.end) = (at, at + 2, frame.len());
    let rest = &frame[layout.network..];
    match kind {
        ethertype::IPV4 => read_ipv4(rest, key, &mut layout),
        ethertype::IPV6 => read_ipv6(rest, key, &mut layout),
        ethertype::ARP => {
            if let Ok(view) = arp::View::new_checked(rest) {
                layout.is_whole = true;
                key.0[13] =
                    u64::from(view.sender_ip().to_bits()) << 32 | u64::from(view.target_ip().to_bits());
                key.0[14] = be(&view.sender_mac().0) << 16;
                key.0[15] = be(&view.target_mac().0) << 16;
                key.0[17] = u64::from(view.operation().0) << 48;
            }
        }
        ethertype::MPLS | ethertype::MPLS_MULTICAST if rest.len() >= 4 => {
            layout.is_whole = true;
            key.0[13] = be(&rest[..4]);
        }
        ethertype::PBB if rest.len() >= ITAG => {
            layout.is_whole = true;
            key.0[13] = be(&rest[1..ITAG]);
            key.set(Field::PbbUca, u128::from(rest[0] >> 3 & 1));
        }
        _ => {}
    }
    // What a header's absence decides must show in the key: frames of equal keys are treated alike.
    let has_mac = layout.source_mac.or(layout.target_mac).is_some();
    let is_there = [layout.has_target, layout.is_whole, layout.transport.is_some(), has_mac];
    for (bit, is_there) in (4..).zip(is_there) {
        key.0[11] |= u64::from(is_there) << bit;
    }
    layout
}

fn read_ipv4(rest: &[u8], key: &mut Key, layout: &mut Layout) {
    let Ok(view) = ipv4::View::new_checked(rest) else { return };
    layout.is_whole = true;
    layout.end = layout.network + view.total_len();
    let mut fragment = 0;
    if view.is_fragment() {
        fragment = FRAGMENT_ANY | if view.fragment_offset() > 0 { FRAGMENT_LATER } else { 0 };
    }
    key.0[11] |= u64::from(view.protocol().0) << 8 | u64::from(fragment);
    key.0[12] |= u64::from(view.tos()) << 8 | u64::from(view.ttl());
    key.0[13] = u64::from(view.source().to_bits()) << 32 | u64::from(view.destination().to_bits());
    if fragment & FRAGMENT_LATER == 0 {
        read_transport(view.payload(), layout.network + view.header_len(), key, layout);
    }
}

/// Bits of `OXM_OF_IPV6_EXTHDR` (1.3.5, table 12 and `ofp_ipv6exthdr_flags`).
mod exthdr {
    pub(super) const NO_NEXT: u64 = 1 << 0;
    pub(super) const ESP: u64 = 1 << 1;
    pub(super) const AUTH: u64 = 1 << 2;
    pub(super) const DESTINATION: u64 = 1 << 3;
    pub(super) const FRAGMENT: u64 = 1 << 4;
    pub(super) const ROUTER: u64 = 1 << 5;
    pub(super) const HOP: u64 = 1 << 6;
    pub(super) const REPEATED: u64 = 1 << 7;
    pub(super) const OUT_OF_ORDER: u64 = 1 << 8;
}

fn read_ipv6(rest: &[u8], key: &mut Key, layout: &mut Layout) {
    let Ok(view) = ipv6::View::new_checked(rest) else { return };
    layout.is_whole = true;
    layout.end = layout.network + view.total_len();
    let (source, destination) = (view.source().to_bits(), view.destination().to_bits());
    key.0[12] |= u64::from(view.traffic_class()) << 8 | u64::from(view.hop_limit());
    key.0[13] = (source >> 64) as u64;
    key.0[14] = source as u64;
    key.0[15] = (destination >> 64) as u64;
    key.0[16] = destination as u64;
    // The order of RFC 8200, section 4.1; a destination header may be before the routing header too.
    let (mut seen, mut last_rank, mut fragment) = (0, 0, 0);
    let mut extensions = view.extensions();
    layout.next_header = layout.network + 6;
    let mut destinations = 0;
    loop {
        let at = layout.network + ipv6::HEADER_LEN + extensions.offset();
        let extension = match extensions.next() {
            Some(Ok(extension)) => extension,
            // What a lying header hides is not there.
            Some(Err(_)) => return,
            None => break,
        };
        let (bit, rank) = match extension {
            ipv6::Extension::HopByHop(_) => (exthdr::HOP, 1),
            ipv6::Extension::Destination(_) => (exthdr::DESTINATION, if destinations == 0 { 2 } else { 6 }),
            ipv6::Extension::Routing { .. } => (exthdr::ROUTER, 3),
            ipv6::Extension::Fragment(found) => {
                fragment = FRAGMENT_ANY | if found.offset > 0 { FRAGMENT_LATER } else { 0 };
                (exthdr::FRAGMENT, 4)
            }
            ipv6::Extension::Authentication { .. } => (exthdr::AUTH, 5),
        };
        destinations += u8::from(bit == exthdr::DESTINATION);
        let twice = bit == exthdr::DESTINATION && destinations <= 2;
        if seen & bit != 0 && !twice {
            seen |= exthdr::REPEATED;
        }
        // A single destination header may stand last, behind all others.
        let late = bit == exthdr::DESTINATION && last_rank <= 5;
        if rank < last_rank && !late {
            seen |= exthdr::OUT_OF_ORDER;
        }
        (seen, last_rank) = (seen | bit, if late && rank < last_rank { 6 } else { rank });
        layout.next_header = at;
    }
    let protocol = extensions.next_header().0;
    seen |= match protocol {
        59 => exthdr::NO_NEXT,
        50 => exthdr::ESP,
        _ => 0,
    };
    key.0[11] |= u64::from(protocol) << 8 | u64::from(fragment);
    key.0[22] = u64::from(view.flow_label()) << 32 | seen;
    if fragment & FRAGMENT_LATER == 0 {
        let offset = extensions.offset();
        let payload = view.payload();
        read_transport(
            &payload[offset.min(payload.len())..],
            layout.network + ipv6::HEADER_LEN + offset,
            key,
            layout,
        );
    }
}

fn read_transport(segment: &[u8], at: usize, key: &mut Key, layout: &mut Layout) {
    let is_v6 = key.ethertype() == ethertype::IPV6;
    let header = match key.protocol() {
        protocol::TCP => 20,
        protocol::UDP => 8,
        protocol::SCTP => 12,
        protocol::ICMP if !is_v6 => 4,
        protocol::ICMPV6 if is_v6 => 4,
        _ => return,
    };
    if segment.len() < header {
        return;
    }
    layout.transport = Some(at);
    match key.protocol() {
        protocol::ICMP | protocol::ICMPV6 => {
            key.0[17] = u64::from(segment[0]) << 48 | u64::from(segment[1]) << 32;
            if is_v6 && matches!(segment[0], 135 | 136) && segment.len() >= 24 {
                read_discovery(segment, at, key, layout);
            }
        }
        other => {
            key.0[17] = be(&segment[..4]) << 32;
            if other == protocol::TCP {
                key.0[17] |= u64::from(be16(segment, 12) & 0x0fff);
            }
        }
    }
}

/// A neighbour solicitation or advertisement (RFC 4861, sections 4.3, 4.4 and 4.6.1), with its target and one option.
fn read_discovery(segment: &[u8], at: usize, key: &mut Key, layout: &mut Layout) {
    layout.has_target = true;
    key.0[18] = be(&segment[8..16]);
    key.0[19] = be(&segment[16..24]);
    let mut option = 24;
    // Each option has eight bytes at least, so this ends.
    while segment.len() >= option + 8 {
        let length = usize::from(segment[option + 1]) * 8;
        if length == 0 || segment.len() < option + length {
            return;
        }
        let address = &segment[option + 2..option + 8];
        match (segment[option], length) {
            (1, 8) if segment[0] == 135 && layout.source_mac.is_none() => {
                key.0[20] = be(address) << 16;
                layout.source_mac = Some(at + option + 2);
            }
            (2, 8) if segment[0] == 136 && layout.target_mac.is_none() => {
                key.0[21] = be(address) << 16;
                layout.target_mac = Some(at + option + 2);
            }
            _ => {}
        }
        option += length;
    }
}
