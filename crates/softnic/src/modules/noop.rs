//! [`NoOp`].

use packet::Batch;

use crate::engine::{Context, Gate, Module};

/// Lets packets pass.
///
/// *Input gates*: one. *Output gates*: one.
///
/// A place in the graph to watch, or to measure what a module costs that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOp;

impl Module for NoOp {
    fn class(&self) -> &'static str {
        "NoOp"
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, _batch: &mut Batch) {
        ctx.forward(0);
    }
}
