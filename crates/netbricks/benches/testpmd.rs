//! weft beside DPDK's `dpdk-testpmd`: CPU time per packet of 64 bytes.
//!
//! `cargo bench -p netbricks --bench testpmd`; Debian's `dpdk-dev` has the peer. Both run one worker thread, in turn, five
//! rounds each; CPU time is the worker's own, from `/proc/…/schedstat`. Two tables:
//!
//! * **null ports**: testpmd forwards between two `net_null` ports, whose receiving side takes a buffer from the pool and
//!   sets its length, and whose sending side gives it back. Ours do the same; nobody writes the packet's bytes. Theirs are
//!   all zero, so `5tswap` finds no IP header to swap and `csum` none to sum; ours are valid, and all of the work is done;
//! * **copied frames**: testpmd forwards between two `net_pcap` ports with `infinite_rx`, whose receiving side takes a
//!   buffer and copies one valid frame into it. Ours do the same, on the same frame: here both do all of the work.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use netbricks::functions::macswap;
use netbricks::header::{Ethernet, Ipv4, Udp};
use netbricks::operator::Operator;
use netbricks::{Context, Frame, NetworkFunction, chain};
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, udp};
use packet::{Batch, Pool, PoolConfig};

const FRAME: usize = 64;
const BUFFERS: usize = 8192;
const ROUNDS: usize = 5;
const MODES: [&str; 4] = ["io", "macswap", "5tswap", "csum"];
/// How long one measurement takes.
const TIME: Duration = Duration::from_secs(1);

/// Swaps addresses and ports of all three headers; no checksum changes by that.
fn five_tuple_swap() -> impl Operator<Frame, Out = Frame> + Send + 'static {
    chain()
        .parse::<Ethernet>()
        .transform(|frame| {
            let mut ethernet = frame.header_mut();
            let (source, destination) = (ethernet.source(), ethernet.destination());
            ethernet.set_source(destination);
            ethernet.set_destination(source);
        })
        .parse::<Ipv4>()
        .transform(|packet| {
            let mut ip = packet.header_mut();
            let (source, destination) = (ip.source(), ip.destination());
            ip.set_source(destination);
            ip.set_destination(source);
        })
        .parse::<Udp>()
        .transform(|datagram| {
            let mut udp = datagram.header_mut();
            let (source, destination) = (udp.source_port(), udp.destination_port());
            udp.set_source_port(destination);
            udp.set_destination_port(source);
        })
        .reset()
}

/// Swaps the Ethernet addresses and computes both checksums anew, as testpmd's `csum` does.
fn csum() -> impl Operator<Frame, Out = Frame> + Send + 'static {
    chain()
        .then(macswap())
        .parse::<Ethernet>()
        .parse::<Ipv4>()
        .transform(|packet| packet.header_mut().fill_checksum())
        .parse::<Udp>()
        .transform(|datagram| {
            let ip = datagram.layer::<Ipv4, _>();
            let (source, destination) = (ip.source().into(), ip.destination().into());
            datagram.header_mut().fill_checksum(source, destination);
        })
        .reset()
}

fn function(mode: &str) -> Box<dyn NetworkFunction> {
    match mode {
        "io" => Box::new(chain().build()),
        "macswap" => Box::new(chain().then(macswap()).build()),
        "5tswap" => Box::new(chain().then(five_tuple_swap()).build()),
        "csum" => Box::new(chain().then(csum()).build()),
        other => panic!("{other}"),
    }
}

/// A UDP datagram with right checksums.
fn frame() -> [u8; FRAME] {
    let mut bytes = [0; FRAME];
    let (source, destination) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    ethernet::Repr { source, destination, ethertype: EtherType::IPV4 }
        .emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    ipv4::Repr::new(source, destination, IpProtocol::UDP, FRAME - 34)
        .emit(&mut ipv4::View::new_unchecked(&mut bytes[14..]));
    let mut datagram = udp::View::new_unchecked(&mut bytes[34..]);
    udp::Repr { source_port: 9, destination_port: 10, payload_len: FRAME - 42 }.emit(&mut datagram);
    datagram.fill_checksum(source.into(), destination.into());
    bytes
}

/// CPU nanoseconds that a thread has used.
fn cpu_ns(task: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{task}/schedstat")).expect("schedstat");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

/// What receiving costs: see the head of the file.
#[derive(Clone, Copy, PartialEq)]
enum Ports {
    Null,
    Copied,
}

/// CPU nanoseconds per packet of ours.
fn ours(mode: &str, ports: Ports) -> f64 {
    let pool = Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() }).expect("a pool");
    let frame = frame();
    let all: Vec<_> = (0..BUFFERS).map(|_| pool.packet(&frame).expect("a buffer")).collect();
    drop(all);
    let (mut function, mut ctx, mut batch) = (function(mode), Context::new(2), Batch::new());
    let (start, before, mut packets) = (Instant::now(), cpu_ns("thread-self"), 0u64);
    while start.elapsed() < TIME {
        for _ in 0..1024 {
            pool.alloc_batch(packet::BATCH, &mut batch);
            for packet in &mut batch {
                packet.set_len(FRAME).expect("room");
                if ports == Ports::Copied {
                    packet.data_mut().copy_from_slice(&frame);
                }
            }
            function.process(0, &mut batch, &mut ctx);
            ctx.drain(1, |batch| {
                packets += batch.len() as u64;
                batch.clear();
            });
        }
    }
    assert_eq!(ctx.drops().total(), 0, "{:?}", ctx.drops());
    (cpu_ns("thread-self") - before) as f64 / packets as f64
}

/// A running testpmd.
struct Testpmd {
    child: Child,
    input: ChildStdin,
}

impl Testpmd {
    fn start(mode: &str, ports: Ports, capture: &Path) -> Self {
        let device = |number| match ports {
            Ports::Null => format!("net_null{number},size={FRAME}"),
            Ports::Copied => format!("net_pcap{number},rx_pcap={},infinite_rx=1", capture.display()),
        };
        let prefix = format!("netbricks{}", std::process::id());
        let total = format!("--total-num-mbufs={BUFFERS}");
        let forward = format!("--forward-mode={mode}");
        let mut child = Command::new("dpdk-testpmd")
            .args([
                "--no-huge",
                "-m",
                "256",
                "--no-pci",
                "-l",
                "0,1",
                "--no-telemetry",
                "--file-prefix",
                &prefix,
            ])
            .args(["--vdev", &device(0), "--vdev", &device(1), "--", "-i", "--burst=32"])
            .args([&total, &forward])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dpdk-testpmd: `tests/install.sh bench` installs it");
        let input = child.stdin.take().expect("a pipe");
        Self { child, input }
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

    /// All the worker's CPU time by all packets received: before `start` and after `stop` it sleeps.
    fn measure(mut self) -> f64 {
        self.say("start");
        let worker = self.worker();
        std::thread::sleep(TIME);
        self.say("stop");
        let mut cpu = cpu_ns(&worker);
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let later = cpu_ns(&worker);
            if later == cpu {
                break;
            }
            cpu = later;
        }
        self.say("quit");
        let mut output = String::new();
        let stdout = self.child.stdout.as_mut().expect("a pipe");
        stdout.read_to_string(&mut output).expect("what it says");
        let (_, all) = output.split_once("Accumulated forward statistics").expect("statistics");
        let (_, count) = all.split_once("RX-packets:").expect("a count");
        let packets: u64 = count.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
        cpu as f64 / packets as f64
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // The bench may be unwinding: a peer must not outlive it.
        let _ = writeln!(self.input, "quit");
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = (self.child.kill(), self.child.wait());
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn table(name: &str, ports: Ports, capture: &Path) {
    println!("\n| {name} | dpdk-testpmd | weft | weft / testpmd |");
    println!("| --- | --- | --- | --- |");
    for mode in MODES {
        let (mut peer, mut own) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            peer.push(Testpmd::start(mode, ports, capture).measure());
            own.push(ours(mode, ports));
        }
        let show = |values: &[f64]| {
            let (low, high) =
                values.iter().fold((f64::MAX, 0f64), |(low, high), v| (low.min(*v), high.max(*v)));
            format!("{:.1} ({low:.1}–{high:.1})", median(values.to_vec()))
        };
        println!(
            "| {mode} | {} | {} | {:.2} |",
            show(&peer),
            show(&own),
            median(own.clone()) / median(peer.clone())
        );
    }
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let capture = directory.path().join("frame.pcap");
    let file = fs::File::create(&capture).expect("a file");
    let mut writer = packet::pcap::Writer::new(file, packet::pcap::LinkType::ETHERNET).expect("a header");
    writer.write(0, &frame()).and_then(|()| writer.flush()).expect("a record");
    println!(
        "CPU ns per packet of {FRAME} B, one worker, median of {ROUNDS} rounds in turn (lowest–highest)"
    );
    table("null ports", Ports::Null, &capture);
    table("copied frames", Ports::Copied, &capture);
}
