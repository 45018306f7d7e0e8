//! Namespaces, and programs in them.

use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

static NEXT: AtomicU32 = AtomicU32::new(0);
/// What does not happen by then does not happen.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a question that was answered with no is not asked again.
const PAUSE: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// Asks again and again, until the answer is yes.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it never came to this: {what}");
        let _ = rustix::event::poll(&mut [], Some(&PAUSE));
    }
}

/// A named network namespace, removed when dropped.
pub struct Netns(String);

impl Netns {
    pub fn new(role: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let ns = Self(format!("nb-lab-{}-{number}-{role}", std::process::id()));
        must(Command::new("ip").args(["netns", "add", &ns.0]));
        ns.run("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
        ns.ip("link set lo up");
        ns
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn ip(&self, arguments: &str) {
        must(Command::new("ip").args(["-n", &self.0]).args(arguments.split_whitespace()));
    }

    /// Nothing of the kernel's own but what IPv4 says.
    pub fn without_ipv6(&self) {
        self.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    }

    /// A program in the namespace.
    pub fn program(&self, line: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).args(line.split_whitespace()).stdin(Stdio::null());
        command
    }

    /// Runs a program that must do well, and returns what it printed.
    pub fn run(&self, line: &str) -> String {
        must(&mut self.program(line))
    }

    /// Runs a program, and returns what it printed, well or not.
    pub fn tries(&self, line: &str) -> String {
        text(&self.program(line).output().unwrap())
    }

    /// Feeds text to a program that must do well, and returns what it printed.
    pub fn feed(&self, line: &str, input: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), input).unwrap();
        must(self.program(line).stdin(std::fs::File::open(file.path()).unwrap()))
    }

    /// What the kernel's table says of addresses: the number of the interface `d0`, `d1` … and the next hop, for those that
    /// have a route. `asks` is a `route get` on each line.
    pub fn tries_batch(&self, asks: &str) -> Vec<(IpAddr, (u16, IpAddr))> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), asks).unwrap();
        let mut command = self.program("ip -force -batch -");
        let output = command.stdin(std::fs::File::open(file.path()).unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let hop = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let behind = |key| words.iter().position(|word| *word == key).map(|at| words[at + 1]);
            let gate = behind("dev")?.strip_prefix('d')?.parse().ok()?;
            Some((words.first()?.parse().ok()?, (gate, behind("via")?.parse().ok()?)))
        };
        said.lines().filter_map(hop).collect()
    }

    /// Runs `work` on a thread that has entered the namespace.
    pub fn enter<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
        let path = format!("/run/netns/{}", self.0);
        std::thread::spawn(move || {
            let ns = std::fs::File::open(path).unwrap();
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(ns.as_fd(), kind).unwrap();
            work()
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a program that must do well, and returns what it printed.
pub fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}: `tests/install.sh` installs what is missing; be root")
    });
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

/// A program in the background, ended when dropped.
pub struct Program(Child);

impl Program {
    /// Starts a program and waits until a line on its standard output, or error, contains `ready`.
    pub fn start(mut command: Command, on_error: bool, ready: &str) -> Self {
        let (out, error) = (Stdio::piped(), Stdio::piped());
        let mut program = Self(command.stdout(out).stderr(error).spawn().unwrap());
        let child = &mut program.0;
        let output: Box<dyn Read + Send> = match on_error {
            true => Box::new(child.stderr.take().unwrap()),
            false => Box::new(child.stdout.take().unwrap()),
        };
        let mut lines = BufReader::new(output).lines();
        let is_ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains(ready));
        assert!(is_ready, "{command:?} never said {ready:?}");
        // Its output goes on to be read, so that it does not stop for want of somebody to listen.
        std::thread::spawn(move || lines.for_each(drop));
        program
    }

    /// Ends it as a person would.
    pub fn interrupt(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
