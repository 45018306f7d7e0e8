//! Why a port could not be opened or went out of use.

use std::io;

/// Why a port could not be opened or went out of use. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The kernel refused what an ordinary user may not do.
    #[error("{port}: {action} needs a privilege: {remedy} (kernel says: {source})")]
    Privilege {
        /// The port as it was asked for.
        port: String,
        /// What was tried.
        action: &'static str,
        /// What to do.
        remedy: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The interface, file or socket is not there.
    #[error("{port}: {what} is not there: {remedy}")]
    Missing {
        /// The port as it was asked for.
        port: String,
        /// What is missing.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A system call failed.
    #[error("{port}: {action}: {source}")]
    System {
        /// The port as it was asked for.
        port: String,
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The other side is gone and will not come back.
    #[error("{port}: closed by its peer")]
    Closed {
        /// The port as it was asked for.
        port: String,
    },
    /// An option that this kind of port does not take.
    #[error("{port}: {option}: {problem}")]
    Option {
        /// The port as it was asked for.
        port: String,
        /// The option and its value.
        option: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}
