//! The shared memory: how it is laid out, and the only places where its bytes are touched.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use packet::BUFFER_MAX;
use rustix::fs::{MemfdFlags, SealFlags};

use super::ring::{RECORD, Words};
use super::{BYTES_MAX, Config, NOTE_MAX, SLOTS_MAX, ShmError, system};
use crate::foreign::{copy, prefetch};
use crate::xdp_ring::Mapping;

/// What the memory begins with: "weftshm" and the version of this layout.
const MAGIC: u64 = u64::from_be_bytes(*b"weftshm2");
const LINE: usize = 64;
const PAGE: usize = 4096;

/// Places in the first page; two lines each, because processors fetch lines in pairs.
const SLOTS_AT: usize = 8;
const ROOM_AT: usize = 12;
const TO_GUEST_TAIL: usize = 128;
const TO_GUEST_ASLEEP: usize = 256;
const TO_HOST_TAIL: usize = 384;
const TO_HOST_ASLEEP: usize = 512;
const CLOCK_AT: usize = 640;
const BRIEF_AT: usize = 768;
const ASKED_AT: usize = 896;
const ANSWERED_AT: usize = 1024;
const TO_GUEST_ENTRIES: usize = PAGE;

/// Bytes of one entry of a ring.
const ENTRY: usize = RECORD * size_of::<u64>();

/// Where things lie, from the memory's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) slots: u32,
    pub(super) room: u32,
}

impl Layout {
    pub(super) fn new(config: Config) -> Result<Self, ShmError> {
        if !(1..=SLOTS_MAX).contains(&config.slots) {
            return Err(ShmError::Slots(config.slots));
        }
        if !(1..=BUFFER_MAX as u32).contains(&config.room) {
            return Err(ShmError::Room(config.room));
        }
        let layout = Self { slots: config.slots.next_power_of_two(), room: config.room };
        if layout.len() > BYTES_MAX { Err(ShmError::Size(layout.len())) } else { Ok(layout) }
    }

    fn to_host_entries(self) -> usize {
        TO_GUEST_ENTRIES + (self.slots as usize * ENTRY).next_multiple_of(LINE)
    }

    fn first_slot(self) -> usize {
        (self.to_host_entries() + self.slots as usize * ENTRY).next_multiple_of(PAGE)
    }

    /// An odd number of lines, so that the first lines of neighbours fall into different cache sets.
    fn stride(self) -> usize {
        ((self.room as usize).div_ceil(LINE) | 1) * LINE
    }

    pub(super) fn slot(self, slot: u32) -> usize {
        self.first_slot() + slot as usize * self.stride()
    }

    /// Where notes stand: behind the slots.
    fn note(self) -> usize {
        self.slot(self.slots)
    }

    pub(super) fn len(self) -> usize {
        (self.note() + NOTE_MAX).next_multiple_of(PAGE)
    }
}

/// One side's view of the memory.
pub(super) struct Area {
    map: Arc<Mapping>,
    pub(super) layout: Layout,
    /// Where the slots begin.
    slots: NonNull<u8>,
    stride: usize,
}

// SAFETY: the pointer leads into the mapping, which this keeps, and which any thread may use.
unsafe impl Send for Area {}

impl Area {
    /// New memory, zeroed and sealed to its size.
    pub(super) fn create(layout: Layout) -> Result<(Self, OwnedFd), ShmError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Memory that can never be executed as a program (Linux 6.3); older kernels do not know the flag.
        let memory = rustix::fs::memfd_create("weft-packets", flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| rustix::fs::memfd_create("weft-packets", flags))
            .map_err(system("making shared memory"))?;
        rustix::fs::ftruncate(&memory, layout.len() as u64).map_err(system("sizing shared memory"))?;
        rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(system("sealing shared memory"))?;
        let mut first = [0; 16];
        first[..8].copy_from_slice(&MAGIC.to_ne_bytes());
        first[SLOTS_AT..ROOM_AT].copy_from_slice(&layout.slots.to_ne_bytes());
        first[ROOM_AT..].copy_from_slice(&layout.room.to_ne_bytes());
        rustix::io::pwrite(&memory, &first, 0).map_err(system("writing to shared memory"))?;
        Ok((Self::map(&memory, layout)?, memory))
    }

    /// Memory that another process has made.
    pub(super) fn open(memory: &OwnedFd) -> Result<Self, ShmError> {
        let bytes = rustix::fs::fstat(memory).map_err(system("looking at shared memory"))?.st_size as u64;
        let mut first = [0; 16];
        rustix::io::pread(memory.as_fd(), &mut first, 0).map_err(system("reading shared memory"))?;
        let word = |at: usize| u32::from_ne_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]);
        let magic = u64::from(word(0)) | u64::from(word(4)) << 32;
        let layout = Layout::new(Config { slots: word(SLOTS_AT), room: word(ROOM_AT) });
        match layout {
            Ok(layout) if magic == MAGIC.to_le() && layout.len() as u64 == bytes => Self::map(memory, layout),
            _ => Err(ShmError::NotOurs { magic, bytes }),
        }
    }

    fn map(memory: &OwnedFd, layout: Layout) -> Result<Self, ShmError> {
        let map = Mapping::of(memory, layout.len(), 0)
            .map_err(|source| ShmError::System { action: "mapping shared memory", source })?;
        let slots = map.range(layout.first_slot(), layout.stride() * layout.slots as usize);
        let slots = slots.expect("the slots lie in the mapping").cast::<u8>().cast_mut();
        let slots = NonNull::new(slots).expect("mappings are not at zero");
        Ok(Self { map: Arc::new(map), layout, slots, stride: layout.stride() })
    }

    pub(super) fn to_guest(&self) -> Words {
        self.words(TO_GUEST_TAIL, TO_GUEST_ASLEEP, TO_GUEST_ENTRIES)
    }

    pub(super) fn to_host(&self) -> Words {
        self.words(TO_HOST_TAIL, TO_HOST_ASLEEP, self.layout.to_host_entries())
    }

    fn words(&self, tail: usize, asleep: usize, entries: usize) -> Words {
        Words::new(self.map.clone(), [tail, asleep, entries], self.layout.slots)
    }

    /// The trusted side's clock.
    pub(super) fn clock(&self) -> &AtomicU64 {
        self.word(CLOCK_AT)
    }

    /// How long the note is with which the trusted side has begun.
    pub(super) fn brief(&self) -> &AtomicU64 {
        self.word(BRIEF_AT)
    }

    /// What the trusted side asks: the question's number, and behind it the question.
    pub(super) fn asked(&self) -> &AtomicU64 {
        self.word(ASKED_AT)
    }

    /// What the guest has answered: the question's number, and behind it the length of the note.
    pub(super) fn answered(&self) -> &AtomicU64 {
        self.word(ANSWERED_AT)
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        let word = self.map.range(at, 8).expect("the first page lies in the mapping");
        // SAFETY: in the mapping and aligned; both sides only use it atomically, and any bytes are a valid integer.
        unsafe { AtomicU64::from_ptr(word.cast::<u64>().cast_mut()) }
    }

    /// Where a slot's bytes begin.
    ///
    /// # Panics
    /// The slot is none of this memory's, or `len` is more than its room: callers have checked both.
    #[inline]
    fn place(&self, slot: u32, len: usize) -> *mut u8 {
        assert!(slot < self.layout.slots && len <= self.layout.room as usize);
        // SAFETY: there are as many slots, as the mapping was found to hold.
        unsafe { self.slots.as_ptr().add(slot as usize * self.stride) }
    }

    /// Copies a packet into a slot: its bytes and none behind them, which are nobody's business.
    #[inline]
    pub(super) fn write(&self, slot: u32, from: &[u8]) {
        let bytes = self.place(slot, from.len());
        // SAFETY: the slot's bytes lie in the mapping (`place`), and no reference to them exists anywhere: shared
        // memory is only touched through raw pointers. The source is private memory, so that they do not overlap.
        unsafe { copy(from.as_ptr(), bytes, from.len()) }
    }

    /// Copies a packet out of a slot, once.
    #[inline]
    pub(super) fn read(&self, slot: u32, into: &mut [u8]) {
        let bytes = self.place(slot, into.len());
        // SAFETY: as for `write`. Another process may write at the same time; what is read then is some bytes.
        unsafe { copy(bytes, into.as_mut_ptr(), into.len()) }
        // From here on the compiler must read the copy, and never the shared bytes again in its place.
        compiler_fence(Ordering::SeqCst);
    }

    /// Where the note's bytes are.
    ///
    /// # Panics
    /// There are fewer: callers have checked.
    fn note(&self, len: usize) -> *mut u8 {
        assert!(len <= NOTE_MAX);
        let bytes = self.map.range(self.layout.note(), len).expect("the note lies in the mapping");
        bytes.cast::<u8>().cast_mut()
    }

    /// Writes the note.
    pub(super) fn write_note(&self, from: &[u8]) {
        // SAFETY: as for `write`, in the note's place (`note`).
        unsafe { copy(from.as_ptr(), self.note(from.len()), from.len()) }
    }

    /// Copies the note out, once.
    pub(super) fn read_note(&self, len: usize) -> Vec<u8> {
        let mut into = vec![0; len];
        // SAFETY: as for `read`, from the note's place.
        unsafe { copy(self.note(len), into.as_mut_ptr(), len) }
        compiler_fence(Ordering::SeqCst);
        into
    }

    /// Has the processor fetch the first line of a slot, which will be read soon. It need not exist: a hint that an
    /// untrusted word has led to may be wrong, and costs no more than that.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        if slot < self.layout.slots {
            prefetch(self.place(slot, 1));
        }
    }
}

/// What a forger needs to know.
#[cfg(test)]
pub(super) mod places {
    pub(in super::super) const TO_HOST_TAIL: usize = super::TO_HOST_TAIL;
    pub(in super::super) const ANSWERED: usize = super::ANSWERED_AT;

    pub(in super::super) fn to_host_entries(layout: super::Layout) -> usize {
        layout.to_host_entries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_all_is_aligned() {
        for (slots, room) in [(1, 1), (3, 64), (256, 2176), (SLOTS_MAX, 1), (2, BUFFER_MAX as u32)] {
            let layout = Layout::new(Config { slots, room }).unwrap();
            assert!(layout.slots.is_power_of_two() && layout.slots >= slots);
            assert!(layout.to_host_entries() >= TO_GUEST_ENTRIES + layout.slots as usize * ENTRY);
            assert!(layout.first_slot() >= layout.to_host_entries() + layout.slots as usize * ENTRY);
            assert!(layout.slot(1) - layout.slot(0) >= room as usize);
            assert!(layout.slot(layout.slots - 1) + room as usize <= layout.note());
            assert!(layout.note() + NOTE_MAX <= layout.len());
            assert!(layout.slot(1).is_multiple_of(LINE) && layout.len().is_multiple_of(PAGE));
        }
        assert!(matches!(Layout::new(Config { slots: 0, room: 1 }), Err(ShmError::Slots(0))));
        assert!(matches!(Layout::new(Config { slots: SLOTS_MAX + 1, room: 1 }), Err(ShmError::Slots(_))));
        assert!(matches!(Layout::new(Config { slots: 1, room: 0 }), Err(ShmError::Room(0))));
        assert!(matches!(
            Layout::new(Config { slots: 1 << 11, room: BUFFER_MAX as u32 }),
            Err(ShmError::Size(_))
        ));
        assert!(matches!(Layout::new(Config { slots: 1, room: u32::MAX }), Err(ShmError::Room(u32::MAX))));
    }
}
