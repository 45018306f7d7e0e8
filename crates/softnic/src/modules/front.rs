//! Bytes that come and go at a packet's front, or a little behind it, and what is left to the last hop with them
//! ([`packet::Offload`]).

use packet::{Checksum, Offload, Packet};

/// Adds `count` bytes in front and returns them; `None`, and nothing changed, where the buffer has no room. A checksum
/// that is still to be done stays where it was.
#[inline]
pub(super) fn push(packet: &mut Packet, count: usize) -> Option<&mut [u8]> {
    insert(packet, 0, count)
}

/// Takes `count` bytes off the front; `false`, and nothing changed, where the packet is shorter. What was to be done to
/// bytes that are gone is not to be done any more.
#[inline]
pub(super) fn pull(packet: &mut Packet, count: usize) -> bool {
    cut(packet, 0, count)
}

/// As [`push`], behind the first `at` bytes, which the packet has.
#[inline]
pub(super) fn insert(packet: &mut Packet, at: usize, count: usize) -> Option<&mut [u8]> {
    packet.prepend(count).ok()?;
    packet.data_mut().copy_within(count..count + at, 0);
    shift(packet, at, 0, count);
    Some(&mut packet.data_mut()[at..at + count])
}

/// As [`pull`], behind the first `at` bytes.
#[inline]
pub(super) fn cut(packet: &mut Packet, at: usize, count: usize) -> bool {
    if at + count > packet.len() {
        return false;
    }
    packet.data_mut().copy_within(..at, count);
    packet.trim_front(count);
    shift(packet, at, count, 0);
    true
}

/// Says that bytes have changed in ways that no checksum has followed: what was verified is not any more.
#[inline]
pub(super) fn spoil(packet: &mut Packet) {
    let offload = packet.offload();
    if offload.checksum == Checksum::Verified {
        packet.set_offload(Offload { checksum: Checksum::Unknown, ..offload });
    }
}

/// What is left to be done once the `gone` bytes at `at` have made way for `come` others.
#[inline]
fn shift(packet: &mut Packet, at: usize, gone: usize, come: usize) {
    let offload = packet.offload();
    if offload != Offload::default() {
        packet.set_offload(shifted(offload, at, gone, come));
    }
}

#[cold]
fn shifted(offload: Offload, at: usize, gone: usize, come: usize) -> Offload {
    let checksum = match offload.checksum {
        Checksum::Partial { start, offset } => {
            let start = usize::from(start);
            let behind =
                if start < at { Some(start) } else { start.checked_sub(gone).filter(|start| *start >= at) };
            let moved = behind.map(|start| if start < at { start } else { start + come });
            let Some(start) = moved.and_then(|start| u16::try_from(start).ok()) else {
                return Offload::default();
            };
            Checksum::Partial { start, offset }
        }
        // It may have been the outer packet's, or become the inner one's.
        Checksum::Verified | Checksum::Unknown => Checksum::Unknown,
    };
    Offload { checksum, ..offload }
}

#[cfg(test)]
mod tests {
    use super::super::frames::packet;
    use super::*;

    #[test]
    fn an_unfinished_checksum_moves_with_the_bytes() {
        let mut packet = packet(&[7; 60]);
        let partial =
            |start| Offload { checksum: Checksum::Partial { start, offset: 16 }, segmentation: None };
        packet.set_offload(partial(34));
        push(&mut packet, 4).unwrap().fill(0);
        assert_eq!((packet.offload(), packet.len()), (partial(38), 64));
        assert!(pull(&mut packet, 18));
        assert_eq!((packet.offload(), packet.data()[0]), (partial(20), 7));
        assert!(pull(&mut packet, 21));
        assert_eq!(packet.offload(), Offload::default());
    }

    #[test]
    fn bytes_come_and_go_behind_a_header_that_stays() {
        let mut packet = packet(b"headpayload");
        let partial =
            |start| Offload { checksum: Checksum::Partial { start, offset: 1 }, segmentation: None };
        for (before, behind) in [(3, 3), (4, 8), (9, 13)] {
            packet.set_offload(partial(before));
            insert(&mut packet, 4, 4).unwrap().copy_from_slice(b"more");
            assert_eq!((packet.data(), packet.offload()), (&b"headmorepayload"[..], partial(behind)));
            assert!(cut(&mut packet, 4, 4));
            assert_eq!((packet.data(), packet.offload()), (&b"headpayload"[..], partial(before)));
        }
        packet.set_offload(partial(7));
        assert!(!cut(&mut packet, 4, 8));
        assert!(cut(&mut packet, 4, 4));
        assert_eq!((packet.data(), packet.offload()), (&b"headoad"[..], Offload::default()));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut packet = packet(&[7; 20]);
        assert!(!pull(&mut packet, 21));
        assert!(push(&mut packet, packet::HEADROOM + 1).is_none());
        assert_eq!(packet.data(), [7; 20]);
        packet.set_offload(Offload { checksum: Checksum::Verified, segmentation: None });
        spoil(&mut packet);
        assert_eq!(packet.offload(), Offload::default());
    }
}
