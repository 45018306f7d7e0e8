//! Traffic classes as others see them: where they stand, what they are, what they have used, what is refused.
//!
//! The tree itself is in [`traffic`](super::traffic), one for each worker. Here is the control side's picture of all of
//! them ([`roster`]), on which changes are tried out, and the engine's methods ([`control`]).

mod control;
mod orders;
mod roster;

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::traffic::{Policy, Usage};
pub(crate) use orders::ClassOp;
pub(crate) use roster::{Changes, Nature, Roster};

/// The most classes that an engine holds, besides the leaves that tasks have.
pub const CLASSES_MAX: usize = 1 << 16;

/// The most classes on a way from a root to a leaf, both included: bounds what a turn costs.
pub const CLASS_DEPTH_MAX: usize = 64;

/// Where a class or a task is to stand.
///
/// ```
/// use softnic::engine::{Edit, Engine, Parent, Policy, Resource, WorkerConfig};
/// # use packet::{Pool, PoolConfig};
/// # use softnic::modules::{Sink, Source};
///
/// let engine = Engine::new();
/// let worker = engine.add_worker(WorkerConfig::default())?;
/// # let pool = Pool::new(PoolConfig::default())?;
/// # let edit = Edit::new().add("sink", Sink::new(), worker).add("source", Source::new(pool, &[0; 60]), worker);
/// # engine.apply(edit.connect("source", 0, "sink", 0))?;
/// engine.add_class("all", Policy::Priority, Parent::worker(worker))?;
/// let limit = Policy::RateLimit { resource: Resource::Bit, limit: 1_000_000_000, max_burst: 0 };
/// engine.add_class("bulk", limit, Parent::class("all").priority(7))?;
/// engine.attach_task("source", 0, Parent::class("bulk"))?;
/// assert!(engine.class_stats("bulk")?.usage.bits <= 1_000_000_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    /// At the top of a worker.
    Worker(usize),
    /// Under a class.
    Class {
        /// The class.
        name: String,
        /// How it stands to its siblings there.
        rank: Rank,
    },
}

impl Parent {
    /// At the top of a worker.
    pub fn worker(worker: usize) -> Self {
        Self::Worker(worker)
    }

    /// Under a class, as all others there.
    pub fn class(name: impl Into<String>) -> Self {
        Self::Class { name: name.into(), rank: Rank::Equal }
    }

    /// Under a priority class: before those with higher numbers.
    #[must_use]
    pub fn priority(self, priority: u32) -> Self {
        self.ranked(Rank::Priority(priority))
    }

    /// Under a weighted-fair class: in proportion to those of the others.
    #[must_use]
    pub fn share(self, share: u32) -> Self {
        self.ranked(Rank::Share(share))
    }

    fn ranked(self, rank: Rank) -> Self {
        match self {
            Self::Worker(worker) => Self::Worker(worker),
            Self::Class { name, .. } => Self::Class { name, rank },
        }
    }
}

/// How a class stands to its siblings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rank {
    /// As all others: under a round robin, a rate limit, or at the top.
    #[default]
    Equal,
    /// Under a priority class; the lowest number comes first, and no two are equal.
    Priority(u32),
    /// Under a weighted-fair class; at least 1.
    Share(u32),
}

/// What a class is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClassKind {
    /// One with children.
    Inner(Policy),
    /// One with a task.
    Leaf {
        /// The module.
        module: String,
        /// Which of its tasks.
        task: usize,
    },
}

impl ClassKind {
    /// The name of its policy, as BESS has it.
    pub fn policy(&self) -> &'static str {
        match self {
            Self::Inner(policy) => policy.name(),
            Self::Leaf { .. } => "leaf",
        }
    }
}

/// A class at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassSnapshot {
    /// Its name.
    pub name: String,
    /// The class that it stands under; `None` for a root.
    pub parent: Option<String>,
    /// How it stands to its siblings.
    pub rank: Rank,
    /// The worker.
    pub worker: usize,
    /// What it is.
    pub kind: ClassKind,
    /// Whether nothing in it can run: no work, a limit reached, or back-pressure.
    pub blocked: bool,
    /// What it has used so far.
    pub usage: Usage,
}

/// What a class has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassStats {
    /// Turns, cycles, packets and bits so far, all of its children's included.
    pub usage: Usage,
    /// When that was.
    pub at: SystemTime,
}

/// Why a change of the classes was refused; nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassError {
    /// A class needs a name.
    #[error("a traffic class needs a name")]
    NoName,
    /// Names with a `!` in front are the engine's: `!default_rr_0`, `!leaf_source0:0`.
    #[error("traffic class `{0}`: names with a `!` in front belong to the engine")]
    Reserved(String),
    /// Two classes of one name.
    #[error("there is a traffic class `{0}` already")]
    NameTaken(String),
    /// No class has the name.
    #[error("there is no traffic class `{0}`")]
    NoClass(String),
    /// No class has the name under which another was to stand.
    #[error("there is no traffic class `{0}` to stand under")]
    NoParent(String),
    /// No module has the name.
    #[error("there is no module `{0}`")]
    NoModule(String),
    /// The module has no such task.
    #[error("module `{module}` has no task {task}: it has {tasks}")]
    NoTask {
        /// The module.
        module: String,
        /// The task.
        task: usize,
        /// How many it has.
        tasks: usize,
    },
    /// No worker has the number.
    #[error("there is no worker {0}")]
    NoWorker(usize),
    /// A leaf has a task and no children.
    #[error("traffic class `{0}` is a leaf: nothing stands under it")]
    UnderLeaf(String),
    /// A rate limit has one child, which it has already.
    #[error("rate limit `{parent}` has a child already, `{child}`")]
    OneChild {
        /// The rate limit.
        parent: String,
        /// Its child.
        child: String,
    },
    /// Children of a priority class have priorities.
    #[error("under `{0}` a priority is needed")]
    WantsPriority(String),
    /// No two children of a priority class have the same priority.
    #[error("under `{parent}` priority {priority} is `{child}`'s")]
    PriorityTaken {
        /// The priority class.
        parent: String,
        /// The priority.
        priority: u32,
        /// Who has it.
        child: String,
    },
    /// Children of a weighted-fair class have shares, of 1 at least.
    #[error("under `{0}` a share of at least 1 is needed")]
    WantsShare(String),
    /// A class cannot stand under itself, nor under what stands under it.
    #[error("traffic class `{class}` cannot stand under `{parent}`, which is part of it")]
    Circle {
        /// The class.
        class: String,
        /// Where it was to stand.
        parent: String,
    },
    /// Only the numbers of a policy can be changed.
    #[error("traffic class `{class}` is {policy}: that cannot be made {wanted}")]
    OtherPolicy {
        /// The class.
        class: String,
        /// Its policy.
        policy: &'static str,
        /// What it was to be.
        wanted: &'static str,
    },
    /// A tree that is too deep.
    #[error("traffic class `{0}` would stand too deep: {CLASS_DEPTH_MAX} on a way are possible")]
    TooDeep(String),
    /// The engine is full.
    #[error("no room for traffic class `{0}`: an engine holds {CLASSES_MAX}")]
    TooMany(String),
}
