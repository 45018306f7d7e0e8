//! `weft softnic`: the software NIC, and BESS's control interface.

mod daemon;

use std::process::ExitCode;

use clap::Subcommand;
use miette::IntoDiagnostic;

pub(crate) use daemon::Daemon;

/// The software NIC: packet modules joined into a graph that changes while packets flow.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  weft softnic daemon --foreground --listen 127.0.0.1:10514")]
pub(crate) enum Softnic {
    Daemon(Daemon),
}

impl Softnic {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        match self {
            Self::Daemon(command) => command.run(),
        }
    }
}

/// What hashes are keyed with, so that nobody outside can aim for collisions.
fn seed() -> miette::Result<u64> {
    let mut seed = [0; 8];
    let mut random = std::fs::File::open("/dev/urandom").into_diagnostic()?;
    std::io::Read::read_exact(&mut random, &mut seed).into_diagnostic()?;
    Ok(u64::from_ne_bytes(seed))
}
