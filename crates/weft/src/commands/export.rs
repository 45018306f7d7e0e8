//! `weft export kubernetes`: a blueprint as manifests.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use quilt::fault::Faults;
use quilt::kubernetes::export::{self, HOST_IMAGE};

use super::blueprint::Source;

/// Write a blueprint for another system.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  weft export kubernetes examples/shop.js | kubectl apply -f -")]
pub(crate) enum Export {
    Kubernetes(Kubernetes),
}

impl Export {
    pub(crate) fn run(&self) -> miette::Result<()> {
        match self {
            Self::Kubernetes(command) => command.run(),
        }
    }
}

/// Write a blueprint as Kubernetes manifests: links become network policies.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft export kubernetes examples/shop.js --image weft:latest > shop.yaml\n\n\
                        Policies hold only where the cluster's network enforces them."
)]
pub(crate) struct Kubernetes {
    #[command(flatten)]
    source: Source,
    /// Image of containers that run on this machine's files
    #[arg(long, value_name = "IMAGE", default_value = HOST_IMAGE)]
    image: String,
    /// A network that pods have their addresses from: what is published is not open to it
    #[arg(long = "pod-network", value_name = "CIDR")]
    pod_networks: Vec<String>,
    /// Write the values of secrets too
    #[arg(long)]
    with_secrets: bool,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Kubernetes {
    fn run(&self) -> miette::Result<()> {
        let loaded = self.source.load_for(self.with_secrets)?;
        let lookup: &dyn Fn(&str) -> Option<String> = &quilt::secret;
        let options = export::Options {
            host_image: &self.image,
            pod_networks: &self.pod_networks,
            secrets: self.with_secrets.then_some(lookup),
        };
        let exported = export::export(&loaded.blueprint, &options)
            .map_err(|faults| Faults::finish(faults, &loaded.sources, String::new()).into_report())?;
        let text = exported.yaml().map_err(|error| miette::miette!("{error}"))?;
        for note in &exported.notes {
            eprintln!("note: {note}");
        }
        match &self.output {
            Some(path) => {
                std::fs::write(path, text).map_err(|error| miette::miette!("{}: {error}", path.display()))
            }
            None => std::io::stdout().write_all(text.as_bytes()).map_err(|error| miette::miette!("{error}")),
        }
    }
}
