//! Wakes the other process through an eventfd that it may do anything to.
//!
//! An eventfd that is written to can block the writer: both sides share its flags, so a hostile peer makes it blocking and
//! fills it up, at any time between a look and the write. What the kernel itself does when an asynchronous read completes
//! (`IOCB_FLAG_RESFD`, io_submit(2)) adds to an eventfd as well, never waits, and takes nothing but an eventfd. So the bell
//! is rung by reading no bytes from a memory of this process: one system call, as a write would be.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;

/// Completions that may wait to be collected.
const COMPLETIONS: usize = 32;
/// `IOCB_CMD_PREAD` and `IOCB_FLAG_RESFD` (`linux/aio_abi.h`).
const READ: u16 = 0;
const NOTIFY: u32 = 1;

/// `struct iocb` (`linux/aio_abi.h`).
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key_and_flags: u64,
    operation: u16,
    priority: i16,
    file: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    notify: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Completion {
    data: u64,
    request: u64,
    result: i64,
    more: i64,
}

/// What rings; threads may share it.
pub(super) struct Bell {
    context: libc::c_ulong,
    nothing: OwnedFd,
}

fn errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// The process's bell: the kernel takes tens of milliseconds to end a context, so that ports share one for as long as
/// there are any.
static SHARED: Mutex<Weak<Bell>> = Mutex::new(Weak::new());

impl Bell {
    /// The bell that all ports ring.
    pub(super) fn shared() -> Result<Arc<Self>, Errno> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = shared.upgrade() {
            return Ok(bell);
        }
        let bell = Arc::new(Self::new()?);
        *shared = Arc::downgrade(&bell);
        Ok(bell)
    }

    fn new() -> Result<Self, Errno> {
        let nothing = rustix::fs::memfd_create("weft-bell", MemfdFlags::CLOEXEC)?;
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes one word to where the pointer leads.
        let made = unsafe { libc::syscall(libc::SYS_io_setup, COMPLETIONS, &raw mut context) };
        if made < 0 { Err(errno()) } else { Ok(Self { context, nothing }) }
    }

    /// Wakes whoever sleeps on an eventfd.
    ///
    /// # Errors
    /// The descriptor is none of an eventfd.
    #[cold]
    pub(super) fn ring(&self, eventfd: BorrowedFd<'_>) -> Result<(), Errno> {
        match self.submit(eventfd) {
            Err(Errno::AGAIN) => {
                self.collect();
                self.submit(eventfd)
            }
            other => other,
        }
    }

    fn submit(&self, eventfd: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut request = Request {
            operation: READ,
            file: self.nothing.as_raw_fd() as u32,
            flags: NOTIFY,
            notify: eventfd.as_raw_fd() as u32,
            ..Request::default()
        };
        let mut requests = [&raw mut request];
        // SAFETY: one request, laid out as the kernel wants it, which the kernel is done with when the call returns; it asks
        // for no bytes, so that nothing is ever written to its buffer.
        let submitted = unsafe { libc::syscall(libc::SYS_io_submit, self.context, 1, requests.as_mut_ptr()) };
        if submitted < 0 { Err(errno()) } else { Ok(()) }
    }

    /// Makes room for completions.
    fn collect(&self) {
        let mut completions = [Completion::default(); COMPLETIONS];
        let none = std::ptr::null_mut::<libc::timespec>();
        // SAFETY: the kernel writes up to as many completions as there is room for, and does not wait for any.
        unsafe {
            libc::syscall(
                libc::SYS_io_getevents,
                self.context,
                0,
                COMPLETIONS,
                completions.as_mut_ptr(),
                none,
            )
        };
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // SAFETY: made by `io_setup`, and used nowhere else from now on; what was submitted was done at once.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    #[test]
    fn it_rings_any_number_of_times_and_never_blocks() {
        let bell = Bell::new().unwrap();
        let blocking = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        const TIMES: u64 = 100_000;
        for _ in 0..TIMES {
            bell.ring(blocking.as_fd()).unwrap();
        }
        let mut count = [0; 8];
        rustix::io::read(&blocking, &mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), TIMES);
        // As full as it gets: a write would wait for ever.
        rustix::io::write(&blocking, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        for _ in 0..3 {
            bell.ring(blocking.as_fd()).unwrap();
        }
    }

    #[test]
    fn nothing_but_an_eventfd_is_rung() {
        let bell = Bell::new().unwrap();
        let (_reader, writer) = rustix::pipe::pipe().unwrap();
        assert_eq!(bell.ring(writer.as_fd()), Err(Errno::INVAL));
        assert!(bell.ring(bell.nothing.as_fd()).is_err());
    }
}
