//! `dpdk-test-acl`, from Debian's `dpdk-dev`: DPDK's ACL library behind a command line that reads ClassBench's files.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;

use lookup::acl::{Networks, Rule};
use packet::flow::FlowKey;

/// Seconds after which a run is ended.
const SECONDS_MAX: &str = "120";
/// What it prints where no rule matches.
const NO_RULE: u32 = u32::MAX;

/// What a run printed.
pub(crate) struct Run {
    /// The place of the first rule that matches, for each packet; empty where it was not asked for.
    pub(crate) results: Vec<Option<u32>>,
    /// Its own figure: nanoseconds per packet, classification only.
    pub(crate) ns_per_packet: f64,
}

/// How to run it.
pub(crate) struct Options<'a> {
    /// `default`, `scalar`, `sse`, `avx2`, `avx512x16` or `avx512x32`.
    pub(crate) algorithm: &'a str,
    /// Passes over the trace.
    pub(crate) iterations: usize,
    /// Whether to print what every packet matches.
    pub(crate) results: bool,
}

/// Runs it on `rules` and `packets`, which are of one family; its words where it failed.
pub(crate) fn run(rules: &[Rule], packets: &[FlowKey], options: &Options<'_>) -> Result<Run, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [rule_file, trace_file] = ["rules", "trace"].map(|name| folder.path().join(name));
    std::fs::write(&rule_file, rules.iter().map(|rule| format!("{rule}\n")).collect::<String>()).unwrap();
    std::fs::write(&trace_file, trace_text(packets)).unwrap();

    let mut command = Command::new("timeout");
    command.env("RUNTIME_DIRECTORY", folder.path()).args([SECONDS_MAX, "dpdk-test-acl"]);
    command.args(["--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "1024"]);
    command.arg("--force-max-simd-bitwidth=512"); // without it avx512x32 is refused
    command.arg(format!("--lcores=0@({})", allowed_processors())).arg("--");
    command.arg(format!("--rulesf={}", rule_file.display()));
    command.arg(format!("--tracef={}", trace_file.display()));
    command.arg(format!("--rulenum={}", rules.len().max(1)));
    command.arg(format!("--tracenum={}", packets.len()));
    command.arg(format!("--iter={}", options.iterations));
    command.args(["--bldcat=1", if options.results { "--verbose=2" } else { "--verbose=0" }]);
    if options.algorithm != "default" {
        command.arg(format!("--alg={}", options.algorithm));
    }
    if rules.iter().any(|rule| matches!(rule.networks, Networks::V6 { .. })) {
        command.arg("--ipv6");
    }
    let output = command.output().map_err(|error| format!("timeout (coreutils): {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => Ok(Run { results: results(&text), ns_per_packet: ns_per_packet(&text).ok_or(words)? }),
        Some(127) => Err(format!("dpdk-test-acl is missing; Debian and Ubuntu have it in dpdk-dev\n{words}")),
        _ => Err(format!("dpdk-test-acl: {}\n{words}", output.status)),
    }
}

/// The processors this process may run on: DPDK would pin itself to the first of the machine.
fn allowed_processors() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.expect("Cpus_allowed_list").trim().to_owned()
}

/// One packet a line: addresses (IPv4 as numbers, IPv6 in full), ports, protocol, and a field that is not used.
fn trace_text(packets: &[FlowKey]) -> String {
    let full = |address: Ipv6Addr| address.segments().map(|group| format!("{group:x}")).join(":");
    let address = |address| match address {
        IpAddr::V4(address) => address.to_bits().to_string(),
        IpAddr::V6(address) => full(address),
    };
    packets.iter().fold(String::new(), |mut text, key| {
        let (source, destination) = (address(key.source()), address(key.destination()));
        let (ports, protocol) = ((key.source_port(), key.destination_port()), key.protocol().0);
        let _ = writeln!(text, "{source}\t{destination}\t{}\t{}\t{protocol}\t0", ports.0, ports.1);
        text
    })
}

/// `ipv4_5tuple: 1, category: 0, result: 7`: packets are counted from 1, rules from 0.
fn results(text: &str) -> Vec<Option<u32>> {
    let result = |line: &str| {
        let (head, result) = line.split_once(", category: 0, result: ")?;
        head.contains("_5tuple: ").then(|| result.trim().parse().expect("a number"))
    };
    text.lines().filter_map(result).map(|rule: u32| (rule != NO_RULE).then_some(rule)).collect()
}

/// `…, 68.77 cycles/pkt, 37805729.24 pkt/sec`.
fn ns_per_packet(text: &str) -> Option<f64> {
    let rate = text.lines().find_map(|line| line.trim_end().strip_suffix(" pkt/sec"))?;
    Some(1e9 / rate.rsplit(' ').next()?.parse::<f64>().ok()?)
}
