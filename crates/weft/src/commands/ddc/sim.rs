//! `weft ddc sim`.

use std::path::PathBuf;

use clap::Args;
use ddc::experiment::{Results, Scheme, Trials, compare, quantile};
use ddc::{Map, Priority};
use serde::Serialize;
use sim::plot::{Plot, Point, Series};
use topology::Topology;

use super::read;
use crate::commands::print_json;
use crate::commands::sim::write;

/// The schemes, by name.
const SCHEMES: [(&str, Scheme); 2] =
    [("plain", Scheme::Plain(Priority::Nearest)), ("bounded", Scheme::Bounded(Priority::Nearest))];

/// Fail the busiest links, send packets, and compare their ways with the shortest that are left.
///
/// For every trial a destination is drawn, and the links that most shortest paths to it use fail, save those whose failure
/// would cut something off. `plain` is the paper's protocol, `bounded` the one whose packets scout.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft ddc sim --failures 5 --trials 20\n  weft ddc sim --topology as7018.json --svg stretch.svg"
)]
pub(crate) struct Sim {
    /// GraphML, GML, JSON (TopoHub's, networkx's or ours), Rocketfuel weights or a list of links; 100 random nodes if absent
    #[arg(short, long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// The most links that fail
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    failures: usize,
    /// For all that is drawn
    #[arg(short, long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Destinations
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    trials: u32,
    /// Sources for each destination
    #[arg(long, value_name = "N", default_value_t = 33, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pairs: u32,
    /// Packets of each source
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    packets: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Draw the 99th percentile of stretch by packet, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The same as PNG
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

/// What one scheme did, for programs.
#[derive(Serialize)]
struct Row {
    scheme: &'static str,
    undelivered: usize,
    first_hops: Quantiles<u32>,
    header_bytes: u32,
    stretch: Vec<Quantiles<f64>>,
}

#[derive(Serialize)]
struct Quantiles<T> {
    median: T,
    p99: T,
    max: T,
}

impl<T: Copy + Default> Quantiles<T> {
    fn of(sorted: &[T]) -> Self {
        let at = |share| quantile(sorted, share).unwrap_or_default();
        Self { median: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

impl Row {
    fn of(scheme: &'static str, results: &Results) -> Self {
        Self {
            scheme,
            undelivered: results.undelivered,
            first_hops: Quantiles::of(&results.first_hops),
            header_bytes: results.header_bytes,
            stretch: results.stretch.iter().map(|stretch| Quantiles::of(stretch)).collect(),
        }
    }
}

impl Sim {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let (topology, map) = read(self.topology.as_deref(), self.seed)?;
        let trials = Trials {
            trials: self.trials as usize,
            pairs: self.pairs as usize,
            packets: self.packets,
            failures: self.failures,
            seed: self.seed,
        };
        let results = compare(&topology, &map, &SCHEMES.map(|(_, scheme)| scheme), trials);
        let rows: Vec<Row> =
            SCHEMES.iter().zip(&results).map(|((name, _), results)| Row::of(name, results)).collect();
        let plot = plot(&topology, self.failures, &rows);
        write(self.svg.as_deref(), || plot.svg().into_bytes())?;
        write(self.png.as_deref(), || plot.png())?;
        if self.json { print_json(&rows) } else { print(&map, self, &rows) }
    }
}

fn plot(topology: &Topology, failures: usize, rows: &[Row]) -> Plot {
    let line = |row: &Row| {
        let point =
            |(x, stretch): (u32, &Quantiles<f64>)| Point { x: x.into(), y: stretch.p99, half_width: 0.0 };
        Series { name: row.scheme.to_owned(), points: (1..).zip(&row.stretch).map(point).collect() }
    };
    let name = if topology.name.is_empty() { "the topology" } else { &topology.name };
    Plot {
        title: format!("99th percentile of stretch, up to {failures} failures, {name}"),
        x_label: "packet of a pair".to_owned(),
        y_label: "stretch".to_owned(),
        x_log: false,
        y_log: true,
        series: rows.iter().map(line).collect(),
    }
}

fn print(map: &Map, sim: &Sim, rows: &[Row]) -> miette::Result<()> {
    println!(
        "{} nodes, {} links, up to {} failures, seed {}",
        map.node_count(),
        map.link_count(),
        sim.failures,
        sim.seed
    );
    println!(
        "{:8} {:>11}  {:>23}  {:>6}  p99 of stretch, packet by packet",
        "", "", "hops of the first", "header"
    );
    println!(
        "{:8} {:>11}  {:>7} {:>7} {:>7}  {:>6}",
        "scheme", "undelivered", "median", "p99", "max", "bytes"
    );
    for row in rows {
        let hops = &row.first_hops;
        let stretch: Vec<String> =
            row.stretch.iter().take(10).map(|packet| format!("{:.2}", packet.p99)).collect();
        println!(
            "{:8} {:11}  {:7} {:7} {:7}  {:6}  {}",
            row.scheme,
            row.undelivered,
            hops.median,
            hops.p99,
            hops.max,
            row.header_bytes,
            stretch.join(" ")
        );
    }
    Ok(())
}
