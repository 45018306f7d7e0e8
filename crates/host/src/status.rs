//! What a container does, as its init tells it and as it turns out to be.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::health::HealthStatus;
use crate::layout::Container;
use crate::process::ProcessId;

/// State of a container. The init writes it; [`Status::observe`] holds it against the living processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// Its init, process 1 of the container, as the host numbers it.
    pub init: ProcessId,
    /// Number of the command's process inside the container, while it runs.
    pub pid: Option<u32>,
    /// How the command last ended.
    pub exit: Option<Exit>,
    /// How often it was started again.
    pub restarts: u32,
    /// When the command last started, in milliseconds after 1970.
    pub started_ms: Option<u64>,
    /// When the command last ended, in milliseconds after 1970.
    pub ended_ms: Option<u64>,
    /// When it will be started again, in milliseconds after 1970.
    pub retry_ms: Option<u64>,
    /// Why it failed, in words.
    pub message: Option<String>,
    /// What its health checks have shown; absent without any, and while its command does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its namespaces, root and network are being made.
    Starting,
    /// Its command runs.
    Running,
    /// Its command ended and will be started again.
    Backoff,
    /// Its command ended for good.
    Exited,
    /// It could not be started, or its command failed more often than allowed.
    Failed,
    /// Its init is gone without having said so: it was killed. Never written, only observed.
    Lost,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// By returning this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended as it should.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code a shell would report: 128 + signal for a signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl Status {
    pub(crate) fn starting(init: ProcessId) -> Self {
        Self {
            state: State::Starting,
            init,
            pid: None,
            exit: None,
            restarts: 0,
            started_ms: None,
            ended_ms: None,
            retry_ms: None,
            message: None,
            health: None,
        }
    }

    /// Whether it does its work, as far as can be told: it runs, and if it has health checks, they succeed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let healthy = |health: &HealthStatus| health.state == crate::health::Health::Healthy;
        self.state == State::Running && self.health.as_ref().is_none_or(healthy)
    }

    /// The status of a container, corrected by whether its init lives.
    ///
    /// # Errors
    /// Its status file cannot be read.
    pub fn observe(container: &Container) -> crate::Result<Option<Self>> {
        let Some(mut status) = container.status()? else { return Ok(None) };
        if matches!(status.state, State::Starting | State::Running | State::Backoff)
            && !status.init.is_alive()
        {
            // It may have written its last word between the two looks.
            status = container.status()?.unwrap_or(status);
            if matches!(status.state, State::Starting | State::Running | State::Backoff) {
                status.state = State::Lost;
            }
        }
        Ok(Some(status))
    }

    /// Whether the container's init should be there.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Starting | State::Running | State::Backoff)
    }
}

/// Writes a container's status through a directory it can no longer name.
#[derive(Debug)]
pub(crate) struct StatusFile {
    directory: OwnedFd,
}

impl StatusFile {
    pub(crate) fn new(directory: OwnedFd) -> Self {
        Self { directory }
    }

    /// Replaces the status as a whole. A full disk must not end the container, so nothing is returned.
    pub(crate) fn write(&self, status: &Status) {
        let Ok(text) = serde_json::to_vec(status) else { return };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let directory = self.directory.as_fd();
        let written = rustix::fs::openat(directory, "status.json.new", flags, Mode::from_raw_mode(0o644))
            .and_then(|file| rustix::io::write(&file, &text));
        if written == Ok(text.len()) {
            let _ = rustix::fs::renameat(directory, "status.json.new", directory, "status.json");
        }
    }
}

/// Shows by a file in a directory of the deployment whether a container's health checks succeed. The file names the
/// init that wrote it, so that one which was left behind is not taken for its successor's.
#[derive(Debug)]
pub(crate) struct ReadyMark {
    directory: OwnedFd,
    name: String,
}

impl ReadyMark {
    pub(crate) fn new(directory: OwnedFd, name: &str) -> Self {
        Self { directory, name: name.into() }
    }

    pub(crate) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Sets the mark, or takes it away. On a full disk it cannot be set, and the container stays out of rotation.
    pub(crate) fn set(&self, ready: Option<ProcessId>) {
        let directory = self.directory.as_fd();
        let Some(init) = ready else {
            let _ = rustix::fs::unlinkat(directory, &*self.name, rustix::fs::AtFlags::empty());
            return;
        };
        let Ok(text) = serde_json::to_vec(&init) else { return };
        // No container's name begins with a dot.
        let draft = format!(".{}", self.name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let written = rustix::fs::openat(directory, &*draft, flags, Mode::from_raw_mode(0o644))
            .and_then(|file| rustix::io::write(&file, &text));
        if written == Ok(text.len()) {
            let _ = rustix::fs::renameat(directory, &*draft, directory, &*self.name);
        }
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
