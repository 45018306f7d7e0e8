//! Whose turn it is to expire: a heap of slots by the deadline they had when they were queued.
//!
//! Not a timing wheel: there, when a list of a higher level begins, all its slots move down at once, and a call that may only
//! look at a few of them does not get to those that are due. Here the earliest is always first, and every step is
//! logarithmic.

/// Children of a place: of 16 bytes each, so that they lie side by side in one cache line or two.
const ARITY: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Turn {
    due_ns: u64,
    slot: u32,
}

/// No parent is due after its children; `places` says where a slot is.
#[derive(Debug)]
pub(super) struct Queue {
    turns: Vec<Turn>,
    places: Vec<u32>,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { turns: Vec::with_capacity(capacity), places: Vec::with_capacity(capacity) }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.turns.capacity() * size_of::<Turn>() + self.places.capacity() * size_of::<u32>()
    }

    /// Room for one more slot, the next in number. It is not queued yet.
    pub(super) fn grow(&mut self) {
        self.places.push(0);
    }

    /// The slot that is due first, and when.
    pub(super) fn first(&self) -> Option<(u32, u64)> {
        self.turns.first().map(|turn| (turn.slot, turn.due_ns))
    }

    /// The time a queued slot waits for.
    pub(super) fn due_ns(&self, slot: u32) -> u64 {
        self.turns[self.places[slot as usize] as usize].due_ns
    }

    /// Queues a slot that is not queued.
    pub(super) fn add(&mut self, slot: u32, due_ns: u64) {
        let turn = Turn { due_ns, slot };
        self.turns.push(turn);
        self.rise(self.turns.len() - 1, turn);
    }

    /// Lets a queued slot wait for another time.
    pub(super) fn requeue(&mut self, slot: u32, due_ns: u64) {
        self.replace(self.places[slot as usize] as usize, Turn { due_ns, slot });
    }

    /// Takes a queued slot out.
    pub(super) fn remove(&mut self, slot: u32) {
        let at = self.places[slot as usize] as usize;
        if let Some(last) = self.turns.pop()
            && at < self.turns.len()
        {
            self.replace(at, last);
        }
    }

    fn replace(&mut self, at: usize, turn: Turn) {
        if turn.due_ns < self.turns[at].due_ns {
            self.rise(at, turn);
        } else {
            self.sink(at, turn);
        }
    }

    fn put(&mut self, at: usize, turn: Turn) {
        self.turns[at] = turn;
        self.places[turn.slot as usize] = at as u32;
    }

    fn rise(&mut self, mut at: usize, turn: Turn) {
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.turns[parent].due_ns <= turn.due_ns {
                break;
            }
            self.put(at, self.turns[parent]);
            at = parent;
        }
        self.put(at, turn);
    }

    fn sink(&mut self, mut at: usize, turn: Turn) {
        loop {
            let children = at * ARITY + 1..self.turns.len().min(at * ARITY + 1 + ARITY);
            match children.min_by_key(|&child| self.turns[child].due_ns) {
                Some(child) if self.turns[child].due_ns < turn.due_ns => {
                    self.put(at, self.turns[child]);
                    at = child;
                }
                _ => break,
            }
        }
        self.put(at, turn);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SLOTS: u32 = 100;

    proptest! {
        #[test]
        fn the_first_is_the_earliest(
            steps in prop::collection::vec((0..SLOTS, prop_oneof![0..20u64, any::<u64>()], 0..4u8), 1..400),
        ) {
            let (mut queue, mut twin) = (Queue::new(SLOTS as usize), BTreeMap::new());
            (0..SLOTS).for_each(|_| queue.grow());
            for (slot, due_ns, step) in steps {
                match (twin.contains_key(&slot), step) {
                    (false, _) => queue.add(slot, due_ns),
                    (true, 0) => queue.remove(slot),
                    (true, _) => queue.requeue(slot, due_ns),
                }
                if twin.remove(&slot).is_none() || step != 0 {
                    twin.insert(slot, due_ns);
                }
                prop_assert_eq!(queue.turns.len(), twin.len());
                prop_assert!(twin.iter().all(|(&slot, &due_ns)| queue.due_ns(slot) == due_ns));
                prop_assert_eq!(queue.first().map(|(_, due_ns)| due_ns), twin.values().min().copied());
            }
        }
    }
}
