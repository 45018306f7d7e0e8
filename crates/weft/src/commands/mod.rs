//! One file a command: its arguments, what it calls, how it shows the answer.

pub(crate) mod blueprint;
pub(crate) mod cluster;
pub(crate) mod ddc;
pub(crate) mod e2;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod graph;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod live;
pub(crate) mod logs;
pub(crate) mod machines;
mod manifests;
pub(crate) mod netbricks;
pub(crate) mod openflow;
pub(crate) mod original;
pub(crate) mod pox;
pub(crate) mod ps;
pub(crate) mod quilt;
pub(crate) mod rc3;
pub(crate) mod roles;
pub(crate) mod sim;
pub(crate) mod softnic;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod up;
pub(crate) mod why;

use ::quilt::runtime::{Deployment, RuntimeError, Store};
use clap::Args;
use miette::Report;
use serde::Serialize;

/// Which deployment a command is about.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The deployment, if more than one runs
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
}

impl Which {
    /// The name that was given.
    fn name(&self) -> Option<&str> {
        self.deployment.as_deref()
    }

    /// Finds it.
    fn find(&self) -> miette::Result<Deployment> {
        let store = Store::from_env().map_err(report)?;
        let Some(name) = &self.deployment else { return store.only().map_err(report) };
        let all = store.deployments().map_err(report)?;
        let known = all.iter().map(|one| one.name().to_owned()).collect();
        all.into_iter()
            .find(|one| one.name() == name)
            .ok_or_else(|| report(RuntimeError::NoDeployment { name: name.clone(), known }))
    }
}

/// An error without a place in a blueprint.
fn report(error: impl Into<RuntimeError>) -> Report {
    let error = error.into();
    miette::miette!("{error}")
}

/// Prints a value as JSON, for programs.
fn print_json(value: &impl Serialize) -> miette::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| miette::miette!("{error}"))?;
    println!("{text}");
    Ok(())
}

/// Writes down what happens on standard error; WEFT_LOG says how much.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEFT_LOG").unwrap_or_else(|_| "warn".into());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    subscriber.with_writer(std::io::stderr).init();
}
