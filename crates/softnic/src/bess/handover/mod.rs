//! A running daemon hands over to another process, such as one of a newer version, and no connection through it breaks.
//!
//! ```text
//!   old                                      new (weft softnic upgrade)
//!    │◄───────────── connects ──────────────────│  DIR/bess.sock
//!    │ no request changes anything any more     │
//!    │── all that runs, and descriptors ───────►│  opens the ports over them and builds all of it
//!    │ packets flow                             │
//!    │◄───────────── ready ─────────────────────│
//!    │ pauses, lets on what waits inside        │
//!    │── what modules have learnt ─────────────►│
//!    │◄───────────── taken ─────────────────────│
//!    │── go ───────────────────────────────────►│  runs, and saves from now on
//!    ends
//! ```
//!
//! Between the pause and the end packets wait in the kernel: in the queues of TAPs, packet sockets and Unix sockets, which
//! are the same for both processes, since descriptors are handed over and nothing is opened or closed. How large the
//! configuration is does not matter for how long that is; how many flows modules know does.
//!
//! Until `go` the old one has everything: whatever goes wrong before, it goes on, and the new one ends. If the old one dies
//! in between, the new one goes on.
//!
//! **What goes along**: all that is saved ([`saving`](super::saving)), the listening socket, the locks, connections of Unix
//! sockets, and what [`Module::save`](crate::engine::Module::save) tells. **What does not**: counters, which begin at 0;
//! fragments that wait for others; clients' own connections to the daemon, which they make again.

mod give;
mod take;
mod wire;

use std::io;

pub(super) use self::give::{Giver, serve};
pub(super) use self::take::{Taken, take};

/// The name of the socket in the directory of the state.
const SOCKET: &str = "bess.sock";

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// No daemon saves there.
    #[error("no daemon can be taken over from in {directory}: {source}")]
    Nobody {
        /// The directory.
        directory: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The other side does not hand over, or has given up.
    #[error("the daemon that runs goes on: {0}")]
    Refused(String),
    /// The other side says something else than it should.
    #[error("the daemon that runs goes on: {0}")]
    Io(#[from] io::Error),
    /// What runs there cannot run here.
    #[error("the daemon that runs goes on: {0}")]
    Restore(#[from] super::saving::RestoreError),
    /// Memory, or a thread, is not to be had.
    #[error("the daemon that runs goes on: {0}")]
    Start(#[from] super::Failure),
}
