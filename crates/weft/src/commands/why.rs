//! `weft why`: whether one party may reach another, and what says so.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use quilt::runtime;

use super::{Which, print_json, report};
use crate::style::tint;

/// Tell whether one party may reach another on a port, and which line of the blueprint says so.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft why web-1 db 5432\n  weft why web-1 publicInternet 443\n\nExit code 0: allowed, 1: denied."
)]
pub(crate) struct Why {
    /// Who connects: a container or service, by name or address
    from: String,
    /// To whom: a container or service, by name or address; publicInternet, or any address outside
    to: String,
    /// On which port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Over which protocol
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    protocol: Transport,
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
        let protocol = match self.protocol {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        let explanation = dataplane.explain(&self.from, &self.to, protocol, self.port).map_err(report)?;
        if self.json {
            print_json(&explanation)?;
        } else {
            let text = explanation.to_string();
            let (verdict, rest) = text.split_once(':').unwrap_or(("", &text));
            println!("{}:{rest}", tint(verdict, explanation.allowed));
        }
        Ok(if explanation.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
