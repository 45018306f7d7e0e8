//! What packets carry while they are under way, in slots that are used again.
//!
//! A hop does not look here: what it needs travels by value ([`Hop`]) through the rings of queues and wires, so that memory is read
//! in order.

use crate::packets::{NodeId, PACKETS_MAX, Packet};

/// What a hop needs to know of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) slot: u32,
    pub(crate) bytes: u32,
    /// Where it goes: [`NODES_MAX`](crate::NODES_MAX) fits.
    pub(crate) to: u16,
    pub(crate) level: u8,
    pub(crate) hops: u8,
    pub(crate) tell_departure: bool,
}

/// The slots.
#[derive(Debug)]
pub(crate) struct Arena<B> {
    slots: Vec<(u64, B)>,
    free: Vec<u32>,
}

impl<B: Copy> Arena<B> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    pub(crate) fn in_use(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes in what a packet carries; none where all slots are taken.
    pub(crate) fn put(&mut self, flow: u64, body: B) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = (flow, body);
            return Some(slot);
        }
        if self.slots.len() == PACKETS_MAX {
            return None;
        }
        self.slots.push((flow, body));
        // So that giving back never allocates.
        if self.free.capacity() < self.slots.capacity() {
            self.free.reserve_exact(self.slots.capacity() - self.free.len());
        }
        Some((self.slots.len() - 1) as u32)
    }

    pub(crate) fn flow(&self, slot: u32) -> u64 {
        self.slots[slot as usize].0
    }

    /// The packet of a hop.
    pub(crate) fn get(&self, hop: &Hop) -> Packet<B> {
        let Hop { slot, bytes, to, level, tell_departure, .. } = *hop;
        let (flow, body) = self.slots[slot as usize];
        Packet { to: NodeId(u32::from(to)), bytes, level, tell_departure, flow, body }
    }

    pub(crate) fn release(&mut self, slot: u32) {
        self.free.push(slot);
    }
}
