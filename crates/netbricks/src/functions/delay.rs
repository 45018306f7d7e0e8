//! Holds every packet back for a time, with jitter and loss if wanted: a long line on a desk.
//!
//! What comes in at one gate leaves at the other, later. Each direction has a queue and an order of its own. Nothing is
//! spun or slept: packets wait in the queue, and the function names the time at which the first is due.
//!
//! | argument | default | |
//! |---|---|---|
//! | `by=20ms` | 0 | how long; up to 1 h |
//! | `back=5ms` | as `by` | how long, for what comes in at gate 1 |
//! | `jitter=2ms` | 0 | how much longer or shorter, at random; no delay is below 0 |
//! | `shape=uniform` | `uniform` | of the jitter: every value up to it as likely, or `normal` with it as standard deviation |
//! | `loss=0.5%` | 0 | how many are lost |
//! | `reorder=on` | `off` | whether a packet may overtake one whose jitter is longer; else it waits for it |
//! | `queue=1000` | 1000 | packets that may wait in each direction; what comes beyond is dropped as `delay queue full` |
//! | `seed=7` | drawn | of jitter and loss: equal seeds delay and lose the same |
//!
//! Normal jitter is the sum of twelve uniform draws, so it ends at six standard deviations. At most 1,024 packets leave
//! in each direction at a time; those who wait hold buffers of the pool. At the end of a file all that waits leaves.
//!
//! Example:
//!   weft netbricks run delay by=40ms jitter=5ms loss=1% --in veth:left --out veth:right

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use packet::{Batch, Packet};

use super::Setup;
use super::random::{self, Random};
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};

/// Lost on purpose.
const LOST: Cause = Cause::new("lost, as told");
/// As many wait as may.
const QUEUE_FULL: Cause = Cause::new("delay queue full");
/// The longest delay and jitter.
const DELAY_NS_MAX: u64 = 3_600_000_000_000;
/// The longest queue.
const QUEUE_MAX: u64 = 1 << 20;
/// Packets that leave in one direction in one call: half of what the context takes.
const RELEASE_MAX: usize = 1024;

/// How jitter is spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Evenly, up to the jitter to both sides.
    #[default]
    Uniform,
    /// By a bell curve with the jitter as its standard deviation.
    Normal,
}

/// How a [`Delay`] delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayConfig {
    /// By how much, by the gate at which packets come in.
    pub by_ns: [u64; 2],
    /// How much more or less.
    pub jitter_ns: u64,
    /// How that is spread.
    pub shape: Shape,
    /// How many of 2³² packets are lost.
    pub loss: u64,
    /// Whether packets may overtake one another.
    pub reorder: bool,
    /// How many may wait in each direction.
    pub queue: usize,
    /// Of all that is random.
    pub seed: u64,
}

impl Default for DelayConfig {
    fn default() -> Self {
        let (by_ns, shape) = ([0; 2], Shape::Uniform);
        Self { by_ns, jitter_ns: 0, shape, loss: 0, reorder: false, queue: 1000, seed: 0 }
    }
}

/// The function.
pub struct Delay {
    config: DelayConfig,
    random: Random,
    lines: [Line; 2],
}

/// One direction.
#[derive(Default)]
struct Line {
    waiting: BinaryHeap<Reverse<Waiting>>,
    arrived: u64,
    /// When the latest is due.
    latest_ns: u64,
}

struct Waiting {
    due_ns: u64,
    /// Which arrival it was: packets that are due together leave in order.
    number: u64,
    packet: Packet,
}

impl Waiting {
    const fn place(&self) -> (u64, u64) {
        (self.due_ns, self.number)
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Waiting {}

impl Line {
    fn due_ns(&self) -> Option<u64> {
        self.waiting.peek().map(|Reverse(first)| first.due_ns)
    }
}

impl Delay {
    /// Reserves the queues.
    #[must_use]
    pub fn new(config: DelayConfig) -> Self {
        let line = || Line { waiting: BinaryHeap::with_capacity(config.queue), ..Line::default() };
        Self { config, random: Random::new(config.seed), lines: [line(), line()] }
    }

    fn delay_ns(&mut self, gate: usize) -> u64 {
        let DelayConfig { by_ns, jitter_ns, shape, .. } = self.config;
        if jitter_ns == 0 {
            return by_ns[gate];
        }
        let even = 0..=2 * jitter_ns;
        // Twelve draws of width 2σ have the variance 12 · (2σ)² / 12.
        let (draws, centre) = match shape {
            Shape::Uniform => (1, jitter_ns),
            Shape::Normal => (12, 12 * jitter_ns),
        };
        let drawn: u64 = (0..draws).map(|_| self.random.among(&even)).sum();
        let jitter = drawn as i64 - centre as i64;
        let jitter = if shape == Shape::Normal { jitter / 2 } else { jitter };
        by_ns[gate].saturating_add_signed(jitter)
    }

    /// Lets out what is due by `until_ns`.
    fn release(&mut self, until_ns: u64, most: usize, ctx: &mut Context) {
        for (line, gate) in self.lines.iter_mut().zip([1, 0]) {
            for _ in 0..most {
                if line.due_ns().is_none_or(|due_ns| due_ns > until_ns) {
                    break;
                }
                if let Some(Reverse(first)) = line.waiting.pop() {
                    ctx.send(gate, first.packet);
                }
            }
        }
    }
}

impl NetworkFunction for Delay {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        let at = usize::from(gate & 1);
        for packet in batch.drain(..) {
            if self.config.loss > 0 && self.random.happens(self.config.loss) {
                ctx.drop(packet, LOST);
                continue;
            }
            let due_ns = ctx.now_ns().saturating_add(self.delay_ns(at));
            let line = &mut self.lines[at];
            if line.waiting.len() >= self.config.queue {
                ctx.drop(packet, QUEUE_FULL);
                continue;
            }
            let due_ns = if self.config.reorder { due_ns } else { due_ns.max(line.latest_ns) };
            line.latest_ns = due_ns;
            line.arrived += 1;
            line.waiting.push(Reverse(Waiting { due_ns, number: line.arrived, packet }));
        }
        self.release(ctx.now_ns(), RELEASE_MAX, ctx);
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.lines.iter().filter_map(Line::due_ns).min()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.release(ctx.now_ns(), RELEASE_MAX, ctx);
    }

    fn held(&self) -> usize {
        self.lines.iter().map(|line| line.waiting.len()).sum()
    }

    fn finish(&mut self, ctx: &mut Context) {
        self.release(u64::MAX, usize::MAX, ctx);
    }

    fn report(&self, report: &mut Report) {
        let [out, back] = &self.lines;
        report.counter("delayed, from gate 0", out.arrived);
        report.counter("delayed, from gate 1", back.arrived);
        report.counter("waiting", self.held() as u64);
    }
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let mut duration_ns = |key, default_ns| {
        let duration_ns = args.duration_ns(key, default_ns)?;
        let short = duration_ns <= DELAY_NS_MAX;
        short
            .then_some(duration_ns)
            .ok_or_else(|| args.wrong(key, &format!("{duration_ns}ns"), "more than an hour"))
    };
    let by_ns = duration_ns("by", 0)?;
    let by_ns = [by_ns, duration_ns("back", by_ns)?];
    let jitter_ns = duration_ns("jitter", 0)?;
    let shape = args.take_with("shape", |text| match text {
        "uniform" => Ok(Shape::Uniform),
        "normal" => Ok(Shape::Normal),
        _ => Err("uniform or normal is wanted".into()),
    })?;
    let config = DelayConfig {
        by_ns,
        jitter_ns,
        shape: shape.unwrap_or_default(),
        loss: args.take_with("loss", random::chance)?.unwrap_or(0),
        reorder: args.switch("reorder", false)?,
        queue: args.number("queue", 1000, 1..=QUEUE_MAX)? as usize,
        seed: args.take_or("seed", setup.seed)?,
    };
    Ok(Box::new(Delay::new(config)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, function, left, setup};
    use super::*;

    /// Hands in frame `n` at time `n`, then runs to each deadline; what left, as (time, gate, frame).
    fn run(words: &[&str], frames: u8) -> (Vec<(u64, Gate, u8)>, Context) {
        let setup = setup();
        let (mut delay, mut ctx) = (function("delay", words, &setup), Context::new(2));
        let mut out = Vec::new();
        let mut note = |ctx: &Context, sent: Vec<(Gate, Vec<u8>)>| {
            out.extend(sent.into_iter().map(|(gate, frame)| (ctx.now_ns(), gate, frame[0])));
        };
        for n in 0..frames {
            while let Some(due_ns) = delay.deadline_ns().filter(|due_ns| *due_ns < u64::from(n)) {
                ctx.set_now_ns(due_ns);
                delay.expire(&mut ctx);
                let sent = left(&mut ctx);
                note(&ctx, sent);
            }
            let sent = at(&mut *delay, &mut ctx, (0, u64::from(n)), &setup.pool, &[&[n]]);
            note(&ctx, sent);
        }
        while let Some(due_ns) = delay.deadline_ns() {
            ctx.set_now_ns(due_ns);
            delay.expire(&mut ctx);
            let sent = left(&mut ctx);
            note(&ctx, sent);
        }
        assert_eq!((delay.held(), setup.pool.available()), (0, setup.pool.capacity()));
        (out, ctx)
    }

    #[test]
    fn every_packet_leaves_exactly_that_much_later() {
        let (out, _) = run(&["by=20ns"], 100);
        assert_eq!(out, (0..100).map(|n| (20 + u64::from(n), 1, n)).collect::<Vec<_>>());
        let (out, _) = run(&[], 100);
        assert_eq!(out, (0..100).map(|n| (u64::from(n), 1, n)).collect::<Vec<_>>());
    }

    #[test]
    fn directions_are_delayed_and_ordered_by_themselves() {
        let setup = setup();
        let (mut delay, mut ctx) = (function("delay", &["by=9ns", "back=3ns"], &setup), Context::new(2));
        assert!(at(&mut *delay, &mut ctx, (0, 0), &setup.pool, &[b"out"]).is_empty());
        assert!(at(&mut *delay, &mut ctx, (1, 1), &setup.pool, &[b"back"]).is_empty());
        assert_eq!(delay.deadline_ns(), Some(4));
        ctx.set_now_ns(8);
        delay.expire(&mut ctx);
        assert_eq!(left(&mut ctx), [(0, b"back".to_vec())]);
        delay.finish(&mut ctx);
        assert_eq!(left(&mut ctx), [(1, b"out".to_vec())]);
    }

    #[test]
    fn jitter_spreads_and_keeps_the_order_unless_told_otherwise() {
        for shape in ["shape=uniform", "shape=normal"] {
            let words = ["by=1us", "jitter=100ns", shape, "seed=3"];
            let (out, _) = run(&words, 200);
            assert!(out.is_sorted_by_key(|(_, _, n)| *n), "{shape}");
            let (out, _) = run(&[&words[..], &["reorder=on"]].concat(), 200);
            assert!(out.is_sorted_by_key(|(time, ..)| *time) && !out.is_sorted_by_key(|(_, _, n)| *n));
            let late = out.iter().map(|(time_ns, _, n)| *time_ns as f64 - f64::from(*n) - 1000.0);
            let (mean, square) =
                late.fold((0.0, 0.0), |(m, s), late| (m + late / 200.0, s + late * late / 200.0));
            let deviation = if shape == "shape=normal" { 100.0 } else { 100.0 / 3f64.sqrt() };
            assert!(
                mean.abs() < 20.0 && (square.sqrt() - deviation).abs() < 15.0,
                "{shape}: {mean} {square}"
            );
        }
    }

    #[test]
    fn what_is_lost_and_what_does_not_fit_is_counted() {
        let (out, ctx) = run(&["loss=30%", "seed=5"], 250);
        assert_eq!(out.len() as u64 + ctx.drops().of(LOST), 250);
        assert!((50..100).contains(&ctx.drops().of(LOST)), "{}", ctx.drops().of(LOST));
        assert_eq!(run(&["loss=30%", "seed=5"], 250).0, out, "equal seeds lose the same");
        let (out, ctx) = run(&["by=1ms", "queue=10"], 50);
        assert_eq!((out.len(), ctx.drops().of(QUEUE_FULL)), (10, 40));
    }

    #[test]
    fn wrong_arguments_are_named() {
        let setup = setup();
        for wrong in ["by=2h", "loss=101%", "shape=round", "queue=0"] {
            let mut args = Args::parse("delay", [wrong]).unwrap();
            assert!(build(&mut args, &setup).is_err(), "{wrong}");
        }
    }
}
