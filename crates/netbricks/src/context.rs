//! What a network function sees of the world during a call: the time, and where packets leave.

use packet::{Batch, Packet};

use crate::cause::{Cause, Drops};

/// The number of a gate. A function with two has its inside, or left, at gate 0 and its outside at gate 1.
pub type Gate = u16;

/// The most gates that a network function may have.
pub const GATES_MAX: Gate = 64;
/// Batches that may leave at one gate in one call.
pub const GATE_BATCHES: usize = 64;

/// The time, the gates, and what was dropped. Made once by whoever runs functions, used for every call.
///
/// A call's packets are collected by gate, in order, and taken by whoever made the call with [`Context::drain`].
#[derive(Debug, Default)]
pub struct Context {
    now_ns: u64,
    gates: Vec<Lane>,
    drops: Drops,
    sent: u64,
}

/// What has left at a gate: full batches, and one that is being filled.
#[derive(Debug, Default)]
struct Lane {
    full: Vec<Batch>,
    open: Batch,
}

impl Context {
    /// For functions of up to `gates` gates ([`GATES_MAX`] at most).
    #[must_use]
    pub fn new(gates: Gate) -> Self {
        let mut lanes = Vec::new();
        lanes.resize_with(usize::from(gates.min(GATES_MAX)), Lane::default);
        Self { gates: lanes, ..Self::default() }
    }

    /// The time in nanoseconds of a clock that never goes back; in a capture file, that of the packets.
    #[inline]
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Sets the time, before a call. It does not go back.
    #[inline]
    pub fn set_now_ns(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
    }

    /// Lets a packet out at `gate`.
    #[inline]
    pub fn send(&mut self, gate: Gate, packet: Packet) {
        let Some(lane) = self.gates.get_mut(usize::from(gate)) else {
            return self.drop(packet, Cause::NO_GATE);
        };
        self.sent += 1;
        if let Err(packet) = lane.open.push(packet) {
            self.send_slow(gate, packet);
        }
    }

    #[cold]
    fn send_slow(&mut self, gate: Gate, packet: Packet) {
        let lane = &mut self.gates[usize::from(gate)];
        if lane.full.len() == GATE_BATCHES {
            self.sent -= 1;
            return self.drop(packet, Cause::OUTPUT_FULL);
        }
        lane.full.push(std::mem::take(&mut lane.open));
        // A batch that was just begun has room.
        let _ = lane.open.push(packet);
    }

    /// Lets all packets of a batch out at `gate`, and leaves it empty.
    pub fn send_batch(&mut self, gate: Gate, batch: &mut Batch) {
        match self.gates.get_mut(usize::from(gate)) {
            Some(lane) if lane.open.is_empty() => {
                self.sent += batch.len() as u64;
                std::mem::swap(&mut lane.open, batch);
            }
            _ => batch.drain(..).for_each(|packet| self.send(gate, packet)),
        }
    }

    /// Ends a packet, and counts why.
    #[cold]
    pub fn drop(&mut self, packet: Packet, cause: Cause) {
        drop(packet);
        self.drops.count(cause, 1);
    }

    /// Counts packets that have ended elsewhere.
    #[inline]
    pub fn count(&mut self, cause: Cause, packets: u64) {
        self.drops.count(cause, packets);
    }

    /// What was dropped since the context was made, or since [`Context::swap_drops`].
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Exchanges the counts, so that whoever runs several functions keeps them apart.
    pub fn swap_drops(&mut self, drops: &mut Drops) {
        std::mem::swap(&mut self.drops, drops);
    }

    /// Packets that have left at any gate since the context was made.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many gates there are.
    #[must_use]
    pub fn gates(&self) -> Gate {
        self.gates.len() as Gate
    }

    /// Hands what has left at `gate` to `take`, batch by batch in order. What `take` leaves in a batch is dropped
    /// with it.
    pub fn drain(&mut self, gate: Gate, mut take: impl FnMut(&mut Batch)) {
        let Some(lane) = self.gates.get_mut(usize::from(gate)) else { return };
        lane.full.drain(..).for_each(|mut batch| take(&mut batch));
        if !lane.open.is_empty() {
            take(&mut lane.open);
            lane.open.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::{BATCH, Pool, PoolConfig};

    fn pool(buffers: usize) -> Pool {
        Pool::new(PoolConfig { buffers, room: 64, ..PoolConfig::default() }).unwrap()
    }

    #[test]
    fn packets_leave_in_order_and_what_is_too_much_is_counted() {
        let most = (GATE_BATCHES + 1) * BATCH;
        let pool = pool(most + 10);
        let mut ctx = Context::new(2);
        (0..most + 5).for_each(|n| ctx.send(1, pool.packet(&(n as u32).to_be_bytes()).unwrap()));
        ctx.send(2, pool.packet(b"x").unwrap());
        assert_eq!((ctx.drops().of(Cause::OUTPUT_FULL), ctx.drops().of(Cause::NO_GATE)), (5, 1));
        let mut seen = Vec::new();
        ctx.drain(1, |batch| {
            seen.extend(batch.iter().map(|packet| u32::from_be_bytes(packet.data().try_into().unwrap())));
        });
        assert_eq!(seen, (0..most as u32).collect::<Vec<_>>());
        assert_eq!((ctx.sent(), pool.available()), (most as u64, most + 10));
    }

    #[test]
    fn a_batch_goes_behind_what_is_there() {
        let pool = pool(64);
        let mut ctx = Context::new(1);
        let mut batch = Batch::new();
        ctx.send(0, pool.packet(b"a").unwrap());
        batch.push(pool.packet(b"b").unwrap()).unwrap();
        ctx.send_batch(0, &mut batch);
        assert!(batch.is_empty());
        let mut seen = Vec::new();
        ctx.drain(0, |batch| seen.extend(batch.drain(..).map(|packet| packet.data()[0])));
        assert_eq!(seen, b"ab");
    }

    #[test]
    fn time_does_not_go_back() {
        let mut ctx = Context::new(1);
        ctx.set_now_ns(5);
        ctx.set_now_ns(3);
        assert_eq!(ctx.now_ns(), 5);
    }
}
