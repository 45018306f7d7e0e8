//! `weft pox`: the OpenFlow controller and its components.

mod manual;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::Report;
use pox::{LaunchError, Launcher, OptionsError};
use quilt::fault::similar;

use crate::style::show;

/// Exit code for words that make no sense.
const WRONG_USAGE: u8 = 2;

/// The OpenFlow controller: components, each followed by its options.
///
/// Switches of OpenFlow 1.0 and 1.3 are waited for on ports 6653 and 6633, unless `openflow.of_01` says otherwise. A file has
/// one component a line, with its options, spelled as here; `#` begins a comment. Components of a file come before those of
/// the command line. The controller runs until Ctrl-C.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Example:\n  weft pox forwarding.l2_learning openflow.discovery --link-timeout=10\n  \
                  weft pox --config network.pox\n  weft pox list\n  weft pox help forwarding.l2_learning\n\n\
                  Exit codes: 0 done, 1 it does not run, 2 wrong usage."
)]
pub(crate) struct Pox {
    #[command(subcommand)]
    about: Option<About>,
    #[command(flatten)]
    run: run::Run,
}

#[derive(Debug, Subcommand)]
enum About {
    List(manual::List),
    Help(manual::Help),
}

impl Pox {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        match &self.about {
            None => self.run.run(),
            Some(About::List(command)) => command.run(),
            Some(About::Help(command)) => command.run(),
        }
    }
}

/// Says what is wrong with a launch line, and where to read what is right.
fn wrong_usage(error: &LaunchError, file: Option<&PathBuf>) -> ExitCode {
    show(&explained(error, file));
    ExitCode::from(WRONG_USAGE)
}

fn explained(error: &LaunchError, file: Option<&PathBuf>) -> Report {
    let help = match error {
        LaunchError::Component { name, .. } => not_a_component(name),
        LaunchError::Options { error: OptionsError::Unknown { component, option, known }, .. } => {
            let hint = similar(option, known.iter().copied());
            let hint = hint.map(|similar| format!("did you mean --{similar}? ")).unwrap_or_default();
            format!("{hint}`weft pox help {component}` prints its manual")
        }
        LaunchError::Options { error, .. } => {
            format!("`weft pox help {}` prints its manual", error.component())
        }
        LaunchError::Again { name, .. } => format!("`weft pox help {name}` prints its manual"),
        _ => "weft pox COMPONENT [--OPTION=VALUE] COMPONENT …; `weft pox list` lists them".into(),
    };
    match file {
        Some(file) => miette::miette!(help = help, "{}: {error}", file.display()),
        None => miette::miette!(help = help, "{error}"),
    }
}

/// What to do about a name that no component has.
fn not_a_component(name: &str) -> String {
    let launcher = Launcher::stock();
    let names = || launcher.kinds().iter().map(|kind| kind.name);
    // Whoever leaves out the group means the one of that name.
    let last = |full: &'static str| full.rsplit('.').next().unwrap_or(full);
    let meant = names().find(|full| last(full) == name).map(str::to_owned).or_else(|| similar(name, names()));
    match meant {
        Some(similar) => format!("did you mean '{similar}'? `weft pox list` lists them"),
        None => "`weft pox list` lists them".into(),
    }
}
