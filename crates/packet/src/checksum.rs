//! The Internet checksum (RFC 1071): full, incremental (RFC 1624) and partial (the kernel's `CHECKSUM_PARTIAL`).
//!
//! Two kinds of 16-bit values travel through here, both in host order:
//!
//! * a **sum** is a folded one's-complement sum that is *not* complemented. [`sum`], [`pseudo_v4`] and [`combine`]
//!   return sums; a `CHECKSUM_PARTIAL` field holds one, the pseudo header's, until the last hop finishes the job;
//! * a **checksum** is what a finished header field holds: the complement of a sum.
//!
//! ```
//! use packet::checksum;
//! let header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
//! let check = checksum::checksum(&header);
//! assert_eq!(check, 0xb861);
//! // TTL 0x40 becomes 0x3f: the word 0x4011 becomes 0x3f11.
//! assert_eq!(checksum::update16(check, 0x4011, 0x3f11), 0xb961);
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::IpProtocol;

/// Folds a wide accumulator of 16-bit words to a 16-bit one's-complement sum.
#[inline]
#[must_use]
pub const fn fold(accumulator: u64) -> u16 {
    let (both, carry) = (accumulator as u32).overflowing_add((accumulator >> 32) as u32);
    let both = both + carry as u32;
    // In the upper half: the halves' sum, and the carry of the same sum in the lower half.
    (both.wrapping_add(both.rotate_left(16)) >> 16) as u16
}

/// The one's-complement sum of `data` read as big-endian 16-bit words, an odd last byte padded with zero.
///
/// Adds 32-bit words in native order into 64-bit accumulators and swaps once at the end (RFC 1071 §2(B) and §2(C)).
#[inline]
#[must_use]
pub fn sum(data: &[u8]) -> u16 {
    let word = |bytes: &[u8; 4]| u64::from(u32::from_ne_bytes(*bytes));
    let (chunks, rest) = data.as_chunks::<32>();
    // A header alone does not pay for the lanes.
    let mut total = if chunks.is_empty() { 0 } else { sum_lanes(chunks) };
    let (words, tail) = rest.as_chunks::<4>();
    for bytes in words {
        total += word(bytes);
    }
    if !tail.is_empty() {
        let mut last = [0u8; 4];
        last[..tail.len()].copy_from_slice(tail);
        total += word(&last);
    }
    u16::from_be(fold(total))
}

/// [`sum`] of a header of 20 bytes, whose length the compiler knows.
///
/// ```
/// let header: [u8; 20] = std::array::from_fn(|at| at as u8 * 13);
/// assert_eq!(packet::checksum::sum_header(&header), packet::checksum::sum(&header));
/// ```
#[inline]
#[must_use]
pub fn sum_header(header: &[u8; 20]) -> u16 {
    sum_of_header(header, u64::MAX)
}

/// What the checksum field of an IPv4 header of 20 bytes is to hold, whatever it holds now: so nobody has to write a zero there
/// first, and wait for it when it is read back in a larger word.
///
/// ```
/// let mut header: [u8; 20] = std::array::from_fn(|at| at as u8 * 13);
/// let check = packet::checksum::checksum_header(&header);
/// header[10..12].fill(0);
/// assert_eq!(check, packet::checksum::checksum(&header));
/// ```
#[inline]
#[must_use]
pub fn checksum_header(header: &[u8; 20]) -> u16 {
    !sum_of_header(header, u64::from_ne_bytes([0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff]))
}

/// The sum of a header, of whose second eight bytes `mask` says which count.
#[inline(always)]
fn sum_of_header(header: &[u8; 20], mask: u64) -> u16 {
    let (longs, rest) = header.as_chunks::<8>();
    let (first, second) = (u64::from_ne_bytes(longs[0]), u64::from_ne_bytes(longs[1]));
    let rest = u64::from(u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]));
    let (total, carry) = first.overflowing_add(second & mask);
    // Carries of the highest word go to the lowest, as in `fold`; the second of them cannot cause a third.
    let (total, second_carry) = total.overflowing_add(rest + u64::from(carry));
    u16::from_be(fold(total + u64::from(second_carry)))
}

/// Eight lanes let the compiler use vector adds; 2^32 words of 32 bits cannot overflow a lane.
#[inline]
fn sum_lanes(chunks: &[[u8; 32]]) -> u64 {
    let mut lanes = [0u64; 8];
    for chunk in chunks {
        for (lane, bytes) in lanes.iter_mut().zip(chunk.as_chunks::<4>().0) {
            *lane += u64::from(u32::from_ne_bytes(*bytes));
        }
    }
    lanes.iter().map(|lane| (lane >> 32) + (lane & 0xffff_ffff)).sum()
}

/// The checksum of `data` (the complement of [`sum`]); the checksum field must be zero in it.
#[inline]
#[must_use]
pub fn checksum(data: &[u8]) -> u16 {
    !sum(data)
}

/// The one's-complement sum of two sums. Every part but the last must have even length.
#[inline]
#[must_use]
pub const fn combine(a: u16, b: u16) -> u16 {
    let (total, carry) = a.overflowing_add(b);
    total + carry as u16
}

/// Whether `data`, checksum field included, sums to all ones. `pseudo` is the pseudo header's sum, or 0.
#[inline]
#[must_use]
pub fn verify(pseudo: u16, data: &[u8]) -> bool {
    combine(pseudo, sum(data)) == 0xffff
}

/// The sum of the IPv4 pseudo header (RFC 9293 §3.1): `length` is that of the L4 header and payload.
#[inline]
#[must_use]
pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: IpProtocol, length: u32) -> u16 {
    let (s, d) = (source.to_bits(), destination.to_bits());
    let total = u64::from(s) + u64::from(d) + u64::from(protocol.0) + u64::from(length);
    fold(total)
}

/// The sum of the IPv6 pseudo header (RFC 8200 §8.1): `length` is that of the L4 header and payload.
#[inline]
#[must_use]
pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: IpProtocol, length: u32) -> u16 {
    let addresses = combine(sum(&source.octets()), sum(&destination.octets()));
    combine(addresses, fold(u64::from(protocol.0) + u64::from(length)))
}

/// The sum of the pseudo header of either family; `None` where the families differ.
#[inline]
#[must_use]
pub fn pseudo(source: IpAddr, destination: IpAddr, protocol: IpProtocol, length: u32) -> Option<u16> {
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => Some(pseudo_v4(s, d, protocol, length)),
        (IpAddr::V6(s), IpAddr::V6(d)) => Some(pseudo_v6(s, d, protocol, length)),
        _ => None,
    }
}

/// `check` after a 16-bit word of what it covers changed: HC' = ~(~HC + ~m + m'), RFC 1624 eqn. 3.
#[inline]
#[must_use]
pub const fn update16(check: u16, old: u16, new: u16) -> u16 {
    !partial_update16(!check, old, new)
}

/// `check` after an aligned 32-bit word changed (an IPv4 address, a sequence number).
#[inline]
#[must_use]
pub const fn update32(check: u16, old: u32, new: u32) -> u16 {
    !partial_update32(!check, old, new)
}

/// `check` after bytes at an even offset changed from `old` to `new` (an IPv6 address). The lengths may differ.
#[inline]
#[must_use]
pub fn update(check: u16, old: &[u8], new: &[u8]) -> u16 {
    !partial_update(!check, old, new)
}

/// [`update16`] for a sum, such as a `CHECKSUM_PARTIAL` field: which covers the pseudo header and no port.
#[inline]
#[must_use]
pub const fn partial_update16(sum: u16, old: u16, new: u16) -> u16 {
    combine(combine(sum, !old), new)
}

/// [`update32`] for a sum.
#[inline]
#[must_use]
pub const fn partial_update32(sum: u16, old: u32, new: u32) -> u16 {
    let old = !old;
    fold(sum as u64 + (old >> 16) as u64 + (old & 0xffff) as u64 + (new >> 16) as u64 + (new & 0xffff) as u64)
}

/// [`update`] for a sum.
#[inline]
#[must_use]
pub fn partial_update(total: u16, old: &[u8], new: &[u8]) -> u16 {
    combine(combine(total, !sum(old)), sum(new))
}

/// A computed UDP checksum as it goes on the wire: 0 would mean "none", so it is sent as all ones (RFC 768).
#[inline]
#[must_use]
pub const fn udp_on_wire(check: u16) -> u16 {
    if check == 0 { 0xffff } else { check }
}

/// [`update`] for a UDP checksum field: "none" stays none, and a result of 0 becomes all ones.
#[inline]
#[must_use]
pub fn update_udp(check: u16, old: &[u8], new: &[u8]) -> u16 {
    if check == 0 { 0 } else { udp_on_wire(update(check, old, new)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The slow obvious twin: RFC 1071 §4.1, byte by byte.
    fn sum_bytewise(data: &[u8]) -> u16 {
        let mut total: u32 = 0;
        for pair in data.chunks(2) {
            total += u32::from(pair[0]) << 8;
            total += pair.get(1).map_or(0, |low| u32::from(*low));
            total = (total & 0xffff) + (total >> 16);
        }
        total as u16
    }

    #[test]
    fn rfc_1071_example() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn rfc_1624_example_gives_zero_not_ones() {
        // §4: the old method of RFC 1141 gave 0xffff here.
        assert_eq!(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn longest_frame_of_ones_does_not_overflow() {
        let data = vec![0xff; 65_535];
        assert_eq!(sum(&data), sum_bytewise(&data));
        assert_eq!(fold(u64::MAX), 0xffff);
    }

    #[test]
    fn udp_never_sends_zero_for_a_computed_checksum() {
        assert_eq!(udp_on_wire(0), 0xffff);
        // RFC 1624's example again: the update yields 0, which UDP must not send.
        assert_eq!(update_udp(0xdd2f, &[0x55, 0x55], &[0x32, 0x85]), 0xffff);
        assert_eq!(update_udp(0, &[0x55, 0x55], &[0x32, 0x85]), 0);
    }

    /// The slow obvious twin of [`fold`].
    fn fold_by_words(mut accumulator: u64) -> u16 {
        while accumulator > 0xffff {
            accumulator = (accumulator >> 16) + (accumulator & 0xffff);
        }
        accumulator as u16
    }

    #[test]
    fn carries_at_the_edges_are_not_lost() {
        let edges: [u64; 6] = [0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff];
        for (a, b) in edges.iter().flat_map(|a| edges.map(|b| (*a, b))) {
            for (c, d) in edges.iter().flat_map(|c| edges.map(|d| (*c, d))) {
                let accumulator = a << 48 | b << 32 | c << 16 | d;
                assert_eq!(fold(accumulator), fold_by_words(accumulator), "{accumulator:x}");
            }
        }
        for header in [[0xff; 20], [0; 20]] {
            assert_eq!(sum_header(&header), sum_bytewise(&header));
        }
    }

    proptest! {
        #[test]
        fn headers_equal_bytewise(mut header in any::<[u8; 20]>(), ones in 0usize..21) {
            // Long runs of ones carry far.
            header[..ones].fill(0xff);
            prop_assert_eq!(sum_header(&header), sum_bytewise(&header));
            let check = checksum_header(&header);
            header[10..12].fill(0);
            prop_assert_eq!(check, !sum_bytewise(&header));
        }

        #[test]
        fn fold_equals_word_by_word(accumulator in any::<u64>()) {
            prop_assert_eq!(fold(accumulator), fold_by_words(accumulator));
        }

        #[test]
        fn fast_equals_bytewise(data in proptest::collection::vec(any::<u8>(), 0..300), skip in 0usize..9) {
            let data = &data[skip.min(data.len())..];
            prop_assert_eq!(sum(data), sum_bytewise(data));
        }

        #[test]
        fn incremental_equals_recompute(
            mut data in proptest::collection::vec(any::<u8>(), 40..200),
            at in 1usize..10, old_new in any::<[u8; 16]>(), width in prop::sample::select(vec![2usize, 4, 16]),
        ) {
            data[0] = 0x45; // a header is never all zero
            let before = checksum(&data);
            let at = at * 2;
            let old = data[at..at + width].to_vec();
            data[at..at + width].copy_from_slice(&old_new[..width]);
            let after = checksum(&data);
            prop_assert_eq!(update(before, &old, &old_new[..width]), after);
            let be16 = |b: &[u8]| u16::from_be_bytes([b[0], b[1]]);
            let be32 = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
            match width {
                2 => prop_assert_eq!(update16(before, be16(&old), be16(&old_new)), after),
                4 => prop_assert_eq!(update32(before, be32(&old), be32(&old_new)), after),
                _ => {}
            }
        }

        #[test]
        fn partial_then_finish_equals_full(
            data in proptest::collection::vec(any::<u8>(), 8..100),
            source in any::<u32>(), destination in 1u32.., new in any::<u32>(),
        ) {
            let length = data.len() as u32;
            let pseudo_of = |s: u32| pseudo_v4(s.into(), destination.into(), IpProtocol::TCP, length);
            let translated = partial_update32(pseudo_of(source), source, new);
            prop_assert_eq!(translated, pseudo_of(new));
            prop_assert_eq!(!combine(translated, sum(&data)), !combine(pseudo_of(new), sum(&data)));
        }

        #[test]
        fn pseudo_headers_equal_their_bytes(
            s in any::<[u8; 16]>(), d in any::<[u8; 16]>(), protocol in 1u8.., length in any::<u32>(),
        ) {
            let mut six = Vec::new();
            six.extend(s);
            six.extend(d);
            six.extend(length.to_be_bytes());
            six.extend([0, 0, 0, protocol]);
            prop_assert_eq!(pseudo_v6(s.into(), d.into(), IpProtocol(protocol), length), sum_bytewise(&six));
            let mut four = Vec::new();
            four.extend(&s[..4]);
            four.extend(&d[..4]);
            four.extend([0, protocol]);
            four.extend((length as u16).to_be_bytes());
            let v4 = |b: &[u8]| Ipv4Addr::new(b[0], b[1], b[2], b[3]);
            prop_assert_eq!(pseudo_v4(v4(&s), v4(&d), IpProtocol(protocol), length & 0xffff), sum_bytewise(&four));
        }
    }
}
