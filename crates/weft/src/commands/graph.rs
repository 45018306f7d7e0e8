//! `weft graph`: a drawing of containers, services and links.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use quilt::eval::Options;
use topology::render::{self, Style};

use super::blueprint::key_value;
use super::{Which, report};

/// Draw a blueprint's containers and links.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft graph examples/shop.js > shop.svg\n  weft graph examples/shop.js --format dot | dot -Tpng > shop.png"
)]
pub(crate) struct Graph {
    /// The blueprint; what runs when absent
    file: Option<PathBuf>,
    /// A value that the blueprint reads as `args.KEY`
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = key_value)]
    args: Vec<(String, String)>,
    /// The kind of drawing
    #[arg(short, long, value_enum, default_value_t = Format::Svg)]
    format: Format,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A picture
    Svg,
    /// Graphviz text
    Dot,
}

impl Graph {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let blueprint = match &self.file {
            Some(file) => {
                let options = Options { args: self.args.iter().cloned().collect(), ..Options::default() };
                quilt::load(file, &options).map_err(quilt::fault::Faults::into_report)?.blueprint
            }
            None => self.which.find()?.record().map_err(report)?.unwrap_or_default().deployed.blueprint,
        };
        let failed = |error: &dyn std::fmt::Display| miette::miette!("{error}");
        let graph = quilt::graph::graph(&blueprint).map_err(|error| failed(&error))?;
        let style = Style { title: Some(blueprint.name), detail: Some("command".into()), ..Style::default() };
        let text = match self.format {
            Format::Svg => render::svg(&graph, &style).map_err(|error| failed(&error))?,
            Format::Dot => render::dot(&graph, &style),
        };
        match &self.output {
            Some(path) => {
                std::fs::write(path, text).map_err(|error| miette::miette!("{}: {error}", path.display()))
            }
            None => std::io::stdout().write_all(text.as_bytes()).map_err(|error| failed(&error)),
        }
    }
}
