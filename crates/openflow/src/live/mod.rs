//! Channels on sockets: one thread, one poll, thousands of connections.
//!
//! ```text
//!   listeners ─┐                         ┌─► Handler::connected, event, disconnected
//!   dials ─────┼─► Hub::turn ─► Channel ─┤
//!   waker ─────┘       ▲                 └─► Links: send to any connection, close, dial, listen
//!                      └── written in one go at the end of a turn
//! ```
//!
//! A controller and a switch use the same [`Hub`]; what they do with messages is their [`Handler`]. A turn takes at most
//! [`MESSAGES_PER_TURN`] messages from each connection, so that one that floods does not keep others waiting; what is
//! sent is collected and written once per turn. What a peer may cost is bounded by its [`Channel`], how many
//! peers there may be by [`HubConfig::connections_max`]; where the process is out of descriptors, listening rests for a
//! moment and everybody who is there stays served.
//!
//! ```
//! use openflow::channel::{Config, ConnectionId, Down, Event, Up};
//! use openflow::live::{Handler, Hub, HubConfig, Links, Side};
//! use openflow::message::Body;
//!
//! /// Says which switches are there.
//! struct Roll;
//!
//! impl Handler for Roll {
//!     fn connected(&mut self, links: &mut Links<'_>, id: ConnectionId, up: Up) {
//!         let datapath = up.features.map_or(0, |features| features.datapath);
//!         println!("{datapath:016x} speaks {} from {}", up.version, links.peer(id).unwrap());
//!         let _ = links.send_body(id, &Body::BarrierRequest);
//!     }
//!
//!     fn event(&mut self, _links: &mut Links<'_>, _id: ConnectionId, event: Event<'_>) {
//!         println!("{event:?}");
//!     }
//!
//!     fn disconnected(&mut self, _links: &mut Links<'_>, _id: ConnectionId, reason: &Down) {
//!         println!("{reason}");
//!     }
//! }
//!
//! let mut hub = Hub::new(Roll, HubConfig::default())?;
//! let at = hub.links().listen(&"ptcp:0:127.0.0.1".parse()?, Side::Controller(Config::default()))?;
//! println!("listening on {at}");
//! hub.turn(Some(std::time::Duration::ZERO))?; // or hub.run()
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Channel`]: crate::channel::Channel

pub mod agent;
mod connection;
mod dial;
mod hub;
mod links;
mod listener;
pub mod snapshot;
mod state;
mod stream;
mod target;
mod tls;

use std::time::Duration;

use crate::channel::{Channel, Config, ConnectionId, Down, Event, Up};

pub use dial::{BACKOFF_MAX, BACKOFF_MIN, DialId};
pub use hub::{Hub, HubConfig, Waker};
pub use links::Links;
pub use state::{Counters, LinkError};
pub use target::{PORT, Target, TargetError, Tls};
pub use tls::{TlsError, TlsFiles, TlsIdentity};

/// Connections of a [`Hub`] unless its configuration says otherwise.
pub const CONNECTIONS_MAX: usize = 8192;
/// Events of one connection that a turn deals with.
pub const MESSAGES_PER_TURN: usize = 64;
/// Connections that one listener takes in a turn.
pub const ACCEPTS_PER_TURN: usize = 64;
/// How long a listener rests when there are no descriptors or buffers left.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is done with connections and their messages.
pub trait Handler {
    /// A connection is up.
    fn connected(&mut self, links: &mut Links<'_>, id: ConnectionId, up: Up);

    /// Something came; neither [`Event::Up`] nor [`Event::Down`].
    fn event(&mut self, links: &mut Links<'_>, id: ConnectionId, event: Event<'_>);

    /// A connection that was up is down.
    fn disconnected(&mut self, links: &mut Links<'_>, id: ConnectionId, reason: &Down);

    /// A connection ended before it was up; `peer` is its address.
    fn refused(&mut self, _links: &mut Links<'_>, _peer: &str, _reason: &Down) {}

    /// When [`Handler::deadline`] is to be called, on the clock of [`Links::now`].
    fn next_deadline(&self) -> Option<Duration> {
        None
    }

    /// The deadline has passed.
    fn deadline(&mut self, _links: &mut Links<'_>) {}

    /// Somebody has called [`Waker::wake`], once or more since the last time.
    fn woken(&mut self, _links: &mut Links<'_>) {}
}

/// Which end connections are, and how their channels behave.
#[derive(Debug, Clone)]
pub enum Side {
    /// A controller's.
    Controller(Config),
    /// A switch's.
    Switch(Config),
}

impl Side {
    fn channel(&self, now: Duration) -> Channel {
        match self {
            Self::Controller(config) => Channel::controller(config.clone(), now),
            Self::Switch(config) => Channel::switch(config.clone(), now),
        }
    }
}
