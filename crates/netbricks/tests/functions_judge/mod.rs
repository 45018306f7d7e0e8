//! Hosts of their own namespace, each on a wire to a function in the middle, or to the kernel in its place.
//!
//! ```text
//!  host 0 [eth0]──veth──[p0]┐            ┌[p1]──veth──[eth0] host 1
//!                           └ [function] ┤
//!                              middle    └[p2]──veth──[eth0] host 2
//! ```
#![allow(dead_code, unreachable_pub)]

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netbricks::functions::{Kind, Setup};
use netbricks::live::{Runner, Stop, Summary, pool};
use netbricks::{Args, NetworkFunction};
use packet::{Batch, Pool};
use ports::packet_socket::{PacketConfig, PacketPort};
use ports::{LinkState, Port, PortSpec, RxQueue, TxQueue};

static NEXT: AtomicU32 = AtomicU32::new(0);
/// What does not happen by then does not happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A named network namespace, removed when dropped.
pub struct Netns(String);

impl Netns {
    pub fn new(role: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let ns = Self(format!("nb-fw-{}-{number}-{role}", std::process::id()));
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

    fn program(&self, line: &str) -> Command {
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

    /// One end of a wire as a port, its other end in another namespace.
    pub fn wire(&self, name: &str, pool: &Pool) -> Wire {
        let (interface, pool) = (name.to_owned(), pool.clone());
        let mut port = self
            .enter(move || PacketPort::open(&interface, &PacketConfig::default(), &pool))
            .join()
            .unwrap()
            .unwrap();
        let start = Instant::now();
        while port.link() != LinkState::Up {
            assert!(start.elapsed() < PATIENCE, "{name} stays down");
            std::thread::yield_now();
        }
        let (rx, tx) = port.queue(0).unwrap();
        Wire { _port: port, rx, tx }
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

fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}: `tests/install.sh` installs what is missing; be root")
    });
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

/// An interface in our hands.
pub struct Wire {
    _port: PacketPort,
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
}

impl Wire {
    pub fn send(&mut self, pool: &Pool, frame: &[u8]) {
        let mut batch = Batch::new();
        batch.push(pool.packet(frame).expect("a buffer")).unwrap();
        let start = Instant::now();
        while self.tx.send(&mut batch).unwrap() == 0 {
            assert!(start.elapsed() < PATIENCE, "the wire takes nothing");
        }
    }

    /// What has come in, once something has.
    pub fn receive(&mut self) -> Vec<Vec<u8>> {
        let start = Instant::now();
        loop {
            let mut batch = Batch::new();
            self.rx.receive(&mut batch).unwrap();
            if !batch.is_empty() {
                return batch.iter().map(|packet| packet.data().to_vec()).collect();
            }
            assert!(start.elapsed() < PATIENCE, "nothing comes");
            let ready = self.rx.poll_fd().unwrap();
            let a_second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            let mut ready = [rustix::event::PollFd::new(&ready, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut ready, Some(&a_second)).unwrap();
        }
    }
}

pub fn setup(pool: &Pool) -> Setup {
    Setup { pool: pool.clone(), key: 0x5eed, seed: 1 }
}

pub fn function(name: &str, words: &[&str], pool: &Pool) -> Box<dyn NetworkFunction> {
    let mut args = Args::parse(name, words).unwrap();
    Kind::find(name).unwrap().build(&mut args, &setup(pool)).unwrap()
}

/// Hosts on wires to a function that runs.
pub struct Lab {
    pub hosts: Vec<Netns>,
    stop: Stop,
    run: Option<JoinHandle<Summary>>,
    _middle: Netns,
}

impl Lab {
    /// Each host has addresses of its own on `eth0`, and more as `ip` takes it.
    pub fn new(hosts: &[&[&str]], name: &str, words: &[&str]) -> Self {
        let middle = Netns::new("mid");
        let mut namespaces = Vec::new();
        for (at, commands) in hosts.iter().enumerate() {
            let host = Netns::new(&format!("h{at}"));
            middle.ip(&format!("link add p{at} type veth peer name eth0 netns {}", host.0));
            middle.ip(&format!("link set p{at} up"));
            host.ip(&format!("link set eth0 address 02:00:00:00:01:0{at} up"));
            commands.iter().for_each(|command| host.ip(command));
            namespaces.push(host);
        }
        middle.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        let (stop, (ready, is_ready)) = (Stop::new(), mpsc::channel());
        let (until, gates) = (stop.clone(), hosts.len());
        let (name, words) =
            (name.to_owned(), words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let run = middle.enter(move || {
            let specs: Vec<PortSpec> =
                (0..gates).map(|at| format!("packet:p{at}").parse().unwrap()).collect();
            let pool = pool(&specs).unwrap();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut runner = Runner::new(function(&name, &words, &pool), pool).unwrap();
            specs.iter().for_each(|spec| runner.open(spec).unwrap());
            ready.send(()).unwrap();
            runner.run(&until).unwrap()
        });
        is_ready.recv().expect("the function runs");
        Self { hosts: namespaces, stop, run: Some(run), _middle: middle }
    }

    /// Ends the run.
    pub fn finish(mut self) -> Summary {
        self.stop.stop();
        self.run.take().unwrap().join().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.stop();
        let _ = self.run.take().map(JoinHandle::join);
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// The seed of a run, printed: `WEFT_TEST_SEED` repeats it.
pub fn seed() -> u64 {
    let fresh = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("WEFT_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(fresh);
    eprintln!("WEFT_TEST_SEED={seed}");
    seed
}
