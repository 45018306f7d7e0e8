//! ns-3: what it takes to run it, and what it says.
//!
//! It comes from PyPI (`tests/pypi.sh ns3`), as libraries and headers; `network.cc` is built against them.
#![allow(dead_code, unreachable_pub)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rc3::SenderConfig;
use rc3::simulate::Flow;
use sim::Time;
use topology::{Capacity, Topology};

/// Bytes before each link, of the paper's experiments.
const BUFFER: u64 = 5_000_000;

/// A program that runs networks in ns-3; it goes with this.
pub struct Judge {
    program: PathBuf,
    _place: tempfile::TempDir,
}

/// What ns-3 found.
pub struct Found {
    /// How long each flow took; none for what was not done.
    pub finished: Vec<Option<Time>>,
    /// Links crossed by packets, where they are counted.
    pub hops: u64,
    /// CPU time of the run.
    pub cpu_seconds: f64,
}

impl Judge {
    /// Puts ns-3 in place and builds the program.
    pub fn build() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
        let script = here.join("../../tests/pypi.sh");
        let run = Command::new(&script).arg("ns3").env("CARGO_TARGET_DIR", target).output().expect("bash");
        assert!(run.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&run.stderr));
        let bin = PathBuf::from(String::from_utf8(run.stdout).expect("a path").trim());
        let pythons = std::fs::read_dir(bin.join("../lib")).expect("a Python environment");
        let ns3 = pythons.map(|python| python.expect("a folder").path().join("site-packages/ns3"));
        let ns3 = ns3.into_iter().find(|ns3| ns3.join("include/ns3").is_dir()).expect("headers of ns-3");
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let (program, libraries) = (place.path().join("network"), ns3.join("lib64"));
        let build = Command::new("g++")
            .args(["-O2", "-std=c++20", "-I"])
            .arg(ns3.join("include"))
            .arg(here.join("tests/ns3/network.cc"))
            .arg("-o")
            .arg(&program)
            .arg("-L")
            .arg(&libraries)
            .args(
                ["core", "network", "internet", "point-to-point", "applications", "traffic-control"]
                    .map(|library| format!("-lns3.44-{library}")),
            )
            .arg(format!("-Wl,-rpath,{}", libraries.display()))
            .output()
            .expect("g++");
        assert!(build.status.success(), "g++: {}", String::from_utf8_lossy(&build.stderr));
        Self { program, _place: place }
    }

    /// Runs flows over a topology, by TCP as `config` has it.
    pub fn run(&self, topology: &Topology, flows: &[Flow], config: &SenderConfig, count: bool) -> Found {
        let mut text = format!("tcp {} {} {BUFFER}\n", config.segment, config.initial_window);
        let _ = writeln!(text, "nodes {}", topology.node_bound());
        for link in topology.links() {
            let bits = link.capacity.map_or(0, Capacity::bits_per_second);
            let (a, b) = (link.from().node.index(), link.to().node.index());
            let _ = writeln!(text, "link {a} {b} {bits} {}", link.delay.nanos());
        }
        for Flow { start, from, to, bytes, .. } in flows {
            let _ = writeln!(text, "flow {} {} {} {bytes}", start.nanos(), from.0, to.0);
        }
        text.push_str(if count { "count\n" } else { "" });
        let mut child = Command::new(&self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program just built");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads all");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "ns-3 on {text}");
        let mut found = Found { finished: vec![None; flows.len()], hops: 0, cpu_seconds: 0.0 };
        for line in String::from_utf8(output.stdout).expect("words").lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["fct", flow, nanos] => {
                    let flow: usize = flow.parse().expect("a number");
                    found.finished[flow] = Some(Time::from_nanos(nanos.parse().expect("nanoseconds")));
                }
                ["hops", hops] => found.hops = hops.parse().expect("a number"),
                ["cpu", seconds] => found.cpu_seconds = seconds.parse().expect("seconds"),
                _ => panic!("ns-3 says {line}"),
            }
        }
        found
    }
}
