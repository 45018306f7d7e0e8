//! Errors as BESS's clients know them: an errno and a sentence, inside the answer.

use std::fmt;

use rustix::io::Errno;

use super::pb;
use crate::engine::{CommandError, EditError, HookError, WorkerError};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// An errno, above 0.
    pub code: i32,
    /// What went wrong, for people.
    pub message: String,
}

impl Failure {
    /// Any errno.
    pub fn new(code: Errno, message: impl Into<String>) -> Self {
        Self { code: code.raw_os_error(), message: message.into() }
    }

    /// `EINVAL`: an argument is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Errno::INVAL, message)
    }

    /// `EINVAL`: a module does not take what it was given, and says why.
    pub fn refused(error: impl fmt::Display) -> Self {
        Self::invalid(error.to_string())
    }

    /// `ENOENT`: what was named is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Errno::NOENT, message)
    }

    /// `EEXIST`: the name is taken.
    pub fn exists(message: impl Into<String>) -> Self {
        Self::new(Errno::EXIST, message)
    }

    /// `EBUSY`: something still uses it.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(Errno::BUSY, message)
    }

    /// `ENOSPC`: a table is full.
    pub fn no_space(message: impl Into<String>) -> Self {
        Self::new(Errno::NOSPC, message)
    }

    /// `ENOMEM`: memory is not to be had.
    pub fn no_memory(message: impl Into<String>) -> Self {
        Self::new(Errno::NOMEM, message)
    }

    /// `ENOTSUP`: known, but not done here.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Errno::NOTSUP, message)
    }

    /// `EIO`: something failed on our side.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Errno::IO, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (errno {})", self.message, self.code)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for pb::Error {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code, errmsg: failure.message }
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        let code = match &error {
            EditError::NameTaken(_) => Errno::EXIST,
            EditError::NoModule(_) => Errno::NOENT,
            EditError::Connected { .. } => Errno::BUSY,
            EditError::TooManyModules(_) => Errno::NOMEM,
            EditError::Class(error) => return error.clone().into(),
            _ => Errno::INVAL,
        };
        Self::new(code, error.to_string())
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let code = match &error {
            CommandError::NoModule(_) => Errno::NOENT,
            CommandError::Class { .. } => Errno::INVAL,
            CommandError::Failed(_) => Errno::IO,
        };
        Self::new(code, error.to_string())
    }
}

impl From<HookError> for Failure {
    fn from(error: HookError) -> Self {
        let code = match &error {
            HookError::NoModule(_) | HookError::NoGate { .. } | HookError::NoHook { .. } => Errno::NOENT,
            HookError::NameTaken { .. } => Errno::EXIST,
            HookError::TooMany { .. } => Errno::NOSPC,
        };
        Self::new(code, error.to_string())
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        let code = match &error {
            WorkerError::TooMany | WorkerError::Start { .. } => Errno::NOMEM,
            WorkerError::Number(_) => Errno::INVAL,
            WorkerError::Taken(_) => Errno::EXIST,
            WorkerError::NoWorker(_) => Errno::NOENT,
            WorkerError::Busy { .. } => Errno::BUSY,
        };
        Self::new(code, error.to_string())
    }
}
