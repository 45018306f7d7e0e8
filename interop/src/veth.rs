//! `interop veth`: small frames over veth pairs, by packet sockets and by AF_XDP, and what joins two pairs.
//!
//! ```text
//!   one worker of weft's engine            pair, pair-xdp:   nothing between
//!   ┌─────────────────────────┐            bridge:           a kernel bridge
//!   │ Loop ─▶ PortOut  PortIn ─┐│            ovs-veth:         ovs-vswitchd, datapath_type=netdev
//!   │  ▲        │        ▲    ││            weft, weft-xdp:   another worker, in a process of its own
//!   └──┼────────┼────────┼────┘│
//!      └────────┼────────┼─────┘
//!             eth0  ══▶  eth0
//! ```
//!
//! The same worker sends and receives, no more than a window of frames ahead of what has come back, so that no path pays
//! for frames that it loses. CPU seconds are the whole machine's, for the kernel's work belongs to no process.

mod path;
mod traffic;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cleanup::{self, Guard};
use crate::cpu::{self, Spent, Split};
use crate::error::{During, Error, Result};
use crate::process::run;
use crate::table::{figure, markdown, median};

pub(crate) use traffic::{Forward, Traffic};

use path::{ALL, Kind, Path};

/// How much longer than planned a program may take.
const SLACK: Duration = Duration::from_secs(20);
/// Above this share, others disturbed the measurement.
const BACKGROUND_MAX: f64 = 0.05;

/// Measure 60-byte frames over veth pairs: packet sockets, AF_XDP, a kernel bridge, Open vSwitch, weft
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cargo run --release -p interop -- veth --paths pair,pair-xdp,bridge --rounds 5"
)]
pub(crate) struct Veth {
    /// Which paths; all without
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PATH,…")]
    paths: Vec<Kind>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How often every path is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What one measurement saw.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) seconds: f64,
    /// The whole machine's CPU time.
    pub(crate) machine: Split,
    /// That of the process that sends and receives.
    pub(crate) ends: Spent,
    /// That of the processes in between.
    pub(crate) between: Spent,
}

/// A path and its measurements.
#[derive(Debug, Serialize)]
struct Measured {
    name: &'static str,
    ports: &'static str,
    rounds: Vec<Round>,
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
impl Round {
    fn per_second(&self) -> f64 {
        self.received as f64 / self.seconds
    }

    fn per_cpu_second(&self) -> f64 {
        self.received as f64 / self.machine.busy()
    }

    fn loss(&self) -> f64 {
        1.0 - self.received as f64 / self.sent as f64
    }

    /// CPU nanoseconds a packet.
    fn cost_ns(&self, seconds: f64) -> f64 {
        seconds * 1e9 / self.received as f64
    }
}

impl Veth {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        cleanup::on_signals()?;
        cleanup::sweep();
        let before = cpu::machine()?;
        std::thread::sleep(Duration::from_secs(1));
        #[expect(clippy::cast_precision_loss, reason = "CPUs")]
        let background = (cpu::machine()? - before).busy() / cpu::count() as f64;
        let measured = self.measure()?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&measured).during("write JSON")?);
            return Ok(ExitCode::SUCCESS);
        }
        println!(
            "\n60-byte frames; {} CPUs, {} s each, median of {} (lowest–highest), others used {:.0} %",
            cpu::count(),
            self.seconds,
            self.rounds,
            background * 100.0
        );
        if background > BACKGROUND_MAX {
            println!("WARNING: the machine was not idle; CPU seconds count the others' work too");
        }
        println!("\n{}", table(&measured));
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self) -> Result<Vec<Measured>> {
        let directory = std::env::temp_dir().join(format!("wb{}", std::process::id()));
        let _directory = Guard::directory(&directory);
        std::fs::create_dir_all(&directory).during(format!("make {}", directory.display()))?;
        let kinds = if self.paths.is_empty() { &ALL[..] } else { &self.paths };
        let mut paths = Vec::new();
        for &kind in kinds {
            eprintln!("setting up {} …", kind.name());
            let measured = Measured { name: kind.name(), ports: kind.ports(), rounds: Vec::new() };
            paths.push((measured, Path::build(kind, &directory)?));
        }
        for round in 1..=self.rounds {
            for (measured, path) in &mut paths {
                eprintln!("round {round} of {}: {}", self.rounds, measured.name);
                let output =
                    run(&mut path.traffic(self.seconds), Duration::from_secs(self.seconds.into()) + SLACK)?;
                let malformed =
                    |_| Error::Malformed { place: "the traffic's report".into(), text: output.text.clone() };
                measured.rounds.push(serde_json::from_str(output.text.trim()).map_err(malformed)?);
            }
        }
        Ok(paths.into_iter().map(|(measured, _)| measured).collect())
    }
}

fn table(measured: &[Measured]) -> String {
    let efficiency = |path: &Measured| median(path.rounds.iter().map(Round::per_cpu_second)).0;
    let bridge = measured.iter().find(|path| path.name == Kind::Bridge.name()).map_or(f64::NAN, efficiency);
    let rows = measured.iter().map(|path| {
        let middle = |value: &dyn Fn(&Round) -> f64| median(path.rounds.iter().map(value)).0;
        let (middle_k, low, high) = median(path.rounds.iter().map(|round| round.per_cpu_second() / 1e3));
        vec![
            path.name.to_owned(),
            path.ports.to_owned(),
            figure(middle(&Round::per_second) / 1e3),
            format!("{:.1} %", middle(&Round::loss) * 100.0),
            format!("{} ({}–{})", figure(middle_k), figure(low), figure(high)),
            figure(efficiency(path) / bridge),
            figure(middle(&|round| round.cost_ns(round.machine.busy()))),
            figure(middle(&|round| round.cost_ns(round.ends.total()))),
            figure(middle(&|round| round.cost_ns(round.between.total()))),
        ]
    });
    let heading = [
        "path",
        "its ends",
        "k/s",
        "lost",
        "k / CPU s",
        "× bridge",
        "CPU ns / packet",
        "of it at the ends",
        "of it between",
    ];
    markdown(&heading, &rows.collect::<Vec<_>>())
}
