//! Edits: several changes of a graph that take effect together.

use std::time::Duration;

use super::classes::{ClassError, ClassOp, Parent};
use super::traffic::Policy;
use super::{ATTRIBUTE_SIZE_MAX, ATTRIBUTES_MAX, GATES_MAX, Gate, Module, ModuleSnapshot, TASKS_MAX};

/// The most modules that an engine holds.
pub const MODULES_MAX: usize = 1 << 20;

/// Changes of a graph, in order. [`Engine::apply`](super::Engine::apply) makes all of them between two batches, or
/// none.
///
/// ```
/// use softnic::engine::{Edit, Engine, WorkerConfig};
/// use softnic::modules::{NoOp, Sink};
///
/// let engine = Engine::new();
/// let worker = engine.add_worker(WorkerConfig::default())?;
/// engine.apply(Edit::new().add("a", NoOp, worker).add("sink", Sink::new(), worker).connect("a", 0, "sink", 0))?;
/// // A module put in between, without a moment in which packets could be lost:
/// engine.apply(Edit::new().add("b", NoOp, worker).connect("b", 0, "sink", 0).rewire("a", 0, "b", 0))?;
/// assert_eq!(engine.snapshot().module("a").unwrap().outputs[0].to, Some(("b".into(), 0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct Edit {
    pub(crate) ops: Vec<Op>,
}

/// One change.
pub(crate) enum Op {
    Add { name: String, module: Box<dyn Module>, worker: usize },
    Remove { name: String },
    Move { name: String, worker: usize },
    Connect { from: String, output: Gate, to: String, input: Gate, replace: bool },
    Disconnect { from: String, output: Gate },
    Class(ClassOp),
}

impl Edit {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a module and gives it to a worker.
    pub fn add(self, name: impl Into<String>, module: impl Module, worker: usize) -> Self {
        self.add_boxed(name, Box::new(module), worker)
    }

    /// As [`Edit::add`].
    pub fn add_boxed(mut self, name: impl Into<String>, module: Box<dyn Module>, worker: usize) -> Self {
        self.ops.push(Op::Add { name: name.into(), module, worker });
        self
    }

    /// Takes a module out, with all its connections. It comes back in [`Applied::removed`].
    pub fn remove(mut self, name: impl Into<String>) -> Self {
        self.ops.push(Op::Remove { name: name.into() });
        self
    }

    /// Gives a module to another worker.
    pub fn move_to(mut self, name: impl Into<String>, worker: usize) -> Self {
        self.ops.push(Op::Move { name: name.into(), worker });
        self
    }

    /// Leads an output gate, which leads nowhere so far, to an input gate.
    pub fn connect(
        mut self,
        from: impl Into<String>,
        output: Gate,
        to: impl Into<String>,
        input: Gate,
    ) -> Self {
        self.ops.push(Op::Connect { from: from.into(), output, to: to.into(), input, replace: false });
        self
    }

    /// Leads an output gate to an input gate, wherever it led before.
    ///
    /// Packets that wait in a ring further down the old way come out by it. Where both ways meet again, those of the new one
    /// may overtake them, unless the edit also closes the old way, by `remove` or `disconnect` of what it leads through.
    pub fn rewire(
        mut self,
        from: impl Into<String>,
        output: Gate,
        to: impl Into<String>,
        input: Gate,
    ) -> Self {
        self.ops.push(Op::Connect { from: from.into(), output, to: to.into(), input, replace: true });
        self
    }

    /// Lets an output gate lead nowhere.
    pub fn disconnect(mut self, from: impl Into<String>, output: Gate) -> Self {
        self.ops.push(Op::Disconnect { from: from.into(), output });
        self
    }

    /// Adds a traffic class, as [`Engine::add_class`](super::Engine::add_class).
    pub fn add_class(mut self, name: impl Into<String>, policy: Policy, parent: Parent) -> Self {
        self.ops.push(Op::Class(ClassOp::Add { name: name.into(), policy, parent }));
        self
    }

    /// Gives a task a place among the traffic classes, as [`Engine::attach_task`](super::Engine::attach_task).
    pub fn attach_task(mut self, module: impl Into<String>, task: usize, parent: Parent) -> Self {
        self.ops.push(Op::Class(ClassOp::Attach { module: module.into(), task, parent }));
        self
    }
}

/// An edit that is done.
#[derive(Default)]
pub struct Applied {
    /// The modules that were taken out.
    pub removed: Vec<Removed>,
    /// How long each worker concerned could not run packets.
    pub stalls: Vec<Duration>,
    /// Packets that waited in a ring for a module that is gone.
    pub lost: u64,
}

/// A module that was taken out of the graph.
pub struct Removed {
    /// The name that it had.
    pub name: String,
    /// The module itself, with what it holds.
    pub module: Box<dyn Module>,
    /// Its last counts.
    pub counts: ModuleSnapshot,
}

/// Why an edit was refused; nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Two modules of one name.
    #[error("there is a module `{0}` already")]
    NameTaken(String),
    /// No module has the name.
    #[error("there is no module `{0}`")]
    NoModule(String),
    /// No worker has the number.
    #[error("there is no worker {worker} for module `{module}`: there are {workers}")]
    NoWorker {
        /// The module.
        module: String,
        /// The number.
        worker: usize,
        /// How many workers there are.
        workers: usize,
    },
    /// A module has no such output gate.
    #[error("module `{module}` ({class}) has no output gate {gate}: it has {gates}")]
    NoOutput {
        /// The module.
        module: String,
        /// Its class.
        class: &'static str,
        /// The gate.
        gate: Gate,
        /// How many it has.
        gates: Gate,
    },
    /// A module has no such input gate.
    #[error("module `{module}` ({class}) has no input gate {gate}: it has {gates}")]
    NoInput {
        /// The module.
        module: String,
        /// Its class.
        class: &'static str,
        /// The gate.
        gate: Gate,
        /// How many it has.
        gates: Gate,
    },
    /// The output gate leads somewhere already.
    #[error("output gate {gate} of `{module}` is connected to `{to}` already")]
    Connected {
        /// The module.
        module: String,
        /// The gate.
        gate: Gate,
        /// Where it leads.
        to: String,
    },
    /// The output gate leads nowhere.
    #[error("output gate {gate} of `{module}` is not connected")]
    NotConnected {
        /// The module.
        module: String,
        /// The gate.
        gate: Gate,
    },
    /// A module declares more gates than there may be.
    #[error("module `{module}` wants {gates} gates on one side: at most {GATES_MAX} are possible")]
    TooManyGates {
        /// The module.
        module: String,
        /// How many it wants.
        gates: Gate,
    },
    /// A module declares more tasks than it may have.
    #[error("module `{module}` wants {tasks} tasks: at most {TASKS_MAX} are possible")]
    TooManyTasks {
        /// The module.
        module: String,
        /// How many it wants.
        tasks: usize,
    },
    /// A module uses more attributes than it may.
    #[error("module `{module}` uses {attributes} metadata attributes: at most {ATTRIBUTES_MAX} are possible")]
    TooManyAttributes {
        /// The module.
        module: String,
        /// How many it uses.
        attributes: usize,
    },
    /// A module uses an attribute twice, or one without a name, or one that is too long.
    #[error(
        "module `{module}` uses metadata attribute `{attribute}` of {size} bytes: an attribute has a name, \
         1 to {ATTRIBUTE_SIZE_MAX} bytes, and is named once"
    )]
    Attribute {
        /// The module.
        module: String,
        /// The attribute.
        attribute: String,
        /// Its size.
        size: u8,
    },
    /// The engine is full.
    #[error("no room for module `{0}`: an engine holds {MODULES_MAX}")]
    TooManyModules(String),
    /// A module was added and removed, or removed and moved, in one edit.
    #[error("module `{0}` is added and removed in one edit")]
    Fleeting(String),
    /// A change of the traffic classes is impossible.
    #[error(transparent)]
    Class(#[from] ClassError),
}
