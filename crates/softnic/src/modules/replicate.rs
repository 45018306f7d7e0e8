//! [`Replicate`].

use packet::Batch;

use crate::engine::{Context, Gate, Module};

/// Lets a copy of each packet out at every output gate.
///
/// *Input gates*: one. *Output gates*: as many as asked for; the last one gets the original.
///
/// A copy for which the packet's pool has no buffer is not made; [`Replicate::missing`] counts them.
///
/// ```
/// let replicate = softnic::modules::Replicate::new(2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Replicate {
    outputs: Gate,
    missing: u64,
}

impl Replicate {
    /// Replicates to `outputs` gates.
    pub fn new(outputs: Gate) -> Self {
        Self { outputs, missing: 0 }
    }

    /// Copies that were not made for want of a buffer.
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

impl Module for Replicate {
    fn class(&self) -> &'static str {
        "Replicate"
    }

    fn outputs(&self) -> Gate {
        self.outputs
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let Some(last) = self.outputs.checked_sub(1) else { return };
        for gate in 0..last {
            for packet in &*batch {
                match packet.try_clone() {
                    Some(copy) => ctx.emit(gate, copy),
                    None => self.missing += 1,
                }
            }
        }
        ctx.forward(last);
    }
}
