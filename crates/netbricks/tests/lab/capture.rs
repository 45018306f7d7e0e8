//! What tcpdump sees at an interface, and what it and tshark read of it.

use std::path::Path;
use std::process::Command;

use packet::pcap;

use super::{Netns, Program, must, until};

/// What is kept of a packet. The kernel's ring for tcpdump has a place of that size for each packet: a larger one would make
/// them few.
const SNAPLEN: usize = 2048;
/// KiB of that ring.
const RING: usize = 16_384;

/// tcpdump at an interface, into a file.
pub struct Capture {
    file: tempfile::NamedTempFile,
    tcpdump: Program,
}

impl Capture {
    /// Begins to capture; `rest` is more for tcpdump, a filter at its end.
    pub fn start(ns: &Netns, interface: &str, rest: &str) -> Self {
        let file = tempfile::NamedTempFile::with_suffix(".pcap").unwrap();
        let path = file.path().display();
        let how = format!("-Z root --immediate-mode -U -n -s {SNAPLEN} -B {RING}");
        let line = format!("tcpdump {how} -i {interface} -w {path} {rest}");
        let tcpdump = Program::start(ns.program(&line), true, "listening on");
        Self { file, tcpdump }
    }

    /// The frames that it has written so far, with their times.
    pub fn frames(&self) -> Vec<(u64, Vec<u8>)> {
        frames(self.file.path())
    }

    /// Ends it once it has seen a frame: what came before that one is in the file.
    pub fn end_after(self, what: &str, is_last: impl Fn(&[u8]) -> bool) -> tempfile::NamedTempFile {
        until(what, || self.frames().iter().any(|(_, frame)| is_last(frame)));
        self.end()
    }

    /// Ends it; what has just come may be missing.
    pub fn end(self) -> tempfile::NamedTempFile {
        self.tcpdump.interrupt();
        self.file
    }
}

/// The frames in a capture, with their times. One that is still being written is none yet.
pub fn frames(capture: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut frames = Vec::new();
    let Ok(mut capture) = pcap::open(capture) else { return frames };
    while let Ok(Some(record)) = capture.next() {
        frames.push((record.timestamp_ns, record.data.to_vec()));
    }
    frames
}

/// Has tcpdump look at every checksum in a capture. Returns how many packets it saw that have one.
pub fn checksums_are_right(capture: &Path) -> usize {
    let said = must(Command::new("tcpdump").args(["-n", "-vv", "-r"]).arg(capture));
    for line in said.lines() {
        let is_wrong = ["incorrect", "bad cksum", "bad udp cksum", "wrong"].iter().any(|w| line.contains(w));
        assert!(!is_wrong, "{line}");
    }
    said.lines().filter(|line| line.contains("cksum") || line.contains("ICMP")).count()
}

/// What tshark reads of a capture: the fields of each packet that passes the filter, behind verified checksums.
pub fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-n", "-Y", filter, "-T", "fields"]);
    for protocol in ["ip", "udp", "tcp"] {
        command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
    }
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("tshark: {error}: `tests/install.sh` installs what is missing"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}
