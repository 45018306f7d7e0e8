//! A module's place in the graph: its counters, and where its output gates lead.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use packet::Batch;

use super::clock::monotonic_ns;
use super::edge::Sender;
use super::hook::{Hook, Side};
use super::traffic::{ClassId, TaskId};
use super::{Gate, Module, Place};

/// The value of [`Output::open`] while no batch is being filled for the gate.
pub(crate) const NOT_OPEN: u32 = u32::MAX;

/// A module's number: unique among the modules of an engine, and used again after it is gone.
pub(crate) type NodeId = u32;

/// Where an output gate leads.
pub(crate) enum Target {
    /// Nowhere: packets are dropped and counted.
    None,
    /// To a module of the same worker.
    Local(NodeId, Gate),
    /// To a module of another worker.
    Remote(Sender),
}

/// An output gate.
pub(crate) struct Output {
    pub(crate) target: Target,
    /// Which of the emitted batches is being filled for this gate.
    pub(crate) open: u32,
    pub(crate) batches: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// What looks at the packets.
    pub(crate) hooks: Vec<Hook>,
    /// Packets dropped because nothing is connected.
    pub(crate) unconnected: u64,
    /// Packets dropped because the ring to the other worker was full.
    pub(crate) overrun: u64,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self {
            target: Target::None,
            open: NOT_OPEN,
            batches: 0,
            packets: 0,
            bytes: 0,
            hooks: Vec::new(),
            unconnected: 0,
            overrun: 0,
        }
    }

    #[inline]
    pub(crate) fn connected(&self) -> bool {
        !matches!(self.target, Target::None)
    }

    /// Counts a batch and says where in this worker it goes on; elsewhere it is taken care of here, and the
    /// batch comes back empty. `known` are the bytes of its packets, where somebody has counted them, and afterwards.
    #[inline]
    pub(crate) fn pass(&mut self, batch: &mut Batch, known: &mut Option<u64>) -> Option<(NodeId, Gate)> {
        match self.target {
            Target::Local(node, gate) if self.hooks.is_empty() => {
                let bytes = *known.get_or_insert_with(|| bytes(batch));
                self.count(batch.len(), bytes);
                debug_assert_eq!(bytes, self::bytes(batch), "bytes that were carried along");
                Some((node, gate))
            }
            _ => self.pass_with_care(batch, known),
        }
    }

    fn pass_with_care(&mut self, batch: &mut Batch, known: &mut Option<u64>) -> Option<(NodeId, Gate)> {
        if !self.hooks.is_empty() && self.connected() {
            show(&mut self.hooks, batch);
        }
        let (count, bytes) = (batch.len(), known.unwrap_or_else(|| bytes(batch)));
        match &mut self.target {
            &mut Target::Local(node, gate) => {
                self.count(count, bytes);
                *known = Some(bytes);
                return Some((node, gate));
            }
            Target::Remote(sender) => {
                sender.send(batch);
                self.overrun += batch.len() as u64;
                if batch.len() < count {
                    self.count(count - batch.len(), bytes - self::bytes(batch));
                }
            }
            Target::None => self.unconnected += count as u64,
        }
        batch.clear();
        None
    }

    #[inline]
    fn count(&mut self, packets: usize, bytes: u64) {
        self.batches += 1;
        self.packets += packets as u64;
        self.bytes += bytes;
    }
}

/// Shows packets that pass to hooks. A hook that panics is taken off; packets and module go on.
#[cold]
pub(crate) fn show(hooks: &mut Vec<Hook>, batch: &Batch) {
    let now_ns = monotonic_ns();
    calmly(hooks, |hook| hook.hook.pass(batch, now_ns));
}

/// Calls hooks, and takes those off their gate that panic.
fn calmly(hooks: &mut Vec<Hook>, mut call: impl FnMut(&mut Hook)) {
    hooks.retain_mut(|hook| {
        // Unwind safety: nobody looks at the hook again if it panics.
        let calm = catch_unwind(AssertUnwindSafe(|| call(hook))).is_ok();
        if !calm {
            tracing::error!(hook = %hook.name, class = hook.hook.class(), "panicked, taken off its gate");
        }
        calm
    });
}

/// Bytes of all packets of a batch.
#[inline]
pub(crate) fn bytes(batch: &Batch) -> u64 {
    batch.iter().map(|packet| packet.len() as u64).sum()
}

/// Gates that a module has ready from the start. Those beyond are opened when something is connected there: a module
/// that may have thousands mostly has a few.
const GATES_READY: Gate = 64;

/// What a module has said of itself when it was added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) class: &'static str,
    pub(crate) inputs: Gate,
    pub(crate) outputs: Gate,
    pub(crate) tasks: usize,
    pub(crate) keeps_lengths: bool,
}

/// A module in a worker's hands.
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) module: Box<dyn Module>,
    /// Whether batches that it forwards whole have as many bytes as before.
    pub(crate) keeps_lengths: bool,
    /// How many input and output gates it has.
    gates: (Gate, Gate),
    /// Packets that came in at each input gate, as far as they are opened.
    pub(crate) inputs: Vec<u64>,
    /// Hooks on input gates, by gate.
    pub(crate) input_hooks: Vec<(Gate, Vec<Hook>)>,
    pub(crate) outputs: Vec<Output>,
    /// Packets that the module left in its batch, or sent to a gate that it does not have.
    pub(crate) dropped: u64,
    /// Packets that were lost to a panic, or came while the module was out of order.
    pub(crate) lost: u64,
    /// What it panicked with.
    pub(crate) failed: Option<String>,
    /// How many tasks it has.
    pub(crate) task_count: usize,
    /// Their numbers in the worker that has the module.
    pub(crate) tasks: Vec<TaskId>,
    /// Their traffic classes.
    pub(crate) leaves: Vec<ClassId>,
    /// Whether it has said that it is full ([`Context::overload`](super::Context::overload)).
    pub(crate) overloaded: bool,
    /// How many modules that are full its tasks lead to.
    pub(crate) resting: u32,
}

impl Node {
    pub(crate) fn new(name: Arc<str>, module: Box<dyn Module>, shape: Shape) -> Self {
        Self {
            name,
            module,
            keeps_lengths: shape.keeps_lengths,
            gates: (shape.inputs, shape.outputs),
            inputs: vec![0; usize::from(shape.inputs.min(GATES_READY))],
            input_hooks: Vec::new(),
            outputs: (0..shape.outputs.min(GATES_READY)).map(|_| Output::new()).collect(),
            dropped: 0,
            lost: 0,
            failed: None,
            task_count: shape.tasks,
            tasks: Vec::with_capacity(shape.tasks),
            leaves: Vec::new(),
            overloaded: false,
            resting: 0,
        }
    }

    /// An output gate, opened if need be; `None` when the module has none of that number.
    pub(crate) fn output(&mut self, gate: Gate) -> Option<&mut Output> {
        let at = usize::from(gate);
        if gate < self.gates.1 && at >= self.outputs.len() {
            self.outputs.resize_with(at + 1, Output::new);
        }
        self.outputs.get_mut(at)
    }

    /// Opens an input gate: packets may come there from now on.
    pub(crate) fn open_input(&mut self, gate: Gate) {
        let at = usize::from(gate);
        if gate < self.gates.0 && at >= self.inputs.len() {
            self.inputs.resize(at + 1, 0);
        }
    }

    /// The hooks on a gate; `None` when there is no such gate.
    pub(crate) fn hooks(&mut self, side: Side) -> Option<&mut Vec<Hook>> {
        match side {
            Side::Output(gate) => Some(&mut self.output(gate)?.hooks),
            Side::Input(gate) => {
                if gate >= self.gates.0 {
                    return None;
                }
                let known = self.input_hooks.iter().position(|(other, _)| *other == gate);
                let at = known.unwrap_or_else(|| {
                    self.input_hooks.push((gate, Vec::new()));
                    self.input_hooks.len() - 1
                });
                Some(&mut self.input_hooks[at].1)
            }
        }
    }

    /// Tells all hooks where the module's attributes lie.
    pub(crate) fn place_hooks(&mut self, places: &[Place]) {
        let outputs = self.outputs.iter_mut().map(|output| &mut output.hooks);
        let inputs = self.input_hooks.iter_mut().map(|(_, hooks)| hooks);
        for hooks in outputs.chain(inputs) {
            calmly(hooks, |Hook { hook, attributes, .. }| hook.place(attributes, places));
        }
    }

    /// Forgets gates whose hooks are all gone, so that packets do not look for them.
    pub(crate) fn tidy_hooks(&mut self) {
        self.input_hooks.retain(|(_, hooks)| !hooks.is_empty());
    }
}
