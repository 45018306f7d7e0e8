//! Every interleaving of the trusted side and a guest, as loom tries them (the C11 memory model): a slot is a cell
//! that loom watches, so a side that touched one it was not handed would be reported.

use std::boxed::Box;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{AtomicU32, AtomicU64, Reader, Writer};

/// The shared words in memory of this process.
#[derive(Clone)]
pub(in super::super) struct Words(Arc<Shared>);

struct Shared {
    tail: AtomicU32,
    asleep: AtomicU32,
    entries: Box<[AtomicU64]>,
}

impl Words {
    fn new(size: u32) -> Self {
        let entries = (0..size).map(|_| AtomicU64::new(u64::MAX)).collect();
        Self(Arc::new(Shared { tail: AtomicU32::new(0), asleep: AtomicU32::new(0), entries }))
    }

    pub(super) fn tail(&self) -> &AtomicU32 {
        &self.0.tail
    }

    pub(super) fn asleep(&self) -> &AtomicU32 {
        &self.0.asleep
    }

    pub(super) fn entry(&self, position: u32) -> [&AtomicU64; super::RECORD] {
        [&self.0.entries[position as usize % self.0.entries.len()]]
    }

    pub(super) fn size(&self) -> u32 {
        self.0.entries.len() as u32
    }
}

fn ring(size: u32) -> (Writer, Reader) {
    let words = Words::new(size);
    (Writer::new(words.clone()), Reader::new(words))
}

struct Slots([UnsafeCell<u32>; 2]);

// SAFETY: loom checks each access.
unsafe impl Sync for Slots {}
// SAFETY: as above.
unsafe impl Send for Slots {}

impl Slots {
    fn write(&self, slot: u64, value: u32) {
        // SAFETY: the caller was handed the slot; loom checks that it was.
        self.0[slot as usize].with_mut(|cell| unsafe { *cell = value });
    }

    fn read(&self, slot: u64) -> u32 {
        // SAFETY: as above.
        self.0[slot as usize].with(|cell| unsafe { *cell })
    }
}

/// Waits for an entry and takes it.
fn take(reader: &mut Reader) -> u64 {
    while reader.waiting() == Ok(0) {
        thread::yield_now();
    }
    let [slot] = reader.get(0);
    reader.advance(1);
    slot
}

#[test]
fn slots_go_there_and_back_by_ownership_alone() {
    let mut builder = loom::model::Builder::new();
    // Two spinning sides have no end of interleavings without a bound.
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let slots = Arc::new(Slots([UnsafeCell::new(0), UnsafeCell::new(0)]));
        let ((mut to_guest, mut from_host), (mut to_host, mut from_guest)) = (ring(2), ring(2));
        let guest = {
            let slots = slots.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    let slot = take(&mut from_host);
                    let value = slots.read(slot);
                    slots.write(slot, value + 100);
                    to_host.put(0, [slot]);
                    let _ = to_host.publish(1);
                }
            })
        };
        // Two at once, and a third in the slot that comes back first: the ring wraps although nobody ever says what
        // was read.
        for slot in 0..2 {
            slots.write(slot, slot as u32);
            to_guest.put(slot as u32, [slot]);
        }
        let _ = to_guest.publish(2);
        let first = take(&mut from_guest);
        assert_eq!((first, slots.read(first)), (0, 100));
        slots.write(first, 2);
        to_guest.put(0, [first]);
        let _ = to_guest.publish(1);
        assert_eq!(
            [(); 2].map(|()| {
                let slot = take(&mut from_guest);
                (slot, slots.read(slot))
            }),
            [(1, 101), (0, 102)]
        );
        guest.join().unwrap();
    });
}

#[test]
fn a_side_that_sleeps_is_always_woken() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let (mut writer, mut reader) = ring(2);
        let bell = Arc::new(crate::wake::Wake::new().unwrap());
        let other = {
            let bell = bell.clone();
            thread::spawn(move || {
                for value in 0..2 {
                    writer.put(0, [value]);
                    if writer.publish(1) {
                        bell.signal();
                    }
                }
            })
        };
        // A wake-up that got lost leaves the reader waiting for ever, which loom reports as a deadlock.
        let mut expected = 0;
        while expected < 2 {
            if reader.waiting() == Ok(0) {
                if reader.prepare_sleep() {
                    bell.sleep();
                    bell.clear();
                    reader.woken();
                }
                continue;
            }
            assert_eq!(take(&mut reader), expected);
            expected += 1;
        }
        other.join().unwrap();
    });
}
