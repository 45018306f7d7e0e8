//! [`Measure`].

use netbricks::functions::Random;
use packet::Batch;

use super::histogram::{Histogram, Summary};
use super::timestamp::Stamp;
use crate::engine::{Attribute, Context, Gate, Module, Place, monotonic_ns};

/// Measures how long packets have been under way since [`Timestamp`](super::Timestamp), and how much that varies.
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: reads the one it is told, 8 bytes, unless the packets themselves
/// hold the time.
///
/// It counts all packets. Of those that hold a time it counts bytes and latency; of a share of those also jitter, which
/// is how much a latency differs from the last one of the sample. The time is read once a batch.
///
/// ```
/// # use softnic::modules::{Measure, MeasureConfig};
/// let measure = Measure::new(MeasureConfig::default(), 1)?;
/// # Ok::<(), softnic::modules::MeasureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Measure {
    stamp: Stamp,
    place: Place,
    clock: fn() -> u64,
    latency: Histogram,
    jitter: Histogram,
    /// In how many of 2³² cases a packet is part of the sample.
    share: u64,
    random: Random,
    last_ns: Option<u64>,
    packets: u64,
    bytes: u64,
}

/// How [`Measure`] measures.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasureConfig {
    /// Where packets hold their time.
    pub stamp: Stamp,
    /// The share of packets whose jitter counts, 0 to 1.
    pub jitter_share: f64,
    /// The longest time that is told apart, in nanoseconds.
    pub max_ns: u64,
    /// How exactly times are told apart, in nanoseconds.
    pub resolution_ns: u64,
}

impl Default for MeasureConfig {
    /// The attribute `timestamp`, a jitter sample of 5 %, times up to 100 ms in steps of 100 ns.
    fn default() -> Self {
        let stamp = Stamp::Attribute("timestamp".into());
        Self { stamp, jitter_share: 0.05, max_ns: 100_000_000, resolution_ns: 100 }
    }
}

/// A range that [`Measure`] cannot tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "excessive latency_ns_max / latency_ns_resolution: {max_ns} ns in steps of {resolution_ns} ns are more than {most} \
     steps", most = Measure::BUCKETS_MAX
)]
pub struct MeasureError {
    /// The longest time.
    pub max_ns: u64,
    /// The step.
    pub resolution_ns: u64,
}

/// What [`Measure`] has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// All packets.
    pub packets: u64,
    /// Bytes of those that held a time.
    pub bytes: u64,
    /// How long they were under way.
    pub latency: Summary,
    /// How much that varied.
    pub jitter: Summary,
}

impl Measure {
    /// The most steps of a histogram.
    pub const BUCKETS_MAX: u64 = 5_000_000;

    /// Measures like that; the seed determines the sample.
    ///
    /// # Errors
    /// More than [`Measure::BUCKETS_MAX`] steps.
    pub fn new(config: MeasureConfig, seed: u64) -> Result<Self, MeasureError> {
        Self::with_clock(config, seed, monotonic_ns)
    }

    /// Takes times from another clock.
    ///
    /// # Errors
    /// As [`Measure::new`].
    pub fn with_clock(config: MeasureConfig, seed: u64, clock: fn() -> u64) -> Result<Self, MeasureError> {
        let MeasureConfig { stamp, jitter_share, max_ns, resolution_ns } = config;
        let steps = max_ns.div_ceil(resolution_ns.max(1));
        if steps > Self::BUCKETS_MAX {
            return Err(MeasureError { max_ns, resolution_ns });
        }
        let latency = Histogram::new(steps as usize, resolution_ns);
        Ok(Self {
            stamp,
            place: Place::default(),
            clock,
            jitter: latency.emptied(),
            latency,
            share: (jitter_share.clamp(0.0, 1.0) * (1u64 << 32) as f64) as u64,
            random: Random::new(seed),
            last_ns: None,
            packets: 0,
            bytes: 0,
        })
    }

    /// What it has seen, with these percentiles of latency and of jitter (0 to 100, rising).
    pub fn measured(&self, latency: &[f64], jitter: &[f64]) -> Measured {
        Measured {
            packets: self.packets,
            bytes: self.bytes,
            latency: self.latency.summary(latency),
            jitter: self.jitter.summary(jitter),
        }
    }

    /// The step of its histograms, in nanoseconds.
    pub fn resolution_ns(&self) -> u64 {
        self.latency.width()
    }

    /// Forgets what it has seen.
    pub fn clear(&mut self) {
        self.latency = self.latency.emptied();
        self.jitter = self.jitter.emptied();
        (self.packets, self.bytes) = (0, 0);
    }
}

impl Module for Measure {
    fn class(&self) -> &'static str {
        "Measure"
    }

    fn attributes(&self) -> Vec<Attribute> {
        match &self.stamp {
            Stamp::Attribute(name) => vec![Attribute::read(name, 8)],
            Stamp::Packet(_) => Vec::new(),
        }
    }

    fn place(&mut self, places: &[Place]) {
        self.place = places.first().copied().unwrap_or_default();
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        // Not the time of the turn, see `Timestamp`.
        let now_ns = (self.clock)();
        self.packets += batch.len() as u64;
        for packet in &*batch {
            let time = self.stamp.read(packet, self.place);
            // A time that is to come is none of ours.
            let Some(latency) = time.and_then(|time| now_ns.checked_sub(time)) else { continue };
            self.bytes += packet.len() as u64;
            self.latency.insert(latency);
            if self.random.happens(self.share)
                && let Some(last) = self.last_ns.replace(latency)
            {
                self.jitter.insert(latency.abs_diff(last));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::frames::packet;
    use super::*;
    use crate::engine::rig::{Own, Rig};

    thread_local! {
        static NOW_NS: Cell<u64> = const { Cell::new(0) };
    }

    fn rig(config: MeasureConfig) -> Own<Measure> {
        Rig::new(Measure::with_clock(config, 1, || NOW_NS.get()).unwrap())
    }

    fn send(rig: &mut Own<Measure>, time_ns: u64, now_ns: u64, count: usize) {
        NOW_NS.set(now_ns);
        let place = rig.place("timestamp");
        let stamped = (0..count).map(|_| {
            let mut packet = packet(&[0; 100]);
            place.write(&mut packet, time_ns.to_ne_bytes());
            packet
        });
        assert_eq!(rig.process(0, stamped).len(), count);
    }

    #[test]
    fn latencies_and_jitter_are_summed_up() {
        let all = MeasureConfig { jitter_share: 1.0, resolution_ns: 1, max_ns: 1000, ..Default::default() };
        let mut rig = rig(all);
        send(&mut rig, 1000, 1100, 10);
        send(&mut rig, 2000, 2300, 30);
        let measured = rig.module.measured(&[0.0, 25.0, 26.0, 100.0], &[90.0, 100.0]);
        assert_eq!((measured.packets, measured.bytes), (40, 4000));
        let latency = &measured.latency;
        assert_eq!((latency.count, latency.min, latency.mean, latency.max), (40, 100, 250, 300));
        assert_eq!((latency.total, &latency.percentiles[..]), (10_000, &[100, 100, 300, 300][..]));
        assert_eq!((measured.jitter.count, measured.jitter.max), (39, 200));
        assert_eq!(measured.jitter.percentiles, [0, 200]);
        rig.module.clear();
        assert_eq!(rig.module.measured(&[], &[]).latency, Summary::default());
        assert_eq!(rig.module.measured(&[], &[]).packets, 0);
    }

    #[test]
    fn what_holds_no_time_is_a_packet_and_no_more() {
        let mut rig = rig(MeasureConfig::default());
        send(&mut rig, 0, 1000, 3); // never stamped
        send(&mut rig, 1001, 1000, 3); // from the future
        let measured = rig.module.measured(&[], &[]);
        assert_eq!((measured.packets, measured.bytes, measured.latency.count), (6, 0, 0));
    }

    #[test]
    fn a_share_of_packets_is_in_the_sample() {
        let mut rig = rig(MeasureConfig::default());
        (0..400).for_each(|_| send(&mut rig, 1, 1001, 32));
        let count = rig.module.measured(&[], &[]).jitter.count;
        // 640 of 12,800 at 5 %, 25 off at one standard deviation.
        assert!((540..740).contains(&count), "{count}");
    }

    #[test]
    fn a_range_has_its_limit() {
        let config = MeasureConfig { max_ns: 5_000_001, resolution_ns: 1, ..Default::default() };
        let wrong = Measure::new(config.clone(), 1).unwrap_err();
        assert_eq!(wrong, MeasureError { max_ns: 5_000_001, resolution_ns: 1 });
        assert!(Measure::new(MeasureConfig { resolution_ns: 2, ..config }, 1).is_ok());
        assert!(Measure::new(MeasureConfig { resolution_ns: 0, max_ns: 5, ..Default::default() }, 1).is_ok());
    }

    #[test]
    fn times_in_packets_are_found() {
        NOW_NS.set(500);
        let stamp = Stamp::Packet(4);
        let mut rig = rig(MeasureConfig { stamp: stamp.clone(), ..Default::default() });
        let stamped =
            Rig::new(super::super::Timestamp::with_clock(stamp, || 100)).process(0, [packet(&[1; 60])]);
        rig.process(0, stamped.into_iter().map(|(_, packet)| packet).chain([packet(&[1; 60])]));
        let measured = rig.module.measured(&[], &[]);
        assert_eq!((measured.packets, measured.latency.count, measured.latency.min), (2, 1, 400));
    }
}
