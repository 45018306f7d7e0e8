//! Tier 2 of isolation: a network function that nobody trusts, in a process of its own.
//!
//! ```text
//!  runner ──▶ Isolated ── shm::Domain ══ slots ══ shm::Guest ── serve ──▶ the function
//!             restarts, counts     ◀── report ──  confined: no files, no network, no processes
//! ```
//!
//! [`Isolated`] is itself a [`NetworkFunction`], so a runner need not know. The program that it starts builds the real
//! function and calls [`serve`]. What the function reports is asked for, and is the function's word and no more: it is
//! bounded, made printable, and adds nothing to what this side counts. What each side can and cannot do to the other is said in [`ports::shm`] and
//! [`host::confine`], and the threat model is in `docs/isolation.md`.
//!
//! Packets come out of a later call than the one they went in with, in order, unless they go in step. The gate that a packet comes in at, and
//! leaves at, crosses as its egress port, which is [`PortId::NONE`] outside.

mod serve;
mod told;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use host::confine::{self, Confined, Confinement, Program};
use packet::{Batch, PortId};
use ports::shm::{Config, Domain, ShmError};

use crate::cause::Cause;
use crate::{Context, Gate, NetworkFunction, Report};

pub use serve::{Joined, join, serve};

/// The pause before a process that dies again and again is started anew, at first and at most.
const BACK_OFF_NS: (u64, u64) = (1_000_000, 1_000_000_000);
/// How soon a runner should look for packets that are on their way back.
const LOOK_NS: u64 = 20_000;
/// How long a report is waited for while packets flow; the next is not waited for until this one has come.
const REPORT_WAIT: Duration = Duration::from_millis(20);
/// What this side counts itself, and the process cannot add to.
const OWN_COUNTERS: [&str; 3] =
    ["restarts of the process", "lost with the process", "dropped by the process"];

/// What the process is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// What it has to report.
    Report = 1,
    /// No more packets will come in: what it has to report then.
    Finish = 2,
}

impl Cause {
    /// The process of an isolated function died, and took it along.
    pub const KILLED: Self = Self::new("isolated function died");
}

/// Why an isolated function could not be started, or could not serve.
#[derive(Debug, thiserror::Error)]
pub enum IsolateError {
    /// The shared memory.
    #[error(transparent)]
    Memory(#[from] ShmError),
    /// The process.
    #[error(transparent)]
    Process(#[from] host::Error),
}

/// How an isolated function is run.
#[derive(Clone, Debug)]
pub struct Isolation {
    /// The program, which calls [`serve`].
    pub program: Program,
    /// Its arguments, which all users of the machine may see.
    pub arguments: Vec<String>,
    /// What it finds in [`Joined::brief`], which nobody else sees; [`ports::shm::NOTE_MAX`] bytes at most.
    pub brief: Vec<u8>,
    /// How many gates the function has.
    pub gates: Gate,
    /// The shared memory.
    pub memory: Config,
    /// The most bytes of address space that the process may use.
    pub memory_max: u64,
    /// How long the process may keep packets without giving any back before it is taken for hung, and killed.
    pub patience: Duration,
    /// Whether a call waits for the packets that it sends to come back, so that they leave in the call that they came
    /// with: slow, and wanted where time is not the machine's.
    pub in_step: bool,
}

impl Isolation {
    /// Runs the calling program with these arguments, under ordinary limits.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn of_this_program(arguments: Vec<String>, gates: Gate) -> Result<Self, IsolateError> {
        Ok(Self {
            program: Program::this()?,
            arguments,
            brief: Vec::new(),
            gates,
            memory: Config::default(),
            memory_max: 1 << 30,
            patience: Duration::from_secs(1),
            in_step: false,
        })
    }
}

/// A network function in a process of its own.
#[derive(Debug)]
pub struct Isolated {
    isolation: Isolation,
    /// `None` between a death and the next attempt.
    running: Option<Running>,
    back: Batch,
    restarts: u64,
    lost: u64,
    retry_ns: u64,
    pause_ns: u64,
    looked_ns: u64,
    told: RefCell<Told>,
}

/// What the process has reported.
#[derive(Debug, Default)]
struct Told {
    report: Report,
    /// Whether it owes an answer.
    owes: bool,
}

impl Told {
    /// Takes the answer to the last question, if it comes in time and is one.
    fn hear(&mut self, domain: &Domain, limit: Duration) {
        self.owes = true;
        if let Some(Ok(report)) = domain.answer(limit).map(|answer| told::read(&answer)) {
            *self = Self { report, owes: false };
        }
    }
}

#[derive(Debug)]
struct Running {
    domain: Domain,
    process: Confined,
    /// When it was first seen to have packets and to give none back, since it last gave some.
    stalled: Option<Instant>,
}

impl Running {
    fn start(isolation: &Isolation) -> Result<Self, IsolateError> {
        let (domain, end) = Domain::create(isolation.memory)?;
        domain.brief(&isolation.brief)?;
        let process = confine::spawn(Confinement {
            program: isolation.program.clone(),
            arguments: isolation.arguments.clone(),
            passed: vec![end.memory, end.wake],
            memory_max: isolation.memory_max,
        })?;
        Ok(Self { domain, process, stalled: None })
    }
}

impl Isolated {
    /// Starts the process. The calling thread must live as long as the function: the process dies with it.
    ///
    /// # Errors
    /// The memory or the process cannot be had.
    pub fn start(isolation: Isolation) -> Result<Self, IsolateError> {
        let running = Some(Running::start(&isolation)?);
        Ok(Self {
            isolation,
            running,
            back: Batch::new(),
            restarts: 0,
            lost: 0,
            retry_ns: 0,
            pause_ns: 0,
            looked_ns: 0,
            told: RefCell::default(),
        })
    }

    /// How often the process was started anew, or would have been.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Packets that were lost with a process: [`packet::BATCH`] for each at most, unless it could not be started anew.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Kills the process. The next call notices, and starts another.
    pub fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            running.process.kill();
        }
    }

    /// Takes what has come back; returns how many.
    fn collect(&mut self, ctx: &mut Context) -> usize {
        self.looked_ns = ctx.now_ns();
        let Some(running) = &mut self.running else { return 0 };
        let mut count = 0;
        // As many as there are slots: what a hostile function feeds in meanwhile waits for the next call.
        while count < running.domain.slots() && running.domain.receive(&mut self.back) > 0 {
            count += self.back.len();
            for mut packet in self.back.drain(..) {
                let gate = Gate::try_from(packet.egress().0).unwrap_or(Gate::MAX);
                packet.set_egress(PortId::NONE);
                ctx.send(gate, packet);
            }
        }
        if count > 0 || running.domain.in_flight() == 0 {
            running.stalled = None;
        }
        count
    }

    /// Whether the process is there and honest, and not hung; otherwise it is replaced. Asks the kernel, and so is not for
    /// every batch.
    fn check(&mut self, ctx: &mut Context) {
        let Some(running) = &mut self.running else { return self.restart(ctx) };
        let hung = running.domain.in_flight() > 0
            && running.stalled.get_or_insert_with(Instant::now).elapsed() > self.isolation.patience;
        if hung || running.domain.counters().faults.any() || running.domain.peer_gone() {
            self.replace(ctx);
        }
    }

    #[cold]
    fn replace(&mut self, ctx: &mut Context) {
        // It may only just have died: what it had finished is still there.
        self.collect(ctx);
        let Some(Running { domain, process, .. }) = self.running.take() else { return };
        // Kills it if it lives, and waits for its end.
        drop(process);
        let good = domain.counters().received > 0;
        let reclaimed = domain.reclaim();
        self.lose(reclaimed.lost as u64, ctx);
        self.restarts += 1;
        *self.told.get_mut() = Told::default();
        self.pause_ns = if good { 0 } else { (self.pause_ns * 2).clamp(BACK_OFF_NS.0, BACK_OFF_NS.1) };
        self.retry_ns = ctx.now_ns().saturating_add(self.pause_ns);
        self.restart(ctx);
        let mut unseen = reclaimed.unseen.into_iter();
        let mut batch = Batch::new();
        loop {
            let room = batch.room();
            batch_extend(&mut batch, unseen.by_ref().take(room));
            let Some(running) = self.running.as_mut().filter(|_| !batch.is_empty()) else { break };
            // A new domain has a slot for each that the old one had.
            if running.domain.send(&mut batch) == 0 {
                break;
            }
        }
        self.lose((batch.len() + unseen.len()) as u64, ctx);
    }

    fn restart(&mut self, ctx: &Context) {
        if ctx.now_ns() < self.retry_ns {
            return;
        }
        self.running = Running::start(&self.isolation).ok();
        if self.running.is_none() {
            self.retry_ns = ctx.now_ns().saturating_add(BACK_OFF_NS.1);
        }
    }

    fn lose(&mut self, packets: u64, ctx: &mut Context) {
        self.lost += packets;
        ctx.count(Cause::KILLED, packets);
    }

    /// Waits until the process keeps no packet.
    fn settle(&mut self, ctx: &mut Context) {
        while self.held() > 0 {
            self.wait(ctx);
        }
    }

    /// Asks the process for its report, and waits for it up to `limit`; not at all for one that still owes an answer.
    fn ask(&self, question: Question, limit: Duration) {
        let Some(running) = &self.running else { return };
        let mut told = self.told.borrow_mut();
        if told.owes && question == Question::Report {
            told.hear(&running.domain, Duration::ZERO);
        }
        if !told.owes || question == Question::Finish {
            running.domain.ask(question as u32);
            told.hear(&running.domain, limit);
        }
    }

    /// Sleeps a little, or until packets come back; then sees to the process.
    fn wait(&mut self, ctx: &mut Context) {
        if let Some(running) = &self.running {
            running.domain.wait(Duration::from_millis(10).min(self.isolation.patience));
        }
        if self.collect(ctx) == 0 {
            self.check(ctx);
        }
    }
}

fn batch_extend(batch: &mut Batch, packets: impl Iterator<Item = packet::Packet>) {
    // Callers have asked for the room.
    packets.for_each(|packet| drop(batch.push(packet)));
}

impl NetworkFunction for Isolated {
    fn gates(&self) -> Gate {
        self.isolation.gates
    }

    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        batch.iter_mut().for_each(|packet| packet.set_egress(PortId(gate.into())));
        // One that has packets is seen to when they are due back, and when it is waited for.
        let idle = self.collect(ctx) == 0 && self.held() == 0;
        if idle || self.running.as_ref().is_some_and(|running| running.domain.counters().faults.any()) {
            self.check(ctx);
        }
        loop {
            let Some(running) = &mut self.running else {
                self.lose(batch.len() as u64, ctx);
                return batch.clear();
            };
            running.domain.set_now_ns(ctx.now_ns());
            running.domain.send(batch);
            if batch.is_empty() {
                break;
            }
            // All slots are lent: the function is slower than its packets, and whoever sends them waits for it.
            self.wait(ctx);
        }
        if self.isolation.in_step {
            self.settle(ctx);
        }
    }

    fn deadline_ns(&self) -> Option<u64> {
        (self.held() > 0).then(|| self.looked_ns.saturating_add(LOOK_NS))
    }

    fn expire(&mut self, ctx: &mut Context) {
        if self.collect(ctx) == 0 {
            self.check(ctx);
        }
    }

    fn held(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.domain.in_flight())
    }

    fn finish(&mut self, ctx: &mut Context) {
        self.settle(ctx);
        self.ask(Question::Finish, self.isolation.patience);
    }

    fn report(&self, report: &mut Report) {
        self.ask(Question::Report, REPORT_WAIT);
        told::add(&self.told.borrow().report, &OWN_COUNTERS, report);
        let dropped = self.running.as_ref().map(|running| running.domain.counters().dropped);
        let own = [Some(self.restarts), Some(self.lost), dropped];
        for (name, count) in OWN_COUNTERS.into_iter().zip(own) {
            count.into_iter().for_each(|count| report.counter(name, count));
        }
    }
}
