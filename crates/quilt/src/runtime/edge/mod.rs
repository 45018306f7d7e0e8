//! The edge: where connections from outside the deployment come in.
//!
//! ```text
//!   host's network          │ edge's own namespace       │ fabric
//!   curl → [::]:8080 ═══ listening socket ═ proxy ═ eth0 ─── TAP ─── web-1, web-2, …
//! ```
//!
//! A published port is a socket that `weft up` binds in the host's network, where it can say at once that a port
//! is taken, and hands to the edge process. A socket stays in the namespace it was made in, so the edge process,
//! whose own interface is a port of the dataplane like any container's, accepts there and connects here. It
//! needs no rule in the host's firewall and no privilege.

mod control;
mod proxy;
mod relay;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::Protocol;

pub use control::{EdgeClient, EdgeError};
pub use proxy::serve;

/// Ports that one deployment may publish.
pub const PUBLISHES_MAX: usize = 1024;
/// Connections that one published port carries at a time; one more is closed at once and counted.
pub const CONNECTIONS_MAX: usize = 2048;
/// Senders that one published UDP port remembers at a time; the one silent longest is forgotten for a new one.
pub const UDP_SENDERS_MAX: usize = 1024;

/// What the edge process is asked to do. A message carries at most one descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Serve the socket that comes with the message; without one, lead the port's new connections to a new target.
    Publish {
        /// The port.
        port: PublishedPort,
        /// Where its connections lead.
        target: SocketAddr,
    },
    /// Close the port. Connections that are open live on.
    Withdraw {
        /// The port.
        port: PublishedPort,
    },
    /// Say what is published.
    List,
}

/// What the edge process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Done,
    Published(Vec<PublishedStatus>),
    Refused(String),
}

/// A port of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublishedPort {
    /// `Tcp` or `Udp`.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// A published port and what has come through it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedStatus {
    /// The port.
    #[serde(flatten)]
    pub port: PublishedPort,
    /// Where its connections lead.
    pub target: SocketAddr,
    /// Connections (for UDP, senders) that are open.
    pub open: u64,
    /// Connections so far.
    pub total: u64,
    /// Connections that could not be carried on, or were one too many.
    pub failed: u64,
}
