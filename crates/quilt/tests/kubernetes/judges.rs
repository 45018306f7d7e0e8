//! The judges, installed from PyPI into the target directory by `tests/kubernetes.sh`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the judges' programs are.
pub(crate) fn place() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kubernetes.sh");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let run = Command::new(script).env("CARGO_TARGET_DIR", target).output().expect("bash");
    assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
    PathBuf::from(String::from_utf8(run.stdout).expect("a path").trim())
}

/// What a program of the judges' prints; it must succeed.
pub(crate) fn run(program: &Path, arguments: &[&str]) -> String {
    let run = Command::new(program).args(arguments).output().expect("a judge");
    let out = String::from_utf8(run.stdout).expect("text");
    assert!(
        run.status.success(),
        "{} {arguments:?}:\n{out}{}",
        program.display(),
        String::from_utf8_lossy(&run.stderr)
    );
    out
}

/// What may pass between two ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Of every protocol.
    pub(crate) everything: bool,
    /// Ranges of ports, by protocol.
    pub(crate) ports: BTreeMap<String, Vec<(u16, u16)>>,
}

impl Allowed {
    #[allow(dead_code, reason = "only the agreement of four answers asks it")]
    pub(crate) fn allows(&self, protocol: &str, port: u16) -> bool {
        let within = |(min, max): &(u16, u16)| *min <= port && port <= *max;
        self.everything || self.ports.get(protocol).is_some_and(|ranges| ranges.iter().any(within))
    }

    fn add(&mut self, conn: &str) {
        if conn == "All connections" {
            self.everything = true;
            return;
        }
        let inner = conn.strip_prefix("{protocols:").and_then(|rest| rest.strip_suffix('}'));
        let inner = inner.unwrap_or_else(|| panic!("a connection of nca's: {conn}"));
        let (protocols, ports) = match inner.split_once(",dst_ports:") {
            Some((protocols, ports)) => (protocols, ports.split(',').map(range).collect()),
            None => (inner, vec![(1, 65535)]),
        };
        for protocol in protocols.split(',') {
            self.ports.entry(protocol.trim().to_owned()).or_default().extend(&ports);
        }
    }
}

fn range(text: &str) -> (u16, u16) {
    let number = |text: &str| text.trim().parse().unwrap_or_else(|_| panic!("a port of nca's: {text}"));
    match text.split_once('-') {
        Some((min, max)) => (number(min), number(max)),
        None => (number(text), number(text)),
    }
}

/// What nca says may pass, by source and destination: `namespace/pod`, or a range of addresses.
pub(crate) fn connectivity(place: &Path, file: &Path) -> BTreeMap<(String, String), Allowed> {
    let file = file.to_str().expect("a path that is text");
    let out = run(
        &place.join("nca"),
        &[
            "--connectivity",
            file,
            "-r",
            file,
            "--output_format",
            "txt_no_fw_rules",
            "--output_endpoints",
            "pods",
        ],
    );
    let mut all: BTreeMap<(String, String), Allowed> = BTreeMap::new();
    for line in out.lines() {
        let Some((from, rest)) = line.split_once(" => ") else { continue };
        let (to, conn) = rest.split_once(" : ").unwrap_or_else(|| panic!("a line of nca's: {line}"));
        all.entry((from.to_owned(), to.to_owned())).or_default().add(conn);
    }
    all
}
