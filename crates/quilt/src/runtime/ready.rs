//! Whether a container does its work, and what it said last.

use std::time::{Duration, Instant};

use host::{Exit, Health, HealthStatus, State, Status};

use super::RuntimeError;
use super::store::Deployment;
use crate::model::{Blueprint, READY_WITHIN_MS};

/// Pause between two looks at a container that is not ready.
pub(super) const PAUSE: Duration = Duration::from_millis(10);
/// Characters shown of a container's last line.
const LINE_CHARACTERS_MAX: usize = 200;

/// Whether a container does its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    /// Not yet, and why.
    NotYet(String),
    /// Nor will it be by waiting.
    Never(String),
}

/// Looks at a container: it is ready if its health checks succeed, or without any if it runs or has done its work.
pub(super) fn look(deployment: &Deployment, name: &str) -> Result<Readiness, RuntimeError> {
    let container = deployment.containers().container(name);
    let Some(status) = Status::observe(&container)? else {
        return Ok(Readiness::Never("it does not run".into()));
    };
    let message = status.message.clone().unwrap_or_else(|| "it could not be started".into());
    Ok(match (status.state, &status.health) {
        (State::Running, _) if status.is_ready() => Readiness::Ready,
        (State::Running, health) => Readiness::NotYet(health.as_ref().map_or("it starts".into(), unhealthy)),
        (State::Exited, _) if status.exit.is_some_and(Exit::success) => Readiness::Ready,
        (State::Starting, _) => Readiness::NotYet("it starts".into()),
        (State::Backoff, _) => Readiness::NotYet(format!("{}, again and again", ended(&status))),
        (State::Exited, _) => Readiness::Never(ended(&status)),
        (State::Failed, _) => Readiness::Never(message),
        (State::Lost, _) => Readiness::Never("it was killed".into()),
    })
}

fn ended(status: &Status) -> String {
    let code = status.exit.map_or(0, Exit::code);
    format!("its command ended with code {code}")
}

/// What health checks have shown, in words.
pub(super) fn unhealthy(health: &HealthStatus) -> String {
    let why = health.message.as_deref().map(|message| format!(" ({})", first_line(message)));
    let why = why.unwrap_or_default();
    match health.state {
        Health::Healthy => "healthy".into(),
        Health::Starting => format!("its health check does not succeed yet{why}"),
        Health::Unhealthy => format!("unhealthy, {} checks failed in a row{why}", health.failures),
    }
}

/// How long a container may take until it is ready.
pub(super) fn within(blueprint: &Blueprint, name: &str) -> Duration {
    let own = blueprint.container(name).and_then(|container| container.ready_within_ms);
    Duration::from_millis(own.unwrap_or(READY_WITHIN_MS).into())
}

/// A container that does not get ready.
#[derive(Clone, Debug)]
pub struct NotReady {
    /// Its name.
    pub name: String,
    /// How long it was waited for.
    pub waited: Duration,
    /// What it is instead.
    pub state: String,
    /// The last line that it wrote.
    pub last_line: Option<String>,
}

/// Waits until all of these are ready, at most as long as each may take from `since` on.
pub(super) fn wait(
    deployment: &Deployment,
    blueprint: &Blueprint,
    names: &[String],
    since: Instant,
) -> Result<Result<(), NotReady>, RuntimeError> {
    for name in names {
        loop {
            match judge(deployment, blueprint, name, since)? {
                Some(Err(not_ready)) => return Ok(Err(not_ready)),
                Some(Ok(())) => break,
                None => std::thread::sleep(PAUSE),
            }
        }
    }
    Ok(Ok(()))
}

/// Whether a container is ready, or it is time to give up; `None` if neither.
pub(super) fn judge(
    deployment: &Deployment,
    blueprint: &Blueprint,
    name: &str,
    since: Instant,
) -> Result<Option<Result<(), NotReady>>, RuntimeError> {
    let waited = since.elapsed();
    let state = match look(deployment, name)? {
        Readiness::Ready => return Ok(Some(Ok(()))),
        Readiness::NotYet(_) if waited < within(blueprint, name) => return Ok(None),
        Readiness::NotYet(state) | Readiness::Never(state) => state,
    };
    let last_line = last_line(deployment, name);
    Ok(Some(Err(NotReady { name: name.to_owned(), waited, state, last_line })))
}

fn last_line(deployment: &Deployment, name: &str) -> Option<String> {
    let lines = host::log::read(&deployment.containers().container(name)).ok()?;
    lines
        .iter()
        .rev()
        .map(|line| first_line(&String::from_utf8_lossy(&line.text)))
        .find(|line| !line.is_empty())
}

/// The first line of a text, without anything that a terminal would act on.
fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let plain = line.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LINE_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_told_in_words() {
        let health = |state, failures, message: Option<&str>| HealthStatus {
            state,
            failures,
            message: message.map(str::to_owned),
            changed_ms: 0,
        };
        assert_eq!(
            unhealthy(&health(Health::Unhealthy, 3, Some("\ncurl: \x1b[31mno\nmore"))),
            "unhealthy, 3 checks failed in a row (curl:  [31mno)"
        );
        assert_eq!(unhealthy(&health(Health::Starting, 0, None)), "its health check does not succeed yet");
    }
}
