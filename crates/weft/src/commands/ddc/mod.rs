//! `weft ddc`: Data-Driven Connectivity, on a topology and on real links.

mod place;
mod router;
mod run;
mod show;
mod sim;
mod stop;
mod trace;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use ddc::Map;
use miette::{IntoDiagnostic, WrapErr, miette};
use topology::{LinkSpec, Topology, generate, load, paths};

/// Forwarding that goes on while links fail, one bit a packet: how far packets walk and why, and routers that do it.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  weft ddc sim --failures 5 --trials 20\n  \
                        weft ddc trace --failures 3 --from s7 --to s1\n  \
                        weft ddc run examples/ddc/twelve.ddc && weft ddc show && weft ddc stop")]
pub(crate) enum Ddc {
    Sim(sim::Sim),
    Trace(trace::Trace),
    Router(router::Router),
    Run(run::Run),
    Show(show::Show),
    Stop(stop::Stop),
}

impl Ddc {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        match self {
            Self::Sim(command) => command.run()?,
            Self::Trace(command) => command.run()?,
            Self::Router(command) => return command.run(),
            Self::Run(command) => command.run()?,
            Self::Show(command) => command.run()?,
            Self::Stop(command) => command.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A topology from a file, or one of 100 nodes at random places; and the map of it.
fn read(path: Option<&Path>, seed: u64) -> miette::Result<(Topology, Map)> {
    let topology = match path {
        Some(path) => {
            let text = std::fs::read_to_string(path).into_diagnostic();
            let text = text.wrap_err_with(|| path.display().to_string())?;
            load::by_name(path, &text).map_err(|error| miette!("{}: {error}", path.display()))?
        }
        None => {
            let waxman = generate::waxman(100, 0.4, 0.15, seed, &LinkSpec::default());
            waxman.map_err(|error| miette!("{error}"))?
        }
    };
    let map = Map::new(&topology, paths::by_hops).map_err(|error| miette!("{error}"))?;
    Ok((topology, map))
}
