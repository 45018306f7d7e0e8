//! One direction of a link for packets that are real: the queue, the rate, the delay and the faults of a simulated link,
//! driven from outside by a clock.

use crate::arena::Hop;
use crate::events::{Heap, Key};
use crate::link::{Arrival, LEVELS_MAX, Link, LinkSpec, Placed};
use crate::random::Random;
use crate::report::NetworkError;
use crate::time::Time;

/// When times are counted anew, so that they stay far below [`Time::MAX`] (213 days).
const REBASE: Time = Time::from_secs(100 * 86_400);

/// A link, one way, that holds packets of type `P` until they are due at its other end.
///
/// It neither sleeps nor looks at a clock: a packet and the time go in ([`handle`](Self::handle)), packets that are due come out
/// ([`poll_output`](Self::poll_output)), and it says when to ask again ([`next_deadline`](Self::next_deadline)). It is the
/// link of [`Network`](crate::Network), so what is simulated and what is emulated differ in the clock alone. Packets follow each
/// other onto the link at the rate's own times, however late it is asked: a slow caller makes packets late, not the link slow.
///
/// ```
/// use sim::{Emulator, LinkSpec, Random, Rate, Time};
///
/// let spec = LinkSpec::new(Rate::from_mbit(8), Time::from_millis(5)).buffer(3_000);
/// let mut link = Emulator::new(spec, 1_000, Random::new(1, 0))?;
/// for (level, name) in [(0, "first"), (3, "late"), (3, "gone"), (0, "soon")] {
///     link.handle(0, level, 1_000, name); // at 0 ns; 1,000 bytes take 1 ms, and 3 packets may wait
/// }
/// link.handle(0, 0, 1_000, "then"); // takes the place of the last of level 3
/// assert_eq!(link.next_deadline(), Some(6_000_000));
/// assert_eq!(link.poll_output(6_500_000), Some("first"));
/// assert_eq!(link.poll_output(6_500_000), None);
/// let rest: Vec<_> = std::iter::from_fn(|| link.poll_output(9_000_000)).collect();
/// assert_eq!(rest, ["soon", "then", "late"]);
/// assert_eq!(link.stats().levels[3].evicted, 1);
/// # Ok::<(), sim::NetworkError>(())
/// ```
#[derive(Debug)]
pub struct Emulator<P> {
    link: Link,
    /// Held up and what overtook these.
    late: Heap<Hop>,
    packets: Vec<Option<P>>,
    free: Vec<u32>,
    packets_max: usize,
    sequence: u64,
    /// The caller's clock at [`Time::ZERO`], once it is known.
    base_ns: Option<u64>,
    levels: [LevelStats; LEVELS_MAX],
}

/// What became of a level's packets. All that came are in one of the others or still held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// Packets that came.
    pub arrived: u64,
    /// Packets that got to the other end.
    pub carried: u64,
    /// Their bytes.
    pub carried_bytes: u64,
    /// Packets that found no room in the buffer.
    pub dropped: u64,
    /// Packets that made room for those of a higher level.
    pub evicted: u64,
    /// Packets that were lost on the link, or when it was cut.
    pub lost: u64,
    /// Packets that were held up, so that others could overtake them. They are carried in the end.
    pub held_up: u64,
    /// Packets beyond the most that it holds.
    pub over_limit: u64,
}

/// What an [`Emulator`] did, and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmulatorStats {
    /// By level.
    pub levels: [LevelStats; LEVELS_MAX],
    /// Packets that it holds, in the queue and on the wire.
    pub held: usize,
    /// Bytes that wait in the queue.
    pub queued_bytes: u64,
    /// The most bytes that have waited there.
    pub queued_most: u64,
}

impl<P> Emulator<P> {
    /// A link that holds at most so many packets, and draws its faults from `random`.
    ///
    /// # Errors
    /// A share of loss or reordering outside 0 to 1.
    pub fn new(spec: LinkSpec, packets_max: usize, random: Random) -> Result<Self, NetworkError> {
        spec.check()?;
        Ok(Self {
            link: Link::new(crate::NodeId(0), spec, random),
            late: Heap::default(),
            packets: Vec::new(),
            free: Vec::new(),
            packets_max: packets_max.min(crate::PACKETS_MAX),
            sequence: 0,
            base_ns: None,
            levels: [LevelStats::default(); LEVELS_MAX],
        })
    }

    /// A packet of so many bytes comes at `now_ns`, on any clock that does not run backwards. Level 0 goes first; numbers from
    /// [`LEVELS_MAX`] on count as the last level. What there is no room for is dropped and counted.
    pub fn handle(&mut self, now_ns: u64, level: u8, bytes: u32, packet: P) {
        let now = self.advance(now_ns);
        let level = level.min(LEVELS_MAX as u8 - 1);
        self.levels[usize::from(level)].arrived += 1;
        let Some(slot) = self.keep(packet) else {
            self.levels[usize::from(level)].over_limit += 1;
            return;
        };
        let hop = Hop { slot, bytes, to: 0, level, hops: 0, tell_departure: false };
        if self.link.free_at <= now {
            // Nobody waits: those that did went when it was free.
            return self.transmit(now, hop);
        }
        let Self { link, levels, packets, free, .. } = self;
        link.enqueue(hop, |gone| {
            let stats = &mut levels[usize::from(gone.level)];
            *(if gone.slot == slot { &mut stats.dropped } else { &mut stats.evicted }) += 1;
            packets[gone.slot as usize] = None;
            free.push(gone.slot);
        });
    }

    /// The next packet that is due at the other end by `now_ns`.
    pub fn poll_output(&mut self, now_ns: u64) -> Option<P> {
        let now = self.advance(now_ns);
        let (first, overtakes) = self.first()?;
        if first.time() > now {
            return None;
        }
        let hop = if overtakes { self.late.pop() } else { self.link.wire.pop_front() }.map(|(_, hop)| hop)?;
        let stats = &mut self.levels[usize::from(hop.level)];
        stats.carried += 1;
        stats.carried_bytes += u64::from(hop.bytes);
        self.let_go(hop.slot)
    }

    /// Loses all that it holds, in the queue and on the wire: the cable is cut.
    pub fn cut(&mut self) {
        let Self { link, late, levels, packets, free, .. } = self;
        let waiting = std::iter::from_fn(|| link.dequeue());
        let mut held: Vec<Hop> = waiting.collect();
        held.extend(link.wire.drain(..).map(|(_, hop)| hop));
        held.extend(std::iter::from_fn(|| late.pop()).map(|(_, hop)| hop));
        for hop in held {
            levels[usize::from(hop.level)].lost += 1;
            packets[hop.slot as usize] = None;
            free.push(hop.slot);
        }
    }

    /// When to ask for packets again, on the caller's clock, rounded up to the nanosecond; none while it holds nothing. There
    /// may be nothing yet then, where packets overtake each other.
    pub fn next_deadline(&self) -> Option<u64> {
        let wire = self.first().map(|(key, _)| key.time());
        // What waits is not at the other end before it has been sent.
        let queued = (!self.link.is_empty()).then(|| self.link.free_at + self.link.delay);
        let first = wire.into_iter().chain(queued).min()?;
        Some(self.base_ns?.saturating_add(first.picos().div_ceil(1_000)))
    }

    /// Packets that it holds, in the queue and on the wire.
    pub fn held(&self) -> usize {
        self.packets.len() - self.free.len()
    }

    /// What it did so far, and what it holds.
    pub fn stats(&self) -> EmulatorStats {
        EmulatorStats {
            levels: self.levels,
            held: self.held(),
            queued_bytes: self.link.queued_bytes,
            queued_most: self.link.stats.queued_most,
        }
    }

    /// Sends what was to be sent until now, and gives the time since the base.
    fn advance(&mut self, now_ns: u64) -> Time {
        let base_ns = *self.base_ns.get_or_insert(now_ns);
        let mut now = Time::from_nanos(now_ns.saturating_sub(base_ns));
        while self.link.free_at <= now {
            let Some(hop) = self.link.dequeue() else { break };
            self.transmit(self.link.free_at, hop);
        }
        if now > REBASE {
            // No further than to the first that is still to come, so that the order stays.
            let by = self.first().map_or(now, |first| first.0.time().min(now));
            self.base_ns = Some(base_ns + by.nanos());
            let by = Time::from_nanos(by.nanos());
            self.link.shift(by);
            self.late.shift(by);
            now = now - by;
        }
        now
    }

    /// The first to arrive of those on the wire, and whether it overtakes.
    fn first(&self) -> Option<(Key, bool)> {
        let wire = self.link.wire.front().map(|(key, _)| *key);
        match (wire, self.late.first()) {
            (Some(wire), Some(late)) if late < wire => Some((late, true)),
            (Some(wire), _) => Some((wire, false)),
            (None, late) => Some((late?, true)),
        }
    }

    fn transmit(&mut self, now: Time, hop: Hop) {
        let Some(Arrival { time, held_up }) = self.link.transmit(now, u64::from(hop.bytes)) else {
            self.levels[usize::from(hop.level)].lost += 1;
            self.let_go(hop.slot);
            return;
        };
        self.levels[usize::from(hop.level)].held_up += u64::from(held_up);
        self.sequence += 1;
        let key = Key::new(time, self.sequence);
        if self.link.place(key, hop) == Placed::Overtakes {
            self.late.push(key, hop);
        }
    }

    fn keep(&mut self, packet: P) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            self.packets[slot as usize] = Some(packet);
            return Some(slot);
        }
        if self.packets.len() == self.packets_max {
            return None;
        }
        self.packets.push(Some(packet));
        Some(self.packets.len() as u32 - 1)
    }

    fn let_go(&mut self, slot: u32) -> Option<P> {
        self.free.push(slot);
        self.packets[slot as usize].take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Hosts, Network, NodeId, Packet, Rate};

    const MS: u64 = 1_000_000;

    fn link(spec: LinkSpec) -> Emulator<u32> {
        Emulator::new(spec, 100_000, Random::new(7, 0)).unwrap()
    }

    #[test]
    fn a_slow_caller_does_not_slow_the_link() {
        // 1,000 packets of 1 ms each; asked every 7 ms.
        let mut link = link(LinkSpec::new(Rate::from_mbit(8), Time::ZERO));
        (0..1_000).for_each(|number| link.handle(0, 0, 1_000, number));
        let mut out = 0;
        for now in (7..=1_001).step_by(7) {
            out += std::iter::from_fn(|| link.poll_output(now * MS)).count() as u64;
            assert_eq!(out, now.min(1_000), "at {now} ms");
        }
    }

    #[test]
    fn no_more_packets_than_it_may_hold() {
        let spec = LinkSpec::new(Rate::from_mbit(8), Time::ZERO);
        let mut link = Emulator::new(spec, 10, Random::new(0, 0)).unwrap();
        (0..12).for_each(|number| link.handle(0, 9, 1_000, number));
        assert_eq!((link.stats().levels[7].over_limit, link.stats().held), (2, 10));
        assert_eq!(link.poll_output(MS), Some(0));
        link.handle(MS, 0, 1_000, 12);
        assert_eq!((link.stats().levels[0].over_limit, link.stats().held), (0, 10));
        let bad = Emulator::<u32>::new(spec.loss(1.5), 1, Random::new(0, 0)).unwrap_err();
        assert_eq!(bad, NetworkError::BadShare { what: "loss", value: 1.5 });
    }

    #[test]
    fn what_is_on_a_link_that_is_cut_is_lost() {
        let spec = LinkSpec::new(Rate::from_mbit(8), Time::from_millis(5)).reorder(0.5, Time::from_millis(9));
        let mut link = link(spec);
        (0..40).for_each(|number| link.handle(0, 0, 1_000, number));
        assert_eq!((link.poll_output(20 * MS).is_some(), link.stats().held), (true, 39));
        link.cut();
        assert_eq!((link.stats().held, link.stats().levels[0].lost, link.next_deadline()), (0, 39, None));
        link.handle(60 * MS, 0, 1_000, 40);
        assert_eq!(link.poll_output(80 * MS), Some(40));
    }

    #[test]
    fn it_runs_for_years() {
        let mut link = link(LinkSpec::new(Rate::from_mbit(8), Time::from_millis(40)));
        let year_ns = 365 * 86_400 * 1_000 * MS;
        for day in (0..year_ns * 3).step_by(33 * 86_400 * 1_000 * MS as usize) {
            (0..3).for_each(|number| link.handle(day, 0, 1_000, number));
            assert_eq!(link.next_deadline(), Some(day + 41 * MS));
            assert_eq!(
                (link.poll_output(day + 41 * MS - 1), link.poll_output(day + 41 * MS)),
                (None, Some(0))
            );
            assert_eq!(
                (link.poll_output(day + 43 * MS), link.poll_output(day + 43 * MS)),
                (Some(1), Some(2))
            );
        }
    }

    /// Sends at given times, and notes what arrives when.
    #[derive(Default)]
    struct Play {
        sends: Vec<(u64, u8, u32)>,
        arrived: Vec<(u64, u32)>,
    }

    impl Hosts<u32> for Play {
        fn packet(&mut self, net: &mut Network<u32>, _at: NodeId, packet: Packet<u32>) {
            self.arrived.push((net.now().picos().div_ceil(1_000), packet.body));
        }

        fn timer(&mut self, net: &mut Network<u32>, token: u64) {
            let (_, level, bytes) = self.sends[token as usize];
            net.send(NodeId(0), Packet { level, ..Packet::new(NodeId(1), bytes, 0, token as u32) });
        }
    }

    proptest! {
        /// One core, two worlds: the same packets over a simulated and an emulated link arrive at the same times.
        #[test]
        fn the_emulated_link_is_the_simulated_one(
            steps in proptest::collection::vec((0_u64..2 * MS, 0_u8..8, 40_u32..1_600), 1..200),
            loss in 0.0..0.3_f64, reorder in 0.0..0.3_f64, jitter_us in 0_u64..3_000, buffer in 2_000_u64..20_000,
        ) {
            // A byte takes 0.8 us and all times are whole nanoseconds, so that both clocks show the same.
            let spec = LinkSpec::new(Rate::from_mbit(10), Time::from_millis(3)).buffer(buffer).loss(loss)
                .jitter(Time::from_micros(jitter_us)).reorder(reorder, Time::from_millis(5));
            let mut now = 0;
            let sends: Vec<_> = steps.into_iter().map(|(pause, level, bytes)| {
                now += pause;
                (now, level, bytes)
            }).collect();

            let mut net = Network::new(7);
            let (a, b) = (net.add_node().unwrap(), net.add_node().unwrap());
            let id = net.add_link(a, b, spec).unwrap();
            net.set_route(a, b, id).unwrap();
            let mut play = Play { sends: sends.clone(), arrived: Vec::new() };
            (0..).zip(&sends).for_each(|(token, (at, ..))| net.timer_at(Time::from_nanos(*at), token));
            net.run(&mut play, Time::MAX);

            let mut link = link(spec);
            let (mut arrived, mut sends) = (Vec::new(), (0_u32..).zip(sends).peekable());
            // The base is the first call: at 0, as in the simulation.
            prop_assert_eq!(link.poll_output(0), None);
            loop {
                let due = link.next_deadline();
                match sends.peek() {
                    Some((_, (at, ..))) if due.is_none_or(|due| *at < due) => {
                        let (number, (at, level, bytes)) = sends.next().unwrap();
                        link.handle(at, level, bytes, number);
                    }
                    _ => match due {
                        Some(due) => arrived.extend(std::iter::from_fn(|| Some((due, link.poll_output(due)?)))),
                        None => break,
                    },
                }
            }
            prop_assert_eq!(&arrived, &play.arrived);
            let (stats, twin) = (link.stats(), net.link_stats(id).unwrap());
            let sum = |count: fn(&LevelStats) -> u64| stats.levels.iter().map(count).sum::<u64>();
            prop_assert_eq!(sum(|level| level.arrived), sum(|l| l.carried + l.dropped + l.evicted + l.lost));
            prop_assert_eq!((sum(|level| level.lost), stats.held), (twin.lost, 0));
            prop_assert_eq!(stats.levels.map(|level| level.dropped + level.evicted), twin.dropped);
            prop_assert_eq!(stats.queued_most, twin.queued_most);
        }
    }
}
