//! `weft why`: whether one party may reach another, and what says so.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use quilt::runtime;
use softnic::daemon::Client;
use softnic::fabric::{Opening, Policy, Protocol};

use super::{Which, print_json, report};
use crate::style::{columns, tint};

/// Tell whether one party may reach another on a port, and which line of the blueprint says so.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft why web-1 db 5432\n  weft why web-1 publicInternet 443\n  weft why --all\n\nExit code 0: allowed (or listed), 1: denied."
)]
pub(crate) struct Why {
    /// Who connects: a container or service, by name or address
    #[arg(required_unless_present = "all")]
    from: Option<String>,
    /// To whom: a container or service, by name or address; publicInternet, or any address outside
    #[arg(required_unless_present = "all")]
    to: Option<String>,
    /// On which port
    #[arg(required_unless_present = "all", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Over which protocol
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    protocol: Transport,
    /// List everything that is allowed, from the tables that packets are looked up in
    #[arg(long, conflicts_with_all = ["from", "to", "port", "protocol"])]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Transport {
    Tcp,
    Udp,
}

impl Why {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        let mut dataplane = runtime::dataplane(&self.which.find()?).map_err(report)?;
        match (&self.from, &self.to, self.port) {
            (Some(from), Some(to), Some(port)) => self.one(&mut dataplane, from, to, port),
            _ => self.list(&mut dataplane),
        }
    }

    fn one(&self, dataplane: &mut Client, from: &str, to: &str, port: u16) -> miette::Result<ExitCode> {
        let protocol = match self.protocol {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        let explanation = dataplane.explain(from, to, protocol, port).map_err(report)?;
        if self.json {
            print_json(&explanation)?;
        } else {
            let text = explanation.to_string();
            let (verdict, rest) = text.split_once(':').unwrap_or(("", &text));
            println!("{}:{rest}", tint(verdict, explanation.allowed));
        }
        Ok(if explanation.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn list(&self, dataplane: &mut Client) -> miette::Result<ExitCode> {
        let policy = dataplane.policy().map_err(report)?;
        if self.json {
            print_json(&policy)?;
        } else {
            print!("{}", table(&policy));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A line for each opening.
fn table(policy: &Policy) -> String {
    let row = |opening: &Opening| {
        let Opening { from, to, protocol, min, max, label, through, .. } = opening;
        let ports = match protocol {
            Protocol::Any => "other protocols".to_owned(),
            _ if min == max => format!("{min}/{protocol}"),
            _ => format!("{min}-{max}/{protocol}"),
        };
        vec![from.clone(), to.clone(), ports, label.clone(), through.join(", ")]
    };
    let header = ["FROM", "TO", "PORTS", "LINE", "THROUGH"].map(str::to_owned).to_vec();
    columns(&std::iter::once(header).chain(policy.openings.iter().map(row)).collect::<Vec<_>>())
}
