//! `interop net`: every path in turn, round after round, and the table of medians.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cleanup::{self, Guard};
use crate::cpu;
use crate::error::{During, Error, Result};
use crate::measure::{self, Tcp, Udp};
use crate::peer::{ALL, Kind, Peer, Side};
use crate::process::quick;

mod explain;
mod show;

/// Measure paths between two namespaces
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo run --release -p interop -- net --peers bridge,ovs-tap --rounds 5")]
pub(crate) struct Net {
    /// Which paths; all without
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PATH,…")]
    peers: Vec<Kind>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How often every path is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Packets a second of the paced UDP measurement
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// The weft to measure
    #[arg(long, value_name = "FILE")]
    weft: Option<PathBuf>,
    /// Also sample the CPUs with perf while TCP runs, and show the busiest functions
    #[arg(long)]
    profile: bool,
    /// Also count the dataplane's system calls with strace while UDP runs
    #[arg(long)]
    syscalls: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Everything measured.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    seconds: u32,
    paced_packets_per_second: u32,
    paths: Vec<Route>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
struct Machine {
    cpus: usize,
    cpu: String,
    kernel: String,
    open_vswitch: String,
    /// Share of all CPUs that others used before the start.
    background: f64,
}

/// One path, all rounds.
#[derive(Debug, Serialize)]
struct Route {
    name: &'static str,
    #[serde(skip)]
    kind: Kind,
    /// MTU and offloads of the client's interface.
    interface: String,
    tcp: Vec<Tcp>,
    udp: Vec<Udp>,
    paced: Vec<Udp>,
    explained: Vec<String>,
}

impl Net {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        cleanup::on_signals()?;
        cleanup::sweep();
        let report = self.measure()?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report).during("write JSON")?);
        } else {
            show::print(&report);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self) -> Result<Report> {
        let machine = Machine::look()?;
        let directory = std::env::temp_dir().join(format!("wb{}", std::process::id()));
        let _directory = Guard::directory(&directory);
        fs::create_dir_all(&directory).during(format!("make {}", directory.display()))?;
        let weft = self.weft.clone().map_or_else(weft_beside_us, Ok)?;
        let kinds = if self.peers.is_empty() { &ALL[..] } else { &self.peers };
        let mut paths = Vec::new();
        for &kind in kinds {
            eprintln!("setting up {} …", kind.name());
            let peer = kind.build(&directory, &weft)?;
            paths.push((Route::new(peer.as_ref()), peer));
        }
        for round in 1..=self.rounds {
            for (path, peer) in &mut paths {
                eprintln!("round {round} of {}: {}", self.rounds, path.name);
                path.tcp.push(measure::tcp(peer.as_ref(), self.seconds)?);
                path.udp.push(measure::udp(peer.as_ref(), self.seconds, 0)?);
                path.paced.push(measure::udp(peer.as_ref(), self.seconds, self.rate)?);
            }
        }
        for (path, peer) in &mut paths {
            path.explained = self.explain(peer.as_ref(), &directory)?;
        }
        let paths = paths.into_iter().map(|(path, _)| path).collect();
        Ok(Report { machine, seconds: self.seconds, paced_packets_per_second: self.rate, paths })
    }

    fn explain(&self, peer: &dyn Peer, directory: &Path) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        if self.profile {
            lines.extend(explain::profile(peer, directory)?);
        }
        if self.syscalls {
            lines.extend(explain::system_calls(peer, directory)?);
        }
        Ok(lines)
    }
}

impl Route {
    fn new(peer: &dyn Peer) -> Self {
        let kind = peer.kind();
        let interface = interface(peer);
        Self {
            name: kind.name(),
            kind,
            interface,
            tcp: vec![],
            udp: vec![],
            paced: vec![],
            explained: vec![],
        }
    }
}

/// MTU and offloads of the client's `eth0`, as the client sees them.
fn interface(peer: &dyn Peer) -> String {
    let ask = |program: &str, arguments: &[&str]| {
        let asked = quick(peer.command(Side::Client, program).args(arguments));
        asked.map(|output| output.text).unwrap_or_default()
    };
    let mtu = ask("cat", &["/sys/class/net/eth0/mtu"]);
    let features = ask("ethtool", &["-k", "eth0"]);
    let on = |feature: &str| {
        let line = features.lines().find_map(|line| line.trim().strip_prefix(feature)?.strip_prefix(": "));
        line.and_then(|state| state.split_whitespace().next()).unwrap_or("?").to_owned()
    };
    let (checksum, tso) = (on("tx-checksumming"), on("tx-tcp-segmentation"));
    format!("MTU {}, checksum offload {checksum}, TSO {tso}", mtu.trim())
}

impl Machine {
    fn look() -> Result<Self> {
        let before = cpu::machine()?;
        thread::sleep(Duration::from_secs(1));
        #[expect(clippy::cast_precision_loss, reason = "CPUs")]
        let background = (cpu::machine()? - before).busy() / cpu::count() as f64;
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let version = quick(Command::new("ovs-vswitchd").arg("--version")).map(|output| output.text);
        let version = version
            .unwrap_or_default()
            .lines()
            .next()
            .and_then(|line| line.split(' ').next_back().map(str::to_owned));
        Ok(Self {
            cpus: cpu::count(),
            cpu: model.map_or("unknown", |(_, name)| name).to_owned(),
            kernel: kernel.trim().to_owned(),
            open_vswitch: version.unwrap_or_else(|| "not installed".into()),
            background,
        })
    }
}

/// The weft that was built together with this program.
pub(crate) fn weft_beside_us() -> Result<PathBuf> {
    let us = std::env::current_exe().during("find this program")?;
    Ok(us.with_file_name("weft"))
}
