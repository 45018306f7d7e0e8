//! How a module lets packets out.

use packet::{Batch, Packet};

use super::Gate;
use super::clock::monotonic_ns;
use super::node::{NOT_OPEN, Output};

/// What a module's code sees of the engine during a call: where its packets go, and what time it is.
///
/// Packets are collected per output gate and handed on after the module returns, so that a module never runs
/// inside another one, however the graph loops.
pub struct Context<'a> {
    outputs: &'a mut [Output],
    emission: &'a mut Emission,
    budget: usize,
}

/// What a call has let out so far. Belongs to the executor and is used again for every call.
#[derive(Default)]
pub(crate) struct Emission {
    /// Batches by output gate, in the order in which they were begun.
    pub(crate) emitted: Vec<(Gate, Box<Batch>)>,
    /// Empty batches. In boxes, since a batch changes places by its pointer.
    #[expect(clippy::vec_box)]
    pub(crate) spare: Vec<Box<Batch>>,
    /// The gate that takes what the call leaves in its batch.
    pub(crate) forward: Option<Gate>,
    /// The bytes of what it leaves there, where it has said.
    pub(crate) bytes: Option<u64>,
    /// Whether the call has done anything else that must be seen to.
    pub(crate) more: bool,
    /// Tasks to wake, one bit each.
    pub(crate) wakes: u64,
    /// What the module has said of being full.
    pub(crate) overload: Option<bool>,
    /// Packets for gates that the module does not have.
    pub(crate) no_gate: u64,
    /// The worker whose task brought the packets into the graph.
    pub(crate) origin: usize,
    /// The time, once somebody has asked in this turn.
    pub(crate) now_ns: Option<u64>,
}

impl Emission {
    pub(crate) fn spare(&mut self) -> Box<Batch> {
        self.spare.pop().unwrap_or_default()
    }
}

impl<'a> Context<'a> {
    #[inline]
    pub(crate) fn new(outputs: &'a mut [Output], emission: &'a mut Emission, budget: usize) -> Self {
        Self { outputs, emission, budget }
    }

    /// How many packets this turn of a task may bring into the graph. Never more than a batch holds.
    #[inline]
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// The time in nanoseconds of `CLOCK_MONOTONIC`, read at most once in a turn.
    #[inline]
    pub fn now_ns(&mut self) -> u64 {
        *self.emission.now_ns.get_or_insert_with(monotonic_ns)
    }

    /// The worker whose task brought the packets into the graph, or on from a queue.
    #[inline]
    pub fn origin(&self) -> usize {
        self.emission.origin
    }

    /// Whether packets that leave at `gate` go anywhere.
    #[inline]
    pub fn connected(&self, gate: Gate) -> bool {
        self.outputs.get(usize::from(gate)).is_some_and(Output::connected)
    }

    /// Lets a packet out at `gate`. Where nothing is connected there, it is dropped and counted.
    #[inline]
    pub fn emit(&mut self, gate: Gate, packet: Packet) {
        let Some(batch) = self.open(gate) else {
            self.lose(1);
            return;
        };
        if let Err(packet) = batch.push(packet) {
            let batch = self.begin(gate);
            // A batch that was just begun has room.
            let _ = batch.push(packet);
        }
    }

    /// Lets all packets of a batch out at `gate`, and leaves it empty.
    pub fn emit_batch(&mut self, gate: Gate, batch: &mut Batch) {
        let Some(open) = self.open(gate) else {
            self.lose(batch.len());
            batch.clear();
            return;
        };
        if open.is_empty() {
            std::mem::swap(open, batch);
            return;
        }
        open.append(batch);
        if !batch.is_empty() {
            std::mem::swap(self.begin(gate), batch);
        }
    }

    /// Sends what the call leaves in its batch out at `gate`, behind all that it emits there.
    #[inline]
    pub fn forward(&mut self, gate: Gate) {
        self.emission.forward = Some(gate);
    }

    /// [`forward`](Self::forward) where the module knows how many bytes the packets have that it leaves in its batch: they need
    /// not be counted then.
    #[inline]
    pub fn forward_counted(&mut self, gate: Gate, bytes: u64) {
        self.emission.forward = Some(gate);
        self.emission.bytes = Some(bytes);
    }

    /// Gives one of the module's own tasks a turn, if it was idle.
    #[inline]
    pub fn wake(&mut self, task: usize) {
        self.emission.more = true;
        self.emission.wakes |= 1u64.checked_shl(task as u32).unwrap_or(0);
    }

    /// Says whether the module is full. While it is, the tasks whose packets would come straight to it have no turns:
    /// those of the modules upstream in the same worker, up to and including the next ones that have tasks.
    ///
    /// What is on its way is delivered all the same, so a module says so while it has room for a few batches yet. Packets
    /// that come over a ring from another worker are not held back: where they find no room, they are dropped.
    #[inline]
    pub fn overload(&mut self, full: bool) {
        self.emission.more = true;
        self.emission.overload = Some(full);
    }

    /// The batch that is being filled for `gate`; `None` when there is no such gate.
    #[inline]
    fn open(&mut self, gate: Gate) -> Option<&mut Batch> {
        let output = self.outputs.get(usize::from(gate))?;
        if output.open == NOT_OPEN {
            return Some(self.begin(gate));
        }
        Some(&mut self.emission.emitted[output.open as usize].1)
    }

    /// Counts packets for a gate that the module does not have.
    fn lose(&mut self, packets: usize) {
        self.emission.more = true;
        self.emission.no_gate += packets as u64;
    }

    /// Begins a new batch for `gate`, which exists.
    fn begin(&mut self, gate: Gate) -> &mut Batch {
        self.emission.more = true;
        let batch = self.emission.spare();
        self.outputs[usize::from(gate)].open = self.emission.emitted.len() as u32;
        self.emission.emitted.push((gate, batch));
        &mut self.emission.emitted.last_mut().expect("just pushed").1
    }
}
