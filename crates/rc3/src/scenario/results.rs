//! What came of a scenario: rows of figures, as columns and as a plot.

use std::fmt::Write;

use serde::Serialize;
use sim::LEVELS_MAX;
use sim::plot::{Plot, Point, Series};
use sim::stats::Mean;

use super::{Parameter, Run};
use crate::simulate::Summary;

/// A mean over seeds with half the width of its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Half the width; none of a single seed.
    pub half_width: Option<f64>,
}

impl Interval {
    fn of(values: &[f64]) -> Option<Self> {
        let of =
            |Mean { mean, half_width, count }| Self { mean, half_width: (count > 1).then_some(half_width) };
        Mean::of(values).map(of)
    }
}

/// One protocol at one point of the sweep. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The protocol.
    pub protocol: String,
    /// The value that is swept over.
    pub value: Option<f64>,
    /// The mean over flows.
    pub over_flows: Option<Interval>,
    /// The mean over bytes.
    pub over_bytes: Option<Interval>,
    /// 99 of 100 flows were faster.
    pub p99: Option<Interval>,
    /// By how much the mean over flows is below the first protocol's, seed by seed, as a share.
    pub reduction_over_flows: Option<Interval>,
    /// The same over bytes.
    pub reduction_over_bytes: Option<Interval>,
    /// The mean over flows up to 4,380 bytes, up to 100 KB, and beyond.
    pub by_size: [Option<Interval>; 3],
    /// Flows that were done, of all seeds.
    pub flows: u64,
    /// Flows that were not.
    pub unfinished: u64,
    /// Packets dropped by full queues, by level, of all seeds.
    pub dropped: [u64; LEVELS_MAX],
    /// Packets lost on links, of all seeds.
    pub lost: u64,
    /// Links crossed by packets, of all seeds.
    pub hops: u64,
}

impl Row {
    pub(super) fn of(protocol: &str, value: Option<f64>, runs: &[Run], first: &[Run]) -> Self {
        let over = |figure: fn(&Summary) -> f64| {
            let values: Vec<f64> = runs.iter().filter_map(|run| run.all.as_ref().map(figure)).collect();
            Interval::of(&values)
        };
        let reduction = |figure: fn(&Summary) -> f64| {
            let pairs = runs
                .iter()
                .zip(first)
                .filter_map(|(run, first)| Some((run.all.as_ref()?, first.all.as_ref()?)));
            Interval::of(&pairs.map(|(run, first)| 1.0 - figure(run) / figure(first)).collect::<Vec<_>>())
        };
        let size = |bucket: usize| {
            let means =
                runs.iter().filter_map(|run| run.buckets[bucket].as_ref().map(|found| found.over_flows));
            Interval::of(&means.collect::<Vec<_>>())
        };
        let done = |run: &Run| run.outcome.finished.iter().flatten().count() as u64;
        let mut dropped = [0; LEVELS_MAX];
        for run in runs {
            dropped.iter_mut().zip(run.outcome.drops.by_level).for_each(|(sum, count)| *sum += count);
        }
        Self {
            protocol: protocol.to_owned(),
            value,
            over_flows: over(|found| found.over_flows),
            over_bytes: over(|found| found.over_bytes),
            p99: over(|found| found.p99),
            reduction_over_flows: reduction(|found| found.over_flows),
            reduction_over_bytes: reduction(|found| found.over_bytes),
            by_size: [size(0), size(1), size(2)],
            flows: runs.iter().map(done).sum(),
            unfinished: runs.iter().map(|run| run.outcome.finished.len() as u64 - done(run)).sum(),
            dropped,
            lost: runs.iter().map(|run| run.outcome.drops.lost).sum(),
            hops: runs.iter().map(|run| run.outcome.net.hops).sum(),
        }
    }
}

/// What came of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Results {
    /// The scenario's name.
    pub name: String,
    /// What was swept over.
    pub parameter: Option<Parameter>,
    /// Runs behind each row.
    pub seeds: usize,
    /// By value, then protocol.
    pub rows: Vec<Row>,
}

impl Results {
    /// As CSV, a line each row; intervals as two columns, the second with `_ci`.
    pub fn csv(&self) -> String {
        let mut out = String::from("protocol,value");
        let names = [
            "over_flows_s",
            "over_bytes_s",
            "p99_s",
            "reduction_over_flows",
            "reduction_over_bytes",
            "short_s",
            "middle_s",
            "long_s",
        ];
        names.iter().for_each(|name| _ = write!(out, ",{name},{name}_ci"));
        out.push_str(",flows,unfinished,lost");
        (0..LEVELS_MAX).for_each(|level| _ = write!(out, ",dropped_{level}"));
        out.push('\n');
        for row in &self.rows {
            let value = row.value.map(|value| value.to_string()).unwrap_or_default();
            let _ = write!(out, "{},{value}", quoted(&row.protocol));
            let [short, middle, long] = row.by_size;
            let reductions = [row.reduction_over_flows, row.reduction_over_bytes];
            let figures =
                [row.over_flows, row.over_bytes, row.p99, reductions[0], reductions[1], short, middle, long];
            for figure in figures {
                let _ = match figure {
                    Some(Interval { mean, half_width: Some(half) }) => write!(out, ",{mean},{half}"),
                    Some(Interval { mean, half_width: None }) => write!(out, ",{mean},"),
                    None => write!(out, ",,"),
                };
            }
            let _ = write!(out, ",{},{},{}", row.flows, row.unfinished, row.lost);
            row.dropped.iter().for_each(|dropped| _ = write!(out, ",{dropped}"));
            out.push('\n');
        }
        out
    }

    /// The mean over flows of each protocol as a line over what was swept; without a sweep, over the three classes of sizes.
    pub fn plot(&self) -> Plot {
        let mut series: Vec<Series> = Vec::new();
        for row in &self.rows {
            if !series.iter().any(|known| known.name == row.protocol) {
                series.push(Series { name: row.protocol.clone(), points: Vec::new() });
            }
            let Some(line) = series.iter_mut().find(|known| known.name == row.protocol) else { continue };
            let point = |x: f64, found: Interval| {
                let half_width = found.half_width.unwrap_or_default();
                Point { x, y: found.mean, half_width }
            };
            match row.value {
                Some(value) => line.points.extend(row.over_flows.map(|found| point(value, found))),
                None => {
                    let sizes = (1..).zip(row.by_size);
                    line.points.extend(sizes.filter_map(|(x, found)| Some(point(f64::from(x), found?))));
                }
            }
        }
        let x_label = self
            .parameter
            .map_or("flows up to 4,380 bytes (1), up to 100 KB (2), beyond (3)", Parameter::label);
        let y_label = "mean flow completion time (s)".into();
        let title = format!("{}, {} seed{}", self.name, self.seeds, if self.seeds == 1 { "" } else { "s" });
        let values = || self.rows.iter().filter_map(|row| row.value);
        let (least, most) = values().fold((f64::MAX, 0.0_f64), |(a, b), value| (a.min(value), b.max(value)));
        // Values over more than a power of ten are read better by their logarithm.
        let x_log = least > 0.0 && most > 15.0 * least;
        Plot { title, x_label: x_label.into(), y_label, x_log, y_log: false, series }
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
