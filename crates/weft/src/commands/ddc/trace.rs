//! `weft ddc trace`.

use std::path::PathBuf;

use clap::Args;
use ddc::experiment::{HOPS_MAX, Scheme, busiest};
use ddc::{Decision, End, Map, Network, Phase, Plan, Priority, Step};
use miette::miette;
use serde::Serialize;

use super::read;
use crate::commands::print_json;

/// Show the walks of packets hop by hop: where links are reversed, where packets go back, where they scout.
///
/// The links that most shortest paths to the destination use fail, save those whose failure would cut something off; or those
/// that `--fail` names.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft ddc trace --failures 3 --from s7 --to s1\n  weft ddc trace --topology ring.txt --fail a-b --from a --to b --plain"
)]
pub(crate) struct Trace {
    /// As of `weft ddc sim`
    #[arg(short, long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Where packets start
    #[arg(long, value_name = "NODE")]
    from: String,
    /// Where they go
    #[arg(long, value_name = "NODE")]
    to: String,
    /// The most links that fail
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    failures: usize,
    /// A link that fails, by its ends; instead of the busiest
    #[arg(long, value_name = "NODE-NODE")]
    fail: Vec<String>,
    /// How many packets, one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    packets: u32,
    /// The paper's protocol, without a bound
    #[arg(long)]
    plain: bool,
    /// For the random topology
    #[arg(short, long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A step, for programs and people.
#[derive(Serialize)]
struct Shown {
    packet: u32,
    node: String,
    phase: &'static str,
    reversed: u32,
    bounced: bool,
    heard: bool,
    next: Option<String>,
    met: Vec<String>,
}

impl Trace {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let (topology, map) = read(self.topology.as_deref(), self.seed)?;
        let node = |name: &str| map.find(name).ok_or_else(|| miette!("there is no node `{name}`"));
        let (from, to) = (node(&self.from)?, node(&self.to)?);
        let failed = if self.fail.is_empty() {
            busiest(&topology, &map, [to], self.failures)
        } else {
            self.fail.iter().map(|name| link(&map, name)).collect::<miette::Result<_>>()?
        };
        let priority = Priority::Nearest;
        let scheme = if self.plain { Scheme::Plain(priority) } else { Scheme::Bounded(priority) };
        let plan = Plan::towards(&map, to, priority);
        let mut network = Network::new(&map, &plan);
        failed.iter().for_each(|link| network.fail(*link));
        let mut steps = Vec::new();
        let mut ends = Vec::new();
        for packet in 1..=self.packets {
            let phase = scheme.phase(plan.distance[from]);
            let walk = network.send(from, phase, HOPS_MAX, |step| steps.push(Shown::of(&map, packet, step)));
            ends.push(walk);
        }
        if self.json {
            return print_json(&steps);
        }
        let names: Vec<String> = failed.iter().map(|link| name(&map, *link)).collect();
        println!("failed: {}", if names.is_empty() { "nothing".to_owned() } else { names.join(", ") });
        for (packet, walk) in (1..).zip(&ends) {
            println!("packet {packet}");
            steps.iter().filter(|step| step.packet == packet).for_each(Shown::print);
            let end = match walk.end {
                End::Delivered => "delivered".to_owned(),
                End::Dropped(cause) => format!("dropped: {cause:?}"),
                End::TooLong => format!("given up after {HOPS_MAX} hops"),
            };
            println!(
                "  {end}, {} hops, {} reversals, {} of its ghost",
                walk.hops, walk.reversals, walk.ghost_hops
            );
        }
        Ok(())
    }
}

fn link(map: &Map, text: &str) -> miette::Result<usize> {
    (0..map.link_count())
        .find(|link| {
            let [a, b] = map.ends(*link).map(|(node, _)| map.name(node as usize));
            text == format!("{a}-{b}") || text == format!("{b}-{a}")
        })
        .ok_or_else(|| miette!("there is no link `{text}`"))
}

fn name(map: &Map, link: usize) -> String {
    map.ends(link).map(|(node, _)| map.name(node as usize)).join("-")
}

impl Shown {
    fn of(map: &Map, packet: u32, step: &Step) -> Self {
        let (phase, met) = match &step.header.phase {
            Phase::Plain => ("plain", &[][..]),
            Phase::Patient(_) => ("patient", &[][..]),
            Phase::Scout(scout) => ("scout", scout.met()),
            Phase::Ghost => ("ghost", &[][..]),
        };
        let next = match step.outcome.decision {
            Decision::Forward(forward) => {
                let port = map.ports(step.node)[usize::from(forward.port)];
                Some(map.name(port.node as usize).to_owned())
            }
            Decision::Deliver | Decision::Drop(_) => None,
        };
        Self {
            packet,
            node: map.name(step.node).to_owned(),
            phase,
            reversed: step.outcome.reversed,
            bounced: step.outcome.bounced,
            heard: step.outcome.heard,
            next,
            met: met.iter().map(|link| name(map, usize::from(*link))).collect(),
        }
    }

    fn print(&self) {
        let mut notes = Vec::new();
        if self.heard {
            notes.push("hears of a reversal".to_owned());
        }
        if self.reversed > 0 {
            notes.push(format!("reverses {} links", self.reversed));
        }
        if self.bounced {
            notes.push("sends it back".to_owned());
        }
        if !self.met.is_empty() {
            notes.push(format!("knows of {}", self.met.join(", ")));
        }
        let next = self.next.as_ref().map(|next| format!("→ {next}")).unwrap_or_default();
        println!("  {:8} {:12} {next:14} {}", self.phase, self.node, notes.join(", "));
    }
}
