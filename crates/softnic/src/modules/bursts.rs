//! How full the bursts of a port are.

use std::sync::atomic::{AtomicU64, Ordering};

use packet::BATCH;

/// Bursts of one direction of a queue, by their size: how many packets were asked for, or were to be sent, how many came of
/// it, and how many were missing.
///
/// It is written where packets pass and read elsewhere.
#[derive(Debug)]
pub struct Bursts {
    wanted: [AtomicU64; BATCH + 1],
    done: [AtomicU64; BATCH + 1],
    missing: [AtomicU64; BATCH + 1],
}

/// Bursts at one moment: how many there were of each size, from 0 to [`BATCH`] packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurstCounts {
    /// By the packets that were asked for, or were to be sent.
    pub wanted: [u64; BATCH + 1],
    /// By the packets that came, or were sent.
    pub done: [u64; BATCH + 1],
    /// By the difference.
    pub missing: [u64; BATCH + 1],
}

impl Default for Bursts {
    fn default() -> Self {
        let none = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { wanted: none(), done: none(), missing: none() }
    }
}

impl Default for BurstCounts {
    fn default() -> Self {
        Self { wanted: [0; BATCH + 1], done: [0; BATCH + 1], missing: [0; BATCH + 1] }
    }
}

impl Bursts {
    /// Notes a burst. A batch holds no more than [`BATCH`].
    #[inline]
    pub(super) fn note(&self, wanted: usize, done: usize) {
        let add = |counts: &[AtomicU64; BATCH + 1], size: usize| {
            counts[size.min(BATCH)].fetch_add(1, Ordering::Relaxed);
        };
        add(&self.wanted, wanted);
        add(&self.done, done);
        add(&self.missing, wanted.saturating_sub(done));
    }

    /// Adds them up with others.
    pub fn add_to(&self, sum: &mut BurstCounts) {
        let add = |from: &[AtomicU64], to: &mut [u64]| {
            from.iter().zip(to).for_each(|(from, to)| *to += from.load(Ordering::Relaxed));
        };
        add(&self.wanted, &mut sum.wanted);
        add(&self.done, &mut sum.done);
        add(&self.missing, &mut sum.missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_counted_by_their_size() {
        let bursts = Bursts::default();
        [(32, 32), (32, 5), (4, 4), (100, 0)]
            .into_iter()
            .for_each(|(wanted, done)| bursts.note(wanted, done));
        let mut sum = BurstCounts::default();
        bursts.add_to(&mut sum);
        bursts.add_to(&mut sum);
        assert_eq!((sum.wanted[32], sum.wanted[4]), (6, 2));
        assert_eq!((sum.done[32], sum.done[5], sum.done[4], sum.done[0]), (2, 2, 2, 2));
        assert_eq!((sum.missing[0], sum.missing[27], sum.missing[32]), (4, 2, 2));
        assert_eq!(sum.wanted.iter().sum::<u64>(), 8);
    }
}
