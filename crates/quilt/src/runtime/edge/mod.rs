//! The edge: where connections from outside the deployment come in, and those to the outside go out ([`outside`]).
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
mod outside;
mod proxy;
mod relay;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Ports, Protocol};

pub use control::{EdgeClient, EdgeError};
pub use outside::Beyond;
pub use proxy::serve;

/// Ports that one deployment may publish.
pub const PUBLISHES_MAX: usize = 1024;
/// Connections that one published port carries at a time; one more is closed at once and counted.
pub const CONNECTIONS_MAX: usize = 2048;
/// Senders that one published UDP port remembers at a time; the one silent longest is forgotten for a new one.
pub const UDP_SENDERS_MAX: usize = 1024;
/// Ports of one protocol on which a deployment reaches the outside: each takes a listening socket.
pub const OUTSIDE_PORTS_MAX: usize = 1024;
/// Connections to the outside that one deployment has at a time; one more is reset at once and counted.
pub const OUTSIDE_CONNECTIONS_MAX: usize = 2048;
/// Senders of datagrams to the outside (an address and port, and whom it sends to) that are remembered at a time.
pub const OUTSIDE_SENDERS_MAX: usize = 1024;
/// Questions for names of the outside that wait for an answer at a time; one more fails at once.
pub const NAMES_PENDING_MAX: usize = 512;
/// Bytes copied at a time in each direction of a connection.
const COPY_BYTES: usize = 64 << 10;

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
    /// Carry connections to the outside on these ports, and on no others.
    Outside {
        /// The ports.
        ports: Vec<OutsidePorts>,
    },
    /// Say what was carried to the outside.
    Carried,
}

/// What the edge process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Done,
    Published(Vec<PublishedStatus>),
    Carried(Option<OutsideStatus>),
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

/// Ports on which containers reach the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsidePorts {
    /// TCP, UDP or both.
    pub protocol: Protocol,
    /// Which.
    pub ports: Ports,
}

/// What was carried to the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideStatus {
    /// Ports on which something is carried, TCP and UDP counted apart.
    pub ports: u64,
    /// Connections.
    pub connections: Counts,
    /// Senders of datagrams.
    pub senders: Counts,
    /// Questions for names of the outside.
    pub names: Counts,
}

/// How many of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// At this moment.
    pub open: u64,
    /// So far.
    pub total: u64,
    /// Of these, how many came to nothing, or were one too many.
    pub failed: u64,
}
