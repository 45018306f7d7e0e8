//! What tier 2 of isolation costs: nanoseconds per packet of macswap in a confined process, beside macswap called in
//! place. `cargo bench -p netbricks --bench isolation`; the machine should have two cores to itself.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use host::confine::{self, Confined, Confinement, Program};
use netbricks::functions::macswap;
use netbricks::{Context, NetworkFunction, chain, isolate};
use packet::{BATCH, Batch, Pool, PoolConfig, PortId};
use ports::shm::{Config, Domain, Guest, GuestEnd};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Packets per measurement.
const PACKETS: usize = 1_000_000;
/// Batches on their way at once.
const WINDOW: usize = 4;
/// Looks for packets before a side sleeps, where it spins: longer than the other side takes, if it has a core.
const SPINS: u32 = 20_000;

fn function() -> Box<dyn NetworkFunction> {
    Box::new(chain().then(macswap()).build())
}

fn main() {
    if let Some("guest") = std::env::args().nth(1).as_deref() {
        let spins = std::env::args().nth(2).and_then(|spins| spins.parse().ok()).unwrap_or(0);
        isolate::serve(&mut *function(), spins).expect("to be started by this benchmark");
        return;
    }
    println!("ns per packet{:>29}{:>9}{:>9}{:>9}{:>9}", "bytes", "wall", "host cpu", "in calls", "guest cpu");
    for bytes in [60, 1500] {
        let pool = Pool::new(PoolConfig::default()).expect("memory");
        in_place(&pool, bytes);
        one_thread(&pool, bytes);
        let cores = sched_getaffinity(None).expect("the cores");
        apart(&pool, bytes, "two cores, both spin", SPINS);
        apart(&pool, bytes, "two cores, both sleep", 0);
        let mut one = CpuSet::new();
        one.set((0..CpuSet::MAX_CPU).find(|&core| cores.is_set(core)).expect("a core"));
        sched_setaffinity(None, &one).expect("to be bound to a core");
        apart(&pool, bytes, "one core, both sleep", 0);
        sched_setaffinity(None, &cores).expect("to be let go");
    }
}

fn row(name: &str, bytes: usize, packets: usize, times: [Option<Duration>; 4]) {
    print!("{name:<36}{bytes:>6}");
    for time in times {
        match time {
            Some(time) => print!("{:>9.1}", time.as_nanos() as f64 / packets as f64),
            None => print!("{:>9}", "–"),
        }
    }
    println!();
}

fn batch(pool: &Pool, bytes: usize) -> Batch {
    let (mut batch, mut frame) = (Batch::new(), vec![2; bytes]);
    frame[12..14].copy_from_slice(&0x0800_u16.to_be_bytes());
    for _ in 0..BATCH {
        let mut packet = pool.packet(&frame).expect("a buffer");
        // The gate that it comes in at. It comes back with the other, at which it may go in again.
        packet.set_egress(PortId(0));
        batch.push(packet).expect("room");
    }
    batch
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The first number of a process's schedstat: nanoseconds on a core.
fn cpu_of(process: &Confined) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{}/schedstat", process.id())).expect("schedstat");
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number"))
}

/// The function alone.
fn in_place(pool: &Pool, bytes: usize) {
    let (mut function, mut ctx, mut batch) = (function(), Context::new(2), batch(pool, bytes));
    let (wall, own) = (Instant::now(), cpu());
    for _ in 0..PACKETS / BATCH {
        function.process(0, &mut batch, &mut ctx);
        ctx.drain(1, |out| std::mem::swap(out, &mut batch));
    }
    assert_eq!(batch.len(), BATCH, "all passed");
    row("in place", bytes, PACKETS, [Some(wall.elapsed()), Some(cpu() - own), None, None]);
}

/// Both sides of a domain by turns, without the function: the work of the four calls, nothing waited for.
fn one_thread(pool: &Pool, bytes: usize) {
    let (mut domain, GuestEnd { memory, wake }) = Domain::create(Config::default()).expect("memory");
    let mut guest = Guest::attach(memory, wake).expect("a guest");
    let (mut batch, mut work) = (batch(pool, bytes), Batch::new());
    let (wall, own) = (Instant::now(), cpu());
    for _ in 0..PACKETS / BATCH {
        domain.send(&mut batch);
        guest.receive(&mut work);
        guest.send(&mut work);
        domain.receive(&mut batch);
    }
    row(
        "both sides by turns, no function",
        bytes,
        PACKETS,
        [Some(wall.elapsed()), Some(cpu() - own), None, None],
    );
}

/// The function in a confined process.
fn apart(pool: &Pool, bytes: usize, name: &str, spins: u32) {
    let (mut domain, GuestEnd { memory, wake }) = Domain::create(Config::default()).expect("memory");
    let process = confine::spawn(Confinement {
        program: Program::this().expect("this program"),
        arguments: vec!["guest".into(), spins.to_string()],
        passed: vec![memory, wake],
        memory_max: 1 << 30,
    })
    .expect("a confined process");
    // It is ready when the first packets are back.
    let mut back = Batch::new();
    domain.send(&mut batch(pool, bytes));
    while back.len() < BATCH {
        assert!(!domain.peer_gone(), "the guest has ended");
        domain.wait(Duration::from_millis(10));
        domain.receive(&mut back);
    }
    let (guest, wall, own) = (cpu_of(&process), Instant::now(), cpu());
    for _ in 0..WINDOW {
        domain.send(&mut batch(pool, bytes));
    }
    let (mut done, mut idle, mut in_calls) = (0, 0, Duration::ZERO);
    back.clear();
    while done < PACKETS {
        let call = Instant::now();
        let count = domain.receive(&mut back);
        if count == 0 {
            idle += 1;
            std::hint::spin_loop();
            if idle > spins {
                domain.wait(Duration::from_secs(1));
            }
            continue;
        }
        idle = 0;
        domain.send(&mut back);
        in_calls += call.elapsed();
        done += count;
    }
    let times = [wall.elapsed(), cpu() - own, in_calls, cpu_of(&process) - guest];
    row(name, bytes, done, times.map(Some));
    assert!(!domain.counters().faults.any());
}
