//! Who holds memory, in the order in which they began to.

use std::collections::VecDeque;

use lookup::flow_table::FlowId;

use super::event::Direction;

/// A direction that began to hold memory at the `stamp`-th such moment. It goes stale when the stream's own stamp is another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder {
    pub(super) id: FlowId,
    pub(super) direction: Direction,
    pub(super) stamp: u64,
}

/// A queue of holders in which stale ones are left until they come to the front, or until the queue is full.
#[derive(Debug)]
pub(super) struct Holders {
    queue: VecDeque<Holder>,
    limit: usize,
    stamp: u64,
}

impl Holders {
    /// For a pool of so many chunks. No more holders than that are live, so at least half of a full queue is stale.
    pub(super) fn new(chunks: usize) -> Self {
        let limit = 2 * chunks + 1;
        Self { queue: VecDeque::with_capacity(limit), limit, stamp: 0 }
    }

    /// Queues a direction and returns its stamp, which is never 0.
    pub(super) fn push(
        &mut self,
        id: FlowId,
        direction: Direction,
        is_live: impl FnMut(&Holder) -> bool,
    ) -> u64 {
        if self.queue.len() == self.limit {
            self.queue.retain(is_live);
        }
        self.stamp += 1;
        self.queue.push_back(Holder { id, direction, stamp: self.stamp });
        self.stamp
    }

    /// The oldest that is live.
    pub(super) fn oldest(&mut self, mut is_live: impl FnMut(&Holder) -> bool) -> Option<Holder> {
        while let Some(holder) = self.queue.front().copied() {
            if is_live(&holder) {
                return Some(holder);
            }
            self.queue.pop_front();
        }
        None
    }
}
