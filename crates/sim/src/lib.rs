//! Virtual time: packets that cross links with a rate, a delay, loss and strict-priority queues, at the speed of the
//! processor instead of the network.
//!
//! ```text
//!           send ┌──────── Network<B> ─────────────────────────────────┐ packet, timer, departed
//!  Hosts<B> ────►│ route ─► queue of 8 levels ─► link ─► … ─► last hop │────────────────────────► Hosts<B>
//!                └──────────────┬──────────────────────────────────────┘
//!                               └► trace: CSV columns, pcapng
//! ```
//!
//! A [`Network`] is nodes, directed links and routes, all given from outside; what a packet carries is the caller's type `B`.
//! Protocols are [`Hosts`]: they get packets and timers, and send. Time is in whole picoseconds ([`Time`]), events happen
//! in order of time and then of the order in which they were asked for, and every link draws from its own stream of random
//! numbers ([`Random`]), so one seed gives one run, to the byte, on every machine. [`sweep()`] runs many on several threads and
//! gives the same results in the same order for any number of them; [`stats`] and [`plot`] make figures of these.
//!
//! An [`Emulator`] is one such link for real packets and a real clock.
//!
//! A question and its answer over a satellite:
//!
//! ```
//! use sim::{Hosts, LinkSpec, Network, NodeId, Packet, Rate, Time};
//!
//! struct Ping { sent: Time, round_trip: Option<Time> }
//!
//! impl Hosts<NodeId> for Ping {
//!     fn packet(&mut self, net: &mut Network<NodeId>, at: NodeId, packet: Packet<NodeId>) {
//!         match packet.flow {
//!             0 => net.send(at, Packet::new(packet.body, 42, 1, at)), // the answer
//!             _ => self.round_trip = Some(net.now() - self.sent),
//!         }
//!     }
//!     fn timer(&mut self, net: &mut Network<NodeId>, _token: u64) {
//!         self.sent = net.now();
//!         net.send(NodeId(0), Packet::new(NodeId(1), 1250, 0, NodeId(0)));
//!     }
//! }
//!
//! let mut net = Network::new(7);
//! let (a, b) = (net.add_node()?, net.add_node()?);
//! let satellite = LinkSpec::new(Rate::from_mbit(10), Time::from_millis(250));
//! for (from, to) in [(a, b), (b, a)] {
//!     let link = net.add_link(from, to, satellite)?;
//!     net.set_route(from, to, link)?;
//! }
//! net.timer_at(Time::from_secs(1), 0);
//! let mut ping = Ping { sent: Time::ZERO, round_trip: None };
//! net.run(&mut ping, Time::MAX);
//! // Twice 250 ms, 1250 bytes of 8 bits at 10 Mbit/s there, 42 back.
//! assert_eq!(ping.round_trip, Some(Time::from_nanos(500_000_000 + 1_000_000 + 33_600)));
//! # Ok::<(), sim::NetworkError>(())
//! ```

#![forbid(unsafe_code)]

mod arena;
mod emulator;
mod events;
mod link;
pub mod math;
mod network;
mod packets;
pub mod plot;
pub mod quantity;
mod random;
mod report;
pub mod stats;
mod sweep;
mod time;
pub mod trace;

pub use emulator::{Emulator, EmulatorStats, LevelStats};
pub use link::{LEVELS_MAX, LinkSpec, LinkStats};
pub use network::{HOPS_MAX, Hosts, LINKS_MAX, NODES_MAX, Network, PROGRESS_EVENTS};
pub use packets::{NodeId, PACKETS_MAX, Packet};
pub use quantity::QuantityError;
pub use random::Random;
pub use report::{LinkId, NetworkError, NetworkStats, Progress};
pub use sweep::sweep;
pub use time::{Rate, Time};
