//! What a stream holds: bytes sent and not acked, bytes come and not taken.

use std::collections::VecDeque;

/// Bytes a ring begins with.
const RING_BYTES_LEAST: usize = 16 << 10;

/// Bytes that were written and are not acked.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The number of the first.
    base: u64,
    bytes: VecDeque<u8>,
}

impl Outgoing {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Forgets what is below a number.
    pub(super) fn acked(&mut self, below: u64) {
        let gone = below.saturating_sub(self.base).min(self.bytes.len() as u64);
        self.bytes.drain(..gone as usize);
        self.base += gone;
    }

    pub(super) fn clear(&mut self) {
        self.bytes = VecDeque::new();
    }

    /// Copies the bytes from a number on, as many as there are of `len`.
    pub(super) fn copy(&self, from: u64, len: usize, into: &mut Vec<u8>) {
        let start =
            usize::try_from(from.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.bytes.len());
        let end = start.saturating_add(len).min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let split = front.len();
        into.extend(&front[start.min(split)..end.min(split)]);
        into.extend(&back[start.max(split) - split..end.max(split) - split]);
    }
}

/// Bytes that have come, in any order, in a ring that grows.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The number of the first that was not taken.
    taken: u64,
    /// Behind the last that came.
    high: u64,
    ring: Vec<u8>,
}

impl Incoming {
    /// Behind the last that came.
    pub(super) fn high(&self) -> u64 {
        self.high
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes of memory.
    pub(super) fn capacity(&self) -> usize {
        self.ring.len()
    }

    /// Bytes of memory it would have with room up to a number.
    pub(super) fn capacity_for(&self, end: u64) -> usize {
        let need = usize::try_from(end.saturating_sub(self.taken)).unwrap_or(usize::MAX);
        if need <= self.ring.len() {
            return self.ring.len();
        }
        need.checked_next_power_of_two().unwrap_or(usize::MAX).max(RING_BYTES_LEAST)
    }

    /// Puts bytes in their place; the caller has seen that they belong there and that memory may grow.
    pub(super) fn put(&mut self, from: u64, bytes: &[u8]) {
        let end = from + bytes.len() as u64;
        let capacity = self.capacity_for(end);
        if capacity > self.ring.len() {
            self.grow(capacity);
        }
        let (at, first) = self.place(from, bytes.len());
        self.ring[at..at + first].copy_from_slice(&bytes[..first]);
        self.ring[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        self.high = self.high.max(end);
    }

    /// Where bytes stand, and how many stand there before the ring begins anew.
    fn place(&self, from: u64, len: usize) -> (usize, usize) {
        let at = (from % self.ring.len().max(1) as u64) as usize;
        (at, len.min(self.ring.len() - at))
    }

    fn grow(&mut self, capacity: usize) {
        let old = std::mem::take(self);
        (self.taken, self.high, self.ring) = (old.taken, old.taken, vec![0; capacity]);
        let held = (old.high.saturating_sub(old.taken)) as usize;
        let (at, first) = old.place(old.taken, held);
        self.put(old.taken, &old.ring[at..at + first]);
        self.put(old.taken + first as u64, &old.ring[..held - first]);
    }

    /// The bytes up to a number that stand in one piece.
    pub(super) fn front(&self, end: u64) -> &[u8] {
        let len = usize::try_from(end.saturating_sub(self.taken)).unwrap_or(0).min(self.ring.len());
        let (at, first) = self.place(self.taken, len);
        &self.ring[at..at + first]
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        self.high = self.high.max(self.taken);
    }

    pub(super) fn clear(&mut self) {
        self.ring = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn byte(number: u64) -> u8 {
        (number * 31 + number / 251) as u8
    }

    proptest! {
        #[test]
        fn what_comes_in_any_order_is_taken_in_order(steps in proptest::collection::vec((0_u64..60_000, 1_u64..3_000, 0_usize..40_000), 1..60)) {
            let (mut ring, mut have) = (Incoming::default(), std::collections::BTreeSet::new());
            for (offset, len, take) in steps {
                let from = ring.taken() + offset;
                let bytes: Vec<u8> = (from..from + len).map(byte).collect();
                ring.put(from, &bytes);
                have.extend(from..from + len);
                let end = (ring.taken()..).find(|number| !have.contains(number)).unwrap();
                let mut left = take;
                while left > 0 && ring.taken() < end {
                    let front = ring.front(end);
                    prop_assert!(!front.is_empty());
                    let now = front.len().min(left);
                    let expected: Vec<u8> = (ring.taken()..ring.taken() + now as u64).map(byte).collect();
                    prop_assert_eq!(&front[..now], &expected[..]);
                    ring.take(now);
                    left -= now;
                }
                prop_assert!(ring.capacity() <= 131_072);
            }
        }
    }

    #[test]
    fn what_is_not_acked_can_be_copied() {
        let mut out = Outgoing::default();
        for round in 0..50_u64 {
            out.push(&(round * 100..round * 100 + 100).map(byte).collect::<Vec<u8>>());
            out.acked(round * 90);
            let mut copy = Vec::new();
            out.copy(round * 90 + 5, 60, &mut copy);
            let expected: Vec<u8> = (round * 90 + 5..round * 90 + 65).map(byte).collect();
            assert_eq!(copy, expected);
        }
        let mut copy = Vec::new();
        out.copy(1 << 40, 9, &mut copy);
        assert!(copy.is_empty());
    }
}
