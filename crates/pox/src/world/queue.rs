//! What happens next: by time, then by the order it was planned in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use topology::{Endpoint, NodeId};

/// Something that will happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    /// A frame arrives at the end of a link.
    Frame { at: Endpoint, frame: Vec<u8> },
    /// Bytes of a control channel arrive at the switch.
    ToSwitch { node: NodeId, channel: u64, bytes: Vec<u8> },
    /// Bytes of a control channel arrive at the controller.
    ToController { node: NodeId, channel: u64, bytes: Vec<u8> },
    /// A switch calls the controller.
    Connect { node: NodeId },
    /// A control channel is closed, and the other end learns of it.
    Closed { node: NodeId, channel: u64, reason: String },
    /// A node's deadline.
    NodeTime { node: NodeId },
    /// The controller's deadline.
    ControllerTime,
}

/// What will happen, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    planned: u64,
}

impl Queue {
    pub(super) fn plan(&mut self, at: Duration, happening: Happening) {
        self.heap.push(Reverse((at, self.planned, happening)));
        self.planned += 1;
    }

    /// The next happening, if it is due by then.
    pub(super) fn pop(&mut self, until: Duration) -> Option<(Duration, Happening)> {
        if self.heap.peek().is_none_or(|Reverse((at, ..))| *at > until) {
            return None;
        }
        self.heap.pop().map(|Reverse((at, _, happening))| (at, happening))
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
