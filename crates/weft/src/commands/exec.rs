//! `weft exec`: a command inside a container.

use std::process::ExitCode;

use clap::Args;
use host::{ExecSpec, exec};
use quilt::runtime::{self, RuntimeError};

use super::{Which, report};

/// Run a command inside a container.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft exec client -- curl -s http://web/\n\nExit code: the command's own, 128 + N when signal N ended it."
)]
pub(crate) struct Exec {
    /// The container
    container: String,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true)]
    command: Vec<String>,
    /// A variable for its environment
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The directory it starts in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<std::path::PathBuf>,
    /// The user it runs as
    #[arg(short, long)]
    user: Option<String>,
    #[command(flatten)]
    which: Which,
}

impl Exec {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        let deployment = self.which.find()?;
        let container = deployment.containers().container(&self.container);
        let Some(status) = host::Status::observe(&container).map_err(report)? else {
            let all = deployment.containers().containers().map_err(report)?;
            let known = all.iter().map(|one| one.name().to_owned()).collect();
            return Err(report(RuntimeError::NoContainer { name: self.container.clone(), known }));
        };
        if !status.init.is_alive() {
            let state = runtime::state_name(status.state).to_owned();
            return Err(report(RuntimeError::NotRunning { name: self.container.clone(), state }));
        }
        let pair = |text: &String| {
            text.split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or_else(|| miette::miette!(help = "write --env NAME=VALUE", "'{text}' sets no variable"))
        };
        let spec = ExecSpec {
            command: self.command.clone(),
            env: self.env.iter().map(pair).collect::<Result<_, _>>()?,
            cwd: self.workdir.clone(),
            user: self.user.clone(),
        };
        let code = exec(&container, &spec).map_err(report)?;
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    }
}
