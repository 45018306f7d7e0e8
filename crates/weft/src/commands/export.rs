//! `weft export kubernetes`: a blueprint as manifests.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::blueprint::Source;
use super::cluster::Manifests;

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
    after_help = "Example:\n  weft export kubernetes examples/shop.js --image weft:latest > shop.yaml\n  \
                        weft export kubernetes examples/shop.js --gateway envoy --http 8080 > shop.yaml\n\n\
                        Policies hold only where the cluster's network enforces them."
)]
pub(crate) struct Kubernetes {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    manifests: Manifests,
    /// A namespace that is there; without, one of the deployment's name is written too
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
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
        let exported = self.manifests.of(&loaded, self.with_secrets, self.namespace.as_deref())?;
        let text = exported.yaml().map_err(|error| miette::miette!("{error}"))?;
        match &self.output {
            Some(path) => {
                std::fs::write(path, text).map_err(|error| miette::miette!("{}: {error}", path.display()))
            }
            None => std::io::stdout().write_all(text.as_bytes()).map_err(|error| miette::miette!("{error}")),
        }
    }
}
