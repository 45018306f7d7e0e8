//! In-memory rings: bounded queues with one writer and one reader, which hand ownership over by a move.
//!
//! [`channel`] is the queue itself, for anything that workers hand to each other; several writers use one ring
//! each. [`pair`] makes two ports of two rings, so that what is sent on one is received on the other.
//!
//! ```
//! let (mut sender, mut receiver) = ports::ring::channel(4);
//! assert_eq!(sender.push("one"), Ok(()));
//! assert_eq!(receiver.pop(), Some("one"));
//! drop(sender);
//! assert!(receiver.pop().is_none() && receiver.is_closed());
//! ```
//!
//! # Why it looks like this
//!
//! Each side keeps its own position and a copy of the other's, on a cache line of its own, and looks at the other's
//! line only when its copy says full or empty. A burst therefore costs one exchange of a cache line, not one per
//! packet. Positions count on without bound and wrap; the capacity is a power of two.
//!
//! A reader that sleeps is woken through an eventfd. The reader says that it found the ring empty (`asleep`), looks
//! once more, and only then goes to sleep; a writer that has published looks at `asleep` and writes to the eventfd
//! at most once per sleep. Both put a full fence between their write and their look, so one of them sees the other.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p ports --release --lib ring` tries every interleaving of small cases.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use packet::{Batch, Packet};

use crate::counters::{self, QueueCounters};
use crate::wake::Wake;
use crate::{Counters, LinkState, Offloads, Port, PortError, PortInfo, RxQueue, TxQueue};

#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};

/// The most that one ring may hold.
pub const CAPACITY_MAX: usize = 1 << 20;

/// The standard cell with loom's way of being used.
#[cfg(not(loom))]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline]
    fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A value with its cache lines to itself; two, because processors fetch lines in pairs.
#[repr(align(128))]
struct Padded<T>(T);

/// What both sides share.
struct Shared<T> {
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// How many were ever written; only the writer stores it.
    tail: Padded<AtomicUsize>,
    /// How many were ever read; only the reader stores it.
    head: Padded<AtomicUsize>,
    /// Whether the reader found the ring empty and is going to sleep or asleep.
    asleep: Padded<AtomicBool>,
    writer_gone: AtomicBool,
    reader_gone: AtomicBool,
    wake: Option<Wake>,
}

// SAFETY: values cross from the writer's thread to the reader's, hence `T: Send`. A slot is touched by the writer
// alone until `tail` passes it and by the reader alone until `head` does.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above; everything else in it is atomic or never changes.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    #[inline]
    fn slot(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        // The capacity is a power of two.
        &self.slots[position & (self.slots.len() - 1)]
    }

    fn signal(&self) {
        if let Some(wake) = &self.wake {
            wake.signal();
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let (mut head, tail) = (self.head.0.load(Ordering::Acquire), self.tail.0.load(Ordering::Acquire));
        while head != tail {
            // SAFETY: written and never read, and both sides are gone.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// The writing side of a ring.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    /// What `head` was when last looked at.
    head: usize,
}

/// The reading side of a ring.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    /// What `tail` was when last looked at.
    tail: usize,
    /// Whether the eventfd may have been written to since it was last read.
    signalled: bool,
}

/// A ring for up to `capacity` values, rounded up to a power of two and at most [`CAPACITY_MAX`].
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ring(capacity, None)
}

/// As [`channel`], with a descriptor for a sleeping reader ([`Receiver::poll_fd`]).
///
/// # Errors
/// The kernel's, when the process has no descriptor left.
pub fn channel_with_wake<T: Send>(capacity: usize) -> std::io::Result<(Sender<T>, Receiver<T>)> {
    Ok(ring(capacity, Some(Wake::new()?)))
}

fn ring<T: Send>(capacity: usize, wake: Option<Wake>) -> (Sender<T>, Receiver<T>) {
    let capacity = capacity.clamp(1, CAPACITY_MAX).next_power_of_two();
    let shared = Arc::new(Shared {
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        tail: Padded(AtomicUsize::new(0)),
        head: Padded(AtomicUsize::new(0)),
        asleep: Padded(AtomicBool::new(false)),
        writer_gone: AtomicBool::new(false),
        reader_gone: AtomicBool::new(false),
        wake,
    });
    let sender = Sender { shared: shared.clone(), tail: 0, head: 0 };
    (sender, Receiver { shared, head: 0, tail: 0, signalled: false })
}

impl<T: Send> Sender<T> {
    /// How many values the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// How many more it would take now.
    pub fn room(&mut self) -> usize {
        self.head = self.shared.head.0.load(Ordering::Acquire);
        self.capacity() - self.tail.wrapping_sub(self.head)
    }

    /// Whether nobody will read any more.
    pub fn is_closed(&self) -> bool {
        self.shared.reader_gone.load(Ordering::Acquire)
    }

    /// Adds a value.
    ///
    /// # Errors
    /// The value itself, when the ring is full.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.free(1) == 0 {
            return Err(value);
        }
        self.write(0, value);
        self.publish(1);
        Ok(())
    }

    /// How many slots are free, looking at the reader's position only when fewer than `wanted` seem to be.
    #[inline]
    fn free(&mut self, wanted: usize) -> usize {
        let free = self.capacity() - self.tail.wrapping_sub(self.head);
        if free >= wanted { free } else { self.room() }
    }

    #[inline]
    fn write(&mut self, ahead: usize, value: T) {
        // SAFETY: the slot is free: the caller has asked for as many, and only this side fills any.
        self.shared.slot(self.tail.wrapping_add(ahead)).with_mut(|slot| unsafe {
            (*slot).write(value);
        });
    }

    /// Makes the next `count` slots, which were written, the reader's.
    #[inline]
    fn publish(&mut self, count: usize) {
        self.tail = self.tail.wrapping_add(count);
        self.shared.tail.0.store(self.tail, Ordering::Release);
        if self.shared.wake.is_some() {
            fence(Ordering::SeqCst);
            if self.shared.asleep.0.load(Ordering::Relaxed)
                && self.shared.asleep.0.swap(false, Ordering::Relaxed)
            {
                self.shared.signal();
            }
        }
    }
}

impl Sender<Packet> {
    /// Moves packets from the front of the batch into the ring, as many as it has room for; returns how many.
    pub fn push_batch(&mut self, batch: &mut Batch) -> usize {
        let count = self.free(batch.len()).min(batch.len());
        for (ahead, packet) in batch.drain(..count).enumerate() {
            self.write(ahead, packet);
        }
        if count > 0 {
            self.publish(count);
        }
        count
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.writer_gone.store(true, Ordering::Release);
        self.shared.signal();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.reader_gone.store(true, Ordering::Release);
    }
}

impl<T: Send> Receiver<T> {
    /// How many values wait.
    pub fn len(&mut self) -> usize {
        self.tail = self.shared.tail.0.load(Ordering::Acquire);
        self.tail.wrapping_sub(self.head)
    }

    /// Whether none wait.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// Whether nobody will write any more. What was written before can still be read.
    pub fn is_closed(&self) -> bool {
        self.shared.writer_gone.load(Ordering::Acquire)
    }

    /// Takes the oldest value.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.waiting(1) == 0 {
            return None;
        }
        let value = self.read(0);
        self.release(1);
        Some(value)
    }

    /// How many values wait, looking at the writer's position only when fewer than `wanted` seem to.
    #[inline]
    fn waiting(&mut self, wanted: usize) -> usize {
        let waiting = self.tail.wrapping_sub(self.head);
        if waiting >= wanted { waiting } else { self.len() }
    }

    #[inline]
    fn read(&mut self, ahead: usize) -> T {
        // SAFETY: the writer has published this slot and does not touch it until `head` passes it, which the caller
        // sees to after this one read.
        self.shared.slot(self.head.wrapping_add(ahead)).with(|slot| unsafe { (*slot).assume_init_read() })
    }

    /// Gives the next `count` slots, which were read, back to the writer.
    #[inline]
    fn release(&mut self, count: usize) {
        self.head = self.head.wrapping_add(count);
        self.shared.head.0.store(self.head, Ordering::Release);
    }

    /// The descriptor that [`Receiver::prepare_sleep`] makes poll readable; `None` from [`channel`].
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.shared.wake.as_ref().and_then(Wake::fd)
    }

    /// Sees to it that [`Receiver::poll_fd`] polls readable as long as values wait, or the writer is gone, and no
    /// longer. To be called before sleeping; returns whether there is reason to sleep.
    pub fn prepare_sleep(&mut self) -> bool {
        if self.shared.wake.is_none() {
            return self.is_empty();
        }
        if !self.is_empty() || self.is_closed() {
            if !self.signalled {
                self.signalled = true;
                self.shared.signal();
            }
            return false;
        }
        if self.shared.asleep.0.load(Ordering::Relaxed) {
            // Still in the state that an earlier call left.
            return true;
        }
        // The writer, or this side, has written to the eventfd since `asleep` was last set, or never did.
        if let Some(wake) = &self.shared.wake {
            wake.clear();
        }
        self.signalled = false;
        self.shared.asleep.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.is_empty() && !self.is_closed() {
            return true;
        }
        self.shared.asleep.0.store(false, Ordering::Relaxed);
        self.signalled = true;
        self.shared.signal();
        false
    }
}

impl Receiver<Packet> {
    /// Moves waiting packets to the end of the batch, as many as it has room for; returns how many.
    pub fn pop_batch(&mut self, batch: &mut Batch) -> usize {
        let count = self.waiting(batch.room()).min(batch.room());
        for ahead in 0..count {
            let packet = self.read(ahead);
            // The batch has room for `count`.
            let _ = batch.push(packet);
        }
        if count > 0 {
            self.release(count);
        }
        count
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.shared.slots.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("capacity", &self.shared.slots.len()).finish_non_exhaustive()
    }
}

/// A port whose other end is another port of this process.
pub struct RingPort {
    info: PortInfo,
    queue: Option<(Sender<Packet>, Receiver<Packet>)>,
    counters: std::sync::Arc<QueueCounters>,
    /// Held by the queues of both ends; the link is up while the other end's queue exists.
    own: std::sync::Arc<()>,
    peer: std::sync::Weak<()>,
}

/// Two ports: what is sent on one is received on the other. Offload state passes as it is.
///
/// # Errors
/// [`PortError::System`] when the process has no descriptor left.
pub fn pair(names: [&str; 2], capacity: usize) -> Result<(RingPort, RingPort), PortError> {
    let ring = |name: &str| {
        channel_with_wake(capacity).map_err(|source| PortError::System {
            port: format!("ring:{name}"),
            action: "making an eventfd",
            source,
        })
    };
    let ((to_b, from_a), (to_a, from_b)) = (ring(names[0])?, ring(names[1])?);
    let (own, other) = (std::sync::Arc::new(()), std::sync::Arc::new(()));
    let port = |name: &str, queue, own: &std::sync::Arc<()>, peer| RingPort {
        info: PortInfo {
            name: name.into(),
            kind: "ring",
            mac: None,
            mtu: packet::ROOM_GSO,
            queues: 1,
            offloads: Offloads { checksum: true, tcp_segmentation: true, udp_segmentation: true },
        },
        queue: Some(queue),
        counters: std::sync::Arc::default(),
        own: own.clone(),
        peer: std::sync::Arc::downgrade(peer),
    };
    Ok((port(names[0], (to_b, from_b), &own, &other), port(names[1], (to_a, from_a), &other, &own)))
}

/// A port that receives what is sent on it.
///
/// # Errors
/// [`PortError::System`] when the process has no descriptor left.
pub fn loopback(name: &str, capacity: usize) -> Result<RingPort, PortError> {
    let (mut port, other) = pair([name, name], capacity)?;
    // Both rings have one end in each port; this one keeps the reader of the ring that it writes.
    let RingPort { queue, .. } = other;
    if let (Some((_, reader)), Some((_, own_reader))) = (queue, port.queue.as_mut()) {
        *own_reader = reader;
    }
    port.peer = std::sync::Arc::downgrade(&port.own);
    Ok(port)
}

impl Port for RingPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn link(&self) -> LinkState {
        if self.peer.strong_count() > 0 { LinkState::Up } else { LinkState::Down }
    }

    fn counters(&self) -> Counters {
        counters::total([&*self.counters])
    }

    fn queue(&mut self, index: usize) -> Option<(Box<dyn RxQueue>, Box<dyn TxQueue>)> {
        let (sender, receiver) = (index == 0).then(|| self.queue.take())??;
        let (counters, name) = (&self.counters, &self.info.name);
        let rx = RingRx { receiver, counters: counters.clone(), name: name.clone(), _end: self.own.clone() };
        let tx = RingTx { sender, counters: counters.clone(), name: name.clone(), _end: self.own.clone() };
        Some((Box::new(rx), Box::new(tx)))
    }
}

struct RingRx {
    receiver: Receiver<Packet>,
    counters: std::sync::Arc<QueueCounters>,
    name: String,
    _end: std::sync::Arc<()>,
}

impl RxQueue for RingRx {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let before = batch.len();
        let count = self.receiver.pop_batch(batch);
        let bytes = batch.iter().skip(before).map(|packet| packet.len() as u64).sum();
        self.counters.received(count as u64, bytes, 0);
        // A worker may go to sleep after any call.
        self.receiver.prepare_sleep();
        if count == 0 && self.receiver.is_closed() && self.receiver.is_empty() {
            return Err(PortError::Closed { port: format!("ring:{}", self.name) });
        }
        Ok(count)
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.receiver.poll_fd()
    }
}

struct RingTx {
    sender: Sender<Packet>,
    counters: std::sync::Arc<QueueCounters>,
    name: String,
    _end: std::sync::Arc<()>,
}

impl TxQueue for RingTx {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        if self.sender.is_closed() {
            return Err(PortError::Closed { port: format!("ring:{}", self.name) });
        }
        let bytes = batch.iter().map(|packet| packet.len() as u64).sum::<u64>();
        let count = self.sender.push_batch(batch);
        let left = batch.iter().map(|packet| packet.len() as u64).sum::<u64>();
        self.counters.sent(count as u64, bytes - left, 0);
        Ok(count)
    }
}

#[cfg(all(test, loom))]
#[path = "ring_model.rs"]
mod model;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A position is counted up for ever: at 100 million packets a second it is back at 0 after 5,800 years.
    #[test]
    fn positions_that_begin_anew_change_nothing() {
        let start = usize::MAX - 5;
        let (mut sender, mut receiver) = channel(4);
        for at in [&sender.shared.head.0, &sender.shared.tail.0] {
            at.store(start, Ordering::Release);
        }
        (sender.head, sender.tail, receiver.head, receiver.tail) = (start, start, start, start);
        for value in 0..20 {
            assert_eq!((sender.room(), receiver.len()), (4, 0), "at {value}");
            // Full, and in order.
            (4 * value..4 * value + 4).for_each(|one| sender.push(one).unwrap());
            assert_eq!((sender.push(99), sender.room(), receiver.len()), (Err(99), 0, 4), "at {value}");
            (4 * value..4 * value + 4).for_each(|one| assert_eq!(receiver.pop(), Some(one)));
            assert_eq!(receiver.pop(), None);
            // Odd numbers, so that every slot is the first one after the end once.
            sender.push(7).unwrap();
            assert_eq!(receiver.pop(), Some(7));
        }
        // What nobody has read is dropped across the end as well.
        let (mut sender, mut receiver) = channel(4);
        for at in [&sender.shared.head.0, &sender.shared.tail.0] {
            at.store(start + 4, Ordering::Release);
        }
        (sender.head, sender.tail, receiver.head, receiver.tail) =
            (start + 4, start + 4, start + 4, start + 4);
        let kept = Arc::new(());
        (0..4).for_each(|_| sender.push(Arc::clone(&kept)).unwrap());
        drop(receiver.pop());
        drop((sender, receiver));
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
