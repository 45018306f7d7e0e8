//! Where things lie in the memory that a client makes: one region, rings first, then a buffer for each of their entries.
//!
//! ```text
//! │ to server 0 │ to server 1 │ … │ to client 0 │ … │ buffer 0 │ buffer 1 │ …
//!   header, descriptors                             of to server 0, entry 0
//! ```

use super::ring;
use super::wire::Direction;

const LINE: usize = 64;
const PAGE: usize = 4096;

/// How many rings and buffers there are, and how large they are. Every sum of theirs fits 32 bits
/// ([`Layout::fits`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Rings to the server, at least one.
    pub(crate) to_server: u16,
    /// Rings to the client, at least one.
    pub(crate) to_client: u16,
    /// Entries of each ring, as a power of two.
    pub(crate) log2_entries: u8,
    /// Bytes of a buffer.
    pub(crate) buffer: u32,
}

impl Layout {
    /// Whether all of it has no more bytes than this.
    pub(crate) fn fits(self, bytes_max: u64) -> bool {
        self.bytes() as u64 <= bytes_max
    }

    fn rings(self) -> usize {
        usize::from(self.to_server) + usize::from(self.to_client)
    }

    fn number(self, direction: Direction, index: u16) -> usize {
        match direction {
            Direction::ToServer => usize::from(index),
            Direction::ToClient => usize::from(self.to_server) + usize::from(index),
        }
    }

    /// Where a ring begins.
    pub(crate) fn ring(self, direction: Direction, index: u16) -> usize {
        self.number(direction, index) * ring::bytes(self.log2_entries)
    }

    /// Bytes from one buffer to the next: an odd number of lines, so that the first lines of neighbours fall into
    /// different cache sets.
    pub(crate) fn stride(self) -> usize {
        ((self.buffer as usize).div_ceil(LINE) | 1) * LINE
    }

    /// Where a ring's first buffer begins.
    pub(crate) fn buffers(self, direction: Direction, index: u16) -> usize {
        let first = (self.rings() * ring::bytes(self.log2_entries)).next_multiple_of(PAGE);
        first + (self.number(direction, index) << self.log2_entries) * self.stride()
    }

    /// Bytes in all.
    pub(crate) fn bytes(self) -> usize {
        self.buffers(Direction::ToClient, self.to_client).next_multiple_of(PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::{BYTES_MAX, LOG2_ENTRIES_MAX};
    use super::*;

    #[test]
    fn nothing_overlaps_and_all_is_aligned() {
        for (to_server, to_client, log2_entries, buffer) in
            [(1, 1, 1, 64), (1, 1, 10, 2048), (3, 2, 4, 65_536), (128, 128, 3, 64), (1, 2, 14, 9000)]
        {
            let layout = Layout { to_server, to_client, log2_entries, buffer };
            assert!(layout.fits(BYTES_MAX));
            let mut places = Vec::new();
            for (direction, count) in [(Direction::ToServer, to_server), (Direction::ToClient, to_client)] {
                for index in 0..count {
                    places.push((layout.ring(direction, index), ring::bytes(log2_entries)));
                    for entry in 0..1 << log2_entries {
                        let at = layout.buffers(direction, index) + entry * layout.stride();
                        places.push((at, buffer as usize));
                    }
                }
            }
            places.sort_unstable();
            assert!(places.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{layout:?}");
            let last = places[places.len() - 1];
            assert!(last.0 + last.1 <= layout.bytes() && layout.bytes().is_multiple_of(PAGE));
            assert!(places.iter().all(|(at, _)| at.is_multiple_of(ring::ALIGNMENT as usize)));
        }
    }

    #[test]
    fn the_largest_layout_is_too_large_and_overflows_nothing() {
        let (to_server, log2_entries) = (128, LOG2_ENTRIES_MAX);
        let layout = Layout { to_server, to_client: 128, log2_entries, buffer: 65_536 };
        assert!(!layout.fits(BYTES_MAX));
    }
}
