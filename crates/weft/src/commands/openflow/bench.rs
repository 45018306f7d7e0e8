//! `weft openflow bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use miette::{Report, miette};
use openflow::live::Target;
use openflow::load::{self, LoadConfig, LoadError, Phase};
use serde::Serialize;

use super::{Version, duration};
use crate::commands::print_json;

/// Ticks per second of `/proc/PID/stat` (`USER_HZ`; the same on every Linux).
const TICKS: f64 = 100.0;

/// Load a controller with packet-ins of many switches and hosts, and count its flow-mods.
///
/// Hosts first make themselves known, then each sends to the next, behind another port: a controller that learns answers each
/// packet-in with a flow-mod, and that is a response. In throughput mode switches send as much as the sockets take; in
/// latency mode each waits for the response to one packet-in before it sends the next. Without a duration only the time is
/// measured until all switches are connected.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft openflow bench tcp:127.0.0.1:6653 --switches 16 --duration 10s\n  \
                        weft openflow bench tcp:127.0.0.1:6653 --mode latency --pid 4711\n  \
                        weft openflow bench tcp:127.0.0.1:6653 --switches 2645 --duration 0s\n\n\
                  Exit codes: 0 done, 1 not all switches came up, 2 wrong usage.")]
pub(crate) struct Bench {
    /// The controller, such as tcp:127.0.0.1:6653
    #[arg(value_name = "TARGET")]
    controller: Target,
    /// What to measure
    #[arg(long, value_enum, default_value = "throughput")]
    mode: Mode,
    /// Switches
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    switches: usize,
    /// Hosts of each switch
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    hosts: usize,
    /// Ports of each switch
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    ports: u32,
    /// Unanswered packet-ins of each switch, instead of the mode's
    #[arg(long, value_name = "COUNT")]
    window: Option<u32>,
    /// The version of OpenFlow
    #[arg(long, value_enum, default_value = "1.0")]
    version: Version,
    /// Packets come whole and without buffers, as from Open vSwitch
    #[arg(long)]
    no_buffers: bool,
    /// Time before measuring
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    warm_up: Duration,
    /// Time of measuring; 0s measures connecting alone
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    duration: Duration,
    /// The controller's process, whose processor time is measured too
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What to measure.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Responses per second
    Throughput,
    /// The time of each response
    Latency,
}

/// What was measured, for programs.
#[derive(Debug, Default, Serialize)]
struct Measured {
    switches: usize,
    connect_ms: f64,
    elapsed_s: f64,
    packet_ins: u64,
    responses: u64,
    responses_per_s: f64,
    responses_per_s_per_switch: [f64; 2],
    packet_outs: u64,
    lost: u64,
    disconnected: u64,
    controller_cpu_s: Option<f64>,
    responses_per_cpu_s: Option<f64>,
    latency_us: Option<Latency>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Bench {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        if let Some(pid) = self.pid {
            cpu_seconds(pid).map_err(Report::msg)?;
        }
        let mut cpu = [None; 2];
        let report = load::run(&self.config(), |phase| match phase {
            Phase::Measuring => cpu[0] = self.pid.and_then(|pid| cpu_seconds(pid).ok()),
            Phase::Done => cpu[1] = self.pid.and_then(|pid| cpu_seconds(pid).ok()),
            Phase::Connecting => eprintln!("connecting {} switches to {}", self.switches, self.controller),
            Phase::WarmingUp => eprintln!("measuring in {:.1} s", self.warm_up.as_secs_f64()),
        });
        let report = report.map_err(|error| match error {
            LoadError::NotUp { .. } => miette!(help = "is a controller listening there?", "{error}"),
            error => miette!("{error}"),
        })?;
        let elapsed = report.elapsed.as_secs_f64();
        let rate = |count: u64| if elapsed > 0.0 { count as f64 / elapsed } else { 0.0 };
        let cpu = cpu[0].zip(cpu[1]).map(|(before, after)| after - before);
        let us = |ns: u64| ns as f64 / 1000.0;
        let (fewest, most) = report.flow_mods_per_switch;
        let latency = &report.latency;
        let measured = Measured {
            switches: self.switches,
            connect_ms: report.connect_time.as_secs_f64() * 1000.0,
            elapsed_s: elapsed,
            packet_ins: report.packet_ins,
            responses: report.flow_mods,
            responses_per_s: rate(report.flow_mods),
            responses_per_s_per_switch: [rate(fewest), rate(most)],
            packet_outs: report.packet_outs,
            lost: report.lost,
            disconnected: report.disconnected,
            controller_cpu_s: cpu,
            responses_per_cpu_s: cpu.filter(|&cpu| cpu > 0.0).map(|cpu| report.flow_mods as f64 / cpu),
            latency_us: (latency.count() > 0).then(|| Latency {
                p50: us(latency.quantile(0.5)),
                p99: us(latency.quantile(0.99)),
                max: us(latency.max()),
            }),
        };
        if self.json {
            print_json(&measured)?;
        } else {
            print(&measured);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn config(&self) -> LoadConfig {
        LoadConfig {
            switches: self.switches,
            hosts: self.hosts,
            ports: self.ports,
            version: self.version.into(),
            window: self.window.or(match self.mode {
                Mode::Throughput => None,
                Mode::Latency => Some(1),
            }),
            buffers: !self.no_buffers,
            warm_up: self.warm_up,
            duration: self.duration,
            ..LoadConfig::new(self.controller.clone())
        }
    }
}

/// Processor time of a process so far, in seconds: user and system, of all its threads (proc_pid_stat(5), 14 and 15).
fn cpu_seconds(pid: u32) -> Result<f64, String> {
    let file = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    // Its name, which may have spaces and brackets, ends at the last bracket.
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks: Vec<f64> =
        behind.split_whitespace().skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Ok((user + system) / TICKS),
        _ => Err(format!("{}: not understood", file.display())),
    }
}

fn print(measured: &Measured) {
    println!("{} switches connected in {:.1} ms", measured.switches, measured.connect_ms);
    if measured.elapsed_s == 0.0 {
        return;
    }
    println!(
        "{} responses to {} packet-ins in {:.2} s: {:.0} per second",
        measured.responses, measured.packet_ins, measured.elapsed_s, measured.responses_per_s
    );
    if measured.switches > 1 {
        let [fewest, most] = measured.responses_per_s_per_switch;
        println!("per switch {fewest:.0} to {most:.0} per second");
    }
    if let Some(latency) = &measured.latency_us {
        println!("latency p50 {:.1} us, p99 {:.1} us, max {:.1} us", latency.p50, latency.p99, latency.max);
    }
    if let Some((cpu, rate)) = measured.controller_cpu_s.zip(measured.responses_per_cpu_s) {
        println!("{rate:.0} responses per CPU-second of the controller, which used {cpu:.2} s");
    }
    println!(
        "{} packet-outs; {} packet-ins not answered; {} connections lost",
        measured.packet_outs, measured.lost, measured.disconnected
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_grows() {
        let own = std::process::id();
        let before = cpu_seconds(own).unwrap();
        let begin = std::time::Instant::now();
        while cpu_seconds(own).unwrap() < before + 0.03 {
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
        assert!(cpu_seconds(u32::MAX).is_err());
    }
}
