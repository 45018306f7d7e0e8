//! `weft e2 top`: rates of instances and ports, and what moves.

use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime};

use ::e2::live::{self as cluster, InstanceStatus, Record, Status, Store};
use ::e2::policy::Policy;
use clap::Args;
use miette::IntoDiagnostic;

use super::print_json;
use super::run::{Which, store};
use crate::commands::live::{self, Live, Section};
use crate::style::{bytes, count};

/// Watch instances, ports and what moves, live
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 top --once\n\nKeys: q or Ctrl-C ends.")]
pub(crate) struct Top {
    #[command(flatten)]
    which: Which,
    /// Pause between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Measure once, print tables and end
    #[arg(long)]
    once: bool,
    /// Print all counters as JSON and end
    #[arg(long)]
    json: bool,
}

/// How much of what has happened is shown.
const HISTORY: usize = 8;

impl Top {
    pub(super) fn run(&self) -> miette::Result<()> {
        let store = store()?;
        let mut view = View::new(self.which.name(&store)?, store)?;
        if self.json {
            return print_json(&view.now);
        }
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

/// Two looks, and what happened between them.
struct View {
    store: Store,
    name: String,
    before: Status,
    now: Status,
    taken: Instant,
    seconds: f64,
}

/// How it is now. What is written of it is read again, since instances come and go.
fn look(store: &Store, name: &str) -> miette::Result<Status> {
    let record: Record = store.known(name).into_diagnostic()?;
    let policy = Policy::read(&record.policy).into_diagnostic()?;
    Ok(cluster::status(&record, &policy))
}

impl View {
    fn new(name: String, store: Store) -> miette::Result<Self> {
        let now = look(&store, &name)?;
        Ok(Self { store, name, before: now.clone(), now, taken: Instant::now(), seconds: 1.0 })
    }

    fn rate(&self, now: u64, before: u64) -> f64 {
        now.saturating_sub(before) as f64 / self.seconds
    }

    fn instance(&self, one: &InstanceStatus) -> (f64, Vec<String>) {
        let old = self.before.instances.iter().find(|old| old.id == one.id).unwrap_or(one);
        let rate = self.rate(one.bytes, old.bytes);
        let cells = vec![
            one.name.clone(),
            one.site.clone(),
            one.ranges.join(" "),
            format!("{}/s", count(self.rate(one.packets, old.packets))),
            format!("{}/s", bytes(rate)),
            one.flows.to_string(),
            format!("{}/s", count(self.rate(one.sent_on, old.sent_on))),
            one.queued.to_string(),
            one.overrun.to_string(),
        ];
        (rate, cells)
    }

    fn ports(&self) -> Section {
        let line = |port: &cluster::PortStatus| {
            let old = self.before.ports.iter().find(|old| old.name == port.name).unwrap_or(port);
            let (received, sent) = (self.rate(port.received, old.received), self.rate(port.sent, old.sent));
            let rate = |packets| format!("{}/s", count(packets));
            (received + sent, vec![port.name.clone(), port.at.clone(), rate(received), rate(sent)])
        };
        Section::sorted("PORT,AT,RECEIVED,SENT", 1, self.now.ports.iter().map(line).collect())
    }

    fn drops(&self) -> Section {
        let mut lines = Vec::new();
        for site in &self.now.sites {
            let old = self.before.sites.iter().find(|old| old.name == site.name);
            for (cause, packets) in &site.drops {
                let before = old.and_then(|old| old.drops.get(cause)).copied().unwrap_or(0);
                let rate = self.rate(*packets, before);
                let cells =
                    [site.name.clone(), cause.clone(), packets.to_string(), format!("{}/s", count(rate))];
                lines.push((rate, cells.into()));
            }
            if let Some(error) = &site.error {
                lines.push((
                    f64::INFINITY,
                    vec![site.name.clone(), error.clone(), String::new(), String::new()],
                ));
            }
        }
        Section::sorted("SITE,DROPPED BECAUSE,PACKETS,RATE", 1, lines)
    }

    /// What was last said of what moves, why, and of what died.
    fn history(&self) -> Section {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let last = self.now.history.iter().rev().take(HISTORY).zip(0u32..);
        let line = |(past, place): (&cluster::Past, u32)| {
            let ago = format!("{} s ago", since.as_secs().saturating_sub(past.at));
            (-f64::from(place), vec![ago, past.what.clone()])
        };
        Section::sorted("WHEN,WHAT", 1, last.map(line).collect())
    }
}

impl Live for View {
    fn refresh(&mut self) -> miette::Result<()> {
        let now = look(&self.store, &self.name)?;
        self.before = std::mem::replace(&mut self.now, now);
        self.seconds = self.taken.elapsed().as_secs_f64().max(1e-3);
        self.taken = Instant::now();
        Ok(())
    }

    fn taken(&self) -> Instant {
        self.taken
    }

    fn summary(&self) -> String {
        let moving = match &*self.now.moving {
            [] => "nothing moves".to_owned(),
            moving => moving.join("; "),
        };
        let (sites, instances) = (self.now.sites.len(), self.now.instances.len());
        let managed = self.now.manager.map_or_else(String::new, |pid| format!(", managed by process {pid}"));
        let epoch = self.now.epoch;
        format!("{}: {sites} sites, {instances} instances, epoch {epoch}{managed}; {moving}", self.name)
    }

    /// Instances and ports with most traffic first, then what ends where, and what has happened.
    fn sections(&self) -> Vec<Section> {
        let instances = self.now.instances.iter().map(|one| self.instance(one)).collect();
        let title = "INSTANCE,SITE,HASHES,PACKETS,BYTES,FLOWS,SENT ON,QUEUED,OVERRUN";
        vec![Section::sorted(title, 3, instances), self.ports(), self.drops(), self.history()]
    }
}
