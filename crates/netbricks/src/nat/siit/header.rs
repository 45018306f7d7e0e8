//! What an IP header of either family says, and the other family's header that says the same (RFC 7915 §4.1, §5.1).

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, ipv4, ipv6};

use super::{Failed, other_protocol};

/// Bytes of the longer header that is written: IPv6 with a fragment header.
pub(super) const HEADER_MAX: usize = ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN;

/// IPv4 packets up to this length may be fragmented on their way: their sender never had to hear of a smaller MTU (§5.1).
const MAY_FRAGMENT_MAX: usize = 1260;

/// The family-free part of an IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) class: u8,
    pub(super) hops: u8,
    pub(super) protocol: IpProtocol,
    /// Identification, offset in bytes, and whether more follow; of IPv6 only with a fragment header.
    pub(super) fragment: Option<(u32, u16, bool)>,
    pub(super) dont_fragment: bool,
    /// Identification of an IPv4 packet, fragment or not.
    pub(super) ident: u16,
    /// Where the payload begins, from the start of the frame.
    pub(super) payload_at: usize,
    /// Bytes of payload that the header claims; a quote may hold fewer.
    pub(super) payload_len: usize,
}

impl Meaning {
    pub(super) fn of(layers: &Layers, frame: &[u8]) -> Result<Self, Failed> {
        let packet = frame.get(layers.l3..layers.end).ok_or(Failed::Unreadable)?;
        match layers.network {
            Network::V4 => Self::of_v4(layers, &ipv4::View::new_quoted(packet)?),
            Network::V6 => Self::of_v6(layers, &ipv6::View::new_quoted(packet)?),
            Network::Arp | Network::Other => Err(Failed::Unreadable),
        }
    }

    fn of_v4(layers: &Layers, ip: &ipv4::View<&[u8]>) -> Result<Self, Failed> {
        let fragment = (u32::from(ip.ident()), ip.fragment_offset(), ip.more_fragments());
        Ok(Self {
            class: ip.tos(),
            hops: ip.ttl(),
            protocol: ip.protocol(),
            fragment: ip.is_fragment().then_some(fragment),
            dont_fragment: ip.dont_fragment(),
            ident: ip.ident(),
            payload_at: layers.l3 + ip.header_len(),
            payload_len: ip.total_len() - ip.header_len(),
        })
    }

    fn of_v6(layers: &Layers, ip: &ipv6::View<&[u8]>) -> Result<Self, Failed> {
        for extension in ip.extensions() {
            match extension? {
                ipv6::Extension::Routing { segments_left: 1.., .. } => return Err(Failed::Routed),
                ipv6::Extension::Authentication { .. } => return Err(Failed::Authenticated),
                _ => {}
            }
        }
        let upper = ip.upper()?;
        let fragment = upper.fragment.map(|fragment| (fragment.ident, fragment.offset, fragment.more));
        Ok(Self {
            class: ip.traffic_class(),
            hops: ip.hop_limit(),
            protocol: upper.protocol,
            fragment,
            dont_fragment: fragment.is_none(),
            ident: 0,
            payload_at: layers.l3 + upper.offset,
            payload_len: ip.total_len().checked_sub(upper.offset).ok_or(Failed::Unreadable)?,
        })
    }

    /// The IPv4 header, without options. `ident` is for a packet that has none and may be fragmented.
    pub(super) fn to_v4(
        self,
        (source, destination): (Ipv4Addr, Ipv4Addr),
        ident: u16,
    ) -> [u8; ipv4::HEADER_LEN] {
        let may_fragment = ipv4::HEADER_LEN + self.payload_len <= MAY_FRAGMENT_MAX;
        let (ident, fragment_offset, more_fragments) = match self.fragment {
            Some((ident, offset, more)) => (ident as u16, offset, more),
            None => (if may_fragment { ident } else { 0 }, 0, false),
        };
        let mut header = [0; ipv4::HEADER_LEN];
        ipv4::Repr {
            source,
            destination,
            protocol: other_protocol(self.protocol),
            ttl: self.hops,
            tos: self.class,
            ident,
            dont_fragment: self.fragment.is_none() && !may_fragment,
            more_fragments,
            fragment_offset,
            payload_len: self.payload_len,
        }
        .emit(&mut ipv4::View::new_unchecked(&mut header[..]));
        header
    }

    /// The IPv6 header, and a fragment header where it is one, and how long they are.
    pub(super) fn to_v6(self, (source, destination): (Ipv6Addr, Ipv6Addr)) -> ([u8; HEADER_MAX], usize) {
        let protocol = other_protocol(self.protocol);
        let extra = self.fragment.map_or(0, |_| ipv6::FRAGMENT_LEN);
        let mut header = [0; HEADER_MAX];
        ipv6::Repr {
            source,
            destination,
            next_header: self.fragment.map_or(protocol, |_| IpProtocol::FRAGMENT),
            hop_limit: self.hops,
            traffic_class: self.class,
            flow_label: 0,
            payload_len: self.payload_len + extra,
        }
        .emit(&mut ipv6::View::new_unchecked(&mut header[..]));
        if let Some((ident, offset, more)) = self.fragment {
            let field = &mut header[ipv6::HEADER_LEN..];
            field[0] = protocol.0;
            field[2..4].copy_from_slice(&(offset | u16::from(more)).to_be_bytes());
            field[4..8].copy_from_slice(&ident.to_be_bytes());
        }
        (header, ipv6::HEADER_LEN + extra)
    }

    /// Writes the header of the family of `new`; returns its length.
    pub(super) fn emit(self, new: &FlowKey, ident: u16, out: &mut [u8; HEADER_MAX]) -> usize {
        match new {
            FlowKey::V4(new) => {
                out[..ipv4::HEADER_LEN].copy_from_slice(&self.to_v4((new.source, new.destination), ident));
                ipv4::HEADER_LEN
            }
            FlowKey::V6(new) => {
                let (header, length) = self.to_v6((new.source, new.destination));
                *out = header;
                length
            }
        }
    }
}
