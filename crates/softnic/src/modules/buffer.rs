//! [`Buffer`].

use packet::{Batch, Packet};

use crate::engine::{Context, Gate, Module};

/// Holds packets until there are enough of them, and lets those out together.
///
/// *Input gates*: one. *Output gates*: one.
///
/// Nothing but packets moves it: those that it holds wait for as long as it takes.
///
/// ```
/// let buffer = softnic::modules::Buffer::new(packet::BATCH);
/// ```
#[derive(Debug)]
pub struct Buffer {
    packets: Vec<Packet>,
    size: usize,
}

impl Buffer {
    /// The most packets that one holds.
    pub const SIZE_MAX: usize = 1024;

    /// Lets `size` packets out together, 1 to [`Buffer::SIZE_MAX`].
    pub fn new(size: usize) -> Self {
        let size = size.clamp(1, Self::SIZE_MAX);
        Self { packets: Vec::with_capacity(size), size }
    }
}

impl Module for Buffer {
    fn class(&self) -> &'static str {
        "Buffer"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        if self.packets.is_empty() && batch.len() == self.size {
            return ctx.forward(0);
        }
        while !batch.is_empty() {
            let count = batch.len().min(self.size - self.packets.len());
            self.packets.extend(batch.drain(..count));
            if self.packets.len() == self.size {
                self.packets.drain(..).for_each(|packet| ctx.emit(0, packet));
            }
        }
    }

    fn held(&self) -> usize {
        self.packets.len()
    }
}

#[cfg(test)]
mod tests {
    use packet::BATCH;

    use super::super::frames::packets;
    use super::*;
    use crate::engine::{Left, Rig};

    fn numbers(left: &Left) -> Vec<u8> {
        left.iter().map(|(_, packet)| packet.data()[0]).collect()
    }

    #[test]
    fn packets_wait_for_the_last_one() {
        for size in [BATCH, 2 * BATCH] {
            let mut rig = Rig::new(Buffer::new(size));
            for held in 1..size {
                assert!(rig.process(0, packets(1)).is_empty());
                assert_eq!(rig.module.held(), held);
            }
            assert_eq!((rig.process(0, packets(1)).len(), rig.module.held(), rig.dropped), (size, 0, 0));
        }
    }

    #[test]
    fn order_is_kept_whatever_the_sizes() {
        for size in [1, 5, BATCH, 50] {
            let mut rig = Rig::new(Buffer::new(size));
            let mut seen = Vec::new();
            for _ in 0..10 {
                seen.extend(numbers(&rig.process(0, packets(27))));
                assert_eq!(seen.len() % size, 0);
            }
            let expected: Vec<u8> = (0..10).flat_map(|_| 0..27).take(270 / size * size).collect();
            assert_eq!((seen, rig.module.held()), (expected, 270 % size));
        }
        let mut whole = Rig::new(Buffer::new(BATCH));
        assert_eq!(numbers(&whole.process(0, packets(32))), (0..32).collect::<Vec<_>>());
    }
}
