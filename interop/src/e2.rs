//! `interop e2`: a load that doubles and halves through a firewall that `weft e2 watch` grows and shrinks.
//!
//! ```text
//!  left ── switch ══ s1: firewall.1
//!          │      ══ s2: firewall.2, while the load is double
//!  right ──┘
//! ```

mod ends;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::cleanup::{self, Guard};
use crate::error::{During, Error, Result};
use crate::namespace::Namespace;
use crate::process::{Running, quick, start};
use crate::table::markdown;

use ends::{Counts, Ends, FRAME, Load};

/// How long scaling may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(180);
/// After what time all is back that comes back.
const SETTLE: Duration = Duration::from_millis(1500);
/// How long a data plane knows a flow that is silent.
const IDLE_SECONDS: u32 = 5;

/// Double and halve a load of many flows through a firewall that weft e2 watch grows and shrinks, and count what is lost
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo run --release -p interop -- e2 --flows 10000 --new 2000")]
pub(crate) struct E2 {
    /// Flows at once while the load is double
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    flows: u32,
    /// Flows that begin in a second while the load is double
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    new: u32,
    /// Of the flows, those that do not end before the load is halved
    #[arg(long, default_value_t = 100)]
    immortal: u32,
    /// Frames of 100 bytes a second while the load is double, each of which comes back
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    frames: u32,
    /// Entries of the switch's table
    #[arg(long, default_value_t = 1_000)]
    entries: u32,
    /// Seconds of each phase beside those that scaling takes
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The weft binary; the one beside this program without
    #[arg(long, value_name = "FILE")]
    weft: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What came of a phase.
#[derive(Debug, Serialize)]
struct Phase {
    name: &'static str,
    /// Flows that there were in it.
    flows: u64,
    instances: usize,
    /// Until all that is new goes to where it belongs, in seconds, and flows that stayed where they were.
    converged: Option<(f64, u64)>,
    /// From the change of the load until the watch decided, in seconds.
    noticed: Option<f64>,
    /// Flows that more than one instance has seen.
    violations: usize,
    /// Flows that there are, of which nothing came back.
    silent: usize,
    sent: u64,
    lost: u64,
    /// Packets that were counted where they ended, in both directions.
    counted: BTreeMap<String, u64>,
}

/// The two hosts, the cluster between them, and who watches it.
struct Lab {
    weft: PathBuf,
    directory: PathBuf,
    watch: Running,
    ends: Ends,
    _cluster: Guard,
    switch: Namespace,
    _hosts: [Namespace; 2],
    _guard: Guard,
}

impl E2 {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        cleanup::on_signals()?;
        cleanup::sweep();
        let beside = std::env::current_exe().during("find this program")?.with_file_name("weft");
        let weft = self.weft.clone().unwrap_or(beside);
        if !weft.is_file() {
            return Err(Error::NoWeft(weft));
        }
        let mut lab = Lab::new(self, &weft)?;
        let double = Load {
            flows: self.flows as usize,
            immortal: self.immortal.min(self.flows / 2) as usize,
            new: self.new,
            frames: self.frames,
        };
        let half = Load { flows: double.flows / 2, new: double.new / 2, frames: double.frames / 2, ..double };
        let mut phases = Vec::new();
        let mut before = (Counts::default(), BTreeMap::new());
        for (name, load, scales) in [
            ("steady", half, None),
            ("doubled", double, Some("and carries")),
            ("halved", Load { immortal: 0, ..half }, Some("with its neighbour")),
        ] {
            eprintln!("{name}");
            let phase = lab.phase(name, load, scales, Duration::from_secs(self.seconds), &mut before)?;
            phases.push(phase);
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&phases).during("write JSON")?);
        } else {
            print!("{}", table(&phases));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What a firewall carries is a little more than all of the doubled load, so that half of it is neither too much nor too little.
    fn policy(&self) -> String {
        let bits = u64::from(self.frames) * 2 * FRAME as u64 * 8;
        format!(
            "nfs:
  - {{name: firewall, affinity: flow, capacity: {capacity} bit/s, run: [firewall, \"rule=permit out any any\"], inside: [left]}}
pipelets:
  - {{name: out, rate: {half} bit/s, edges: [{{from: left, to: firewall}}, {{from: firewall, to: right}}]}}
  - {{name: back, rate: {half} bit/s, edges: [{{from: right, to: firewall}}, {{from: firewall, to: left}}]}}
hardware:
  switch: {{name: tor, entries: {entries}}}
  servers: [{{name: s1, cores: 1}}, {{name: s2, cores: 1}}]
  links: [{{between: [s1, tor], rate: 10 Gbit/s}}, {{between: [s2, tor], rate: 10 Gbit/s}}]
  ports:
    - {{name: left, rate: 10 Gbit/s, at: \"veth:left\"}}
    - {{name: right, rate: 10 Gbit/s, at: \"veth:right\"}}
",
            capacity = bits * 105 / 100,
            half = bits / 4,
            entries = self.entries,
        )
    }
}

impl Lab {
    fn new(wanted: &E2, weft: &Path) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("wb{}-e2", std::process::id()));
        std::fs::create_dir_all(&directory).during("make a directory")?;
        let guard = Guard::directory(&directory);
        let [left, right, switch] = [Namespace::new("el")?, Namespace::new("er")?, Namespace::new("ex")?];
        for (host, port, address) in [(&left, "left", "192.0.2.2/24"), (&right, "right", "192.0.2.1/24")] {
            host.join(&switch, port, address)?;
        }
        let file = directory.join("run.yaml");
        std::fs::write(&file, wanted.policy()).during("write a policy")?;
        // Ended wherever this ends, before its namespaces.
        let cluster = Guard::command(weft, &["e2", "stop", "run"], "WEFT_STATE", &directory);
        let idle = IDLE_SECONDS.to_string();
        let file = file.display().to_string();
        quick(command(&switch, weft, &directory).args(["up", &file, "--idle", &idle]))?;
        let entries = wanted.entries.to_string();
        let watch = ["watch", "--every", "0.5", "--calm", "6", "--low", "60%", "--wait", "2", "--pause", "3"];
        let watch = start(command(&switch, weft, &directory).args(watch).args(["--entries", &entries]))?;
        let ends = Ends::open(&left, &right)?;
        Ok(Self {
            weft: weft.to_owned(),
            directory,
            watch,
            ends,
            _cluster: cluster,
            switch,
            _hosts: [left, right],
            _guard: guard,
        })
    }

    fn json(&self, what: &str) -> Result<Value> {
        let text = quick(command(&self.switch, &self.weft, &self.directory).args([what, "--json"]))?.text;
        let malformed =
            |_| Error::Malformed { place: format!("weft e2 {what}"), text: text.chars().take(80).collect() };
        serde_json::from_str(&text).map_err(malformed)
    }

    /// Waits until the watch has said something more; the line, and when.
    fn until(&mut self, wanted: &str, behind: usize) -> Result<(String, usize)> {
        let began = Instant::now();
        loop {
            let said = self.watch.written()?;
            let mut lines = said.lines().enumerate().skip(behind);
            if let Some((place, line)) = lines.find(|(_, line)| line.contains(wanted)) {
                return Ok((line.to_owned(), place + 1));
            }
            if began.elapsed() > PATIENCE || self.watch.status()?.is_some() {
                let what = format!("does not say `{wanted}`, but:\n{said}");
                return Err(Error::Peer { peer: "weft e2 watch".into(), what });
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn phase(
        &mut self,
        name: &'static str,
        load: Load,
        scales: Option<&str>,
        time: Duration,
        before: &mut (Counts, BTreeMap<String, u64>),
    ) -> Result<Phase> {
        let behind = self.watch.written()?.lines().count();
        let began = Instant::now();
        self.ends.load(load);
        let (mut noticed, mut converged) = (None, None);
        if let Some(wanted) = scales {
            let (_, behind) = self.until(wanted, behind)?;
            noticed = Some(began.elapsed().as_secs_f64());
            let (line, _) = self.until("converged after", behind)?;
            converged = Some(parse(&line)?);
        }
        thread::sleep(time);
        let counts = self.ends.settle(SETTLE);
        let silent = self.ends.silent();
        let (instances, violations) = seen(&self.json("flows")?);
        let counted = losses(&self.json("ps")?);
        let (old, old_counted) = std::mem::replace(before, (counts, counted.clone()));
        let new = counted.into_iter().filter_map(|(cause, packets)| {
            let more = packets - old_counted.get(&cause).copied().unwrap_or(0).min(packets);
            (more > 0).then_some((cause, more))
        });
        let sent = counts.sent - old.sent;
        Ok(Phase {
            name,
            flows: counts.begun - old.begun,
            instances,
            converged,
            noticed,
            violations,
            silent,
            sent,
            lost: sent.saturating_sub(counts.back - old.back),
            counted: new.collect(),
        })
    }
}

fn command(switch: &Namespace, weft: &Path, state: &Path) -> Command {
    let mut command = switch.command(&weft.display().to_string());
    command.arg("e2").env("WEFT_STATE", state).env("NO_COLOR", "1").env_remove("WEFT_LOG");
    command
}

/// `… converged after 2.220 s; 514 flows stay where they are`
fn parse(line: &str) -> Result<(f64, u64)> {
    let behind = line.split("converged after ").nth(1).unwrap_or_default();
    let mut words = behind.split([' ', ';']).filter(|word| !word.is_empty());
    let seconds = words.next().and_then(|word| word.parse().ok());
    let flows = words.nth(1).and_then(|word| word.parse().ok());
    let malformed = || Error::Malformed { place: "what weft e2 watch says".into(), text: line.to_owned() };
    seconds.zip(flows).ok_or_else(malformed)
}

/// Instances that have seen flows, and flows that more than one has seen.
fn seen(flows: &Value) -> (usize, usize) {
    let mut at: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut instances = BTreeSet::new();
    for one in flows.as_array().into_iter().flatten() {
        let (Some(instance), Some(flow)) = (one["instance"].as_str(), one["flow"].as_str()) else { continue };
        let mut ends: Vec<&str> = flow.split(' ').filter(|word| *word != "->").collect();
        ends.sort_unstable();
        instances.insert(instance);
        at.entry(ends.join(" ")).or_default().insert(instance);
    }
    (instances.len(), at.values().filter(|instances| instances.len() > 1).count())
}

/// Where packets ended, by what the sites say.
fn losses(status: &Value) -> BTreeMap<String, u64> {
    let mut losses = BTreeMap::new();
    for site in status["sites"].as_array().into_iter().flatten() {
        for (cause, packets) in site["drops"].as_object().into_iter().flatten() {
            let name = site["name"].as_str().unwrap_or_default();
            losses.insert(format!("{name}: {cause}"), packets.as_u64().unwrap_or(0));
        }
    }
    for one in status["instances"].as_array().into_iter().flatten() {
        let name = one["name"].as_str().unwrap_or_default();
        losses.insert(format!("{name}: the queue was full"), one["overrun"].as_u64().unwrap_or(0));
    }
    losses
}

fn table(phases: &[Phase]) -> String {
    let seconds = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), |value| format!("{value:.2}"));
    let row = |phase: &Phase| {
        vec![
            phase.name.to_owned(),
            phase.flows.to_string(),
            phase.instances.to_string(),
            seconds(phase.noticed),
            seconds(phase.converged.map(|(after, _)| after)),
            phase.converged.map_or_else(|| "—".to_owned(), |(_, old)| old.to_string()),
            phase.violations.to_string(),
            phase.silent.to_string(),
            phase.sent.to_string(),
            phase.lost.to_string(),
            phase.counted.values().sum::<u64>().to_string(),
        ]
    };
    let heading = [
        "load",
        "flows begun",
        "instances",
        "noticed, s",
        "converged, s",
        "stay",
        "violations",
        "silent",
        "frames",
        "not back",
        "counted",
    ];
    let mut text = markdown(&heading, &phases.iter().map(row).collect::<Vec<_>>());
    for phase in phases {
        for (cause, packets) in &phase.counted {
            text += &format!("\n{}: {packets}: {cause}", phase.name);
        }
    }
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_watch_and_the_sites_say_is_read() {
        let line =
            "   5.020 s  firewall.1 to firewall.2: converged after 2.220 s; 514 flows stay where they are";
        assert_eq!(parse(line).unwrap(), (2.22, 514));
        assert!(parse("converged").is_err());
        let flows = serde_json::json!([
            {"instance": "f.1", "flow": "udp a -> b"}, {"instance": "f.2", "flow": "udp b -> a"},
            {"instance": "f.2", "flow": "udp c -> b"}, {"instance": "f.2", "flow": "udp b -> c"},
        ]);
        assert_eq!(seen(&flows), (2, 1));
    }
}
