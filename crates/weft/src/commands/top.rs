//! `weft top`: rates of containers, links and drops, live.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use quilt::runtime;
use softnic::daemon::{Client, Snapshot};
use softnic::fabric::functions::instance_name;

use super::live::{self, Live, Section};
use super::{Which, print_json, report};
use crate::style::{bytes, count};

/// Watch traffic and drops, live.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft top --once\n\nKeys: q or Ctrl-C ends.")]
pub(crate) struct Top {
    #[command(flatten)]
    which: Which,
    /// Pause between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Measure once, print a table and end
    #[arg(long)]
    once: bool,
    /// Print all counters as JSON and end
    #[arg(long)]
    json: bool,
}

impl Top {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let deployment = self.which.find()?;
        let mut dataplane = runtime::dataplane(&deployment).map_err(report)?;
        if self.json {
            return print_json(&dataplane.snapshot().map_err(report)?);
        }
        let mut view = View::new(deployment.name(), dataplane)?;
        let every = Duration::from_secs(self.every);
        if self.once || !std::io::stdout().is_terminal() {
            std::thread::sleep(every);
            view.refresh()?;
            print!("{}", live::text(&view));
            return Ok(());
        }
        live::watch(&mut view, every)
    }
}

/// Two snapshots, and what happened between them.
struct View {
    dataplane: Client,
    name: String,
    before: Snapshot,
    now: Snapshot,
    taken: Instant,
    seconds: f64,
}

impl View {
    fn new(name: &str, mut dataplane: Client) -> miette::Result<Self> {
        let now = dataplane.snapshot().map_err(report)?;
        let (name, before, taken) = (name.to_owned(), now.clone(), Instant::now());
        Ok(Self { dataplane, name, before, now, taken, seconds: 1.0 })
    }

    fn rate(&self, now: u64, before: u64) -> f64 {
        now.saturating_sub(before) as f64 / self.seconds
    }

    fn containers(&self) -> Section {
        let old: std::collections::HashMap<_, _> =
            self.before.fabric.endpoints.iter().map(|endpoint| (endpoint.name.as_str(), endpoint)).collect();
        let mut lines: Vec<(f64, Vec<String>)> = Vec::new();
        for endpoint in &self.now.fabric.endpoints {
            let before = old.get(endpoint.name.as_str()).copied().unwrap_or(endpoint);
            let sent = self.rate(endpoint.sent_bytes, before.sent_bytes);
            let received = self.rate(endpoint.received_bytes, before.received_bytes);
            lines.push((
                sent + received,
                vec![
                    endpoint.name.clone(),
                    if endpoint.up { "up" } else { "down" }.to_owned(),
                    format!("{}/s", bytes(sent)),
                    format!("{}/s", count(self.rate(endpoint.sent_packets, before.sent_packets))),
                    format!("{}/s", bytes(received)),
                    format!("{}/s", count(self.rate(endpoint.received_packets, before.received_packets))),
                    endpoint.dropped_packets.to_string(),
                ],
            ));
        }
        Section::sorted("CONTAINER,LINK,SENT,PACKETS,RECEIVED,PACKETS,DROPPED", 3, lines)
    }

    fn links(&self) -> Section {
        let old: std::collections::HashMap<_, _> =
            self.before.fabric.rules.iter().map(|rule| (rule.id, rule)).collect();
        let mut lines = Vec::new();
        for rule in &self.now.fabric.rules {
            let before = old.get(&rule.id).copied().unwrap_or(rule);
            let rate = self.rate(rule.bytes, before.bytes);
            lines.push((
                rate,
                vec![
                    format!("{} -> {}", rule.from, rule.to),
                    rule.label.clone(),
                    rule.flows.to_string(),
                    format!("{}/s", bytes(rate)),
                    format!("{}/s", count(self.rate(rule.packets, before.packets))),
                ],
            ));
        }
        Section::sorted("ALLOWED,LINE,CONNECTIONS,BYTES,PACKETS", 2, lines)
    }

    /// Both directions of emulated links.
    fn emulated(&self) -> Section {
        let old: std::collections::HashMap<_, _> =
            self.before.fabric.links.iter().map(|link| (link.id, link)).collect();
        let mut lines = Vec::new();
        for link in &self.now.fabric.links {
            let before = old.get(&link.id).copied().unwrap_or(link);
            for (way, (from, to)) in [(&link.a, &link.b), (&link.b, &link.a)].into_iter().enumerate() {
                let (now, before) = (&link.ways[way], &before.ways[way]);
                let rate = self.rate(now.bytes, before.bytes);
                lines.push((
                    rate,
                    vec![
                        format!("{from} => {to}"),
                        link.label.clone(),
                        format!("{}/s", bytes(rate)),
                        format!("{}/s", count(self.rate(now.packets, before.packets))),
                        bytes(now.queued_bytes as f64),
                        now.dropped.to_string(),
                        now.lost.to_string(),
                    ],
                ));
            }
        }
        Section::sorted("EMULATED LINK,LINE,BYTES,PACKETS,QUEUED,DROPPED,LOST", 2, lines)
    }

    /// Instances of network functions.
    fn functions(&self) -> Section {
        let old = |name: &str, at: usize| {
            let function = self.before.fabric.functions.iter().find(|function| function.name == name)?;
            function.instances.get(at)
        };
        let mut lines = Vec::new();
        for function in &self.now.fabric.functions {
            for (at, now) in function.instances.iter().enumerate() {
                let before = old(&function.name, at).unwrap_or(now);
                let rate = |way: usize| self.rate(now.packets[way], before.packets[way]);
                let bytes_rate = self.rate(now.bytes.iter().sum(), before.bytes.iter().sum());
                lines.push((
                    bytes_rate,
                    vec![
                        instance_name(&function.name, at),
                        function.words.first().cloned().unwrap_or_default(),
                        format!("{}/s", count(rate(0))),
                        format!("{}/s", count(rate(1))),
                        format!("{}/s", bytes(bytes_rate)),
                        now.packets.iter().sum::<u64>().to_string(),
                        now.dropped().to_string(),
                    ],
                ));
            }
        }
        Section::sorted("FUNCTION,RUNS,THERE,BACK,BYTES,PACKETS,DROPPED", 2, lines)
    }

    fn drops(&self) -> Section {
        let old: std::collections::HashMap<_, _> = self.before.fabric.drops.iter().copied().collect();
        let mut lines = Vec::new();
        for (reason, total) in &self.now.fabric.drops {
            let rate = self.rate(*total, old.get(reason).copied().unwrap_or(0));
            lines.push((rate, vec![reason.to_string(), total.to_string(), format!("{}/s", count(rate))]));
        }
        Section::sorted("DROPPED BECAUSE,PACKETS,RATE", 2, lines)
    }

    fn denied(&self) -> Section {
        let mut lines = Vec::new();
        for pair in &self.now.fabric.denied {
            let to = if pair.port == 0 {
                pair.destination.clone()
            } else {
                format!("{}:{}", pair.destination, pair.port)
            };
            lines.push((
                pair.packets as f64,
                vec![pair.source.clone(), to, pair.packets.to_string(), pair.reason.to_string()],
            ));
        }
        Section::sorted("DENIED,TO,PACKETS,WHY", 2, lines)
    }
}

impl Live for View {
    fn refresh(&mut self) -> miette::Result<()> {
        let now = self.dataplane.snapshot().map_err(report)?;
        self.before = std::mem::replace(&mut self.now, now);
        self.seconds = self.taken.elapsed().as_secs_f64().max(1e-3);
        self.taken = Instant::now();
        Ok(())
    }

    fn taken(&self) -> Instant {
        self.taken
    }

    fn summary(&self) -> String {
        let flows = &self.now.fabric.flows;
        format!(
            "{}: {} open connections of {} at most, {} refused, {} cut, worker {:.0} % busy",
            self.name,
            flows.active,
            flows.max,
            flows.refused,
            flows.cut,
            self.now.busy_since(&self.before) * 100.0
        )
    }

    /// Containers, links, drops and denied pairs, those with most traffic first.
    fn sections(&self) -> Vec<Section> {
        let mut sections = vec![self.containers(), self.links(), self.drops(), self.denied()];
        if !self.now.fabric.links.is_empty() {
            sections.insert(2, self.emulated());
        }
        if !self.now.fabric.functions.is_empty() {
            sections.insert(2, self.functions());
        }
        sections
    }
}
