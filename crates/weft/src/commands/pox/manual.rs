//! `weft pox list` and `weft pox help`.

use std::process::ExitCode;

use clap::Args;
use pox::{Kind, LaunchError, Launcher};
use serde::Serialize;

use super::wrong_usage;
use crate::commands::print_json;
use crate::style::columns;

/// List the components
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft pox list")]
pub(super) struct List {
    /// Print JSON, manuals included
    #[arg(long)]
    json: bool,
}

/// Print the manual of components
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft pox help forwarding.l2_learning")]
pub(super) struct Help {
    /// Whose
    #[arg(value_name = "COMPONENT", required = true)]
    names: Vec<String>,
}

/// A component, for programs.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    summary: String,
    several: bool,
    manual: String,
}

impl List {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let launcher = Launcher::stock();
        if self.json {
            let listed = |kind: &Kind| Listed {
                name: kind.name,
                summary: kind.summary(),
                several: kind.several,
                manual: kind.manual(),
            };
            print_json(&launcher.kinds().iter().map(listed).collect::<Vec<_>>())?;
        } else {
            let rows = launcher.kinds().iter().map(|kind| vec![kind.name.to_owned(), kind.summary()]);
            print!("{}", columns(&rows.collect::<Vec<_>>()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Help {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        let launcher = Launcher::stock();
        let mut manuals = Vec::new();
        for name in &self.names {
            match launcher.find(name) {
                Some(kind) => manuals.push(format!("{name}\n\n{}\n", kind.manual())),
                None => {
                    let error = LaunchError::Component { name: name.clone(), line: None };
                    return Ok(wrong_usage(&error, None));
                }
            }
        }
        print!("{}", manuals.join("\n"));
        Ok(ExitCode::SUCCESS)
    }
}
