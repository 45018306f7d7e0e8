//! Network namespaces for tests, made and entered by threads, removed on every path.
#![allow(dead_code, unreachable_pub)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use packet::Batch;
use ports::{LinkState, Port, PortError, RxQueue};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A named network namespace, removed when dropped.
pub struct Netns(pub String);

impl Netns {
    pub fn new() -> Self {
        let name = format!("wt{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&format!("ip netns add {name}"));
        let ns = Self(name);
        ns.ip("link set lo up");
        ns.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        ns
    }

    /// Runs `ip` in the namespace.
    pub fn ip(&self, arguments: &str) {
        run(&format!("ip -n {} {arguments}", self.0));
    }

    /// Runs a command in the namespace.
    pub fn run(&self, command: &str) {
        run(&format!("ip netns exec {} {command}", self.0));
    }

    /// Runs `work` on a thread that has entered the namespace.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let path = format!("/run/netns/{}", self.0);
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    let ns = std::fs::File::open(path).unwrap();
                    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&ns), kind).unwrap();
                    work()
                })
                .join()
                .unwrap()
        })
    }

    /// Brings an interface up with an address, and with a neighbour whose Ethernet address follows from its IP
    /// address, so that no ARP is needed.
    pub fn address(&self, interface: &str, address: &str, neighbour: &str) {
        let mac = |address: &str| format!("02:00:00:00:00:{:0>2}", address.rsplit('.').next().unwrap());
        self.ip(&format!("link set {interface} address {} up", mac(address)));
        self.ip(&format!("addr add {address}/24 dev {interface}"));
        self.ip(&format!("neigh replace {neighbour} lladdr {} dev {interface}", mac(neighbour)));
    }

    /// A veth pair with both ends here, up.
    pub fn veth(&self, a: &str, b: &str) {
        self.ip(&format!("link add {a} type veth peer name {b}"));
        self.ip(&format!("link set {a} up"));
        self.ip(&format!("link set {b} up"));
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

pub fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Passes packets between two ports until told to stop; returns the longest frame seen.
pub fn forward(a: &mut dyn Port, b: &mut dyn Port, stop: &AtomicBool) -> usize {
    let (mut rx_a, mut tx_a) = a.queue(0).unwrap();
    let (mut rx_b, mut tx_b) = b.queue(0).unwrap();
    let (mut longest, mut batch, start) = (0, Batch::new(), Instant::now());
    while !stop.load(Ordering::Relaxed) {
        assert!(start.elapsed() < Duration::from_secs(30), "{} | {}", a.counters(), b.counters());
        let mut moved = 0;
        for (rx, tx) in [(&mut rx_a, &mut tx_b), (&mut rx_b, &mut tx_a)] {
            moved += rx.receive(&mut batch).unwrap();
            for packet in &batch {
                longest = longest.max(packet.len());
            }
            while !batch.is_empty() && !stop.load(Ordering::Relaxed) {
                tx.send(&mut batch).unwrap();
            }
        }
        if moved == 0 {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
    longest
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// Waits for the link: the kernel tells of a carrier a moment after it is there.
pub fn wait_up(port: &dyn Port) {
    let start = Instant::now();
    while port.link() != LinkState::Up {
        assert!(start.elapsed() < Duration::from_secs(5), "{} stays down", port.info().name);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What arrives first; nothing after 5 s.
pub fn receive(rx: &mut dyn RxQueue) -> Batch {
    let (mut batch, start) = (Batch::new(), Instant::now());
    while batch.is_empty() && start.elapsed() < Duration::from_secs(5) {
        rx.receive(&mut batch).unwrap();
    }
    batch
}

/// The interface `port0` of a port that has 10.9.0.1 at its other end comes up again and delivers; then it is deleted,
/// and the port says so.
pub fn comes_back_and_is_deleted(ns: &Netns, port: &dyn Port, rx: &mut dyn RxQueue) {
    ns.ip("link set port0 up");
    wait_up(port);
    let socket = ns.enter(|| UdpSocket::bind("10.9.0.1:7000").unwrap());
    socket.send_to(b"back", "10.9.0.2:7000").unwrap();
    assert!(receive(rx)[0].data().ends_with(b"back"));
    ns.ip("link del port0");
    assert_eq!(port.link(), LinkState::Down);
    let ended = (0..1000).find_map(|_| rx.receive(&mut Batch::new()).err());
    assert!(matches!(ended, Some(PortError::Missing { .. })), "{ended:?}");
}

/// Sends bytes over TCP from 10.9.0.1 in `left` to 10.9.0.2 in `right` while packets pass between the ports, and checks
/// that they arrive; returns the longest frame seen.
pub fn transfer(left: &Netns, right: &Netns, a: &mut dyn Port, b: &mut dyn Port, bytes: &[u8]) -> usize {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let forwarder = scope.spawn(|| forward(a, b, &stop));
        let listener = right.enter(|| TcpListener::bind("10.9.0.2:5000").unwrap());
        let receiver = scope.spawn(move || {
            let mut received = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            received
        });
        let mut stream = left.enter(|| TcpStream::connect("10.9.0.2:5000").unwrap());
        stream.write_all(bytes).unwrap();
        drop(stream);
        let received = receiver.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(received == bytes, "{} bytes of {} arrived, or changed", received.len(), bytes.len());
        forwarder.join().unwrap()
    })
}
