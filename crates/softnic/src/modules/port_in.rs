//! [`PortIn`].

use packet::{Batch, PortId};
use ports::RxQueue;

use crate::engine::{Context, Gate, Module, Ran, Readiness};

/// Brings the packets that a port's queue receives into the graph.
///
/// *Input gates*: none. *Output gates*: one. *Tasks*: one, which sleeps while the queue's descriptor has nothing.
///
/// When the queue fails (its interface is gone, its peer has closed) the task ends and the module's status says
/// why; the packets received until then are delivered.
///
/// ```no_run
/// # use softnic::engine::{Edit, Engine, WorkerConfig};
/// # use softnic::modules::PortIn;
/// # fn open() -> Box<dyn ports::Port> { unimplemented!() }
/// # let engine = Engine::new();
/// # let worker = engine.add_worker(WorkerConfig::default())?;
/// engine.add_port("tap0", open())?;
/// let (rx, tx) = engine.queue("tap0", 0)?;
/// engine.apply(Edit::new().add("in", PortIn::new(rx), worker))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PortIn {
    queue: Box<dyn RxQueue>,
    number: PortId,
    error: String,
}

impl PortIn {
    /// Receives from `queue`.
    pub fn new(queue: Box<dyn RxQueue>) -> Self {
        Self { queue, number: PortId::NONE, error: String::new() }
    }

    /// Marks the packets with the number of the port they came from ([`packet::Packet::ingress`]).
    #[must_use]
    pub fn numbered(mut self, number: PortId) -> Self {
        self.number = number;
        self
    }

    /// Gives the queue back.
    pub fn into_queue(self) -> Box<dyn RxQueue> {
        self.queue
    }
}

impl Module for PortIn {
    fn class(&self) -> &'static str {
        "PortIn"
    }

    fn inputs(&self) -> Gate {
        0
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        ctx.forward(0);
        match self.queue.receive(batch) {
            Ok(0) => Ran::idle(),
            Ok(count) => {
                let mut bytes = 0;
                for packet in batch.iter_mut() {
                    packet.set_ingress(self.number);
                    bytes += packet.len() as u64;
                }
                Ran::more(count, bytes)
            }
            Err(error) => {
                tracing::warn!("receiving ends: {error}");
                self.error = error.to_string();
                Ran::finished()
            }
        }
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        self.queue.poll_fd().map_or(Readiness::Poll, Readiness::Fd)
    }

    fn status(&self) -> String {
        self.error.clone()
    }
}
