//! `interop scale`: many containers, how long they take to come and go, where that time goes, what they cost, what they
//! leave; and how long it takes to change one of some.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cleanup::{self, Guard};
use crate::error::{During, Error, Result};
use crate::machine::{self, Inventory, Memory};
use crate::net::weft_beside_us;
use crate::peer::state_variable;
use crate::process::run;
use crate::{cpu, table};

/// How long `weft up` or `weft stop` may take before this gives up.
const LIMIT: Duration = Duration::from_secs(600);
/// How long the kernel may take to clear away what nobody holds any more.
const AFTERMATH: Duration = Duration::from_secs(3);
/// Aims for 100 containers on 2 cores, in seconds.
const AIM: (f64, f64) = (5.0, 3.0);
/// Aims for 1,000 containers up, and for changing one of 30, in seconds.
const AIM_THOUSAND: f64 = 10.0;
const AIM_REDEPLOY: f64 = 0.3;

/// Time containers up and down
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo run --release -p interop -- scale --containers 100 --links star")]
pub(crate) struct Scale {
    /// How many containers, one run for each number
    #[arg(long, value_delimiter = ',', default_value = "100,1000", value_name = "COUNT,…")]
    containers: Vec<usize>,
    /// Who may talk to whom
    #[arg(long, value_enum, default_value_t = Links::Chain)]
    links: Links,
    /// Of how many containers one is changed, to time that
    #[arg(long, default_value_t = 30, value_name = "COUNT")]
    redeploy: usize,
    /// How often that is timed
    #[arg(long, default_value_t = 9, value_name = "COUNT")]
    rounds: usize,
    /// The weft to measure
    #[arg(long, value_name = "FILE")]
    weft: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Links {
    /// Each may talk to the next
    Chain,
    /// All may talk to the first
    Star,
}

/// One run.
#[derive(Debug, Serialize)]
struct Run {
    containers: usize,
    links: Links,
    up_seconds: f64,
    up_cpu_seconds: f64,
    /// Where `weft up` says that the time went: seconds by step.
    up_steps: Vec<Step>,
    stop_seconds: f64,
    stop_cpu_seconds: f64,
    /// weft's own processes: dataplane and one init a container.
    weft: Memory,
    /// Those and the programs in the containers.
    all: Memory,
    left_behind: Vec<String>,
}

/// A step of `weft up`.
#[derive(Clone, Debug, Serialize)]
struct Step {
    name: String,
    seconds: f64,
}

/// Changing one container of some, again and again.
#[derive(Debug, Serialize)]
struct Redeploy {
    containers: usize,
    /// Seconds by the clock, from the shortest to the longest.
    seconds: Vec<f64>,
    /// Where the time of the one in the middle went.
    steps: Vec<Step>,
}

impl Scale {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        cleanup::on_signals()?;
        let weft = self.weft.clone().map_or_else(weft_beside_us, Ok)?;
        let runs: Vec<Run> =
            self.containers.iter().map(|&count| self.time(&weft, count)).collect::<Result<_>>()?;
        let redeploy = if self.redeploy > 0 { Some(self.time_redeploy(&weft)?) } else { None };
        if self.json {
            let all = serde_json::json!({ "runs": runs, "redeploy": redeploy });
            println!("{}", serde_json::to_string_pretty(&all).during("write JSON")?);
        } else {
            print(&runs);
            print_steps(&runs, redeploy.as_ref());
        }
        let clean = runs.iter().all(|run| run.left_behind.is_empty());
        Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn time(&self, weft: &Path, containers: usize) -> Result<Run> {
        if !weft.is_file() {
            return Err(Error::NoWeft(weft.into()));
        }
        let directory = std::env::temp_dir().join(format!("wb{}-scale", std::process::id()));
        let _directory = Guard::directory(&directory);
        let state = directory.join("state");
        fs::create_dir_all(&state).during(format!("make {}", state.display()))?;
        let blueprint = directory.join("blueprint.js");
        fs::write(&blueprint, self.blueprint(containers, 0)).during("write a blueprint")?;
        eprintln!("{containers} containers …");
        let before = Inventory::take(weft)?;
        let there = machine::running(weft)?;
        let stop = Guard::command(weft, &["stop", "--all", "--grace", "1"], state_variable(), &state);
        let weft_command = |arguments: &[&str]| {
            let mut command = Command::new(weft);
            command.args(arguments).env(state_variable(), &state);
            timed(&mut command)
        };
        let (up_seconds, up_cpu_seconds, said) =
            weft_command(&["up", "--timings", &blueprint.to_string_lossy()])?;
        let ours = &machine::running(weft)? - &there;
        let all = machine::with_descendants(&ours);
        if all.len() < containers {
            let what = format!("said that all is up, but only {} processes run", all.len());
            return Err(Error::Peer { peer: "weft".into(), what });
        }
        let memory = (machine::memory(&ours), machine::memory(&all));
        let (stop_seconds, stop_cpu_seconds, _) = weft_command(&["stop"])?;
        stop.release_if(|| Some(()));
        let left_behind = left_behind(weft, &before)?;
        Ok(Run {
            containers,
            links: self.links,
            up_seconds,
            up_cpu_seconds,
            up_steps: steps(&said),
            stop_seconds,
            stop_cpu_seconds,
            weft: memory.0,
            all: memory.1,
            left_behind,
        })
    }

    /// Times an `up` that changes one container of some.
    fn time_redeploy(&self, weft: &Path) -> Result<Redeploy> {
        let directory = std::env::temp_dir().join(format!("wb{}-redeploy", std::process::id()));
        let _directory = Guard::directory(&directory);
        let state = directory.join("state");
        fs::create_dir_all(&state).during(format!("make {}", state.display()))?;
        let file = directory.join("blueprint.js");
        let up = |version: usize| {
            fs::write(&file, self.blueprint(self.redeploy, version)).during("write a blueprint")?;
            let mut command = Command::new(weft);
            command.args(["up", "--timings"]).arg(&file).env(state_variable(), &state);
            let (seconds, _, said) = timed(&mut command)?;
            Ok::<_, Error>((seconds, steps(&said)))
        };
        eprintln!("one of {} containers changed, {} times …", self.redeploy, self.rounds.max(1));
        let stop = Guard::command(weft, &["stop", "--all", "--grace", "0"], state_variable(), &state);
        up(0)?;
        let mut all: Vec<_> = (1..=self.rounds.max(1)).map(up).collect::<Result<_>>()?;
        drop(stop);
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let steps = all[all.len() / 2].1.clone();
        let seconds = all.into_iter().map(|(seconds, _)| seconds).collect();
        Ok(Redeploy { containers: self.redeploy, seconds, steps })
    }

    /// Containers in a chain or a star; the last one is told its version.
    fn blueprint(&self, containers: usize, version: usize) -> String {
        let links = match self.links {
            Links::Chain => "for (let i = 1; i < all.length; i += 1) allow(all[i - 1], all[i], 80);",
            Links::Star => "allow(all.slice(1), all[0], 80);",
        };
        format!(
            "import {{ allow, Container, deployment }} from 'weft';\n\
             deployment({{ name: 'wb{}' }});\n\
             const all = [];\n\
             for (let i = 0; i < {containers}; i += 1) {{\n  \
               all.push(new Container(`c${{i}}`, {{ command: ['sleep', 'infinity'] }}));\n\
             }}\nall[all.length - 1].env.VERSION = {version};\n{links}\n",
            std::process::id()
        )
    }
}

/// Seconds by the clock, CPU seconds of the machine, and what the command said on standard error.
fn timed(command: &mut Command) -> Result<(f64, f64, String)> {
    let (started, before) = (Instant::now(), cpu::machine()?);
    let output = run(command, LIMIT)?;
    Ok((started.elapsed().as_secs_f64(), (cpu::machine()? - before).busy(), output.said))
}

/// The steps that `weft up --timings` tells: `0.012 s  reading the blueprint`.
fn steps(said: &str) -> Vec<Step> {
    let step = |line: &str| {
        let (seconds, name) = line.trim().split_once(" s  ")?;
        Some(Step { name: name.to_owned(), seconds: seconds.parse().ok()? })
    };
    said.lines().filter_map(step).collect()
}

/// What is new since `before`; the kernel gets a moment, since it frees namespaces in the background.
fn left_behind(weft: &Path, before: &Inventory) -> Result<Vec<String>> {
    let started = Instant::now();
    loop {
        let left = Inventory::take(weft)?.since(before);
        if left.is_empty() || started.elapsed() > AFTERMATH {
            return Ok(left);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory sizes")]
fn print(runs: &[Run]) {
    let mebibytes = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
    let heading = [
        "containers",
        "up s",
        "up CPU s",
        "stop s",
        "stop CPU s",
        "weft processes",
        "weft RSS MiB",
        "weft PSS MiB",
        "all PSS MiB",
        "left behind",
    ];
    let row = |run: &Run| {
        vec![
            run.containers.to_string(),
            format!("{:.2}", run.up_seconds),
            format!("{:.2}", run.up_cpu_seconds),
            format!("{:.2}", run.stop_seconds),
            format!("{:.2}", run.stop_cpu_seconds),
            run.weft.processes.to_string(),
            mebibytes(run.weft.rss_bytes),
            mebibytes(run.weft.pss_bytes),
            mebibytes(run.all.pss_bytes),
            run.left_behind.len().to_string(),
        ]
    };
    println!("\nContainers up and down ({} CPUs)\n", cpu::count());
    print!("{}", table::markdown(&heading, &runs.iter().map(row).collect::<Vec<_>>()));
    println!();
    for run in runs.iter().filter(|run| run.containers == 100) {
        let met = |seconds: f64, aim: f64| if seconds < aim { "met" } else { "missed" };
        println!("aim: 100 up in under {} s: {}", AIM.0, met(run.up_seconds, AIM.0));
        println!("aim: 100 down in under {} s: {}", AIM.1, met(run.stop_seconds, AIM.1));
    }
    for run in runs.iter().filter(|run| run.containers == 1000) {
        let met = if run.up_seconds < AIM_THOUSAND { "met" } else { "missed" };
        println!("aim: 1,000 up in under {AIM_THOUSAND} s: {met}");
    }
    for run in runs {
        for left in run.left_behind.iter().take(20) {
            println!("left behind after {}: {left}", run.containers);
        }
    }
}

/// Where the time of each `up` went, and what changing one container takes.
fn print_steps(runs: &[Run], redeploy: Option<&Redeploy>) {
    let mut columns: Vec<(String, &[Step])> =
        runs.iter().map(|run| (format!("{} up, ms", run.containers), &run.up_steps[..])).collect();
    if let Some(redeploy) = redeploy {
        columns.push((format!("one of {} changed, ms", redeploy.containers), &redeploy.steps));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in columns.iter().flat_map(|(_, steps)| steps.iter()).map(|step| step.name.as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let cell = |steps: &[Step], name: &str| {
        let step = steps.iter().find(|step| step.name == name);
        step.map_or_else(String::new, |step| format!("{:.0}", step.seconds * 1000.0))
    };
    let row = |name: &&str| {
        let cells = columns.iter().map(|(_, steps)| cell(steps, name));
        std::iter::once((*name).to_owned()).chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = names.iter().map(row).collect();
    let heading: Vec<&str> =
        std::iter::once("step").chain(columns.iter().map(|(name, _)| name.as_str())).collect();
    println!("\nWhere the time goes (`weft up --timings`)\n");
    print!("{}", table::markdown(&heading, &rows));
    if let Some(Redeploy { containers, seconds, .. }) = redeploy {
        let middle = seconds[seconds.len() / 2];
        let met = if middle < AIM_REDEPLOY { "met" } else { "missed" };
        println!(
            "\none of {containers} containers changed: {:.0} ms, the median of {} ({:.0} to {:.0})",
            middle * 1000.0,
            seconds.len(),
            seconds[0] * 1000.0,
            seconds[seconds.len() - 1] * 1000.0
        );
        println!("aim: under {:.0} ms: {met}", AIM_REDEPLOY * 1000.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(containers: Vec<usize>, links: Links) -> Scale {
        Scale { containers, links, redeploy: 0, rounds: 1, weft: None, json: false }
    }

    #[test]
    fn steps_are_read() {
        let steps =
            steps("warning: x\n    0.012 s  reading the blueprint\n   10.500 s  starting containers\n");
        let read: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.seconds)).collect();
        assert_eq!(read, [("reading the blueprint", 0.012), ("starting containers", 10.5)]);
    }

    #[test]
    fn a_weft_that_starts_nothing_is_caught() {
        let scale = scale(vec![3], Links::Chain);
        let error = scale.time(Path::new("/bin/true"), 3).unwrap_err().to_string();
        assert!(error.contains("only 0 processes"), "{error}");
    }

    #[test]
    fn the_blueprint_links_what_it_makes() {
        let scale = scale(vec![], Links::Star);
        let text = scale.blueprint(7, 2);
        assert!(text.contains("i < 7;") && text.contains("allow(all.slice(1), all[0], 80)"), "{text}");
    }
}
