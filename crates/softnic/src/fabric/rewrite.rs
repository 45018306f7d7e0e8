//! Changing a packet on its way through, in place: Ethernet addresses, time to live, translated addresses, and
//! every checksum these are in. Ports never change, and no payload byte is touched or read.

use packet::wire::MacAddr;
use packet::{Checksum, Offload, checksum};

use super::header::{Address, Headers, Key, Transport, be16};

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Writes the Ethernet addresses.
#[inline]
pub(crate) fn ethernet(frame: &mut [u8], destination: MacAddr, source: MacAddr) {
    frame[..6].copy_from_slice(&destination.0);
    frame[6..12].copy_from_slice(&source.0);
}

/// Takes one from the time to live, which the caller knows to be at least one.
#[inline]
pub(crate) fn decrement_ttl(frame: &mut [u8], headers: &Headers) {
    let l3 = headers.l3;
    if !headers.v4 {
        frame[l3 + 7] -= 1;
        return;
    }
    let old = be16(&frame[l3 + 8..]);
    frame[l3 + 8] -= 1;
    let check = checksum::update16(be16(&frame[l3 + 10..]), old, old - 0x100);
    put16(frame, l3 + 10, check);
}

/// The addresses of an IP header, as bytes, and how many they are.
struct Addresses {
    bytes: [u8; 32],
    length: usize,
}

impl Addresses {
    fn of(source: Address, destination: Address, v4: bool) -> Self {
        let mut bytes = [0; 32];
        if v4 {
            bytes[..4].copy_from_slice(&source.bits_v4().to_be_bytes());
            bytes[4..8].copy_from_slice(&destination.bits_v4().to_be_bytes());
            return Self { bytes, length: 8 };
        }
        bytes[..16].copy_from_slice(&source.octets_v6());
        bytes[16..].copy_from_slice(&destination.octets_v6());
        Self { bytes, length: 32 }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Gives a packet the addresses of `new`. A quoted packet's transport checksum may be cut off; it is then left out.
pub(crate) fn addresses(frame: &mut [u8], headers: &Headers, new: &Key, offload: &Offload) {
    let old = Addresses::of(headers.key.source, headers.key.destination, headers.v4);
    let new = Addresses::of(new.source, new.destination, headers.v4);
    let at = headers.l3 + if headers.v4 { 12 } else { 8 };
    frame[at..at + new.length].copy_from_slice(new.bytes());
    if headers.v4 {
        let check = checksum::update(be16(&frame[headers.l3 + 10..]), old.bytes(), new.bytes());
        put16(frame, headers.l3 + 10, check);
    }
    let Some(field) = headers.checksum_offset().map(|offset| headers.l4 + offset) else { return };
    if field + 2 > headers.end {
        return;
    }
    let check = be16(&frame[field..]);
    let partial =
        matches!(offload.checksum, Checksum::Partial { start, .. } if usize::from(start) == headers.l4);
    let check = if partial {
        // The pseudo header's sum: addresses are in it (linux/skbuff.h, CHECKSUM_PARTIAL).
        checksum::partial_update(check, old.bytes(), new.bytes())
    } else if headers.transport == Transport::Udp {
        checksum::update_udp(check, old.bytes(), new.bytes())
    } else {
        checksum::update(check, old.bytes(), new.bytes())
    };
    put16(frame, field, check);
}

/// Gives an ICMP error the addresses of `outer`, and the packet it quotes those of `inner` (RFC 5508 §4.2).
pub(crate) fn icmp_error(frame: &mut [u8], headers: &Headers, quoted: &Headers, outer: &Key, inner: &Key) {
    let (l4, end) = (headers.l4, headers.end);
    let before = checksum::sum(&frame[l4..end]);
    addresses(&mut frame[..end], quoted, inner, &Offload::default());
    let after = checksum::sum(&frame[l4..end]);
    // The field itself is in both sums and cancels out.
    let mut sum = checksum::combine(checksum::combine(!be16(&frame[l4 + 2..]), !before), after);
    if !headers.v4 {
        let old = Addresses::of(headers.key.source, headers.key.destination, false);
        let new = Addresses::of(outer.source, outer.destination, false);
        sum = checksum::partial_update(sum, old.bytes(), new.bytes());
    }
    put16(frame, l4 + 2, !sum);
    addresses(frame, headers, outer, &Offload::default());
}
