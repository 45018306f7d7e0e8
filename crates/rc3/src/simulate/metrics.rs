//! What came of a run, and what of many.

use sim::stats::{Mean, percentile};
use sim::{LEVELS_MAX, Network, NetworkStats, Time};

use super::world::Flow;
use crate::segment::Segment;
use crate::sender::SenderStats;

/// Packets that were dropped or lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// By full queues, by level.
    pub by_level: [u64; LEVELS_MAX],
    /// On links.
    pub lost: u64,
}

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How long each flow took from its SYN until the receiver had every byte; none for what was not done at the end.
    pub finished: Vec<Option<Time>>,
    /// Bytes that receivers of finished flows took in: each once.
    pub accepted: u64,
    /// Bytes that came again.
    pub duplicate: u64,
    /// Of all senders.
    pub senders: SenderStats,
    /// What was dropped.
    pub drops: Drops,
    /// The network's own counts.
    pub net: NetworkStats,
    /// Connections that were open at once, at most.
    pub connections_most: usize,
}

impl Outcome {
    pub(super) fn count(&mut self, net: &Network<Segment>) {
        self.net = net.stats();
        for (_, link) in net.all_link_stats() {
            self.drops.lost += link.lost;
            self.drops.by_level.iter_mut().zip(link.dropped).for_each(|(sum, dropped)| *sum += dropped);
        }
    }
}

/// Flows from one size up to another, in bytes, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The smallest.
    pub least: u64,
    /// The largest.
    pub most: u64,
}

/// Short, middle and long flows of the paper's table: up to 4,380 bytes, between, and 100 KB to 3.1 MB.
pub fn paper_buckets() -> [Bucket; 3] {
    [
        Bucket { least: 0, most: 4_380 },
        Bucket { least: 4_381, most: 99_999 },
        Bucket { least: 100_000, most: u64::MAX },
    ]
}

/// Times of flows, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The mean over flows.
    pub over_flows: f64,
    /// The mean over bytes: each flow weighs what it carries.
    pub over_bytes: f64,
    /// Half of them were faster.
    pub median: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// How many.
    pub flows: usize,
    /// How many more were not done.
    pub unfinished: usize,
}

impl Summary {
    /// Of the flows of a run that a choice takes; none where it takes no finished one.
    pub fn of(flows: &[Flow], outcome: &Outcome, mut choose: impl FnMut(&Flow) -> bool) -> Option<Self> {
        let chosen = || flows.iter().zip(&outcome.finished);
        let (mut times, mut bytes, mut weighed, mut unfinished) = (Vec::new(), 0.0, 0.0, 0);
        for (flow, finished) in chosen().filter(|(flow, _)| choose(flow)) {
            let Some(time) = finished.map(Time::secs_f64) else {
                unfinished += 1;
                continue;
            };
            times.push(time);
            bytes += flow.bytes as f64;
            weighed += flow.bytes as f64 * time;
        }
        let over_flows = times.iter().sum::<f64>() / times.len() as f64;
        let median = percentile(&mut times, 0.5)?;
        let p99 = percentile(&mut times, 0.99)?;
        Some(Self { over_flows, over_bytes: weighed / bytes, median, p99, flows: times.len(), unfinished })
    }

    /// A figure over several runs.
    pub fn mean(runs: &[Self], figure: impl Fn(&Self) -> f64) -> Option<Mean> {
        Mean::of(&runs.iter().map(figure).collect::<Vec<_>>())
    }
}
