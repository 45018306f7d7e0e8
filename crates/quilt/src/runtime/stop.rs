//! Stopping: everything goes, however the deployment came to be as it is.

use std::time::Duration;

use host::{Container, Enter, ProcessId, Sandbox, StopOptions, helper};
use serde::{Deserialize, Serialize};

use super::RuntimeError;
use super::process::{self, RoleContext};
use super::store::{Deployment, Lock, Role};

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

/// Containers to stop.
#[derive(Debug, Serialize, Deserialize)]
struct StopOrder {
    names: Vec<String>,
    options: StopOptions,
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
    let strays = process::end_all(|| Ok(process::strays(deployment, &deployment.containers().containers()?)));
    stop_containers(deployment, &containers, grace)?;
    let stuck = process::end(&carriers);
    // What would not end must not keep the rest from ending.
    let strays = strays?;
    if let Some(process) = stuck.first() {
        return Err(RuntimeError::WouldNotEnd { pid: process.pid });
    }
    process::end_all(|| Ok(process::marked(deployment)))?;
    // Containers that a launcher made between our look and its end are in the state directory by now.
    let late = deployment.containers().containers()?;
    stop_containers(deployment, &late, Duration::ZERO)?;
    if let Some(failure) =
        host::cgroup::remove_all(deployment.name(), deployment.directory()).into_iter().next()
    {
        return Err(RuntimeError::Host(host::Error::Message(failure)));
    }
    deployment.remove(lock)?;
    Ok(Stopped { containers: containers.len(), strays })
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
    if Sandbox::detect() == Sandbox::Root {
        return host::stop_many(containers, options)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(RuntimeError::from);
    }
    let order = StopOrder {
        names: containers.iter().map(|container| container.name().to_owned()).collect(),
        options,
    };
    let mut failed = Ok(());
    helper::call(&mut process::command(deployment, "__stop"), &order, |outcome: host::Result<()>| {
        if outcome.is_err() {
            failed = outcome;
        }
    })?;
    failed.map_err(RuntimeError::from)
}

/// What the hidden subcommand does: files of other users of the namespace are theirs to remove who are in it.
pub fn run(context: &RoleContext) {
    helper::serve(|order: StopOrder, answer: &dyn Fn(host::Result<()>)| -> Result<(), RuntimeError> {
        match context.deployment.holder() {
            Ok(Some(holder)) => context.sandbox.enter(holder, Enter::User)?,
            _ => context.sandbox.create_here()?,
        }
        let layout = context.deployment.containers();
        let containers: Vec<_> = order.names.iter().map(|name| layout.container(name)).collect();
        host::stop_many(&containers, order.options).into_iter().for_each(answer);
        Ok(())
    });
}
