//! `weft rc3`: its baseline experiment.

use ::rc3::scenario::{BASELINE, Scenario};
use clap::{Args, Subcommand};

use super::sim::Output;

/// RC3: recursively cautious congestion control.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  weft rc3 sim --seeds 3")]
pub(crate) enum Rc3 {
    Sim(Baseline),
}

impl Rc3 {
    pub(crate) fn run(&self) -> miette::Result<()> {
        match self {
            Self::Sim(command) => command.run(),
        }
    }
}

/// Run the baseline experiment of the RC3 paper: 3,500 flows on an Internet2-like network at 30 % load, with TCP and with RC3
///
/// Twenty seeds by default. Scenario files have everything else: `weft sim run`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft rc3 sim --seeds 3 --svg baseline.svg")]
pub(crate) struct Baseline {
    #[command(flatten)]
    output: Output,
}

impl Baseline {
    fn run(&self) -> miette::Result<()> {
        let scenario = Scenario::parse(BASELINE, &|path| Err(format!("{path}: not here")));
        self.output.run(scenario.map_err(|error| miette::miette!("{error}"))?)
    }
}
