//! From the hash of a key to the slot of its entry: linear probing without tombstones.

/// Buckets per entry: clusters stay short at a load of one half, and it is 16 bytes an entry.
const BUCKETS_PER_ENTRY: usize = 2;

/// What a table keeps of a key's hash. One tag serves all tables with equal hashers, and all looks into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tag(u32);

impl Tag {
    /// Both halves of a hash, for hashers that leave one of them poor.
    #[inline]
    pub(super) const fn of(hash: u64) -> Self {
        Self((hash >> 32) as u32 ^ hash as u32)
    }
}

/// A bucket is 0 where it is empty, else 32 bits of the hash above the slot's number plus one. Eight lie in a cache line, so
/// a lookup mostly costs one line here and one at the slot. Removal moves what follows back instead of leaving a mark, so
/// there is never anything to clean up, however long flows come and go.
#[derive(Debug)]
pub(super) struct Index {
    buckets: Box<[u64]>,
}

const fn pack(tag: Tag, slot: u32) -> u64 {
    (tag.0 as u64) << 32 | (slot as u64 + 1)
}

const fn tag_of(bucket: u64) -> Tag {
    Tag((bucket >> 32) as u32)
}

const fn slot_of(bucket: u64) -> u32 {
    (bucket as u32).wrapping_sub(1)
}

impl Index {
    pub(super) fn new(capacity: usize) -> Self {
        let buckets = (capacity * BUCKETS_PER_ENTRY).max(2);
        Self { buckets: vec![0; buckets].into_boxed_slice() }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// Where a tag's probing begins: the tag scaled to the number of buckets, which need not be a power of two.
    #[inline]
    fn home(&self, tag: Tag) -> usize {
        ((u64::from(tag.0) * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }

    /// Steps from `from` on to `to`.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.buckets.len() - from }
    }

    /// The bucket where a tag's probing begins.
    #[inline]
    pub(super) fn first(&self, tag: Tag) -> u64 {
        self.buckets[self.home(tag)]
    }

    /// The first slot under `tag` that `is` accepts. Ends because half of the buckets are empty.
    #[inline]
    pub(super) fn find(&self, tag: Tag, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        loop {
            let bucket = self.buckets[at];
            if bucket == 0 {
                return None;
            }
            if tag_of(bucket) == tag && is(slot_of(bucket)) {
                return Some(slot_of(bucket));
            }
            at = self.next(at);
        }
    }

    /// Adds a slot that is not there yet.
    pub(super) fn insert(&mut self, tag: Tag, slot: u32) {
        let mut at = self.home(tag);
        while self.buckets[at] != 0 {
            at = self.next(at);
        }
        self.buckets[at] = pack(tag, slot);
    }

    /// Takes a slot out and closes the gap (Knuth, volume 3, section 6.4, algorithm R).
    pub(super) fn remove(&mut self, tag: Tag, slot: u32) {
        let mut hole = self.home(tag);
        while self.buckets[hole] != pack(tag, slot) {
            if self.buckets[hole] == 0 {
                return;
            }
            hole = self.next(hole);
        }
        let mut at = self.next(hole);
        while self.buckets[at] != 0 {
            let home = self.home(tag_of(self.buckets[at]));
            if self.distance(home, at) >= self.distance(hole, at) {
                self.buckets[hole] = self.buckets[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.buckets[hole] = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few tags in few buckets, some of them at the end, so that clusters grow long and wrap round.
        #[test]
        fn holds_what_a_set_holds(
            steps in prop::collection::vec((any::<bool>(), prop_oneof![0..4u32, u32::MAX - 3..=u32::MAX, any::<u32>()], 0..12u32), 1..200),
        ) {
            let (mut index, mut twin) = (Index::new(12), BTreeSet::new());
            for (add, tag, slot) in steps {
                let tag = Tag(tag);
                if add && !twin.iter().any(|&(_, held)| held == slot) {
                    index.insert(tag, slot);
                    twin.insert((tag, slot));
                } else if !add {
                    index.remove(tag, slot);
                    twin.remove(&(tag, slot));
                }
                for &(tag, slot) in &twin {
                    prop_assert_eq!(index.find(tag, |found| found == slot), Some(slot));
                }
                prop_assert_eq!(index.buckets.iter().filter(|&&bucket| bucket != 0).count(), twin.len());
            }
        }
    }

    #[test]
    fn tags_spread_over_all_buckets() {
        let index = Index::new(500);
        assert_eq!(index.home(Tag(0)), 0);
        assert_eq!(index.home(Tag(u32::MAX)), 999);
        assert_eq!(index.home(Tag(1 << 31)), 500);
    }
}
