//! The last hop in software: what a port cannot leave to the kernel is done here.
//!
//! [`complete`] fills in a checksum that was left partial. [`Segments`] cuts a large TCP or UDP packet into frames,
//! one at a time and straight to where they are wanted. [`finish`] does what a port's [`Offloads`] lack.
//!
//! ```text
//! headers │▓▓▓▓▓▓▓▓▓▓▓▓▓▓ payload ▓▓▓▓▓▓▓▓▓▓▓▓▓▓│      one packet, Segmentation { size }
//! headers'│▓▓▓ size ▓▓▓│                                length, IP ident, sequence, flags, checksums anew
//! headers''           │▓▓▓ size ▓▓▓│
//! headers'''                       │▓ rest ▓│
//! ```
//!
//! The rules are those of the kernel's own segmentation (`net/ipv4/tcp_offload.c`, `udp_offload.c`): the IPv4
//! identification counts up; FIN and PSH stay on the last segment, CWR on the first (RFC 3168, section 6.1.2).

use packet::parse::{Layers, Network};
use packet::wire::IpProtocol;
use packet::{Checksum, Packet, Pool, SegmentKind, Segmentation, checksum};

use crate::Offloads;

/// The most segments that one packet is cut into: what asks for more is no sensible sender.
pub const SEGMENTS_MAX: usize = 1024;

const TCP_SEQUENCE: usize = 4;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
const TCP_FIN_PSH: u8 = 0x01 | 0x08;
const TCP_CWR: u8 = 0x80;
const UDP_LENGTH: usize = 4;
const UDP_CHECKSUM: usize = 6;
const IPV4_LENGTH: usize = 2;
const IPV4_IDENT: usize = 4;
const IPV4_CHECKSUM: usize = 10;
const IPV6_LENGTH: usize = 4;
const IPV6_HEADER: usize = 40;

/// Why a packet's offload state cannot be carried out. Such packets come from a broken or hostile sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// The checksum is to cover, or to be written to, bytes that are not there.
    #[error("a checksum from byte {start}, written to byte {start}+{offset}, in a frame of {len} bytes")]
    Checksum {
        /// Where the sum starts.
        start: u16,
        /// Where the field lies, from there.
        offset: u16,
        /// Length of the frame.
        len: usize,
    },
    /// The frame is not what the segmentation says, or its headers lie.
    #[error("{kind:?} segmentation of a frame that is no such packet")]
    Frame {
        /// The kind asked for.
        kind: SegmentKind,
    },
    /// Segments so small that there would be too many.
    #[error("{payload} bytes in segments of {size}: more than {SEGMENTS_MAX}")]
    TooMany {
        /// Bytes to be cut.
        payload: usize,
        /// Bytes of one segment.
        size: u16,
    },
    /// The pool had no buffer, or none large enough, for a segment.
    #[error("no buffer for a segment")]
    NoBuffer,
}

/// Fills in a checksum that was left partial, and does nothing to a packet without one.
///
/// # Errors
/// [`FinishError::Checksum`] when it points outside the frame; the packet is unchanged.
pub fn complete(packet: &mut Packet) -> Result<(), FinishError> {
    let mut offload = packet.offload();
    let Checksum::Partial { start, offset } = offload.checksum else { return Ok(()) };
    let frame = packet.data_mut();
    let (from, field) = (usize::from(start), usize::from(start) + usize::from(offset));
    if from >= frame.len() || field + 2 > frame.len() {
        return Err(FinishError::Checksum { start, offset, len: frame.len() });
    }
    let sum = not_zero(checksum::checksum(&frame[from..]));
    put16(frame, field, sum);
    offload.checksum = Checksum::Unknown;
    packet.set_offload(offload);
    Ok(())
}

/// Whether this packet has work on it that a port with these offloads leaves to software.
#[inline]
#[must_use]
pub fn needs_work(packet: &Packet, offloads: Offloads) -> bool {
    let offload = packet.offload();
    let cut = offload.segmentation.is_some_and(|wanted| !takes(offloads, wanted.kind));
    cut || (!offloads.checksum && matches!(offload.checksum, Checksum::Partial { .. }))
}

/// Whether a port with these offloads takes packets of this kind whole.
#[inline]
fn takes(offloads: Offloads, kind: SegmentKind) -> bool {
    match kind {
        SegmentKind::TcpV4 | SegmentKind::TcpV6 => offloads.tcp_segmentation,
        SegmentKind::Udp => offloads.udp_segmentation,
    }
}

/// Does the work on a packet that `offloads` lack and hands the result to `out`: the packet itself, or its segments
/// in buffers of `pool`. Returns how many packets that were.
///
/// # Errors
/// [`FinishError`] when the packet's offload state makes no sense, before anything was handed out, or when `pool`
/// runs out on the way: then the segments before that are out and the rest is lost.
pub fn finish(
    mut packet: Packet,
    offloads: Offloads,
    pool: &Pool,
    mut out: impl FnMut(Packet),
) -> Result<usize, FinishError> {
    match packet.offload().segmentation {
        Some(wanted) if !takes(offloads, wanted.kind) => {
            let mut segments = Segments::new(&packet, wanted, offloads.checksum)?;
            let count = segments.len();
            for _ in 0..count {
                out(segments.next_packet(pool)?);
            }
            Ok(count)
        }
        _ => {
            if !offloads.checksum {
                complete(&mut packet)?;
            }
            out(packet);
            Ok(1)
        }
    }
}

/// A large packet while it is cut into segments.
#[derive(Debug)]
pub struct Segments<'a> {
    packet: &'a Packet,
    plan: Plan,
    next: usize,
}

/// Where things lie in the packet; every offset is within it.
#[derive(Clone, Copy, Debug)]
struct Plan {
    network: Network,
    protocol: IpProtocol,
    l3: usize,
    l4: usize,
    payload: usize,
    end: usize,
    size: usize,
    /// The pseudo header's sum without the length, folded.
    pseudo: u16,
    /// Whether checksums may stay partial.
    partial: bool,
}

impl<'a> Segments<'a> {
    /// Checks a packet and plans how to cut it. With `partial`, the segments' checksums are left to the port.
    ///
    /// # Errors
    /// [`FinishError`] when the frame is not what `wanted` says, or it would be too many segments.
    pub fn new(packet: &'a Packet, wanted: Segmentation, partial: bool) -> Result<Self, FinishError> {
        let plan = Plan::of(packet, wanted, partial)?;
        Ok(Self { packet, plan, next: 0 })
    }

    /// How many segments are still to come.
    pub fn len(&self) -> usize {
        self.plan.count() - self.next
    }

    /// Whether all were taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length in bytes of the longest frame.
    pub fn frame_len_max(&self) -> usize {
        self.plan.payload + self.plan.size.min(self.plan.end - self.plan.payload)
    }

    /// Writes the next segment to the front of `to` and returns its length; `None` when there is none or `to` is too
    /// short for it.
    pub fn write_next(&mut self, to: &mut [u8]) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let (plan, frame) = (&self.plan, self.packet.data());
        let from = plan.payload + self.next * plan.size;
        let until = plan.end.min(from + plan.size);
        let len = plan.payload + until - from;
        let to = to.get_mut(..len)?;
        to[..plan.payload].copy_from_slice(&frame[..plan.payload]);
        to[plan.payload..].copy_from_slice(&frame[from..until]);
        plan.rewrite(to, self.next, self.next + 1 == plan.count());
        self.next += 1;
        Some(len)
    }

    /// The next segment in a buffer of `pool`.
    ///
    /// # Errors
    /// [`FinishError::NoBuffer`] when there is none, or none large enough, or no segment is left.
    pub fn next_packet(&mut self, pool: &Pool) -> Result<Packet, FinishError> {
        let mut segment = pool.alloc().ok_or(FinishError::NoBuffer)?;
        let len = self.write_next(segment.room_mut()).ok_or(FinishError::NoBuffer)?;
        segment.set_len(len).map_err(|_| FinishError::NoBuffer)?;
        let mut offload = packet::Offload::default();
        if self.plan.partial {
            let (start, offset) = (self.plan.l4 as u16, self.plan.checksum_field() as u16);
            offload.checksum = Checksum::Partial { start, offset };
        }
        segment.set_offload(offload);
        segment.set_ingress(self.packet.ingress());
        segment.set_egress(self.packet.egress());
        segment.set_timestamp_ns(self.packet.timestamp_ns());
        segment.set_flow_hash(self.packet.flow_hash());
        Ok(segment)
    }
}

impl Plan {
    fn of(packet: &Packet, wanted: Segmentation, partial: bool) -> Result<Self, FinishError> {
        let error = FinishError::Frame { kind: wanted.kind };
        let frame = packet.data();
        let layers = Layers::of(frame).map_err(|_| error)?;
        let protocol = match (wanted.kind, layers.network) {
            (SegmentKind::TcpV4, Network::V4) | (SegmentKind::TcpV6, Network::V6) => IpProtocol::TCP,
            (SegmentKind::Udp, Network::V4 | Network::V6) => IpProtocol::UDP,
            _ => return Err(error),
        };
        let (Some(l4), Some(payload)) = (layers.l4, layers.payload) else { return Err(error) };
        let in_place = layers.protocol == protocol && layers.fragment.is_none() && payload <= layers.end;
        if !in_place || wanted.size == 0 {
            return Err(error);
        }
        let (source, destination) = layers.addresses(frame).ok_or(error)?;
        let mut plan = Self {
            network: layers.network,
            protocol,
            l3: layers.l3,
            l4,
            payload,
            end: layers.end,
            size: usize::from(wanted.size),
            pseudo: checksum::pseudo(source, destination, protocol, 0).ok_or(error)?,
            partial,
        };
        if let Checksum::Partial { start, offset } = packet.offload().checksum {
            if (usize::from(start), usize::from(offset)) != (l4, plan.checksum_field()) {
                return Err(error);
            }
            // The sender's own sum, less its length: with a routing header the last destination is in it.
            let sum = get16(frame, l4 + plan.checksum_field());
            plan.pseudo = checksum::combine(sum, !checksum::fold((plan.end - l4) as u64));
        }
        if plan.count() > SEGMENTS_MAX {
            return Err(FinishError::TooMany { payload: plan.end - payload, size: wanted.size });
        }
        Ok(plan)
    }

    fn count(&self) -> usize {
        (self.end - self.payload).div_ceil(self.size).max(1)
    }

    fn checksum_field(&self) -> usize {
        if self.protocol == IpProtocol::TCP { TCP_CHECKSUM } else { UDP_CHECKSUM }
    }

    /// Makes the copied headers those of segment `index`.
    fn rewrite(&self, frame: &mut [u8], index: usize, last: bool) {
        let len = frame.len();
        let (network, transport) = frame[self.l3..].split_at_mut(self.l4 - self.l3);
        if self.network == Network::V4 {
            put16(network, IPV4_LENGTH, (len - self.l3) as u16);
            let ident = get16(network, IPV4_IDENT).wrapping_add(index as u16);
            put16(network, IPV4_IDENT, ident);
            put16(network, IPV4_CHECKSUM, 0);
            let sum = checksum::checksum(network);
            put16(network, IPV4_CHECKSUM, sum);
        } else {
            put16(network, IPV6_LENGTH, (len - self.l3 - IPV6_HEADER) as u16);
        }
        if self.protocol == IpProtocol::TCP {
            let sequence = transport[TCP_SEQUENCE..TCP_SEQUENCE + 4].try_into().map_or(0, u32::from_be_bytes);
            let sequence = sequence.wrapping_add((index * self.size) as u32);
            transport[TCP_SEQUENCE..TCP_SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
            if !last {
                transport[TCP_FLAGS] &= !TCP_FIN_PSH;
            }
            if index > 0 {
                transport[TCP_FLAGS] &= !TCP_CWR;
            }
        } else {
            put16(transport, UDP_LENGTH, transport.len() as u16);
        }
        let pseudo = checksum::combine(self.pseudo, checksum::fold(transport.len() as u64));
        put16(transport, self.checksum_field(), pseudo);
        if !self.partial {
            let sum = not_zero(checksum::checksum(transport));
            put16(transport, self.checksum_field(), sum);
        }
    }
}

/// A UDP checksum of 0 means that there is none (RFC 768); both zeros are the same number, so the other serves.
fn not_zero(sum: u16) -> u16 {
    if sum == 0 { 0xffff } else { sum }
}

fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
#[path = "finish_tests.rs"]
mod tests;
