//! [`Sink`].

use packet::Batch;

use crate::engine::{Context, Gate, Module};

/// Takes packets and frees them.
///
/// *Input gates*: one. *Output gates*: none. It counts what it takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sink {
    packets: u64,
}

impl Sink {
    /// Has taken nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Packets taken.
    pub fn packets(&self) -> u64 {
        self.packets
    }
}

impl Module for Sink {
    fn class(&self) -> &'static str {
        "Sink"
    }

    fn outputs(&self) -> Gate {
        0
    }

    fn process(&mut self, _ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        self.packets += batch.len() as u64;
        batch.clear();
    }
}
