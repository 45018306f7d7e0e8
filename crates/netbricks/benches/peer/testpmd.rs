//! DPDK's `dpdk-testpmd`, from Debian's `dpdk-dev`: forwards packets between two virtual devices with one worker thread,
//! whose CPU time is measured. For the benchmarks of any crate.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Buffers that it has in all.
pub(crate) const BUFFERS: usize = 8192;
/// How long it may take to end.
const END: Duration = Duration::from_secs(5);

/// CPU nanoseconds that a thread has used: `thread-self`, or `PID/task/TID`.
pub(crate) fn cpu_ns(task: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{task}/schedstat")).expect("schedstat");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

/// The middle one of an odd number of values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What it receives from and sends to, twice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Device<'a> {
    /// `net_null`: a received packet is a buffer of so many bytes, which nobody writes; a sent one goes back to the pool.
    Null(usize),
    /// `net_pcap`: a received packet is a buffer into which the one frame of this file is copied.
    Copied(&'a Path),
}

impl Device<'_> {
    fn words(self, number: usize) -> String {
        match self {
            Self::Null(size) => format!("net_null{number},size={size}"),
            Self::Copied(file) => format!("net_pcap{number},rx_pcap={},infinite_rx=1", file.display()),
        }
    }
}

/// A running testpmd.
pub(crate) struct Testpmd {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Testpmd {
    /// Starts it; it forwards nothing yet.
    pub(crate) fn start(mode: &str, device: Device<'_>) -> Self {
        let prefix = format!("weft{}", std::process::id());
        let total = format!("--total-num-mbufs={BUFFERS}");
        let forward = format!("--forward-mode={mode}");
        // A line at a time, so that what it says of the packets is read before it ends.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "dpdk-testpmd"])
            .args(["--no-huge", "-m", "256", "--no-pci", "-l", "0,1", "--no-telemetry"])
            .args(["--file-prefix", &prefix])
            .args(["--vdev", &device.words(0), "--vdev", &device.words(1), "--", "-i", "--burst=32"])
            .args([&total, &forward])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dpdk-testpmd: `tests/install.sh bench` installs it");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, input, output }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("testpmd listens");
    }

    /// The thread that forwards, once it is there.
    fn worker(&mut self) -> String {
        loop {
            assert!(self.child.try_wait().expect("its state").is_none(), "testpmd has ended");
            let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
            for task in tasks.flatten() {
                if fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.contains("worker")) {
                    return format!("{}/task/{}", self.child.id(), task.file_name().display());
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The next line of its output with these words in it.
    fn read_to(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("what it says") > 0, "testpmd has ended");
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Has it forward for so long. CPU nanoseconds per packet: all the worker's CPU time by all packets received; before
    /// `start` and after `stop` it sleeps.
    pub(crate) fn measure(mut self, time: Duration) -> f64 {
        self.say("start");
        let worker = self.worker();
        std::thread::sleep(time);
        self.say("stop");
        // Where the machine is busy the worker may go on for a while.
        self.read_to("Accumulated forward statistics");
        let counts = self.read_to("RX-packets:");
        self.read_to("Done.");
        let cpu = cpu_ns(&worker);
        let (_, count) = counts.split_once("RX-packets:").expect("a count");
        let packets: u64 = count.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
        cpu as f64 / packets as f64
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // The bench may be unwinding: a peer must not outlive it.
        let _ = writeln!(self.input, "quit");
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = (self.child.kill(), self.child.wait());
    }
}
