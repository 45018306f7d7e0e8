//! The OpenFlow controller: components, events, and the stock applications.
//!
//! ```text
//!   switches ⇄ channels (bytes) ⇄ Controller ── Core ──┬─ components, by name     forwarding.l2_learning, openflow.discovery, yours
//!                                 Input, Output         ├─ events, by source       PacketIn of OPENFLOW, LinkEvent of openflow.discovery
//!                                                       ├─ timers, requests        in whatever time the controller is told
//!                                                       └─ the nexus               connections by datapath id, either version alike
//! ```
//!
//! A **component** is a value with a name. When it is registered its [`start`](Component::start) listens to **events**, each a
//! type of its own: [`PacketIn`], [`ConnectionUp`], or whatever another component raises. A handler is a method of the component;
//! it gets the event and the [`Core`], by which it sends to switches, sets timers, raises events and calls other components. It
//! may fail, even panic: that is counted and logged, and the others go on. All run on one thread, in an order that depends on
//! nothing but what came in, so that the same component runs against simulated switches in virtual time and against live ones.
//!
//! # A component of your own
//!
//! Remembers how much each station has sent, and cuts off those that have sent too much:
//!
//! ```
//! use std::{collections::HashMap, time::Duration};
//! use pox::{Component, Core, Event, Flow, Listen, OPENFLOW, PacketIn, Result, Verdict, info};
//! use openflow::matching::Match;
//! use packet::wire::MacAddr;
//!
//! /// Cuts off stations that send too many new flows.
//! #[derive(Default)]
//! struct Quota {
//!     sent: HashMap<MacAddr, u32>,
//! }
//!
//! /// What others may listen to: `core.listen("quota", |this: &mut Self, event: &CutOff, core: &mut Core| …)`.
//! struct CutOff(MacAddr);
//! impl Event for CutOff {}
//!
//! impl Component for Quota {
//!     fn start(&mut self, core: &mut Core) -> Result {
//!         core.listen_with(OPENFLOW, Listen::priority(10), Self::packet_in); // before forwarding components
//!         core.every(Duration::from_secs(60), |this: &mut Self, _: &mut Core| this.sent.clear());
//!         Ok(())
//!     }
//! }
//!
//! impl Quota {
//!     fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
//!         let sent = self.sent.entry(event.source()).or_default();
//!         *sent += 1;
//!         if *sent < 100 {
//!             return Ok(Verdict::Continue); // the next listener sees it
//!         }
//!         info!(core, "{} is cut off", event.source());
//!         let all = Match::new().eth_src(event.source());
//!         core.send(event.connection, Flow::add(all).priority(0x9000).hard_timeout(60))?; // no action: drops
//!         core.raise(CutOff(event.source()));
//!         Ok(Verdict::Halt) // and nobody else
//!     }
//! }
//!
//! // Two hosts on a switch, in virtual time; live::Live runs the same component on sockets.
//! let network = topology::generate::star(2, &topology::LinkSpec::default())?;
//! let mut world = pox::world::World::new(&network, pox::world::WorldConfig::default())?;
//! world.launch("forwarding.l2_learning")?;
//! world.core_mut().register("quota", Quota::default())?;
//! world.run_for(Duration::from_secs(1))?;
//! assert!(world.ping_within("h1", "h2", Duration::from_secs(1))?.is_some());
//! assert_eq!(world.core().get::<Quota>("quota").unwrap().sent.len(), 2);
//! for port in 1000..1100 {
//!     world.send_udp("h1", port, ([10, 0, 0, 2].into(), 9), b"a new flow")?;
//!     world.run_for(Duration::from_millis(10))?;
//! }
//! assert!(world.host("h2")?.datagrams().count() < 100); // h1 has sent too much
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Components that need one another say so in any order: [`Core::call_when_ready`] waits for names, [`Core::listen`] to a name
//! needs nobody there yet, [`Core::get`] and [`Core::call`] reach another component. What is said to switches is version-neutral:
//! a match of fields, actions, a [`Flow`]; [`Core::flood`] obeys the spanning tree where there is one.
//!
//! To launch it by name, give it a `build` function and a [`Kind`]: see [`launch`], and `tests/quota.rs`, which is this one so. [`world`] runs whole networks in virtual time,
//! [`live`] runs the controller on sockets.
#![forbid(unsafe_code)]

mod component;
pub mod components;
pub mod compose;
mod controller;
mod core;
mod edge;
mod endpoint;
mod event;
pub mod launch;
pub mod live;
mod log;
mod nexus;
mod options;
mod random;
mod remote;
pub mod rpc;
mod subnet;
mod timer;
pub mod world;

pub use component::{COMPONENTS_MAX, CallError, Component, ComponentId, Health, RegisterError};
pub use controller::{Controller, Input, Output};
pub use core::{CASCADE_MAX, Core, Counters, EVENTS_MAX, LISTENERS_MAX, Phase};
pub use endpoint::{Endpoint, TlsFiles};
pub use event::{
    CORE, ComponentRegistered, Down, Error, Event, GoingDown, GoingUp, Listen, ListenerId, OPENFLOW, Outcome,
    Result, Source, Up, Verdict,
};
pub use launch::{Kind, LaunchError, Launcher};
pub use log::{Level, RECORD_BYTES_MAX, RECORDS_MAX, Record};
pub use nexus::{
    Answer, BarrierReply, CONNECTIONS_MAX, Connection, ConnectionCounters, ConnectionDown, ConnectionId,
    ConnectionUp, Direction, Dpid, DpidError, ErrorIn, FLOOD_SETTLE, FeaturesReply, FloodChanged,
    FloodSettled, Flow, FlowRemoved, IntoBody, NexusConfig, OUTPUTS_MAX, PORTS_MAX, PacketIn, PortStatus,
    REQUEST_TIMEOUT, REQUESTS_MAX, Raw, RequestError, SendError, StatisticsReply, To, is_live, output,
};
pub use openflow::message::PortReason;
pub use openflow::port::PortNo;
pub use options::{OPTIONS_MAX, Options, OptionsError};
pub use remote::{JOBS_MAX, Refused, Remote};
pub use subnet::Subnet;
pub use timer::{DELAY_MIN, TIMERS_MAX, TimerId};
