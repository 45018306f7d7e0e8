//! The engine: modules joined into a graph, run by workers, changed while packets flow.
//!
//! ```text
//!   control threads                       worker (one thread, pinned)
//!   ┌────────┐  Edit, command, snapshot   ┌──────────────────────────────────────────────┐
//!   │ Engine │ ─────────► mailbox ──────► │ scheduler ─► task's turn ─► stack of batches │
//!   └────────┘ ◄───────── answer ──────── │     ▲                        │   module …    │
//!                                         │   epoll: ports that wait     ▼   module …    │
//!                                         └────────────────────────────── ring ──────────┘─► other worker
//! ```
//!
//! # Decisions, and why
//!
//! **A module has one owner.** Everything a packet meets is `&mut`: no lock, no atomic operation, no reference count
//! between the port and the port. Counters are plain integers in the worker's memory. Whoever wants to read or change
//! something sends the worker a message, which it reads between two batches; there is no state that a control
//! thread and a worker touch at the same time. The price is that an answer takes as long as the turn under way.
//!
//! **A batch stays where it is.** A module that changes packets in place says [`Context::forward`] and the executor
//! calls the next one with the same batch; nothing is moved. [`Context::emit_batch`] goes through the work list and
//! swaps 264 bytes twice, [`Context::emit`] moves packets one by one. The README has the three side by side, from
//! `cargo bench -p softnic --bench graph`.
//!
//! **Depth first, by a stack.** A work list instead of calls from module to module: graphs may loop, and a module's
//! code never runs inside another's, so a panic leaves one module broken and not a chain of them. First out of a
//! module is first through the rest of the graph, which keeps the order of packets on every path.
//! [`HOPS_MAX`] and [`TURN_CALLS_MAX`] bound loops.
//!
//! **Edits meet, workers do not wait for the editor.** The workers that an edit concerns stop between two batches, lay
//! what changes hands on a table, and the last to come deals it out. One worker alone never waits. Rings that an
//! edit retires are emptied through the new graph, downstream ones first, so that nothing is lost and nothing overtakes.
//!
//! **Level-triggered epoll, registered once.** An idle task costs nothing; falling asleep and waking cost no system
//! call but `epoll_wait`. Edge-triggered interest would save the repeated reports of busy ports but loses the wake-up
//! of a port that could not be read for want of buffers; one-shot interest costs an `epoll_ctl` for every sleep.
//!
//! # Seams
//!
//! Traffic classes: `scheduler::Scheduler` decides whose turn it is and is told what each turn cost. Hooks on gates: every
//! batch passes `node::Output::pass`, where it is counted. Named commands: [`Engine::command`] runs any closure on a
//! module of a known type. Restart of broken modules: `executor::Executor::fail` is the one place where a panic is seen.
//!
//! # Limits
//!
//! A module that does not return holds up its worker, and every edit or question that concerns the worker.

mod attribute;
mod backpressure;
mod classes;
mod clock;
mod commit;
mod context;
mod control;
mod edge;
mod edit;
mod executor;
mod hook;
mod mailbox;
mod model;
mod module;
mod node;
#[cfg(test)]
mod rig;
mod scheduler;
mod snapshot;
#[cfg(test)]
pub(crate) mod stand;
mod traffic;
mod worker;
mod workers;

pub use attribute::{ATTRIBUTE_SIZE_MAX, ATTRIBUTES_MAX, Access, Attribute, Place};
pub use classes::{
    CLASS_DEPTH_MAX, CLASSES_MAX, ClassError, ClassKind, ClassSnapshot, ClassStats, Parent, Rank,
};
pub use clock::monotonic_ns;
pub use context::Context;
pub use control::{CommandError, Engine, PortsError, QueuePair};
pub use edge::RING_BATCHES;
pub use edit::{Applied, Edit, EditError, MODULES_MAX, Removed};
pub use executor::{HOPS_MAX, TURN_CALLS_MAX};
pub use hook::{GateHook, HOOKS_MAX, HookError, Side};
pub use module::{GATES_MAX, Gate, Module, Next, Ran, Readiness, TASKS_MAX};
#[cfg(test)]
pub(crate) use rig::{Left, Rig};
pub use snapshot::{
    AttributeSnapshot, GateSnapshot, ModuleLinks, ModuleSnapshot, PortSnapshot, Snapshot, WorkerSnapshot,
};
pub use traffic::{PACKET_OVERHEAD_BYTES, Policy, Resource, Usage};
pub use worker::{POLL_MAX_NS, WorkerConfig};
pub use workers::{WORKERS_MAX, WorkerError};
