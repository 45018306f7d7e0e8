//! The queues of a port, as workers have them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use packet::{Batch, Pool};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::control::Membership;
use super::interface::{RxRing, TxRing};
use crate::{PortError, RxQueue, TxQueue};

/// How often in a row a queue is asked in vain before it makes ready to sleep: a busy loop that finds nothing now and then
/// costs its peer no system calls, and nor does it make any.
const PATIENCE: u32 = 32;
/// How long after it has made ready to sleep a queue looks once more. A peer without a full fence between moving its
/// position and looking at the flag (DPDK 22.11 and libmemif have none) misses the flag if both happen within the time
/// that a processor takes to write a line, far less than this.
const SECOND_LOOK: Duration = Duration::from_millis(1);

/// Receives.
///
/// Its descriptor is an epoll of three: the queue's own eventfd, which is readable unless the queue is ready to sleep
/// (`armed`); the ring's, through which the peer wakes it; and a timer for the second look. The last two are watched for
/// changes (`EPOLLET`), so that they are never read: the peer shares its eventfd's flags and could make a reader wait.
pub(super) struct MemifRx {
    member: Arc<Membership>,
    index: usize,
    pool: Pool,
    epoll: OwnedFd,
    timer: OwnedFd,
    ring: Option<RxRing>,
    /// The ring's generation.
    seen: u64,
    /// How often it was asked in vain since it last made ready.
    idle: u32,
    armed: bool,
}

impl MemifRx {
    pub(super) fn new(member: Arc<Membership>, index: usize, pool: &Pool) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let nothing = epoll::EventData::new_u64(0);
        epoll::add(&epoll, &timer, nothing, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        if let Some(wake) = member.interface.receivers[index].wake.fd() {
            epoll::add(&epoll, wake, nothing, epoll::EventFlags::IN)?;
        }
        let pool = pool.clone();
        Ok(Self { member, index, pool, epoll, timer, ring: None, seen: 0, idle: 0, armed: false })
    }

    /// Takes the rings of a new connection, or lets those of an old one go.
    fn attach(&mut self) {
        let receiver = &self.member.interface.receivers[self.index];
        let Some(ring) = receiver.ring.pick_up(&mut self.seen) else { return };
        self.let_go();
        if let Some(ring) = &ring {
            ring.set_awake(true);
            let events = epoll::EventFlags::IN | epoll::EventFlags::ET;
            // It is an eventfd, and new here. Were there no memory to watch it, the second look would still come.
            let _ = epoll::add(&self.epoll, &ring.bell, epoll::EventData::new_u64(0), events);
        }
        self.ring = ring;
        self.wake();
    }

    fn let_go(&mut self) {
        if let Some(ring) = self.ring.take() {
            // By hand: while the peer has it too, the eventfd is watched even when this side has closed it.
            let _ = epoll::delete(&self.epoll, &ring.bell);
        }
    }

    /// Is not ready to sleep any more, and keeps the descriptor readable until it is again.
    fn wake(&mut self) {
        self.idle = 0;
        if std::mem::take(&mut self.armed) {
            if let Some(ring) = &self.ring {
                ring.set_awake(true);
            }
            self.member.interface.receivers[self.index].wake.signal();
        }
    }

    /// Was asked in vain.
    fn rest(&mut self) {
        self.idle += 1;
        if self.idle >= PATIENCE {
            self.idle = 0;
            self.make_ready();
        }
    }

    /// Makes ready to sleep: the descriptor is not readable when this is over, unless there is something to do.
    #[cold]
    fn make_ready(&mut self) {
        let receiver = &self.member.interface.receivers[self.index];
        receiver.wake.clear();
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 3];
        let _ = epoll::wait(&self.epoll, &mut events[..], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        if !std::mem::replace(&mut self.armed, true)
            && let Some(ring) = &self.ring
        {
            let once = Timespec { tv_sec: 0, tv_nsec: SECOND_LOOK.subsec_nanos().into() };
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            let timer = Itimerspec { it_interval: never, it_value: once };
            let _ = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer);
            ring.set_awake(false);
        }
        // What came before is seen here, and what comes from now on makes the descriptor readable.
        if receiver.ring.is_new(self.seen) || self.ring.as_mut().is_some_and(RxRing::waits) {
            self.wake();
        }
    }
}

impl RxQueue for MemifRx {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let interface = &self.member.interface;
        if interface.receivers[self.index].ring.is_new(self.seen) {
            self.attach();
        }
        if batch.room() == 0 {
            return Ok(0);
        }
        let Some(ring) = &mut self.ring else {
            self.rest();
            return Ok(0);
        };
        let tally = ring.receive(&self.pool, batch);
        let interface = &self.member.interface;
        interface.counters[self.index].received(tally.packets, tally.bytes, tally.dropped);
        if let Some(fault) = tally.fault {
            let seen = self.seen;
            interface.report(fault, || !interface.receivers[self.index].ring.is_new(seen));
            self.let_go();
        }
        if tally.packets + tally.dropped > 0 {
            self.wake();
        } else {
            self.rest();
        }
        // A batch is no larger.
        Ok(tally.packets as usize)
    }

    fn tend(&mut self) {
        self.attach();
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }
}

impl Drop for MemifRx {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Sends.
pub(super) struct MemifTx {
    member: Arc<Membership>,
    index: usize,
    ring: Option<Arc<Mutex<TxRing>>>,
    /// The ring's generation.
    seen: u64,
}

impl MemifTx {
    pub(super) fn new(member: Arc<Membership>, index: usize) -> Self {
        Self { member, index, ring: None, seen: 0 }
    }
}

impl TxQueue for MemifTx {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let interface = &self.member.interface;
        let counters = &interface.counters[self.index];
        if let Some(ring) = interface.senders[self.index].pick_up(&mut self.seen) {
            self.ring = ring;
        }
        let Some(ring) = &self.ring else {
            let count = batch.len();
            counters.sent(0, 0, count as u64);
            batch.clear();
            return Ok(count);
        };
        let (taken, tally) = ring.lock().unwrap_or_else(PoisonError::into_inner).send(batch, &interface.bell);
        counters.sent(tally.packets, tally.bytes, tally.dropped);
        if let Some(fault) = tally.fault {
            let seen = self.seen;
            interface.report(fault, || !interface.senders[self.index].is_new(seen));
            self.ring = None;
        }
        Ok(taken)
    }
}
