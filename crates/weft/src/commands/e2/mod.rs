//! `weft e2`: policies of network functions, checked, planned, drawn, and run.

mod run;
mod scale;
mod source;
mod top;
mod watch;

use ::e2::draw;
use clap::{Args, Subcommand, ValueEnum};
use topology::render::{Style, dot};

use super::print_json;
use run::{Flows, Hold, Ps, Stop, Up};
use scale::Scale;
use source::{Asked, Source};
use top::Top;
use watch::Watch;

/// Policies of network functions: what traffic passes which functions, on which servers their instances go; and a cluster that
/// runs them.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  weft e2 check crates/e2/examples/shop.yaml\n  weft e2 plan crates/e2/examples/shop.js"
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
    #[command(flatten)]
    source: Source,
}

/// Say which instances there are to be, where, and what leads to them
///
/// The traffic between servers is told beside the least that any placement has, as far as that is proved.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 plan crates/e2/examples/shop.yaml --json")]
pub(crate) struct Plan {
    #[command(flatten)]
    source: Source,
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
    #[command(flatten)]
    source: Source,
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
        let Asked { policy, .. } = self.source.read()?;
        let count = |many: usize, what: &str| format!("{many} {what}{}", if many == 1 { "" } else { "s" });
        println!(
            "{}: {}, {}, {} with {}: no errors",
            self.source.file().display(),
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
        let Asked { policy, plan, .. } = self.source.read()?;
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
        let Asked { policy, plan, .. } = self.source.read()?;
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
