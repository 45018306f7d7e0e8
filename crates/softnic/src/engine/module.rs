//! What a module is: the trait, and what it tells the engine about itself.

use std::any::Any;
use std::os::fd::BorrowedFd;

use packet::Batch;

use super::{Attribute, Context, Place};

/// The number of one of a module's gates. Input and output gates are numbered apart, each from 0.
pub type Gate = u16;

/// The most input gates, and the most output gates, that a module may have (BESS: gates 0 to 8191).
pub const GATES_MAX: Gate = 8192;

/// The most tasks that one module may have.
pub const TASKS_MAX: usize = 64;

/// A node of the graph: takes packets in at input gates, lets packets out at output gates.
///
/// A module belongs to exactly one worker at a time, so everything here has `&mut self` and needs no lock. Three
/// ways lead in: [`process`](Module::process) for packets from other modules, [`run`](Module::run) for tasks
/// (what brings packets into the graph), [`expire`](Module::expire) for time. In all three, packets leave through
/// the [`Context`].
///
/// ```
/// use packet::Batch;
/// use softnic::engine::{Context, Gate, Module};
///
/// /// Lets frames of at most `limit` bytes pass to gate 0, longer ones to gate 1.
/// struct LengthSplit {
///     limit: usize,
/// }
///
/// impl Module for LengthSplit {
///     fn class(&self) -> &'static str {
///         "LengthSplit"
///     }
///
///     fn outputs(&self) -> Gate {
///         2
///     }
///
///     fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
///         for packet in batch.drain(..) {
///             ctx.emit(Gate::from(packet.len() > self.limit), packet);
///         }
///     }
/// }
/// ```
pub trait Module: Any + Send {
    /// The name of its class, as in `show` (`Sink`, `PortIn`).
    fn class(&self) -> &'static str;

    /// How many input gates it has; asked once, when it is added.
    fn inputs(&self) -> Gate {
        1
    }

    /// How many output gates it has; asked once, when it is added.
    fn outputs(&self) -> Gate {
        1
    }

    /// Takes packets that came in at `gate`.
    ///
    /// A packet goes on by [`Context::emit`] or [`Context::emit_batch`], or stays in `batch` and goes on with the
    /// rest of it by [`Context::forward`], which is the cheapest way since the batch then never moves. What is
    /// left in `batch` without a `forward` is dropped and counted.
    fn process(&mut self, _ctx: &mut Context<'_>, _gate: Gate, _batch: &mut Batch) {}

    /// Whether the packets of a batch that [`process`](Module::process) forwards whole are the ones that came in, each as
    /// long as before; asked once, when it is added. Then their bytes need not be counted again.
    fn keeps_lengths(&self) -> bool {
        false
    }

    /// How many tasks it has, at most [`TASKS_MAX`]; asked once, when it is added.
    fn tasks(&self) -> usize {
        0
    }

    /// Runs one turn of a task, which may bring up to [`Context::budget`] packets into the graph. `batch` comes in
    /// empty; packets leave as in [`process`](Module::process).
    fn run(&mut self, _ctx: &mut Context<'_>, _task: usize, _batch: &mut Batch) -> Ran {
        Ran { packets: 0, bytes: 0, next: Next::Finished }
    }

    /// How the worker learns that an idle task has work again; asked once, when the module is added.
    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Poll
    }

    /// Whether it uses [`deadline_ns`](Module::deadline_ns); asked once, when it is added.
    fn timed(&self) -> bool {
        false
    }

    /// Whether it uses [`tend`](Module::tend); asked once, when it is added.
    fn tended(&self) -> bool {
        false
    }

    /// Sees to what is not a packet, such as a new client of a port, while its worker is paused: every
    /// [`TEND_NS`](super::TEND_NS) or so.
    fn tend(&mut self) {}

    /// When it wants [`expire`](Module::expire) to be called, on the clock of [`Context::now_ns`].
    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    /// Whether the deadline that it gives now is to be met within microseconds, rather than as late as a thread wakes up. Its worker
    /// wakes up earlier then, and waits awake for what is left, some tens of microseconds.
    fn exact(&self) -> bool {
        false
    }

    /// Its deadline has passed. It must move its deadline, or it is called again in the next round.
    fn expire(&mut self, _ctx: &mut Context<'_>) {}

    /// The metadata attributes that it uses, at most [`ATTRIBUTES_MAX`](super::ATTRIBUTES_MAX); asked once, when it is
    /// added.
    fn attributes(&self) -> Vec<Attribute> {
        Vec::new()
    }

    /// Learns where its attributes lie, in the order of [`attributes`](Module::attributes): when it is added, and
    /// whenever a change of the graph moves one of them.
    fn place(&mut self, _places: &[Place]) {}

    /// What it has learnt from packets, such as flows, for another module of its class that was made with the same argument,
    /// in another process of this machine. `None` where nothing is lost that matters. Its packets are not among it.
    fn save(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Takes over what another module has [saved](Module::save); how much of it has no place here.
    ///
    /// # Errors
    /// What is wrong with it; it comes from another process, perhaps of another version.
    fn restore(&mut self, _saved: &[u8]) -> Result<usize, String> {
        Err("it takes nothing over".to_owned())
    }

    /// Packets that it keeps inside, between calls.
    fn held(&self) -> usize {
        0
    }

    /// One line on its state for people, such as a port's last error; empty when there is nothing to say.
    fn status(&self) -> String {
        String::new()
    }
}

/// What a task's turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Packets brought into the graph: what a traffic class is charged.
    pub packets: u32,
    /// Their bytes: where they leave as one batch, its gates count by this.
    pub bytes: u64,
    /// What the task wants next.
    pub next: Next,
}

impl Ran {
    /// A turn that brought in `packets` packets of `bytes` bytes and may find more in the next turn.
    pub fn more(packets: usize, bytes: u64) -> Self {
        Self { packets: packets as u32, bytes, next: Next::More }
    }

    /// A turn that found nothing.
    pub fn idle() -> Self {
        Self { packets: 0, bytes: 0, next: Next::Idle }
    }

    /// A turn after which the task will never have work again.
    pub fn finished() -> Self {
        Self { packets: 0, bytes: 0, next: Next::Finished }
    }
}

/// What a task wants after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another turn.
    More,
    /// A turn when it is ready again, see [`Readiness`].
    Idle,
    /// No more turns, until somebody calls [`Context::wake`] for it.
    Finished,
}

/// How a worker learns that an idle task has work again.
#[derive(Debug)]
pub enum Readiness<'a> {
    /// The descriptor polls readable.
    Fd(BorrowedFd<'a>),
    /// The module calls [`Context::wake`].
    Signal,
    /// By asking the task: on every round while the worker is busy, else ever more rarely, every
    /// [`POLL_MAX_NS`](super::POLL_MAX_NS) at the longest.
    Poll,
}
