//! From one IP family to the other (RFC 7915): headers, ICMP, errors with what they quote, fragments.
//!
//! The payload stays where it is in its buffer; the new header is written in front of it. Ethernet padding is cut off
//! first, so no length and no checksum runs to the end of the buffer.

mod header;
mod icmp;

use std::net::IpAddr;

use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{EtherType, IpProtocol, WireError, ethernet, icmpv4, icmpv6, ipv6, udp};
use packet::{Checksum, Offload, Packet, Pool, SegmentKind, Segmentation, checksum};

use crate::{Cause, rewrite};
use header::{HEADER_MAX, Meaning};

/// Why a packet has no counterpart in the other family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// A header that lies.
    Unreadable,
    /// A routing header with segments left (§5.1).
    Routed,
    /// An authentication header covers the addresses (§5.1).
    Authenticated,
    /// An ICMP message in fragments: its checksum covers a length that nobody knows (§4.2, §5.2).
    Fragmented,
    /// A fragmented UDP datagram without a checksum, which IPv6 does not have (§4.5).
    NoChecksum,
    /// An ICMP error whose checksum is wrong: the new one would be right.
    WrongChecksum,
    /// A message that the other family does not have.
    NoCounterpart,
    /// The buffer has no room.
    NoRoom,
}

impl From<WireError> for Failed {
    fn from(_: WireError) -> Self {
        Self::Unreadable
    }
}

impl From<packet::NoRoom> for Failed {
    fn from(_: packet::NoRoom) -> Self {
        Self::NoRoom
    }
}

impl From<Failed> for Cause {
    fn from(failed: Failed) -> Self {
        let what = match failed {
            Failed::Unreadable => "header",
            Failed::Routed => "routing header",
            Failed::Authenticated => "authentication header",
            Failed::Fragmented => "fragmented icmp",
            Failed::NoChecksum => "fragmented udp without checksum",
            Failed::WrongChecksum => "wrong icmp checksum",
            Failed::NoCounterpart => "icmp message",
            Failed::NoRoom => "no room in the buffer",
        };
        Self { kind: "no counterpart", what }
    }
}

/// The number of a protocol in the other family.
const fn other_protocol(protocol: IpProtocol) -> IpProtocol {
    match protocol {
        IpProtocol::ICMP => IpProtocol::ICMPV6,
        IpProtocol::ICMPV6 => IpProtocol::ICMP,
        other => other,
    }
}

/// Makes a packet one of the family of `new`, with its addresses and ports. `ident` serves where IPv4 needs one.
pub(crate) fn packet(packet: &mut Packet, layers: &Layers, new: &FlowKey, ident: u16) -> Result<(), Failed> {
    let meaning = Meaning::of(layers, packet.data())?;
    packet.truncate(layers.end);
    let old = FlowKey::hosts(layers, packet.data()).ok_or(Failed::Unreadable)?;
    segment(packet, layers, &meaning, (&old, new))?;
    let mut header = [0; HEADER_MAX];
    let length = meaning.emit(new, ident, &mut header);
    replace(packet, meaning.payload_at, &header[..length])?;
    let offload = moved(packet.offload(), layers, new, ethernet::HEADER_LEN + length);
    packet.set_offload(offload);
    Ok(())
}

/// The transport's part: ports, types, checksum, while it stands behind its old header.
fn segment(
    packet: &mut Packet,
    layers: &Layers,
    meaning: &Meaning,
    (old, new): (&FlowKey, &FlowKey),
) -> Result<(), Failed> {
    let is_icmp = matches!(layers.protocol, IpProtocol::ICMP | IpProtocol::ICMPV6);
    if is_icmp && layers.fragment.is_some() {
        return Err(Failed::Fragmented);
    }
    let to_v6 = matches!(new, FlowKey::V6(_));
    if is_icmp || (to_v6 && is_bare(layers, packet.data())) {
        complete(packet, layers)?;
    }
    let offload = packet.offload();
    let addresses = checksum::combine(!hosts_sum(old), hosts_sum(new));
    rewrite::transport(packet.data_mut(), layers, &offload, new, addresses);
    if is_icmp {
        let message = layers.segment_mut(packet.data_mut());
        echo(message, meaning.payload_len, layers.network, new)?;
    }
    Ok(())
}

/// The sum of both addresses.
fn hosts_sum(key: &FlowKey) -> u16 {
    let one = |address| match address {
        IpAddr::V4(address) => checksum::sum(&address.octets()),
        IpAddr::V6(address) => checksum::sum(&address.octets()),
    };
    checksum::combine(one(key.source()), one(key.destination()))
}

/// Makes an echo the other family's; its identifier is the new one already. `rewrite::transport` has let the addresses of
/// ICMPv6 into the sum and left those of ICMP out, as for a packet that stays what it is.
fn echo(message: &mut [u8], length: usize, from: Network, new: &FlowKey) -> Result<(), Failed> {
    let kind = *message.first().ok_or(Failed::Unreadable)?;
    let other = icmp::other_echo(kind).ok_or(Failed::NoCounterpart)?;
    message[0] = other;
    let Some(field) = message.get_mut(icmpv4::CHECKSUM_OFFSET..icmpv4::CHECKSUM_OFFSET + 2) else {
        return Ok(());
    };
    let kinds = checksum::partial_update16(0, u16::from(kind) << 8, u16::from(other) << 8);
    let rest = checksum::fold(u64::from(IpProtocol::ICMPV6.0) + length as u64);
    // The pseudo header of ICMPv6: its addresses, its length, its protocol.
    let pseudo = match from {
        Network::V4 => checksum::combine(hosts_sum(new), rest),
        _ => checksum::combine(!hosts_sum(new), !rest),
    };
    let held = u16::from_be_bytes([field[0], field[1]]);
    field.copy_from_slice(&rewrite::mend(held, checksum::combine(kinds, pseudo)).to_be_bytes());
    Ok(())
}

/// Whether it is a UDP datagram without a checksum.
fn is_bare(layers: &Layers, frame: &[u8]) -> bool {
    layers.protocol == IpProtocol::UDP
        && layers.l4.is_some()
        && udp::View::new_quoted(layers.segment(frame)).is_ok_and(|datagram| datagram.checksum() == 0)
}

/// Computes the checksum where it is missing or still to be done.
fn complete(packet: &mut Packet, layers: &Layers) -> Result<(), Failed> {
    let offload = packet.offload();
    if rewrite::is_partial(layers, &offload) {
        packet.set_offload(Offload { checksum: Checksum::Unknown, ..offload });
    } else if layers.protocol != IpProtocol::UDP {
        return Ok(()); // it is there
    }
    if layers.fragment.is_some() {
        return Err(Failed::NoChecksum);
    }
    rewrite::fill(packet.data_mut(), layers).then_some(()).ok_or(Failed::Unreadable)
}

/// Puts `header` in the place of all that stands before `payload_at`, behind a link header.
fn replace(packet: &mut Packet, payload_at: usize, header: &[u8]) -> Result<(), Failed> {
    let front = ethernet::HEADER_LEN + header.len();
    match front.checked_sub(payload_at) {
        Some(more) => drop(packet.prepend(more)?),
        None => drop(packet.trim_front(payload_at - front)),
    }
    let (link, rest) = packet.data_mut().split_at_mut(ethernet::HEADER_LEN);
    let ethertype = if header[0] >> 4 == 4 { EtherType::IPV4 } else { EtherType::IPV6 };
    // Whoever sends it writes the addresses.
    ethernet::View::new_unchecked(link).set_ethertype(ethertype);
    rest[..header.len()].copy_from_slice(header);
    Ok(())
}

/// The work that is left, with the transport header at its new place.
fn moved(offload: Offload, layers: &Layers, new: &FlowKey, l4: usize) -> Offload {
    let checksum = match offload.checksum {
        Checksum::Partial { offset, .. } if rewrite::is_partial(layers, &offload) => {
            Checksum::Partial { start: l4 as u16, offset }
        }
        _ => Checksum::Unknown,
    };
    let kind = |kind| match (kind, new) {
        (SegmentKind::Udp, _) => SegmentKind::Udp,
        (_, FlowKey::V4(_)) => SegmentKind::TcpV4,
        (_, FlowKey::V6(_)) => SegmentKind::TcpV6,
    };
    let header = |length: u16| (usize::from(length) + l4).saturating_sub(layers.l4.unwrap_or(l4)) as u16;
    let segmentation = offload.segmentation.map(|old| Segmentation {
        kind: kind(old.kind),
        header_len: header(old.header_len),
        ..old
    });
    Offload { checksum, segmentation }
}

/// Makes an ICMP error one of the other family, between the addresses of `outer`, about the packet it quotes with the
/// tuple `quoted`.
pub(crate) fn error(
    packet: &mut Packet,
    layers: &Layers,
    (outer, quoted): (&FlowKey, &FlowKey),
    ident: u16,
) -> Result<(), Failed> {
    let meaning = Meaning::of(layers, packet.data())?;
    let message = layers.segment(packet.data());
    let is_right = match layers.addresses(packet.data()) {
        Some((IpAddr::V6(source), IpAddr::V6(destination))) => {
            icmpv6::View::new_checked(message)?.verify_checksum(source, destination)
        }
        _ => icmpv4::View::new_checked(message)?.verify_checksum(),
    };
    if !is_right && !rewrite::is_partial(layers, &packet.offload()) {
        return Err(Failed::WrongChecksum);
    }
    let header = message.get(..icmpv4::HEADER_LEN).ok_or(Failed::Unreadable)?;
    let head = (header[0], header[1], u32::from_be_bytes([header[4], header[5], header[6], header[7]]));
    let mut quote = [0; icmpv6::QUOTE_MAX];
    let (length, claimed) = quote_of(&message[icmpv4::HEADER_LEN..], quoted, &mut quote)?;
    let (head, most) = match outer {
        FlowKey::V4(_) => (icmp::error_to_v4(head), icmpv4::QUOTE_MAX),
        FlowKey::V6(_) => (icmp::error_to_v6(head, claimed), icmpv6::QUOTE_MAX),
    };
    let (kind, code, rest) = head.ok_or(Failed::NoCounterpart)?;
    let length = length.min(most);
    let meaning = Meaning { payload_len: icmpv4::HEADER_LEN + length, fragment: None, ..meaning };
    let mut ip = [0; HEADER_MAX];
    let ip_len = meaning.emit(outer, ident, &mut ip);
    packet.truncate(meaning.payload_at);
    packet.set_offload(Offload::default());
    replace(packet, meaning.payload_at, &ip[..ip_len])?;
    let body = packet.append(icmpv4::HEADER_LEN + length)?;
    body[..4].copy_from_slice(&[kind, code, 0, 0]);
    body[4..8].copy_from_slice(&rest.to_be_bytes());
    body[icmpv4::HEADER_LEN..].copy_from_slice(&quote[..length]);
    match outer {
        FlowKey::V4(_) => icmpv4::View::new_unchecked(body).fill_checksum(),
        FlowKey::V6(outer) => {
            icmpv6::View::new_unchecked(body).fill_checksum(outer.source, outer.destination);
        }
    }
    Ok(())
}

/// The quoted packet in the other family, as much of it as there is and fits. Returns its length, and the length it claimed
/// in its own.
fn quote_of(quoted: &[u8], new: &FlowKey, out: &mut [u8]) -> Result<(usize, usize), Failed> {
    let layers = Layers::of_quoted(quoted)?;
    let meaning = Meaning::of(&layers, quoted)?;
    let mut header = [0; HEADER_MAX];
    let header_len = meaning.emit(new, 0, &mut header);
    out[..header_len].copy_from_slice(&header[..header_len]);
    // The transport stands behind its old header while it is changed, as in a packet.
    let mut copy = [0; HEADER_MAX + icmpv6::QUOTE_MAX];
    let kept = layers.end.min(copy.len());
    copy[..kept].copy_from_slice(&quoted[..kept]);
    let layers = Layers { end: kept, ..layers };
    let old = FlowKey::hosts(&layers, &copy[..kept]).ok_or(Failed::Unreadable)?;
    let addresses = checksum::combine(!hosts_sum(&old), hosts_sum(new));
    rewrite::transport(&mut copy[..kept], &layers, &Offload::default(), new, addresses);
    if matches!(layers.protocol, IpProtocol::ICMP | IpProtocol::ICMPV6) {
        echo(layers.segment_mut(&mut copy[..kept]), meaning.payload_len, layers.network, new)?;
    }
    let payload = copy.get(meaning.payload_at..kept).unwrap_or_default();
    let length = payload.len().min(out.len() - header_len);
    out[header_len..header_len + length].copy_from_slice(&payload[..length]);
    Ok((header_len + length, meaning.payload_at + meaning.payload_len))
}

/// The largest IPv6 packet that an IPv4 one becomes; of a segment that is still to be cut, the largest piece.
pub(crate) fn length_in_v6(packet: &Packet, layers: &Layers) -> Result<usize, Failed> {
    let meaning = Meaning::of(layers, packet.data())?;
    let payload = match (packet.offload().segmentation, layers.payload) {
        (Some(segmentation), Some(at)) => {
            (at.saturating_sub(meaning.payload_at) + usize::from(segmentation.size)).min(meaning.payload_len)
        }
        _ => meaning.payload_len,
    };
    Ok(ipv6::HEADER_LEN + meaning.fragment.map_or(0, |_| ipv6::FRAGMENT_LEN) + payload)
}

/// Whether an IPv4 packet may be fragmented on its way.
pub(crate) fn may_fragment(packet: &Packet, layers: &Layers) -> bool {
    packet.offload().segmentation.is_none()
        && Meaning::of(layers, packet.data()).is_ok_and(|meaning| !meaning.dont_fragment)
}

/// Makes an IPv4 packet several IPv6 fragments of at most `mtu` bytes, each in a buffer of `pool` (§4.1). Returns how many
/// found no buffer.
pub(crate) fn fragments(
    mut packet: Packet,
    layers: &Layers,
    (new, mtu): (&FlowKey, usize),
    pool: &Pool,
    mut send: impl FnMut(Packet),
) -> Result<u64, Failed> {
    let meaning = Meaning::of(layers, packet.data())?;
    let FlowKey::V6(to) = new else { return Err(Failed::Unreadable) };
    let old = FlowKey::hosts(layers, packet.data()).ok_or(Failed::Unreadable)?;
    if rewrite::is_partial(layers, &packet.offload()) {
        complete(&mut packet, layers)?;
    }
    segment(&mut packet, layers, &meaning, (&old, new))?;
    let payload = packet.data().get(meaning.payload_at..layers.end).ok_or(Failed::Unreadable)?;
    let (ident, offset, more) = meaning.fragment.unwrap_or((u32::from(meaning.ident), 0, false));
    // All but the last are a multiple of 8 bytes long (RFC 8200 §4.5).
    let piece = mtu.saturating_sub(HEADER_MAX).max(8) & !7;
    let count = payload.len().div_ceil(piece);
    let mut lost = 0;
    for (at, bytes) in payload.chunks(piece).enumerate() {
        let offset = u16::try_from(usize::from(offset) + at * piece).map_err(|_| Failed::Unreadable)?;
        let fragment = Some((ident, offset, more || at + 1 < count));
        let (header, length) =
            Meaning { fragment, payload_len: bytes.len(), ..meaning }.to_v6((to.source, to.destination));
        let Some(mut out) = pool.alloc() else {
            lost += 1;
            continue;
        };
        out.set_len(ethernet::HEADER_LEN + length + bytes.len())?;
        let data = out.data_mut();
        ethernet::View::new_unchecked(&mut data[..]).set_ethertype(EtherType::IPV6);
        data[ethernet::HEADER_LEN..][..length].copy_from_slice(&header[..length]);
        data[ethernet::HEADER_LEN + length..].copy_from_slice(bytes);
        send(out);
    }
    Ok(lost)
}
