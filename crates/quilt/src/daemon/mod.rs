//! The control interface of Quilt in July 2017 (0.2): its daemon, and a client for it.
//!
//! ```text
//!   quilt run ──Deploy (JSON)──▶ ┌ daemon ───────────────────────────┐
//!   quilt ps  ──Query (table)──▶ │ deployment ─▶ lower ─▶ check ─▶ up │──▶ what runs
//!   any gRPC client ───────────▶ │ tables ◀── runtime::list           │
//!                                └────────────────────────────────────┘
//! ```
//!
//! The daemon holds nothing that is needed to run: what was deployed is in the state directory, and what runs goes on
//! without it. One deployment is tracked at a time, as it was: the one deployed last. Deploying another namespace leaves
//! the first one running; deploying a namespace without containers stops it.

mod client;
mod deployment;
mod lower;
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
mod proto {
    tonic::include_proto!("_");
}
mod server;
pub mod tables;

pub use client::{Client, ClientError};
pub use deployment::{Deployment, DeploymentError};
pub use lower::{Lowered, lower};
pub use proto::Counter;
pub use server::{ServeError, serve};

/// The version of the interface.
pub const VERSION: &str = "0.2.0";
/// Where the daemon listens unless it is told otherwise.
pub const SOCKET: &str = "unix:///tmp/quilt.sock";
/// Bytes of the longest deployment.
pub const DEPLOYMENT_BYTES_MAX: usize = 16 << 20;

/// The path of an address such as `unix:///tmp/quilt.sock`; what is wrong with it otherwise.
///
/// # Errors
/// An address of another kind.
pub fn socket_path(address: &str) -> Result<&std::path::Path, String> {
    match address.split_once("://") {
        Some(("unix", path)) if !path.is_empty() => Ok(std::path::Path::new(path)),
        Some(("tcp", _)) => {
            Err(format!("{address}: the daemon is reached by a Unix socket only, such as {SOCKET}"))
        }
        _ => Err(format!("malformed listen address: {address} (write {SOCKET})")),
    }
}
