//! What a queue counts, readable by the port while the queue runs elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Counters;

/// The counters of one direction of one queue, on a cache line of their own.
///
/// Only the queue writes, so an addition is a load and a store, with no locked instruction.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Direction {
    packets: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
}

impl Direction {
    fn add(&self, packets: u64, bytes: u64, dropped: u64) {
        for (counter, more) in [(&self.packets, packets), (&self.bytes, bytes), (&self.dropped, dropped)] {
            if more != 0 {
                counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
            }
        }
    }
}

/// The counters of one queue.
#[derive(Debug, Default)]
pub(crate) struct QueueCounters {
    rx: Direction,
    tx: Direction,
}

impl QueueCounters {
    /// Called by the queue's receiving side only.
    pub(crate) fn received(&self, packets: u64, bytes: u64, dropped: u64) {
        self.rx.add(packets, bytes, dropped);
    }

    /// Called by the queue's sending side only.
    pub(crate) fn sent(&self, packets: u64, bytes: u64, dropped: u64) {
        self.tx.add(packets, bytes, dropped);
    }

    pub(crate) fn snapshot(&self) -> Counters {
        Counters {
            rx_packets: self.rx.packets.load(Ordering::Relaxed),
            rx_bytes: self.rx.bytes.load(Ordering::Relaxed),
            rx_dropped: self.rx.dropped.load(Ordering::Relaxed),
            tx_packets: self.tx.packets.load(Ordering::Relaxed),
            tx_bytes: self.tx.bytes.load(Ordering::Relaxed),
            tx_dropped: self.tx.dropped.load(Ordering::Relaxed),
        }
    }
}

/// The sums over a port's queues.
pub(crate) fn total<'a>(queues: impl IntoIterator<Item = &'a QueueCounters>) -> Counters {
    queues.into_iter().fold(Counters::default(), |sum, queue| sum + queue.snapshot())
}
