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
//! **Bytes are counted once.** Every gate counts packets and bytes, and to sum a batch's lengths costs more than all else that
//! the engine does for a hop. So the sum goes along with the batch, until a module that may change lengths has had it
//! ([`Module::keeps_lengths`]). Chains are not fused beyond that: `docs/fusing.md` has what was measured.
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
//! **Classes are keys in heaps.** Whose turn it is says a tree of traffic classes, one for each worker, whose policies differ
//! in nothing but the key by which children that can run stand in their parent's heap; see `traffic`. Idle tasks stand
//! in no heap, so a thousand of them cost a busy one nothing. A turn is charged once it has ended, to all classes above the
//! task, by one reading of the processor's counter, which gives the time too. Rings stand beside the tree and have every
//! other turn while they have packets, since what is in them has been paid for. A rate limit that is overdrawn blocks until
//! its debt is paid; when nothing else can run the worker sleeps until then, and what it oversleeps, up to 10 ms, is made good.
//!
//! **A full module holds back who feeds it.** [`Context::overload`] lets the tasks rest from which packets come straight to the
//! module. Within a worker that loses nothing; a ring to another worker is emptied whatever stands behind it.
//!
//! **Nothing needs a pause.** Workers can pause all the same ([`Engine::pause_worker`]), since BESS's clients want to. A paused
//! worker sleeps, reads its mail and takes part in edits.
//!
//! # Seams
//!
//! Traffic classes: `scheduler::Scheduler` hands out turns and is told what each has cost; `traffic::Tree` is the tree, which
//! knows neither threads nor clocks; `classes` is the control side's picture. Hooks on gates: every
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
mod handover;
mod hook;
mod mailbox;
mod model;
mod module;
mod node;
#[cfg(test)]
pub(crate) mod rig;
mod scheduler;
mod snapshot;
mod trace;
mod traffic;
mod worker;
mod workers;

pub use attribute::{ATTRIBUTE_SIZE_MAX, ATTRIBUTES_MAX, Access, Attribute, Place};
pub use classes::{
    CLASS_DEPTH_MAX, CLASSES_MAX, ClassError, ClassKind, ClassSnapshot, ClassStats, Parent, Rank,
};
pub use clock::monotonic_ns;
pub(crate) use clock::realtime_ns;
pub use context::Context;
pub use control::{CommandError, Engine, PortsError, QueuePair};
pub use edge::RING_PACKETS;
pub use edit::{Applied, Edit, EditError, MODULES_MAX, Removed};
pub use executor::{HOPS_MAX, TURN_CALLS_MAX};
pub use hook::{GateHook, HOOKS_MAX, HookError, Side};
pub use module::{GATES_MAX, Gate, Module, Next, Ran, Readiness, TASKS_MAX};
#[cfg(test)]
pub(crate) use rig::{Left, Rig};
pub use snapshot::{
    AttributeSnapshot, GateSnapshot, ModuleLinks, ModuleSnapshot, PortSnapshot, Snapshot, WorkerSnapshot,
};
pub use trace::{TRACE_STEPS_MAX, Trace, TraceEnd, TraceError, TraceExit, TraceStep};
pub use traffic::{PACKET_OVERHEAD_BYTES, Policy, Resource, Usage};
pub use worker::{POLL_MAX_NS, TEND_NS, WorkerConfig};
pub use workers::{WORKERS_MAX, WorkerError};
