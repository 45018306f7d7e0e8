//! Sets of bytes as ranges that touch nowhere: the sender's scoreboard, the receiver's reassembly.
//!
//! Ranges are sorted, so that whatever is asked is found by halving; nothing walks over them. What joins neighbours removes them, and
//! what the cumulative ack passes is cut off the front. The memory is kept when the set is cleared.

use std::collections::VecDeque;

/// Bytes `start..end`.
pub type Range = (u64, u64);

/// A set of bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: VecDeque<Range>,
}

impl Ranges {
    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Is no byte in it?
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes every byte out.
    pub fn clear(&mut self) {
        self.ranges.clear();
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = Range> {
        self.ranges.iter().copied()
    }

    /// Puts the bytes `start..end` in, and tells how many were not there before.
    pub fn insert(&mut self, start: u64, end: u64) -> u64 {
        if start >= end {
            return 0;
        }
        // Those that overlap or touch: from the first that ends at `start` or later to the last that starts by `end`.
        let first = self.ranges.partition_point(|range| range.1 < start);
        let behind = self.ranges.partition_point(|range| range.0 <= end);
        if first == behind {
            self.ranges.insert(first, (start, end));
            return end - start;
        }
        let joined = (start.min(self.ranges[first].0), end.max(self.ranges[behind - 1].1));
        let before: u64 = self.ranges.range(first..behind).map(|range| range.1 - range.0).sum();
        self.ranges[first] = joined;
        if first + 1 < behind {
            self.ranges.drain(first + 1..behind);
        }
        joined.1 - joined.0 - before
    }

    /// Would inserting `start..end` make one range more?
    pub fn is_apart(&self, start: u64, end: u64) -> bool {
        let first = self.ranges.partition_point(|range| range.1 < start);
        self.ranges.get(first).is_none_or(|range| range.0 > end)
    }

    /// The range that holds a byte.
    pub fn holding(&self, byte: u64) -> Option<Range> {
        let at = self.ranges.partition_point(|range| range.1 <= byte);
        self.ranges.get(at).copied().filter(|range| range.0 <= byte)
    }

    /// The first byte from `from` on that is not in it.
    pub fn gap(&self, from: u64) -> u64 {
        self.holding(from).map_or(from, |range| range.1)
    }

    /// The first byte from `from` on that is in it, at most `limit`.
    pub fn gap_end(&self, from: u64, limit: u64) -> u64 {
        let at = self.ranges.partition_point(|range| range.1 <= from);
        self.ranges.get(at).map_or(limit, |range| range.0.max(from).min(limit))
    }

    /// Takes out all bytes below `end`, and tells how many they were.
    pub fn cut(&mut self, end: u64) -> u64 {
        let mut gone = 0;
        while let Some(front) = self.ranges.front_mut().filter(|range| range.0 < end) {
            if front.1 > end {
                gone += end - front.0;
                front.0 = end;
                break;
            }
            gone += front.1 - front.0;
            self.ranges.pop_front();
        }
        gone
    }

    /// How many bytes of `start..end` are in it. Walks over the ranges in between: for where each is passed once.
    pub fn count(&self, start: u64, end: u64) -> u64 {
        let first = self.ranges.partition_point(|range| range.1 <= start);
        let behind = self.ranges.partition_point(|range| range.0 < end);
        if first >= behind {
            return 0;
        }
        self.ranges.range(first..behind).map(|range| range.1.min(end) - range.0.max(start)).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 64;

    /// A set of bytes as a bit for each.
    #[derive(Clone)]
    struct Twin([bool; SIZE]);

    impl Twin {
        fn ranges(&self) -> Vec<Range> {
            let mut found: Vec<Range> = Vec::new();
            for at in (0..SIZE).filter(|at| self.0[*at]) {
                match found.last_mut().filter(|last| last.1 == at as u64) {
                    Some(last) => last.1 += 1,
                    None => found.push((at as u64, at as u64 + 1)),
                }
            }
            found
        }

        fn set(&mut self, start: usize, end: usize, value: bool) -> u64 {
            let end = end.max(start);
            let changed = self.0[start..end].iter().filter(|byte| **byte != value).count() as u64;
            self.0[start..end].fill(value);
            changed
        }
    }

    proptest! {
        #[test]
        fn the_set_is_its_slow_twin(steps in proptest::collection::vec((0_u8..8, 0..SIZE, 0..=SIZE), 1..60)) {
            let (mut set, mut twin) = (Ranges::default(), Twin([false; SIZE]));
            for (step, start, end) in steps {
                let (from, to) = (start as u64, end as u64);
                if start < end {
                    let mut more = twin.clone();
                    more.set(start, end, true);
                    prop_assert_eq!(set.is_apart(from, to), more.ranges().len() > twin.ranges().len());
                }
                match step {
                    0 => prop_assert_eq!(set.cut(from), twin.set(0, start, false)),
                    _ => prop_assert_eq!(set.insert(from, to), twin.set(start, end, true)),
                }
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), twin.ranges());
                let gap = (start..SIZE).find(|at| !twin.0[*at]).unwrap_or(SIZE);
                prop_assert_eq!(set.gap(from), gap as u64);
                let next = (start..end.max(start)).find(|at| twin.0[*at]).unwrap_or(end);
                if start < end {
                    prop_assert_eq!(set.gap_end(from, to), next as u64);
                    let count = twin.0[start..end].iter().filter(|byte| **byte).count();
                    prop_assert_eq!(set.count(from, to), count as u64);
                }
                let holding = twin.ranges().into_iter().find(|range| range.0 <= from && from < range.1);
                prop_assert_eq!(set.holding(from), holding);
            }
        }
    }
}
