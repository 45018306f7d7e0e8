//! `weft netbricks`: network functions on ports and capture files.

mod run;
mod summary;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::Report;
use netbricks::ArgsError;
use netbricks::functions::{KINDS, Kind};
use quilt::fault::similar;
use serde::Serialize;

use super::print_json;
use crate::style::{columns, show};

/// Exit code for words that make no sense.
const WRONG_USAGE: u8 = 2;

/// Network functions on ports and capture files.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  weft netbricks list\n  weft netbricks list macswap")]
pub(crate) enum Netbricks {
    Run(run::Run),
    List(List),
}

impl Netbricks {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        match self {
            Self::Run(command) => command.run(),
            Self::List(command) => command.run(),
        }
    }
}

/// List the network functions, or print the manual of some.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft netbricks list macswap")]
pub(crate) struct List {
    /// Whose manual; without one, all are listed
    #[arg(value_name = "FUNCTION")]
    names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A network function, for programs.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    class: &'static str,
    summary: String,
    manual: String,
}

impl List {
    fn run(&self) -> miette::Result<ExitCode> {
        let mut kinds = Vec::new();
        for name in &self.names {
            match Kind::find(name) {
                Some(kind) => kinds.push(kind),
                None => return Ok(wrong_usage(&ArgsError::Function(name.clone()))),
            }
        }
        if kinds.is_empty() {
            kinds.extend(KINDS);
        }
        if self.json {
            let listed = |kind: &&Kind| Listed {
                name: kind.name,
                class: kind.class,
                summary: kind.summary(),
                manual: kind.manual(),
            };
            print_json(&kinds.iter().map(listed).collect::<Vec<_>>())?;
        } else if self.names.is_empty() {
            let rows = kinds.iter().map(|kind| vec![kind.name.to_owned(), kind.summary()]);
            print!("{}", columns(&rows.collect::<Vec<_>>()));
        } else {
            let manuals = kinds.iter().map(|kind| format!("{}\n\n{}\n", kind.name, kind.manual()));
            print!("{}", manuals.collect::<Vec<_>>().join("\n"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what is wrong with a function's words, and where to read what is right.
fn wrong_usage(error: &ArgsError) -> ExitCode {
    show(&explained(error));
    ExitCode::from(WRONG_USAGE)
}

fn explained(error: &ArgsError) -> Report {
    let help = match error {
        ArgsError::Function(name) if name.contains('=') => {
            "KEY=VALUE follows the name of the function that takes it".into()
        }
        ArgsError::Function(name) => match similar(name, KINDS.iter().map(|kind| kind.name)) {
            Some(similar) => format!("did you mean '{similar}'? `weft netbricks list` lists them"),
            None => "`weft netbricks list` lists them".into(),
        },
        ArgsError::Word { function, .. }
        | ArgsError::Value { function, .. }
        | ArgsError::Missing { function, .. }
        | ArgsError::Unknown { function, .. }
        | ArgsError::Conflict { function, .. } => {
            format!("`weft netbricks list {function}` prints its manual")
        }
    };
    miette::miette!(help = help, "{error}")
}
