//! Links: how fast, how long, how faulty; and the queue before each.
//!
//! The queue has [`LEVELS_MAX`] levels of strict priority that share one buffer. When an arrival does not fit, the last
//! packets of the lowest occupied level go, as long as that level is strictly below the arrival's; where there is none, the
//! arrival goes (Mittal et al., "Recursively Cautious Congestion Control", NSDI'14, section 3.3).

use std::collections::VecDeque;

use crate::arena::{Arena, Hop};
use crate::events::Key;
use crate::packets::NodeId;
use crate::random::Random;
use crate::report::NetworkError;
use crate::time::{Rate, Time};

/// Levels of priority.
pub const LEVELS_MAX: usize = 8;

/// What a link is made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkSpec {
    /// How fast bits go onto it.
    pub rate: Rate,
    /// How long a bit is on it.
    pub delay: Time,
    /// Bytes that may wait before it; the packet that is being sent does not wait.
    pub buffer_bytes: u64,
    /// The share of packets that are lost on it, 0 to 1, each by itself.
    pub loss: f64,
    /// Added to the delay, uniform from 0 to this; the order stays, but for packets that are held up.
    pub jitter: Time,
    /// The share of packets that are held up by [`LinkSpec::reorder_by`], so that later ones overtake them.
    pub reorder: f64,
    /// How long these are held up.
    pub reorder_by: Time,
}

impl LinkSpec {
    /// A link without faults, with the 5 MB buffer of the RC3 paper's baseline.
    pub const fn new(rate: Rate, delay: Time) -> Self {
        Self {
            rate,
            delay,
            buffer_bytes: 5_000_000,
            loss: 0.0,
            jitter: Time::ZERO,
            reorder: 0.0,
            reorder_by: Time::ZERO,
        }
    }

    /// Looks for shares that are none.
    pub(crate) fn check(&self) -> Result<(), NetworkError> {
        for (what, value) in [("loss", self.loss), ("reordering", self.reorder)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(NetworkError::BadShare { what, value });
            }
        }
        Ok(())
    }

    /// The same, with another buffer.
    #[must_use]
    pub const fn buffer(mut self, bytes: u64) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// The same, losing that share of packets.
    #[must_use]
    pub const fn loss(mut self, share: f64) -> Self {
        self.loss = share;
        self
    }

    /// The same, holding up that share of packets for so long.
    #[must_use]
    pub const fn reorder(mut self, share: f64, by: Time) -> Self {
        (self.reorder, self.reorder_by) = (share, by);
        self
    }

    /// The same, with jitter.
    #[must_use]
    pub const fn jitter(mut self, most: Time) -> Self {
        self.jitter = most;
        self
    }
}

/// What a link did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets that went onto it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets of each level that the queue had no room for, arrivals and evicted ones.
    pub dropped: [u64; LEVELS_MAX],
    /// Packets lost on it.
    pub lost: u64,
    /// Packets taken out of the queue by [`Network::flush`](crate::Network::flush).
    pub flushed: u64,
    /// Most bytes that waited.
    pub queued_most: u64,
}

/// A link that is not perfect, and its luck.
#[derive(Debug)]
struct Faults {
    random: Random,
    loss: f64,
    jitter: Time,
    reorder: f64,
    reorder_by: Time,
}

/// What becomes of a packet on the wire.
enum Fate {
    Lost,
    /// Gets there after the delay and this.
    Late(Time),
    /// Gets there after the delay and this, and those behind it need not wait.
    HeldUp(Time),
}

/// When a packet that is being sent gets to the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) time: Time,
    /// Whether it is held up, so that those behind it overtake.
    pub(crate) held_up: bool,
}

/// How a packet lies among those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It is the next to arrive of those in [`Link::wire`].
    First,
    /// It arrives after others there.
    Behind,
    /// It overtakes one there, so it is the caller's to keep.
    Overtakes,
}

/// A link and its queue.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) free_at: Time,
    pub(crate) delay: Time,
    pub(crate) rate: Rate,
    pub(crate) to: NodeId,
    /// Whether an [`Event::Free`](crate::events::Event::Free) is to come.
    pub(crate) waiting: bool,
    /// A bit for each level that has packets.
    occupied: u8,
    pub(crate) queued_bytes: u64,
    buffer_bytes: u64,
    /// What is on the wire, in order of arrival.
    pub(crate) wire: VecDeque<(Key, Hop)>,
    /// When the last one that was not held up arrives.
    in_order: Time,
    levels: [VecDeque<Hop>; LEVELS_MAX],
    faults: Option<Box<Faults>>,
    pub(crate) stats: LinkStats,
}

impl Link {
    pub(crate) fn new(to: NodeId, spec: LinkSpec, random: Random) -> Self {
        let LinkSpec { rate, delay, buffer_bytes, loss, jitter, reorder, reorder_by } = spec;
        let perfect = loss == 0.0 && jitter == Time::ZERO && reorder == 0.0;
        Self {
            free_at: Time::ZERO,
            delay,
            rate,
            to,
            waiting: false,
            occupied: 0,
            queued_bytes: 0,
            buffer_bytes,
            wire: VecDeque::new(),
            in_order: Time::ZERO,
            levels: [const { VecDeque::new() }; LEVELS_MAX],
            faults: (!perfect).then(|| Box::new(Faults { random, loss, jitter, reorder, reorder_by })),
            stats: LinkStats::default(),
        }
    }

    #[inline]
    fn fate(&mut self) -> Fate {
        let Some(Faults { random, loss, jitter, reorder, reorder_by }) = self.faults.as_deref_mut() else {
            return Fate::Late(Time::ZERO);
        };
        if *loss > 0.0 && random.chance(*loss) {
            return Fate::Lost;
        }
        let mut late = Time::ZERO;
        if *jitter > Time::ZERO {
            late += Time::from_picos(random.below(jitter.picos().saturating_add(1)));
        }
        if *reorder > 0.0 && random.chance(*reorder) {
            return Fate::HeldUp(late + *reorder_by);
        }
        Fate::Late(late)
    }

    /// Sends a packet of so many bytes from `now` on: when it gets to the other end, none if it is lost.
    #[inline]
    pub(crate) fn transmit(&mut self, now: Time, bytes: u64) -> Option<Arrival> {
        self.free_at = now + self.rate.time_of(bytes);
        self.stats.packets += 1;
        self.stats.bytes += bytes;
        let arrives = self.free_at + self.delay;
        match self.fate() {
            Fate::Lost => {
                self.stats.lost += 1;
                None
            }
            Fate::Late(late) => {
                self.in_order = self.in_order.max(arrives + late);
                Some(Arrival { time: self.in_order, held_up: false })
            }
            Fate::HeldUp(late) => Some(Arrival { time: self.in_order.max(arrives + late), held_up: true }),
        }
    }

    /// Puts a packet that is being sent on the wire, unless it overtakes one there.
    #[inline]
    pub(crate) fn place(&mut self, key: Key, hop: Hop) -> Placed {
        match self.wire.back() {
            Some((before, _)) if key.time() < before.time() => return Placed::Overtakes,
            _ => self.wire.push_back((key, hop)),
        }
        if self.wire.len() == 1 { Placed::First } else { Placed::Behind }
    }

    /// Counts times from `by` on, which is no later than whatever is still to come.
    pub(crate) fn shift(&mut self, by: Time) {
        self.free_at = self.free_at - by;
        self.in_order = self.in_order - by;
        self.wire.iter_mut().for_each(|(key, _)| key.shift(by));
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Lets a packet wait, and gives `gone` every one for which there is no room, maybe itself.
    pub(crate) fn enqueue(&mut self, hop: Hop, mut gone: impl FnMut(Hop)) {
        let level = usize::from(hop.level);
        while self.queued_bytes + u64::from(hop.bytes) > self.buffer_bytes {
            // The lowest level has the highest number.
            let lowest = self.occupied.checked_ilog2().map(|lowest| lowest as usize);
            let evicted = lowest.filter(|lowest| *lowest > level).and_then(|lowest| {
                let evicted = self.levels[lowest].pop_back()?;
                self.taken(lowest, &evicted);
                Some(evicted)
            });
            let dropped = evicted.unwrap_or(hop);
            self.stats.dropped[usize::from(dropped.level)] += 1;
            gone(dropped);
            if evicted.is_none() {
                return;
            }
        }
        self.levels[level].push_back(hop);
        self.occupied |= 1 << level;
        self.queued_bytes += u64::from(hop.bytes);
        self.stats.queued_most = self.stats.queued_most.max(self.queued_bytes);
    }

    /// The next to be sent.
    #[inline]
    pub(crate) fn dequeue(&mut self) -> Option<Hop> {
        if self.is_empty() {
            return None;
        }
        let level = self.occupied.trailing_zeros() as usize;
        let hop = self.levels[level].pop_front()?;
        self.taken(level, &hop);
        Some(hop)
    }

    #[inline]
    fn taken(&mut self, level: usize, hop: &Hop) {
        self.queued_bytes -= u64::from(hop.bytes);
        if self.levels[level].is_empty() {
            self.occupied &= !(1 << level);
        }
    }

    /// Takes all packets of a flow that wait at levels from `level` on.
    pub(crate) fn flush<B: Copy>(
        &mut self,
        arena: &mut Arena<B>,
        flow: u64,
        level: u8,
        mut gone: impl FnMut(&mut Arena<B>, Hop),
    ) {
        for level in usize::from(level).min(LEVELS_MAX)..LEVELS_MAX {
            let Self { levels, queued_bytes, stats, occupied, .. } = self;
            levels[level].retain(|hop| {
                let stays = arena.flow(hop.slot) != flow;
                if !stays {
                    *queued_bytes -= u64::from(hop.bytes);
                    stats.flushed += 1;
                    gone(arena, *hop);
                }
                stays
            });
            if levels[level].is_empty() {
                *occupied &= !(1 << level);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule, over plain vectors.
    #[derive(Default)]
    struct Twin {
        levels: [Vec<(u64, u64)>; LEVELS_MAX],
    }

    impl Twin {
        fn bytes(&self) -> u64 {
            self.levels.iter().flatten().map(|(_, bytes)| bytes).sum()
        }

        fn enqueue(&mut self, buffer: u64, level: usize, packet: (u64, u64)) -> Vec<u64> {
            let mut gone = Vec::new();
            while self.bytes() + packet.1 > buffer {
                let below = (level + 1..LEVELS_MAX).rev().find(|level| !self.levels[*level].is_empty());
                match below.and_then(|level| self.levels[level].pop()) {
                    Some(evicted) => gone.push(evicted.0),
                    None => {
                        gone.push(packet.0);
                        return gone;
                    }
                }
            }
            self.levels[level].push(packet);
            gone
        }

        fn dequeue(&mut self) -> Option<u64> {
            let level = self.levels.iter_mut().find(|level| !level.is_empty())?;
            Some(level.remove(0).0)
        }
    }

    proptest! {
        #[test]
        fn the_queue_is_its_slow_twin(
            buffer in 0_u64..6_000,
            steps in proptest::collection::vec((0_u8..4, 0_usize..LEVELS_MAX, 40_u32..1_600), 1..200),
        ) {
            let spec = LinkSpec::new(Rate::from_mbit(1), Time::ZERO).buffer(buffer);
            let mut link = Link::new(NodeId(0), spec, Random::new(0, 0));
            let (mut arena, mut twin) = (Arena::new(), Twin::default());
            for (number, (step, level, bytes)) in (0_u64..).zip(steps) {
                match step {
                    0 => {
                        let hop = link.dequeue();
                        prop_assert_eq!(hop.map(|hop| arena.get(&hop).body), twin.dequeue());
                        hop.into_iter().for_each(|hop| arena.release(hop.slot));
                    }
                    1 if number % 8 == 0 => {
                        let mut flushed = Vec::new();
                        link.flush(&mut arena, 1, 2, |arena, hop| {
                            flushed.push(arena.get(&hop).body);
                            arena.release(hop.slot);
                        });
                        let odd = |packet: &mut (u64, u64)| packet.0 % 2 == 1;
                        let wanted: Vec<u64> =
                            twin.levels[2..].iter_mut().flat_map(|level| level.extract_if(.., odd)).map(|packet| packet.0).collect();
                        prop_assert_eq!(flushed, wanted);
                    }
                    _ => {
                        let slot = arena.put(number % 2, number).unwrap();
                        let hop =
                            Hop { slot, bytes, to: 0, level: level as u8, hops: 0, tell_departure: false };
                        let mut gone = Vec::new();
                        link.enqueue(hop, |hop| {
                            gone.push(arena.get(&hop).body);
                            arena.release(hop.slot);
                        });
                        prop_assert_eq!(gone, twin.enqueue(buffer, level, (number, bytes.into())));
                    }
                }
                prop_assert_eq!(link.queued_bytes, twin.bytes());
                prop_assert_eq!(arena.in_use(), twin.levels.iter().flatten().count());
            }
        }
    }
}
