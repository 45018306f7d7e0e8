//! A binary heap that knows where each of its members stands, so that any of them can leave or change its key.

/// What stands in a heap: a class.
type Member = u32;

/// The place of what stands in no heap.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Members by key, the lowest on top; among equal keys the member with the lowest number.
///
/// Places are kept by the caller, in a table by member (`places`): members of many heaps share one.
#[derive(Debug, Default)]
pub(super) struct Heap(Vec<(u128, Member)>);

impl Heap {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes room, so that `members` can stand here without an allocation.
    pub(super) fn reserve(&mut self, members: usize) {
        self.0.reserve(members.saturating_sub(self.0.len()));
    }

    /// The lowest, and its key.
    #[inline]
    pub(super) fn top(&self) -> Option<(u128, Member)> {
        self.0.first().copied()
    }

    pub(super) fn push(&mut self, key: u128, member: Member, places: &mut [u32]) {
        debug_assert_eq!(places[member as usize], NOWHERE);
        self.0.push((key, member));
        self.up(self.0.len() - 1, places);
    }

    /// The key of a member that stands here.
    #[inline]
    pub(super) fn key(&self, member: Member, places: &[u32]) -> u128 {
        self.0[places[member as usize] as usize].0
    }

    /// Takes out a member that stands here; returns its key.
    pub(super) fn remove(&mut self, member: Member, places: &mut [u32]) -> u128 {
        let at = std::mem::replace(&mut places[member as usize], NOWHERE) as usize;
        let last = self.0.pop().expect("a member stands here");
        if last.1 == member {
            return last.0;
        }
        let key = self.0[at].0;
        self.put(at, last, places);
        key
    }

    /// Gives a member that stands here another key.
    #[inline]
    pub(super) fn rekey(&mut self, member: Member, key: u128, places: &mut [u32]) {
        let at = places[member as usize] as usize;
        self.put(at, (key, member), places);
    }

    /// Puts an entry in a place that is free, and from there where it belongs.
    #[inline]
    fn put(&mut self, at: usize, entry: (u128, Member), places: &mut [u32]) {
        self.0[at] = entry;
        if at > 0 && entry < self.0[(at - 1) / 2] {
            self.up(at, places);
        } else {
            self.down(at, places);
        }
    }

    fn up(&mut self, mut at: usize, places: &mut [u32]) {
        let entry = self.0[at];
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.0[parent] <= entry {
                break;
            }
            self.0[at] = self.0[parent];
            places[self.0[at].1 as usize] = at as u32;
            at = parent;
        }
        self.0[at] = entry;
        places[entry.1 as usize] = at as u32;
    }

    fn down(&mut self, mut at: usize, places: &mut [u32]) {
        let entry = self.0[at];
        loop {
            let left = 2 * at + 1;
            let Some(&first) = self.0.get(left) else { break };
            let child =
                if self.0.get(left + 1).is_some_and(|&second| second < first) { left + 1 } else { left };
            if entry <= self.0[child] {
                break;
            }
            self.0[at] = self.0[child];
            places[self.0[at].1 as usize] = at as u32;
            at = child;
        }
        self.0[at] = entry;
        places[entry.1 as usize] = at as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The twin is a sorted set.
        #[test]
        fn the_lowest_is_on_top(steps in prop::collection::vec((0..3u8, 0..40u32, 0..20u128), 1..400)) {
            let (mut heap, mut places) = (Heap::default(), vec![NOWHERE; 40]);
            let (mut twin, mut keys) = (BTreeSet::new(), [None; 40]);
            for (step, member, key) in steps {
                let at = member as usize;
                match (step, keys[at]) {
                    (0, Some(old)) => {
                        prop_assert_eq!(heap.key(member, &places), old);
                        prop_assert_eq!(heap.remove(member, &mut places), old);
                        twin.remove(&(old, member));
                        keys[at] = None;
                    }
                    (_, Some(old)) => {
                        heap.rekey(member, key, &mut places);
                        twin.remove(&(old, member));
                        twin.insert((key, member));
                        keys[at] = Some(key);
                    }
                    (_, None) => {
                        heap.push(key, member, &mut places);
                        twin.insert((key, member));
                        keys[at] = Some(key);
                    }
                }
                prop_assert_eq!(heap.top(), twin.first().copied());
                prop_assert_eq!((heap.0.len(), heap.is_empty()), (twin.len(), twin.is_empty()));
                for (member, place) in places.iter().enumerate() {
                    let stands = heap.0.get(*place as usize).map(|entry| entry.1 as usize);
                    prop_assert_eq!(stands, keys[member].map(|_| member));
                }
            }
        }
    }
}
