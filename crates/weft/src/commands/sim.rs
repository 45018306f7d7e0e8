//! `weft sim`: scenario files, run.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ::rc3::scenario::{Interval, Results, SCENARIO_BYTES_MAX, Scenario, ScenarioError};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report};

use super::print_json;
use crate::style;

/// Simulations in virtual time.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  weft sim run examples/rc3/load.yaml --svg load.svg")]
pub(crate) enum Sim {
    Run(Run),
}

impl Sim {
    pub(crate) fn run(&self) -> miette::Result<()> {
        match self {
            Self::Run(command) => command.run(),
        }
    }
}

/// Run a scenario file: a topology, a workload, protocols, a sweep and seeds
///
/// Prints mean flow completion times with 95 % confidence intervals over the seeds. The same file gives the same figures, on any
/// machine and on any number of threads. Topologies that a file names are looked for beside it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft sim run examples/rc3/load.yaml --seeds 2 --csv load.csv --svg load.svg"
)]
pub(crate) struct Run {
    /// The scenario, in YAML
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// What becomes of results.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the rows to a file, as CSV
    #[arg(long, value_name = "OUT")]
    csv: Option<PathBuf>,
    /// Draw them into a file, as SVG
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
    /// Draw them into a file, as PNG
    #[arg(long, value_name = "OUT")]
    png: Option<PathBuf>,
    /// Use the seeds 1 to N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: Option<u32>,
    /// Run on that many threads instead of all cores
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl Run {
    fn run(&self) -> miette::Result<()> {
        let text = read(&self.file).map_err(|error| miette::miette!("{}: {error}", self.file.display()))?;
        let beside = self.file.parent().unwrap_or(Path::new(""));
        let topology = |path: &str| read(&beside.join(path)).map_err(|error| format!("{path}: {error}"));
        let scenario = Scenario::parse(&text, &topology).map_err(|error| self.report(&text, error))?;
        self.output.run(scenario)
    }

    /// The error, at its place in the file.
    fn report(&self, text: &str, ScenarioError { line, column, message }: ScenarioError) -> Report {
        let name = self.file.display().to_string();
        if line == 0 {
            return miette::miette!("{name}: {message}");
        }
        let before: usize = text.split_inclusive('\n').take(line as usize - 1).map(str::len).sum();
        let rest = text.get(before..).unwrap_or_default();
        let within =
            rest.char_indices().nth(column.saturating_sub(1) as usize).map_or(rest.len(), |(at, _)| at);
        let label = LabeledSpan::at_offset(before + within, "here");
        Report::new(MietteDiagnostic::new(format!("{name}:{line}:{column}: {message}")).with_label(label))
            .with_source_code(NamedSource::new(name, text.to_owned()))
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    // Topologies may be longer than scenarios; their loader has its own limit.
    if length > 32 * SCENARIO_BYTES_MAX as u64 {
        return Err(std::io::Error::other(format!("{length} bytes are too many")));
    }
    std::fs::read_to_string(path)
}

impl Output {
    /// Runs a scenario and shows what came of it.
    pub(super) fn run(&self, mut scenario: Scenario) -> miette::Result<()> {
        if let Some(seeds) = self.seeds {
            scenario.set_seeds(seeds);
        }
        let bar = ProgressBar::new(scenario.runs() as u64);
        if let Ok(look) = ProgressStyle::with_template("{wide_bar} {pos} of {len} runs, {eta} left") {
            bar.set_style(look);
        }
        let results = scenario.run(self.threads, |done| bar.set_position(done as u64));
        bar.finish_and_clear();
        let results = results.map_err(|error| miette::miette!("{}", error.message))?;
        write(self.csv.as_deref(), || results.csv().into_bytes())?;
        write(self.svg.as_deref(), || results.plot().svg().into_bytes())?;
        write(self.png.as_deref(), || results.plot().png())?;
        if self.json {
            return print_json(&results);
        }
        print!("{}", table(&results));
        Ok(())
    }
}

/// Writes a file, if it is asked for.
pub(super) fn write(path: Option<&Path>, bytes: impl FnOnce() -> Vec<u8>) -> miette::Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, bytes()).map_err(|error| miette::miette!("{}: {error}", path.display()))
}

/// For people: times in milliseconds.
fn table(results: &Results) -> String {
    let swept = results.parameter.map(::rc3::scenario::Parameter::label);
    let mut rows = vec![Vec::new()];
    if let Some(swept) = swept {
        rows[0].push(swept.to_uppercase());
    }
    let heads = [
        "PROTOCOL", "MEAN FCT", "BY BYTES", "P99", "<=4380B", "<100KB", ">=100KB", "LESS", "BY BYTES",
        "DROPPED",
    ];
    rows[0].extend(heads.map(str::to_owned));
    for row in &results.rows {
        let mut cells = Vec::new();
        if swept.is_some() {
            cells.push(row.value.map(|value| value.to_string()).unwrap_or_default());
        }
        cells.push(row.protocol.clone());
        let [short, middle, long] = row.by_size;
        cells.extend([row.over_flows, row.over_bytes, row.p99, short, middle, long].map(milliseconds));
        cells.extend([row.reduction_over_flows, row.reduction_over_bytes].map(percent));
        cells.push(dropped(&row.dropped, row.lost, row.unfinished));
        rows.push(cells);
    }
    let name = &results.name;
    let of = if results.seeds == 1 {
        "1 seed, times in ms".to_owned()
    } else {
        format!("{} seeds, times in ms, 95 % intervals", results.seeds)
    };
    format!("{name}: {of}\n\n{}", style::columns(&rows))
}

fn milliseconds(found: Option<Interval>) -> String {
    found.map_or("-".into(), |found| scaled(found, 1e3, ""))
}

fn percent(found: Option<Interval>) -> String {
    found.map_or("-".into(), |found| scaled(found, 100.0, "%"))
}

/// `133.6 ±1.2`; `133.6` of one seed.
fn scaled(Interval { mean, half_width }: Interval, factor: f64, unit: &str) -> String {
    let interval = half_width.map_or(String::new(), |half| format!(" ±{:.1}", factor * half));
    format!("{:.1}{unit}{interval}", factor * mean)
}

/// `120 at level 3, 4 lost`.
fn dropped(by_level: &[u64], lost: u64, unfinished: u64) -> String {
    let levels = by_level.iter().enumerate().filter(|(_, count)| **count > 0);
    let mut parts: Vec<String> = levels.map(|(level, count)| format!("{count} at level {level}")).collect();
    parts.extend((lost > 0).then(|| format!("{lost} lost")));
    parts.extend((unfinished > 0).then(|| format!("{unfinished} flows not done")));
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}
