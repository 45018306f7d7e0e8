//! Packets that travel together.

use arrayvec::ArrayVec;

use crate::buffer::Packet;
use crate::pool;

/// Packets in a batch, as in BESS.
pub const BATCH: usize = 32;

/// Up to [`BATCH`] packets, in order. Dropping a batch returns all its buffers at once.
///
/// Moving one copies [`BATCH`] pointers; paths that hand batches on many times pass `&mut Batch` and
/// [`std::mem::take`] it.
#[derive(Debug, Default)]
pub struct Batch(ArrayVec<Packet, BATCH>);

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many packets it holds.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many more it can hold.
    #[inline]
    pub fn room(&self) -> usize {
        self.0.remaining_capacity()
    }

    /// Adds a packet at the end.
    ///
    /// # Errors
    /// The packet itself, when the batch is full.
    #[inline]
    pub fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        self.0.try_push(packet).map_err(arrayvec::CapacityError::element)
    }

    /// The packets, for the pool that adds to them.
    #[inline]
    pub(crate) fn packets(&mut self) -> &mut ArrayVec<Packet, BATCH> {
        &mut self.0
    }

    /// Takes the last packet.
    #[inline]
    pub fn pop(&mut self) -> Option<Packet> {
        self.0.pop()
    }

    /// The packets.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Packet> {
        self.0.iter()
    }

    /// The packets, to change.
    #[inline]
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Packet> {
        self.0.iter_mut()
    }

    /// Takes the packets in a range out; those after it move up.
    #[inline]
    pub fn drain(&mut self, range: impl std::ops::RangeBounds<usize>) -> impl Iterator<Item = Packet> + '_ {
        self.0.drain(range)
    }

    /// Drops the first `count` packets and returns their buffers together.
    pub fn drop_front(&mut self, count: usize) {
        let count = count.min(self.len());
        pool::release(self.0.drain(..count));
    }

    /// Keeps the packets that `keep` says yes to, in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut Packet) -> bool) {
        self.0.retain(|packet| keep(packet));
    }

    /// Moves packets from the front of `other` to the end of this batch until it is full or `other` is empty;
    /// returns how many.
    pub fn append(&mut self, other: &mut Batch) -> usize {
        let count = self.room().min(other.len());
        self.0.extend(other.0.drain(..count));
        count
    }

    /// Drops all packets and returns their buffers together.
    #[inline]
    pub fn clear(&mut self) {
        if !self.is_empty() && !pool::release_alike(&mut self.0) {
            pool::release(self.0.drain(..));
        }
    }
}

impl Drop for Batch {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

impl std::ops::Index<usize> for Batch {
    type Output = Packet;

    fn index(&self, at: usize) -> &Packet {
        &self.0[at]
    }
}

impl std::ops::IndexMut<usize> for Batch {
    fn index_mut(&mut self, at: usize) -> &mut Packet {
        &mut self.0[at]
    }
}

impl IntoIterator for Batch {
    type Item = Packet;
    type IntoIter = arrayvec::IntoIter<Packet, BATCH>;

    fn into_iter(mut self) -> Self::IntoIter {
        std::mem::take(&mut self.0).into_iter()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Packet;
    type IntoIter = std::slice::Iter<'a, Packet>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Batch {
    type Item = &'a mut Packet;
    type IntoIter = std::slice::IterMut<'a, Packet>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pool, PoolConfig};

    fn numbered(pool: &Pool, numbers: std::ops::Range<u8>) -> Batch {
        let mut batch = Batch::new();
        for number in numbers {
            batch.push(pool.packet(&[number]).unwrap()).unwrap();
        }
        batch
    }

    fn numbers(batch: &Batch) -> Vec<u8> {
        batch.iter().map(|packet| packet.data()[0]).collect()
    }

    #[test]
    fn order_is_kept_and_nothing_leaks() {
        let pool = Pool::new(PoolConfig { buffers: 64, room: 64, ..PoolConfig::default() }).unwrap();
        let (mut a, mut b) = (numbered(&pool, 0..20), numbered(&pool, 20..40));
        assert_eq!(a.append(&mut b), 12);
        assert_eq!(numbers(&a), (0..32).collect::<Vec<_>>());
        assert!(a.push(b.pop().unwrap()).is_err());
        a.drop_front(2);
        a.retain(|packet| packet.data()[0] % 2 == 0);
        assert_eq!(numbers(&a), (2..32).step_by(2).collect::<Vec<_>>());
        assert_eq!(pool.available(), 64 - 15 - 7);
        drop((a, b));
        assert_eq!(pool.available(), 64);
    }
}
