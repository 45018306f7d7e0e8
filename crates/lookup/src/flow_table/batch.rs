//! Many keys at once: each step is taken for all of them before the next, so that the waits for memory overlap.

use std::hash::{BuildHasher, Hash};
use std::hint::black_box;

use super::{FlowId, FlowTable, Tag};

/// Keys whose memory accesses overlap.
const LANES: usize = 32;

impl<K, V, S> FlowTable<K, V, S> {
    /// Has in the cache what [`find_tagged`](Self::find_tagged) and a look at the entry will read: for those who look for
    /// one key after the other because each may change what the next finds. `touch` gets what is probably found, by the
    /// number of its tag, and reads a word of each cache line that will be needed; its result only makes sure that it does.
    ///
    /// ```
    /// # use lookup::flow_table::FlowTable;
    /// # use packet::flow::FlowHasher;
    /// let mut table = FlowTable::with_hasher(4, FlowHasher::new(0x5eed));
    /// table.insert("dns", 53u64, 30, 0)?;
    /// let keys = ["dns", "ntp"];
    /// let tags = keys.map(|key| table.tag(&key));
    /// table.fetch(&tags, |_, port| *port);
    /// for (tag, key) in tags.into_iter().zip(keys) {
    ///     if table.find_tagged(tag, &key, 1).is_none() {
    ///         table.insert(key, 0, 30, 1)?;
    ///     }
    /// }
    /// assert_eq!(table.len(), 2);
    /// # Ok::<(), lookup::flow_table::Full>(())
    /// ```
    #[inline]
    pub fn fetch(&self, tags: &[Tag], mut touch: impl FnMut(usize, &V) -> u64) {
        for (from, tags) in (0..).step_by(LANES).zip(tags.chunks(LANES)) {
            let mut read = 0;
            for (at, slot) in self.first_slots(tags).into_iter().enumerate() {
                if let Some(kept) = slot.and_then(|slot| self.slots[slot as usize].kept.as_ref()) {
                    read ^= touch(from + at, &kept.value);
                }
            }
            black_box(read);
        }
    }

    /// [`fetch`](Self::fetch) for entries whose [places](super::FlowId::place) are known.
    #[inline]
    pub fn fetch_at(&self, places: impl IntoIterator<Item = u32>, mut touch: impl FnMut(&V) -> u64) {
        let mut read = 0;
        for place in places {
            let Some(held) = self.slots.get(place as usize) else { continue };
            read ^= held.deadline_ns;
            if let Some(kept) = &held.kept {
                read ^= touch(&kept.value);
            }
        }
        black_box(read);
    }

    /// The first slot under each of [`LANES`] tags; it may hold another key. The start of each is in the cache.
    #[inline]
    fn first_slots(&self, tags: &[Tag]) -> [Option<u32>; LANES] {
        // Reads that nothing waits for, least of all a branch: the processor can have them all in flight.
        black_box(tags.iter().fold(0, |read, &tag| read ^ self.index.first(tag)));
        let mut slots = [None; LANES];
        for (slot, &tag) in slots.iter_mut().zip(tags) {
            *slot = self.index.find(tag, |_| true);
        }
        let held = slots.iter().flatten().map(|&slot| self.slots[slot as usize].deadline_ns);
        black_box(held.fold(0, |read, deadline_ns| read ^ deadline_ns));
        slots
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> FlowTable<K, V, S> {
    /// [`find`](Self::find) for a batch of packets: `found` gets as many answers as there are keys and room.
    pub fn find_batch(&self, keys: &[K], now_ns: u64, found: &mut [Option<FlowId>]) {
        for (keys, found) in keys.chunks(LANES).zip(found.chunks_mut(LANES)) {
            let mut tags = [Tag::default(); LANES];
            for (tag, key) in tags.iter_mut().zip(keys) {
                *tag = self.tag(key);
            }
            let slots = self.first_slots(&tags[..keys.len()]);
            for (((found, key), slot), tag) in found.iter_mut().zip(keys).zip(slots).zip(tags) {
                // Two keys may share a tag; then the first under it may be the wrong one.
                let slot = slot
                    .filter(|&slot| self.holds(slot, key))
                    .or_else(|| slot.and_then(|_| self.index.find(tag, |slot| self.holds(slot, key))));
                *found = slot.and_then(|slot| self.live(slot, now_ns));
            }
        }
    }
}
