//! The flow table: exact match, bounded, with expiry that never scans.
//!
//! ```text
//!  hash(key) ──► index: [tag|slot] [ ] [tag|slot] …     8 bytes a bucket, half of them empty
//!                           │
//!                           ▼
//!                slots: │deadline│generation│key│value│ …    one a flow, at a fixed place
//!                           ▲
//!                           │ only when its turn comes
//!                queue: a heap of slots, by the deadline they had when they were queued
//! ```
//!
//! A packet finds its flow's slot and writes the new deadline into it; the queue does not hear of it. When the turn of a
//! slot comes and its deadline turns out to have moved, it is queued again. Only a deadline that moves before the time
//! the slot is queued for (a TCP reset) changes the queue at once.

mod batch;
mod entry;
mod index;
mod queue;

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use packet::flow::FlowHasher;

pub use entry::{Entry, Seen};
use index::Index;
pub use index::Tag;
use queue::Queue;

/// Most entries a table holds; a larger capacity is cut to it. Slots are numbered in 31 bits.
pub const CAPACITY_MAX: usize = (1 << 31) - 1;
/// Most entries that [`FlowTable::insert`] looks at in a full table to find one past its deadline.
pub const RECLAIM_TURNS: usize = 64;

/// An entry of a [`FlowTable`]. Goes stale when its entry leaves the table: then every method answers as for nothing, even
/// when the place has been taken by another entry (until it has been taken 2³² times).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowId {
    slot: u32,
    generation: u32,
}

impl FlowId {
    /// The id of no entry of any table.
    pub const NONE: Self = Self { slot: u32::MAX, generation: 0 };

    /// Where in its table the entry lies, as long as it is there: for [`FlowTable::entry_at`].
    #[inline]
    #[must_use]
    pub const fn place(self) -> u32 {
        self.slot
    }
}

/// The table holds `capacity` entries and found none among them that is past its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the flow table is full: {capacity} entries")]
pub struct Full {
    /// Entries the table holds at most.
    pub capacity: usize,
}

/// What has happened in a table since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries put in.
    pub inserted: u64,
    /// Entries that made way for one of the same key.
    pub replaced: u64,
    /// Entries handed out by [`FlowTable::expire`].
    pub expired: u64,
    /// Entries past their deadline that made way for another in a full table.
    pub reclaimed: u64,
    /// Entries taken out by [`FlowTable::remove`].
    pub removed: u64,
    /// Entries turned away with [`Full`].
    pub refused: u64,
    /// Turns that found an entry whose deadline had not come.
    pub requeued: u64,
}

/// In this order, so that a lookup reads the beginning of a slot and nothing else; at the start of a cache line, so that
/// the beginning is one line.
#[derive(Debug)]
#[repr(C, align(64))]
struct Slot<K, V> {
    deadline_ns: u64,
    generation: u32,
    tag: Tag,
    kept: Option<Kept<K, V>>,
}

#[derive(Debug)]
#[repr(C)]
struct Kept<K, V> {
    key: K,
    value: V,
}

/// What the turn of an entry came to.
enum Turn<K, V> {
    Gone(K, V),
    Requeued,
    Idle,
}

/// A bounded map from keys to values that have a deadline.
///
/// An entry is past its deadline from the very nanosecond of it on. [`find`](Self::find) does not find it any more; it stays
/// until [`expire`](Self::expire) hands it out, an insertion replaces or reclaims it, or it is removed. All memory is
/// reserved at the start: per entry 16 bytes of index, 24 of queue and free list, and a slot of 16 bytes and key and value, rounded up to whole
/// cache lines of 64.
///
/// Who chooses the keys must not know the hash: with the default, [`FlowHasher`], lookups are short whatever packets are
/// sent.
///
/// ```
/// use lookup::flow_table::FlowTable;
/// use packet::flow::FlowHasher;
///
/// let mut table = FlowTable::with_hasher(2, FlowHasher::new(0x5eed));
/// let (dns, ntp) = (table.insert("dns", 53, 30, 0)?, table.insert("ntp", 123, 30, 0)?);
/// assert!(table.insert("tftp", 69, 30, 0).is_err(), "full");
///
/// assert_eq!(table.find(&"dns", 29), Some(dns));
/// table.set_deadline(dns, 59); // what every packet of the flow does
///
/// let mut gone = Vec::new();
/// table.expire(30, 16, |key, _| gone.push(key));
/// assert_eq!(gone, ["ntp"]);
/// assert_eq!((table.get(dns), table.get(ntp)), (Some(&53), None));
/// # Ok::<(), lookup::flow_table::Full>(())
/// ```
pub struct FlowTable<K, V, S = FlowHasher> {
    hasher: S,
    capacity: usize,
    index: Index,
    slots: Vec<Slot<K, V>>,
    queue: Queue,
    free: Vec<u32>,
    stats: Stats,
}

impl<K, V, S> FlowTable<K, V, S> {
    /// A table of at most `capacity` entries ([`CAPACITY_MAX`] at most), its memory reserved.
    ///
    /// # Panics
    /// As [`Vec::with_capacity`], where memory does not suffice.
    #[must_use]
    pub fn with_hasher(capacity: usize, hasher: S) -> Self {
        let capacity = capacity.min(CAPACITY_MAX);
        Self {
            hasher,
            capacity,
            index: Index::new(capacity),
            slots: Vec::with_capacity(capacity),
            queue: Queue::new(capacity),
            free: Vec::with_capacity(capacity),
            stats: Stats::default(),
        }
    }

    /// Entries held, with those past their deadline that have not been handed out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries it holds at most.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of memory behind it, the same from the start on.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
            + self.queue.memory_bytes()
            + self.slots.capacity() * size_of::<Slot<K, V>>()
            + self.free.capacity() * size_of::<u32>()
    }

    /// What has happened so far.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// A lower bound on when [`FlowTable::expire`] has work; `None` where the table is empty. Exact unless
    /// packets have moved the deadline of the entry whose turn is next.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.queue.first().map(|(_, due_ns)| due_ns)
    }

    /// All entries, in no order, with those past their deadline that have not been handed out.
    pub fn iter(&self) -> impl Iterator<Item = (FlowId, &K, &V)> {
        self.slots.iter().enumerate().filter_map(|(slot, held)| {
            let id = FlowId { slot: slot as u32, generation: held.generation };
            held.kept.as_ref().map(|kept| (id, &kept.key, &kept.value))
        })
    }

    #[inline]
    fn slot(&self, id: FlowId) -> Option<&Slot<K, V>> {
        self.slots.get(id.slot as usize).filter(|held| held.generation == id.generation)
    }

    #[inline]
    fn slot_mut(&mut self, id: FlowId) -> Option<&mut Slot<K, V>> {
        self.slots.get_mut(id.slot as usize).filter(|held| held.generation == id.generation)
    }

    /// The value of an entry, also past its deadline.
    #[inline]
    #[must_use]
    pub fn get(&self, id: FlowId) -> Option<&V> {
        self.slot(id)?.kept.as_ref().map(|kept| &kept.value)
    }

    /// The value of an entry, also past its deadline.
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, id: FlowId) -> Option<&mut V> {
        self.slot_mut(id)?.kept.as_mut().map(|kept| &mut kept.value)
    }

    /// An entry with all that is known of it, looked for once. Also past its deadline.
    #[inline]
    #[must_use]
    pub fn peek(&self, id: FlowId) -> Option<Seen<'_, K, V>> {
        let held = self.slot(id)?;
        let Kept { key, value } = held.kept.as_ref()?;
        Some(Seen { key, value, deadline_ns: held.deadline_ns })
    }

    /// The key of an entry.
    #[inline]
    #[must_use]
    pub fn key(&self, id: FlowId) -> Option<&K> {
        self.slot(id)?.kept.as_ref().map(|kept| &kept.key)
    }

    /// The deadline of an entry.
    #[inline]
    #[must_use]
    pub fn deadline_ns(&self, id: FlowId) -> Option<u64> {
        self.slot(id).map(|held| held.deadline_ns)
    }

    /// Moves the deadline of an entry, later or earlier. A later one is one write beside the value, and so is an
    /// earlier one that is not before the time the entry is queued for; else it is logarithmic.
    #[inline]
    pub fn set_deadline(&mut self, id: FlowId, deadline_ns: u64) {
        if let Some(mut entry) = self.entry(id) {
            entry.set_deadline(deadline_ns);
        }
    }

    /// [`peek`](Self::peek), to change it.
    #[inline]
    pub fn entry(&mut self, id: FlowId) -> Option<Entry<'_, K, V>> {
        let held = self.slots.get_mut(id.slot as usize).filter(|held| held.generation == id.generation)?;
        let Kept { key, value } = held.kept.as_mut()?;
        Some(Entry { slot: id.slot, deadline_ns: &mut held.deadline_ns, key, value, queue: &mut self.queue })
    }

    /// The entry that lies at a [place](FlowId::place) now, unless it is past its deadline; it need not be the one that the
    /// place was noted for. A look without a search, for those who can tell from the entry whether it is theirs.
    #[inline]
    pub fn entry_at(&mut self, place: u32, now_ns: u64) -> Option<(FlowId, Entry<'_, K, V>)> {
        let Slot { deadline_ns, generation, kept, .. } = self.slots.get_mut(place as usize)?;
        let (Kept { key, value }, id) = (kept.as_mut()?, FlowId { slot: place, generation: *generation });
        let live = *deadline_ns > now_ns;
        live.then_some((id, Entry { slot: place, deadline_ns, key, value, queue: &mut self.queue }))
    }

    /// Takes an entry out.
    pub fn remove(&mut self, id: FlowId) -> Option<(K, V)> {
        self.slot(id)?;
        self.stats.removed += 1;
        self.release(id.slot)
    }

    /// Hands out entries whose deadline is `now_ns` or before, each once, and looks at no more than `most`. Returns how many
    /// it handed out; [`next_deadline_ns`](Self::next_deadline_ns) later than `now_ns` says that none is left.
    pub fn expire(&mut self, now_ns: u64, most: usize, mut gone: impl FnMut(K, V)) -> usize {
        let mut handed_out = 0;
        for _ in 0..most {
            match self.turn(now_ns) {
                Turn::Gone(key, value) => {
                    handed_out += 1;
                    self.stats.expired += 1;
                    gone(key, value);
                }
                Turn::Requeued => {}
                Turn::Idle => break,
            }
        }
        handed_out
    }

    fn turn(&mut self, now_ns: u64) -> Turn<K, V> {
        let Some((slot, _)) = self.queue.first().filter(|&(_, due_ns)| due_ns <= now_ns) else {
            return Turn::Idle;
        };
        let deadline_ns = self.slots[slot as usize].deadline_ns;
        if deadline_ns > now_ns {
            self.queue.requeue(slot, deadline_ns);
            self.stats.requeued += 1;
            return Turn::Requeued;
        }
        self.release(slot).map_or(Turn::Idle, |(key, value)| Turn::Gone(key, value))
    }

    /// Empties a slot.
    fn release(&mut self, slot: u32) -> Option<(K, V)> {
        let held = &mut self.slots[slot as usize];
        held.generation = held.generation.wrapping_add(1);
        self.index.remove(held.tag, slot);
        self.queue.remove(slot);
        self.free.push(slot);
        held.kept.take().map(|Kept { key, value }| (key, value))
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> FlowTable<K, V, S> {
    /// What a key is looked for by: the costly part of [`find`](Self::find), for keys that are looked for more than once.
    #[inline]
    #[must_use]
    #[expect(clippy::manual_hash_one, reason = "`hash_one` is not inlined")]
    pub fn tag(&self, key: &K) -> Tag {
        let mut state = self.hasher.build_hasher();
        key.hash(&mut state);
        Tag::of(state.finish())
    }

    #[inline]
    fn holds(&self, slot: u32, key: &K) -> bool {
        self.slots[slot as usize].kept.as_ref().is_some_and(|kept| kept.key == *key)
    }

    /// The id of a slot's entry unless it is past its deadline.
    #[inline]
    fn live(&self, slot: u32, now_ns: u64) -> Option<FlowId> {
        let held = &self.slots[slot as usize];
        (held.deadline_ns > now_ns).then_some(FlowId { slot, generation: held.generation })
    }

    /// The entry of a key, unless it is past its deadline.
    #[inline]
    #[must_use]
    pub fn find(&self, key: &K, now_ns: u64) -> Option<FlowId> {
        self.find_tagged(self.tag(key), key, now_ns)
    }

    /// [`find`](Self::find) for a key of which the [tag](Self::tag) is known. Under another tag it is not found.
    #[inline]
    #[must_use]
    pub fn find_tagged(&self, tag: Tag, key: &K, now_ns: u64) -> Option<FlowId> {
        let slot = self.index.find(tag, |slot| self.holds(slot, key))?;
        self.live(slot, now_ns)
    }

    /// [`find_tagged`](Self::find_tagged) and [`entry`](Self::entry) in one look.
    #[inline]
    pub fn find_entry(&mut self, tag: Tag, key: &K, now_ns: u64) -> Option<(FlowId, Entry<'_, K, V>)> {
        let slot = self.index.find(tag, |slot| self.holds(slot, key))?;
        self.entry_at(slot, now_ns)
    }

    /// Puts an entry in. One of the same key is replaced: its id goes stale. A full table first looks for an entry past its
    /// deadline, at [`RECLAIM_TURNS`] at most. What makes way is dropped; who must hear of it calls
    /// [`insert_with`](Self::insert_with).
    ///
    /// # Errors
    /// [`Full`].
    pub fn insert(&mut self, key: K, value: V, deadline_ns: u64, now_ns: u64) -> Result<FlowId, Full> {
        self.insert_with(key, value, deadline_ns, now_ns, |_, _| ())
    }

    /// [`insert`](Self::insert), and what makes way, replaced or past its deadline, goes to `gone`.
    ///
    /// # Errors
    /// [`Full`].
    pub fn insert_with(
        &mut self,
        key: K,
        value: V,
        deadline_ns: u64,
        now_ns: u64,
        mut gone: impl FnMut(K, V),
    ) -> Result<FlowId, Full> {
        let tag = self.tag(&key);
        if let Some(slot) = self.index.find(tag, |slot| self.holds(slot, &key)) {
            self.stats.replaced += 1;
            if let Some((key, value)) = self.release(slot) {
                gone(key, value);
            }
        }
        if self.len() == self.capacity
            && let Some((key, value)) = self.reclaim(now_ns)
        {
            gone(key, value);
        }
        let Some(slot) = self.free.pop().or_else(|| self.add_slot()) else {
            self.stats.refused += 1;
            return Err(Full { capacity: self.capacity });
        };
        self.stats.inserted += 1;
        self.index.insert(tag, slot);
        self.queue.add(slot, deadline_ns);
        let held = &mut self.slots[slot as usize];
        (held.deadline_ns, held.tag, held.kept) = (deadline_ns, tag, Some(Kept { key, value }));
        Ok(FlowId { slot, generation: held.generation })
    }

    /// An entry past its deadline, taken out.
    fn reclaim(&mut self, now_ns: u64) -> Option<(K, V)> {
        for _ in 0..RECLAIM_TURNS {
            match self.turn(now_ns) {
                Turn::Gone(key, value) => {
                    self.stats.reclaimed += 1;
                    return Some((key, value));
                }
                Turn::Requeued => {}
                Turn::Idle => break,
            }
        }
        None
    }

    /// A slot that was never used, as long as there is one; its memory is there.
    fn add_slot(&mut self) -> Option<u32> {
        if self.slots.len() == self.capacity {
            return None;
        }
        self.slots.push(Slot { deadline_ns: 0, generation: 0, tag: Tag::default(), kept: None });
        self.queue.grow();
        Some(self.slots.len() as u32 - 1)
    }
}

impl<K, V, S> fmt::Debug for FlowTable<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowTable")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
