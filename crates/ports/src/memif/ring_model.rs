//! Every interleaving of a client and a server, as loom tries them (the C11 memory model): a buffer is a cell that loom
//! watches, so a side that touched one out of turn would be reported.

use std::boxed::Box;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{AtomicU16, AtomicU64, Borrower, Lender, WORDS};

/// The shared words in memory of this process.
#[derive(Clone)]
pub(in super::super) struct Words(Arc<Shared>);

struct Shared {
    flags: AtomicU16,
    head: AtomicU16,
    tail: AtomicU16,
    entries: Box<[[AtomicU64; WORDS]]>,
}

impl Words {
    fn new(size: u16) -> Self {
        let short = || AtomicU16::new(0);
        let entries = (0..size).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect();
        Self(Arc::new(Shared { flags: short(), head: short(), tail: short(), entries }))
    }

    pub(super) fn flags(&self) -> &AtomicU16 {
        &self.0.flags
    }

    pub(super) fn head(&self) -> &AtomicU16 {
        &self.0.head
    }

    pub(super) fn tail(&self) -> &AtomicU16 {
        &self.0.tail
    }

    pub(super) fn entry(&self, position: u16) -> [&AtomicU64; WORDS] {
        self.0.entries[usize::from(position) % self.0.entries.len()].each_ref()
    }

    pub(super) fn size(&self) -> u16 {
        self.0.entries.len() as u16
    }
}

fn ring(size: u16) -> (Lender, Borrower) {
    let words = Words::new(size);
    (Lender::new(words.clone()), Borrower::new(words))
}

struct Buffers([UnsafeCell<u32>; 2]);

// SAFETY: loom checks each access.
unsafe impl Sync for Buffers {}
// SAFETY: as above.
unsafe impl Send for Buffers {}

impl Buffers {
    fn new() -> Arc<Self> {
        Arc::new(Self([UnsafeCell::new(0), UnsafeCell::new(0)]))
    }

    fn write(&self, buffer: u16, value: u32) {
        // SAFETY: it is the caller's turn; loom checks that it is.
        self.0[usize::from(buffer)].with_mut(|cell| unsafe { *cell = value });
    }

    fn read(&self, buffer: u16) -> u32 {
        // SAFETY: as above.
        self.0[usize::from(buffer)].with(|cell| unsafe { *cell })
    }
}

/// Two spinning sides have no end of interleavings without a bound.
fn bounded(preemptions: usize) -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder
}

#[test]
fn packets_reach_the_server_in_order() {
    bounded(2).check(|| {
        let (mut client, mut server) = ring(2);
        let buffers = Buffers::new();
        let theirs = buffers.clone();
        let reader = thread::spawn(move || {
            for expected in 0..3 {
                while server.lent(1) == Ok(0) {
                    thread::yield_now();
                }
                let [length, buffer] = server.get(0);
                assert_eq!((length, theirs.read(buffer as u16)), (expected, expected as u32 + 100));
                server.give_back(1);
            }
        });
        for value in 0..3 {
            while client.free(1) == Ok(0) {
                thread::yield_now();
            }
            let buffer = client.next(0);
            buffers.write(buffer, value as u32 + 100);
            client.put(0, [value, buffer.into()]);
            client.lend(1);
        }
        reader.join().unwrap();
    });
}

#[test]
fn packets_reach_the_client_in_order() {
    bounded(2).check(|| {
        let (mut client, mut server) = ring(2);
        let buffers = Buffers::new();
        let theirs = buffers.clone();
        for entry in 0..2 {
            client.put(entry, [64, entry.into()]);
        }
        client.lend(2);
        let writer = thread::spawn(move || {
            for value in 0..3 {
                while server.lent(1) == Ok(0) {
                    thread::yield_now();
                }
                let [room, buffer] = server.get(0);
                assert_eq!(room, 64, "what a buffer holds is said anew each time that it is lent");
                theirs.write(buffer as u16, value + 100);
                server.put(0, value.into());
                server.give_back(1);
            }
        });
        for expected in 0..3 {
            while client.returned() == Ok(0) {
                thread::yield_now();
            }
            let buffer = client.oldest(0);
            assert_eq!((client.get(0), buffers.read(buffer)), (expected, expected as u32 + 100));
            client.settle(1);
            client.put(0, [64, client.next(0).into()]);
            client.lend(1);
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_reader_that_sleeps_is_always_woken() {
    bounded(3).check(|| {
        let (mut client, mut server) = ring(2);
        let bell = Arc::new(crate::wake::Wake::new().unwrap());
        let theirs = bell.clone();
        let writer = thread::spawn(move || {
            for value in 0..2 {
                client.put(0, [value, 0]);
                client.lend(1);
                if client.flag().must_wake() {
                    theirs.signal();
                }
            }
        });
        // A wake-up that got lost leaves the reader waiting for ever, which loom reports as a deadlock.
        let mut expected = 0;
        server.flag().awake();
        while expected < 2 {
            if server.look() == Ok(0) {
                server.flag().asleep();
                if server.look() == Ok(0) {
                    bell.sleep();
                    bell.clear();
                }
                server.flag().awake();
                continue;
            }
            assert_eq!(server.get(0)[0], expected);
            server.give_back(1);
            expected += 1;
        }
        writer.join().unwrap();
    });
}
