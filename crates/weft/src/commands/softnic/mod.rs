//! `weft softnic`: the software NIC, and BESS's control interface.

mod daemon;
mod drawing;
mod link;
mod monitor;
mod picture;
mod run;
mod show;
mod tcpdump;
mod trace;
mod upgrade;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use miette::{IntoDiagnostic, Report, miette};
use softnic::bess::{Client, ClientError};

pub(crate) use daemon::Daemon;

/// Where BESS's clients look.
const HOME: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), daemon::PORT);

/// The software NIC: packet modules joined into a graph that changes while packets flow.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  weft softnic run examples/softnic/shares.weft --duration 10s\n  \
                        weft softnic show pipeline")]
pub(crate) enum Softnic {
    Run(run::Run),
    Daemon(Daemon),
    Upgrade(upgrade::Upgrade),
    // Has as many arguments as the others together.
    Link(Box<link::Link>),
    /// Show what a daemon runs
    #[command(subcommand)]
    Show(show::Show),
    Monitor(monitor::Monitor),
    Tcpdump(tcpdump::Tcpdump),
    Trace(trace::Trace),
}

impl Softnic {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        match self {
            Self::Run(command) => command.run(),
            Self::Daemon(command) => command.run(),
            Self::Upgrade(command) => command.run(),
            Self::Link(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::Monitor(command) => command.run(),
            Self::Tcpdump(command) => command.run(),
            Self::Trace(command) => command.run(),
        }
    }
}

/// Which daemon a command asks.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct At {
    /// The daemon's address
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = HOME, value_parser = address)]
    at: SocketAddr,
}

impl At {
    fn connect(self) -> miette::Result<Client> {
        Client::connect(self.at).map_err(report)
    }
}

/// An address, by name or number.
fn address(text: &str) -> Result<SocketAddr, String> {
    daemon::resolve(text).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    netbricks::parse_duration_ns(text).map(Duration::from_nanos)
}

/// A pause that is one.
fn pause(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|pause| match pause {
        pause if pause < Duration::from_millis(10) => Err("a pause of at least 10ms is wanted".into()),
        pause => Ok(pause),
    })
}

/// A module and one of its gates: `MODULE`, `MODULE:GATE`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GateOf {
    module: String,
    gate: u16,
}

impl std::str::FromStr for GateOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (module, gate) = match text.rsplit_once(':') {
            Some((module, gate)) => {
                (module, gate.parse().map_err(|_| format!("`{gate}` is no gate, such as 0"))?)
            }
            None => (text, 0),
        };
        if module.is_empty() {
            return Err("a module's name is wanted".into());
        }
        Ok(Self { module: module.to_owned(), gate })
    }
}

/// What went wrong between us and the daemon, and what to do about it.
fn report(error: ClientError) -> Report {
    let help = match &error {
        ClientError::Gone { .. } => {
            "`weft softnic run FILE` or `weft softnic daemon` starts one; --at says where it listens"
        }
        ClientError::Refused(failure) if failure.code == rustix::io::Errno::NOENT.raw_os_error() => {
            "`weft softnic show pipeline` shows the modules and their gates"
        }
        _ => return Report::msg(error),
    };
    let cause = std::error::Error::source(&error).and_then(std::error::Error::source);
    let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
    miette!(help = help, "{error}{cause}")
}

/// What hashes are keyed with, so that nobody outside can aim for collisions.
pub(crate) fn seed() -> miette::Result<u64> {
    let mut seed = [0; 8];
    let mut random = std::fs::File::open("/dev/urandom").into_diagnostic()?;
    std::io::Read::read_exact(&mut random, &mut seed).into_diagnostic()?;
    Ok(u64::from_ne_bytes(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_0_unless_it_is_said() {
        let parsed = |text: &str| text.parse::<GateOf>().map(|of| (of.module, of.gate));
        assert_eq!(parsed("acl"), Ok(("acl".into(), 0)));
        assert_eq!(parsed("acl:3"), Ok(("acl".into(), 3)));
        for wrong in ["", ":1", "acl:", "acl:70000", "acl:x"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
