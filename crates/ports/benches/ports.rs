//! What each kind of port costs: CPU nanoseconds of the calling thread per packet, in `receive` and in `send`, with
//! the kernel's work in between; and how long a lone packet takes to come back to a thread that sleeps.
//!
//! `cargo bench -p ports` as root. Runs in a network namespace of its own, which goes with the process.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use packet::{Batch, Checksum, Offload, Packet, Pool, PoolConfig, ROOM_GSO, SegmentKind, Segmentation};
use ports::{Port, PortSpec, RxQueue, TxQueue, ring};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

/// Packets per measurement.
const PACKETS: usize = 200_000;
/// Large packets per measurement.
const LARGE_PACKETS: usize = 20_000;
/// Round trips per measurement.
const ROUND_TRIPS: usize = 2_000;
/// TCP payload of a large packet.
const LARGE: usize = 62 * 1024;

fn main() {
    // The namespace ends with the process.
    if std::env::var_os("WEFT_BENCH_ISOLATED").is_none() {
        let me = std::env::current_exe().expect("this program's path");
        let status = Command::new("unshare").arg("-n").arg(me).env("WEFT_BENCH_ISOLATED", "1").status();
        let code = status.expect("unshare(1), as root").code().unwrap_or(1);
        std::process::exit(code);
    }
    println!(
        "{:<28}{:>9}{:>9}{:>12}{:>12}{:>12}{:>12}",
        "port", "rx ns", "tx ns", "rx Mpps/CPU", "64K rx us", "64K tx us", "wake us p50"
    );
    for (name, pair) in PAIRS {
        let pool =
            Pool::new(PoolConfig { buffers: 1024, room: ROOM_GSO, ..PoolConfig::default() }).expect("memory");
        let (port, peer) = pair(&pool);
        measure(name, port, peer, &pool);
    }
    for burst in [32, 1] {
        write_capture(burst);
    }
}

/// Sends to a capture file in memory, so many packets a call; the CPU time is the process's, since a thread may help.
fn write_capture(burst: usize) {
    let file = "/dev/shm/weft-bench.pcap";
    let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() }).expect("memory");
    let (rx, mut tx) = open(&format!("pcap:,out={file}"), &pool).queue(0).expect("a queue");
    drop(rx);
    let used_ns = || {
        let now = clock_gettime(ClockId::ProcessCPUTime);
        now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
    };
    let (mut waiting_ns, mut batch) = (0, Batch::new());
    let begin = used_ns();
    for _ in 0..PACKETS / burst {
        for _ in 0..burst {
            let _ = batch.push(small(&pool));
        }
        let begin = cpu_ns();
        tx.send(&mut batch).expect("an open port");
        waiting_ns += cpu_ns() - begin;
    }
    drop(tx);
    let (all, sender) = ((used_ns() - begin) / PACKETS as f64, waiting_ns as f64 / PACKETS as f64);
    println!("pcap, written, {burst:>2} a call: {sender:.0} ns in send, {all:.0} ns of the process a packet");
    let _ = std::fs::remove_file(file);
}

type Ports = (Box<dyn Port>, Box<dyn Port>);
type Pair = (&'static str, fn(&Pool) -> Ports);

/// A port to be measured and one to face it.
const PAIRS: [Pair; 11] = [
    ("ring", |_| {
        let (a, b) = ring::pair(["a", "b"], 1024).expect("an eventfd");
        (Box::new(a), Box::new(b))
    }),
    ("tap", |pool| {
        let tap = open("tap:tap0", pool);
        up("tap0");
        (tap, open("packet:tap0", pool))
    }),
    ("packet", |pool| veth(pool, "packet:va0", "packet:vb0")),
    ("packet,bypass=on", |pool| veth(pool, "packet:vc0,bypass=on", "packet:vd0")),
    ("packet,ring=524288", |pool| veth(pool, "packet:ve0,ring=524288", "packet:vf0")),
    ("packet,ring=4194304", |pool| veth(pool, "packet:vg0,ring=4194304", "packet:vh0")),
    ("xdp,mode=native", |pool| veth(pool, "xdp:vi0,mode=native", "packet:vj0")),
    ("xdp,mode=generic", |pool| veth(pool, "xdp:vk0,mode=generic", "packet:vl0")),
    ("unix", |pool| {
        let listener = open("unix:@weft-bench", pool);
        (listener, open("unix:@weft-bench,connect=on", pool))
    }),
    ("memif, server", |pool| memif(pool, "server", "client")),
    ("memif, client", |pool| memif(pool, "client", "server")),
];

fn memif(pool: &Pool, near: &str, far: &str) -> Ports {
    let side = |role: &str| open(&format!("memif:@weft-bench-{near},role={role}"), pool);
    (side(near), side(far))
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let status = Command::new(words.next().expect("a word")).args(words).status().expect("ip(8)");
    assert!(status.success(), "{command}");
}

fn up(interface: &str) {
    run(&format!("ip link set {interface} up"));
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1");
}

fn open(spec: &str, pool: &Pool) -> Box<dyn Port> {
    let spec: PortSpec = spec.parse().expect("a spec");
    ports::open(&spec, pool).unwrap_or_else(|error| panic!("{error}"))
}

fn veth(pool: &Pool, a: &str, b: &str) -> Ports {
    let interface = |spec: &str| spec.split([':', ',']).nth(1).expect("a name").to_owned();
    run(&format!("ip link add {} type veth peer name {}", interface(a), interface(b)));
    up(&interface(a));
    up(&interface(b));
    (open(a, pool), open(b, pool))
}

fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// An Ethernet frame with an IPv4 header, by hand.
fn frame(protocol: u8, transport: &[u8], payload: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend(((20 + transport.len() + payload) as u16).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, protocol, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]);
    let sum = packet::checksum::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend(transport);
    frame.resize(frame.len() + payload, 0x55);
    frame
}

/// A UDP datagram in a frame of 60 bytes (64 with the frame check sequence).
fn small(pool: &Pool) -> Packet {
    pool.packet(&frame(17, &[0x1b, 0x58, 0x1b, 0x59, 0, 26, 0, 0], 18)).expect("a buffer")
}

/// A TCP packet of [`LARGE`] bytes that is still to be cut into segments of 1448.
fn large(pool: &Pool) -> Packet {
    let tcp = [0x1b, 0x58, 0x1b, 0x59, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 4, 0, 0, 0, 0, 0];
    let mut packet = pool.packet(&frame(6, &tcp, LARGE)).expect("a buffer");
    packet.set_offload(Offload {
        checksum: Checksum::Partial { start: 34, offset: 16 },
        segmentation: Some(Segmentation { kind: SegmentKind::TcpV4, ecn: false, size: 1448, header_len: 54 }),
    });
    packet
}

type Queue = (Box<dyn RxQueue>, Box<dyn TxQueue>);

fn measure(name: &str, mut port: Box<dyn Port>, mut peer: Box<dyn Port>, pool: &Pool) {
    let (mut near, mut far) = (port.queue(0).expect("a queue"), peer.queue(0).expect("a queue"));
    // Unix sockets connect when they are asked for packets.
    for _ in 0..3 {
        let _ = (near.0.receive(&mut Batch::new()), far.0.receive(&mut Batch::new()));
        std::thread::sleep(Duration::from_millis(60));
    }
    drain(&mut near, &mut far);
    let (_, rx) = pass(&mut far.1, &mut near.0, &|| small(pool), 32, PACKETS);
    let (tx, _) = pass(&mut near.1, &mut far.0, &|| small(pool), 32, PACKETS);
    let offloads = port.info().offloads.tcp_segmentation && peer.info().offloads.tcp_segmentation;
    let (mut large_rx, mut large_tx) = (f64::NAN, f64::NAN);
    if offloads {
        large_rx = pass(&mut far.1, &mut near.0, &|| large(pool), 4, LARGE_PACKETS).1;
        large_tx = pass(&mut near.1, &mut far.0, &|| large(pool), 4, LARGE_PACKETS).0;
    }
    let wake = wake(&mut far.1, &mut near.0, pool);
    println!(
        "{name:<28}{rx:>9.0}{tx:>9.0}{:>12.2}{:>12.1}{:>12.1}{wake:>12.1}",
        1000.0 / rx,
        large_rx / 1000.0,
        large_tx / 1000.0
    );
}

fn drain(near: &mut Queue, far: &mut Queue) {
    let mut batch = Batch::new();
    while near.0.receive(&mut batch).is_ok_and(|count| count > 0)
        || far.0.receive(&mut batch).is_ok_and(|count| count > 0)
    {
        batch.clear();
    }
}

/// Sends batches and receives them again; CPU nanoseconds per packet of either.
fn pass(
    tx: &mut Box<dyn TxQueue>,
    rx: &mut Box<dyn RxQueue>,
    make: &dyn Fn() -> Packet,
    burst: usize,
    wanted: usize,
) -> (f64, f64) {
    let (mut sent_ns, mut received_ns, mut sent, mut received) = (0, 0, 0, 0);
    let start = Instant::now();
    while received < wanted && start.elapsed() < Duration::from_secs(4) {
        let mut batch = Batch::new();
        for _ in 0..burst {
            let _ = batch.push(make());
        }
        let begin = cpu_ns();
        let took = tx.send(&mut batch).expect("an open port");
        sent_ns += cpu_ns() - begin;
        sent += took;
        let (mut came, mut tries) = (0, 0);
        while came < took && tries < 2000 {
            let mut batch = Batch::new();
            let begin = cpu_ns();
            let count = rx.receive(&mut batch).expect("an open port");
            let end = cpu_ns();
            // Asking in vain is the waiting worker's cost, not the packet's.
            if count > 0 {
                received_ns += end - begin;
            } else {
                std::thread::sleep(Duration::from_micros(if tries > 100 { 50 } else { 0 }));
                tries += 1;
            }
            came += count;
            black_box(&batch);
        }
        received += came;
    }
    assert!(received * 10 > sent * 9, "{received} of {sent} packets arrived");
    (sent_ns as f64 / sent as f64, received_ns as f64 / received as f64)
}

/// Median microseconds from sending a packet to having it in a thread that slept in poll(2).
fn wake(tx: &mut Box<dyn TxQueue>, rx: &mut Box<dyn RxQueue>, pool: &Pool) -> f64 {
    let mut times = std::thread::scope(|scope| {
        let (ready, go) = std::sync::mpsc::sync_channel::<()>(0);
        let (done, arrived) = std::sync::mpsc::channel::<Instant>();
        scope.spawn(move || {
            let mut batch = Batch::new();
            for _ in 0..ROUND_TRIPS {
                while rx.receive(&mut batch).expect("an open port") > 0 {
                    batch.clear();
                }
                if ready.send(()).is_err() {
                    return;
                }
                while rx.receive(&mut batch).expect("an open port") == 0 {
                    let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
                    let fd = rx.poll_fd().expect("a descriptor");
                    let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout));
                }
                let _ = done.send(Instant::now());
                batch.clear();
            }
        });
        let mut times = Vec::new();
        for _ in 0..ROUND_TRIPS {
            go.recv().expect("the receiver");
            // Long enough for it to fall asleep.
            std::thread::sleep(Duration::from_micros(30));
            let mut batch = Batch::new();
            let _ = batch.push(small(pool));
            let start = Instant::now();
            assert_eq!(tx.send(&mut batch).expect("an open port"), 1);
            times.push(arrived.recv().expect("the receiver").saturating_duration_since(start));
        }
        times
    });
    times.sort();
    times[times.len() / 2].as_nanos() as f64 / 1000.0
}
