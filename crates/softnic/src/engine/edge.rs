//! Edges between workers: a bounded ring of batches, and the doorbell that wakes its reader.
//!
//! A ring has one writer and one reader, since each end belongs to one module, which belongs to one worker. It is
//! the standard library's bounded channel: a lock-free array whose slots hold whole batches, so that a crossing
//! costs one slot per 32 packets and allocates nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use packet::Batch;

use super::Gate;
use super::mailbox::Mailbox;
use super::node::NodeId;

/// Batches that a ring between two workers holds; what comes while it is full is dropped and counted.
pub const RING_BATCHES: usize = 128;

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
    ring: SyncSender<Batch>,
    bell: Arc<Doorbell>,
}

impl Sender {
    /// Moves the packets into the ring and leaves the batch empty; false when the ring is full.
    pub(crate) fn send(&self, batch: &mut Batch) -> bool {
        // Besides being full, a ring can only be without a reader. Then nobody counts on the packets.
        if let Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) =
            self.ring.try_send(std::mem::take(batch))
        {
            *batch = back;
            return false;
        }
        // Pairs with the fence in `Inbox::rest`: either we see the bell at rest, or the reader sees the batch.
        fence(Ordering::SeqCst);
        if !self.bell.rung.swap(true, Ordering::SeqCst) {
            self.bell.reader.signal(self.bell.inbox);
        }
        true
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
    ring: Receiver<Batch>,
    bell: Arc<Doorbell>,
}

impl Inbox {
    /// The next batch, if one is there.
    pub(crate) fn receive(&self) -> Option<Batch> {
        self.ring.try_recv().ok()
    }

    /// Says that the reader found nothing and wants the bell; gives a batch that came meanwhile.
    pub(crate) fn rest(&self) -> Option<Batch> {
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
    let (sender, receiver) = sync_channel(RING_BATCHES);
    let bell = Arc::new(Doorbell { rung: AtomicBool::new(false), inbox: id, reader });
    (Sender { ring: sender, bell: Arc::clone(&bell) }, Inbox { id, from, node, gate, ring: receiver, bell })
}
