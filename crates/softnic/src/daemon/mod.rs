//! The dataplane process: an engine that carries a container network, driven over a Unix socket.
//!
//! ```text
//!   in1 ─┐                 ┌─ out1          one PortIn and one PortOut per attached interface;
//!   in2 ─┼─▶ fabric ───────┼─ out2          gate N of the fabric leads to port N
//!   in3 ─┘    │ ▲ │ ▲     └─ out3
//!             ▼ │ ▼ │
//!          function0 …                    one module per instance of a network function, both ways
//! ```
//!
//! One worker runs all of it, asleep when nothing moves. Control calls (gRPC, `weft.dataplane.v1.Dataplane`)
//! change the graph and the network program between two batches; the process that makes them may come and go.

mod client;
mod dataplane;
mod functions;
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
mod proto {
    tonic::include_proto!("weft.dataplane.v1");
}
mod service;
mod watch;

use serde::{Deserialize, Serialize};

use crate::engine::{PortSnapshot, WorkerSnapshot};
use crate::fabric;

pub use client::{Client, DaemonError, Device, PacketDevice, Readiness, RotationState, TapDevice};
pub use service::serve;

/// Everything a dataplane process counts, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When, in nanoseconds of the machine's monotonic clock.
    pub at_ns: u64,
    /// What the network did.
    pub fabric: fabric::Counters,
    /// The interfaces.
    pub ports: Vec<PortSnapshot>,
    /// The workers.
    pub workers: Vec<WorkerSnapshot>,
}

impl Snapshot {
    /// The share of the time since an earlier snapshot in which the busiest worker was at work, 0 to 1.
    pub fn busy_since(&self, before: &Self) -> f64 {
        let elapsed = self.at_ns.saturating_sub(before.at_ns).max(1);
        let busy = |worker: &WorkerSnapshot| {
            let earlier =
                before.workers.iter().find(|old| old.index == worker.index).map_or(0, |old| old.cpu_ns);
            worker.cpu_ns.saturating_sub(earlier) as f64 / elapsed as f64
        };
        self.workers.iter().map(busy).fold(0.0, f64::max).min(1.0)
    }
}
