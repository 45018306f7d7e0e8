//! A worker: one thread, the modules it owns, and the loop that gives their tasks turns.
//!
//! While tasks have work, the loop hands out turns and looks at its mailbox before each of them; the descriptors
//! of idle tasks are asked once per round, all of them in one `epoll_wait`. A task that comes up empty leaves the
//! scheduler and waits for its descriptor; a worker without a task in the scheduler sleeps, until the next deadline of a
//! module or a rate limit if there is one. Interest in the descriptors is level-triggered and registered once, so that
//! falling asleep and waking cost no system call but the `epoll_wait` itself (and a `ppoll` before a deadline), and a port
//! that still has packets (because there was no buffer for them) wakes its task again.
//!
//! [`turns`] is the loop, [`places`] how modules, rings and traffic classes come and go, [`early`] how deadlines are met exactly.

mod early;
mod places;
mod turns;

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};

use super::backpressure::Backpressure;
use super::clock::{TurnClock, monotonic_ns, thread_cpu_ns};
use super::edge::{Inbox, InboxId};
use super::executor::Executor;
use super::mailbox::Mailbox;
use super::node::{Node, NodeId};
use super::scheduler::Scheduler;
use super::snapshot::WorkerSnapshot;
use super::traffic::{ClassId, TaskId, Usage};
use super::{Next, Readiness};

/// Turns between two looks at the clock and at the descriptors of idle tasks.
const ROUND_TURNS: usize = 32;
/// Descriptors that one `epoll_wait` may report. The kernel reports the others the next time.
const EVENTS: usize = 256;
/// How long a worker that has only empty-handed [`Readiness::Poll`] tasks pauses at first; it doubles each time.
const POLL_MIN_NS: u64 = 50_000;
/// The longest such pause.
pub const POLL_MAX_NS: u64 = 5_000_000;
/// How often modules of a paused worker are seen to.
pub const TEND_NS: u64 = 1_000_000;
/// The mark of the mailbox among the descriptors.
const MAILBOX: u64 = u64::MAX;

/// How a worker's thread is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerConfig {
    /// The core to pin it to, as far as the kernel allows.
    pub core: Option<usize>,
    /// Never sleep: for a core of its own, saves the time of waking up.
    pub spin: bool,
}

/// What a task does, and how it is doing.
struct Task {
    kind: Kind,
    wakeup: Wakeup,
    state: State,
    /// Whether it stands in the list of those that must be asked.
    listed: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Module { node: NodeId, index: usize, leaf: ClassId },
    Inbox(InboxId),
}

impl Kind {
    fn leaf(self) -> Option<ClassId> {
        match self {
            Self::Module { leaf, .. } => Some(leaf),
            Self::Inbox(_) => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Wakeup {
    Fd,
    Signal,
    Poll,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// In the scheduler's hands.
    Ready,
    /// Has its turn.
    Running,
    /// Waits to be woken, or asked again.
    Idle,
    /// Has said that it has nothing more to do.
    Finished,
}

/// A worker as its own thread sees it.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) executor: Executor,
    config: WorkerConfig,
    pinned: bool,
    mailbox: Arc<Mailbox>,
    epoll: OwnedFd,
    scheduler: Scheduler,
    clock: TurnClock,
    tasks: Vec<Option<Task>>,
    free: Vec<TaskId>,
    inboxes: HashMap<InboxId, (Inbox, TaskId)>,
    signals: Vec<InboxId>,
    /// Modules with deadlines.
    timed: Vec<NodeId>,
    /// Modules that are seen to while it is paused.
    tended: Vec<NodeId>,
    /// Descriptors registered, the mailbox's not counted.
    watched: usize,
    /// Idle tasks that must be asked ([`Wakeup::Poll`]).
    asked: Vec<TaskId>,
    /// Whether any task has had work since those were last asked.
    fruitful: bool,
    pause_ns: u64,
    pressure: Backpressure,
    paused: bool,
    stop: bool,
    turns: u64,
    packets: u64,
    bytes: u64,
    sleeps: u64,
    started_ns: u64,
    slept_ns: u64,
    stall_ns_max: u64,
    early: early::Early,
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        root: ClassId,
        config: WorkerConfig,
        mailbox: Arc<Mailbox>,
    ) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*mailbox, epoll::EventData::new_u64(MAILBOX), epoll::EventFlags::IN)?;
        Ok(Self {
            index,
            executor: Executor::new(index),
            config,
            pinned: false,
            mailbox,
            epoll,
            scheduler: Scheduler::new(root),
            clock: TurnClock::new(),
            tasks: Vec::new(),
            free: Vec::new(),
            inboxes: HashMap::new(),
            signals: Vec::new(),
            timed: Vec::new(),
            tended: Vec::new(),
            watched: 0,
            asked: Vec::new(),
            fruitful: false,
            pause_ns: POLL_MIN_NS,
            pressure: Backpressure::default(),
            paused: false,
            stop: false,
            turns: 0,
            packets: 0,
            bytes: 0,
            sleeps: 0,
            started_ns: monotonic_ns(),
            slept_ns: 0,
            stall_ns_max: 0,
            early: early::Early::new(),
        })
    }

    /// The thread's life.
    pub(crate) fn live(mut self) {
        // Threads sleep up to 50 µs longer than they ask for, unless they say that they mind (prctl(2), PR_SET_TIMERSLACK).
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        if let Some(core) = self.config.core.filter(|&core| core < CpuSet::MAX_CPU) {
            let mut cores = CpuSet::new();
            cores.set(core);
            match sched_setaffinity(None, &cores) {
                Ok(()) => self.pinned = true,
                Err(error) => tracing::warn!(worker = self.index, core, "not pinned: {error}"),
            }
        }
        loop {
            self.read_mail();
            if self.stop {
                return;
            }
            if self.paused {
                self.rest();
            } else {
                self.round();
                self.expire();
                self.between_rounds();
            }
        }
    }

    /// Ends the loop.
    pub(crate) fn stop(&mut self) {
        self.stop = true;
    }

    /// Gives no turns, or gives them again.
    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// An edit has kept it from its packets for so long.
    pub(crate) fn stalled(&mut self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.stall_ns_max = self.stall_ns_max.max(ns);
    }

    /// What traffic classes have used, and whether they are blocked.
    pub(crate) fn look(&self, classes: &[ClassId]) -> Vec<Option<(Usage, bool)>> {
        classes.iter().map(|&class| self.scheduler.tree.look(class)).collect()
    }

    fn deadline(&self, id: NodeId) -> Option<u64> {
        let node = self.executor.node(id)?;
        if node.failed.is_some() { None } else { node.module.deadline_ns() }
    }

    /// How long to sleep, `limit_ns` at most; `None` where a deadline that is to be met exactly is too near for any sleep.
    fn until_deadline(&self, now_ns: u64, limit_ns: Option<u64>) -> Option<Sleep> {
        let mut sleep = Sleep { ns: limit_ns, exact: false };
        let mut sooner = |ns: u64, exact| {
            if sleep.ns.is_none_or(|other| ns < other) {
                sleep = Sleep { ns: Some(ns), exact };
            }
        };
        for &id in &self.timed {
            let Some(deadline) = self.deadline(id) else { continue };
            let left = deadline.saturating_sub(now_ns);
            let exact = self.executor.node(id).is_some_and(|node| node.module.exact());
            sooner(if exact { self.early.sleep_ns(left)? } else { left }, exact);
        }
        let classes = self.scheduler.tree.deadline_ns();
        classes.into_iter().for_each(|deadline| sooner(deadline.saturating_sub(now_ns), false));
        Some(sleep)
    }

    /// Waits for a descriptor, a message, a deadline, or until `limit_ns` are over.
    fn sleep(&mut self, limit_ns: Option<u64>) {
        if self.config.spin {
            self.ask(false);
            return;
        }
        let before = monotonic_ns();
        let Some(Sleep { ns: timeout, exact }) = self.until_deadline(before, limit_ns) else {
            self.ask(false);
            return;
        };
        if !self.mailbox.fall_asleep() {
            return;
        }
        if let Some(ns) = timeout {
            // epoll_wait counts in milliseconds, ppoll in nanoseconds.
            let in_vain = wait(&mut [PollFd::new(&self.epoll, PollFlags::IN)], timeout);
            self.clock.round();
            if exact && in_vain {
                self.early.learn(ns, monotonic_ns().saturating_sub(before + ns));
            }
        }
        self.ask(timeout.is_none());
        self.mailbox.awake();
        self.sleeps += 1;
        self.slept_ns += monotonic_ns().saturating_sub(before);
    }

    /// Waits for a message, whatever the descriptors of tasks say, or until it is time to see to modules.
    fn rest(&mut self) {
        let before = monotonic_ns();
        for at in 0..self.tended.len() {
            self.executor.tend(self.tended[at]);
        }
        if self.mailbox.fall_asleep() {
            let limit_ns = (!self.tended.is_empty()).then_some(TEND_NS);
            wait(&mut [PollFd::new(&*self.mailbox, PollFlags::IN)], limit_ns);
            self.mailbox.awake();
            self.mailbox.acknowledge();
        }
        self.clock.round();
        self.slept_ns += monotonic_ns().saturating_sub(before);
    }

    /// Asks the descriptors, or waits for one of them, and wakes the tasks whose descriptors are ready.
    fn ask(&mut self, wait: bool) {
        let at_once = Timespec::default();
        let mut events = [const { MaybeUninit::uninit() }; EVENTS];
        match epoll::wait(&self.epoll, &mut events[..], (!wait).then_some(&at_once)) {
            Ok((ready, _)) => {
                if wait {
                    self.clock.round();
                }
                for event in ready {
                    match event.data.u64() {
                        MAILBOX => self.mailbox.acknowledge(),
                        task => self.wake(task as TaskId),
                    }
                }
            }
            Err(Errno::INTR) => {}
            Err(error) => tracing::error!(worker = self.index, "epoll_wait: {error}"),
        }
    }

    /// Counts of this worker and its modules.
    pub(crate) fn snapshot(&self) -> WorkerSnapshot {
        let alive = monotonic_ns().saturating_sub(self.started_ns);
        let ready = |task: &&Task| task.state == State::Ready;
        WorkerSnapshot {
            index: self.index,
            running: !self.paused,
            core: self.config.core,
            pinned: self.pinned,
            tasks: self.tasks.iter().flatten().count(),
            active_tasks: self.tasks.iter().flatten().filter(ready).count(),
            turns: self.turns,
            packets: self.packets,
            bytes: self.bytes,
            sleeps: self.sleeps,
            awake_ns: alive.saturating_sub(self.slept_ns),
            asleep_ns: self.slept_ns,
            cpu_ns: thread_cpu_ns(),
            circling: self.executor.circling(),
            stall_ns_max: self.stall_ns_max,
        }
    }
}

/// How long to sleep.
#[derive(Clone, Copy)]
struct Sleep {
    /// Until something comes, unless it is given.
    ns: Option<u64>,
    /// Whether it ends before a deadline that is to be met exactly.
    exact: bool,
}

/// Waits for a descriptor, for so long at most, and tells whether that time has passed. Whatever ends it, its caller looks for itself.
fn wait(descriptors: &mut [PollFd<'_>], timeout_ns: Option<u64>) -> bool {
    let timeout =
        timeout_ns.map(|ns| Timespec::try_from(Duration::from_nanos(ns)).expect("centuries at most"));
    match poll(descriptors, timeout.as_ref()) {
        Ok(0) => return true,
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => tracing::error!("ppoll: {error}"),
    }
    false
}
