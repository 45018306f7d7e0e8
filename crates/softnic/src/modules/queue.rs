//! [`Queue`].

use std::collections::VecDeque;

use packet::{BATCH, Batch, Packet};

use crate::engine::{Context, Gate, Module, Next, Ran, Readiness};

/// The most packets that a queue may hold.
pub const QUEUE_MAX: usize = 1 << 20;

/// Holds packets until its own task takes them on: the boundary between two tasks.
///
/// *Input gates*: one. *Output gates*: one. *Tasks*: one, which sleeps while the queue is empty.
///
/// What comes while the queue is full is dropped, and counted in the module's `dropped`. Packets in the queue stay
/// there through every edit of the graph.
///
/// With back-pressure, the tasks that feed it rest from when it is nine tenths full until it is less than 15 % full
/// ([`Context::overload`]).
///
/// ```
/// let queue = softnic::modules::Queue::new(1024).with_backpressure(true);
/// ```
#[derive(Debug)]
pub struct Queue {
    packets: VecDeque<Packet>,
    capacity: usize,
    burst: usize,
    backpressure: bool,
    prefetch: bool,
    /// Whether it has said that it is full.
    is_overloaded: bool,
    /// When one that may let nothing out looks whether it may again.
    wake_ns: Option<u64>,
    status: QueueStatus,
}

/// What a queue has done, and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Packets that it holds.
    pub count: usize,
    /// Packets that it may hold.
    pub size: usize,
    /// Packets that have come in.
    pub enqueued: u64,
    /// Packets that have gone on.
    pub dequeued: u64,
    /// Packets for which there was no room.
    pub dropped: u64,
}

/// How often one that may let nothing out looks whether it may again.
const PAUSE_NS: u64 = 1_000_000;

impl Queue {
    /// Holds up to `capacity` packets, [`QUEUE_MAX`] at most.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.min(QUEUE_MAX);
        Self {
            packets: VecDeque::with_capacity(capacity),
            capacity,
            burst: BATCH,
            backpressure: false,
            prefetch: false,
            is_overloaded: false,
            wake_ns: None,
            status: QueueStatus::default(),
        }
    }

    /// With back-pressure or without.
    #[must_use]
    pub fn with_backpressure(mut self, backpressure: bool) -> Self {
        self.backpressure = backpressure;
        self
    }

    /// With back-pressure or without, from the next packet on.
    pub fn set_backpressure(&mut self, backpressure: bool) {
        self.backpressure = backpressure;
    }

    /// Whether it has back-pressure.
    pub fn backpressure(&self) -> bool {
        self.backpressure
    }

    /// Notes whether packets are to be prefetched, which changes nothing: safe code cannot ask the processor for it.
    pub fn set_prefetch(&mut self, prefetch: bool) {
        self.prefetch = prefetch;
    }

    /// Whether packets are to be prefetched.
    pub fn prefetch(&self) -> bool {
        self.prefetch
    }

    /// The most packets that it lets out in a turn, [`BATCH`] at most. With 0 it waits.
    pub fn set_burst(&mut self, burst: usize) {
        self.burst = burst.min(BATCH);
    }

    /// The most packets that it lets out in a turn.
    pub fn burst(&self) -> usize {
        self.burst
    }

    /// Holds up to `capacity` packets from now on, [`QUEUE_MAX`] at most. Of those that it holds, the last ones for which
    /// there is no room any more are dropped.
    pub fn resize(&mut self, capacity: usize) {
        let capacity = capacity.min(QUEUE_MAX);
        let mut packets = VecDeque::with_capacity(capacity);
        let kept = self.packets.len().min(capacity);
        packets.extend(self.packets.drain(..kept));
        self.status.dropped += self.packets.len() as u64;
        (self.packets, self.capacity) = (packets, capacity);
    }

    /// What it has done, and holds.
    pub fn queued(&self) -> QueueStatus {
        QueueStatus { count: self.packets.len(), size: self.capacity, ..self.status }
    }

    /// Says when it gets full, and when there is room again.
    fn signal(&mut self, ctx: &mut Context<'_>) {
        let count = self.packets.len();
        let full = if self.is_overloaded {
            self.backpressure && count * 100 >= self.capacity * 15
        } else {
            self.backpressure && count * 10 > self.capacity * 9
        };
        if full != self.is_overloaded {
            self.is_overloaded = full;
            ctx.overload(full);
        }
    }
}

impl Module for Queue {
    fn class(&self) -> &'static str {
        "Queue"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let room = self.capacity.saturating_sub(self.packets.len());
        let count = room.min(batch.len());
        self.status.enqueued += count as u64;
        self.status.dropped += (batch.len() - count) as u64;
        self.packets.extend(batch.drain(..count));
        self.signal(ctx);
        ctx.wake(0);
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        let count = ctx.budget().min(self.burst).min(self.packets.len());
        let mut bytes = 0;
        for packet in self.packets.drain(..count) {
            bytes += packet.len() as u64;
            // The budget is never more than a batch holds.
            let _ = batch.push(packet);
        }
        self.status.dequeued += count as u64;
        self.signal(ctx);
        ctx.forward(0);
        let waits = self.burst == 0 && !self.packets.is_empty();
        self.wake_ns = waits.then(|| ctx.now_ns() + PAUSE_NS);
        let next = if self.packets.is_empty() || waits { Next::Idle } else { Next::More };
        Ran { packets: count as u32, bytes, next }
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Signal
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.wake_ns
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        self.wake_ns = None;
        ctx.wake(0);
    }

    fn held(&self) -> usize {
        self.packets.len()
    }

    fn status(&self) -> String {
        format!("{}/{}", self.packets.len(), self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::packets;
    use super::*;
    use crate::engine::{Left, Rig};

    fn numbers(left: &Left) -> Vec<u8> {
        left.iter().map(|(_, packet)| packet.data()[0]).collect()
    }

    #[test]
    fn packets_wait_and_go_on_in_order() {
        let mut rig = Rig::new(Queue::new(40));
        assert!(rig.process(0, packets(32)).is_empty());
        assert!(rig.process(0, packets(10)).is_empty());
        assert_eq!((rig.woken(), rig.dropped, rig.module.status()), (1, 2, "40/40".into()));
        let (ran, left) = rig.run(0);
        assert_eq!((ran.packets, ran.bytes, ran.next), (32, 32 * 60, Next::More));
        assert_eq!(numbers(&left), (0..32).collect::<Vec<_>>());
        rig.module.set_burst(5);
        assert_eq!(numbers(&rig.run(0).1), [0, 1, 2, 3, 4]);
        assert_eq!(rig.run(0).0.next, Next::Idle);
        let expected = QueueStatus { count: 0, size: 40, enqueued: 40, dequeued: 40, dropped: 2 };
        assert_eq!(rig.module.queued(), expected);
    }

    #[test]
    fn a_smaller_one_loses_the_last_packets() {
        let mut rig = Rig::new(Queue::new(64));
        rig.process(0, packets(20));
        rig.module.resize(8);
        assert_eq!((rig.module.queued().dropped, rig.module.queued().size), (12, 8));
        assert_eq!(rig.process(0, packets(1)).len() + rig.dropped, 1);
        rig.module.resize(16);
        rig.process(0, packets(1));
        assert_eq!(numbers(&rig.run(0).1), [0, 1, 2, 3, 4, 5, 6, 7, 0]);
    }

    #[test]
    fn with_a_burst_of_0_it_waits_and_looks_again() {
        let mut rig = Rig::new(Queue::new(64));
        rig.process(0, packets(3));
        rig.module.set_burst(0);
        assert_eq!((rig.at(500).run(0).0, rig.module.deadline_ns()), (Ran::idle(), Some(1_000_500)));
        rig.module.set_burst(64);
        rig.woken();
        rig.expire();
        assert_eq!((rig.woken(), rig.module.deadline_ns(), rig.run(0).1.len()), (1, None, 3));
    }

    #[test]
    fn back_pressure_begins_at_nine_tenths_and_ends_below_fifteen_percent() {
        let mut rig = Rig::new(Queue::new(100).with_backpressure(true));
        (0..3).for_each(|_| drop(rig.process(0, packets(30))));
        assert_eq!(rig.overload(), None);
        rig.process(0, packets(1));
        assert_eq!(rig.overload(), Some(true));
        rig.process(0, packets(1));
        assert_eq!(rig.overload(), None, "it is said once");
        rig.module.set_burst(7);
        // 92 packets less 11 bursts are 15, and one more burst leaves 8.
        for turn in 1..=12 {
            rig.run(0);
            assert_eq!(rig.overload(), (turn == 12).then_some(false), "{turn}");
        }
        (0..3).for_each(|_| drop(rig.process(0, packets(30))));
        assert_eq!(rig.overload(), Some(true));
        rig.module.set_backpressure(false);
        rig.run(0);
        assert_eq!(rig.overload(), Some(false));
    }
}
