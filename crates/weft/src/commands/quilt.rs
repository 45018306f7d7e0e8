//! The language of blueprints: its types, and what Quilt and Kelda would have printed for blueprints of old.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use quilt::eval::{Dialect, Options};
use quilt::original;

use super::blueprint::{key_value, pass_on};

/// The language of blueprints: its types for editors, and the dialects of Quilt and Kelda.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  weft quilt types\n  weft quilt eval --dialect quilt examples/dialects/quilt.js\n\nA link to weft that is called \
                  `quilt` is the command of Quilt 0.2: quilt daemon, quilt run, quilt ps and the rest."
)]
pub(crate) enum Quilt {
    /// Print the deployment that a blueprint asks for, as JSON, as the original did
    Eval(Eval),
    /// Print the types of a module, in TypeScript, for editors
    #[command(
        after_help = "Example:\n  weft quilt types\n  weft quilt types weft/nf\n\nAn editor finds them beside a blueprint, and above it, as \
                      node_modules/weft/index.d.ts and node_modules/weft/nf.d.ts."
    )]
    Types {
        /// Which one
        #[arg(value_enum, default_value_t)]
        module: Module,
    },
}

impl Quilt {
    pub(crate) fn run(&self) -> miette::Result<()> {
        match self {
            Quilt::Eval(command) => command.run(),
            Quilt::Types { module: Module::Weft } => written(quilt::eval::TYPES),
            Quilt::Types { module: Module::Nf } => written(quilt::eval::NF_TYPES),
        }
    }
}

/// A module whose types are known.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Module {
    /// Containers and links
    #[default]
    Weft,
    /// Network functions
    #[value(name = "weft/nf")]
    Nf,
}

/// Print the deployment that a blueprint asks for, as JSON, as the original did.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft quilt eval --dialect kelda-0.13 examples/dialects/kelda.js 3")]
pub(crate) struct Eval {
    /// Which one: quilt, kelda-0.8 or kelda-0.13
    #[arg(long)]
    dialect: Dialect,
    /// The directory below which the blueprint may read files; its own without
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<PathBuf>,
    /// A value that the blueprint reads as `process.env.NAME`; may be given again
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = key_value)]
    env: Vec<(String, String)>,
    /// The blueprint
    file: PathBuf,
    /// What the blueprint reads as `process.argv`, from its third item on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Eval {
    fn run(&self) -> miette::Result<()> {
        let options = Options {
            argv: self.args.clone(),
            env: self.env.iter().cloned().collect(),
            root: self.root.clone(),
            ..Options::default()
        };
        match original::deployment(&self.file, self.dialect, &options) {
            Ok(deployment) => {
                pass_on(&deployment.console);
                // A file or pipe gets the original's bytes, which end without a line break.
                let end = if std::io::stdout().is_terminal() { "\n" } else { "" };
                written(&format!("{}{end}", deployment.json))
            }
            Err(faults) => {
                pass_on(&faults.console);
                Err(faults.into_report())
            }
        }
    }
}

fn written(text: &str) -> miette::Result<()> {
    let mut out = std::io::stdout().lock();
    let done = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    done.map_err(|error| miette::miette!("cannot write to standard output: {error}"))
}
