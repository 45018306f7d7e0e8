//! [`PortIn`].

use std::sync::Arc;

use packet::{BATCH, Batch, PortId};
use ports::RxQueue;

use super::bursts::Bursts;
use crate::engine::{Context, Gate, Module, Ran, Readiness};

/// Brings the packets that queues of a port receive into the graph.
///
/// *Input gates*: none. *Output gates*: one. *Tasks*: one for each queue, which sleeps while the queue's descriptor has
/// nothing.
///
/// When a queue fails (its interface is gone, its peer has closed) its task ends and the module's status says why; the
/// packets received until then are delivered.
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
    queues: Vec<Box<dyn RxQueue>>,
    /// Received, but beyond a burst; used only while bursts are shorter than a batch.
    waiting: Vec<Batch>,
    /// Where the bursts of each queue are counted, if anybody wants to know.
    bursts: Vec<Arc<Bursts>>,
    burst: usize,
    most: usize,
    number: PortId,
    error: String,
}

impl PortIn {
    /// Receives from `queue`.
    pub fn new(queue: Box<dyn RxQueue>) -> Self {
        Self::of(vec![queue])
    }

    /// Receives from several queues, each with a task of its own.
    pub fn of(queues: Vec<Box<dyn RxQueue>>) -> Self {
        let waiting = queues.iter().map(|_| Batch::new()).collect();
        Self {
            queues,
            waiting,
            bursts: Vec::new(),
            burst: BATCH,
            most: BATCH,
            number: PortId::NONE,
            error: String::new(),
        }
    }

    /// Counts the bursts of each queue there.
    #[must_use]
    pub fn counted(mut self, bursts: Vec<Arc<Bursts>>) -> Self {
        self.bursts = bursts;
        self
    }

    /// Marks the packets with the number of the port they came from ([`packet::Packet::ingress`]).
    #[must_use]
    pub fn numbered(mut self, number: PortId) -> Self {
        self.number = number;
        self
    }

    /// Lets [`set_burst`](Self::set_burst) take values up to `most`, although a turn brings a batch at most.
    #[must_use]
    pub fn burst_max(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Packets that one turn brings in, a batch at most.
    pub fn set_burst(&mut self, burst: usize) {
        self.burst = burst.min(BATCH);
    }

    /// The largest burst that may be asked for.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Gives the queues back.
    pub fn into_queues(self) -> Vec<Box<dyn RxQueue>> {
        self.queues
    }

    /// Receives into an empty batch, no more than a burst.
    fn receive(&mut self, task: usize, batch: &mut Batch) -> Result<usize, ports::PortError> {
        if self.burst == BATCH && self.waiting[task].is_empty() {
            return self.queues[task].receive(batch);
        }
        let waiting = &mut self.waiting[task];
        if waiting.is_empty() {
            self.queues[task].receive(waiting)?;
        }
        let count = waiting.len().min(self.burst);
        for packet in waiting.drain(..count) {
            // A burst is never more than a batch holds.
            let _ = batch.push(packet);
        }
        Ok(count)
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
        self.queues.len()
    }

    fn run(&mut self, ctx: &mut Context<'_>, task: usize, batch: &mut Batch) -> Ran {
        ctx.forward(0);
        let received = self.receive(task, batch);
        if let (Ok(count), Some(bursts)) = (&received, self.bursts.get(task)) {
            bursts.note(self.burst, *count);
        }
        match received {
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

    fn readiness(&self, task: usize) -> Readiness<'_> {
        self.queues[task].poll_fd().map_or(Readiness::Poll, Readiness::Fd)
    }

    fn tended(&self) -> bool {
        self.queues.iter().any(|queue| queue.tends())
    }

    fn tend(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.tend());
    }

    fn held(&self) -> usize {
        self.waiting.iter().map(Batch::len).sum()
    }

    fn status(&self) -> String {
        self.error.clone()
    }
}
