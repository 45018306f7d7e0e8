//! `weft ps`: what runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use host::{Health, HealthStatus};
use quilt::runtime::edge::Counts;
use quilt::runtime::{self, Listing};

use super::{Which, print_json, report};
use crate::style::{columns, tint};

/// List containers, services and published ports.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft ps --json\n\n\
                  A container with a health check is starting until it first succeeds, then healthy or unhealthy; only a\n\
                  healthy one gets new connections from its services.")]
pub(crate) struct Ps {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Ps {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let listing = runtime::list(&self.which.find()?).map_err(report)?;
        if self.json {
            return print_json(&listing);
        }
        print!("{}", table(&listing));
        Ok(())
    }
}

/// The listing as a table, as `up` shows it too.
pub(super) fn table(listing: &Listing) -> String {
    let dataplane = match listing.dataplane {
        Some(pid) => format!("dataplane {pid}"),
        None => tint("dataplane gone: `weft up` brings it back", false),
    };
    let mut text = format!("{} ({dataplane})\n\n", listing.deployment);
    let mut rows =
        vec![["NAME", "STATE", "ADDRESS", "PID", "RESTARTS", "COMMAND"].map(str::to_owned).to_vec()];
    for container in &listing.containers {
        let health = container.health.as_ref().map(|health| health.state);
        let good = match health {
            Some(health) => health != Health::Unhealthy,
            None => matches!(container.state.as_str(), "running" | "starting") || container.exit == Some(0),
        };
        let word = match health {
            Some(Health::Starting) => "starting",
            Some(Health::Healthy) => "healthy",
            Some(Health::Unhealthy) => "unhealthy",
            None => "running",
        };
        let state = match (container.state.as_str(), container.exit) {
            ("running", _) => format!("{word} {}", since(container.started_ms)),
            ("exited" | "backoff", Some(code)) => format!("{} ({code})", container.state),
            (state, _) => state.to_owned(),
        };
        rows.push(vec![
            container.name.clone(),
            tint(&state, good),
            container.ipv4.map(|address| address.to_string()).unwrap_or_default(),
            container.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            container.restarts.to_string(),
            short(&container.command.join(" ")),
        ]);
    }
    text += &columns(&rows);
    if !listing.services.is_empty() {
        let mut rows = vec![["SERVICE", "ADDRESS", "MEMBERS"].map(str::to_owned).to_vec()];
        for service in &listing.services {
            let address = service.ipv4.map(|address| address.to_string()).unwrap_or_default();
            rows.push(vec![service.name.clone(), address, short(&service.members.join(", "))]);
        }
        text = text + "\n" + &columns(&rows);
    }
    if !listing.published.is_empty() {
        let mut rows = vec![["PUBLISHED", "TO", "CONNECTIONS"].map(str::to_owned).to_vec()];
        for port in &listing.published {
            let scheme = format!("localhost:{}/{}", port.host_port, port.protocol);
            let connections = match &port.status {
                Some(status) if status.failed > 0 => {
                    format!("{} open, {} in all, {} failed", status.open, status.total, status.failed)
                }
                Some(status) => format!("{} open, {} in all", status.open, status.total),
                None => tint("not served: `weft up` brings it back", false),
            };
            rows.push(vec![scheme, format!("{}:{}", port.to, port.container_port), connections]);
        }
        text = text + "\n" + &columns(&rows);
    }
    if let Some(outside) = &listing.outside {
        let mut rows = vec![["OUTSIDE", "OPEN", "IN ALL", "FAILED"].map(str::to_owned).to_vec()];
        for (what, Counts { open, total, failed }) in [
            ("connections", outside.connections),
            ("senders", outside.senders),
            ("names asked", outside.names),
        ] {
            rows.push(vec![what.to_owned(), open.to_string(), total.to_string(), failed.to_string()]);
        }
        text = text + "\n" + &columns(&rows);
    }
    let failed = listing.containers.iter().filter_map(|one| Some((&one.name, one.message.as_ref()?)));
    for (name, message) in failed {
        text += &format!("\n{name}: {message}\n");
    }
    for container in &listing.containers {
        let unhealthy = container.health.as_ref().filter(|health| health.state == Health::Unhealthy);
        if let Some(HealthStatus { failures, message: Some(message), .. }) = unhealthy {
            let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            text +=
                &format!("\n{}: {failures} health checks failed in a row: {}\n", container.name, short(line));
        }
    }
    if !listing.unfinished.is_empty() {
        let names = short(&listing.unfinished.join(", "));
        text += &format!("\nnot updated yet: {names}; `weft up` goes on\n");
    }
    text
}

/// How long ago a moment was.
fn since(started_ms: Option<u64>) -> String {
    let Some(started) = started_ms else { return String::new() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(Duration::from_millis(started)).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text that fits a column.
fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.chars().count() <= CHARACTERS_MAX {
        return plain;
    }
    plain.chars().take(CHARACTERS_MAX - 1).chain(['…']).collect()
}
