//! The engine: modules joined into a graph, run by workers, changed while packets flow.
mod clock;
mod commit;
mod context;
mod control;
mod edge;
mod edit;
mod executor;
mod mailbox;
mod model;
mod module;
mod node;
mod scheduler;
mod snapshot;
mod worker;

pub use clock::monotonic_ns;
pub use context::Context;
pub use control::{CommandError, Engine, PortsError, WORKERS_MAX, WorkerError};
pub use edge::RING_BATCHES;
pub use edit::{Applied, Edit, EditError, MODULES_MAX, Removed};
pub use executor::{HOPS_MAX, TURN_CALLS_MAX};
pub use module::{GATES_MAX, Gate, Module, Next, Ran, Readiness, TASKS_MAX};
pub use snapshot::{GateSnapshot, ModuleSnapshot, PortSnapshot, Snapshot, WorkerSnapshot};
pub use worker::{POLL_MAX_NS, WorkerConfig};
