//! `weft stop`: everything goes.

use std::time::Duration;

use clap::Args;
use quilt::runtime::{self, Store};

use super::{Which, report};

/// Stop everything and leave nothing behind but named volumes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft stop --grace 10")]
pub(crate) struct Stop {
    #[command(flatten)]
    which: Which,
    /// Stop every deployment
    #[arg(long, conflicts_with = "deployment")]
    all: bool,
    /// How long containers get to end by themselves
    #[arg(long, value_name = "SECONDS", default_value_t = runtime::GRACE.as_secs())]
    grace: u64,
    /// Remove named volumes too
    #[arg(long)]
    volumes: bool,
}

impl Stop {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let deployments = if self.all {
            Store::from_env().and_then(|store| store.deployments()).map_err(report)?
        } else {
            vec![self.which.find()?]
        };
        for deployment in deployments {
            let stopped = runtime::stop(&deployment, Duration::from_secs(self.grace)).map_err(report)?;
            if self.volumes {
                deployment.remove_volumes().map_err(report)?;
            }
            println!("stopped {} ({} containers)", deployment.name(), stopped.containers);
        }
        Ok(())
    }
}
