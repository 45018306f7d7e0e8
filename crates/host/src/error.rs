//! What can go wrong, with the value at fault.

use std::fmt::Display;
use std::io;

use serde::{Deserialize, Serialize};

/// A failure of this crate. It is plain data, so that the child that builds a container can hand it
/// through a pipe to the process that asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// A system call failed.
    #[error("cannot {action} {subject}: {}", io::Error::from_raw_os_error(*errno))]
    System {
        /// What was being done, as a verb phrase ("mount the overlay on").
        action: String,
        /// To what.
        subject: String,
        /// The kernel's error number.
        errno: i32,
    },
    /// The command of a container exists in no directory of its `PATH`.
    #[error("command `{command}` not found{}", searched(path))]
    MissingCommand {
        /// The command as it was written.
        command: String,
        /// The `PATH` that was searched; empty when the command holds a slash.
        path: String,
    },
    /// The command exists but cannot be run.
    #[error("command `{command}` cannot be run: {}", io::Error::from_raw_os_error(*errno))]
    UnrunnableCommand {
        /// The command as it was written.
        command: String,
        /// The kernel's error number (no permission, wrong format, …).
        errno: i32,
    },
    /// The user a container should run as is unknown in it.
    #[error("user `{0}` is not in the container's /etc/passwd and is no uid[:gid]")]
    UnknownUser(String),
    /// A specification holds a value that cannot be used.
    #[error("{field} `{value}` {reason}")]
    Invalid {
        /// Which field.
        field: String,
        /// Its value.
        value: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A container of this name already runs.
    #[error("container `{0}` already runs")]
    AlreadyRunning(String),
    /// The container to act upon does not run.
    #[error("container `{0}` does not run")]
    NotRunning(String),
    /// The process has more than one thread where the kernel wants exactly one.
    #[error("this must run in a process with one thread, and this one has {0}")]
    ManyThreads(usize),
    /// The process that was building the container died before it could say why.
    #[error("the process building container `{0}` died during: {1}")]
    Died(String, String),
    /// Nobody was there for the other end of the container's interface.
    #[error("cannot attach its network: {0}")]
    Attach(String),
    /// User namespaces cannot be made here.
    #[error("cannot make a user namespace: {reason}. {advice}")]
    NoUserNamespace {
        /// What the kernel said.
        reason: String,
        /// What to change.
        advice: String,
    },
    /// What a helper said that could not do its work, or that it died.
    #[error("{0}")]
    Helper(String),
    /// A filter of system calls could not be made or installed.
    #[error("cannot filter system calls: {0}")]
    Seccomp(String),
    /// A message between a helper and its caller could not be read.
    #[error("malformed message: {0}")]
    Message(String),
}

fn searched(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" in {path}") }
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kernel's error number, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::System { errno, .. } | Self::UnrunnableCommand { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    pub(crate) fn invalid(field: &str, value: impl Display, reason: &str) -> Self {
        Self::Invalid { field: field.into(), value: value.to_string(), reason: reason.into() }
    }
}

/// Turns an I/O error into one that says what was being done.
pub(crate) trait During<T> {
    /// `action` is a verb phrase, `subject` what it was done to.
    fn during(self, action: &str, subject: impl Display) -> Result<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, action: &str, subject: impl Display) -> Result<T> {
        self.map_err(|error| Error::System {
            action: action.into(),
            subject: subject.to_string(),
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        })
    }
}

impl<T> During<T> for rustix::io::Result<T> {
    fn during(self, action: &str, subject: impl Display) -> Result<T> {
        self.map_err(|error| Error::System {
            action: action.into(),
            subject: subject.to_string(),
            errno: error.raw_os_error(),
        })
    }
}
