//! What the control thread and the queues of a port share.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use packet::{Batch, Pool};
use rustix::io::Errno;

use super::bell::Bell;
use super::half::{Borrowed, Fault, Half, LentEmpty, LentFull};
use super::session::{Reason, Wish};
use super::transfer::{self, Tally};
use super::wire::{NAME, SECRET, Text};
use super::{MemifConfig, Status};
use crate::counters::QueueCounters;
use crate::wake::Wake;

/// Something that one thread puts down and another picks up, which need not take the lock to see that nothing is new.
pub(super) struct Slot<T> {
    generation: AtomicU64,
    value: Mutex<Option<T>>,
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self { generation: AtomicU64::new(0), value: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, value: Option<T>) {
        let mut held = self.lock();
        *held = value;
        // Under the lock: whoever takes the value takes it with its own generation, and never finds it gone.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Takes what was put down, if that was after `seen`.
    pub(super) fn pick_up(&self, seen: &mut u64) -> Option<Option<T>> {
        if !self.is_new(*seen) {
            return None;
        }
        let mut value = self.lock();
        *seen = self.generation.load(Ordering::Acquire);
        Some(value.take())
    }

    #[inline]
    pub(super) fn is_new(&self, seen: u64) -> bool {
        self.generation.load(Ordering::Acquire) != seen
    }
}

/// A ring to receive on.
pub(super) struct RxRing {
    half: RxHalf,
    /// What the other side wakes this one through.
    pub(super) bell: OwnedFd,
}

pub(super) enum RxHalf {
    Server(Borrowed),
    Client(LentEmpty),
}

impl RxRing {
    pub(super) fn new(half: RxHalf, bell: OwnedFd) -> Self {
        Self { half, bell }
    }

    pub(super) fn receive(&mut self, pool: &Pool, batch: &mut Batch) -> Tally {
        match &mut self.half {
            RxHalf::Server(half) => transfer::receive(half, pool, batch),
            RxHalf::Client(half) => transfer::receive(half, pool, batch),
        }
    }

    /// Whether there is anything to look at, be it only a fault.
    pub(super) fn waits(&mut self) -> bool {
        let ready = match &mut self.half {
            RxHalf::Server(half) => half.ready(1),
            RxHalf::Client(half) => half.ready(1),
        };
        ready != Ok(0)
    }

    /// Tells the other side whether this one looks by itself.
    pub(super) fn set_awake(&self, awake: bool) {
        let flag = match &self.half {
            RxHalf::Server(half) => half.flag(),
            RxHalf::Client(half) => half.flag(),
        };
        if awake { flag.awake() } else { flag.asleep() }
    }
}

/// A ring to send on, which the queues share that have none of their own.
pub(super) struct TxRing {
    half: TxHalf,
    /// What the other side is woken through.
    bell: OwnedFd,
    /// Where large packets are cut; stays empty until there is one.
    segment: Vec<u8>,
}

pub(super) enum TxHalf {
    Server(Borrowed),
    Client(LentFull),
}

impl TxRing {
    pub(super) fn new(half: TxHalf, bell: OwnedFd) -> Self {
        Self { half, bell, segment: Vec::new() }
    }

    pub(super) fn send(&mut self, batch: &mut Batch, bell: &Bell) -> (usize, Tally) {
        let sent = match &mut self.half {
            TxHalf::Server(half) => transfer::send(half, batch, &mut self.segment),
            TxHalf::Client(half) => transfer::send(half, batch, &mut self.segment),
        };
        let flag = match &self.half {
            TxHalf::Server(half) => half.flag(),
            TxHalf::Client(half) => half.flag(),
        };
        if sent.1.packets > 0 && flag.must_wake() {
            // It was an eventfd when the connection was made.
            let _ = bell.ring(self.bell.as_fd());
        }
        sent
    }
}

/// The rings of a connection.
pub(super) struct Rings {
    pub(super) receive: Vec<RxRing>,
    pub(super) send: Vec<TxRing>,
}

/// A queue's receiving side, as the control thread knows it.
pub(super) struct Receiver {
    pub(super) ring: Slot<RxRing>,
    /// Wakes the queue; nobody else has it.
    pub(super) wake: Wake,
}

pub(super) type Sender = Slot<Arc<Mutex<TxRing>>>;

/// A port, as its queues and the control thread know it.
pub(super) struct Interface {
    pub(super) id: u32,
    pub(super) name: Text<NAME>,
    pub(super) secret: Text<SECRET>,
    pub(super) config: MemifConfig,
    pub(super) receivers: Vec<Receiver>,
    pub(super) senders: Vec<Sender>,
    pub(super) counters: Vec<QueueCounters>,
    pub(super) bell: Arc<Bell>,
    /// Wakes the control thread.
    control: Arc<Wake>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    status: Status,
    fault: Option<Fault>,
}

impl Interface {
    pub(super) fn new(name: &str, config: &MemifConfig, control: Arc<Wake>) -> Result<Self, Errno> {
        let system = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let receiver = |_| {
            let wake = Wake::new().map_err(system)?;
            // A queue looks before it sleeps.
            wake.signal();
            Ok(Receiver { ring: Slot::new(), wake })
        };
        Ok(Self {
            id: config.id,
            name: Text::new(name),
            secret: Text::new(&config.secret),
            config: config.clone(),
            receivers: (0..config.queues).map(receiver).collect::<Result<_, _>>()?,
            senders: (0..config.queues).map(|_| Slot::new()).collect(),
            counters: (0..config.queues).map(|_| QueueCounters::default()).collect(),
            bell: Bell::shared()?,
            control,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Status {
        self.state().status.clone()
    }

    pub(super) fn is_up(&self) -> bool {
        self.state().status.peer.is_some()
    }

    /// What it asks of a server.
    pub(super) fn wish(&self) -> Wish {
        let MemifConfig { id, queues, ring, buffer, .. } = self.config;
        let (queues, log2_entries) = (queues as u16, ring.ilog2() as u8);
        Wish { id, secret: self.secret, name: self.name, queues, log2_entries, buffer }
    }

    /// Hands a connection's rings to the queues.
    pub(super) fn up(&self, rings: Rings, peer: &Text<NAME>) {
        let send: Vec<_> = rings.send.into_iter().map(|ring| Arc::new(Mutex::new(ring))).collect();
        // First, so that what is received can be answered at once.
        for (index, sender) in self.senders.iter().enumerate() {
            // With fewer rings than queues, some share.
            sender.put((!send.is_empty()).then(|| send[index % send.len()].clone()));
        }
        let mut receive = rings.receive.into_iter();
        for receiver in &self.receivers {
            receiver.ring.put(receive.next());
            receiver.wake.signal();
        }
        // Only now: a fault that is reported before is one of an earlier connection.
        let mut state = self.state();
        state.fault = None;
        state.status.peer = Some(peer.to_string());
        state.status.connections += 1;
    }

    /// Takes the rings away from the queues, or says why there are none.
    pub(super) fn down(&self, reason: &Reason) {
        let was_up = {
            let mut state = self.state();
            state.fault = None;
            state.status.ended = Some(reason.to_string());
            state.status.peer.take().is_some()
        };
        if was_up {
            for receiver in &self.receivers {
                receiver.ring.put(None);
                receiver.wake.signal();
            }
            self.senders.iter().for_each(|sender| sender.put(None));
        }
    }

    /// A queue has found that the other side does wrong, in the rings that it has; `current` says whether they still are
    /// those of the connection.
    pub(super) fn report(&self, fault: Fault, current: impl Fn() -> bool) {
        let mut state = self.state();
        if current() && state.status.peer.is_some() {
            state.fault = Some(fault);
            self.control.signal();
        }
    }

    /// What a queue has found.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        self.state().fault.take()
    }
}
