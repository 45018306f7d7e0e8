//! Why a channel is down.

use std::time::Duration;

use thiserror::Error;

use crate::error::ErrorCode;
use crate::wire::FrameError;

/// Bytes of a peer's text that are kept.
const TEXT_BYTES_MAX: usize = 256;

/// Why a channel is down. What the peer did wrong is said with what it sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Down {
    /// We have closed it.
    #[error("closed here: {0}")]
    Here(String),
    /// The peer has closed it.
    #[error("closed by the peer")]
    Closed,
    /// The peer has closed it in the middle of a message.
    #[error("closed by the peer after {have} bytes of a message")]
    Cut {
        /// Bytes that came.
        have: usize,
    },
    /// The socket failed.
    #[error("{0}")]
    Socket(String),
    /// It did not begin with a hello.
    #[error("the first message is of type {kind}, no hello")]
    NoHello {
        /// Its type.
        kind: u8,
    },
    /// No version in common.
    #[error("{0}")]
    Version(String),
    /// The peer says so.
    #[error("refused by the peer: {0}")]
    Refused(String),
    /// A message of another version than was agreed on.
    #[error("a message of version {got:#04x} after {agreed} was agreed on")]
    OtherVersion {
        /// Its version byte.
        got: u8,
        /// What was agreed on.
        agreed: crate::Version,
    },
    /// Bytes that are no messages.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A handshake that takes too long.
    #[error("the handshake waits for {0} too long")]
    Handshake(&'static str),
    /// A handshake that the peer refuses.
    #[error("the handshake fails at {step}: error type {} code {}", .code.kind, .code.code)]
    HandshakeError {
        /// What was asked.
        step: &'static str,
        /// The answer.
        code: ErrorCode,
    },
    /// Nothing came for too long, not even the answer to an echo request.
    #[error("silent for {:.1} s", .0.as_secs_f32())]
    Silent(Duration),
    /// A message was begun and never ended.
    #[error("stuck after {have} of {length} bytes of a message")]
    Stalled {
        /// Bytes that came.
        have: usize,
        /// Bytes that it has.
        length: u16,
    },
    /// The peer does not read what is sent to it.
    #[error("{0} bytes wait for a peer that does not read")]
    Slow(usize),
    /// Its datapath has no main connection, or as many others as may be, or one of that number.
    #[error("auxiliary connection {auxiliary} of {datapath:016x}: {problem}")]
    Auxiliary {
        /// The datapath.
        datapath: u64,
        /// The connection's number.
        auxiliary: u8,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What a peer's text says, safe to print.
pub(super) fn shown(text: &[u8]) -> String {
    let text = &text[..text.len().min(TEXT_BYTES_MAX)];
    String::from_utf8_lossy(text)
        .trim_end_matches('\0')
        .chars()
        .map(|c| if c.is_control() { '.' } else { c })
        .collect()
}
