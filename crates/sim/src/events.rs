//! What happens when: a heap in order of time, then of the number given when the event was asked for.
//!
//! Four children to a node, so that a small heap is few cache lines deep. It grows as a vector does and never shrinks:
//! in steady state nothing is allocated.

use crate::arena::Hop;
use crate::time::Time;

/// When, and in which order among what happens then.
///
/// The time in the upper half of one number, the sequence in the lower: compared without a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u128);

impl Key {
    #[inline]
    pub(crate) fn new(time: Time, sequence: u64) -> Self {
        Self(u128::from(time.picos()) << 64 | u128::from(sequence))
    }

    #[inline]
    pub(crate) fn time(self) -> Time {
        Time::from_picos((self.0 >> 64) as u64)
    }

    /// Counts its time from `by` on.
    pub(crate) fn shift(&mut self, by: Time) {
        *self = Self::new(self.time() - by, self.0 as u64);
    }
}

/// What happens to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// The first packet on it gets to its end.
    Arrive,
    /// It is free for the next packet of its queue.
    Free,
}

const CHILDREN: usize = 4;

/// All that is to come. Links, timers and packets that were overtaken have a heap each: few links and many timers are the rule,
/// and what is touched with every packet stays small.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) links: Heap<(u32, LinkEvent)>,
    pub(crate) timers: Heap<u64>,
    /// With the link each is on.
    pub(crate) late: Heap<(u32, Hop)>,
}

/// Which heap has the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Links,
    Timers,
    Late,
}

impl Events {
    pub(crate) fn capacity(&self) -> usize {
        self.links.0.capacity() + self.timers.0.capacity() + self.late.0.capacity()
    }

    /// When the first is, and where.
    #[inline]
    pub(crate) fn first(&self) -> Option<(Key, Source)> {
        let (links, timers) = (self.links.first(), self.timers.first());
        let first = match (links, timers) {
            (Some(link), Some(timer)) if timer < link => Some((timer, Source::Timers)),
            (Some(link), _) => Some((link, Source::Links)),
            (None, timer) => timer.map(|timer| (timer, Source::Timers)),
        };
        match self.late.first() {
            Some(late) if first.is_none_or(|first| late < first.0) => Some((late, Source::Late)),
            _ => first,
        }
    }
}

/// A heap.
#[derive(Debug)]
pub(crate) struct Heap<E>(Vec<(Key, E)>);

impl<E> Default for Heap<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E: Copy> Heap<E> {
    #[inline]
    pub(crate) fn first(&self) -> Option<Key> {
        self.0.first().map(|first| first.0)
    }

    pub(crate) fn push(&mut self, key: Key, event: E) {
        let mut at = self.0.len();
        self.0.push((key, event));
        while at > 0 {
            let parent = (at - 1) / CHILDREN;
            if self.0[parent].0 <= key {
                break;
            }
            self.0[at] = self.0[parent];
            at = parent;
        }
        self.0[at] = (key, event);
    }

    /// Counts times from `by` on, which is no later than the first.
    pub(crate) fn shift(&mut self, by: Time) {
        self.0.iter_mut().for_each(|(key, _)| key.shift(by));
    }

    pub(crate) fn peek(&self) -> Option<&(Key, E)> {
        self.0.first()
    }

    /// Takes the first away.
    pub(crate) fn pop(&mut self) -> Option<(Key, E)> {
        let last = self.0.pop()?;
        match self.0.first().copied() {
            None => Some(last),
            Some(first) => {
                self.sink(last);
                Some(first)
            }
        }
    }

    /// Puts another in the place of the first: cheaper than to pop and push.
    pub(crate) fn replace_first(&mut self, key: Key, event: E) {
        if !self.0.is_empty() {
            self.sink((key, event));
        }
    }

    /// Lets an entry sink from the top, over what is there.
    fn sink(&mut self, entry: (Key, E)) {
        let heap = self.0.as_mut_slice();
        let mut at = 0;
        loop {
            let start = at * CHILDREN + 1;
            let (least, child) = match heap.get(start..) {
                Some([a, b, c, d, ..]) => {
                    // Without branches, which would be guessed wrong every other time.
                    let (first, one) = if b.0 < a.0 { (1, b) } else { (0, a) };
                    let (second, other) = if d.0 < c.0 { (3, d) } else { (2, c) };
                    if other.0 < one.0 { (second, other) } else { (first, one) }
                }
                Some(few) => match few.iter().enumerate().min_by_key(|(_, child)| child.0) {
                    Some(least) => least,
                    None => break,
                },
                None => break,
            };
            if entry.0 <= child.0 {
                break;
            }
            heap[at] = *child;
            at = start + least;
        }
        heap[at] = entry;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_heap_is_a_sorted_map(steps in proptest::collection::vec((0_u8..4, 0_u64..20), 1..400)) {
            let (mut heap, mut twin) = (Heap::default(), BTreeMap::new());
            for (sequence, (step, time)) in (0..).zip(steps) {
                let key = Key::new(Time::from_picos(time), sequence);
                match step {
                    0 | 1 => {
                        heap.push(key, sequence);
                        twin.insert(key, sequence);
                    }
                    2 => {
                        let popped = heap.pop();
                        let wanted = twin.pop_first();
                        prop_assert_eq!(popped, wanted);
                    }
                    _ => {
                        heap.replace_first(key, sequence);
                        if twin.pop_first().is_some() {
                            twin.insert(key, sequence);
                        }
                    }
                }
                prop_assert_eq!(heap.first(), twin.keys().next().copied());
            }
        }
    }
}
