//! `weft ddc show`.

use clap::Args;
use ddc::live::{DestinationReport, Direction, NodeReport};
use miette::miette;
use serde::Serialize;

use super::place::Place;
use crate::commands::print_json;
use crate::style::columns;

/// Show a network that `weft ddc run` has started: for each router and destination the links with their directions, the first
/// to be tried in front, and counters; and the links.
///
/// → leads there, ← leads here, · is not in the destination's graph yet, × does not live.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft ddc show --router R1\n  weft ddc show --to R12 --json")]
pub(crate) struct Show {
    /// What it is called
    #[arg(long, value_name = "NAME", default_value = "ddc")]
    network: String,
    /// Only this router
    #[arg(long, value_name = "ROUTER")]
    router: Option<String>,
    /// Only this destination
    #[arg(long, value_name = "ROUTER")]
    to: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A router, for programs.
#[derive(Serialize)]
struct Shown {
    router: String,
    namespace: String,
    pid: Option<u32>,
    /// `null`: it does not run.
    state: Option<NodeReport>,
}

impl Show {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let place = Place::of(&self.network)?;
        let record = place.expect()?;
        for name in self.router.iter().chain(&self.to) {
            if !record.routers.iter().any(|router| router.name == *name) {
                return Err(miette!("there is no router `{name}`"));
            }
        }
        let mut shown = Vec::new();
        for router in &record.routers {
            if self.router.as_ref().is_some_and(|name| *name != router.name) {
                continue;
            }
            let mut state = place.ask(&router.name)?;
            if let (Some(state), Some(to)) = (&mut state, &self.to) {
                state.destinations.retain(|destination| destination.router == *to);
            }
            shown.push(Shown {
                router: router.name.clone(),
                namespace: router.namespace.clone(),
                pid: router.process.filter(|process| process.is_alive()).map(|process| process.pid),
                state,
            });
        }
        if self.json {
            return print_json(&shown);
        }
        print!("{}", text(&shown, self.to.is_none()));
        Ok(())
    }
}

fn text(shown: &[Shown], links_too: bool) -> String {
    let heading = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut ways =
        vec![heading("ROUTER TO DISTANCE LINKS STARTED FORWARDED DELIVERED REVERSALS BOUNCED SCOUTS GHOSTS")];
    let mut links = vec![heading("ROUTER LINK STATE UPS TIMEOUTS SENT RECEIVED MISSING")];
    let mut dropped = vec![heading("ROUTER DROPPED BECAUSE")];
    let mut gone = String::new();
    for router in shown {
        let Some(state) = &router.state else {
            gone += &format!("{} does not run; `weft ddc run` with its file starts it\n", router.router);
            continue;
        };
        let others = state
            .destinations
            .iter()
            .filter(|destination| destination.router != router.router || destination.delivered > 0);
        ways.extend(others.map(|destination| row(&router.router, destination)));
        for link in &state.links {
            let numbers = [
                link.counts.ups,
                link.counts.timeouts,
                link.counts.sent,
                link.counts.received,
                link.counts.missing,
            ];
            let words =
                [router.router.clone(), link.to.clone(), if link.up { "up" } else { "down" }.to_owned()];
            links.push(words.into_iter().chain(numbers.map(|number| number.to_string())).collect());
        }
        for (cause, count) in &state.dropped {
            dropped.push(vec![router.router.clone(), count.to_string(), cause.clone()]);
        }
    }
    let mut text = columns(&ways);
    if links_too {
        text += &format!("\n{}", columns(&links));
    }
    if dropped.len() > 1 {
        text += &format!("\n{}", columns(&dropped));
    }
    text + &gone
}

fn row(router: &str, destination: &DestinationReport) -> Vec<String> {
    let mark = |direction| match direction {
        Direction::Out => '→',
        Direction::In => '←',
        Direction::Unknown => '·',
        Direction::Down => '×',
    };
    let ways: Vec<String> =
        destination.ways.iter().map(|way| format!("{}{}", mark(way.direction), way.to)).collect();
    let numbers = [
        destination.started,
        destination.forwarded,
        destination.delivered,
        destination.reversals,
        destination.bounced,
        destination.scouts,
        destination.ghosts,
    ];
    let distance = destination.distance.map_or_else(|| "-".to_owned(), |distance| distance.to_string());
    let words = [router.to_owned(), destination.router.clone(), distance, ways.join(" ")];
    words.into_iter().chain(numbers.map(|number| number.to_string())).collect()
}
