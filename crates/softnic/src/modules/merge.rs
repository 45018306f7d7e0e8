//! [`Merge`].

use packet::Batch;

use crate::engine::{Context, Gate, Module};

/// Brings packets from several input gates together.
///
/// *Input gates*: as many as asked for. *Output gates*: one.
///
/// Any input gate of any module may be reached from many places, so this is for graphs in which it matters where
/// a packet came in: each gate has its own counter.
///
/// ```
/// let merge = softnic::modules::Merge::new(3);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Merge {
    inputs: Gate,
}

impl Merge {
    /// Brings `inputs` gates together.
    pub fn new(inputs: Gate) -> Self {
        Self { inputs }
    }
}

impl Module for Merge {
    fn class(&self) -> &'static str {
        "Merge"
    }

    fn inputs(&self) -> Gate {
        self.inputs
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, _batch: &mut Batch) {
        ctx.forward(0);
    }
}
