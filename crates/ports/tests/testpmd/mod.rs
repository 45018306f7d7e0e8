//! DPDK's `dpdk-testpmd` as a peer: one memif port, driven by its prompt.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// As long as it may take to start or to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many packet buffers it has.
const BUFFERS: usize = 4096;
/// How often it is asked what has not come about yet.
const AGAIN: Duration = Duration::from_millis(20);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A running testpmd, killed when dropped.
pub struct Testpmd {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Testpmd {
    /// Starts one with a device such as `net_memif0,role=client,socket=lab`, which forwards on that core.
    pub fn start(device: &str, mode: &str, core: usize, more: &[&str]) -> Self {
        let cores = format!("{},{core}", 1 - core);
        let (main, total) = ((1 - core).to_string(), format!("--total-num-mbufs={BUFFERS}"));
        let prefix = format!("ports{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (mode, vdev) = (format!("--forward-mode={mode}"), format!("--vdev={device}"));
        // Line by line, although nobody sits there.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "dpdk-testpmd"])
            .args(["--no-huge", "-m", "128", "--no-pci", "--no-telemetry", "--file-prefix", &prefix])
            .args(["-l", &cores, "--main-lcore", &main, &vdev, "--", "-i", "--burst=32", &total, &mode])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dpdk-testpmd: `tests/install.sh test` installs it");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // It ends with the process.
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, input, lines }
    }

    /// Gives an order.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("testpmd listens");
    }

    /// The first line from here on that has these words.
    pub fn hear(&mut self, words: &str) -> String {
        let start = Instant::now();
        let mut heard = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => heard.push_str(&format!("{line}\n")),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no `{words}` in:\n{heard}")
                }
            }
        }
    }

    /// Waits until its link is up.
    pub fn until_up(&mut self) {
        let start = Instant::now();
        loop {
            self.say("show port info 0");
            if self.hear("Link status:").contains("up") {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "its link stays down");
            std::thread::sleep(AGAIN);
        }
    }

    /// What it has received and sent so far.
    pub fn packets(&mut self) -> (u64, u64) {
        self.say("show port stats 0");
        (number(&self.hear("RX-packets:"), "RX-packets:"), number(&self.hear("TX-packets:"), "TX-packets:"))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// The number behind a word.
pub fn number(line: &str, word: &str) -> u64 {
    let (_, rest) = line.split_once(word).unwrap_or_else(|| panic!("{word} in {line}"));
    let digits = rest.trim_start().split(|letter: char| !letter.is_ascii_digit()).next();
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("a number behind {word} in {line}"))
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // It polls: a peer must not outlive the test.
        let _ = (self.child.kill(), self.child.wait());
    }
}
