//! What a place of the arrays says, in one word, and the large array.

use super::DIRECT_BITS;
use super::values::Id;

/// Which value matches and the length of its prefix, or what is below; all zero for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entry(pub(super) u32);

impl Entry {
    pub(super) const NONE: Self = Self(0);
    /// The number is that of a [`Junction`].
    const BELOW: u32 = 1 << 31;
    const LEN_SHIFT: u32 = 24;
    const NUMBER: u32 = (1 << Self::LEN_SHIFT) - 1;

    /// A match of a prefix of 1 to 24 bits.
    pub(super) const fn matched(value: Id, len: u8) -> Self {
        Self(value.0 | (len as u32) << Self::LEN_SHIFT)
    }

    pub(super) const fn below(junction: u32) -> Self {
        Self(junction | Self::BELOW)
    }

    #[inline(always)]
    pub(super) const fn is_below(self) -> bool {
        self.0 & Self::BELOW != 0
    }

    /// Of a match.
    #[inline(always)]
    pub(super) const fn value(self) -> Id {
        Id(self.0 & Self::NUMBER)
    }

    /// Of what is below.
    #[inline(always)]
    pub(super) const fn junction(self) -> usize {
        (self.0 & Self::NUMBER) as usize
    }

    /// Of a match; 0 for nothing.
    const fn len(self) -> u8 {
        (self.0 >> Self::LEN_SHIFT) as u8
    }

    /// This match, or the other where this is none.
    #[inline(always)]
    #[must_use]
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::NONE { other } else { self }
    }

    /// A prefix is there now: it shows unless a longer one does.
    pub(super) fn show(&mut self, prefix: Self) {
        if self.len() <= prefix.len() {
            *self = prefix;
        }
    }

    /// The prefix of `len` bits that covers the place has gone; `behind` is the next shorter one.
    pub(super) fn hide(&mut self, len: u8, behind: Self) {
        if self.len() == len {
            *self = behind;
        }
    }
}

/// Where 24 bits lead to longer prefixes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Junction {
    /// The longest match of 17 to 24 bits.
    pub(super) best: Entry,
    pub(super) node: u32,
}

/// An array of so many items on the heap, which never was on the stack.
pub(super) fn boxed<T: Copy, const N: usize>(item: T) -> Box<[T; N]> {
    match vec![item; N].into_boxed_slice().try_into() {
        Ok(array) => array,
        Err(_) => unreachable!("as many as were made"),
    }
}

/// Items in one vector, named by their places. Place 0 is never given out.
#[derive(Debug, Clone)]
pub(super) struct Store<T> {
    items: Vec<T>,
    free: Vec<u32>,
    fill: T,
}

impl<T: Copy> Store<T> {
    pub(super) fn new(fill: T) -> Self {
        Self { items: vec![fill], free: Vec::new(), fill }
    }

    #[inline(always)]
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: usize) -> &mut T {
        &mut self.items[at]
    }

    pub(super) fn alloc(&mut self) -> u32 {
        if let Some(at) = self.free.pop() {
            return at;
        }
        self.items.push(self.fill);
        self.items.len() as u32 - 1
    }

    /// Empties a place, for the next who asks.
    pub(super) fn release(&mut self, at: u32) {
        self.items[at as usize] = self.fill;
        self.free.push(at);
    }
}

/// Places of a block: a page of memory, as large as it mostly is.
const BLOCK: usize = 4096 / size_of::<u32>();
/// Places of the array: all that as many bits as it decides can say, so that no place has to be checked.
const PLACES: usize = 1 << DIRECT_BITS;

/// The array of 2^24 places. Memory that has only zeros is not there: the kernel gives a page when it is first written to,
/// so the 64 MiB are address space, and what is written to is memory.
#[derive(Debug)]
pub(super) struct Direct {
    /// [`Entry`]s, as plain numbers: for those the allocator asks the kernel for zeros instead of writing them.
    places: Box<[u32; PLACES]>,
    /// Blocks that were ever written to.
    written: Vec<bool>,
}

impl Direct {
    pub(super) fn new() -> Self {
        Self { places: boxed(0), written: vec![false; PLACES / BLOCK] }
    }

    #[inline(always)]
    pub(super) fn get(&self, at: usize) -> Entry {
        Entry(self.places[at])
    }

    pub(super) fn set(&mut self, at: usize, entry: Entry) {
        self.written[at / BLOCK] = true;
        self.places[at] = entry.0;
    }

    /// Bytes of blocks that were written to.
    pub(super) fn bytes(&self) -> usize {
        self.written.iter().filter(|written| **written).count() * BLOCK * size_of::<u32>()
    }
}

impl Clone for Direct {
    /// Copies what was written to, and leaves the rest to the kernel.
    fn clone(&self) -> Self {
        let mut places: Box<[u32; PLACES]> = boxed(0);
        let blocks = places.chunks_mut(BLOCK).zip(self.places.chunks(BLOCK));
        for ((to, from), _) in blocks.zip(&self.written).filter(|(_, written)| **written) {
            to.copy_from_slice(from);
        }
        Self { places, written: self.written.clone() }
    }
}
