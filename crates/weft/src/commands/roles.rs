//! The hidden subcommands under which this program carries a deployment, or one network function.

use clap::Subcommand;
use netbricks::functions::serve_isolated;
use quilt::runtime::{self, RoleContext};

use super::report;

/// What one process does that this program has started.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// Hold the deployment's namespaces
    #[command(name = "__sandbox", hide = true)]
    Sandbox,
    /// Carry its packets
    #[command(name = "__dataplane", hide = true)]
    Dataplane,
    /// Serve its published ports
    #[command(name = "__edge", hide = true)]
    Edge,
    /// Make containers
    #[command(name = "__launch", hide = true)]
    Launch,
    /// Stop containers
    #[command(name = "__stop", hide = true)]
    Stop,
    /// Make or remove images
    #[command(name = "__image", hide = true)]
    Image,
    /// Run one network function, confined
    #[command(name = "__function", hide = true)]
    Function {
        /// What `netbricks::functions::build_isolated` passes
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        words: Vec<String>,
    },
}

impl Role {
    /// The name of [`Role::Function`].
    pub(crate) const FUNCTION: &'static str = "__function";

    pub(crate) fn run(self) -> miette::Result<()> {
        if let Self::Function { words } = &self {
            // Before anything that a confined process may not do, such as start a thread.
            return serve_isolated(words).map_err(miette::Report::msg);
        }
        if let Self::Image = self {
            return quilt::images::serve().map_err(report);
        }
        let context = RoleContext::from_env().map_err(report)?;
        if let Self::Dataplane | Self::Edge = self {
            let filter =
                tracing_subscriber::EnvFilter::try_from_env("WEFT_LOG").unwrap_or_else(|_| "info".into());
            tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_writer(std::io::stderr)
                .with_ansi(false)
                .init();
        }
        match self {
            Self::Sandbox => runtime::run_sandbox(&context),
            Self::Dataplane => runtime::run_dataplane(&context),
            Self::Edge => runtime::run_edge(&context),
            Self::Launch => {
                runtime::run_launcher(&context);
                Ok(())
            }
            Self::Stop => {
                runtime::run_stopper(&context);
                Ok(())
            }
            Self::Image | Self::Function { .. } => Ok(()),
        }
        .map_err(report)
    }
}
