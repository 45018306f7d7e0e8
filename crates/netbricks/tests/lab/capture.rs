//! What tcpdump sees at an interface, and what it and tshark read of it.

use std::path::Path;
use std::process::Command;

use super::{Netns, Program, must};

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
        let line = format!("tcpdump -Z root --immediate-mode -U -n -B 16384 -i {interface} -w {path} {rest}");
        let tcpdump = Program::start(ns.program(&line), true, "listening on");
        Self { file, tcpdump }
    }

    /// Where it writes, as packets come.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Ends it.
    pub fn end(self) -> tempfile::NamedTempFile {
        self.tcpdump.interrupt();
        self.file
    }
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
