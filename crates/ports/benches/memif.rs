//! memif: what a packet costs that bounces between two processes, weft and DPDK's testpmd in all pairs and roles.
//!
//! `cargo bench -p ports --bench memif`; Debian's `dpdk-dev` has the peer. Both sides forward what they get back to where it
//! came from (testpmd's `io`), each on a core of its own, with 512 packets of 64 bytes on their way. A forwarder's time is
//! that of its turns that found packets: testpmd counts it in cycles (`set record-core-cycles on`), weft by the clock.
//! Words such as `weft-testpmd` name the pairs to be measured, server first.

#[path = "../tests/testpmd/mod.rs"]
mod testpmd;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use packet::{Batch, Pool, PoolConfig};
use ports::memif::{MemifConfig, MemifPort, Role};
use ports::{LinkState, Port};
use rustix::thread::{CpuSet, sched_setaffinity};
use testpmd::{Testpmd, number};

/// How long packets bounce.
const TIME: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;
/// Packets on their way: as many as testpmd sends first, in bursts of 32.
const BURSTS: usize = 16;

/// A side's nanoseconds for receiving and sending a packet.
type Cost = f64;

fn main() {
    println!("| server | client | ns per packet, server | client | million packets/s each way |");
    println!("|---|---|---|---|---|");
    let only: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (server, client) in
        [("testpmd", "testpmd"), ("weft", "testpmd"), ("testpmd", "weft"), ("weft", "weft")]
    {
        if !only.is_empty() && !only.contains(&format!("{server}-{client}")) {
            continue;
        }
        let mut rounds: Vec<_> = (0..ROUNDS).map(|round| pair(server, client, round)).collect();
        let mut column = |of: fn(&(Cost, Cost, f64)) -> f64| {
            rounds.sort_by(|a, b| of(a).total_cmp(&of(b)));
            let (least, middle, most) = (of(&rounds[0]), of(&rounds[ROUNDS / 2]), of(&rounds[ROUNDS - 1]));
            format!("{middle:.1} ({least:.1}–{most:.1})")
        };
        let (a, b, rate) = (column(|r| r.0), column(|r| r.1), column(|r| r.2));
        println!("| {server} | {client} | {a} | {b} | {rate} |");
    }
}

/// Says that it is over when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One of the two, while packets bounce.
enum Side<'scope> {
    Weft(std::thread::ScopedJoinHandle<'scope, (Cost, u64)>),
    Testpmd(Testpmd),
}

fn pair(server: &str, client: &str, round: usize) -> (Cost, Cost, f64) {
    let name = format!("weft-bench-{}-{server}-{client}-{round}", std::process::id());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // On every way out: the scope waits for its threads.
        let _ends = Ends(&stop);
        let start = |who: &str, role, core| {
            if who == "testpmd" {
                let word = if role == Role::Server { "server" } else { "client" };
                let device = format!("net_memif0,role={word},socket={name}");
                let mut side = Testpmd::start(&device, "io", core, &[]);
                side.say("set record-core-cycles on");
                side.say("show port info 0");
                side.hear("Link status:");
                Side::Testpmd(side)
            } else {
                let (path, stop) = (format!("@{name}"), &stop);
                // The client starts; a pair of wefts needs someone to.
                let first = role == Role::Client && server == "weft";
                Side::Weft(scope.spawn(move || weft(&path, role, core, first, stop)))
            }
        };
        let mut server_side = start(server, Role::Server, 0);
        let mut client_side = start(client, Role::Client, 1);
        // Whoever has to start says so, and the other side is ready by then.
        let with = format!("start tx_first {BURSTS}");
        if let Side::Testpmd(side) = &mut server_side {
            side.until_up();
            side.say(if client == "weft" { &with } else { "start" });
            side.hear("packet forwarding");
        }
        if let Side::Testpmd(side) = &mut client_side {
            side.until_up();
            side.say(&with);
        }
        std::thread::sleep(TIME);
        for side in [&mut server_side, &mut client_side] {
            if let Side::Testpmd(side) = side {
                side.say("stop");
            }
        }
        stop.store(true, Ordering::Relaxed);
        let end = |side| match side {
            Side::Weft(thread) => thread.join().expect("a thread that ends"),
            Side::Testpmd(mut side) => {
                let line = side.hear("CPU cycles/packet");
                let (cycles, packets) = (number(&line, "total cycles="), number(&line, "packets="));
                let mhz = number(&line, " at ");
                (cycles as f64 * 1000.0 / mhz as f64 / packets as f64, packets)
            }
        };
        let (of_server, of_client) = (end(server_side), end(client_side));
        let rate = of_server.1.min(of_client.1) as f64 / TIME.as_secs_f64() / 1e6;
        (of_server.0, of_client.0, rate)
    })
}

/// Forwards on a core; returns nanoseconds per packet and how many there were.
fn weft(path: &str, role: Role, core: usize, first: bool, stop: &AtomicBool) -> (Cost, u64) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).expect("a core");
    let pool = Pool::new(PoolConfig { buffers: 2048, ..PoolConfig::default() }).expect("memory");
    let config = MemifConfig { role, ..MemifConfig::default() };
    let mut port = MemifPort::open(path, &config, &pool).expect("a port");
    let (mut rx, mut tx) = port.queue(0).expect("a queue");
    while port.link() != LinkState::Up && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut batch = Batch::new();
    for _ in 0..if first { BURSTS } else { 0 } {
        for _ in 0..32 {
            let _ = batch.push(pool.packet(&[0x55; 64]).expect("a buffer"));
        }
        tx.send(&mut batch).expect("an open port");
    }
    let (mut busy, mut packets) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let count = rx.receive(&mut batch).expect("an open port");
        if count > 0 {
            tx.send(&mut batch).expect("an open port");
            batch.clear();
            busy += start.elapsed();
            packets += count as u64;
        }
    }
    (busy.as_nanos() as f64 / packets as f64, packets)
}
