//! What all commands on sockets can be told.

use std::path::PathBuf;

use ::rc3::connection::Config;
use ::rc3::live::read_key;
use ::rc3::{Algorithm, Key, LowConfig, Pacing};
use clap::{Args, ValueEnum};
use sim::Rate;

use super::report;

/// How the primary loop grows its window.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Growth {
    Newreno,
    Cubic,
}

/// How this side sends. The other side is told nothing of it: each way has its own.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(super) struct Sending {
    /// How fast low-priority segments go: bottleneck (90 % of what the path is found to carry), nic (as fast as the socket takes
    /// them, as in the paper) or a rate
    #[arg(long, value_name = "PACING", default_value = "bottleneck", value_parser = pacing)]
    pacing: Pacing,
    /// Which TCP the primary loop is
    #[arg(long, value_enum, default_value = "cubic")]
    algorithm: Growth,
    /// Send nothing at low priority: TCP alone, over the same datagrams
    #[arg(long)]
    no_low: bool,
    /// Priority levels of the network, from DSCP 0 on
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=8))]
    levels: u8,
    /// Bytes of UDP payload in a datagram: 1232 go through wherever IPv6 does, 1472 through Ethernet with IPv4
    #[arg(long, value_name = "BYTES", default_value_t = 1_232, value_parser = clap::value_parser!(u16).range(512..=8_952))]
    datagram: u16,
}

/// `bottleneck`, `nic`, or a rate such as `45mbit`.
fn pacing(text: &str) -> Result<Pacing, String> {
    let wrong = || format!("{text:?} is none of bottleneck, nic, 800kbit, 45mbit, 1gbit");
    match text {
        "bottleneck" => Ok(Pacing::Bottleneck { percent: 90, remembered: None }),
        "nic" => Ok(Pacing::Nic),
        rate => {
            let units = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
            let (number, unit) = units
                .iter()
                .find_map(|(name, unit)| Some((rate.strip_suffix(name)?, unit)))
                .ok_or_else(wrong)?;
            let bits = number.parse::<f64>().map_err(|_| wrong())? * unit;
            if !(1e3..=1e12).contains(&bits) {
                return Err(wrong());
            }
            Ok(Pacing::Bottleneck { percent: 100, remembered: Some(Rate::from_bits_per_second(bits as u64)) })
        }
    }
}

impl Sending {
    pub(super) fn config(&self) -> Config {
        let mut config = Config { datagram: usize::from(self.datagram), ..Config::default() };
        config.sender.algorithm = match self.algorithm {
            Growth::Newreno => Algorithm::NewReno,
            Growth::Cubic => Algorithm::Cubic,
        };
        config.sender.low = match config.sender.low {
            Some(low) if !self.no_low => Some(LowConfig { levels: self.levels, pacing: self.pacing, ..low }),
            _ => None,
        };
        config
    }
}

/// The key of a file; the open one without.
pub(super) fn key(file: Option<&PathBuf>) -> miette::Result<Key> {
    file.map_or(Ok(Key::OPEN), |file| read_key(file).map_err(report))
}
