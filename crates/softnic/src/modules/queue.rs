//! [`Queue`].

use std::collections::VecDeque;

use packet::{Batch, Packet};

use crate::engine::{Context, Gate, Module, Next, Ran, Readiness};

/// The most packets that a queue may hold.
pub const QUEUE_MAX: usize = 1 << 20;

/// Holds packets until its own task takes them on: the boundary between two tasks.
///
/// *Input gates*: one. *Output gates*: one. *Tasks*: one, which sleeps while the queue is empty.
///
/// What comes while the queue is full is dropped, and counted in the module's `dropped`. Packets in the queue stay
/// there through every edit of the graph.
///
/// ```
/// let queue = softnic::modules::Queue::new(1024);
/// ```
#[derive(Debug)]
pub struct Queue {
    packets: VecDeque<Packet>,
    capacity: usize,
}

impl Queue {
    /// Holds up to `capacity` packets, [`QUEUE_MAX`] at most.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.min(QUEUE_MAX);
        Self { packets: VecDeque::with_capacity(capacity), capacity }
    }
}

impl Module for Queue {
    fn class(&self) -> &'static str {
        "Queue"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let room = self.capacity - self.packets.len();
        let count = room.min(batch.len());
        self.packets.extend(batch.drain(..count));
        ctx.wake(0);
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        let count = ctx.budget().min(self.packets.len());
        let mut bytes = 0;
        for packet in self.packets.drain(..count) {
            bytes += packet.len() as u64;
            // The budget is never more than a batch holds.
            let _ = batch.push(packet);
        }
        ctx.forward(0);
        let next = if self.packets.is_empty() { Next::Idle } else { Next::More };
        Ran { packets: count as u32, bytes, next }
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Signal
    }

    fn held(&self) -> usize {
        self.packets.len()
    }
}
