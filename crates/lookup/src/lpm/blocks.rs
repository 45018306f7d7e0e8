//! Memory for arrays of 1 to 64 items that grow and shrink, named by 32-bit places: a buddy allocator (Knowlton, 1965).

use std::collections::BTreeSet;

/// Sizes are powers of two up to this one.
const ORDER_MAX: usize = 6;

/// One vector of items, given out in blocks. Place 0 is never given out.
#[derive(Debug, Clone)]
pub(super) struct Blocks<T> {
    items: Vec<T>,
    /// Free blocks of 2^order items, each at a multiple of its size. The lowest is taken first, so that the end empties.
    free: [BTreeSet<u32>; ORDER_MAX + 1],
    fill: T,
}

const fn order(len: u32) -> usize {
    len.next_power_of_two().trailing_zeros() as usize
}

impl<T: Copy> Blocks<T> {
    /// `fill` is what unused places hold.
    pub(super) fn new(fill: T) -> Self {
        let mut blocks = Self { items: vec![fill; 1 << ORDER_MAX], free: Default::default(), fill };
        for order in 0..ORDER_MAX {
            blocks.free[order].insert(1 << order);
        }
        blocks
    }

    #[inline(always)]
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.items[at as usize]
    }

    /// Writes items from a place on.
    pub(super) fn write(&mut self, at: u32, items: &[T]) {
        self.items[at as usize..][..items.len()].copy_from_slice(items);
    }

    /// A block for `len` items, 1 to 64.
    pub(super) fn alloc(&mut self, len: u32) -> u32 {
        let wanted = order(len);
        let Some(found) = (wanted..=ORDER_MAX).find(|&order| !self.free[order].is_empty()) else {
            let at = self.items.len() as u32;
            self.items.resize(self.items.len() + (1 << ORDER_MAX), self.fill);
            self.free[ORDER_MAX].insert(at);
            return self.alloc(len);
        };
        let at = self.free[found].pop_first().expect("found not empty");
        for half in wanted..found {
            self.free[half].insert(at + (1 << half));
        }
        at
    }

    /// Gives a block back that was made for `len` items; its buddy joins it.
    pub(super) fn release(&mut self, mut at: u32, len: u32) {
        let mut order = order(len);
        while order < ORDER_MAX && self.free[order].remove(&(at ^ (1 << order))) {
            at &= !(1 << order);
            order += 1;
        }
        self.free[order].insert(at);
    }

    /// Puts an item at `index` of a block of `len`; the block may move.
    pub(super) fn insert(&mut self, at: u32, len: u32, index: u32, item: T) -> u32 {
        let moved = if len == 0 || order(len) != order(len + 1) { self.alloc(len + 1) } else { at };
        let (from, to, at_index) = (at as usize, moved as usize, index as usize);
        self.items.copy_within(from + at_index..from + len as usize, to + at_index + 1);
        if moved != at {
            self.items.copy_within(from..from + at_index, to);
            if len > 0 {
                self.release(at, len);
            }
        }
        self.items[to + at_index] = item;
        moved
    }

    /// Takes the item at `index` out of a block of `len`; the block may move.
    pub(super) fn remove(&mut self, at: u32, len: u32, index: u32) -> u32 {
        let (from, index) = (at as usize, index as usize);
        self.items.copy_within(from + index + 1..from + len as usize, from + index);
        self.resize(at, len, len - 1)
    }

    /// A block of `len` items made one of `to`; as many of the first ones as fit come along. 0 items are no block.
    pub(super) fn resize(&mut self, at: u32, len: u32, to: u32) -> u32 {
        if len > 0 && to > 0 && order(len) == order(to) {
            return at;
        }
        let moved = if to > 0 { self.alloc(to) } else { 0 };
        if len > 0 {
            self.items.copy_within(at as usize..(at + len.min(to)) as usize, moved as usize);
            self.release(at, len);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Blocks never overlap and keep what is in them, and when all are released, all memory is one piece again.
        #[test]
        fn blocks_are_vectors(steps in prop::collection::vec((0usize..12, any::<u16>(), any::<bool>()), 1..400)) {
            let mut blocks = Blocks::new(0u16);
            let mut twins = vec![(0u32, Vec::<u16>::new()); 12];
            for (which, item, grow) in steps {
                let (at, twin) = &mut twins[which];
                let len = twin.len();
                if grow && len < 64 {
                    let index = usize::from(item) % (len + 1);
                    *at = blocks.insert(*at, len as u32, index as u32, item);
                    twin.insert(index, item);
                } else if len > 0 {
                    let index = usize::from(item) % len;
                    *at = blocks.remove(*at, len as u32, index as u32);
                    twin.remove(index);
                }
                for (at, twin) in &twins {
                    prop_assert_eq!(&blocks.items()[*at as usize..][..twin.len()], &twin[..]);
                }
            }
            for (at, twin) in &mut twins {
                blocks.resize(*at, twin.len() as u32, 0);
            }
            let sizes: Vec<_> = blocks.free[..ORDER_MAX].iter().map(BTreeSet::len).collect();
            prop_assert_eq!(sizes, vec![1; ORDER_MAX], "place 0 keeps its buddies apart");
            prop_assert_eq!(blocks.free[ORDER_MAX].len() * 64 + 64, blocks.items.len());
        }
    }
}
