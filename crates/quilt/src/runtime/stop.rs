//! Stopping: everything goes, however the deployment came to be as it is.

use std::collections::HashSet;
use std::time::Duration;

use host::ProcessId;

use super::store::{Deployment, Lock, Role};
use super::{RuntimeError, process};

/// How long containers get to end by themselves after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(2);

/// What stopping took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Containers that were there.
    pub containers: usize,
    /// Processes that no state file named, left by a command that was killed.
    pub strays: usize,
}

/// Stops a deployment and removes its state; named volumes are kept.
///
/// # Errors
/// When something would not go; calling again goes on from there.
pub fn stop(deployment: &Deployment, grace: Duration) -> Result<Stopped, RuntimeError> {
    let lock = deployment.lock()?;
    stop_locked(deployment, lock, grace)
}

pub(super) fn stop_locked(deployment: &Deployment, lock: Lock, grace: Duration) -> Result<Stopped, RuntimeError> {
    let containers = deployment.containers().containers()?;
    let carriers: Vec<ProcessId> = Role::ALL.iter().filter_map(|role| deployment.process(*role).ok().flatten()).collect();
    let inits = containers.iter().filter_map(|container| Some(container.status().ok()??.init));
    let known: HashSet<ProcessId> = inits.chain(carriers.iter().copied()).collect();
    // A launcher that was left behind would start more containers: it goes first.
    let strays: Vec<_> = process::marked(deployment).into_iter().filter(|process| !known.contains(process)).collect();
    let mut stuck = process::end(&strays);
    host::stop_many(&containers, grace)?;
    stuck.extend(process::end(&carriers));
    stuck.extend(process::end(&process::marked(deployment)));
    if let Some(process) = stuck.first() {
        return Err(RuntimeError::WouldNotEnd { pid: process.pid });
    }
    // Containers that a launcher made between our look and its end are in the state directory by now.
    let late = deployment.containers().containers()?;
    host::stop_many(&late, Duration::ZERO)?;
    deployment.remove(lock)?;
    Ok(Stopped { containers: containers.len(), strays: strays.len() })
}
