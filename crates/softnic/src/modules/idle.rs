//! [`Idle`].

use packet::Batch;

use crate::engine::{Context, Gate, Module, Ran};

/// A task that does nothing, over and over.
///
/// *Input gates*: none. *Output gates*: none. *Tasks*: one, always ready.
///
/// For measuring what a turn costs, and for trying traffic classes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle;

impl Module for Idle {
    fn class(&self) -> &'static str {
        "Idle"
    }

    fn inputs(&self) -> Gate {
        0
    }

    fn outputs(&self) -> Gate {
        0
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, _ctx: &mut Context<'_>, _task: usize, _batch: &mut Batch) -> Ran {
        Ran::more(0, 0)
    }
}
