//! One direction of a connection: a ring of descriptors in shared memory, lent and given back.
//!
//! ```text
//!            tail          head
//!    ─────────┬─────────────┬───────────  positions of 16 bits, which wrap
//!     client's│   server's  │client's
//! ```
//!
//! The client owns the memory. It lends descriptors by moving `head`, and the server gives them back, in order, by moving
//! `tail`: nothing else is the same in both directions. To the server, a lent descriptor has a packet in it and comes back
//! empty; to the client, it is lent empty and comes back with a packet. So there are two sides, [`Lender`] and
//! [`Borrower`], and each of them receives on one ring and sends on another.
//!
//! A side keeps its own position in private memory and never reads it back. The other's is read and checked: a lender gets
//! no more back than it has lent, a borrower is lent no more than there are entries. Each word of a descriptor is read
//! once.
//!
//! # Sleeping
//!
//! The reader of a ring sets the flag `MASK_INT` while it looks by itself; the writer looks at the flag after it has moved
//! its position and, unless it is set, writes to the reader's eventfd. A full fence stands between the write and the look
//! on either side, so that one of them sees the other. Not every peer has that fence (DPDK 22.11 and libmemif have none),
//! hence [`super::receive`] looks once more a while later.
#![allow(unsafe_code)]

#[cfg(loom)]
use loom::sync::atomic::{AtomicU16, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub(super) use model::Words;
#[cfg(not(loom))]
pub(super) use shared::Words;

/// Words of 64 bits in a descriptor: flags (16), region (16) and length (32); offset (32) and metadata (32).
pub(super) const WORDS: usize = 2;
/// The flag in a ring's header by which its reader says that it needs no waking.
const MASK_INTERRUPT: u16 = 1;
/// What a ring may begin at a multiple of.
#[cfg(not(loom))]
pub(super) const ALIGNMENT: u32 = 16;

/// Bytes of a ring with its header of two cache lines.
#[cfg(not(loom))]
pub(super) const fn bytes(log2_entries: u8) -> usize {
    shared::ENTRIES + ((WORDS * size_of::<u64>()) << log2_entries)
}

#[cfg(not(loom))]
mod shared {
    use std::ptr::NonNull;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::{AtomicU16, AtomicU64, Ordering, WORDS};
    use crate::xdp_ring::Mapping;

    /// Places in a ring (`memif_ring_t`): cookie (4), flags (2), head (2); on the next line tail (2); then descriptors.
    const FLAGS: usize = 4;
    const HEAD: usize = 6;
    const TAIL: usize = 64;
    pub(super) const ENTRIES: usize = 128;

    /// What a ring begins with.
    const COOKIE: u32 = 0x03e3_1f20;

    /// The words of one ring, which both sides see.
    pub(in super::super) struct Words {
        base: NonNull<u8>,
        /// How many entries: a power of two, 2^14 at most.
        size: u16,
        _map: Arc<Mapping>,
    }

    // SAFETY: the pointer leads into the mapping, which this keeps, and which any thread may use.
    unsafe impl Send for Words {}

    impl Words {
        /// The ring at `at` in a mapping; `None` when it does not lie there whole and aligned.
        pub(in super::super) fn new(map: &Arc<Mapping>, at: usize, log2_entries: u8) -> Option<Self> {
            let bytes = map.range(at, super::bytes(log2_entries))?;
            let base = NonNull::new(bytes.cast::<u8>().cast_mut())?;
            let aligned = base.as_ptr().addr().is_multiple_of(size_of::<u64>());
            let size = 1u16.checked_shl(log2_entries.into())?;
            aligned.then(|| Self { base, size, _map: map.clone() })
        }

        fn cookie(&self) -> &AtomicU32 {
            // SAFETY: in the mapping and aligned (`new`); both sides only use it atomically, or are hostile, and then
            // the loads still only ever yield some integer.
            unsafe { AtomicU32::from_ptr(self.base.as_ptr().cast()) }
        }

        #[inline]
        fn short(&self, at: usize) -> &AtomicU16 {
            // SAFETY: as above, for an even place in the header.
            unsafe { AtomicU16::from_ptr(self.base.add(at).as_ptr().cast()) }
        }

        #[inline]
        pub(super) fn flags(&self) -> &AtomicU16 {
            self.short(FLAGS)
        }

        #[inline]
        pub(super) fn head(&self) -> &AtomicU16 {
            self.short(HEAD)
        }

        #[inline]
        pub(super) fn tail(&self) -> &AtomicU16 {
            self.short(TAIL)
        }

        #[inline]
        pub(super) fn entry(&self, position: u16) -> [&AtomicU64; WORDS] {
            let first = ENTRIES + usize::from(position & (self.size - 1)) * size_of::<[u64; WORDS]>();
            std::array::from_fn(|word| {
                // SAFETY: as above, for each word of an entry of which there are `size`.
                unsafe { AtomicU64::from_ptr(self.base.add(first + word * size_of::<u64>()).as_ptr().cast()) }
            })
        }

        #[inline]
        pub(super) fn size(&self) -> u16 {
            self.size
        }

        /// Makes it a ring: what its owner does before anyone else sees it.
        pub(in super::super) fn format(&self) {
            self.cookie().store(COOKIE, Ordering::Relaxed);
            for word in [self.flags(), self.head(), self.tail()] {
                word.store(0, Ordering::Relaxed);
            }
        }

        /// Whether its owner has made it a ring.
        pub(in super::super) fn is_ring(&self) -> bool {
            self.cookie().load(Ordering::Relaxed) == COOKIE
        }
    }
}

/// The other side's position is one that it cannot have got to honestly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPosition;

/// The client's side of a ring.
pub(super) struct Lender {
    words: Words,
    /// How many were ever lent.
    head: u16,
    /// How many of those that came back were seen to.
    back: u16,
}

impl Lender {
    pub(super) fn new(words: Words) -> Self {
        Self { words, head: 0, back: 0 }
    }

    /// How many entries have come back and were not seen to.
    #[inline]
    pub(super) fn returned(&self) -> Result<u16, BadPosition> {
        let returned = self.words.tail().load(Ordering::Acquire).wrapping_sub(self.back);
        if returned <= self.head.wrapping_sub(self.back) { Ok(returned) } else { Err(BadPosition) }
    }

    /// How many entries may be lent, looking at what has come back only when fewer than `wanted` seem to be.
    #[inline]
    pub(super) fn free(&mut self, wanted: u16) -> Result<u16, BadPosition> {
        let free = |lender: &Self| lender.words.size() - lender.head.wrapping_sub(lender.back);
        if free(self) < wanted {
            self.back = self.back.wrapping_add(self.returned()?);
        }
        Ok(free(self))
    }

    /// The descriptor `ahead` of those that came back; the first word is all that the other side has to say.
    #[inline]
    pub(super) fn get(&self, ahead: u16) -> u64 {
        self.words.entry(self.back.wrapping_add(ahead))[0].load(Ordering::Relaxed)
    }

    /// The number of the entry that is to be lent after `ahead` others.
    #[inline]
    pub(super) fn next(&self, ahead: u16) -> u16 {
        self.head.wrapping_add(ahead) & (self.words.size() - 1)
    }

    /// The number of the entry that came back after `ahead` others.
    #[inline]
    pub(super) fn oldest(&self, ahead: u16) -> u16 {
        self.back.wrapping_add(ahead) & (self.words.size() - 1)
    }

    /// Writes the descriptor that is to be lent after `ahead` others.
    #[inline]
    pub(super) fn put(&self, ahead: u16, descriptor: [u64; WORDS]) {
        let entry = self.words.entry(self.head.wrapping_add(ahead));
        entry.into_iter().zip(descriptor).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
    }

    /// Is done with `count` entries that came back.
    #[inline]
    pub(super) fn settle(&mut self, count: u16) {
        self.back = self.back.wrapping_add(count);
    }

    /// Lends the next `count` entries, which were written.
    #[inline]
    pub(super) fn lend(&mut self, count: u16) {
        self.head = self.head.wrapping_add(count);
        self.words.head().store(self.head, Ordering::Release);
    }

    pub(super) fn flag(&self) -> Flag<'_> {
        Flag(&self.words)
    }

    #[cfg(not(loom))]
    pub(super) fn size(&self) -> u16 {
        self.words.size()
    }
}

/// The server's side of a ring.
pub(super) struct Borrower {
    words: Words,
    /// How many were ever given back.
    tail: u16,
    /// What `head` was when last looked at.
    head: u16,
}

impl Borrower {
    pub(super) fn new(words: Words) -> Self {
        words.tail().store(0, Ordering::Relaxed);
        Self { words, tail: 0, head: 0 }
    }

    /// How many entries it has been lent, looking only when fewer than `wanted` seem to be.
    #[inline]
    pub(super) fn lent(&mut self, wanted: u16) -> Result<u16, BadPosition> {
        let lent = self.head.wrapping_sub(self.tail);
        if lent >= wanted { Ok(lent) } else { self.look() }
    }

    /// How many entries it has been lent.
    #[inline]
    pub(super) fn look(&mut self) -> Result<u16, BadPosition> {
        let head = self.words.head().load(Ordering::Acquire);
        let lent = head.wrapping_sub(self.tail);
        if lent > self.words.size() {
            return Err(BadPosition);
        }
        self.head = head;
        Ok(lent)
    }

    /// The descriptor after `ahead` others, each word read once.
    #[inline]
    pub(super) fn get(&self, ahead: u16) -> [u64; WORDS] {
        self.words.entry(self.tail.wrapping_add(ahead)).map(|word| word.load(Ordering::Relaxed))
    }

    /// Writes the first word of the descriptor after `ahead` others.
    #[inline]
    pub(super) fn put(&self, ahead: u16, first: u64) {
        self.words.entry(self.tail.wrapping_add(ahead))[0].store(first, Ordering::Relaxed);
    }

    /// Gives the next `count` entries back.
    #[inline]
    pub(super) fn give_back(&mut self, count: u16) {
        self.tail = self.tail.wrapping_add(count);
        self.words.tail().store(self.tail, Ordering::Release);
    }

    pub(super) fn flag(&self) -> Flag<'_> {
        Flag(&self.words)
    }

    #[cfg(not(loom))]
    pub(super) fn size(&self) -> u16 {
        self.words.size()
    }
}

/// How the reader of a ring tells the writer whether to wake it.
pub(super) struct Flag<'a>(&'a Words);

impl Flag<'_> {
    /// The reader looks by itself from now on.
    pub(super) fn awake(&self) {
        self.0.flags().store(MASK_INTERRUPT, Ordering::Relaxed);
    }

    /// The reader wants to be woken from now on, and has to look once more before it sleeps.
    pub(super) fn asleep(&self) {
        self.0.flags().store(0, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Whether the writer, which has just moved its position, has to wake the reader.
    #[inline]
    pub(super) fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.flags().load(Ordering::Relaxed) & MASK_INTERRUPT == 0
    }
}

#[cfg(loom)]
#[path = "ring_model.rs"]
mod model;
#[cfg(all(test, not(loom)))]
#[path = "ring_tests.rs"]
mod tests;
