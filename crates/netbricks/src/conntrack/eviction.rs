//! Who leaves when the table is full: those nobody answered first, then those that never became a connection or are no
//! longer one, the oldest first. As Linux' `early_drop`, which looks at a few neighbours of the new flow's bucket, this
//! looks at a few flows; it takes the oldest, because here they stand in a queue.

use std::collections::VecDeque;

use lookup::flow_table::{FlowId, FlowTable};

use super::flow::Flow;
use super::way::Index;

/// Most flows looked at to find one that may leave.
pub const EVICTION_LOOKS: usize = 16;

/// The flows that may be asked to leave, in the order they came. Some have left already, or may stay now: that comes out
/// when their turn comes.
#[derive(Debug)]
pub(super) struct Candidates {
    queue: VecDeque<FlowId>,
    /// Flows in the table at most; no flow stands in the queue twice, so what is beyond is stale.
    flows: usize,
}

impl Candidates {
    pub(super) fn new(flows: usize) -> Self {
        Self { queue: VecDeque::with_capacity(2 * flows + 1), flows }
    }

    /// Adds a flow at the end. Once stale places may be many, two are looked at for each that is added, so that their
    /// number stays bounded without a pass over all.
    pub(super) fn add<T>(&mut self, id: FlowId, table: &mut FlowTable<Index, Flow<T>>) {
        let mut looks = 2;
        while self.queue.len() >= self.flows && (looks > 0 || self.queue.len() > 2 * self.flows) {
            looks -= usize::from(looks > 0);
            let next = self.next(table);
            self.queue.extend(next);
        }
        self.queue.push_back(id);
        if let Some(flow) = table.get_mut(id) {
            flow.is_candidate = true;
        }
    }

    /// Takes the first off the queue; `None` if it is stale.
    fn next<T>(&mut self, table: &mut FlowTable<Index, Flow<T>>) -> Option<FlowId> {
        let id = self.queue.pop_front()?;
        let flow = table.get_mut(id)?;
        flow.is_candidate = flow.is_evictable();
        flow.is_candidate.then_some(id)
    }

    /// The flow to leave; `None` if there is none among the first [`EVICTION_LOOKS`].
    pub(super) fn choose<T>(&mut self, table: &mut FlowTable<Index, Flow<T>>) -> Option<FlowId> {
        let mut second = None;
        for _ in 0..EVICTION_LOOKS.min(self.queue.len()) {
            let Some(id) = self.next(table) else { continue };
            if table.get(id).is_some_and(|flow| !flow.is_replied()) {
                return Some(id);
            }
            second = second.or(Some(id));
            self.queue.push_back(id);
        }
        second
    }
}
