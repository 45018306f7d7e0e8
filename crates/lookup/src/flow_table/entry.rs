//! One entry of a flow table, held while a packet works on it.

use super::queue::Queue;

/// An entry as it [is](super::FlowTable::peek).
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a, K, V> {
    /// Its key.
    pub key: &'a K,
    /// Its value.
    pub value: &'a V,
    /// Its deadline.
    pub deadline_ns: u64,
}

/// An entry that was looked for [once](super::FlowTable::entry): its key, its value and its deadline.
#[derive(Debug)]
pub struct Entry<'a, K, V> {
    pub(super) slot: u32,
    pub(super) deadline_ns: &'a mut u64,
    pub(super) key: &'a K,
    pub(super) value: &'a mut V,
    pub(super) queue: &'a mut Queue,
}

impl<K, V> Entry<'_, K, V> {
    /// Its key.
    #[inline]
    #[must_use]
    pub const fn key(&self) -> &K {
        self.key
    }

    /// Its value.
    #[inline]
    pub const fn value_mut(&mut self) -> &mut V {
        self.value
    }

    /// Its deadline.
    #[inline]
    #[must_use]
    pub const fn deadline_ns(&self) -> u64 {
        *self.deadline_ns
    }

    /// Moves the deadline, as [`FlowTable::set_deadline`](super::FlowTable::set_deadline) does.
    #[inline]
    pub fn set_deadline(&mut self, deadline_ns: u64) {
        let before_ns = std::mem::replace(self.deadline_ns, deadline_ns);
        if deadline_ns < before_ns {
            self.bring_forward(deadline_ns);
        }
    }

    /// The deadline has become earlier; the slot may be queued for later than that.
    #[cold]
    fn bring_forward(&mut self, deadline_ns: u64) {
        if deadline_ns < self.queue.due_ns(self.slot) {
            self.queue.requeue(self.slot, deadline_ns);
        }
    }
}
