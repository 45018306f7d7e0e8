//! Data-Driven Connectivity: forwarding that goes on delivering while links fail, without a control message.
//!
//! Every destination has a graph of link directions without a way round. A packet that comes to a node from which no live link
//! leads out makes that node reverse links, and goes on; one bit in the packet tells the neighbour. So packets arrive as long
//! as there is any way, whatever fails and however often (Liu, Panda, Singla, Godfrey, Schapira and Shenker, "Ensuring
//! Connectivity via Data Plane Mechanisms", NSDI 2013).
//!
//! ```text
//!            ┌ Map, Plan      the control plane's: distances, the first graph, priorities
//!  packet ──▶│ Forwarder      one node, one destination: two bytes a link, written on reversal only
//!  (Header)  │ Guide          where a scout goes
//!            └ Router         and heartbeats, AEO, links that come back (Message)
//!  Network, experiment        whole networks, a packet at a time
//!  live                       a router on real links: all destinations, hellos, frames
//!  explore                    every schedule of small ones: the properties I1 to I6
//! ```
//!
//! ```
//! use ddc::{End, Map, Network, Phase, Plan, Priority};
//! use topology::{LinkSpec, generate, paths};
//!
//! let ring = generate::ring(8, &LinkSpec::default())?;
//! let map = Map::new(&ring, paths::by_hops)?;
//! let plan = Plan::towards(&map, 0, Priority::Nearest);
//! let mut network = Network::new(&map, &plan);
//! assert_eq!(network.send(2, Phase::Plain, 100, |_| {}).hops, 2);
//!
//! network.fail(0); // between nodes 0 and 1
//! let first = network.send(2, Phase::Patient(8), 100, |_| {});
//! assert_eq!((first.end, first.hops), (End::Delivered, 8)); // one to the failure, seven the other way round
//! let next = network.send(2, Phase::Patient(8), 100, |_| {});
//! assert_eq!((next.end, next.hops), (End::Delivered, 6)); // the shortest that is left
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How the first packet's walk is bounded
//!
//! The first packet after failures does the work of reversal, and its walk can be long: quadratic in the nodes in the worst
//! case, thousands of hops in measured networks. Here it need not do it itself. A packet starts [`Phase::Patient`]. Where a
//! node had to reverse links for it, or it made more hops than its patience, it is split:
//!
//! - its contents go on as a [`Phase::Scout`], by the map that the control plane gave the routers, without the failed links that
//!   the packet met, which it carries (2 bytes each, at most [`MET_MAX`], as failure-carrying packets do);
//! - a [`Phase::Ghost`] without contents, one byte, goes on as the packet would have gone, and makes the reversals that the packet
//!   would have made, so that the packets after it find the graph that they would have found.
//!
//! A scout for which the map has no way left, or that has no room for another failure or no hops, goes on as a
//! [`Phase::Plain`] packet, as if it started where it is.
//!
//! **The guarantee is the same** (connected ⇒ delivered in finitely many hops; any failures; any loss; links keep order):
//!
//! 1. *Nothing that scouts do is seen by the protocol.* [`Forwarder::receive`] reads and writes no slot for a scout, and a scout's bit
//!    is not looked at. Leave all scout hops out of a run, and call "the packet, then its ghost" one packet: what is left is a
//!    run of the paper's protocol, in which some packets start in the midst (the scouts that gave up) and others are lost. It
//!    holds for all starts and losses, so I1, I2, I4 and I5 hold as they do there.
//! 2. *A packet changes its phase at most twice*, patient → scout → plain. The patient part is finite because patience is. The scout part
//!    is finite because `hops_left` falls with every hop. The plain part is a packet of the paper's protocol, which is
//!    delivered. So contents that are not lost arrive (I3).
//! 3. *The bound.* Between two additions to what a scout carries, every hop is nearer to the destination on the same map: at most
//!    n − 1 hops. Of f failed links that it meets each is met once, so with f ≤ [`MET_MAX`] and a map that is right but for failures,
//!    a packet that becomes a scout makes at most `patience` + (f + 1)(n − 1) hops, and at most `patience` + 255 before it is plain
//!    again. In measured networks it is far less: see the README.
//! 4. *What it costs.* A packet that is split adds one byte-sized packet, and that makes no more hops than the packet would have
//!    made. A router computes distances once for a set of failures ([`Guide`]).
//!
//! [`explore`] checks 1 and 2 in every schedule of all networks of up to four nodes, with patience 0 and 1; the paper's protocol of up to
//! five.
#![forbid(unsafe_code)]

pub mod experiment;
pub mod explore;
mod forwarder;
mod guide;
mod header;
pub mod live;
mod map;
mod network;
mod plan;
mod random;
mod router;
mod slot;

#[doc(hidden)]
pub use forwarder::BounceTest;
pub use forwarder::{Cause, Decision, Forward, Forwarder, Outcome, SCOUT_HOPS};
pub use guide::{Guide, MEMO_MAX};
pub use header::{HEADER_BYTES_MAX, Header, HeaderError, MET_MAX, Phase, Scout};
pub use map::{COST_MAX, FAR, LINKS_MAX, Map, MapError, Port};
pub use network::{End, Network, Step, Walk};
pub use plan::{Plan, Priority};
pub use random::Random;
pub use router::{Message, Router};
pub use slot::Slot;
