//! A small internet of namespaces with a translator in the middle, ours or the kernel's, and programs that run in it.
//!
//! ```text
//!  a 10.0.0.5 ─┐        ┌────── nat ───────┐
//!              lan ── in0: 10.0.0.1   192.0.2.2 :out0 ── 192.0.2.1 r 203.0.113.1 ── 203.0.113.9 s
//!  b 10.0.0.6 ─┘     gate 0  [function]  gate 1
//! ```
//!
//! The interfaces that the translator sends on have no offloads, so the kernel finishes the checksums it is told to finish
//! and cuts segments; then every frame is complete where it is captured.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use netbricks::functions::{self, Setup};
use netbricks::live::{Runner, Stop, Summary, pool};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A named network namespace, removed when dropped.
pub struct Netns(pub String);

impl Netns {
    fn new(lab: u32, role: &str) -> Self {
        let name = format!("nb-nat-{}-{lab}-{role}", std::process::id());
        must(Command::new("ip").args(["netns", "add", &name]));
        let ns = Self(name);
        ns.ip("link set lo up");
        ns
    }

    pub fn ip(&self, arguments: &str) {
        must(Command::new("ip").args(["-n", &self.0]).args(arguments.split_whitespace()));
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
        let output = self.program(line).output().unwrap();
        text(&output)
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

fn must(command: &mut Command) -> String {
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

/// nginx, which answers with the address and port it sees.
pub struct Web {
    ns: String,
    directory: tempfile::TempDir,
}

impl Web {
    pub fn start(ns: &Netns, listen: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let listens: String = listen.split(' ').map(|address| format!("listen {address};")).collect();
        let config = format!(
            "worker_processes 1; pid {path}/pid; error_log {path}/error; events {{}}
             http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p;
             fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
             server {{ {listens} default_type text/plain; return 200 \"$remote_addr $remote_port\"; }} }}"
        );
        std::fs::write(directory.path().join("conf"), config).unwrap();
        let web = Self { ns: ns.0.clone(), directory };
        // It goes into the background once it listens.
        web.nginx("");
        web
    }

    fn nginx(&self, arguments: &str) {
        let config = self.directory.path().join("conf");
        let log = self.directory.path().join("error");
        must(
            Command::new("ip")
                .args(["netns", "exec", &self.ns, "nginx", "-c"])
                .arg(config)
                .arg("-e")
                .arg(log)
                .args(arguments.split_whitespace())
                .stdin(Stdio::null()),
        );
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.nginx("-s stop");
    }
}

/// A server that answers every datagram with the address it saw and how many bytes came.
pub struct Echo {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub fn start(ns: &Netns, address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (is_ended, (ready, is_ready)) = (ended.clone(), std::sync::mpsc::channel());
        let thread = ns.enter(move || {
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            ready.send(()).unwrap();
            let mut buffer = [0; 65_536];
            while !is_ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                socket.send_to(format!("{from} {length}").as_bytes(), from).unwrap();
            }
        });
        is_ready.recv().unwrap();
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Asks a UDP server from a namespace, from a port; what it answers, or why not.
pub fn ask(ns: &Netns, from: &str, to: &str, payload: usize) -> String {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    ns.enter(move || {
        let socket = UdpSocket::bind(from).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.connect(to).unwrap();
        socket.send(&vec![7; payload]).unwrap();
        let mut buffer = [0; 2048];
        match socket.recv(&mut buffer) {
            Ok(length) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
            Err(error) => error.kind().to_string(),
        }
    })
    .join()
    .unwrap()
}

/// The function in a thread.
struct Running {
    stop: Stop,
    thread: Option<JoinHandle<Summary>>,
}

/// The whole internet. Fields are dropped in order: the function before its namespaces.
pub struct Lab {
    running: Option<Running>,
    pub a: Netns,
    pub b: Netns,
    lan: Netns,
    pub nat: Netns,
    pub router: Netns,
    pub server: Netns,
}

/// Addresses of the inside: of the translator, `a` and `b`.
pub struct Inside {
    pub gateway: &'static str,
    pub hosts: [&'static str; 2],
    pub length: u8,
}

pub const V4: Inside = Inside { gateway: "10.0.0.1", hosts: ["10.0.0.5", "10.0.0.6"], length: 24 };
pub const V6: Inside = Inside { gateway: "fd00::1", hosts: ["fd00::5", "fd00::6"], length: 64 };

impl Lab {
    /// Namespaces and links, nobody in the middle yet.
    pub fn new(inside: &Inside) -> Self {
        let lab = NEXT.fetch_add(1, Ordering::Relaxed);
        let [a, b, lan, nat, router, server] =
            ["a", "b", "lan", "nat", "r", "s"].map(|role| Netns::new(lab, role));
        for quiet in [&lan, &nat] {
            quiet.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
        }
        lan.ip("link add br0 type bridge");
        lan.ip("link set br0 up");
        for (host, address, port) in [(&a, inside.hosts[0], "a0"), (&b, inside.hosts[1], "b0")] {
            lan.ip(&format!("link add {port} type veth peer name eth0 netns {}", host.0));
            lan.ip(&format!("link set {port} master br0 up"));
            host.ip("link set eth0 up");
            host.ip(&format!("addr add {address}/{} dev eth0{}", inside.length, nodad(address)));
            host.ip(&format!("route add default via {}", inside.gateway));
        }
        nat.ip(&format!("link add in0 type veth peer name in1 netns {}", lan.0));
        lan.ip("link set in1 master br0 up");
        nat.ip("link set in0 up");
        nat.ip(&format!("link add out0 type veth peer name eth0 netns {}", router.0));
        nat.ip("link set out0 up");
        router.ip("link set eth0 up");
        router.ip("addr add 192.0.2.1/24 dev eth0");
        router.ip(&format!("link add eth1 type veth peer name eth0 netns {}", server.0));
        router.ip("link set eth1 up");
        router.ip("addr add 203.0.113.1/24 dev eth1");
        router.run("sysctl -qw net.ipv4.ip_forward=1");
        for talkative in [&router, &server] {
            // The limit on errors is one for all tests that run at a time.
            talkative.run("sysctl -qw net.ipv4.icmp_ratemask=0");
        }
        server.ip("link set eth0 up");
        server.ip("addr add 203.0.113.9/24 dev eth0");
        server.ip("route add default via 203.0.113.1");
        for port in ["in0", "out0"] {
            nat.run(&format!("ethtool -K {port} tx off tso off gso off"));
        }
        Self { running: None, a, b, lan, nat, router, server }
    }

    /// Puts our function in the middle.
    pub fn ours(inside: &Inside, words: &str) -> Self {
        let mut lab = Self::new(inside);
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let stop = Stop::new();
        let (its, (ready, is_ready)) = (stop.clone(), std::sync::mpsc::channel());
        let thread = lab.nat.enter(move || {
            let ports = ["veth:in0", "veth:out0"].map(|port| port.parse().unwrap());
            let pool = pool(&ports).unwrap();
            let setup = Setup { pool: pool.clone(), key: 0x5eed, seed: 1 };
            let line = functions::build(&words, &setup).unwrap();
            let mut runner = Runner::new(Box::new(line), pool).unwrap();
            ports.iter().for_each(|port| runner.open(port).unwrap());
            ready.send(()).unwrap();
            runner.run(&its).unwrap()
        });
        is_ready.recv().unwrap();
        lab.running = Some(Running { stop, thread: Some(thread) });
        lab
    }

    /// Puts the kernel in the middle: the same router with nftables' masquerading.
    pub fn kernel() -> Self {
        let lab = Self::new(&V4);
        lab.nat.ip("addr add 10.0.0.1/24 dev in0");
        lab.nat.ip("addr add 192.0.2.2/24 dev out0");
        lab.nat.ip("route add default via 192.0.2.1");
        lab.nat.run("sysctl -qw net.ipv4.ip_forward=1");
        let rules = "
            table ip nat {
              chain post {
                type nat hook postrouting priority 100
                oifname out0 masquerade
              }
              chain pre {
                type nat hook prerouting priority -100
                iifname out0 tcp dport 8080 dnat to 10.0.0.6:80
              }
            }";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), rules).unwrap();
        lab.nat.run(&format!("nft -f {}", file.path().display()));
        lab
    }

    /// Ends our function; what it has counted.
    pub fn finish(&mut self) -> Summary {
        let running = self.running.as_mut().expect("our function runs");
        running.stop.stop();
        running.thread.take().unwrap().join().unwrap()
    }

    /// Captures what comes in on an interface while `work` runs, and has tcpdump look at every checksum. Returns how many
    /// packets it saw.
    pub fn captured(&self, ns: &Netns, interface: &str, work: impl FnOnce()) -> usize {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        let tcpdump =
            format!("tcpdump -Z root --immediate-mode -U -n -i {interface} -Q in -w {path} ip or ip6");
        let tcpdump = Program::start(ns.program(&tcpdump), true, "listening on");
        work();
        tcpdump.interrupt();
        let said = must(Command::new("tcpdump").args(["-n", "-vv", "-r"]).arg(file.path()));
        for line in said.lines() {
            let is_wrong =
                ["incorrect", "bad cksum", "bad udp cksum", "wrong"].iter().any(|w| line.contains(w));
            assert!(!is_wrong, "on {interface}: {line}");
        }
        said.lines().filter(|line| line.contains("cksum") || line.contains("ICMP")).count()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(Running { stop, thread: Some(thread) }) = self.running.take() {
            stop.stop();
            let _ = thread.join();
        }
    }
}

fn nodad(address: &str) -> &'static str {
    if address.contains(':') { " nodad" } else { "" }
}
