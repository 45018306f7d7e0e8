//! `weft e2`: policies of network functions, checked, planned, drawn, and run.

mod run;
mod scale;
mod top;
mod watch;

use std::io::Read;
use std::path::{Path, PathBuf};

use ::e2::compile::{Plan as Planned, plan};
use ::e2::draw;
use ::e2::policy::{FILE_BYTES_MAX, Faults, Policy};
use clap::{Args, Subcommand, ValueEnum};
use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report};
use topology::render::{Style, dot};

use super::print_json;
use run::{Flows, Hold, Ps, Stop, Up};
use scale::Scale;
use top::Top;
use watch::Watch;

/// Policies of network functions: what traffic passes which functions, on which servers their instances go; and a cluster that
/// runs them.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  weft e2 check crates/e2/examples/shop.yaml\n  weft e2 plan crates/e2/examples/shop.yaml"
)]
pub(crate) enum E2 {
    Check(Check),
    Plan(Plan),
    Graph(Graph),
    Up(Up),
    Ps(Ps),
    Flows(Flows),
    Scale(Scale),
    Watch(Watch),
    Top(Top),
    Stop(Stop),
    #[command(hide = true)]
    Hold(Hold),
}

impl E2 {
    pub(crate) fn run(&self) -> miette::Result<()> {
        match self {
            Self::Check(command) => command.run(),
            Self::Plan(command) => command.run(),
            Self::Graph(command) => command.run(),
            Self::Up(command) => command.run(),
            Self::Ps(command) => command.run(),
            Self::Flows(command) => command.run(),
            Self::Scale(command) => command.run(),
            Self::Watch(command) => command.run(),
            Self::Top(command) => command.run(),
            Self::Stop(command) => command.run(),
            Self::Hold(command) => command.run(),
        }
    }
}

/// Read a policy, and say everything that is wrong with it, each at its line
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 check crates/e2/examples/shop.yaml")]
pub(crate) struct Check {
    /// The policy, in YAML
    file: PathBuf,
}

/// Say which instances there are to be, where, and what leads to them
///
/// The traffic between servers is told beside the least that any placement has, as far as that is proved.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 plan crates/e2/examples/shop.yaml --json")]
pub(crate) struct Plan {
    /// The policy, in YAML
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Draw a stage of the plan, as DOT
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft e2 graph crates/e2/examples/shop.yaml --stage placement | dot -Tsvg > shop.svg"
)]
pub(crate) struct Graph {
    /// The policy, in YAML
    file: PathBuf,
    /// Which one: functions, their instances, or the servers that these run on
    #[arg(long, value_enum, default_value_t)]
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Stage {
    /// Pipelets merged
    Pgraph,
    /// Functions split into instances
    Igraph,
    /// Instances on servers
    #[default]
    Placement,
}

impl Check {
    fn run(&self) -> miette::Result<()> {
        let (policy, _) = planned(&self.file)?;
        let count = |many: usize, what: &str| format!("{many} {what}{}", if many == 1 { "" } else { "s" });
        println!(
            "{}: {}, {}, {} with {}: no errors",
            self.file.display(),
            count(policy.functions.len(), "function"),
            count(policy.pipelets.len(), "pipelet"),
            count(policy.hardware.servers.len(), "server"),
            count(policy.cores() as usize, "core"),
        );
        Ok(())
    }
}

impl Plan {
    fn run(&self) -> miette::Result<()> {
        let (policy, plan) = planned(&self.file)?;
        let listing = plan.listing(&policy);
        if self.json {
            return print_json(&listing);
        }
        println!("{}", listing.to_string().trim_end());
        Ok(())
    }
}

impl Graph {
    fn run(&self) -> miette::Result<()> {
        let (policy, plan) = planned(&self.file)?;
        let drawing = match self.stage {
            Stage::Pgraph => draw::pgraph(&policy, &plan.pgraph),
            Stage::Igraph => draw::igraph(&policy, &plan.igraph),
            Stage::Placement => draw::placement(&policy, &plan),
        };
        let drawing = drawing.map_err(|error| miette::miette!("{error}"))?;
        print!("{}", dot(&drawing, &Style::default()));
        Ok(())
    }
}

/// The policy of a file, and its plan.
fn planned(path: &Path) -> miette::Result<(Policy, Planned)> {
    read(path).map(|(_, policy, plan)| (policy, plan))
}

/// The text of a file, the policy that it is, and its plan.
fn read(path: &Path) -> miette::Result<(String, Policy, Planned)> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| miette::miette!("{}: {error}", path.display()))?;
    // What is longer is refused when it is read.
    let read = file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| miette::miette!("{}: {error}", path.display()))?;
    let told = |faults: Faults| report(&faults, path, &text);
    let policy = Policy::read(&text).map_err(told)?;
    let plan = plan(&policy).map_err(told)?;
    Ok((text, policy, plan))
}

/// Faults at their lines.
fn report(faults: &Faults, path: &Path, text: &str) -> Report {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let label = |fault: &::e2::policy::Fault| {
        let line = (fault.place.line as usize).clamp(1, lines.len().max(1)) - 1;
        let before: usize = lines.iter().take(line).map(|line| line.len()).sum();
        let own = lines.get(line).map_or("", |line| line.trim_end());
        let column = own.chars().take((fault.place.column as usize).saturating_sub(1));
        let column: usize = column.map(char::len_utf8).sum();
        let length = own[column..].split([',', '}', ']']).next().map_or(1, str::len);
        LabeledSpan::at(before + column..before + column + length, fault.kind.to_string())
    };
    let what = match faults.0.len() {
        1 => "the policy has a fault".to_owned(),
        count => format!("the policy has {count} faults"),
    };
    let diagnostic = MietteDiagnostic::new(what).with_code("e2::policy");
    let diagnostic = diagnostic.with_labels(faults.0.iter().map(label));
    Report::new(diagnostic).with_source_code(NamedSource::new(path.display().to_string(), text.to_owned()))
}
