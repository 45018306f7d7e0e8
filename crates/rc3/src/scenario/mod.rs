//! Scenario files: a topology, a workload, protocols, a sweep and seeds, in YAML; what comes out are tables and plots.
//!
//! ```
//! use rc3::scenario::Scenario;
//!
//! let text = "
//! topology: { dumbbell: { hosts: 2, edge: 1gbit 1ms, core: 100mbit 10ms } }
//! workload: { flows: 40, load: 0.5, capacity: 100mbit, sizes: paper }
//! protocols: [tcp, rc3]
//! sweep: { buffer: [30KB, 1MB] }
//! seeds: 3
//! ";
//! let scenario = Scenario::parse(text, &|_| Err("no files here".into()))?;
//! let results = scenario.run(None, |_| {})?;
//! assert_eq!(results.rows.len(), 4);
//! assert!(results.plot().svg().starts_with("<svg"));
//!
//! let fault = Scenario::parse(&text.replace("100mbit 10ms", "-1mbit 10ms"), &|_| Err(String::new())).unwrap_err();
//! assert_eq!((fault.line, fault.column), (2, 11));
//! # Ok::<(), rc3::scenario::ScenarioError>(())
//! ```

mod file;
mod quantity;
mod results;

use std::num::NonZeroUsize;

use serde::Serialize;
use sim::{LinkSpec as SimLink, Rate, Time};

pub use results::{Interval, Results, Row};

use crate::config::{LowConfig, SenderConfig};
use crate::simulate::{Fabric, Flow, Limits, Outcome, Sizes, Summary, Workload, paper_buckets, poisson, run};

/// The paper's baseline experiment, as a scenario.
pub const BASELINE: &str = include_str!("baseline.yaml");
/// Most flows of a run.
pub const FLOWS_MAX: u32 = 4_000_000;
/// Most runs of a scenario: points times protocols times seeds.
pub const RUNS_MAX: usize = 100_000;
/// Most bytes of a scenario file.
pub const SCENARIO_BYTES_MAX: usize = 1 << 20;

/// What is wrong with a scenario, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ScenarioError {
    /// The line, from 1; 0 where there is none.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// What is swept over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Parameter {
    /// The share of the capacity that flows take.
    Load,
    /// What all rates are multiplied by.
    RateScale,
    /// What all delays are multiplied by.
    DelayScale,
    /// Bytes of buffer before each link.
    Buffer,
    /// The share of packets lost on each link.
    Loss,
    /// Segments of the initial window.
    InitialWindow,
    /// The share of flows that use the protocol; the others use TCP.
    Deployed,
}

impl Parameter {
    /// As an axis.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::RateScale => "rates, times the topology's",
            Self::DelayScale => "delays, times the topology's",
            Self::Buffer => "buffer (bytes)",
            Self::Loss => "loss on each link",
            Self::InitialWindow => "initial window (segments)",
            Self::Deployed => "share of flows that use it",
        }
    }
}

/// A protocol and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// What it is called in tables.
    pub name: String,
    /// What its flows use.
    pub config: SenderConfig,
    /// The share of flows that use it; the others use it without the low-priority loop.
    pub deployed: f64,
}

/// A scenario that can be run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    fabric: Fabric,
    /// Pairs of hosts that flows are drawn from; none for all hosts.
    pairs: Vec<(sim::NodeId, sim::NodeId)>,
    capacity: Rate,
    flows: u32,
    load: f64,
    sizes: Sizes,
    buffer: u64,
    loss: f64,
    protocols: Vec<Protocol>,
    sweep: Option<(Parameter, Vec<f64>)>,
    seeds: Vec<u64>,
    until: Time,
}

/// One run: which point, which protocol, which seed.
#[derive(Debug, Clone, Copy)]
struct Job {
    point: Option<f64>,
    protocol: usize,
    seed: u64,
}

/// What came of it.
struct Run {
    all: Option<Summary>,
    buckets: [Option<Summary>; 3],
    outcome: Outcome,
}

impl Scenario {
    /// Reads a scenario. `file` gives the text of files that it names: topologies.
    ///
    /// # Errors
    /// Anything that is not as it must be, with its place.
    pub fn parse(text: &str, file: &dyn Fn(&str) -> Result<String, String>) -> Result<Self, ScenarioError> {
        file::parse(text, file)
    }

    /// Uses other seeds: 1 to that many.
    pub fn set_seeds(&mut self, count: u32) {
        self.seeds = (1..=u64::from(count.max(1))).collect();
    }

    /// How many runs it takes.
    pub fn runs(&self) -> usize {
        self.points().len() * self.protocols.len() * self.seeds.len()
    }

    fn points(&self) -> Vec<Option<f64>> {
        match &self.sweep {
            None => vec![None],
            Some((_, values)) => values.iter().copied().map(Some).collect(),
        }
    }

    /// Runs it on that many threads, none for all cores; the results are the same for any number. `done` hears how many runs are done.
    ///
    /// # Errors
    /// A network cannot be made.
    pub fn run(
        &self,
        threads: Option<NonZeroUsize>,
        done: impl Fn(usize) + Sync,
    ) -> Result<Results, ScenarioError> {
        let mut jobs = Vec::with_capacity(self.runs());
        for point in self.points() {
            for protocol in 0..self.protocols.len() {
                jobs.extend(self.seeds.iter().map(|&seed| Job { point, protocol, seed }));
            }
        }
        let runs = sim::sweep(&jobs, threads, |job| self.run_one(job), done);
        let runs: Result<Vec<Run>, _> = runs.into_iter().collect();
        let error =
            |error: sim::NetworkError| ScenarioError { line: 0, column: 0, message: error.to_string() };
        let runs = runs.map_err(error)?;
        let mut rows: Vec<Row> = Vec::new();
        let mut first: &[Run] = &[];
        for (number, runs) in runs.chunks(self.seeds.len()).enumerate() {
            let job = jobs[number * self.seeds.len()];
            if job.protocol == 0 {
                first = runs;
            }
            rows.push(Row::of(&self.protocols[job.protocol].name, job.point, runs, first));
        }
        let parameter = self.sweep.as_ref().map(|sweep| sweep.0);
        Ok(Results { name: self.name.clone(), parameter, seeds: self.seeds.len(), rows })
    }

    fn run_one(&self, job: &Job) -> Result<Run, sim::NetworkError> {
        let Protocol { config, deployed, .. } = &self.protocols[job.protocol];
        let (mut config, mut deployed) = (*config, *deployed);
        let (mut load, mut capacity) = (self.load, self.capacity);
        let (mut rates, mut delays, mut buffer, mut loss) = (1.0, 1.0, self.buffer, self.loss);
        if let (Some((parameter, _)), Some(value)) = (&self.sweep, job.point) {
            match parameter {
                Parameter::Load => load = value,
                Parameter::RateScale => rates = value,
                Parameter::DelayScale => delays = value,
                Parameter::Buffer => buffer = value as u64,
                Parameter::Loss => loss = value,
                Parameter::InitialWindow => config.initial_window = value as u32,
                Parameter::Deployed => deployed = value,
            }
        }
        let scaled = |rate: Rate| Rate::from_bits_per_second((rate.bits_per_second() as f64 * rates) as u64);
        capacity = scaled(capacity);
        let change = |link: SimLink| {
            let delay = Time::from_picos((link.delay.picos() as f64 * delays) as u64);
            SimLink { rate: scaled(link.rate), delay, ..link.buffer(buffer).loss(loss) }
        };
        // Configuration 0 is for those who do not use it, 1 for those who do.
        let without = SenderConfig { low: None, ..config };
        let workload = Workload {
            flows: self.flows,
            load,
            capacity,
            sizes: self.sizes.clone(),
            segment: config.segment,
            second: deployed,
        };
        let mut flows = poisson(&workload, self.fabric.hosts(), job.seed);
        self.onto_pairs(&mut flows, job.seed);
        let net = self.fabric.network(job.seed, change)?;
        let limits = Limits { until: self.until, ..Limits::default() };
        let outcome = run(net, &flows, &[without, config], limits);
        let summary =
            |least, most| Summary::of(&flows, &outcome, |flow| (least..=most).contains(&flow.bytes));
        let buckets = paper_buckets().map(|bucket| summary(bucket.least, bucket.most));
        Ok(Run { all: summary(0, u64::MAX), buckets, outcome })
    }

    /// Draws ends from the pairs of the scenario, if it has some.
    fn onto_pairs(&self, flows: &mut [Flow], seed: u64) {
        const PAIRS: u64 = (1 << 40) + 3;
        if self.pairs.is_empty() {
            return;
        }
        let mut random = sim::Random::new(seed, PAIRS);
        for flow in flows {
            (flow.from, flow.to) = self.pairs[random.below(self.pairs.len() as u64) as usize];
        }
    }
}

/// The protocols that have a name of their own.
pub(crate) fn named(name: &str) -> Option<SenderConfig> {
    let tcp = SenderConfig::default();
    let cubic = SenderConfig { algorithm: crate::Algorithm::Cubic, ..tcp };
    match name {
        "tcp" => Some(tcp),
        "cubic" => Some(cubic),
        "rc3" => Some(tcp.with_low(LowConfig::paper())),
        "rc3-paced" => Some(tcp.with_low(LowConfig::default())),
        "rc3-cubic" => Some(cubic.with_low(LowConfig::paper())),
        _ => None,
    }
}
