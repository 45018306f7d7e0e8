//! Edges between workers: a bounded ring of packets, and the doorbell that wakes its reader.
//!
//! A ring has one writer and one reader, since each end belongs to one module, which belongs to one worker. Its slots
//! hold packets, not batches: a batch of one packet takes one slot, so that a ring bridges the time for which its reader waits
//! for a core, whatever the size of the batches, and its reader takes full ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use packet::{Batch, Packet};
use ports::ring::{self, Receiver};

use super::Gate;
use super::mailbox::Mailbox;
use super::node::NodeId;

/// Packets that a ring between two workers holds; what comes while it is full is dropped and counted.
pub const RING_PACKETS: usize = 4096;

/// An inbox's number: unique in an engine, never used again.
pub(crate) type InboxId = u64;

/// Says that a ring has packets, once until its reader has looked.
struct Doorbell {
    rung: AtomicBool,
    inbox: InboxId,
    reader: Arc<Mailbox>,
}

/// The writing end.
pub(crate) struct Sender {
    ring: ring::Sender<Packet>,
    bell: Arc<Doorbell>,
}

impl Sender {
    /// Moves the packets into the ring; those that find no room stay in the batch.
    pub(crate) fn send(&mut self, batch: &mut Batch) {
        // Without a reader nobody counts on the packets.
        if self.ring.is_closed() || self.ring.push_batch(batch) == 0 {
            return;
        }
        // Pairs with the fence in `Inbox::rest`: either we see the bell at rest, or the reader sees the packets.
        fence(Ordering::SeqCst);
        if !self.bell.rung.swap(true, Ordering::SeqCst) {
            self.bell.reader.signal(self.bell.inbox);
        }
    }
}

/// The reading end: a task of the worker that owns the module behind it.
pub(crate) struct Inbox {
    pub(crate) id: InboxId,
    /// The worker that writes.
    pub(crate) from: usize,
    /// Where its packets go.
    pub(crate) node: NodeId,
    /// At which input gate.
    pub(crate) gate: Gate,
    ring: Receiver<Packet>,
    bell: Arc<Doorbell>,
}

impl Inbox {
    /// The next packets, if any are there.
    pub(crate) fn receive(&mut self) -> Option<Batch> {
        let mut batch = Batch::new();
        (self.ring.pop_batch(&mut batch) > 0).then_some(batch)
    }

    /// Says that the reader found nothing and wants the bell; gives what came meanwhile.
    pub(crate) fn rest(&mut self) -> Option<Batch> {
        self.bell.rung.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let batch = self.receive();
        if batch.is_some() {
            // The writer may have rung in between, which makes one needless wake-up at most.
            self.bell.rung.store(true, Ordering::SeqCst);
        }
        batch
    }
}

/// A ring from worker `from`, where the sender is put, to `node`, which belongs to the worker of `reader`.
pub(crate) fn ring(
    id: InboxId,
    from: usize,
    node: NodeId,
    gate: Gate,
    reader: Arc<Mailbox>,
) -> (Sender, Inbox) {
    let (sender, receiver) = ring::channel(RING_PACKETS);
    let bell = Arc::new(Doorbell { rung: AtomicBool::new(false), inbox: id, reader });
    (Sender { ring: sender, bell: Arc::clone(&bell) }, Inbox { id, from, node, gate, ring: receiver, bell })
}
