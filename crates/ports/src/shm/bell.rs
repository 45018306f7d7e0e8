//! What wakes the other process, and ends with it: one end of a socket pair.
//!
//! An eventfd would do for waking, but both sides would share its flags, and a guest that made it blocking could make
//! the trusted side hang. The ends of a socket pair have flags of their own; besides, nothing here relies on them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

pub(super) struct Bell(OwnedFd);

impl Bell {
    pub(super) fn pair() -> rustix::io::Result<(Self, OwnedFd)> {
        let (own, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        Ok((Self(own), other))
    }

    pub(super) fn of(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Wakes the other side. A full socket is as good: the other side's end polls readable.
    #[cold]
    pub(super) fn ring(&self) {
        let _ = send(&self.0, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    /// Sleeps until the other side rings, is gone, or `limit` has passed; false when it is gone.
    pub(super) fn wait(&self, limit: Option<Duration>) -> bool {
        let heard = self.poll(limit);
        if heard.contains(PollFlags::IN) {
            // Once, and however many there are: a flood costs a look each time, no more.
            let _ = recv(&self.0, &mut [0; 64], RecvFlags::DONTWAIT);
        }
        !heard.contains(PollFlags::HUP)
    }

    /// Sleeps until the other side rings; false when it is gone. One call, where [`Bell::wait`] is two; and only for a side
    /// that may be made to wait for ever.
    pub(super) fn sleep(&self) -> bool {
        let heard = recv(&self.0, &mut [0; 64], RecvFlags::empty());
        // An interrupted sleep is a short one.
        !matches!(heard, Ok((0, _)) | Err(Errno::CONNRESET))
    }

    /// Whether no process has the other end any more.
    pub(super) fn is_alone(&self) -> bool {
        self.poll(Some(Duration::ZERO)).contains(PollFlags::HUP)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn poll(&self, limit: Option<Duration>) -> PollFlags {
        let limit = limit
            .map(|limit| Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() });
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        // An interrupted wait is a short one.
        let _ = poll(&mut polled, limit.as_ref());
        polled[0].revents()
    }
}
