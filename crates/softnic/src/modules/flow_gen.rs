//! [`FlowGen`].

mod template;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use netbricks::functions::Random;
use packet::{BATCH, Batch, Pool};

use crate::engine::{Context, Gate, Module, Next, Ran, Readiness};

pub use template::TemplateError;
use template::{Span, Template};

/// Makes packets of flows that begin and end.
///
/// *Input gates*: none. *Output gates*: one. *Tasks*: one, which sleeps until the next packet is due.
///
/// Packets are copies of a template, TCP or UDP over IPv4 or IPv6; each flow has its own ends, drawn at random from the
/// template's upwards. A TCP flow begins with SYN and ends with FIN, in packets without payload; what is between has ACK
/// and sequence numbers that go on. All checksums are right.
///
/// Flows come at a rate, evenly or as a Poisson process. `pps` packets a second are shared by the flows that are there on
/// average, rate times duration. How many packets a flow has follows from that: all have the same number, or it is
/// distributed as a Pareto distribution of exponent 1.3 whose last 1 % is cut off. With `quick_rampup` as many flows as
/// on average are there from the beginning, each at some point of its life.
///
/// Time begins with the first turn, and stands still while there are no turns: after a pause of hours no flood comes, only
/// the last tenth of a second is made good. At most [`FlowGen::FLOWS_MAX`] flows are there at a time; those that would come
/// beyond are left out. While the pool has no buffer, packets are left out as well.
///
/// ```
/// # use packet::{Pool, PoolConfig};
/// # use softnic::modules::{FlowGen, FlowGenConfig};
/// # let frame = [
/// #     2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0x66, 0xcd, 10, 0, 0, 1, 10,
/// #     0, 0, 2, 0x30, 0x39, 0, 53, 0, 10, 0, 0, b'h', b'i'];
/// let pool = Pool::new(PoolConfig::default())?;
/// let config = FlowGenConfig { template: frame.to_vec(), pps: 1e6, flow_rate: 1e4, ..FlowGenConfig::default() };
/// let generator = FlowGen::new(pool, config, 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FlowGen {
    pool: Pool,
    random: Random,
    config: FlowGenConfig,
    template: Template,
    shape: Shape,
    flows: Vec<Flow>,
    free: Vec<u32>,
    /// When a flow's next packet is due, in nanoseconds from the origin, soonest first.
    due: BinaryHeap<Reverse<(u64, u32)>>,
    /// When the next flow begins.
    arrival_ns: u64,
    /// When time began.
    origin_ns: Option<u64>,
    burst: usize,
    begun: u64,
    /// When the task, which has nothing to do, wants a turn.
    wake_ns: Option<u64>,
}

/// What [`FlowGen`] makes.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowGenConfig {
    /// The frame of which packets are copies.
    pub template: Vec<u8>,
    /// Packets a second.
    pub pps: f64,
    /// Flows a second.
    pub flow_rate: f64,
    /// How long a flow lasts on average, in seconds.
    pub flow_duration: f64,
    /// How flows come.
    pub arrival: FlowArrival,
    /// How long they are.
    pub duration: FlowDuration,
    /// Whether flows are there from the beginning.
    pub quick_rampup: bool,
    /// How many addresses and ports flows have.
    pub ranges: Ranges,
}

/// How many source and destination addresses and ports there are, from the template's on; 0 is as good as 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Source addresses.
    pub ip_source: u32,
    /// Destination addresses.
    pub ip_destination: u32,
    /// Source ports.
    pub port_source: u16,
    /// Destination ports.
    pub port_destination: u16,
}

/// How flows come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowArrival {
    /// At even intervals.
    #[default]
    Uniform,
    /// At random, independently of each other.
    Exponential,
}

/// How long flows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowDuration {
    /// All alike.
    #[default]
    Uniform,
    /// Many short and a few long ones.
    Pareto,
}

impl Default for FlowGenConfig {
    /// 1000 packets and 10 flows a second, of 10 s, all even; no template.
    fn default() -> Self {
        Self {
            template: Vec::new(),
            pps: 1000.0,
            flow_rate: 10.0,
            flow_duration: 10.0,
            arrival: FlowArrival::Uniform,
            duration: FlowDuration::Uniform,
            quick_rampup: false,
            ranges: Ranges::default(),
        }
    }
}

/// What [`FlowGen`] cannot make.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FlowGenError {
    /// The template is none.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The template's protocol may not change.
    #[error("'template' can not be updated: it has another protocol")]
    Protocol,
    /// A rate or duration that is none.
    #[error("invalid '{what}': {value}")]
    Number {
        /// Which.
        what: &'static str,
        /// What it was.
        value: f64,
    },
    /// Every flow has a packet at least.
    #[error("flow rate cannot be more than pps: {flow_rate} > {pps}")]
    FlowRate {
        /// Flows a second.
        flow_rate: f64,
        /// Packets a second.
        pps: f64,
    },
    /// More packets at once than a batch has.
    #[error("'burst' must be no greater than {BATCH}, not {0}")]
    Burst(usize),
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    key: packet::flow::FlowKey,
    packets_left: f64,
    begins: bool,
    sequence: u32,
}

/// What follows from a configuration.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Between two packets of a flow.
    gap_ns: u64,
    /// Between two flows.
    arrival_ns: f64,
    /// Packets of a flow.
    packets: f64,
    pareto_mean: f64,
}

const PARETO_EXPONENT: f64 = 1.3;
/// The share of the distribution that counts: without the last 1 % it has a variance.
const PARETO_TAIL: f64 = 0.99;
/// The first sequence number of a TCP flow, and of one that was there before.
const SEQUENCE: u32 = 12_345;
const SEQUENCE_BEFORE: u32 = 56_789;
/// Flows whose turn may come without a packet in one turn of the task.
const EVENTS_MAX: usize = 4 * BATCH;

/// How often one that may make nothing looks whether it may again.
const PAUSE_NS: u64 = 1_000_000;
/// How much of what it could not make in time it makes good.
const BEHIND_NS: u64 = 100_000_000;

/// The value of the Pareto distribution at `y`, 0 to 1.
fn pareto(y: f64) -> f64 {
    (1.0 - y * PARETO_TAIL).powf(-1.0 / PARETO_EXPONENT)
}

/// The mean of [`pareto`], which is its integral.
fn pareto_mean() -> f64 {
    let exponent = 1.0 - 1.0 / PARETO_EXPONENT;
    (1.0 - (1.0 - PARETO_TAIL).powf(exponent)) / (PARETO_TAIL * exponent)
}

/// A number from 0 up to 1.
fn fraction(random: &mut Random) -> f64 {
    (random.draw() >> 11) as f64 / (1u64 << 53) as f64
}

impl Shape {
    fn of(config: &FlowGenConfig) -> Self {
        let concurrent = config.flow_rate * config.flow_duration;
        let flow_pps = config.pps / concurrent;
        Self {
            gap_ns: (1e9 / flow_pps) as u64,
            arrival_ns: 1e9 / config.flow_rate,
            packets: flow_pps * config.flow_duration,
            pareto_mean: pareto_mean(),
        }
    }

    fn packets(&self, duration: FlowDuration, y: f64) -> f64 {
        match duration {
            FlowDuration::Uniform => self.packets,
            FlowDuration::Pareto => 1.0 + (pareto(y) - 1.0) / (self.pareto_mean - 1.0) * (self.packets - 1.0),
        }
    }
}

impl FlowGenConfig {
    fn check(&self) -> Result<(), FlowGenError> {
        let numbers =
            [("pps", self.pps), ("flow_rate", self.flow_rate), ("flow_duration", self.flow_duration)];
        for (what, value) in numbers {
            if !value.is_finite() || value <= 0.0 {
                return Err(FlowGenError::Number { what, value });
            }
        }
        if self.flow_rate > self.pps {
            return Err(FlowGenError::FlowRate { flow_rate: self.flow_rate, pps: self.pps });
        }
        Ok(())
    }

    /// The most flows that there is room for: a few times what there are on average.
    fn flows_max(&self) -> usize {
        let average = (self.flow_rate * self.flow_duration).min(FlowGen::FLOWS_MAX as f64) as usize;
        (4 * average + 1024).min(FlowGen::FLOWS_MAX)
    }
}

impl FlowGen {
    /// The most flows at a time.
    pub const FLOWS_MAX: usize = 1 << 18;
    /// The longest template.
    pub const TEMPLATE_MAX: usize = 1536;

    /// Makes packets in buffers of `pool`. Equal seeds make equal flows.
    ///
    /// # Errors
    /// See [`FlowGenError`].
    pub fn new(pool: Pool, config: FlowGenConfig, seed: u64) -> Result<Self, FlowGenError> {
        config.check()?;
        let template = Template::new(&config.template, pool.room())?;
        let most = config.flows_max();
        let mut module = Self {
            pool,
            random: Random::new(seed),
            template,
            shape: Shape::of(&config),
            flows: Vec::with_capacity(most),
            free: Vec::with_capacity(most),
            due: BinaryHeap::with_capacity(most),
            arrival_ns: 0,
            origin_ns: None,
            burst: BATCH,
            begun: 0,
            wake_ns: None,
            config,
        };
        if module.config.quick_rampup {
            module.ramp_up();
        }
        Ok(module)
    }

    /// What it makes.
    pub fn config(&self) -> &FlowGenConfig {
        &self.config
    }

    /// Makes something else, from the next packet on. Flows that are there go on, with their ends and what they have left.
    ///
    /// # Errors
    /// See [`FlowGenError`]; then nothing changes. The template's protocol must stay.
    pub fn update(&mut self, config: FlowGenConfig) -> Result<(), FlowGenError> {
        config.check()?;
        let template = Template::new(&config.template, self.pool.room())?;
        if template.protocol() != self.template.protocol() || template.is_ipv4() != self.template.is_ipv4() {
            return Err(FlowGenError::Protocol);
        }
        let more = config.flows_max().saturating_sub(self.flows.len());
        self.flows.reserve_exact(more);
        self.free.reserve_exact(more.max(self.flows.len()));
        self.due.reserve_exact(config.flows_max().saturating_sub(self.due.len()));
        self.shape = Shape::of(&config);
        (self.template, self.config) = (template, config);
        Ok(())
    }

    /// The most packets in a turn.
    ///
    /// # Errors
    /// More than a batch holds.
    pub fn set_burst(&mut self, burst: usize) -> Result<(), FlowGenError> {
        if burst > BATCH {
            return Err(FlowGenError::Burst(burst));
        }
        self.burst = burst;
        Ok(())
    }

    /// The most packets in a turn.
    pub fn burst(&self) -> usize {
        self.burst
    }

    /// How many flows there are.
    pub fn flows(&self) -> usize {
        self.flows.len() - self.free.len()
    }

    /// How many flows have begun so far.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Flows that are there already when time begins, each at some point of its life.
    fn ramp_up(&mut self) {
        let FlowGenConfig { duration, flow_rate, .. } = self.config;
        let pps = 1e9 / self.shape.gap_ns.max(1) as f64;
        let longest = self.shape.packets(duration, 1.0) / pps;
        let count = (longest * flow_rate).min(Self::FLOWS_MAX as f64) as usize;
        for number in 1..=count {
            let consumed = pps * number as f64 / flow_rate;
            let packets = self.shape.packets(duration, fraction(&mut self.random));
            if packets > consumed {
                let jitter = fraction(&mut self.random) * self.shape.gap_ns as f64;
                self.begin(jitter as u64, packets - consumed, false);
            }
        }
    }

    /// A flow whose first packet is due then. None where there are too many.
    fn begin(&mut self, due_ns: u64, packets_left: f64, begins: bool) {
        let Some(key) = self.template.key(self.config.ranges, &mut self.random) else { return };
        let sequence = if begins { SEQUENCE } else { SEQUENCE_BEFORE };
        let flow = Flow { key, packets_left, begins, sequence };
        let number = match self.free.pop() {
            Some(number) => {
                self.flows[number as usize] = flow;
                number
            }
            None if self.flows.len() < self.config.flows_max() => {
                self.flows.push(flow);
                self.flows.len() as u32 - 1
            }
            None => return,
        };
        self.begun += 1;
        self.due.push(Reverse((due_ns, number)));
    }

    /// Begins the flows that are due by now, `EVENTS_MAX` at most.
    fn arrive(&mut self, now_ns: u64) {
        for _ in 0..EVENTS_MAX {
            if self.arrival_ns > now_ns {
                return;
            }
            let y = fraction(&mut self.random);
            // The fraction makes the mean right that whole packets would have too low.
            let packets = self.shape.packets(self.config.duration, y) + fraction(&mut self.random);
            self.begin(self.arrival_ns, packets, true);
            let gap_ns = match self.config.arrival {
                FlowArrival::Uniform => self.shape.arrival_ns,
                FlowArrival::Exponential => -(1.0 - fraction(&mut self.random)).ln() * self.shape.arrival_ns,
            };
            self.arrival_ns = self.arrival_ns.saturating_add((gap_ns as u64).max(1));
        }
    }

    /// Makes what is due by now.
    fn make(&mut self, now_ns: u64, most: usize, batch: &mut Batch) {
        for _ in 0..EVENTS_MAX {
            let Some(&Reverse((due_ns, number))) = self.due.peek() else { return };
            if due_ns > now_ns || batch.len() >= most {
                return;
            }
            self.due.pop();
            let flow = &mut self.flows[number as usize];
            if flow.packets_left < 1.0 {
                self.free.push(number);
                continue;
            }
            let span = Span { begins: flow.begins, ends: flow.packets_left < 2.0 };
            if let Some(packet) = self.template.packet(&self.pool, &flow.key, span, flow.sequence) {
                // There is room, as was seen above.
                let _ = batch.push(packet);
            }
            flow.sequence = flow.sequence.wrapping_add(self.template.advance(span));
            flow.begins = false;
            flow.packets_left -= 1.0;
            self.due.push(Reverse((due_ns.saturating_add(self.shape.gap_ns), number)));
        }
    }

    /// When something is due next.
    fn next_ns(&self) -> u64 {
        self.due.peek().map_or(self.arrival_ns, |Reverse((due_ns, _))| self.arrival_ns.min(*due_ns))
    }
}

impl Module for FlowGen {
    fn class(&self) -> &'static str {
        "FlowGen"
    }

    fn inputs(&self) -> Gate {
        0
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        let (now_ns, next_ns) = (ctx.now_ns(), self.next_ns());
        let origin_ns = self.origin_ns.get_or_insert(now_ns);
        let behind_ns = now_ns.saturating_sub(*origin_ns).saturating_sub(next_ns);
        *origin_ns += behind_ns.saturating_sub(BEHIND_NS);
        let origin_ns = *origin_ns;
        let time_ns = now_ns.saturating_sub(origin_ns);
        self.arrive(time_ns);
        self.make(time_ns, self.burst.min(ctx.budget()), batch);
        ctx.forward(0);
        let bytes = batch.iter().map(|packet| packet.len() as u64).sum();
        let next_ns = if self.burst == 0 { time_ns + PAUSE_NS } else { self.next_ns() };
        let next = if next_ns <= time_ns { Next::More } else { Next::Idle };
        self.wake_ns = (next == Next::Idle).then(|| origin_ns.saturating_add(next_ns));
        Ran { packets: batch.len() as u32, bytes, next }
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

    fn status(&self) -> String {
        format!("{} flows", self.flows())
    }
}

#[cfg(test)]
mod tests;
