//! Each value once, however many prefixes have it, so that what lookups read at their end stays in cache.

use std::collections::HashMap;
use std::hash::Hash;

/// A value's number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Id(pub(super) u32);

impl Id {
    /// What matches where no prefix does: the default route, or nothing.
    pub(super) const DEFAULT: Self = Self(0);
}

#[derive(Debug, Clone)]
pub(super) struct Values<V> {
    items: Vec<Option<V>>,
    /// Prefixes that have each.
    uses: Vec<u32>,
    free: Vec<Id>,
    known: HashMap<V, Id>,
}

impl<V: Copy + Eq + Hash> Values<V> {
    pub(super) fn new() -> Self {
        Self { items: vec![None], uses: vec![0], free: Vec::new(), known: HashMap::new() }
    }

    #[inline(always)]
    pub(super) fn get(&self, id: Id) -> Option<V> {
        self.items[id.0 as usize]
    }

    pub(super) fn set_default(&mut self, value: Option<V>) {
        self.items[0] = value;
    }

    /// One more prefix has this value.
    pub(super) fn take(&mut self, value: V) -> Id {
        let Self { items, uses, free, known } = self;
        let id = *known.entry(value).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                items.push(None);
                uses.push(0);
                Id(items.len() as u32 - 1)
            })
        });
        items[id.0 as usize] = Some(value);
        uses[id.0 as usize] += 1;
        id
    }

    /// A prefix has it no longer.
    pub(super) fn give_back(&mut self, id: Id) {
        let uses = &mut self.uses[id.0 as usize];
        *uses -= 1;
        if *uses == 0
            && let Some(value) = self.items[id.0 as usize].take()
        {
            self.known.remove(&value);
            self.free.push(id);
        }
    }

    /// Different values, used or not.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_a_number_as_long_as_a_prefix_has_it() {
        let mut values = Values::new();
        let (a, b) = (values.take('a'), values.take('b'));
        assert_eq!((values.take('a'), values.get(a), values.get(b)), (a, Some('a'), Some('b')));
        values.give_back(a);
        assert_eq!(values.get(a), Some('a'));
        values.give_back(a);
        assert_eq!((values.get(a), values.take('c'), values.len()), (None, a, 3));
        assert_ne!(values.take('a'), a);
        assert_eq!(values.get(Id::DEFAULT), None);
    }
}
