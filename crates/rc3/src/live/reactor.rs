//! The loop's other half: waits for sockets, for a moment, and for who wants it to stop.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use rustix::fs::Timespec;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use sim::Time;

use super::{LiveError, system};

/// The socket of datagrams.
pub(super) const SOCKET: Token = Token(0);
const TIMER: Token = Token(1);
const WAKER: Token = Token(2);
/// The socket that local clients connect to.
pub(super) const LISTENER: Token = Token(3);
/// Streams have numbers from here on.
const STREAMS: usize = 16;

/// The token of a stream's place.
pub(super) const fn stream_token(place: usize) -> Token {
    Token(place + STREAMS)
}

/// The place that a token is of.
pub(super) fn stream_place(token: Token) -> Option<usize> {
    token.0.checked_sub(STREAMS)
}

/// Ends a loop from elsewhere.
#[derive(Debug, Clone)]
pub struct Stop {
    told: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stop {
    /// Has the loop end soon.
    pub fn stop(&self) {
        self.told.store(true, Ordering::Relaxed);
        let _ = self.waker.wake(); // fails only where it is awake already
    }
}

/// Sockets, a timer and a clock.
#[derive(Debug)]
pub(super) struct Reactor {
    poll: Poll,
    events: Events,
    timer: OwnedFd,
    waker: Arc<Waker>,
    told: Arc<AtomicBool>,
    began: Instant,
}

/// A socket that has something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) token: Token,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Reactor {
    pub(super) fn new() -> Result<Self, LiveError> {
        let make = || -> io::Result<Self> {
            let poll = Poll::new()?;
            let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
            let timer =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
            let told = Arc::default();
            Ok(Self { poll, events: Events::with_capacity(1_024), timer, waker, told, began: Instant::now() })
        };
        make().map_err(system("an event loop"))
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// What wakes it up.
    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    pub(super) fn stopper(&self) -> Stop {
        Stop { told: self.told.clone(), waker: self.waker.clone() }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Waits until a socket has something, or a moment.
    pub(super) fn wait(&mut self, deadline: Option<Time>, ready: &mut Vec<Ready>) -> Result<(), LiveError> {
        ready.clear();
        self.wait_for(deadline).map_err(system("waiting for sockets"))?;
        let streams = self.events.iter().filter(|event| event.token() != TIMER && event.token() != WAKER);
        ready.extend(streams.map(|event| Ready {
            token: event.token(),
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
        }));
        Ok(())
    }

    fn wait_for(&mut self, deadline: Option<Time>) -> io::Result<()> {
        let left = deadline.map(|deadline| (deadline - self.now()).nanos().max(1));
        let spec = |nanos: u64| Timespec {
            tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: (nanos % 1_000_000_000) as i64,
        };
        // Nanoseconds from now; 0 stops it. Setting it also takes back that it has gone off.
        let value = Itimerspec { it_interval: spec(0), it_value: spec(left.unwrap_or(0)) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        match self.poll.poll(&mut self.events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }
}
