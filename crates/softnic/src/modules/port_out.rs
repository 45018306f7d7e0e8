//! [`PortOut`].

use std::sync::Arc;

use packet::Batch;
use ports::TxQueue;

use super::bursts::Bursts;
use crate::engine::{Context, Gate, Module};

/// How often a batch is offered to a full queue before the rest of it is dropped.
const TRIES: usize = 4;

/// Sends packets out of a port.
///
/// *Input gates*: one. *Output gates*: none.
///
/// What a full queue does not take after a few tries is dropped, as any network card does, and counted in the
/// module's `dropped`. When the queue fails, everything is dropped and the status says why. Of several queues the first
/// is used: a module has one worker, and so does a queue.
pub struct PortOut {
    queues: Vec<Box<dyn TxQueue>>,
    /// Where the bursts of the first queue are counted, if anybody wants to know.
    bursts: Option<Arc<Bursts>>,
    sent: u64,
    error: String,
}

impl PortOut {
    /// Sends into `queue`.
    pub fn new(queue: Box<dyn TxQueue>) -> Self {
        Self::of(vec![queue])
    }

    /// Has all of these queues.
    pub fn of(queues: Vec<Box<dyn TxQueue>>) -> Self {
        Self { queues, bursts: None, sent: 0, error: String::new() }
    }

    /// Counts the bursts of the first queue there.
    #[must_use]
    pub fn counted(mut self, bursts: Option<Arc<Bursts>>) -> Self {
        self.bursts = bursts;
        self
    }

    /// Packets that the queue has taken.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Gives the queues back.
    pub fn into_queues(self) -> Vec<Box<dyn TxQueue>> {
        self.queues
    }
}

impl PortOut {
    fn send(&mut self, batch: &mut Batch) {
        let Some(queue) = self.queues.first_mut() else { return };
        for _ in 0..TRIES {
            match queue.send(batch) {
                Ok(sent) => self.sent += sent as u64,
                Err(error) => {
                    if self.error.is_empty() {
                        tracing::warn!("sending fails: {error}");
                        self.error = error.to_string();
                    }
                    return;
                }
            }
            if batch.is_empty() {
                return;
            }
        }
    }
}

impl Module for PortOut {
    fn class(&self) -> &'static str {
        "PortOut"
    }

    fn outputs(&self) -> Gate {
        0
    }

    fn process(&mut self, _ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let (wanted, before) = (batch.len(), self.sent);
        self.send(batch);
        if let Some(bursts) = &self.bursts {
            bursts.note(wanted, (self.sent - before) as usize);
        }
    }

    fn status(&self) -> String {
        self.error.clone()
    }
}
