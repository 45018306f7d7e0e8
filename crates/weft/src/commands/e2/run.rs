//! A cluster that runs: started, looked at, ended.

use std::path::Path;
use std::time::SystemTime;

use ::e2::deploy::site_name;
use ::e2::live::{self, Options, Record, Site, Status, Store};
use ::e2::plane::proto::FlowsOf;
use ::e2::policy::Policy;
use clap::Args;
use miette::{IntoDiagnostic, miette};
use serde::Serialize;

use super::print_json;
use super::source::{Asked, Source};
use crate::commands::softnic::seed;
use crate::style::columns;

/// Run a policy: a software NIC for the switch and one for each server, with the instances in them
///
/// Ports of the policy are looked for in the namespace of the caller. Servers have namespaces of their own, wired to the switch.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 up crates/e2/examples/live.yaml\n  weft e2 ps\n  weft e2 stop")]
pub(crate) struct Up {
    #[command(flatten)]
    source: Source,
    /// What it is called from now on; the file's name if it is not said
    #[arg(long)]
    name: Option<String>,
    /// How many seconds a flow is known after its last packet: no shorter than the functions know it
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    idle: u32,
}

/// Say how a policy runs: its sites, ports and instances, and what each has seen
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 ps --json")]
pub(crate) struct Ps {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// List the flows that each instance has seen
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 flows --json")]
pub(crate) struct Flows {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// End a policy that runs, and take away all that belongs to it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 stop")]
pub(crate) struct Stop {
    #[command(flatten)]
    which: Which,
}

/// Holds the namespace of a legacy instance
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft e2 hold -- true")]
pub(crate) struct Hold {
    /// The command that sets it up
    #[arg(trailing_var_arg = true, required = true)]
    words: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The policy, if more than one runs
    pub(super) name: Option<String>,
}

pub(super) fn store() -> miette::Result<Store> {
    Ok(Store::new(::quilt::runtime::Store::from_env().into_diagnostic()?.state()))
}

impl Which {
    pub(super) fn name(&self, store: &Store) -> miette::Result<String> {
        match (&self.name, &*store.names()) {
            (Some(name), _) => Ok(name.clone()),
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(miette!("no policy runs")),
            (None, several) => Err(miette!("several policies run, say which: {}", several.join(", "))),
        }
    }

    fn known(&self) -> miette::Result<(Record, Policy)> {
        let store = store()?;
        let record = store.known(&self.name(&store)?).into_diagnostic()?;
        let policy = Policy::read(&record.policy).into_diagnostic()?;
        Ok((record, policy))
    }
}

impl Up {
    pub(super) fn run(&self) -> miette::Result<()> {
        let Asked { text, policy, plan } = self.source.read()?;
        let name =
            self.name.clone().or_else(|| stem(self.source.file())).unwrap_or_else(|| "policy".to_owned());
        let program = std::env::current_exe().into_diagnostic()?;
        let idle_ns = u64::from(self.idle) * 1_000_000_000;
        let options = Options { name, text, program, seed: seed()?, idle_ns };
        let record = live::up(&store()?, &options, &policy, &plan).into_diagnostic()?;
        print(&live::status(&record, &policy));
        Ok(())
    }
}

fn stem(path: &Path) -> Option<String> {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
}

impl Ps {
    pub(super) fn run(&self) -> miette::Result<()> {
        let (record, policy) = self.which.known()?;
        let status = live::status(&record, &policy);
        if self.json {
            return print_json(&status);
        }
        print(&status);
        Ok(())
    }
}

impl Stop {
    pub(super) fn run(&self) -> miette::Result<()> {
        let store = store()?;
        let record = live::stop(&store, &self.which.name(&store)?).into_diagnostic()?;
        let instances = record.deployed.instances.len();
        println!("stopped {} ({} sites, {instances} instances)", record.name, record.sites.len());
        Ok(())
    }
}

impl Hold {
    pub(super) fn run(&self) -> miette::Result<()> {
        let status = live::hold(&self.words).into_diagnostic()?;
        Err(miette!("{} ends with {status}", self.words[0]))
    }
}

/// A flow as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    instance: String,
    flow: String,
    packets: u64,
}

impl Flows {
    pub(super) fn run(&self) -> miette::Result<()> {
        let (record, policy) = self.which.known()?;
        let mut listed = Vec::new();
        for (id, placed) in &record.deployed.instances {
            let site = record.sites.get(placed.site);
            let site = site.ok_or_else(|| miette!("{} does not run", site_name(&policy, placed.site)))?;
            let mut client = Site::connect(site).into_diagnostic()?;
            let of = FlowsOf { instance: *id, start: 0, end: ::e2::key::HashRange::SPACE };
            let flows = client.flows(&of).into_diagnostic()?.flows;
            listed.extend(flows.into_iter().map(|flow| Listed {
                instance: record.deployed.name(&policy, *id),
                flow: flow.flow,
                packets: flow.packets,
            }));
        }
        listed.sort_by(|one, other| (&one.instance, &one.flow).cmp(&(&other.instance, &other.flow)));
        if self.json {
            return print_json(&listed);
        }
        let rows = listed.into_iter().map(|one| vec![one.instance, one.flow, one.packets.to_string()]);
        print!("{}", table(&["INSTANCE", "FLOW", "PACKETS"], rows.collect()));
        Ok(())
    }
}

/// Rows below a head.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn print(status: &Status) {
    println!("{}\n", status.name);
    let sites = status.sites.iter().map(|site| {
        let state = site.error.clone().unwrap_or_else(|| "answers".to_owned());
        let dropped = site.drops.values().sum::<u64>().to_string();
        vec![site.name.clone(), site.pid.to_string(), dropped, state]
    });
    print!("{}", table(&["SITE", "PID", "DROPPED", "STATE"], sites.collect()));
    let ports = status.ports.iter().map(|port| {
        vec![port.name.clone(), port.at.clone(), port.received.to_string(), port.sent.to_string()]
    });
    print!("\n{}", table(&["PORT", "AT", "RECEIVED", "SENT"], ports.collect()));
    let instances = status.instances.iter().map(|one| {
        let kind = if one.native { "native" } else { "legacy" };
        let mut row = vec![one.name.clone(), one.site.clone(), kind.to_owned(), one.ranges.join(" ")];
        let counts = [one.packets, one.left, one.flows, one.sent_on, one.queued, one.overrun];
        row.extend(counts.map(|count| count.to_string()));
        row
    });
    let head =
        ["INSTANCE", "SITE", "KIND", "HASHES", "TAKEN", "LEFT", "FLOWS", "SENT ON", "QUEUED", "OVERRUN"];
    print!("\n{}", table(&head, instances.collect()));
    for moving in &status.moving {
        println!("\n{moving}");
    }
    for site in &status.sites {
        for (cause, packets) in &site.drops {
            println!("\n{}: {packets} packets ended: {cause}", site.name);
        }
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let history = status
        .history
        .iter()
        .map(|past| vec![format!("{} s ago", since.saturating_sub(past.at)), past.what.clone()]);
    let history: Vec<_> = history.collect();
    if !history.is_empty() {
        print!("\n{}", table(&["WHEN", "WHAT"], history));
    }
    if let Some(pid) = status.manager {
        println!("\nmanaged by process {pid}");
    }
}
