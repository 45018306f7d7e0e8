//! Where the time goes, closer than CPU shares tell: sampled functions and counted system calls.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::error::Result;
use crate::measure;
use crate::peer::Peer;
use crate::process::{quick, require, run, start};

/// Seconds of load while something looks on.
const SECONDS: u32 = 2;
/// Functions and system calls shown of each path.
const SHOWN: usize = 12;

/// The functions that CPUs were found in while TCP ran, busiest first.
pub(super) fn profile(peer: &dyn Peer, directory: &Path) -> Result<Vec<String>> {
    require("perf")?;
    let data = directory.join("perf.data").to_string_lossy().into_owned();
    let recorder = start(Command::new("perf").args(["record", "-q", "-a", "-F", "997", "-o", &data]))?;
    std::thread::sleep(Duration::from_millis(300));
    let measured = measure::tcp(peer, SECONDS);
    recorder.stop(Signal::INT)?;
    measured?;
    let report = ["report", "-i", &data, "--stdio", "--sort", "comm,symbol", "--percent-limit", "0.5"];
    let report = run(Command::new("perf").args(report).env("LC_ALL", "C"), Duration::from_secs(60))?;
    let busy = report.text.lines().map(str::trim).filter(|line| {
        let idle = ["swapper", "pv_native_safe_halt", "default_idle"].iter().any(|word| line.contains(word));
        !line.is_empty() && !line.starts_with('#') && !idle
    });
    let heading = format!("{}: busiest functions of all CPUs during TCP", peer.kind().name());
    let shown = busy.take(SHOWN).map(|line| format!("    {}", squeezed(line)));
    Ok(std::iter::once(heading).chain(shown).collect())
}

/// One space between words, without the empty columns perf pads a row with.
fn squeezed(line: &str) -> String {
    line.trim_end_matches([' ', '-']).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// System calls of the dataplane's processes for each packet delivered. Tracing slows them down: what counts is
/// which calls there are, and how many packets go with one of them under full load.
pub(super) fn system_calls(peer: &dyn Peer, directory: &Path) -> Result<Vec<String>> {
    let pids = peer.dataplane();
    if pids.is_empty() {
        return Ok(Vec::new());
    }
    require("strace")?;
    let counts = directory.join("strace.txt").to_string_lossy().into_owned();
    let mut command = Command::new("strace");
    command.args(["-q", "-f", "-c", "-S", "calls", "-o", &counts]);
    for pid in &pids {
        command.args(["-p", &pid.to_string()]);
    }
    let tracer = start(&mut command)?;
    std::thread::sleep(Duration::from_millis(500));
    let measured = measure::udp(peer, SECONDS, 0);
    tracer.stop(Signal::INT)?;
    let delivered = measured?.delivered;
    let table = quick(Command::new("cat").arg(&counts))?.text;
    let heading = format!("{}: system calls of the dataplane a UDP packet, traced", peer.kind().name());
    let calls = table.lines().filter_map(call).take(SHOWN);
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let line =
        |(name, count): (String, u64)| format!("    {name:<20} {:.3}", count as f64 / delivered as f64);
    Ok(std::iter::once(heading).chain(calls.map(line)).collect())
}

/// A row of `strace -c`: `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn call(line: &str) -> Option<(String, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.first()?.parse::<f64>().ok()?;
    Some(((*words.last()?).to_owned(), words.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_perf_are_squeezed() {
        let row = " 6.13%  iperf3    [k] _copy_to_iter        -      -   ";
        assert_eq!(squeezed(row), "6.13% iperf3 [k] _copy_to_iter");
    }

    #[test]
    fn rows_of_strace_are_read() {
        assert_eq!(call(" 61.50    0.004  2  1500  3 recvmmsg"), Some(("recvmmsg".into(), 1500)));
        assert_eq!(call(" 10.00    0.004  2  7  ppoll"), Some(("ppoll".into(), 7)));
        assert_eq!(call("% time     seconds  usecs/call     calls    errors syscall"), None);
        assert_eq!(call("------ ----------- ----------- --------- --------- ----------------"), None);
    }
}
