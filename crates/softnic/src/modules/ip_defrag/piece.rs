//! A fragment: which packet it is of, which part of it, and how parts become the packet.

use std::net::{IpAddr, SocketAddr};

use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, ipv4, ipv6};
use packet::{Offload, Packet, Pool};

use super::super::front;

/// What the fragments of a packet have in common: addresses and identification, in IPv4 also the protocol.
pub(super) type Key = (FlowKey, u32);

/// Which part of its packet a fragment is, and where in its frame that lies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece {
    /// From the beginning of what was cut.
    pub(super) start: usize,
    pub(super) length: usize,
    /// It is not the last.
    pub(super) more: bool,
    /// Where its bytes lie in the frame.
    at: usize,
    l3: usize,
    /// In IPv6, where the fragment header lies, and the field that announces it.
    header: Option<(usize, usize)>,
}

impl Piece {
    /// What a fragment is; `None` for one that is malformed: without bytes, not a multiple of 8 in length though not the
    /// last, or reaching beyond what a packet may have.
    pub(super) fn of(layers: &Layers, frame: &[u8]) -> Option<(Key, Self)> {
        let fragment = layers.fragment?;
        let (header, at) = match layers.network {
            Network::V4 => {
                let ip = ipv4::View::new_checked(layers.network_packet(frame)).ok()?;
                (None, layers.l3 + ip.header_len())
            }
            _ => {
                let (announced, header) = fragment_header(layers.network_packet(frame))?;
                (Some((layers.l3 + header, layers.l3 + announced)), layers.l3 + header + ipv6::FRAGMENT_LEN)
            }
        };
        let start = usize::from(fragment.offset);
        let length = layers.end.checked_sub(at).filter(|length| *length > 0)?;
        let is_aligned = !fragment.more || length % 8 == 0;
        let is_short = at - layers.l3 + start + length <= usize::from(u16::MAX);
        if !is_aligned || !is_short {
            return None;
        }
        let key = (key(layers, frame)?, fragment.ident);
        Some((key, Self { start, length, more: fragment.more, at, l3: layers.l3, header }))
    }
}

fn key(layers: &Layers, frame: &[u8]) -> Option<FlowKey> {
    let (source, destination) = layers.addresses(frame)?;
    // In IPv6 what follows the fragment header may differ between fragments (RFC 8200 §4.5).
    let protocol = if matches!(source, IpAddr::V4(_)) { layers.protocol } else { IpProtocol::NONE };
    FlowKey::new(protocol, SocketAddr::new(source, 0), SocketAddr::new(destination, 0))
}

/// Where in an IPv6 packet the fragment header is announced, and where it lies.
fn fragment_header(packet: &[u8]) -> Option<(usize, usize)> {
    const NEXT_HEADER: usize = 6;
    let ip = ipv6::View::new_checked(packet).ok()?;
    let mut extensions = ip.extensions();
    let mut announced = NEXT_HEADER;
    let mut at = extensions.offset();
    while let Some(extension) = extensions.next() {
        let header = ipv6::HEADER_LEN + at;
        if matches!(extension.ok()?, ipv6::Extension::Fragment(_)) {
            return Some((announced, header));
        }
        // Every extension header begins with what follows it (RFC 8200 §4).
        announced = header;
        at = extensions.offset();
    }
    None
}

/// The packet of these fragments, which are all it has, in order; `None` where no buffer can hold it.
pub(super) fn join<'a>(
    pool: &Pool,
    mut fragments: impl Iterator<Item = (Piece, Option<&'a Packet>)>,
    bytes: usize,
) -> Option<Packet> {
    let (first, packet) = fragments.next()?;
    let packet = packet?;
    let length = first.at + bytes;
    let mut whole = pool.alloc()?;
    whole.set_len(length).ok()?;
    let mut end = first.at + first.length;
    whole.data_mut()[..end].copy_from_slice(packet.data().get(..end)?);
    for (piece, packet) in fragments {
        let from = packet?.data().get(piece.at..piece.at + piece.length)?;
        whole.data_mut().get_mut(end..end + piece.length)?.copy_from_slice(from);
        end += piece.length;
    }
    whole.set_ingress(packet.ingress());
    whole.set_egress(packet.egress());
    whole.set_timestamp_ns(packet.timestamp_ns());
    *whole.metadata_mut() = *packet.metadata();
    whole.set_offload(Offload::default());
    mend(&mut whole, &first);
    Some(whole)
}

/// Lets the header say that the packet is whole.
fn mend(whole: &mut Packet, first: &Piece) {
    let l3 = first.l3;
    if let Some((header, announced)) = first.header {
        let frame = whole.data_mut();
        frame[announced] = frame[header];
        front::cut(whole, header, ipv6::FRAGMENT_LEN);
        let length = whole.len() - l3 - ipv6::HEADER_LEN;
        ipv6::View::new_unchecked(&mut whole.data_mut()[l3..]).set_payload_len(length);
        return;
    }
    let length = whole.len() - l3;
    let mut ip = ipv4::View::new_unchecked(&mut whole.data_mut()[l3..]);
    let keeps_whole = ip.dont_fragment();
    ip.set_total_len(length);
    ip.set_fragment(keeps_whole, false, 0);
    ip.fill_checksum();
}
