//! One packet's walk, module by module, beside the traffic.
//!
//! Between two turns the packet is given to its first module alone, then to the next, and so on; what the executor does
//! for traffic (counting, hooks, stack, rings) is left out, so that traffic pays nothing for being traced and no count
//! moves. The packet is known by its ingress port, [`TRACED`], which copies inherit; whatever else a module lets out on
//! the way, such as packets that it had kept, takes its usual course.

use packet::{BATCH, Batch, Packet, PortId};

use super::Executor;
use crate::engine::context::Context;
use crate::engine::node::{Node, NodeId, Target};
use crate::engine::{Gate, TRACE_STEPS_MAX, Trace, TraceEnd, TraceExit, TraceStep};

/// The port that a traced packet says it came from. Nobody numbers ports so high.
const TRACED: PortId = PortId(u32::MAX - 1);

/// A packet that is about to meet a module.
struct Arrival {
    node: NodeId,
    gate: Gate,
    packet: Packet,
    /// The step and the exit that led here.
    by: Option<(usize, usize)>,
}

/// A packet that goes on at another worker.
pub(crate) struct Departure {
    pub(crate) from: NodeId,
    pub(crate) output: Gate,
    packet: Packet,
    by: (usize, usize),
}

/// A walk that workers hand to each other.
pub(crate) struct Walk {
    trace: Trace,
    /// Whether ports and queues get the packet.
    send: bool,
    here: Vec<Arrival>,
    away: Vec<Departure>,
}

impl Walk {
    /// A walk that begins with a packet before a module.
    pub(crate) fn new(node: NodeId, gate: Gate, mut packet: Packet, send: bool) -> Self {
        packet.set_ingress(TRACED);
        let here = vec![Arrival { node, gate, packet, by: None }];
        Self { trace: Trace::default(), send, here, away: Vec::new() }
    }

    /// The next packet that goes on at another worker; without one, the walk is over.
    pub(crate) fn departure(&mut self) -> Option<Departure> {
        self.away.pop()
    }

    /// Lets it go on before a module.
    pub(crate) fn arrive(&mut self, departure: Departure, node: NodeId, gate: Gate) {
        self.here.push(Arrival { node, gate, packet: departure.packet, by: Some(departure.by) });
    }

    /// What has been met.
    pub(crate) fn finish(self) -> Trace {
        self.trace
    }

    /// Notes a module; `None` when there are enough.
    fn meet(&mut self, node: &Node, worker: usize, arrival: &Arrival) -> Option<usize> {
        let at = self.trace.steps.len();
        if at >= TRACE_STEPS_MAX {
            self.trace.cut = true;
            return None;
        }
        self.trace.steps.push(TraceStep {
            module: node.name.to_string(),
            class: node.module.class(),
            worker,
            gate: arrival.gate,
            packet: arrival.packet.data().to_vec(),
            exits: Vec::new(),
        });
        if let Some((step, exit)) = arrival.by
            && let TraceEnd::Passed { step: next, .. } = &mut self.trace.steps[step].exits[exit].end
        {
            *next = Some(at);
        }
        Some(at)
    }

    fn end(&mut self, step: usize, end: TraceEnd, packet: &[u8]) {
        self.trace.steps[step].exits.push(TraceExit { end, packet: packet.to_vec() });
    }

    /// Notes that a packet leaves by a gate, and where it goes on.
    fn pass(&mut self, step: usize, from: NodeId, output: Gate, target: &Target, packet: Packet) {
        let by = (step, self.trace.steps[step].exits.len());
        match target {
            Target::None => self.end(step, TraceEnd::Unconnected { gate: output }, packet.data()),
            &Target::Local(node, gate) => {
                self.end(step, TraceEnd::Passed { gate: output, step: None }, packet.data());
                self.here.push(Arrival { node, gate, packet, by: Some(by) });
            }
            Target::Remote(_) => {
                self.end(step, TraceEnd::Passed { gate: output, step: None }, packet.data());
                self.away.push(Departure { from, output, packet, by });
            }
        }
    }
}

/// What a module has let out of a traced packet and its copies.
#[derive(Default)]
struct Gathered {
    out: Vec<(Gate, Packet)>,
    left: Vec<Packet>,
}

impl Executor {
    /// Goes as far as the packet stays with this worker.
    pub(crate) fn walk(&mut self, walk: &mut Walk) {
        while let Some(arrival) = walk.here.pop() {
            self.visit(walk, arrival);
        }
    }

    fn visit(&mut self, walk: &mut Walk, arrival: Arrival) {
        let worker = self.worker;
        let node = self.node(arrival.node).expect("edges lead to modules");
        let Some(step) = walk.meet(node, worker, &arrival) else { return };
        let Arrival { node: id, gate, packet, .. } = arrival;
        if node.failed.is_some() {
            return walk.end(step, TraceEnd::OutOfOrder, &[]);
        }
        if node.inputs.is_empty() {
            // The packet is one that it might have brought in.
            return match node.outputs.get(usize::from(gate)) {
                Some(output) => walk.pass(step, id, gate, &output.target, packet),
                // Gates are opened when something is connected there.
                None => walk.end(step, TraceEnd::Unconnected { gate }, packet.data()),
            };
        }
        let last = node.outputs.is_empty();
        if !walk.send && (last || node.task_count > 0) {
            return walk.end(step, TraceEnd::Spared, &[]);
        }
        let held = node.module.held();
        let Some(gathered) = self.process_alone(id, gate, packet) else {
            return walk.end(step, TraceEnd::OutOfOrder, &[]);
        };
        let node = self.node(id).expect("it just ran");
        if gathered.out.is_empty() && gathered.left.is_empty() {
            let kept = node.module.held() > held;
            let end = if kept {
                TraceEnd::Kept
            } else if last {
                TraceEnd::Taken
            } else {
                TraceEnd::Dropped
            };
            return walk.end(step, end, &[]);
        }
        let first = walk.here.len();
        for (gate, packet) in gathered.out {
            walk.pass(step, id, gate, &node.outputs[usize::from(gate)].target, packet);
        }
        walk.here[first..].reverse();
        for packet in gathered.left {
            walk.end(step, TraceEnd::Dropped, packet.data());
        }
    }

    /// Gives a module the packet alone and collects what comes of it; `None` when the module panics.
    fn process_alone(&mut self, id: NodeId, gate: Gate, packet: Packet) -> Option<Gathered> {
        self.begin(self.worker);
        let mut result = None;
        // Between turns the current batch is empty.
        let _ = self.current.push(packet);
        self.guarded(|this| {
            (this.running, this.given) = (id, 1);
            let Self { nodes, emission, current, .. } = &mut *this;
            let node = nodes[id as usize].as_deref_mut().expect("it was just looked at");
            let mut ctx = Context::new(&mut node.outputs, emission, BATCH);
            node.module.process(&mut ctx, gate, current);
            result = Some(this.gather());
            // The others go on as ever.
            if let Some((node, gate)) = this.leave(0) {
                this.through(node, gate, 1);
            }
            this.drain();
        });
        result
    }

    /// Takes the traced packets out of what the module that just ran has let out or left behind.
    fn gather(&mut self) -> Gathered {
        let Self { nodes, emission, current, running, .. } = self;
        // The traced packet's are among them.
        emission.bytes = None;
        let node = nodes[*running as usize].as_deref_mut().expect("it just ran");
        let mut gathered = Gathered::default();
        for (gate, batch) in &mut emission.emitted {
            gathered.out.extend(traced(batch).into_iter().map(|packet| (*gate, packet)));
        }
        let left = traced(current);
        match emission.forward.filter(|gate| usize::from(*gate) < node.outputs.len()) {
            Some(gate) => gathered.out.extend(left.into_iter().map(|packet| (gate, packet))),
            None => gathered.left = left,
        }
        gathered
    }
}

/// Takes the traced packets out of a batch; the others stay in their order.
fn traced(batch: &mut Batch) -> Vec<Packet> {
    let (traced, others): (Vec<_>, Vec<_>) =
        batch.drain(..).partition(|packet: &Packet| packet.ingress() == TRACED);
    for packet in others {
        // As many as were there before.
        let _ = batch.push(packet);
    }
    traced
}
