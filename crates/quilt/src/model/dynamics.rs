//! What happens to containers over time: when one counts as ready, and how many are replaced at once.

use serde::{Deserialize, Serialize};

/// How it is found out whether a container does its work: as its init has it.
pub use host::{HealthSpec as Health, Probe};

/// How long a container may take from its start until it is ready, in milliseconds, unless it says otherwise.
pub const READY_WITHIN_MS: u32 = 60_000;

/// How the members of a service are replaced: a batch at a time, each taken out of rotation before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Members replaced at the same time.
    pub batch: u32,
    /// Pause after a batch is ready, in milliseconds.
    pub pause_ms: u32,
    /// How long connections of a member may go on once it gets no new ones, in milliseconds.
    pub drain_ms: u32,
}

impl Default for Update {
    fn default() -> Self {
        Self { batch: 1, pause_ms: 0, drain_ms: 10_000 }
    }
}
