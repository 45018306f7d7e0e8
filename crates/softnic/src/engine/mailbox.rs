//! What reaches a worker from other threads: messages of the control side, and doorbells of rings.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use super::edge::InboxId;
use super::worker::Worker;

/// Something to do between two batches, on the worker's own thread.
pub(crate) type Message = Box<dyn FnOnce(&mut Worker) + Send>;

/// A worker's mailbox. Whoever puts something in wakes the worker if it sleeps.
///
/// The flags are read and written in sequentially consistent order: the writer fills the box and then looks at
/// `asleep`, the worker sets `asleep` and then looks into the box, so one of them sees the other.
pub(crate) struct Mailbox {
    messages: Mutex<VecDeque<Message>>,
    has_messages: AtomicBool,
    signals: Mutex<Vec<InboxId>>,
    has_signals: AtomicBool,
    asleep: AtomicBool,
    wakeup: OwnedFd,
}

impl Mailbox {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            messages: Mutex::default(),
            has_messages: AtomicBool::new(false),
            signals: Mutex::default(),
            has_signals: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            wakeup: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Leaves a message. Its length is bounded by the number of callers: each waits for its answer.
    pub(crate) fn post(&self, message: Message) {
        lock(&self.messages).push_back(message);
        self.has_messages.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Says that a ring has packets. Each ring does so once until it was looked at, which bounds the list.
    pub(crate) fn signal(&self, inbox: InboxId) {
        lock(&self.signals).push(inbox);
        self.has_signals.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It cannot fail but by being full, and then the worker wakes as well.
            let _ = rustix::io::write(&self.wakeup, &1u64.to_ne_bytes());
        }
    }

    /// Whether a message waits.
    #[inline]
    pub(crate) fn has_messages(&self) -> bool {
        self.has_messages.load(Ordering::Relaxed)
    }

    /// The next message.
    pub(crate) fn message(&self) -> Option<Message> {
        let mut messages = lock(&self.messages);
        let message = messages.pop_front();
        self.has_messages.store(!messages.is_empty(), Ordering::SeqCst);
        message
    }

    /// Moves the rung doorbells into `into`, which is empty.
    #[inline]
    pub(crate) fn signals(&self, into: &mut Vec<InboxId>) {
        if self.has_signals.load(Ordering::Relaxed) {
            let mut signals = lock(&self.signals);
            self.has_signals.store(false, Ordering::SeqCst);
            std::mem::swap(&mut *signals, into);
        }
    }

    /// Says that the worker is about to sleep; false when something has come meanwhile.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.has_messages.load(Ordering::SeqCst) || self.has_signals.load(Ordering::SeqCst) {
            self.asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// Says that the worker is awake.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Silences the descriptor.
    pub(crate) fn acknowledge(&self) {
        let _ = rustix::io::read(&self.wakeup, &mut [0u8; 8]);
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
