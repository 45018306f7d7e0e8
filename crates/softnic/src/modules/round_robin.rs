//! [`RoundRobin`].

use packet::Batch;

use crate::engine::{Context, Gate, Module};

/// Spreads packets over its output gates in turn.
///
/// *Input gates*: one. *Output gates*: as many as asked for.
///
/// Packets of one flow may overtake each other behind this module; [`RoundRobin::by_batch`] keeps those together
/// that came together, which is also cheaper.
///
/// ```
/// let spread = softnic::modules::RoundRobin::new(4);
/// let cheaper = softnic::modules::RoundRobin::by_batch(4);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RoundRobin {
    outputs: Gate,
    next: Gate,
    whole: bool,
}

impl RoundRobin {
    /// Each packet goes to the next gate.
    pub fn new(outputs: Gate) -> Self {
        Self { outputs, next: 0, whole: false }
    }

    /// Each batch goes to the next gate.
    pub fn by_batch(outputs: Gate) -> Self {
        Self { outputs, next: 0, whole: true }
    }

    fn turn(&mut self) -> Gate {
        let gate = self.next;
        self.next = if gate + 1 < self.outputs { gate + 1 } else { 0 };
        gate
    }
}

impl Module for RoundRobin {
    fn class(&self) -> &'static str {
        "RoundRobin"
    }

    fn outputs(&self) -> Gate {
        self.outputs
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        if self.whole {
            ctx.forward(self.turn());
            return;
        }
        for packet in batch.drain(..) {
            let gate = self.turn();
            ctx.emit(gate, packet);
        }
    }
}
