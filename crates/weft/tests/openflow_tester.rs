//! `weft openflow switch` under os-ken's own switch tester: packets by real interfaces, with Open vSwitch at their other ends.
//!
//! The same suite as `crates/openflow/tests/conformance.rs` has in virtual time: its actions, or what `WEFT_TESTER` names, such as
//! `match` or `group/00_ALL.json`. All of it takes half an hour and a machine that has nothing else to do: the rates of meters
//! and groups are measured for 30 s each, and os-ken sends the packets.

#[path = "pox_ovs/lab.rs"]
mod lab;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::Lab;

/// Longer than the actions take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);
/// Longer than the whole suite takes.
const PATIENCE_WHOLE: Duration = Duration::from_secs(3600);
/// The files of a folder that holds others.
const ACTIONS_13: [&str; 18] = [
    "00_OUTPUT",
    "11_COPY_TTL_OUT",
    "12_COPY_TTL_IN",
    "15_SET_MPLS_TTL",
    "16_DEC_MPLS_TTL",
    "17_PUSH_VLAN",
    "17_PUSH_VLAN_multiple",
    "18_POP_VLAN",
    "19_PUSH_MPLS",
    "19_PUSH_MPLS_multiple",
    "20_POP_MPLS",
    "23_SET_NW_TTL_IPv4",
    "23_SET_NW_TTL_IPv6",
    "24_DEC_NW_TTL_IPv4",
    "24_DEC_NW_TTL_IPv6",
    "26_PUSH_PBB",
    "26_PUSH_PBB_multiple",
    "27_POP_PBB",
];

/// The Python that has os-ken.
fn python() -> PathBuf {
    let script = format!("{}/../../tests/pypi.sh", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(&script).arg("os-ken").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("python")
}

/// Joins a switch of ours and a bridge of Open vSwitch, and has the tester say what it thinks.
fn judged(version: &str, paths: &[&str], patience: Duration) -> String {
    let lab = Lab::new(if version == "1.0" { "OpenFlow10" } else { "OpenFlow13" });
    // Nobody else is to send anything.
    for interfaces in ["all", "default"] {
        lab.inside("sw", &["sysctl", "-qw", &format!("net.ipv6.conf.{interfaces}.disable_ipv6=1")]);
    }
    lab.switch(2);
    // Each packet is looked up in its flow tables: what its datapath has cached lags behind them, by a packet now and then.
    lab.vsctl(&["set", "Open_vSwitch", ".", "other_config:flow-limit=0"]);
    let mut switch =
        vec![env!("CARGO_BIN_EXE_weft"), "openflow", "switch", "--controller", "tcp:127.0.0.1:6653"];
    switch.extend(["--datapath-id", "1"]);
    for (ours, theirs, port) in [("veth:w1", "t1", "1"), ("veth:w2", "t2", "2"), ("veth:w3", "t3", "3")] {
        lab.veth(&ours[5..], theirs);
        let number = format!("ofport_request={port}");
        lab.vsctl(&["add-port", "s2", theirs, "--", "set", "interface", theirs, &number]);
        switch.extend(["--port", ours]);
    }
    lab.spawn_in("sw", &switch);
    let python = python();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openflow_tester/tester.py");
    let mut tester =
        lab.command_in("sw", &[python.to_str().unwrap(), "-W", "ignore", script, "6653", version]);
    tester.args(paths).env("OSKEN_HUB_TYPE", "eventlet").stdin(Stdio::null()).stdout(Stdio::null());
    let said = lab.path("tester.log");
    let mut tester = tester.stderr(std::fs::File::create(&said).unwrap()).spawn().unwrap();
    let begin = Instant::now();
    while tester.try_wait().unwrap().is_none() {
        if begin.elapsed() > patience {
            tester.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = std::fs::read_to_string(said).unwrap();
    println!("{said}");
    said
}

/// Cases that pass and that do not, of its last line: `OK(42) / ERROR(0)`.
fn score(said: &str) -> (usize, usize) {
    let line = said.lines().rev().find(|line| line.starts_with("OK("));
    let line = line.unwrap_or_else(|| panic!("the tester has not come to an end: {said}"));
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Nothing fails but what os-ken gets wrong itself: the checksums of SCTP (`crates/openflow/docs/conformance.md`).
fn passes(version: &str, paths: &[&str], cases: usize) {
    let wanted = std::env::var("WEFT_TESTER").ok();
    let Some(wanted) = wanted else {
        let said = judged(version, paths, PATIENCE);
        return assert_eq!(score(&said), (cases, 0), "{said}");
    };
    let paths: Vec<&str> = wanted.split_whitespace().collect();
    let said = judged(version, &paths, PATIENCE_WHOLE);
    let (passed, failed) = score(&said);
    let report = said.split("--- Test report ---").nth(1).unwrap_or_default();
    let sctp = |line: &&str| line.contains("action: set_field: ") && line.contains("_SCTP_");
    let sctp = report.lines().filter(sctp).count();
    assert!(passed > 0 && failed == sctp, "{passed} pass, {failed} do not, {sctp} of them SCTP: {said}");
}

#[test]
fn every_action_of_1_0_is_done_to_packets_on_interfaces() {
    passes("1.0", &["action"], 40);
}

#[test]
fn every_action_of_1_3_is_done_to_packets_on_interfaces() {
    let files: Vec<String> = ACTIONS_13.iter().map(|name| format!("action/{name}.json")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    passes("1.3", &files, 56);
}
