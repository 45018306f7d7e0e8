//! What a sleeping reader of a ring is woken by: an eventfd, or under loom something that loom understands.

#[cfg(not(loom))]
pub(crate) use kernel::Wake;
#[cfg(loom)]
pub(crate) use model::Wake;

#[cfg(not(loom))]
mod kernel {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    /// An eventfd (eventfd(2)).
    pub(crate) struct Wake(OwnedFd);

    impl Wake {
        pub(crate) fn new() -> std::io::Result<Self> {
            Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
        }

        /// Makes the descriptor readable.
        pub(crate) fn signal(&self) {
            // Full is as good as written: the descriptor polls readable.
            let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
        }

        /// Makes the descriptor unreadable.
        pub(crate) fn clear(&self) {
            let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
        }

        pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
            Some(self.0.as_fd())
        }
    }
}

#[cfg(loom)]
mod model {
    use std::os::fd::BorrowedFd;

    use loom::sync::{Condvar, Mutex};

    /// An eventfd as loom sees it.
    pub(crate) struct Wake(Mutex<bool>, Condvar);

    impl Wake {
        pub(crate) fn new() -> std::io::Result<Self> {
            Ok(Self(Mutex::new(false), Condvar::new()))
        }

        pub(crate) fn signal(&self) {
            *self.0.lock().unwrap() = true;
            self.1.notify_one();
        }

        pub(crate) fn clear(&self) {
            *self.0.lock().unwrap() = false;
        }

        /// Sleeps until it is readable, as poll(2) does.
        pub(crate) fn sleep(&self) {
            let mut readable = self.0.lock().unwrap();
            while !*readable {
                readable = self.1.wait(readable).unwrap();
            }
        }

        pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
            None
        }
    }
}
