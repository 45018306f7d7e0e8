//! [`FlowMeasure`].

use lookup::flow_table::FlowTable;
use packet::flow::FlowHasher;
use packet::{Batch, Packet};

use super::histogram::{Summary, summarise};
use crate::engine::{Attribute, Context, Gate, Module, Place, monotonic_ns};

/// Measures packets, bytes, latency and jitter of each session and rule of a mobile core, in two buffers: while one is
/// written, the other is read.
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: reads `timestamp` (8 bytes), `fseid` (8) and `pdr_id` (4), and the
/// one that says which buffer counts (8), which it writes if it leads; all numbers in the machine's byte order.
///
/// One module leads, and marks packets with the buffer; those behind it follow the mark. Packets without a time, with one
/// that is to come, without a mark, or of one more session than there is room for, pass without being counted.
///
/// ```
/// # use softnic::modules::{FlowMeasure, FlowMeasureConfig};
/// let leader = FlowMeasure::new(&FlowMeasureConfig::leader("buffer_flag"), 0x5eed);
/// ```
pub struct FlowMeasure {
    flag: String,
    leads: bool,
    /// Which buffer counts. A follower has not heard of any at first.
    side: Option<MeasureSide>,
    buffers: [Buffer; 2],
    entries: usize,
    hasher: FlowHasher,
    places: Places,
    clock: fn() -> u64,
}

/// How [`FlowMeasure`] measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMeasureConfig {
    /// The attribute that says which buffer counts.
    pub flag: String,
    /// Whether it leads.
    pub leads: bool,
    /// Sessions in a buffer, [`FlowMeasure::ENTRIES_MAX`] at most.
    pub entries: usize,
}

/// One of the two buffers; as a number in attributes and commands 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureSide {
    /// The one that a leader begins with.
    A = 1,
    /// The other.
    B = 2,
}

/// What was measured of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMeasured {
    /// The session.
    pub fseid: u64,
    /// The packet detection rule.
    pub pdr: u64,
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long they were under way, in nanoseconds.
    pub latency: Summary,
    /// How much that varied from packet to packet.
    pub jitter: Summary,
}

/// Steps of 1 µs up to 100 µs, and what is above.
const WIDTH_NS: u64 = 1000;
const BUCKETS: usize = 100;
/// Entries that no time ends.
const FOR_EVER: u64 = u64::MAX;

/// Latency, then jitter. Counts that reach the top stay there.
type Steps = [u32; 2 * (BUCKETS + 1)];

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    packets: u64,
    bytes: u64,
    /// The last latency.
    last_ns: u64,
}

struct Buffer {
    numbers: FlowTable<(u64, u64), u32>,
    totals: Vec<Totals>,
    steps: Vec<Steps>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Places {
    flag: Place,
    time: Place,
    session: Place,
    rule: Place,
}

impl FlowMeasureConfig {
    /// One that leads, with room for 32,768 sessions.
    pub fn leader(flag: impl Into<String>) -> Self {
        Self { flag: flag.into(), leads: true, entries: FlowMeasure::ENTRIES }
    }

    /// One that follows.
    pub fn follower(flag: impl Into<String>) -> Self {
        Self { leads: false, ..Self::leader(flag) }
    }
}

impl MeasureSide {
    /// The side of a number.
    pub fn of(number: u64) -> Option<Self> {
        [Self::A, Self::B].into_iter().find(|side| *side as u64 == number)
    }

    fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn index(self) -> usize {
        self as usize - 1
    }
}

impl Buffer {
    fn new(entries: usize, hasher: FlowHasher) -> Self {
        // Zeroed memory costs nothing before it is written to.
        Self {
            numbers: FlowTable::with_hasher(entries, hasher),
            totals: Vec::with_capacity(entries),
            steps: vec![[0; 2 * (BUCKETS + 1)]; entries],
        }
    }

    /// The number of a session, a new one if it has none; `None` where there is no room.
    fn number(&mut self, key: (u64, u64)) -> Option<usize> {
        if let Some(number) = self.numbers.find(&key, 0).and_then(|id| self.numbers.get(id)) {
            return Some(*number as usize);
        }
        let number = self.totals.len();
        self.numbers.insert(key, number as u32, FOR_EVER, 0).ok()?;
        self.totals.push(Totals::default());
        Some(number)
    }

    fn count(&mut self, key: (u64, u64), bytes: u64, latency_ns: u64) {
        let Some(number) = self.number(key) else { return };
        let (totals, steps) = (&mut self.totals[number], &mut self.steps[number]);
        // The first packet has none to differ from.
        let last_ns = if totals.last_ns == 0 { latency_ns } else { totals.last_ns };
        let bucket = |value_ns: u64| (value_ns / WIDTH_NS).min(BUCKETS as u64) as usize;
        for at in [bucket(latency_ns), BUCKETS + 1 + bucket(latency_ns.abs_diff(last_ns))] {
            steps[at] = steps[at].saturating_add(1);
        }
        totals.last_ns = latency_ns;
        totals.packets += 1;
        totals.bytes += bytes;
    }

    fn read(&self, latency: &[f64], jitter: &[f64]) -> Vec<FlowMeasured> {
        let measured = |(_, &(fseid, pdr), &number): (_, &(u64, u64), &u32)| {
            let number = number as usize;
            let Totals { packets, bytes, .. } = self.totals[number];
            let (latencies, jitters) = self.steps[number].split_at(BUCKETS + 1);
            FlowMeasured {
                fseid,
                pdr,
                packets,
                bytes,
                latency: summarise(WIDTH_NS, latencies, BUCKETS, latency),
                jitter: summarise(WIDTH_NS, jitters, BUCKETS, jitter),
            }
        };
        self.numbers.iter().map(measured).collect()
    }
}

impl FlowMeasure {
    /// Sessions in a buffer, unless told otherwise.
    pub const ENTRIES: usize = 1 << 15;
    /// The most sessions in a buffer: 212 MB of steps, as far as they are used.
    pub const ENTRIES_MAX: usize = 1 << 18;

    /// Measures like that. The key of its tables is drawn at random.
    pub fn new(config: &FlowMeasureConfig, key: u128) -> Self {
        Self::with_clock(config, key, monotonic_ns)
    }

    /// Takes times from another clock.
    pub fn with_clock(config: &FlowMeasureConfig, key: u128, clock: fn() -> u64) -> Self {
        let FlowMeasureConfig { flag, leads, entries } = config;
        let (entries, hasher) = ((*entries).clamp(1, Self::ENTRIES_MAX), FlowHasher::new(key));
        Self {
            flag: flag.clone(),
            leads: *leads,
            side: leads.then_some(MeasureSide::A),
            buffers: [(); 2].map(|()| Buffer::new(entries, hasher)),
            entries,
            hasher,
            places: Places::default(),
            clock,
        }
    }

    /// What a buffer says, with these percentiles (0 to 100, rising).
    pub fn read(&self, side: MeasureSide, latency: &[f64], jitter: &[f64]) -> Vec<FlowMeasured> {
        self.buffers[side.index()].read(latency, jitter)
    }

    /// Empties a buffer.
    pub fn clear(&mut self, side: MeasureSide) {
        self.buffers[side.index()] = Buffer::new(self.entries, self.hasher);
    }

    /// Lets the other buffer count, and returns the one that has counted; `None` where it does not lead.
    pub fn flip(&mut self) -> Option<MeasureSide> {
        let old = self.side.filter(|_| self.leads)?;
        self.side = Some(old.other());
        Some(old)
    }

    fn count(&mut self, now_ns: u64, packet: &mut Packet) {
        if self.leads {
            let mark = self.side.map_or(0, |side| side as u64);
            self.places.flag.write(packet, mark.to_ne_bytes());
        } else {
            let Some(side) = MeasureSide::of(u64::from_ne_bytes(self.places.flag.read(packet))) else {
                return;
            };
            self.side = Some(side);
        }
        let time_ns = u64::from_ne_bytes(self.places.time.read(packet));
        let (Some(side), Some(latency_ns)) = (self.side, now_ns.checked_sub(time_ns)) else { return };
        if time_ns > 0 {
            let session = u64::from_ne_bytes(self.places.session.read(packet));
            let rule = u32::from_ne_bytes(self.places.rule.read(packet));
            self.buffers[side.index()].count((session, u64::from(rule)), packet.len() as u64, latency_ns);
        }
    }
}

impl Module for FlowMeasure {
    fn class(&self) -> &'static str {
        "FlowMeasure"
    }

    fn attributes(&self) -> Vec<Attribute> {
        let flag = if self.leads { Attribute::write(&self.flag, 8) } else { Attribute::read(&self.flag, 8) };
        vec![flag, Attribute::read("timestamp", 8), Attribute::read("fseid", 8), Attribute::read("pdr_id", 4)]
    }

    fn place(&mut self, places: &[Place]) {
        if let &[flag, time, session, rule] = places {
            self.places = Places { flag, time, session, rule };
        }
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        // Not the time of the turn: it would be that of the module which noted the packets' time.
        let now_ns = (self.clock)();
        for packet in batch {
            self.count(now_ns, packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::packet;
    use super::*;
    use crate::engine::rig::{Own, Rig};

    const NOW_NS: u64 = 1_000_000;

    fn rig(config: &FlowMeasureConfig) -> Own<FlowMeasure> {
        Rig::new(FlowMeasure::with_clock(config, 1, || NOW_NS))
    }

    fn send(rig: &mut Own<FlowMeasure>, flag: u64, latency_ns: i64, session: u64, rule: u32) -> Packet {
        let mut packet = packet(&[0; 100]);
        rig.place("flag").write(&mut packet, flag.to_ne_bytes());
        rig.place("timestamp").write(&mut packet, NOW_NS.wrapping_add_signed(-latency_ns).to_ne_bytes());
        rig.place("fseid").write(&mut packet, session.to_ne_bytes());
        rig.place("pdr_id").write(&mut packet, rule.to_ne_bytes());
        rig.process(0, [packet]).remove(0).1
    }

    fn read(rig: &Own<FlowMeasure>, side: MeasureSide) -> Vec<(u64, u64, u64, u64)> {
        let mut all: Vec<_> =
            rig.module.read(side, &[], &[]).iter().map(|m| (m.fseid, m.pdr, m.packets, m.bytes)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn sessions_and_rules_are_told_apart() {
        let mut rig = rig(&FlowMeasureConfig::leader("flag"));
        for (latency_ns, session, rule) in
            [(5500, 1, 1), (9500, 1, 1), (7000, 1, 2), (1_000_001, 2, 1), (-1, 2, 1)]
        {
            send(&mut rig, 0, latency_ns, session, rule);
        }
        // A time of 0 is none, and one that is to come is none of ours.
        send(&mut rig, 0, NOW_NS as i64, 3, 3);
        assert_eq!(read(&rig, MeasureSide::A), [(1, 1, 2, 200), (1, 2, 1, 100)]);
        let all = rig.module.read(MeasureSide::A, &[50.0, 100.0], &[50.0, 100.0]);
        let first = all.iter().find(|measured| measured.packets == 2).unwrap();
        assert_eq!(first.latency.percentiles, [5000, 9000]);
        assert_eq!(first.jitter.percentiles, [0, 4000]);
    }

    #[test]
    fn the_leader_says_which_buffer_counts_and_followers_follow() {
        let mut leader = rig(&FlowMeasureConfig::leader("flag"));
        let marked = send(&mut leader, 77, 10, 1, 1);
        assert_eq!(leader.place("flag").read(&marked), 1u64.to_ne_bytes());
        assert_eq!(leader.module.flip(), Some(MeasureSide::A));
        let marked = send(&mut leader, 77, 10, 1, 1);
        assert_eq!(leader.place("flag").read(&marked), 2u64.to_ne_bytes());
        assert_eq!(
            (read(&leader, MeasureSide::A), read(&leader, MeasureSide::B)),
            (vec![(1, 1, 1, 100)], vec![(1, 1, 1, 100)])
        );
        leader.module.clear(MeasureSide::A);
        assert_eq!((read(&leader, MeasureSide::A).len(), read(&leader, MeasureSide::B).len()), (0, 1));
        let mut follower = rig(&FlowMeasureConfig::follower("flag"));
        assert_eq!(follower.module.flip(), None);
        [0, 3, 2, 2, 1].into_iter().for_each(|flag| drop(send(&mut follower, flag, 10, 1, 1)));
        assert_eq!(
            (read(&follower, MeasureSide::A), read(&follower, MeasureSide::B)),
            (vec![(1, 1, 1, 100)], vec![(1, 1, 2, 200)])
        );
    }

    #[test]
    fn one_session_too_many_is_not_counted() {
        let mut rig = rig(&FlowMeasureConfig { entries: 2, ..FlowMeasureConfig::leader("flag") });
        (1..=3).for_each(|session| drop(send(&mut rig, 0, 10, session, 1)));
        send(&mut rig, 0, 10, 1, 1);
        assert_eq!(read(&rig, MeasureSide::A), [(1, 1, 2, 200), (2, 1, 1, 100)]);
    }
}
