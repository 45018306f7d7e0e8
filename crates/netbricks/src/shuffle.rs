//! Sending packets to the core whose state they need: the paper's *shuffle*.

use packet::{Batch, Packet};
use ports::ring::{self, Receiver, Sender};

use crate::Context;
use crate::cause::Cause;
use crate::operator::{Operator, Step, Stop};

/// The most cores that shuffle among each other.
pub const CORES_MAX: usize = 64;

/// The queue to the other core is full.
const FULL: Cause = Cause::new("queue to another core full");
/// There is no such core, or it is gone.
const NO_CORE: Cause = Cause::new("no such core");

/// A core's sending side: a queue to every other core.
#[derive(Debug)]
pub struct Scatter {
    core: usize,
    to: Vec<Option<Sender<Packet>>>,
}

/// A core's receiving side: what the other cores have sent, in turn.
#[derive(Debug)]
pub struct Gather {
    from: Vec<Receiver<Packet>>,
    next: usize,
}

/// Joins `cores` cores ([`CORES_MAX`] at most): each gets a side to send with and one to receive with, and between any two
/// lies a queue of `capacity` packets for each direction. Packets between two cores stay in order.
///
/// A packet for a core whose queue is full is dropped and counted, as one for a core that is gone.
///
/// ```
/// use netbricks::{Context, NetworkFunction, chain, mesh};
/// use packet::Batch;
/// # use packet::{Pool, PoolConfig};
/// # let pool = Pool::new(PoolConfig { buffers: 8, ..PoolConfig::default() }).unwrap();
/// let mut cores = mesh(2, 1024).into_iter();
/// let ((scatter, _gather), (_, mut other)) = (cores.next().unwrap(), cores.next().unwrap());
///
/// // On core 0: odd frames belong to core 1.
/// let mut function = chain().shuffle(scatter, |frame| usize::from(frame.bytes()[0] % 2)).build();
/// let (mut batch, mut ctx) = (Batch::new(), Context::new(2));
/// # (0..4u8).for_each(|n| batch.push(pool.packet(&[n]).unwrap()).unwrap());
/// function.process(0, &mut batch, &mut ctx); // frames 0, 1, 2, 3
/// assert_eq!(ctx.sent(), 2, "0 and 2 went on here");
///
/// // On core 1.
/// other.receive(&mut batch);
/// assert_eq!(batch.iter().map(|packet| packet.data()[0]).collect::<Vec<_>>(), [1, 3]);
/// ```
#[must_use]
pub fn mesh(cores: usize, capacity: usize) -> Vec<(Scatter, Gather)> {
    let cores = cores.clamp(1, CORES_MAX);
    let side = |core| {
        (Scatter { core, to: (0..cores).map(|_| None).collect() }, Gather { from: Vec::new(), next: 0 })
    };
    let mut sides: Vec<_> = (0..cores).map(side).collect();
    for from in 0..cores {
        for to in (0..cores).filter(|to| *to != from) {
            let (sender, receiver) = ring::channel(capacity);
            sides[from].0.to[to] = Some(sender);
            sides[to].1.from.push(receiver);
        }
    }
    sides
}

impl Scatter {
    /// Which core this is.
    #[must_use]
    pub fn core(&self) -> usize {
        self.core
    }

    /// Sends a packet to another core; one for this core comes back.
    ///
    /// # Errors
    /// It has left, or was dropped.
    #[inline]
    pub fn send(&mut self, core: usize, packet: Packet) -> Step<Packet> {
        if core == self.core {
            return Ok(packet);
        }
        let Some(Some(queue)) = self.to.get_mut(core) else { return Err(NO_CORE.into()) };
        match queue.push(packet) {
            Ok(()) => Err(Stop::Sent),
            Err(_) if queue.is_closed() => Err(NO_CORE.into()),
            Err(_) => Err(FULL.into()),
        }
    }
}

impl Gather {
    /// Adds waiting packets to the batch, as many as it has room for, from each core in turn; returns how many.
    pub fn receive(&mut self, batch: &mut Batch) -> usize {
        let before = batch.len();
        for _ in 0..self.from.len() {
            self.next = (self.next + 1) % self.from.len();
            if batch.room() == 0 {
                break;
            }
            self.from[self.next].pop_batch(batch);
        }
        batch.len() - before
    }
}

/// See [`Chain::shuffle`](crate::operator::Chain::shuffle).
#[derive(Debug)]
pub struct Shuffle<F> {
    pub(crate) scatter: Scatter,
    pub(crate) select: F,
}

impl<F: FnMut(&crate::Frame) -> usize> Operator<crate::Frame> for Shuffle<F> {
    type Out = crate::Frame;

    #[inline(always)]
    fn apply(&mut self, frame: crate::Frame, _: &mut Context) -> Step<crate::Frame> {
        let core = (self.select)(&frame);
        if core == self.scatter.core {
            return Ok(frame);
        }
        self.scatter.send(core, frame.into_packet()).map(crate::Frame::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::{Pool, PoolConfig};

    /// NetBricks' group_by ignored that a queue was full: the buffer leaked.
    #[test]
    fn a_full_queue_drops_counts_and_leaks_nothing() {
        let pool = Pool::new(PoolConfig { buffers: 64, room: 64, ..PoolConfig::default() }).unwrap();
        let mut sides = mesh(2, 4);
        let (scatter, _) = &mut sides[0];
        let outcomes: Vec<_> =
            (0..6u8).map(|n| scatter.send(1, pool.packet(&[n]).unwrap()).unwrap_err()).collect();
        assert_eq!(outcomes, [&[Stop::Sent; 4][..], &[Stop::Dropped(FULL); 2]].concat());
        assert_eq!(scatter.send(2, pool.packet(b"x").unwrap()).unwrap_err(), NO_CORE.into());
        assert_eq!(pool.available(), 60);
        drop(sides.pop());
        let gone = sides[0].0.send(1, pool.packet(b"x").unwrap()).unwrap_err();
        assert_eq!(gone, NO_CORE.into());
        drop(sides);
        assert_eq!(pool.available(), 64);
    }

    #[test]
    fn three_cores_exchange_all_packets_in_order() {
        const PACKETS: u32 = 20_000;
        let pool = Pool::new(PoolConfig { buffers: 8192, room: 64, ..PoolConfig::default() }).unwrap();
        let threads: Vec<_> = mesh(3, 1024)
            .into_iter()
            .map(|(mut scatter, mut gather)| {
                let pool = pool.clone();
                std::thread::spawn(move || exchange(&pool, &mut scatter, &mut gather, PACKETS))
            })
            .collect();
        let received: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(received, [2 * PACKETS; 3]);
        assert_eq!(pool.available(), 8192);
    }

    /// Sends that many numbered packets to each other core and receives theirs.
    fn exchange(pool: &Pool, scatter: &mut Scatter, gather: &mut Gather, packets: u32) -> u32 {
        let (core, mut sent, mut seen, mut received) = (scatter.core(), [0u32; 3], [0u32; 3], 0);
        let mut batch = Batch::new();
        sent[core] = packets;
        while received < 2 * packets || sent.iter().any(|sent| *sent < packets) {
            for to in (0..3).filter(|to| *to != core) {
                if sent[to] == packets {
                    continue;
                }
                let Some(mut packet) = pool.alloc() else { continue };
                packet.set_len(5).unwrap();
                packet.data_mut()[0] = core as u8;
                packet.data_mut()[1..].copy_from_slice(&sent[to].to_be_bytes());
                match scatter.send(to, packet) {
                    Err(Stop::Sent) => sent[to] += 1,
                    // The others are behind; whoever counts keeps what was dropped.
                    other => assert_eq!(other.unwrap_err(), FULL.into()),
                }
            }
            received += gather.receive(&mut batch) as u32;
            for packet in batch.drain(..) {
                let from = usize::from(packet.data()[0]);
                assert_eq!(packet.data()[1..], seen[from].to_be_bytes());
                seen[from] += 1;
            }
        }
        received
    }
}
