//! `weft stop`: everything goes.

use std::time::Duration;

use clap::Args;
use quilt::runtime::{self, Store};

use super::cluster::{self, Access, Where};
use super::machines;
use super::{Which, report};

/// Stop everything and leave nothing behind but named volumes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft stop --grace 10\n  weft stop --target kubernetes -d shop\n  weft stop --machines -d shop"
)]
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
    /// Give back the machines that were rented for the deployment, with their firewall, keys and addresses
    #[arg(long)]
    machines: bool,
    /// Where Amazon's machines are, if this machine knows nothing of them
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl Stop {
    pub(crate) fn run(&self) -> miette::Result<()> {
        if self.machines || self.access.target()? == Where::Machines {
            return machines::stop(self.which.name(), self.region.as_deref());
        }
        if self.access.target()? == Where::Kubernetes {
            let name = self.which.name().ok_or_else(|| miette::miette!("say which deployment: -d NAME"))?;
            return cluster::stop(&self.access, name, self.volumes);
        }
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
