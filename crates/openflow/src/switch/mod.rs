//! The switch: flow tables, groups and meters between ports, driven by controllers of either version.
//!
//! ```text
//!   receive ──► frame, key ──► cache ──hit──────────────────┐
//!                               └─miss─► pipeline: tables ──┴─► steps ──► Output::Packet
//!   handle_message ──► requests: flow_mod, groups, meters, stats ────────► Output::Message
//!   expire ──► timeouts, buffers, stations ─────────────────────────────► Output::Message
//! ```
//!
//! It does no I/O and has no clock. Entries of one version are seen by the other as far as they can be said there. All
//! tables are bounded; what is dropped at a bound is counted ([`Counters`]).
//!
//! ```
//! use std::time::Duration;
//! use openflow::Version;
//! use openflow::action::Action;
//! use openflow::flow::FlowMod;
//! use openflow::instruction::Instruction;
//! use openflow::message::{Body, Message};
//! use openflow::port::{Port, PortNo};
//! use openflow::switch::{ConnectionId, Output, Switch, SwitchConfig};
//!
//! let now = Duration::ZERO;
//! let mut switch = Switch::new(SwitchConfig::default());
//! for number in [1, 2] {
//!     switch.add_port(now, Port { number: PortNo(number), ..Port::default() })?;
//! }
//! let controller = ConnectionId(7);
//! switch.connect(now, controller, Version::V13);
//! let to_two = Instruction::ApplyActions(vec![Action::output(PortNo(2))]);
//! let add = FlowMod { instructions: vec![to_two], ..FlowMod::default() };
//! switch.handle_message(now, controller, &Message::new(1, Body::FlowMod(add)));
//! switch.receive(now, PortNo(1), &[0x5a; 64]);
//! let Some(Output::Packet { port, bytes, .. }) = switch.poll_output() else { panic!("no packet") };
//! assert_eq!((port, bytes.len()), (PortNo(2), 64));
//! # Ok::<(), openflow::switch::PortError>(())
//! ```

mod abilities;
mod buffers;
mod cache;
mod check;
mod connections;
mod features;
mod flow_mod;
mod forward;
mod frame;
mod groups;
mod key;
mod learn;
mod macs;
mod meters;
mod monitors;
mod nicira;
mod op;
mod packet_in;
mod parse;
mod pipeline;
mod ports;
mod requests;
mod rule;
mod sctp;
mod stats;
mod tables;
mod tags;
mod tell;
mod trace;

use std::collections::VecDeque;
use std::time::Duration;

use packet::flow::FlowHasher;

pub use buffers::{BUFFER_LIFETIME, BUFFERS_MAX};
pub use cache::{CACHE_SLOTS, CACHED_OPS_MAX};
pub use check::ACTIONS_MAX;
pub use connections::{CONNECTIONS_MAX, ConnectionId, MISS_SEND_LEN};
pub use groups::{BUCKETS_MAX, CHAIN_MAX, GROUPS_MAX};
pub use learn::LEARNED_MAX;
pub use macs::{MAC_LIFETIME, MACS_MAX};
pub use meters::{BANDS_MAX, METERS_MAX};
pub use monitors::MONITORS_MAX;
pub use op::{COPIES_MAX, PUNTS_MAX};
pub use parse::{FRAME_MIN, TAGS_MAX};
pub use pipeline::{ACTIONS_PER_PACKET_MAX, DEPTH_MAX, RESUBMITS_MAX, STACK_MAX};
pub use ports::{PORTS_MAX, PortError, QUEUES_MAX};
pub use tables::{FLOWS_MAX, TABLES};
pub use tags::{FRAME_MAX, FRAME_SHORTEST};
pub use trace::{TRACE_LINES_MAX, Trace};

use crate::message::{Message, PortReason};
use crate::monitor::MonitorEvent;
use crate::multipart::Description;
use crate::port::{Port, PortNo};
use crate::queue::Queue;
use crate::version::Version;

use cache::Cache;
use connections::Connections;
use groups::Groups;
use macs::Macs;
use meters::Meters;
use monitors::{Monitors, Telling};
use op::Effects;
use ports::Ports;
use tables::Tables;

/// Outputs waiting at most; packets and unasked messages beyond it are dropped.
pub const OUTPUTS_MAX: usize = 65_536;
/// Bits of [`crate::message::SwitchConfig::flags`] that tell how fragments are treated.
const FRAGMENTS: u16 = 3;
/// Fragments have no ports (`OFPC_FRAG_NORMAL`).
const FRAGMENTS_NORMAL: u16 = 0;
/// Fragments are dropped (`OFPC_FRAG_DROP`).
const FRAGMENTS_DROP: u16 = 1;
/// Fragments are put together (`OFPC_FRAG_REASM`): not here.
const FRAGMENTS_REASSEMBLE: u16 = 2;

/// What a switch does without a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailMode {
    /// Its entries alone decide.
    #[default]
    Secure,
    /// Every packet is forwarded as by an ordinary switch, whatever its entries say.
    Standalone,
}

/// What a switch is like.
#[derive(Debug, Clone)]
pub struct SwitchConfig {
    /// Datapath id.
    pub datapath: u64,
    /// Who made it, and what it is called.
    pub description: Description,
    /// Packets it keeps for each connection, at most [`BUFFERS_MAX`].
    pub buffers: u32,
    /// Entries of one table, at most [`FLOWS_MAX`].
    pub flows_per_table: usize,
    /// Without a controller.
    pub fail_mode: FailMode,
    /// Key of its hashes: in earnest, 128 random bits.
    pub hash_key: u128,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            datapath: 1,
            description: Description {
                manufacturer: text("weft"),
                hardware: text("software switch"),
                software: text(env!("CARGO_PKG_VERSION")),
                serial: text("0"),
                datapath: text("weft openflow switch"),
            },
            buffers: 256,
            flows_per_table: FLOWS_MAX,
            fail_mode: FailMode::Secure,
            hash_key: 0x5eed,
        }
    }
}

/// What a switch wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a packet.
    Packet {
        /// Out of that port.
        port: PortNo,
        /// By that queue of it.
        queue: Option<u32>,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Send a message.
    Message {
        /// To that controller.
        connection: ConnectionId,
        /// The message. A request's answer has its transaction id; unasked ones have 0.
        message: Message,
    },
}

/// What waits to be polled.
#[derive(Debug)]
enum Queued {
    Output(Output),
    /// Messages of changes that are made as they are polled, since they may be many.
    Telling(Telling),
}

/// What became of packets, beside what ports and tables count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets whose steps were known.
    pub cache_hits: u64,
    /// Packets that went through the tables.
    pub cache_misses: u64,
    /// Copies, packet-ins and actions of a packet beyond a bound.
    pub over_limit: u64,
    /// Packets and messages dropped because [`OUTPUTS_MAX`] were waiting.
    pub outputs_dropped: u64,
}

/// What packets meet: all that is only read, or counted in, while one passes.
#[derive(Debug)]
struct Datapath {
    ports: Ports,
    tables: Tables,
    groups: Groups,
    meters: Meters,
    macs: Macs,
    hasher: FlowHasher,
    fragments: u16,
    stands_alone: bool,
}

/// An OpenFlow switch.
#[derive(Debug)]
pub struct Switch {
    config: SwitchConfig,
    datapath: Datapath,
    connections: Connections,
    cache: Cache,
    /// Grows with every change that a packet's way may depend on.
    generation: u64,
    effects: Effects,
    monitors: Monitors,
    outputs: VecDeque<Queued>,
    outputs_dropped: u64,
    over_limit: u64,
}

impl Switch {
    /// A switch without ports, entries and controllers.
    #[must_use]
    pub fn new(config: SwitchConfig) -> Self {
        let hasher = FlowHasher::new(config.hash_key);
        let datapath = Datapath {
            ports: Ports::default(),
            tables: Tables::new(hasher, config.flows_per_table),
            groups: Groups::default(),
            meters: Meters::default(),
            macs: Macs::new(hasher),
            hasher,
            fragments: FRAGMENTS_NORMAL,
            stands_alone: config.fail_mode == FailMode::Standalone,
        };
        Self {
            config,
            datapath,
            connections: Connections::default(),
            cache: Cache::new(hasher),
            generation: 0,
            effects: Effects::default(),
            monitors: Monitors::default(),
            outputs: VecDeque::new(),
            outputs_dropped: 0,
            over_limit: 0,
        }
    }

    /// Adds a port and tells the controllers.
    ///
    /// # Errors
    /// A number that ports cannot have; [`PORTS_MAX`] ports. One that is there already is described anew.
    pub fn add_port(&mut self, now: Duration, port: Port) -> Result<(), PortError> {
        let number = port.number;
        let is_new = self.datapath.ports.set(now, port)?;
        self.tell_port(number, if is_new { PortReason::Add } else { PortReason::Modify });
        Ok(())
    }

    /// A port's state changed: its carrier, its speed, its name. What a controller configured stays.
    ///
    /// # Errors
    /// No such port.
    pub fn port_changed(&mut self, now: Duration, port: Port) -> Result<(), PortError> {
        if self.datapath.ports.get(port.number.0).is_none() {
            return Err(PortError::Unknown(port.number));
        }
        self.add_port(now, port)
    }

    /// Takes a port away and tells the controllers. Entries that send there stay, and send nothing.
    pub fn remove_port(&mut self, _now: Duration, number: PortNo) {
        if let Some(port) = self.datapath.ports.remove(number) {
            self.generation += 1;
            self.datapath.macs.forget(number.0);
            self.tell_port_status(PortReason::Delete, &port);
        }
    }

    /// Gives a port its queues.
    ///
    /// # Errors
    /// No such port; more than [`QUEUES_MAX`].
    pub fn set_queues(&mut self, port: PortNo, queues: Vec<Queue>) -> Result<(), PortError> {
        self.datapath.ports.set_queues(port, queues)
    }

    /// The ports.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.datapath.ports.iter().map(|state| &state.port)
    }

    /// A controller is there: its channel is up, and speaks that version. `false` where there are [`CONNECTIONS_MAX`].
    pub fn connect(&mut self, _now: Duration, id: ConnectionId, version: Version) -> bool {
        self.monitors.forget(id);
        let added = self.connections.add(id, version, self.config.buffers as usize);
        self.update_standing();
        added
    }

    /// A controller is gone.
    pub fn disconnect(&mut self, _now: Duration, id: ConnectionId) {
        self.connections.remove(id);
        self.monitors.forget(id);
        self.update_standing();
    }

    fn update_standing(&mut self) {
        let stands_alone = self.config.fail_mode == FailMode::Standalone && self.connections.is_empty();
        if stands_alone != self.datapath.stands_alone {
            self.datapath.stands_alone = stands_alone;
            self.generation += 1;
        }
    }

    /// What it does without a controller.
    #[must_use]
    pub fn fail_mode(&self) -> FailMode {
        self.config.fail_mode
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            cache_hits: self.cache.hits,
            cache_misses: self.cache.misses,
            over_limit: self.over_limit,
            outputs_dropped: self.outputs_dropped,
        }
    }

    /// Flow entries of all tables.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.datapath.tables.len()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            match self.outputs.pop_front()? {
                Queued::Output(output) => return Some(output),
                Queued::Telling(telling) => {
                    if let Some(output) = self.tell_next(telling) {
                        return Some(output);
                    }
                }
            }
        }
    }

    /// When [`expire`](Self::expire) is to be called next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let times =
            [self.datapath.tables.deadline(), self.connections.deadline(), self.datapath.macs.deadline()];
        times.into_iter().flatten().min()
    }

    /// Does what time asks for: entries, buffers and stations whose time is over go.
    pub fn expire(&mut self, now: Duration) {
        while let Some((entry, reason)) = self.datapath.tables.expired(now) {
            self.generation += 1;
            self.monitors.changed(MonitorEvent::Removed(reason), &entry, &[]);
            self.tell_removed(now, &entry, reason);
        }
        self.tell_monitors();
        self.connections.expire(now);
        if self.datapath.macs.expire(now) {
            self.generation += 1;
        }
    }
}
