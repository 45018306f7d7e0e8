//! One packet's way through live engines, beside traffic that must not notice.

use std::time::{Duration, Instant};

use packet::{Batch, Packet, Pool, PoolConfig};
use softnic::engine::{
    Context, Edit, Engine, Gate, GateHook, Module, Side, TRACE_STEPS_MAX, Trace, TraceEnd, TraceError,
    WorkerConfig,
};
use softnic::modules::{NoOp, Replicate, Sink, Source};

const FRAME: [u8; 60] = [7; 60];

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 1024, room: 512, ..PoolConfig::default() }).unwrap()
}

fn engine(workers: usize) -> Engine {
    let engine = Engine::new();
    for worker in 0..workers {
        assert_eq!(engine.add_worker(WorkerConfig::default()).unwrap(), worker);
    }
    engine
}

/// Writes its mark in front.
struct Marker(u8);

impl Module for Marker {
    fn class(&self) -> &'static str {
        "Marker"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        for packet in batch.iter_mut() {
            packet.prepend(1).unwrap()[0] = self.0;
        }
        ctx.forward(0);
    }
}

/// Keeps a packet until the next one comes.
#[derive(Default)]
struct Keeper(Option<Packet>);

impl Module for Keeper {
    fn class(&self) -> &'static str {
        "Keeper"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        for packet in batch.drain(..) {
            if let Some(before) = self.0.replace(packet) {
                ctx.emit(0, before);
            }
        }
    }

    fn held(&self) -> usize {
        usize::from(self.0.is_some())
    }
}

/// Panics at every packet.
struct Bomb;

impl Module for Bomb {
    fn class(&self) -> &'static str {
        "Bomb"
    }

    fn process(&mut self, _ctx: &mut Context<'_>, _gate: Gate, _batch: &mut Batch) {
        panic!("as it should");
    }
}

/// Fails the test when a packet passes.
struct Nobody;

impl GateHook for Nobody {
    fn class(&self) -> &'static str {
        "Nobody"
    }

    fn pass(&mut self, batch: &Batch, _now_ns: u64) {
        assert!(batch.is_empty(), "a hook has seen a traced packet");
    }
}

fn names(trace: &Trace) -> Vec<(&str, usize)> {
    trace.steps.iter().map(|step| (step.module.as_str(), step.worker)).collect()
}

fn ends(trace: &Trace, step: usize) -> Vec<TraceEnd> {
    trace.steps[step].exits.iter().map(|exit| exit.end).collect()
}

fn passed(gate: Gate, step: usize) -> TraceEnd {
    TraceEnd::Passed { gate, step: Some(step) }
}

#[test]
fn copies_and_rings_are_followed_and_nothing_is_counted() {
    let (engine, pool) = (engine(2), pool());
    engine
        .apply(
            Edit::new()
                .add("mark", Marker(9), 0)
                .add("both", Replicate::new(3), 0)
                .add("far", Marker(8), 1)
                .add("near", Sink::new(), 0)
                .add("there", Sink::new(), 1)
                .connect("mark", 0, "both", 0)
                .connect("both", 0, "near", 0)
                .connect("both", 1, "far", 0)
                .connect("far", 0, "there", 0),
        )
        .unwrap();
    engine.add_hook("mark", Side::Output(0), "nobody", Box::new(Nobody)).unwrap();
    engine.add_hook("both", Side::Input(0), "nobody", Box::new(Nobody)).unwrap();
    let before = engine.snapshot();
    let trace = engine.trace("mark", 0, pool.packet(&FRAME).unwrap(), false).unwrap();
    let mut snapshot = engine.snapshot();
    snapshot.workers.clone_from(&before.workers);
    assert_eq!(snapshot, before);
    assert_eq!(names(&trace), [("mark", 0), ("both", 0), ("near", 0), ("far", 1), ("there", 1)]);
    assert_eq!(ends(&trace, 0), [passed(0, 1)]);
    assert_eq!(ends(&trace, 1), [passed(0, 2), passed(1, 3), TraceEnd::Unconnected { gate: 2 }]);
    assert_eq!(ends(&trace, 2), [TraceEnd::Spared]);
    assert_eq!(ends(&trace, 3), [passed(0, 4)]);
    assert_eq!(ends(&trace, 4), [TraceEnd::Spared]);
    assert_eq!(trace.steps[0].packet, FRAME);
    assert_eq!(trace.steps[1].packet, [&[9], &FRAME[..]].concat());
    assert_eq!(trace.steps[3].exits[0].packet, [&[8, 9], &FRAME[..]].concat());

    let trace = engine.trace("mark", 0, pool.packet(&FRAME).unwrap(), true).unwrap();
    assert_eq!((ends(&trace, 2), ends(&trace, 4)), (vec![TraceEnd::Taken], vec![TraceEnd::Taken]));
    for sink in ["near", "there"] {
        assert_eq!(engine.with_module(sink, |sink: &mut Sink| sink.packets()).unwrap(), 1);
    }
    // What a worker has freed it keeps for itself until it ends.
    drop(engine);
    assert_eq!(pool.available(), 1024);
}

#[test]
fn where_packets_come_in_the_walk_sets_out_by_an_output_gate() {
    let (engine, pool) = (engine(1), pool());
    let source = Source::new(pool.clone(), &FRAME).count(0);
    engine
        .apply(
            Edit::new().add("source", source, 0).add("sink", Sink::new(), 0).connect("source", 0, "sink", 0),
        )
        .unwrap();
    let trace = engine.trace("source", 0, pool.packet(&FRAME).unwrap(), false).unwrap();
    assert_eq!(names(&trace), [("source", 0), ("sink", 0)]);
    let error =
        |module: &str, gate| engine.trace(module, gate, pool.packet(&FRAME).unwrap(), false).unwrap_err();
    assert_eq!(error("nobody", 0), TraceError::NoModule("nobody".into()));
    assert_eq!(error("source", 1).to_string(), "module `source` has no output gate 1: it has 1");
    assert_eq!(error("sink", 1).to_string(), "module `sink` has no input gate 1: it has 1");
}

#[test]
fn what_a_module_had_kept_is_traffic() {
    let (engine, pool) = (engine(1), pool());
    let source = Source::new(pool.clone(), &FRAME).count(1);
    engine
        .apply(
            Edit::new()
                .add("source", source, 0)
                .add("keeper", Keeper::default(), 0)
                .add("sink", Sink::new(), 0)
                .connect("source", 0, "keeper", 0)
                .connect("keeper", 0, "sink", 0),
        )
        .unwrap();
    let begin = Instant::now();
    while engine.snapshot().module("keeper").unwrap().held == 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "the source's packet does not come");
        std::thread::yield_now();
    }
    // The source's packet makes room for ours, and reaches the sink; ours stays.
    let trace = engine.trace("keeper", 0, pool.packet(&[1; 60]).unwrap(), false).unwrap();
    assert_eq!(names(&trace), [("keeper", 0)]);
    assert_eq!(engine.with_module("sink", |sink: &mut Sink| sink.packets()).unwrap(), 1);
    assert_eq!(engine.snapshot().module("keeper").unwrap().outputs[0].packets, 1);
    // The next one makes room for it, and is held in its place.
    let trace = engine.trace("keeper", 0, pool.packet(&[2; 60]).unwrap(), false).unwrap();
    assert_eq!(trace.steps[0].exits[0].packet, [1; 60]);
}

#[test]
fn a_packet_that_is_kept_or_breaks_a_module_ends_there() {
    let (engine, pool) = (engine(1), pool());
    engine
        .apply(
            Edit::new()
                .add("keeper", Keeper::default(), 0)
                .add("bomb", Bomb, 0)
                .add("wire", NoOp, 0)
                .connect("wire", 0, "bomb", 0),
        )
        .unwrap();
    let trace = |module: &str| engine.trace(module, 0, pool.packet(&FRAME).unwrap(), false).unwrap();
    assert_eq!(ends(&trace("keeper"), 0), [TraceEnd::Kept]);
    // At the first packet, and once it is broken.
    for _ in 0..2 {
        assert_eq!(ends(&trace("wire"), 1), [TraceEnd::OutOfOrder]);
    }
    assert_eq!(engine.snapshot().module("bomb").unwrap().lost, 1);
}

#[test]
fn circles_are_cut() {
    let (engine, pool) = (engine(1), pool());
    engine.apply(Edit::new().add("round", NoOp, 0).connect("round", 0, "round", 0)).unwrap();
    let trace = engine.trace("round", 0, pool.packet(&FRAME).unwrap(), true).unwrap();
    assert!(trace.cut);
    assert_eq!(trace.steps.len(), TRACE_STEPS_MAX);
    assert_eq!(ends(&trace, TRACE_STEPS_MAX - 1), [TraceEnd::Passed { gate: 0, step: None }]);
    // What a worker has freed it keeps for itself until it ends.
    drop(engine);
    assert_eq!(pool.available(), 1024);
}

#[test]
fn traffic_goes_on_as_if_nobody_looked() {
    const PACKETS: u64 = 200_000;
    let (engine, pool) = (engine(2), pool());
    let source = Source::new(pool.clone(), &FRAME).count(PACKETS);
    engine
        .apply(
            Edit::new()
                .add("source", source, 0)
                .add("wire", NoOp, 0)
                .add("far", NoOp, 1)
                .add("sink", Sink::new(), 0)
                .connect("source", 0, "wire", 0)
                .connect("wire", 0, "sink", 0),
        )
        .unwrap();
    let begin = Instant::now();
    let mut traced = 0u32;
    while engine.with_module("sink", |sink: &mut Sink| sink.packets()).unwrap() < PACKETS {
        assert!(begin.elapsed() < Duration::from_secs(60), "the packets do not come");
        // Every buffer may be under way.
        if let Some(packet) = pool.packet(&[1; 60]) {
            let trace = engine.trace("wire", 0, packet, false).unwrap();
            assert_eq!(names(&trace), [("wire", 0), ("sink", 0)]);
            traced += 1;
        }
    }
    assert!(traced > 0);
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.module("sink").unwrap().inputs, [PACKETS]);
    assert_eq!(snapshot.module("wire").unwrap().outputs[0].packets, PACKETS);
}
