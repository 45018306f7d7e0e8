//! Runs on ports of the kernel, in network namespaces of their own; needs root.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use netbricks::functions::{self, Setup};
use netbricks::live::{Ended, Handle, Runner, Stop, Summary, pool};
use packet::pcap::{LinkType, Writer};
use packet::{Batch, Pool, PoolConfig};
use ports::{LinkState, Port, PortError, PortSpec, RxQueue, TxQueue};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_secs(20);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A named network namespace without IPv6, where nobody sends unasked; removed when dropped.
struct Netns(String);

impl Netns {
    fn new() -> Self {
        let name = format!("nb-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&format!("ip netns add {name}"));
        let ns = Self(name);
        ns.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
        ns
    }

    fn run(&self, command: &str) {
        run(&format!("ip netns exec {} {command}", self.0));
    }

    /// Runs `work` on a thread that has entered the namespace.
    fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let path = format!("/run/netns/{}", self.0);
        let work = move || {
            let ns = File::open(path).unwrap();
            move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(work).join().unwrap())
    }

    /// A pair of interfaces, both up.
    fn veth(&self, a: &str, b: &str) {
        self.run(&format!("ip link add {a} type veth peer name {b}"));
        self.run(&format!("ip link set {a} up"));
        self.run(&format!("ip link set {b} up"));
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output();
    let output =
        output.unwrap_or_else(|error| panic!("{command}: {error}: install iproute2, procps; be root"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// A run of macswap between ports that are opened in a namespace, on a thread of its own while `test` goes on.
fn running<R>(ns: &Netns, specs: [&str; 2], test: impl FnOnce(&Handle) -> R) -> (R, Summary) {
    let specs = specs.map(|spec| spec.parse::<PortSpec>().unwrap());
    let pool = pool(&specs).unwrap();
    let line = functions::build(&["macswap"], &Setup { pool: pool.clone(), key: 1, seed: 1 }).unwrap();
    let mut runner = Runner::new(Box::new(line), pool).unwrap();
    let runner = ns.enter(move || {
        specs.iter().for_each(|spec| runner.open(spec).unwrap());
        runner
    });
    let (handle, stop) = (runner.handle(), Stop::new());
    std::thread::scope(|scope| {
        let stop_at_the_end = StopOnDrop(stop.clone());
        let run = scope.spawn(move || runner.run(&stop).unwrap());
        let result = test(&handle);
        drop(stop_at_the_end);
        (result, run.join().unwrap())
    })
}

/// A test that fails stops the run as well.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[test]
fn the_kernel_talks_through_macswap() {
    // Each host takes its own address for the other's: what arrives was swapped.
    let (middle, left, right) = (Netns::new(), Netns::new(), Netns::new());
    for (ns, near, address, other) in
        [(&left, "in0", "10.9.0.1", "10.9.0.2"), (&right, "out0", "10.9.0.2", "10.9.0.1")]
    {
        middle.run(&format!("ip link add {near} type veth peer name eth0 netns {}", ns.0));
        middle.run(&format!("ip link set {near} up"));
        ns.run("ip link set eth0 address 02:00:00:00:00:01 up");
        ns.run(&format!("ip addr add {address}/24 dev eth0"));
        ns.run(&format!("ip neigh replace {other} lladdr 02:00:00:00:00:02 dev eth0"));
    }
    let (sent, summary) = running(&middle, ["veth:in0", "veth:out0"], |handle| {
        left.run("ping -n -c 3 -i 0.01 -W 10 10.9.0.2");
        let report = handle.report().unwrap();
        assert!(report.packets_in >= 6 && report.packets_in == report.packets_out, "{report:?}");
        let bytes: Vec<u8> = (0..4_000_000u32).map(|n| (n * 7 / 3) as u8).collect();
        let listener = right.enter(|| TcpListener::bind("10.9.0.2:5000").unwrap());
        let mut from = left.enter(|| TcpStream::connect("10.9.0.2:5000").unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                from.write_all(&bytes).unwrap();
                drop(from);
            });
            let (mut received, mut stream) = (Vec::new(), listener.accept().unwrap().0);
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.read_to_end(&mut received).unwrap();
            assert!(received == bytes, "{} bytes arrived", received.len());
        });
        bytes.len() as u64
    });
    assert_eq!(summary.ended, Some(Ended::Stopped));
    assert!(summary.ports[1].counters.tx_bytes > sent, "{}", summary.ports[1].counters);
}

/// Frames of many lengths and kinds; none that an interface would refuse.
fn frames() -> Vec<Vec<u8>> {
    let frame = |n: usize| {
        let kind = [[0x08, 0x00], [0x88, 0xb5], [0x81, 0x00], [0x86, 0xdd]][n % 4];
        let payload = (0..46 + n * 9).map(|at| (at * 31 + n) as u8).collect::<Vec<_>>();
        [&[2, 0, 0, 0, n as u8, 1, 2, 0, 0, 0, n as u8, 2], &kind[..], &payload].concat()
    };
    (0..160).map(frame).collect()
}

/// What macswap writes to a capture, for frames that come in at gate 0 and then at gate 1.
fn over_captures(frames: &[Vec<u8>]) -> [Vec<Vec<u8>>; 2] {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let spec = |gate: usize| -> PortSpec {
        let mut writer = Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
        frames.iter().zip(1..).for_each(|(frame, time_ns)| writer.write(time_ns, frame).unwrap());
        std::fs::write(path(&format!("in{gate}")), writer.into_inner().unwrap()).unwrap();
        format!("pcap:{},out={}", path(&format!("in{gate}")), path(&format!("out{gate}"))).parse().unwrap()
    };
    let specs = [spec(0), spec(1)];
    let pool = pool(&specs).unwrap();
    let line = functions::build(&["macswap"], &Setup { pool: pool.clone(), key: 1, seed: 1 }).unwrap();
    let mut runner = Runner::new(Box::new(line), pool).unwrap();
    specs.iter().for_each(|spec| runner.open(spec).unwrap());
    runner.run(&Stop::new()).unwrap();
    // What came in at gate 0 left at gate 1.
    [1, 0].map(|gate| {
        let mut capture = packet::pcap::open(path(&format!("out{gate}"))).unwrap();
        std::iter::from_fn(|| capture.next().unwrap().map(|record| record.data.to_vec())).collect()
    })
}

/// Of no interest; its addresses are alike, so that it stays what it is.
const GREETING: [u8; 60] = [2; 60];

/// The far ends of the ports of a run.
struct Far {
    pool: Pool,
    ports: Vec<Box<dyn Port>>,
    queues: Vec<(Box<dyn RxQueue>, Box<dyn TxQueue>)>,
}

impl Far {
    fn open(ns: &Netns, specs: [&str; 2]) -> Self {
        let pool = Pool::new(PoolConfig { buffers: 256, ..PoolConfig::default() }).unwrap();
        let open = |spec: &str| ns.enter(|| ports::open(&spec.parse().unwrap(), &pool).unwrap());
        let mut ports = specs.map(open).into_iter().collect::<Vec<_>>();
        let queues = ports.iter_mut().map(|port| port.queue(0).unwrap()).collect();
        Self { pool, ports, queues }
    }

    /// Has the run receive a greeting at each gate. A Unix socket is connected before its port has accepted the client,
    /// and drops what it would send to nobody; whoever was heard is somebody.
    fn greet(&mut self, handle: &Handle) {
        for (queue, heard) in self.queues.iter_mut().zip(1..) {
            let mut batch = Batch::new();
            batch.push(self.pool.packet(&GREETING).unwrap()).unwrap();
            queue.1.send(&mut batch).unwrap();
            until("the greeting is heard", || handle.report().unwrap().packets_in == heard);
        }
    }

    /// Sends frames in at one gate, one by one, and returns what comes out at the other.
    fn through(&mut self, gate: usize, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let (mut out, mut batch) = (Vec::new(), Batch::new());
        for (frame, sent) in frames.iter().zip(1..) {
            batch.push(self.pool.packet(frame).unwrap()).unwrap();
            until("the far end takes a frame", || {
                self.queues[gate].1.send(&mut batch).unwrap();
                batch.is_empty()
            });
            until("a frame comes out", || {
                self.queues[gate ^ 1].0.receive(&mut batch).unwrap();
                let frames = batch.drain(..).map(|packet| packet.data().to_vec());
                // The greeting arrives where somebody was there to take it.
                out.extend(frames.filter(|frame| *frame != GREETING));
                out.len() >= sent
            });
        }
        out
    }
}

#[test]
fn the_same_bytes_come_out_over_every_kind_of_port() {
    let frames = frames();
    let expected = over_captures(&frames);
    assert_eq!((expected[0].len(), expected[1].len()), (frames.len(), frames.len()));
    assert_eq!(expected[0][3][..12], [2, 0, 0, 0, 3, 2, 2, 0, 0, 0, 3, 1]);
    let name = |gate: &str| format!("unix:@nb-{}-{gate}", std::process::id());
    let (inside, outside) = (name("inside"), name("outside"));
    let (inside_far, outside_far) = (format!("{inside},connect=on"), format!("{outside},connect=on"));
    for (near, far) in [
        (["veth:in0", "veth:out0"], ["packet:in1", "packet:out1"]),
        (["xdp:in0", "xdp:out0"], ["packet:in1", "packet:out1"]),
        // A TAP interface's other end is the interface itself.
        (["tap:in0", "tap:out0"], ["packet:in0", "packet:out0"]),
        ([&*inside, &*outside], [&*inside_far, &*outside_far]),
    ] {
        let ns = Netns::new();
        if far[0] == "packet:in1" {
            ns.veth("in0", "in1");
            ns.veth("out0", "out1");
        }
        let (out, summary) = running(&ns, near, |handle| {
            if far[0] == "packet:in0" {
                ns.run("ip link set in0 up");
                ns.run("ip link set out0 up");
            }
            let mut far = Far::open(&ns, far);
            until("the links are up", || far.ports.iter().all(|port| port.link() == LinkState::Up));
            far.greet(handle);
            [far.through(0, &frames), far.through(1, &frames)]
        });
        assert!(
            out == expected,
            "{near:?}: {:?} differ",
            out.iter().zip(&expected).map(|(a, b)| a == b).collect::<Vec<_>>()
        );
        assert_eq!((summary.packets_in, summary.drops.total()), (2 * frames.len() as u64 + 2, 0), "{near:?}");
    }
}

#[test]
fn a_capture_is_played_into_an_interface_to_its_end() {
    let ns = Netns::new();
    ns.veth("out0", "out1");
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("in.pcap");
    let mut writer = Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    let frames = frames();
    frames.iter().zip(1..).for_each(|(frame, time_ns)| writer.write(time_ns, frame).unwrap());
    std::fs::write(&capture, writer.into_inner().unwrap()).unwrap();
    let pool = Pool::new(PoolConfig { buffers: 512, ..PoolConfig::default() }).unwrap();
    let mut far = ns.enter(|| ports::open(&"packet:out1".parse().unwrap(), &pool).unwrap());
    let specs = [&format!("pcap:{}", capture.display()), "veth:out0"];
    let ((), summary) = running(&ns, specs, |handle| until("the run ends", || handle.report().is_err()));
    assert_eq!((summary.packets_out, summary.drops.total()), (frames.len() as u64, 0));
    assert_eq!(summary.ended, Some(Ended::Played));
    let (mut rx, mut batch, mut came) = (far.queue(0).unwrap().0, Batch::new(), Vec::new());
    until("all frames have come", || {
        rx.receive(&mut batch).unwrap();
        came.extend(batch.drain(..).map(|packet| packet.data()[12..].to_vec()));
        came.len() >= frames.len()
    });
    assert!(came.iter().zip(&frames).all(|(came, frame)| came == &frame[12..]));
}

#[test]
fn an_interface_that_is_deleted_ends_alone() {
    let ns = Netns::new();
    ns.veth("in0", "in1");
    ns.veth("out0", "out1");
    let ((), summary) = running(&ns, ["veth:in0", "veth:out0"], |handle| {
        let mut far = Far::open(&ns, ["packet:in1", "packet:out1"]);
        assert_eq!(far.through(0, &frames()[..1]).len(), 1);
        ns.run("ip link del out0");
        until("the port says so", || handle.report().unwrap().ports[1].error.is_some());
        let mut batch = Batch::new();
        batch.push(far.pool.packet(&frames()[1]).unwrap()).unwrap();
        far.queues[0].1.send(&mut batch).unwrap();
        until("the other goes on", || handle.report().unwrap().packets_in == 2);
    });
    assert!(
        matches!(summary.ports[1].error.as_deref(), Some(PortError::Missing { .. })),
        "{:?}",
        summary.ports[1]
    );
    assert!(summary.ports[0].error.is_none());
    assert_eq!((summary.packets_out, summary.drops.total(), summary.ended), (1, 1, Some(Ended::Stopped)));
}
