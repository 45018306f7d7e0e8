//! One direction of a domain: a ring of entries in shared memory with one writer and one reader.
//!
//! There are as many entries as there are slots, and a slot stands in at most one unread entry, so a writer that has
//! a slot to write about has room. Hence the ring has no read position; the writer's is all that is shared, and the
//! reader checks it before use.
//!
//! A reader that sleeps says so (`asleep`), looks once more, and only then goes to sleep; a writer that has published
//! looks at `asleep`. Both put a full fence between, as in [`crate::ring`].
#![allow(unsafe_code)]

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub(super) use model::Words;
#[cfg(not(loom))]
pub(super) use shared::Words;

/// Words of an entry: what [`super::Entry`] takes. One suffices to model the order in which entries are seen.
pub(super) const RECORD: usize = if cfg!(loom) { 1 } else { 5 };

#[cfg(not(loom))]
mod shared {
    use std::ptr::NonNull;
    use std::sync::Arc;

    use super::{AtomicU32, AtomicU64, RECORD};
    use crate::xdp_ring::Mapping;

    /// The words of one ring that both sides see.
    pub(in super::super) struct Words {
        /// The count of entries ever written.
        tail: NonNull<u32>,
        /// Whether the reader sleeps.
        asleep: NonNull<u32>,
        entries: NonNull<u64>,
        /// How many entries: a power of two.
        size: u32,
        _map: Arc<Mapping>,
    }

    // SAFETY: the pointers lead into the mapping, which this keeps, and which any thread may use.
    unsafe impl Send for Words {}

    impl Words {
        /// The words at these places of a mapping.
        ///
        /// # Panics
        /// They do not lie in it, or are not aligned: the layout sees to it.
        pub(in super::super) fn new(
            map: Arc<Mapping>,
            [tail, asleep, entries]: [usize; 3],
            size: u32,
        ) -> Self {
            assert!(size.is_power_of_two() && [tail, asleep, entries].iter().all(|at| at.is_multiple_of(8)));
            let at = |at: usize, len: usize| {
                let bytes = map.range(at, len).expect("a place that was laid out in the mapping");
                NonNull::new(bytes.cast::<u8>().cast_mut()).expect("mappings are not at zero")
            };
            let (tail, asleep) = (at(tail, 4).cast(), at(asleep, 4).cast());
            let entries = at(entries, size as usize * RECORD * size_of::<u64>()).cast();
            Self { tail, asleep, entries, size, _map: map }
        }

        #[inline]
        pub(super) fn tail(&self) -> &AtomicU32 {
            // SAFETY: in the mapping and aligned (`new`); both sides only use it atomically, or are hostile, and then
            // the loads still only ever yield some integer.
            unsafe { AtomicU32::from_ptr(self.tail.as_ptr()) }
        }

        #[inline]
        pub(super) fn asleep(&self) -> &AtomicU32 {
            // SAFETY: as above.
            unsafe { AtomicU32::from_ptr(self.asleep.as_ptr()) }
        }

        #[inline]
        pub(super) fn entry(&self, position: u32) -> [&AtomicU64; RECORD] {
            let first = (position & (self.size - 1)) as usize * RECORD;
            // SAFETY: as above, for each word of an entry of which there are `size`.
            std::array::from_fn(|word| unsafe {
                AtomicU64::from_ptr(self.entries.as_ptr().add(first + word))
            })
        }

        #[inline]
        pub(super) fn size(&self) -> u32 {
            self.size
        }
    }
}

/// The side that hands slots over.
pub(super) struct Writer {
    words: Words,
    tail: u32,
}

impl Writer {
    pub(super) fn new(words: Words) -> Self {
        Self { words, tail: 0 }
    }

    /// Writes the entry `ahead` of the position.
    #[inline]
    pub(super) fn put(&mut self, ahead: u32, record: [u64; RECORD]) {
        let entry = self.words.entry(self.tail.wrapping_add(ahead));
        entry.into_iter().zip(record).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
    }

    /// How many entries were ever published, modulo 2³².
    pub(super) fn position(&self) -> u32 {
        self.tail
    }

    /// Hands over the next `count` entries, which were written, and what they tell of; returns whether the reader
    /// sleeps and has to be woken.
    #[inline]
    #[must_use]
    pub(super) fn publish(&mut self, count: u32) -> bool {
        self.tail = self.tail.wrapping_add(count);
        self.words.tail().store(self.tail, Ordering::Release);
        fence(Ordering::SeqCst);
        let asleep = self.words.asleep();
        asleep.load(Ordering::Relaxed) != 0 && asleep.swap(0, Ordering::Relaxed) != 0
    }
}

/// The side that is handed slots.
pub(super) struct Reader {
    words: Words,
    head: u32,
}

/// The writer's position is one that it cannot have got to honestly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPosition;

impl Reader {
    pub(super) fn new(words: Words) -> Self {
        Self { words, head: 0 }
    }

    /// How many entries wait, never more than there are slots.
    #[inline]
    pub(super) fn waiting(&self) -> Result<u32, BadPosition> {
        let waiting = self.words.tail().load(Ordering::Acquire).wrapping_sub(self.head);
        if waiting <= self.words.size() { Ok(waiting) } else { Err(BadPosition) }
    }

    /// The entry `ahead` of the position, each word read once.
    #[inline]
    pub(super) fn get(&self, ahead: u32) -> [u64; RECORD] {
        self.words.entry(self.head.wrapping_add(ahead)).map(|word| word.load(Ordering::Relaxed))
    }

    /// The first word of that entry, to guess from what will be needed.
    #[inline]
    pub(super) fn glance(&self, ahead: u32) -> u64 {
        self.words.entry(self.head.wrapping_add(ahead))[0].load(Ordering::Relaxed)
    }

    /// Moves on over `count` entries.
    #[inline]
    pub(super) fn advance(&mut self, count: u32) {
        self.head = self.head.wrapping_add(count);
    }

    /// Says that this side is going to sleep, and returns whether it may: not when something waits.
    pub(super) fn prepare_sleep(&self) -> bool {
        self.words.asleep().store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.waiting() == Ok(0) {
            return true;
        }
        self.words.asleep().store(0, Ordering::Relaxed);
        false
    }

    /// Says that this side is awake, however it came to be.
    pub(super) fn woken(&self) {
        self.words.asleep().store(0, Ordering::Relaxed);
    }
}

#[cfg(loom)]
#[path = "ring_model.rs"]
mod model;
