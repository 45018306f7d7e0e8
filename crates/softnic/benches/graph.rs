//! What the engine costs: CPU time per packet of `source → N modules → sink` on one worker, for three ways in
//! which a module can hand its packets on, and across two workers.
//!
//! `cargo bench -p softnic --bench graph` prints the table. CPU time of the worker's thread is what is counted,
//! so other load on the machine matters little. `… --bench graph -- forward 8 1000000` runs one row once, for a
//! profiler.

use std::time::Duration;

use packet::{Batch, Pool, PoolConfig};
use softnic::engine::{Context, Edit, Engine, Gate, Module, WorkerConfig};
use softnic::modules::{NoOp, Sink, Source};

const PACKETS: u64 = 8_000_000;
const RUNS: usize = 5;

/// Hands the batch on through the work list, by swapping it with an empty one.
struct ByBatch;

impl Module for ByBatch {
    fn class(&self) -> &'static str {
        "ByBatch"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.emit_batch(0, batch);
    }
}

/// Hands each packet on by itself.
struct ByPacket;

impl Module for ByPacket {
    fn class(&self) -> &'static str {
        "ByPacket"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        for packet in batch.drain(..) {
            ctx.emit(0, packet);
        }
    }
}

fn module(way: &str) -> Box<dyn Module> {
    match way {
        "forward" => Box::new(NoOp),
        "emit_batch" => Box::new(ByBatch),
        "emit" => Box::new(ByPacket),
        _ => panic!("the ways are forward, emit_batch and emit, not {way}"),
    }
}

/// Nanoseconds of the worker's CPU time per packet.
fn chain(way: &str, modules: usize, packets: u64) -> f64 {
    let engine = Engine::new();
    let worker = engine.add_worker(WorkerConfig::default()).expect("a worker");
    let pool = Pool::new(PoolConfig { buffers: 1024, room: 256, ..PoolConfig::default() }).expect("a pool");
    let mut edit = Edit::new().add("sink", Sink::new(), worker);
    let mut next = "sink".to_owned();
    for at in 0..modules {
        let name = format!("m{at}");
        edit = edit.add_boxed(&*name, module(way), worker).connect(&*name, 0, next, 0);
        next = name;
    }
    engine.apply(edit).expect("a chain");
    let before = engine.snapshot().workers[0].cpu_ns;
    let source = Source::new(pool, &[0; 60]).count(packets);
    engine.apply(Edit::new().add("source", source, worker).connect("source", 0, next, 0)).expect("a source");
    while engine.with_module("sink", |sink: &mut Sink| sink.packets()).expect("a sink") < packets {
        std::thread::sleep(Duration::from_millis(20));
    }
    (engine.snapshot().workers[0].cpu_ns - before) as f64 / packets as f64
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [way, modules, packets] = &words[..] {
        chain(
            way,
            modules.parse().expect("a number of modules"),
            packets.parse().expect("a number of packets"),
        );
        return;
    }
    println!("source -> N modules -> sink, 60 B, one worker: ns of CPU time per packet, best of {RUNS} runs");
    println!("{:>12} {:>8} {:>8} {:>8} {:>8}  per module", "way", "N=0", "N=1", "N=8", "N=32");
    for way in ["forward", "emit_batch", "emit"] {
        let lengths = [0, 1, 8, 32];
        let best = |n| (0..RUNS).map(|_| chain(way, n, PACKETS)).fold(f64::MAX, f64::min);
        let row = lengths.map(best);
        print!("{way:>12}");
        row.iter().for_each(|ns| print!(" {ns:>8.2}"));
        println!("  {:.3}", (row[3] - row[1]) / 31.0);
    }
}
