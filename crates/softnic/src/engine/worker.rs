//! A worker: one thread, the modules it owns, and the loop that gives their tasks turns.
//!
//! While tasks have work, the loop hands out turns and looks at its mailbox before each of them; the descriptors
//! of idle tasks are asked once per round, all of them in one `epoll_wait`. A task that comes up empty leaves the
//! scheduler and waits for its descriptor; a worker without a task in the scheduler sleeps. Interest in the
//! descriptors is level-triggered and registered once, so that falling asleep and waking cost no system call but
//! the `epoll_wait` itself, and a port that still has packets (because there was no buffer for them) wakes its
//! task again.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::clock::{monotonic_ns, thread_cpu_ns};
use super::edge::{Inbox, InboxId};
use super::executor::Executor;
use super::mailbox::Mailbox;
use super::node::{Node, NodeId};
use super::scheduler::{RoundRobin, Scheduler, TaskId, Usage};
use super::snapshot::WorkerSnapshot;
use super::{Next, Readiness};

/// Turns between two looks at the clock and at the descriptors of idle tasks.
const ROUND_TURNS: usize = 32;
/// Descriptors that one `epoll_wait` may report. The kernel reports the others the next time.
const EVENTS: usize = 256;
/// How long a worker that has only empty-handed [`Readiness::Poll`] tasks pauses at first; it doubles each time.
const POLL_MIN_NS: u64 = 50_000;
/// The longest such pause.
pub const POLL_MAX_NS: u64 = 5_000_000;
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
}

#[derive(Clone, Copy)]
enum Kind {
    Module { node: NodeId, index: usize },
    Inbox(InboxId),
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
    /// Waits to be woken.
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
    scheduler: Box<dyn Scheduler>,
    tasks: Vec<Option<Task>>,
    free: Vec<TaskId>,
    inboxes: HashMap<InboxId, (Inbox, TaskId)>,
    signals: Vec<InboxId>,
    /// Modules with deadlines.
    timed: Vec<NodeId>,
    /// Descriptors registered, the mailbox's not counted.
    watched: usize,
    /// Turns in a row in which [`Wakeup::Poll`] tasks found nothing.
    fruitless: usize,
    pause_ns: u64,
    stop: bool,
    turns: u64,
    brought: Usage,
    sleeps: u64,
    started_ns: u64,
    slept_ns: u64,
}

impl Worker {
    pub(crate) fn new(index: usize, config: WorkerConfig, mailbox: Arc<Mailbox>) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*mailbox, epoll::EventData::new_u64(MAILBOX), epoll::EventFlags::IN)?;
        Ok(Self {
            index,
            executor: Executor::new(index),
            config,
            pinned: false,
            mailbox,
            epoll,
            scheduler: Box::new(RoundRobin::default()),
            tasks: Vec::new(),
            free: Vec::new(),
            inboxes: HashMap::new(),
            signals: Vec::new(),
            timed: Vec::new(),
            watched: 0,
            fruitless: 0,
            pause_ns: POLL_MIN_NS,
            stop: false,
            turns: 0,
            brought: Usage::default(),
            sleeps: 0,
            started_ns: monotonic_ns(),
            slept_ns: 0,
        })
    }

    /// The thread's life.
    pub(crate) fn live(mut self) {
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
            self.round();
            self.expire();
            if self.scheduler.waiting() == 0 {
                self.sleep(None);
            } else if self.fruitless > self.scheduler.waiting() {
                // Nobody who must be asked had anything.
                self.fruitless = 0;
                self.sleep(Some(self.pause_ns));
                self.pause_ns = (self.pause_ns * 2).min(POLL_MAX_NS);
            } else if self.watched > 0 {
                self.ask(Some(0));
            }
        }
    }

    /// Ends the loop.
    pub(crate) fn stop(&mut self) {
        self.stop = true;
    }

    fn read_mail(&mut self) {
        while let Some(message) = self.mailbox.has_messages().then(|| self.mailbox.message()).flatten() {
            message(self);
            self.wake_woken();
        }
        let mut signals = std::mem::take(&mut self.signals);
        self.mailbox.signals(&mut signals);
        for inbox in signals.drain(..) {
            // An inbox that is not here any more was emptied when it went.
            if let Some(&(_, task)) = self.inboxes.get(&inbox) {
                self.wake(task);
            }
        }
        self.signals = signals;
    }

    fn round(&mut self) {
        for _ in 0..ROUND_TURNS {
            let Some(task) = self.scheduler.next() else { return };
            self.turn(task);
            if self.mailbox.has_messages() {
                return;
            }
        }
    }

    fn turn(&mut self, id: TaskId) {
        self.turns += 1;
        let task = self.tasks[id as usize].as_mut().expect("the scheduler knows tasks that exist");
        task.state = State::Running;
        let (usage, next) = match task.kind {
            Kind::Module { node, index } => match self.executor.run(node, index) {
                Some(ran) => (Usage { packets: u64::from(ran.packets), bytes: ran.bytes }, ran.next),
                None => (Usage::default(), Next::Finished),
            },
            Kind::Inbox(inbox) => self.read_inbox(inbox),
        };
        self.brought.packets += usage.packets;
        self.brought.bytes += usage.bytes;
        self.settle(id, usage, next);
        self.wake_woken();
    }

    /// Says where a task goes after its turn.
    fn settle(&mut self, id: TaskId, usage: Usage, next: Next) {
        let task = self.tasks[id as usize].as_mut().expect("it just ran");
        let again = match (next, task.wakeup) {
            (Next::More, _) | (Next::Idle, Wakeup::Poll) => true,
            (Next::Idle | Next::Finished, _) => false,
        };
        if next == Next::More {
            (self.fruitless, self.pause_ns) = (0, POLL_MIN_NS);
        } else {
            self.fruitless += 1;
        }
        task.state = match next {
            _ if again => State::Ready,
            Next::Finished => State::Finished,
            _ => State::Idle,
        };
        let (kind, wakeup) = (task.kind, task.wakeup);
        self.scheduler.ran(id, usage, again);
        if let (Next::Finished, Wakeup::Fd, Kind::Module { node, index }) = (next, wakeup, kind) {
            // Its descriptor may stay readable for ever, as a closed port's does.
            self.unwatch(node, index);
            self.tasks[id as usize].as_mut().expect("it just ran").wakeup = Wakeup::Signal;
        }
    }

    fn read_inbox(&mut self, id: InboxId) -> (Usage, Next) {
        let Some((inbox, _)) = self.inboxes.get(&id) else { return (Usage::default(), Next::Finished) };
        let Some(batch) = inbox.receive().or_else(|| inbox.rest()) else {
            return (Usage::default(), Next::Idle);
        };
        // Its packets were charged where they came into the graph.
        self.executor.accept(inbox.from, inbox.node, inbox.gate, batch);
        (Usage::default(), Next::More)
    }

    fn wake_woken(&mut self) {
        while let Some((node, mask)) = self.executor.woken() {
            let tasks = self.executor.node(node).map_or(0, |node| node.tasks.len());
            for index in (0..tasks).filter(|index| mask & (1 << index) != 0) {
                if let Some(node) = self.executor.node(node) {
                    self.wake(node.tasks[index]);
                }
            }
        }
    }

    fn wake(&mut self, id: TaskId) {
        if let Some(task) = self.tasks[id as usize].as_mut()
            && matches!(task.state, State::Idle | State::Finished)
        {
            task.state = State::Ready;
            self.scheduler.ready(id);
        }
    }

    fn expire(&mut self) {
        if self.timed.is_empty() {
            return;
        }
        let now = monotonic_ns();
        for at in 0..self.timed.len() {
            let id = self.timed[at];
            if self.deadline(id).is_some_and(|deadline| deadline <= now) {
                self.executor.expire(id);
                self.wake_woken();
            }
        }
    }

    fn deadline(&self, id: NodeId) -> Option<u64> {
        let node = self.executor.node(id)?;
        if node.failed.is_some() { None } else { node.module.deadline_ns() }
    }

    /// Waits for a descriptor, a message, a deadline, or until `limit_ns` are over.
    fn sleep(&mut self, limit_ns: Option<u64>) {
        if self.config.spin {
            self.ask(Some(0));
            return;
        }
        let before = monotonic_ns();
        let deadline = self.timed.iter().filter_map(|&id| self.deadline(id)).min();
        let until = deadline.map(|deadline| deadline.saturating_sub(before));
        let timeout = limit_ns.into_iter().chain(until).min();
        if !self.mailbox.fall_asleep() {
            return;
        }
        self.ask(timeout);
        self.mailbox.awake();
        self.sleeps += 1;
        self.slept_ns += monotonic_ns().saturating_sub(before);
    }

    /// Asks the descriptors, and wakes the tasks whose descriptors are ready.
    fn ask(&mut self, timeout_ns: Option<u64>) {
        let timeout =
            timeout_ns.map(|ns| Timespec::try_from(Duration::from_nanos(ns)).expect("years at most"));
        let mut events = [const { MaybeUninit::uninit() }; EVENTS];
        match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
            Ok((ready, _)) => {
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

    /// Takes a module in.
    pub(crate) fn install(&mut self, id: NodeId, node: Box<Node>) {
        let (tasks, timed, failed) = (node.task_count, node.module.timed(), node.failed.is_some());
        self.executor.insert(id, node);
        if timed {
            self.timed.push(id);
        }
        for index in 0..tasks {
            let task = self.number();
            let wakeup = self.watch(id, index, task);
            let state = if failed { State::Finished } else { State::Ready };
            self.tasks[task as usize] = Some(Task { kind: Kind::Module { node: id, index }, wakeup, state });
            if let Some(node) = self.executor.node_mut(id) {
                node.tasks.push(task);
            }
            if state == State::Ready {
                // Every task starts with a turn: it may have work from before.
                self.scheduler.ready(task);
            }
        }
    }

    /// Registers the descriptor of a task, if it has one.
    fn watch(&mut self, node: NodeId, index: usize, task: TaskId) -> Wakeup {
        let Some(node) = self.executor.node(node) else { return Wakeup::Signal };
        match node.module.readiness(index) {
            Readiness::Signal => Wakeup::Signal,
            Readiness::Poll => Wakeup::Poll,
            Readiness::Fd(fd) => {
                let data = epoll::EventData::new_u64(u64::from(task));
                match epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN) {
                    Ok(()) => {
                        self.watched += 1;
                        Wakeup::Fd
                    }
                    Err(error) => {
                        // A plain file cannot be waited for; it is always ready.
                        tracing::debug!(module = %node.name, "asked instead of waited for: {error}");
                        Wakeup::Poll
                    }
                }
            }
        }
    }

    fn unwatch(&mut self, node: NodeId, index: usize) {
        if let Some(node) = self.executor.node(node)
            && let Readiness::Fd(fd) = node.module.readiness(index)
        {
            // A descriptor that is closed already has left by itself.
            let _ = epoll::delete(&self.epoll, fd);
            self.watched -= 1;
        }
    }

    /// Gives a module away, with the packets that it holds.
    pub(crate) fn uninstall(&mut self, id: NodeId) -> Option<Box<Node>> {
        let tasks = std::mem::take(&mut self.executor.node_mut(id)?.tasks);
        for (index, task) in tasks.into_iter().enumerate() {
            if self.tasks[task as usize].as_ref().is_some_and(|task| task.wakeup == Wakeup::Fd) {
                self.unwatch(id, index);
            }
            self.forget(task);
        }
        self.timed.retain(|&other| other != id);
        self.executor.remove(id)
    }

    /// A number for a new task.
    fn number(&mut self) -> TaskId {
        self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() as TaskId - 1
        })
    }

    fn forget(&mut self, task: TaskId) {
        self.scheduler.remove(task);
        self.tasks[task as usize] = None;
        self.free.push(task);
    }

    /// Takes in the reading end of a ring.
    pub(crate) fn install_inbox(&mut self, inbox: Inbox) {
        let task = self.number();
        self.tasks[task as usize] =
            Some(Task { kind: Kind::Inbox(inbox.id), wakeup: Wakeup::Signal, state: State::Ready });
        self.scheduler.ready(task);
        self.inboxes.insert(inbox.id, (inbox, task));
    }

    /// Gives the reading end of a ring away, with what is in it.
    pub(crate) fn uninstall_inbox(&mut self, id: InboxId) -> Option<Inbox> {
        let (inbox, task) = self.inboxes.remove(&id)?;
        self.forget(task);
        Some(inbox)
    }

    /// Counts of this worker and its modules.
    pub(crate) fn snapshot(&self) -> WorkerSnapshot {
        let alive = monotonic_ns().saturating_sub(self.started_ns);
        WorkerSnapshot {
            index: self.index,
            core: self.config.core,
            pinned: self.pinned,
            tasks: self.tasks.iter().flatten().count(),
            active_tasks: self.scheduler.waiting(),
            turns: self.turns,
            packets: self.brought.packets,
            bytes: self.brought.bytes,
            sleeps: self.sleeps,
            awake_ns: alive.saturating_sub(self.slept_ns),
            asleep_ns: self.slept_ns,
            cpu_ns: thread_cpu_ns(),
            circling: self.executor.circling(),
        }
    }
}
