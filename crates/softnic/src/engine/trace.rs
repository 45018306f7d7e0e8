//! Following one packet through the graph.

use packet::Packet;

use super::control::wait;
use super::executor::Walk;
use super::{Engine, Gate};

/// Modules that one trace meets, copies counted; beyond, it is cut short.
pub const TRACE_STEPS_MAX: usize = 256;

/// One packet's way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The modules, in the order in which the packet and its copies met them.
    pub steps: Vec<TraceStep>,
    /// Whether it was longer than [`TRACE_STEPS_MAX`].
    pub cut: bool,
}

/// A module that a traced packet has met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    /// The module.
    pub module: String,
    /// Its class.
    pub class: &'static str,
    /// The worker that has it.
    pub worker: usize,
    /// The input gate; of a module without any, the output gate.
    pub gate: Gate,
    /// The frame as it came in.
    pub packet: Vec<u8>,
    /// What became of it: one for each copy.
    pub exits: Vec<TraceExit>,
}

/// What a module has made of a traced packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceExit {
    /// Where it went.
    pub end: TraceEnd,
    /// The frame as it went; empty where nobody can say.
    pub packet: Vec<u8>,
}

/// Where a traced packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceEnd {
    /// Out by a gate.
    Passed {
        /// The output gate.
        gate: Gate,
        /// The step that it leads to, unless the trace was cut short.
        step: Option<usize>,
    },
    /// Out by a gate that leads nowhere.
    Unconnected {
        /// The output gate.
        gate: Gate,
    },
    /// Not let out.
    Dropped,
    /// Kept inside, for later.
    Kept,
    /// Taken by a module without output gates, such as one that sends.
    Taken,
    /// The walk ends before the module, which would take or keep the packet.
    Spared,
    /// The module has panicked, over this packet or earlier.
    OutOfOrder,
}

/// Why a packet cannot be traced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// No module has the name.
    #[error("there is no module `{0}`")]
    NoModule(String),
    /// The module has no such gate.
    #[error("module `{module}` has no {kind} gate {gate}: it has {gates}")]
    NoGate {
        /// The module.
        module: String,
        /// Which gates: `input`, or `output` where there are no input gates.
        kind: &'static str,
        /// The gate.
        gate: Gate,
        /// How many there are.
        gates: Gate,
    },
}

impl Engine {
    /// Follows a packet from an input gate of a module through the graph, between two batches of traffic and from worker
    /// to worker. From a module without input gates it sets out by the output gate of that number, as if the module
    /// had brought it in.
    ///
    /// Nothing is counted and hooks do not see it. Unless `send` says so, the walk ends before modules that would let
    /// the packet out of the graph or keep it for a task (those without output gates or with tasks of their own). The
    /// modules on the way do with it what they do with any packet: a NAT opens a flow for it, a table learns from it.
    ///
    /// # Errors
    /// When there is no such module or gate.
    pub fn trace(&self, module: &str, gate: Gate, packet: Packet, send: bool) -> Result<Trace, TraceError> {
        let state = self.lock();
        let id = state.model.id(module).ok_or_else(|| TraceError::NoModule(module.to_owned()))?;
        let entry = state.model.entry(id).expect("names lead to entries");
        let (kind, gates) = match entry.shape.inputs {
            0 => ("output", entry.shape.outputs),
            inputs => ("input", inputs),
        };
        if gate >= gates {
            return Err(TraceError::NoGate { module: module.to_owned(), kind, gate, gates });
        }
        let (mut worker, mut walk) = (entry.worker, Walk::new(id, gate, packet, send));
        loop {
            let answer = state.workers[&worker].ask(move |worker| {
                worker.executor.walk(&mut walk);
                walk
            });
            walk = wait(&answer);
            let Some(departure) = walk.departure() else { return Ok(walk.finish()) };
            let from = state.model.entry(departure.from).expect("the graph stays while it is locked");
            let link = from.links[&departure.output];
            worker = state.model.entry(link.to).expect("links lead to modules").worker;
            walk.arrive(departure, link.to, link.input);
        }
    }
}
