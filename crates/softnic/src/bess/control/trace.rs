//! One packet's way through the graph.

use super::workers::NURSERY;
use super::{Bess, State};
use crate::bess::Failure;
use crate::bess::face::{End, Exit, Step, TraceReply, TraceRequest};
use crate::engine::{Gate, Snapshot, TraceEnd, TraceError, TraceStep};

impl From<TraceError> for Failure {
    fn from(error: TraceError) -> Self {
        Self::not_found(error.to_string())
    }
}

impl Bess {
    /// Follows a packet through the graph.
    pub(crate) fn trace(&self, request: &TraceRequest) -> Result<TraceReply, Failure> {
        let room = self.pool.room() - packet::HEADROOM;
        if request.packet.is_empty() || request.packet.len() > room {
            let len = request.packet.len();
            return Err(Failure::invalid(format!("a packet has 1 to {room} bytes, not {len}")));
        }
        let gate = Gate::try_from(request.gate)
            .map_err(|_| Failure::not_found(format!("gate {} does not exist", request.gate)))?;
        let packet = self
            .pool
            .packet(&request.packet)
            .ok_or_else(|| Failure::no_memory("no packet buffer is free"))?;
        let state = self.lock();
        state.built(&request.module)?;
        let trace = self.engine.trace(&request.module, gate, packet, request.send)?;
        let snapshot = self.engine.snapshot();
        let steps = trace.steps.into_iter().map(|step| told(step, &state, &snapshot)).collect();
        Ok(TraceReply { steps, cut: trace.cut })
    }
}

fn told(step: TraceStep, state: &State, snapshot: &Snapshot) -> Step {
    let built = state.modules.get(&step.module);
    let class = built.map_or(step.class, |built| built.class.name);
    let described = built.zip(snapshot.module(&step.module));
    let description = described.map(|(built, module)| state.describe(built, module)).unwrap_or_default();
    let exits = step.exits.into_iter().map(|exit| {
        let (end, gate, next) = match exit.end {
            TraceEnd::Passed { gate, step } => (End::Passed, gate, step.map(|step| step as u32)),
            TraceEnd::Unconnected { gate } => (End::Unconnected, gate, None),
            TraceEnd::Dropped => (End::Dropped, 0, None),
            TraceEnd::Kept => (End::Kept, 0, None),
            TraceEnd::Taken => (End::Taken, 0, None),
            TraceEnd::Spared => (End::Spared, 0, None),
            TraceEnd::OutOfOrder => (End::OutOfOrder, 0, None),
        };
        Exit { end: end.into(), gate: gate.into(), step: next, packet: exit.packet }
    });
    Step {
        exits: exits.collect(),
        module: step.module,
        class: class.to_owned(),
        description,
        worker: (step.worker != NURSERY).then_some(step.worker as u32),
        gate: step.gate.into(),
        packet: step.packet,
    }
}
