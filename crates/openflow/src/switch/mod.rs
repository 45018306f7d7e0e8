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

mod buffers;
mod cache;
mod check;
mod connections;
mod features;
mod flow_mod;
mod frame;
mod groups;
mod key;
mod learn;
mod macs;
mod meters;
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
pub use op::{COPIES_MAX, PUNTS_MAX};
pub use parse::{FRAME_MIN, TAGS_MAX};
pub use pipeline::{ACTIONS_PER_PACKET_MAX, DEPTH_MAX, RESUBMITS_MAX, STACK_MAX};
pub use ports::{PORTS_MAX, PortError, QUEUES_MAX};
pub use tables::{FLOWS_MAX, TABLES};
pub use tags::{FRAME_MAX, FRAME_SHORTEST};
pub use trace::{TRACE_LINES_MAX, Trace};

use crate::flow::{FlowRemoved, RemovedReason};
use crate::matching::Match;
use crate::message::{Body, Message, PortReason, PortStatus};
use crate::multipart::Description;
use crate::port::{Port, PortNo, config};
use crate::queue::Queue;
use crate::version::Version;

use cache::Cache;
use connections::Connections;
use frame::Frame;
use groups::Groups;
use macs::Macs;
use meters::Meters;
use op::{Effects, Op, Walk};
use pipeline::Run;
use ports::{Ports, bump};
use tables::{Entry, EntryId, Tables};

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
    /// What nothing matches is forwarded as an ordinary switch does.
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
    outputs: VecDeque<Output>,
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
        let added = self.connections.add(id, version, self.config.buffers as usize);
        self.update_standing();
        added
    }

    /// A controller is gone.
    pub fn disconnect(&mut self, _now: Duration, id: ConnectionId) {
        self.connections.remove(id);
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
        self.outputs.pop_front()
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
            self.tell_removed(now, &entry, reason);
        }
        self.connections.expire(now);
        if self.datapath.macs.expire(now) {
            self.generation += 1;
        }
    }

    /// A packet came in. Frames shorter than an Ethernet header are counted as errors.
    pub fn receive(&mut self, now: Duration, port: PortNo, packet: &[u8]) {
        let Some(state) = self.datapath.ports.get(port.0) else { return };
        if packet.len() < FRAME_MIN || packet.len() > FRAME_MAX {
            bump(&state.rx_errors);
            return;
        }
        state.received.add(packet.len());
        let frame = Frame::new(packet.to_vec(), port.0, self.datapath.fragments == FRAGMENTS_NORMAL);
        if !admits(&self.datapath, state, &frame) {
            bump(&state.rx_dropped);
            return;
        }
        match self.cache.find(&frame.key.0, self.generation) {
            Some(ops) => {
                let (datapath, effects) = (&self.datapath, &mut self.effects);
                let mut walk = Walk { datapath, now, frame, saved: Vec::new(), effects, is_trial: false };
                for (at, &op) in ops.iter().enumerate() {
                    let goes_on = walk.step(op, at + 1 == ops.len());
                    // A TTL at its end: the steps that follow are those of that.
                    if !goes_on && matches!(op, Op::Meter(_)) {
                        break;
                    }
                }
            }
            None => {
                let key = frame.key.0;
                let mut run = Run::new(&self.datapath, now, frame, &mut self.effects);
                run.pipeline(0);
                if let Some(ops) = run.record {
                    self.cache.keep(&key, self.generation, &ops);
                }
            }
        }
        self.settle(now);
    }

    /// Sends a packet through the tables from the first on, as `OFPP_TABLE` does.
    fn run_tables(&mut self, now: Duration, bytes: Vec<u8>, in_port: u32) {
        if bytes.len() >= FRAME_MIN {
            let frame = Frame::new(bytes, in_port, self.datapath.fragments == FRAGMENTS_NORMAL);
            Run::new(&self.datapath, now, frame, &mut self.effects).pipeline(0);
            self.settle(now);
        }
    }

    /// Does an entry's instructions with a packet that was kept.
    fn run_entry(&mut self, now: Duration, id: Option<EntryId>, bytes: Vec<u8>, in_port: u32) {
        if let Some(entry) = id.and_then(|id| self.datapath.tables.entry(id))
            && bytes.len() >= FRAME_MIN
        {
            entry.hit(now, bytes.len());
            let frame = Frame::new(bytes, in_port, self.datapath.fragments == FRAGMENTS_NORMAL);
            let mut run = Run::new(&self.datapath, now, frame, &mut self.effects);
            (run.table, run.cookie, run.entry) = (entry.table, entry.cookie, id);
            run.instructions(entry);
            self.settle(now);
        }
    }

    /// Carries out what packets led to.
    fn settle(&mut self, now: Duration) {
        let mut effects = std::mem::take(&mut self.effects);
        self.over_limit += std::mem::take(&mut effects.dropped);
        for sent in effects.outputs.drain(..) {
            let output = Output::Packet { port: PortNo(sent.port), queue: sent.queue, bytes: sent.bytes };
            self.push_unasked(output);
        }
        for punted in effects.punts.drain(..) {
            self.punt(now, punted);
        }
        for (station, port) in effects.stations.drain(..) {
            if self.datapath.macs.learn(now, station, port) {
                self.generation += 1;
            }
        }
        for (id, idle, hard) in effects.fins.drain(..) {
            let Some(entry) = self.datapath.tables.entry(id) else { continue };
            let shorter = |old: u16, new: u16| if new > 0 && (old == 0 || new < old) { new } else { old };
            entry.idle_timeout.set(shorter(entry.idle_timeout.get(), idle));
            entry.hard_timeout.set(shorter(entry.hard_timeout.get(), hard));
            self.datapath.tables.arm(id);
        }
        for flow in effects.learned.drain(..) {
            // As `ModifyStrict` in 1.0: added where it is not there. One that does not fit is not learned.
            if self.change_flows(now, Version::V10, flow.table, &flow).is_err() {
                self.over_limit += 1;
            }
        }
        // Its vectors keep their room.
        self.effects = effects;
    }

    fn push_unasked(&mut self, output: Output) {
        if self.outputs.len() < OUTPUTS_MAX {
            self.outputs.push_back(output);
        } else {
            self.outputs_dropped += 1;
        }
    }

    fn tell(&mut self, connection: ConnectionId, body: Body) {
        self.push_unasked(Output::Message { connection, message: Message::new(0, body) });
    }

    fn tell_port(&mut self, number: PortNo, reason: PortReason) {
        self.generation += 1;
        if let Some(port) = self.datapath.ports.get(number.0).map(|state| state.port.clone()) {
            self.tell_port_status(reason, &port);
        }
    }

    fn tell_port_status(&mut self, reason: PortReason, port: &Port) {
        let wanted = self.connections.iter().filter(|(_, connection)| connection.wants_port_status(reason));
        for id in wanted.map(|(id, _)| id).collect::<Vec<_>>() {
            self.tell(id, Body::PortStatus(PortStatus { reason, port: port.clone() }));
        }
    }

    fn tell_removed(&mut self, now: Duration, entry: &Entry, reason: RemovedReason) {
        if entry.flags & crate::flow::flags::SEND_FLOW_REM == 0 {
            return;
        }
        let (packets, bytes) = entry.count.get();
        let wanted = self.connections.iter().filter(|(_, connection)| connection.wants_removed(reason));
        let wanted: Vec<_> =
            wanted.map(|(id, c)| (id, c.version == Version::V10 && c.flow_format != 0)).collect();
        for (id, prefers_nxm) in wanted {
            let removed = FlowRemoved {
                nxm: prefers_nxm && matches!(entry.matching, Match::Fields(_)),
                cookie: entry.cookie,
                priority: entry.priority,
                reason,
                table: entry.table,
                duration: ports::since(now, entry.created),
                idle_timeout: entry.idle_timeout.get(),
                hard_timeout: entry.hard_timeout.get(),
                packets,
                bytes,
                matching: entry.matching.clone(),
            };
            self.tell(id, Body::FlowRemoved(removed));
        }
    }

    /// What would become of a packet, and why. Nothing is sent, learned or counted.
    #[must_use]
    pub fn explain(&self, now: Duration, port: PortNo, packet: &[u8]) -> Trace {
        if packet.len() < FRAME_MIN {
            let steps = vec![format!("{} bytes are no Ethernet frame", packet.len())];
            return Trace { steps, ..Trace::default() };
        }
        let frame = Frame::new(packet.to_vec(), port.0, self.datapath.fragments == FRAGMENTS_NORMAL);
        let flow = trace::flow_text(&frame);
        let state = self.datapath.ports.get(port.0);
        if state.is_some_and(|state| !admits(&self.datapath, state, &frame)) {
            let steps = vec!["the port takes no such packets in".to_owned()];
            return Trace { final_flow: flow.clone(), flow, steps, ..Trace::default() };
        }
        let mut effects = Effects::default();
        let mut run = Run::new(&self.datapath, now, frame, &mut effects);
        run.walk.is_trial = true;
        run.notes = Some(trace::Notes::default());
        run.pipeline(0);
        let final_flow = trace::flow_text(&run.walk.frame);
        let steps = run.notes.take().map(|notes| notes.0).unwrap_or_default();
        Trace {
            flow,
            steps,
            final_flow,
            outputs: effects.outputs.into_iter().map(|sent| (PortNo(sent.port), sent.bytes)).collect(),
            packet_ins: effects.punts.into_iter().map(|punted| punted.frame.bytes).collect(),
        }
    }
}

/// Whether a port takes a packet in, and the switch the fragment.
fn admits(datapath: &Datapath, state: &ports::PortState, frame: &Frame) -> bool {
    let is_fragment = frame.get(crate::field::Field::IpFrag) != 0;
    let is_spanning_tree = frame.key.eth_dst() == 0x0180_c200_0000;
    // 1.0: NO_RECV leaves spanning tree frames in, which NO_RECV_STP is for.
    let receives = if is_spanning_tree {
        let no_stp = state.port.config & (config::PORT_DOWN | config::NO_RECV_STP) != 0;
        !no_stp
    } else {
        state.receives()
    };
    receives && !(is_fragment && datapath.fragments == FRAGMENTS_DROP)
}
