//! What a stage asks of the process with one thread, which is the example `launch`: both read this file.

use std::path::PathBuf;

use host::{ContainerSpec, ProcessId, StopOptions};
use serde::{Deserialize, Serialize};

/// Containers to launch; each answer is a place in `specs` and what became of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct LaunchRequest {
    /// A process of the deployment, to join its user namespace. Without one a rootless launch makes a user namespace
    /// that lives as long as its containers.
    pub(crate) member: Option<ProcessId>,
    /// The containers.
    pub(crate) specs: Vec<ContainerSpec>,
    /// The name of one that finds nobody at the other end of its interface.
    pub(crate) unattached: Option<String>,
}

/// Containers to stop; each answer is what became of one.
#[derive(Serialize, Deserialize)]
pub(crate) struct StopRequest {
    /// The deployment's state directory.
    pub(crate) state: PathBuf,
    /// Names of the containers; all that left a trace when absent.
    pub(crate) names: Option<Vec<String>>,
    /// How.
    pub(crate) options: StopOptions,
}
