//! A router on real links, still without I/O: all destinations of a network, links that come and go, and control messages that
//! survive loss.
//!
//! ```text
//!  Site            the network file: routers, their addresses, links, times
//!   └ Node         one router: frames and the time in, verdicts and frames out
//!      ├ Link      is it alive? who is there? what order do frames have? (Shim, Control)
//!      └ Router    one for each destination
//! ```
//!
//! A driver hands over what comes in ([`Node::arrive`]) and what starts here ([`Node::start`]), sends what a verdict says
//! ([`Node::seal`]), and **after that** what [`Node::poll_output`] has to say: a packet goes in front of the control messages
//! that it caused. It calls [`Node::expire`] at [`Node::next_deadline`].
//!
//! What [`Router`](crate::Router) asks of links, and who sees to it:
//!
//! - *Order*: every frame has a number, and one that is overtaken is dropped. So an order that is not kept becomes loss, which
//!   the protocol stands.
//! - *Control messages come once, and in order with packets*: they are numbered, acknowledged and repeated. A packet says how many
//!   were sent before it, and is dropped where one of these is missing: again loss.
//! - *Both ends agree that a link failed before it lives again*: every life of a link has a number chosen by each end, a link lives
//!   once each has heard the other name both, and whoever gives it up takes a new one (as BFD's discriminators, RFC 5880 §6.8).
//!
//! What the paper leaves to a control plane is here a small one: routers tell each other which of their links live, and plan
//! anew with each heartbeat. It shortens ways after failures, and lets a router that starts while others are gone find its
//! place. No packet waits for it.

mod destination;
mod link;
mod node;
mod report;
mod site;
mod verdict;
mod wire;

pub use link::LinkCounts;
pub use node::{GHOST_HOPS, GHOSTS_PER_SECOND, Node};
pub use report::{DestinationReport, Direction, LinkReport, NodeReport, Way as WayReport};
pub use site::{
    FILE_BYTES_MAX, MTU_MAX, MTU_MIN, Member, PORTS_MAX, Problem, ROUTERS_MAX, Site, SiteError, Timers,
};
pub use verdict::{Refused, Verdict, Way};
pub use wire::{ETHERTYPE, OVERHEAD_MAX};
