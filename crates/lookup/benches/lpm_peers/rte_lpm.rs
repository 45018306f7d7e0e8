//! DPDK's `rte_lpm`, which is a library: `rte_lpm.c`, compiled here against Debian's `libdpdk-dev`, answers on a pipe.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use lookup::lpm::Prefix;

/// A running table with routes in it. Ends when dropped.
pub(crate) struct RteLpm {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl RteLpm {
    /// Compiles it, and has it take the routes in their order.
    pub(crate) fn start(routes: &[(Prefix<Ipv4Addr>, u32)], addresses: &[Ipv4Addr], burst: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [program, route_file, address_file] =
            ["rte_lpm", "routes", "addresses"].map(|name| folder.path().join(name));
        compile(&program);
        let words = |route: &(Prefix<Ipv4Addr>, u32)| {
            [route.0.address().to_bits(), route.0.len().into(), route.1].map(u32::to_ne_bytes).concat()
        };
        std::fs::write(&route_file, routes.iter().flat_map(words).collect::<Vec<_>>()).expect("room");
        let words = addresses.iter().flat_map(|address| address.to_bits().to_ne_bytes());
        std::fs::write(&address_file, words.collect::<Vec<_>>()).expect("room");
        let mut child = Command::new(program)
            .args([&route_file, &address_file])
            .arg(burst.to_string())
            .args(["--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "512", "--log-level=1"])
            .arg(format!("--lcores=0@({})", allowed_processors()))
            .env("RUNTIME_DIRECTORY", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("what has been compiled runs");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, orders, answers, _folder: folder }
    }

    /// A hash of what it finds for some of the addresses.
    pub(crate) fn results(&mut self, some: Range<usize>) -> u64 {
        self.ask(&format!("results {} {}", some.start, some.len())).trim().parse().expect("a number")
    }

    /// Nanoseconds of CPU a lookup, one pass over some of the addresses: one by one, in bulk, four at a time.
    pub(crate) fn lookups(&mut self, some: Range<usize>) -> [f64; 3] {
        numbers(&self.ask(&format!("lookups {} {}", some.start, some.len())))
    }

    /// Nanoseconds of CPU to take a route out and to put one in.
    pub(crate) fn updates(&mut self, count: usize) -> [f64; 2] {
        numbers(&self.ask(&format!("updates {count}")))
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders.as_mut().expect("until it is dropped"), "{order}").expect("it reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it writes");
        assert!(!answer.is_empty(), "rte_lpm ended at '{order}'; it says why above");
        answer
    }
}

impl Drop for RteLpm {
    fn drop(&mut self) {
        self.orders = None; // the end of its input
        let _ = self.child.wait();
    }
}

/// The same hash as in `rte_lpm.c`.
pub(crate) fn hash(answers: impl IntoIterator<Item = Option<u32>>) -> u64 {
    let step = |hash: u64, answer: Option<u32>| {
        hash.wrapping_mul(0x100_0000_01b3).wrapping_add(answer.unwrap_or(u32::MAX).into())
    };
    answers.into_iter().fold(0, step)
}

fn numbers<const COUNT: usize>(answer: &str) -> [f64; COUNT] {
    let numbers: Vec<f64> = answer.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    numbers.try_into().expect("as many as there are")
}

fn compile(program: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/lpm_peers/rte_lpm.c");
    let flags = Command::new("pkg-config").args(["--cflags", "libdpdk"]).output();
    let flags = flags.expect("pkg-config; Debian and Ubuntu have it in pkg-config, DPDK in libdpdk-dev");
    assert!(flags.status.success(), "no libdpdk; Debian and Ubuntu have it in libdpdk-dev");
    let status = Command::new("cc")
        .args(["-O3", "-o"])
        .arg(program)
        .arg(source)
        .args(String::from_utf8_lossy(&flags.stdout).split_whitespace())
        .args(["-lrte_lpm", "-lrte_eal"])
        .status();
    assert!(status.expect("cc; Debian and Ubuntu have it in gcc").success(), "{source} does not compile");
}

/// The processors this process may run on: DPDK would pin itself to the first of the machine.
fn allowed_processors() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.expect("Cpus_allowed_list").trim().to_owned()
}
