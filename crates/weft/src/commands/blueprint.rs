//! Reading a blueprint, and the two commands that do nothing else: `check` and `plan`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report};
use quilt::Loaded;
use quilt::check::placement::{nodes, place, place_on_one};
use quilt::eval::{Dialect, Options};
use quilt::model::Span;
use quilt::runtime::{self, RuntimeError, Store};

use super::cluster::{self, Access, Manifests, Where};
use super::machines::{self, Booting};
use super::{manifests, print_json};

/// The blueprint a command reads.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The blueprint
    file: PathBuf,
    /// A value that the blueprint reads as `args.KEY`; may be given again
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = key_value)]
    args: Vec<(String, String)>,
    /// Take the blueprint exactly as this one had it: quilt, kelda-0.8 or kelda-0.13
    #[arg(long)]
    dialect: Option<Dialect>,
}

impl Source {
    /// The file, as it was given.
    pub(super) fn file(&self) -> &std::path::Path {
        &self.file
    }

    /// Evaluates and checks it, and passes on what it printed and what its author should know.
    pub(super) fn load(&self) -> miette::Result<Loaded> {
        self.load_for(true)
    }

    /// The same; where `secrets` are not used, they need no value.
    pub(super) fn load_for(&self, secrets: bool) -> miette::Result<Loaded> {
        let args = self.args.iter().cloned().collect();
        let options = Options { args, dialect: self.dialect, ..Options::default() };
        let has_value = |name: &str| !secrets || quilt::secret(name).is_some();
        let evaluated = quilt::eval::evaluate(&self.file, &options);
        match evaluated.and_then(|evaluation| quilt::checked(evaluation, &has_value)) {
            Ok(loaded) => {
                pass_on(&loaded.console);
                for note in &loaded.notes {
                    pass_on(&format!("note: {}: {}\n", note.span, note.text));
                }
                Ok(loaded)
            }
            Err(faults) => {
                pass_on(&faults.console);
                Err(faults.into_report())
            }
        }
    }
}

/// What a blueprint says goes where progress goes, never among data.
pub(super) fn pass_on(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("an argument of a blueprint looks like KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// An error of the runtime, pointing at the lines of the blueprint that it is about.
pub(super) fn located(error: &RuntimeError, loaded: &Loaded) -> Report {
    let known = |place: &(&Span, String)| place.0.is_known() && loaded.sources.contains_key(&place.0.file);
    let places: Vec<_> = error.places().into_iter().filter(known).collect();
    let Some(file) = places.first().map(|(span, _)| span.file.clone()) else {
        return miette::miette!("{error}");
    };
    let label = |(span, text): &(&Span, String)| {
        LabeledSpan::new_with_span(Some(text.clone()), (span.offset, span.len))
    };
    let labels: Vec<_> = places.iter().filter(|(span, _)| span.file == file).map(label).collect();
    let text: Arc<str> = loaded.sources[&file].clone();
    Report::new(MietteDiagnostic::new(error.to_string()).with_labels(labels))
        .with_source_code(NamedSource::new(file, text).with_language("JavaScript"))
}

/// Show what `up` would change, and change nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft plan examples/shop.js\n  weft plan examples/shop.js --target kubernetes"
)]
pub(crate) struct Plan {
    #[command(flatten)]
    source: Source,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    manifests: Manifests,
    #[command(flatten)]
    booting: Booting,
    /// Take over fields that another program has set
    #[arg(long, help_heading = "Kubernetes")]
    force: bool,
}

impl Plan {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let loaded = self.source.load()?;
        match self.access.target()? {
            Where::Kubernetes => {
                return cluster::plan(&self.access, &self.manifests, &loaded, self.force, self.json);
            }
            Where::Machines => return machines::plan(&loaded, &self.booting, self.json),
            Where::Here => machines::note(&loaded.blueprint),
        }
        let store = Store::from_env().map_err(super::report)?;
        let plan = runtime::plan(&store, &loaded.blueprint).map_err(|error| located(&error, &loaded))?;
        if self.json {
            return print_json(&plan);
        }
        let text = plan.to_string();
        print!("{}", if std::io::stdout().is_terminal() { coloured(&text) } else { text });
        Ok(())
    }
}

/// A plan with additions in green, removals in red and changes in yellow.
pub(super) fn coloured(text: &str) -> String {
    if !crate::style::colour_out() {
        return text.to_owned();
    }
    let line = |line: &str| match line.trim_start().chars().next() {
        Some('+') => format!("\x1b[32m{line}\x1b[0m\n"),
        Some('-') => format!("\x1b[31m{line}\x1b[0m\n"),
        Some('~') => format!("\x1b[33m{line}\x1b[0m\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Check a blueprint, and run nothing; of Kubernetes manifests and compose files, tell who may reach whom.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft check examples/shop.js\n  weft check deployments.yaml policies.yaml\n\n\
                  A file that ends in .yaml, .yml or .json is a compose file or one of manifests, a folder one of these."
)]
pub(crate) struct Check {
    #[command(flatten)]
    source: Source,
    /// More files of manifests
    #[arg(value_name = "FILE")]
    more: Vec<PathBuf>,
    /// Print what was understood as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> miette::Result<()> {
        if manifests::is_manifest(self.source.file()) {
            return manifests::check(self.source.file(), &self.more, self.json);
        }
        if let Some(more) = self.more.first() {
            return Err(miette::miette!("a blueprint is one file: what is {}?", more.display()));
        }
        let loaded = self.source.load()?;
        let blueprint = &loaded.blueprint;
        // It may be for another machine: no fault, but worth knowing.
        if let Err(obstacle) = place_on_one(blueprint, &runtime::this_machine()) {
            pass_on(&format!("note: not for this machine alone: {obstacle}\n"));
        }
        let machines = nodes(&blueprint.machines.all);
        if !machines.is_empty()
            && let Err(obstacle) = place(blueprint, &machines)
        {
            pass_on(&format!("note: not for the machines that it asks for: {obstacle}\n"));
        }
        if self.json {
            return print_json(blueprint);
        }
        println!(
            "{}: {} containers, {} services, {} links, {} published ports{}: no errors",
            self.source.file().display(),
            blueprint.containers.len(),
            blueprint.services.len(),
            blueprint.links.len(),
            blueprint.publishes.len(),
            match blueprint.invariants.len() {
                0 => String::new(),
                count => format!(", {count} expectations"),
            }
        );
        Ok(())
    }
}
