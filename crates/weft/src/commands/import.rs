//! `weft import`: files of other systems as blueprints.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use quilt::fault::Faults;
use quilt::import::{self, Draft};
use quilt::kubernetes::reach::reach;

use super::manifests;

/// Turn files of another system into a blueprint with the least policy that they need.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  weft import compose compose.yaml > shop.js")]
pub(crate) enum Import {
    Compose(Compose),
    Kubernetes(Kubernetes),
}

impl Import {
    pub(crate) fn run(&self) -> miette::Result<()> {
        match self {
            Self::Compose(command) => command.run(),
            Self::Kubernetes(command) => command.run(),
        }
    }
}

/// Turn a compose file into a blueprint.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft import compose compose.yaml > shop.js")]
pub(crate) struct Compose {
    /// The compose file
    file: PathBuf,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Compose {
    fn run(&self) -> miette::Result<()> {
        let shown = self.file.display().to_string();
        let compose =
            quilt::compose::read(&shown, &manifests::text(&self.file)?).map_err(Faults::into_report)?;
        let draft = import::compose::draft(&compose, &folder(&self.file), &shown);
        print(&draft, self.output.as_deref())
    }
}

/// Turn Kubernetes manifests into a blueprint.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft import kubernetes deployments.yaml policies.yaml > shop.js")]
pub(crate) struct Kubernetes {
    /// Files of manifests, or folders of these
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Kubernetes {
    fn run(&self) -> miette::Result<()> {
        let texts = manifests::texts(&self.files)?;
        let cluster = quilt::kubernetes::read::read(&texts).map_err(Faults::into_report)?;
        let reach = reach(&cluster).map_err(Faults::into_report)?;
        let origin = texts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let draft = import::kubernetes::draft(&cluster, &reach, &folder(&self.files[0]), &origin);
        print(&draft, self.output.as_deref())
    }
}

/// The name of the folder that a file is in: what compose calls a project that has no name.
fn folder(file: &Path) -> String {
    let whole = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let folder = whole.parent().and_then(Path::file_name);
    folder.map_or_else(|| "imported".into(), |name| name.to_string_lossy().into_owned())
}

fn print(draft: &Draft, output: Option<&Path>) -> miette::Result<()> {
    let text = import::write(draft);
    for note in &draft.notes {
        eprintln!("note: {note}");
    }
    match output {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| miette::miette!("{}: {error}", path.display()))
        }
        None => std::io::stdout().write_all(text.as_bytes()).map_err(|error| miette::miette!("{error}")),
    }
}
