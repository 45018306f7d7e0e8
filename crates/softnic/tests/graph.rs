//! What a graph does with packets, and what an engine says of it.

use std::time::{Duration, Instant};

use packet::{Batch, Pool, PoolConfig};
use softnic::engine::{CommandError, Context, Edit, EditError, Engine, Gate, Module, WorkerConfig};
use softnic::modules::{Merge, NoOp, Queue, Replicate, RoundRobin, Sink, Source};

fn pool(buffers: usize) -> Pool {
    Pool::new(PoolConfig { buffers, room: 128, ..PoolConfig::default() }).unwrap()
}

/// Waits until `done` says so; a minute at most.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn received(engine: &Engine, sink: &str) -> u64 {
    engine.with_module(sink, |sink: &mut Sink| sink.packets()).unwrap()
}

/// Panics at the packet whose number is given.
struct Fragile {
    packets_left: usize,
}

impl Module for Fragile {
    fn class(&self) -> &'static str {
        "Fragile"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        for packet in batch.drain(..) {
            assert!(self.packets_left > 0, "enough is enough");
            self.packets_left -= 1;
            ctx.emit(0, packet);
        }
    }
}

#[test]
fn every_packet_arrives_and_every_gate_counts() {
    let engine = Engine::new();
    let worker = engine.add_worker(WorkerConfig::default()).unwrap();
    let pool = pool(256);
    engine
        .apply(
            Edit::new()
                .add("sink", Sink::new(), worker)
                .add("merge", Merge::new(3), worker)
                .add("spread", RoundRobin::new(3), worker)
                .add("copy", Replicate::new(2), worker)
                .add("queue", Queue::new(64), worker)
                .connect("copy", 0, "spread", 0)
                .connect("copy", 1, "queue", 0)
                .connect("queue", 0, "spread", 0)
                .connect("spread", 0, "merge", 0)
                .connect("spread", 1, "merge", 1)
                .connect("spread", 2, "merge", 2)
                .connect("merge", 0, "sink", 0)
                .add("source", Source::new(pool.clone(), &[7; 60]).count(3000), worker)
                .connect("source", 0, "copy", 0),
        )
        .unwrap();
    until("6000 packets", || received(&engine, "sink") == 6000);
    let snapshot = engine.snapshot();
    let merge = snapshot.module("merge").unwrap();
    assert_eq!(merge.inputs, [2000, 2000, 2000]);
    let source = &snapshot.module("source").unwrap().outputs[0];
    assert_eq!((source.packets, source.bytes, source.to.clone()), (3000, 180_000, Some(("copy".into(), 0))));
    assert_eq!(snapshot.modules.iter().map(|module| module.dropped + module.lost).sum::<u64>(), 0);
    drop(engine);
    assert_eq!(pool.available(), 256);
}

#[test]
fn packets_cross_workers_and_come_back() {
    let engine = Engine::new();
    let [a, b] = [(); 2].map(|()| engine.add_worker(WorkerConfig::default()).unwrap());
    engine
        .apply(
            Edit::new()
                .add("there", NoOp, b)
                .add("back", Sink::new(), a)
                .connect("there", 0, "back", 0)
                .add("source", Source::new(pool(1024), &[7; 60]).count(100_000), a)
                .connect("source", 0, "there", 0),
        )
        .unwrap();
    let accounted = || {
        let snapshot = engine.snapshot();
        let overrun: u64 =
            snapshot.modules.iter().flat_map(|module| &module.outputs).map(|gate| gate.overrun).sum();
        received(&engine, "back") + overrun
    };
    until("100000 packets", || accounted() == 100_000);
}

#[test]
fn a_panic_costs_one_module_and_its_batch() {
    let engine = Engine::new();
    let worker = engine.add_worker(WorkerConfig::default()).unwrap();
    let pool = pool(256);
    engine
        .apply(
            Edit::new()
                .add("fragile", Fragile { packets_left: 1010 }, worker)
                .add("sink", Sink::new(), worker)
                .connect("fragile", 0, "sink", 0)
                .add("source", Source::new(pool.clone(), &[7; 60]).count(5000), worker)
                .connect("source", 0, "fragile", 0),
        )
        .unwrap();
    let lost = |engine: &Engine| engine.snapshot().module("fragile").unwrap().lost;
    until("5000 packets", || received(&engine, "sink") + lost(&engine) == 5000);
    assert_eq!(received(&engine, "sink"), 992, "31 whole batches come before the one with packet 1010");
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.module("fragile").unwrap().failed.as_deref(), Some("enough is enough"));
    let refused = engine.with_module("fragile", |_: &mut Fragile| ());
    assert_eq!(refused, Err(CommandError::Failed("fragile".into())));
    // The worker lives, and a new module takes the place of the broken one.
    let applied = engine
        .apply(
            Edit::new()
                .remove("fragile")
                .remove("source")
                .add("fragile", Fragile { packets_left: 5000 }, worker)
                .connect("fragile", 0, "sink", 0)
                .add("again", Source::new(pool.clone(), &[7; 60]).count(500), worker)
                .connect("again", 0, "fragile", 0),
        )
        .unwrap();
    assert_eq!(
        applied.removed.iter().map(|gone| gone.name.as_str()).collect::<Vec<_>>(),
        ["fragile", "source"]
    );
    until("500 packets", || received(&engine, "sink") == 1492);
    drop((engine, applied));
    assert_eq!(pool.available(), 256);
}

#[test]
fn packets_do_not_go_in_circles() {
    let engine = Engine::new();
    let worker = engine.add_worker(WorkerConfig::default()).unwrap();
    let pool = pool(512);
    engine
        .apply(
            Edit::new()
                .add("a", NoOp, worker)
                .add("b", Replicate::new(2), worker)
                .connect("a", 0, "b", 0)
                .connect("b", 0, "a", 0)
                .connect("b", 1, "a", 0)
                .add("source", Source::new(pool.clone(), &[7; 60]).count(100), worker)
                .connect("source", 0, "a", 0),
        )
        .unwrap();
    until("100 packets and more", || engine.snapshot().workers[0].circling >= 100);
    until("the buffers are home", || {
        engine.with_module("a", move |_: &mut NoOp| ()).unwrap();
        engine.snapshot().module("source").unwrap().outputs[0].packets == 100
    });
    drop(engine);
    assert_eq!(pool.available(), 512);
}

#[test]
fn an_impossible_edit_changes_nothing() {
    let engine = Engine::new();
    let worker = engine.add_worker(WorkerConfig::default()).unwrap();
    engine.apply(Edit::new().add("a", NoOp, worker).add("b", NoOp, worker).connect("a", 0, "b", 0)).unwrap();
    let before = engine.snapshot().modules;
    let name = |name: &str| name.to_owned();
    let edits = [
        (Edit::new().add("c", NoOp, worker).add("a", NoOp, worker), EditError::NameTaken(name("a"))),
        (Edit::new().remove("a").remove("x"), EditError::NoModule(name("x"))),
        (
            Edit::new().disconnect("a", 0).connect("a", 1, "b", 0),
            EditError::NoOutput { module: name("a"), class: "NoOp", gate: 1, gates: 1 },
        ),
        (
            Edit::new().rewire("a", 0, "b", 3),
            EditError::NoInput { module: name("b"), class: "NoOp", gate: 3, gates: 1 },
        ),
        (
            Edit::new().move_to("b", worker).connect("a", 0, "b", 0),
            EditError::Connected { module: name("a"), gate: 0, to: name("b") },
        ),
        (Edit::new().remove("b").disconnect("a", 0), EditError::NotConnected { module: name("a"), gate: 0 }),
        (Edit::new().add("c", NoOp, 7), EditError::NoWorker { module: name("c"), worker: 7, workers: 1 }),
        (
            Edit::new().add("c", Merge::new(9000), worker),
            EditError::TooManyGates { module: name("c"), gates: 9000 },
        ),
        (Edit::new().add("c", NoOp, worker).remove("c"), EditError::Fleeting(name("c"))),
    ];
    for (edit, error) in edits {
        assert_eq!(engine.apply(edit).err(), Some(error));
        assert_eq!(engine.snapshot().modules, before);
    }
    let wrong = engine.with_module("a", |_: &mut Sink| ()).unwrap_err();
    assert_eq!(wrong.to_string(), "module `a` is a NoOp, not a softnic::modules::sink::Sink");
    assert_eq!(engine.with_module("z", |_: &mut Sink| ()), Err(CommandError::NoModule(name("z"))));
}
