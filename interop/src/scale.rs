//! `interop scale`: many containers, how long they take to come and go, what they cost, what they leave.

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
    stop_seconds: f64,
    stop_cpu_seconds: f64,
    /// weft's own processes: dataplane and one init a container.
    weft: Memory,
    /// Those and the programs in the containers.
    all: Memory,
    left_behind: Vec<String>,
}

impl Scale {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        cleanup::on_signals()?;
        let weft = self.weft.clone().map_or_else(weft_beside_us, Ok)?;
        let runs: Vec<Run> =
            self.containers.iter().map(|&count| self.time(&weft, count)).collect::<Result<_>>()?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&runs).during("write JSON")?);
        } else {
            print(&runs);
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
        fs::write(&blueprint, self.blueprint(containers)).during("write a blueprint")?;
        eprintln!("{containers} containers …");
        let before = Inventory::take(weft)?;
        let there = machine::running(weft)?;
        let stop = Guard::command(weft, &["stop", "--all", "--grace", "1"], state_variable(), &state);
        let weft_command = |arguments: &[&str]| {
            let mut command = Command::new(weft);
            command.args(arguments).env(state_variable(), &state);
            timed(&mut command)
        };
        let (up_seconds, up_cpu_seconds) = weft_command(&["up", &blueprint.to_string_lossy()])?;
        let ours = &machine::running(weft)? - &there;
        let all = machine::with_descendants(&ours);
        if all.len() < containers {
            let what = format!("said that all is up, but only {} processes run", all.len());
            return Err(Error::Peer { peer: "weft".into(), what });
        }
        let memory = (machine::memory(&ours), machine::memory(&all));
        let (stop_seconds, stop_cpu_seconds) = weft_command(&["stop"])?;
        stop.release_if(|| Some(()));
        let left_behind = left_behind(weft, &before)?;
        Ok(Run {
            containers,
            links: self.links,
            up_seconds,
            up_cpu_seconds,
            stop_seconds,
            stop_cpu_seconds,
            weft: memory.0,
            all: memory.1,
            left_behind,
        })
    }

    fn blueprint(&self, containers: usize) -> String {
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
             }}\n{links}\n",
            std::process::id()
        )
    }
}

/// Seconds by the clock and CPU seconds of the machine.
fn timed(command: &mut Command) -> Result<(f64, f64)> {
    let (started, before) = (Instant::now(), cpu::machine()?);
    run(command, LIMIT)?;
    Ok((started.elapsed().as_secs_f64(), (cpu::machine()? - before).busy()))
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
    for run in runs {
        for left in run.left_behind.iter().take(20) {
            println!("left behind after {}: {left}", run.containers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weft_that_starts_nothing_is_caught() {
        let scale = Scale { containers: vec![3], links: Links::Chain, weft: None, json: false };
        let error = scale.time(Path::new("/bin/true"), 3).unwrap_err().to_string();
        assert!(error.contains("only 0 processes"), "{error}");
    }

    #[test]
    fn the_blueprint_links_what_it_makes() {
        let scale = Scale { containers: vec![], links: Links::Star, weft: None, json: false };
        let text = scale.blueprint(7);
        assert!(text.contains("i < 7;") && text.contains("allow(all.slice(1), all[0], 80)"), "{text}");
    }
}
