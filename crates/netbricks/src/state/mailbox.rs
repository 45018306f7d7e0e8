//! A word with whoever owns something, without a lock on what it owns.
//!
//! The owner is a loop that looks into its [`Mailbox`] once a turn, which costs one relaxed load. Others leave
//! closures there, which the owner runs on what it owns, and wait for the answer. An owner that sleeps in poll(2) is
//! woken through the mailbox's [`Wake`].

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use thiserror::Error;

/// Messages that wait in one mailbox.
pub const MESSAGES_MAX: usize = 64;

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AskError {
    /// [`MESSAGES_MAX`] others wait.
    #[error("{MESSAGES_MAX} others wait for an answer already: ask again later")]
    Busy,
    /// Nobody looks into the mailbox any more.
    #[error("what was asked has ended")]
    Gone,
    /// The question itself panicked.
    #[error("the question panicked")]
    Panicked,
    /// What was asked for is not there.
    #[error("no {0} is there at the moment")]
    Absent(&'static str),
}

type Message<T> = Box<dyn FnOnce(&mut T) + Send>;

/// Where questions to the owner of a `T` wait.
///
/// ```
/// use netbricks::state::mailbox::{AskError, Mailbox};
///
/// let mailbox = Mailbox::<u64>::new()?;
/// std::thread::scope(|scope| {
///     let asked = scope.spawn(|| mailbox.ask(|count| std::mem::replace(count, 5)));
///     let mut count = 3;
///     while count == 3 {
///         mailbox.serve(&mut count); // once a turn of the owner's loop
///     }
///     assert_eq!((asked.join().unwrap(), count), (Ok(3), 5));
/// });
/// mailbox.close();
/// assert_eq!(mailbox.ask(|count| *count), Err(AskError::Gone));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Mailbox<T: 'static> {
    /// `None` once it is closed.
    messages: Mutex<Option<VecDeque<Message<T>>>>,
    waiting: AtomicBool,
    wake: Arc<Wake>,
}

impl<T> std::fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl<T> Mailbox<T> {
    /// An open mailbox.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let messages = Mutex::new(Some(VecDeque::with_capacity(MESSAGES_MAX)));
        Ok(Self { messages, waiting: AtomicBool::new(false), wake: Arc::new(Wake::new()?) })
    }

    /// Has the owner run `question`, and waits for what it returns. Called by the owner itself it would wait for ever.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, AskError> {
        let (answer, answered) = sync_channel(1);
        let message = move |subject: &mut T| {
            let said = catch_unwind(AssertUnwindSafe(|| question(subject)));
            // Whoever asked waits for it.
            let _ = answer.send(said.map_err(|_| AskError::Panicked));
        };
        {
            let mut messages = lock(&self.messages);
            let messages = messages.as_mut().ok_or(AskError::Gone)?;
            if messages.len() == MESSAGES_MAX {
                return Err(AskError::Busy);
            }
            messages.push_back(Box::new(message));
        }
        self.waiting.store(true, Ordering::SeqCst);
        self.wake.wake();
        // A mailbox that closes drops its messages.
        answered.recv().unwrap_or(Err(AskError::Gone))
    }

    /// Runs what waits on `subject`. For the owner, once a turn.
    #[inline]
    pub fn serve(&self, subject: &mut T) {
        if self.waiting.load(Ordering::Relaxed) {
            self.serve_waiting(subject);
        }
    }

    #[cold]
    fn serve_waiting(&self, subject: &mut T) {
        // As many as there is room for: those who ask again at once wait for the next turn.
        for _ in 0..MESSAGES_MAX {
            let message = {
                let mut messages = lock(&self.messages);
                let message = messages.as_mut().and_then(VecDeque::pop_front);
                self.waiting.store(messages.as_ref().is_some_and(|left| !left.is_empty()), Ordering::SeqCst);
                message
            };
            let Some(message) = message else { return };
            message(subject);
        }
    }

    /// Whether a question waits.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Turns away those who wait, and all who come.
    pub fn close(&self) {
        let refused = lock(&self.messages).take();
        self.waiting.store(false, Ordering::SeqCst);
        drop(refused);
    }

    /// What wakes the owner when a question comes.
    #[must_use]
    pub fn waker(&self) -> &Arc<Wake> {
        &self.wake
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor that polls readable once somebody has something for a sleeper (eventfd(2)).
///
/// The sleeper says that it is going to sleep, looks once more whether there is something to do, and then sleeps;
/// whoever has something puts it where the sleeper looks and then asks whether it sleeps. Both in sequentially
/// consistent order, so one of them sees the other, and a sleeper that is awake costs no system call.
#[derive(Debug)]
pub struct Wake {
    asleep: AtomicBool,
    event: OwnedFd,
}

impl Wake {
    fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { asleep: AtomicBool::new(false), event })
    }

    /// Wakes the sleeper, if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // Full is as good as written: the descriptor polls readable.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    /// The sleeper is about to sleep. It must look for work between this and the sleep.
    pub fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// The sleeper is awake. Who has seen it asleep may still be about to write; then the next sleep is short.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        let _ = rustix::io::read(&self.event, &mut [0u8; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stays_with_the_question_and_a_full_box_says_so() {
        let mailbox = Mailbox::<u64>::new().unwrap();
        std::thread::scope(|scope| {
            let ask = || mailbox.ask(|count| std::mem::replace(count, 9));
            let waiting: Vec<_> = (0..MESSAGES_MAX).map(|_| scope.spawn(ask)).collect();
            let full = || lock(&mailbox.messages).as_ref().is_some_and(|all| all.len() == MESSAGES_MAX);
            while !full() {
                std::thread::yield_now();
            }
            assert_eq!(mailbox.ask(|_| ()), Err(AskError::Busy));
            let mut count = 1;
            mailbox.serve(&mut count);
            let answers: Vec<_> = waiting.into_iter().map(|asked| asked.join().unwrap().unwrap()).collect();
            assert_eq!(answers.iter().filter(|answer| **answer == 1).count(), 1);
            assert_eq!((answers.iter().max(), count, mailbox.waits()), (Some(&9), 9, false));
            let panics = scope.spawn(|| mailbox.ask(|count| assert_eq!(*count, 0, "as the test wants")));
            while !mailbox.waits() {
                std::thread::yield_now();
            }
            mailbox.serve(&mut count);
            assert_eq!(panics.join().unwrap(), Err(AskError::Panicked));
        });
    }

    #[test]
    fn who_waits_while_it_closes_is_told() {
        let mailbox = Mailbox::<u64>::new().unwrap();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| mailbox.ask(|count| *count));
            while !mailbox.waits() {
                std::thread::yield_now();
            }
            mailbox.close();
            assert_eq!(asked.join().unwrap(), Err(AskError::Gone));
        });
    }
}
