//! Stopping: everything goes, however the deployment came to be as it is.

use std::time::Duration;

use host::helper::{Answer, Request};
use host::{Container, ProcessId, Sandbox, StopOptions};

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

pub(super) fn stop_locked(
    deployment: &Deployment,
    lock: Lock,
    grace: Duration,
) -> Result<Stopped, RuntimeError> {
    let containers = deployment.containers().containers()?;
    let carriers: Vec<ProcessId> =
        Role::ALL.iter().filter_map(|role| deployment.process(*role).ok().flatten()).collect();
    // A launcher that was left behind would start more containers: it goes first.
    let strays = process::strays(deployment, &containers);
    let mut stuck = process::end(&strays);
    stop_containers(deployment, &containers, grace)?;
    stuck.extend(process::end(&carriers));
    stuck.extend(process::end(&process::marked(deployment)));
    if let Some(process) = stuck.first() {
        return Err(RuntimeError::WouldNotEnd { pid: process.pid });
    }
    // Containers that a launcher made between our look and its end are in the state directory by now.
    let late = deployment.containers().containers()?;
    stop_containers(deployment, &late, Duration::ZERO)?;
    if let Some(failure) =
        host::cgroup::remove_all(deployment.name(), deployment.directory()).into_iter().next()
    {
        return Err(RuntimeError::Host(host::Error::Message(failure)));
    }
    deployment.remove(lock)?;
    Ok(Stopped { containers: containers.len(), strays: strays.len() })
}

/// Stops containers, all at once, and takes their traces away.
pub(super) fn stop_containers(
    deployment: &Deployment,
    containers: &[Container],
    grace: Duration,
) -> Result<(), RuntimeError> {
    if containers.is_empty() {
        return Ok(());
    }
    let options = StopOptions { grace, keep_logs: false };
    let sandbox = Sandbox::detect();
    if sandbox == Sandbox::Root {
        return host::stop_many(containers, options)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(RuntimeError::from);
    }
    // Files of other users of the namespace are theirs to remove who are in it.
    let request = Request::Stop {
        sandbox,
        member: deployment.holder().ok().flatten(),
        state: deployment.directory().to_owned(),
        names: Some(containers.iter().map(|container| container.name().to_owned()).collect()),
        options,
    };
    let mut failed = Ok(());
    host::helper::call(&mut process::command(deployment, "__host"), &request, |answer| {
        if let Answer::Stopped(_, Err(error)) = answer {
            failed = Err(error);
        }
    })?;
    failed.map_err(RuntimeError::from)
}
