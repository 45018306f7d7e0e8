//! Workers pause, go on, come and go, and the classes change, under a numbered stream that loses nothing.

use std::time::{Duration, Instant};

use packet::{Batch, Packet, Pool, PoolConfig};
use softnic::engine::{
    ClassError, ClassKind, Context, Edit, Engine, Gate, Module, Next, Parent, Policy, Ran, Readiness,
    Resource, WORKERS_MAX, WorkerConfig, WorkerError,
};
use softnic::modules::{NoOp, Sink};

/// Numbers the packets that it makes.
struct Numbered {
    pool: Pool,
    sent: u64,
    stop: bool,
}

impl Module for Numbered {
    fn class(&self) -> &'static str {
        "Numbered"
    }

    fn inputs(&self) -> Gate {
        0
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        if self.stop {
            return Ran::finished();
        }
        let got = self.pool.alloc_batch(ctx.budget(), batch);
        for packet in &mut *batch {
            packet.append(8).unwrap().copy_from_slice(&self.sent.to_be_bytes());
            self.sent += 1;
        }
        ctx.forward(0);
        if got == 0 { Ran::idle() } else { Ran::more(got, 8 * got as u64) }
    }
}

/// Sees that the numbers come in order, none left out.
#[derive(Default)]
struct Judge {
    next: u64,
    wrong: u64,
}

impl Module for Judge {
    fn class(&self) -> &'static str {
        "Judge"
    }

    fn process(&mut self, _ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        for packet in &*batch {
            let number = u64::from_be_bytes(packet.data().try_into().unwrap());
            self.wrong += u64::from(number != self.next);
            self.next = number + 1;
        }
        batch.clear();
    }
}

/// Holds packets, and says when it is nearly full.
struct Brim {
    packets: Vec<Packet>,
    capacity: usize,
}

impl Brim {
    fn new(capacity: usize) -> Self {
        Self { packets: Vec::new(), capacity }
    }
}

impl Module for Brim {
    fn class(&self) -> &'static str {
        "Brim"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let room = self.capacity - self.packets.len();
        let count = batch.len().min(room);
        self.packets.extend(batch.drain(..count));
        if self.packets.len() > self.capacity * 3 / 4 {
            ctx.overload(true);
        }
        ctx.wake(0);
    }

    fn tasks(&self) -> usize {
        1
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Signal
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        let count = self.packets.len().min(ctx.budget());
        for packet in self.packets.drain(..count) {
            batch.push(packet).unwrap();
        }
        if self.packets.len() < self.capacity / 4 {
            ctx.overload(false);
        }
        ctx.forward(0);
        let next = if self.packets.is_empty() { Next::Idle } else { Next::More };
        Ran { packets: count as u32, bytes: 8 * count as u64, next }
    }

    fn held(&self) -> usize {
        self.packets.len()
    }
}

/// xorshift64*: enough for choosing.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// Waits until `done` says so; a minute at most.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A pool of so few buffers that no ring can overflow.
fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 96, room: 64, ..PoolConfig::default() }).unwrap()
}

fn stream(engine: &Engine, pool: &Pool) {
    let source = Numbered { pool: pool.clone(), sent: 0, stop: false };
    engine
        .apply(
            Edit::new()
                .add("source", source, 0)
                .add("wire", NoOp, 0)
                .add("judge", Judge::default(), 0)
                .connect("source", 0, "wire", 0)
                .connect("wire", 0, "judge", 0),
        )
        .unwrap();
}

/// Ends the stream, and holds what came against what was sent.
fn nothing_is_missing(engine: &Engine, seed: u64) {
    let load = || engine.with_module("source", |source: &mut Numbered| source.sent).unwrap();
    until("there has been load", || load() > 1000);
    let stop = |source: &mut Numbered| {
        source.stop = true;
        source.sent
    };
    let sent = engine.with_module("source", stop).unwrap();
    let seen = || engine.with_module("judge", |judge: &mut Judge| (judge.next, judge.wrong)).unwrap();
    until("all has arrived", || seen().0 == sent);
    println!("seed {seed:#x}: {sent} packets, none missing, none out of order");
    assert_eq!(seen().1, 0, "seed {seed:#x}: packets are missing or out of order");
}

#[test]
fn pausing_loses_nothing() {
    let seed = 0x5eed_0010;
    let (mut dice, pool, engine) = (Dice(seed), pool(), Engine::new());
    for _ in 0..2 {
        engine.add_worker(WorkerConfig::default()).unwrap();
    }
    stream(&engine, &pool);
    for _ in 0..300 {
        let worker = dice.roll(2) as usize;
        match dice.roll(6) {
            0 => engine.pause_all(),
            1 => engine.resume_all(),
            2 => engine.pause_worker(worker).unwrap(),
            3 => engine.resume_worker(worker).unwrap(),
            4 => drop(engine.apply(Edit::new().move_to("wire", worker)).unwrap()),
            _ => engine.attach_task("source", 0, Parent::worker(worker)).unwrap(),
        }
    }
    engine.pause_all();
    assert!(engine.snapshot().workers.iter().all(|worker| !worker.running));
    let turns = || engine.snapshot().workers.iter().map(|worker| worker.turns).sum::<u64>();
    let before = turns();
    // Questions are answered all the same, over and over, and no task runs.
    for _ in 0..100 {
        engine.with_module("judge", |judge: &mut Judge| judge.next).unwrap();
    }
    assert_eq!(turns(), before);
    engine.resume_all();
    nothing_is_missing(&engine, seed);
    drop(engine);
    assert_eq!(pool.available(), pool.capacity(), "every buffer is home");
}

#[test]
fn a_paused_worker_sleeps_with_work_at_hand() {
    let engine = Engine::new();
    engine.add_worker(WorkerConfig::default()).unwrap();
    stream(&engine, &pool());
    engine.pause_worker(0).unwrap();
    let cpu = || engine.snapshot().workers[0].cpu_ns;
    let (before, begin) = (cpu(), Instant::now());
    until("time passes", || begin.elapsed() > Duration::from_millis(200));
    let spent = Duration::from_nanos(cpu() - before);
    assert!(spent < Duration::from_millis(10), "{spent:?} while paused");
    engine.resume_worker(0).unwrap();
    nothing_is_missing(&engine, 0);
}

#[test]
fn random_changes_of_the_classes_lose_nothing() {
    let seed = 0x5eed_0011;
    let (mut dice, pool, engine) = (Dice(seed), pool(), Engine::new());
    for _ in 0..2 {
        engine.add_worker(WorkerConfig::default()).unwrap();
    }
    stream(&engine, &pool);
    let policies = [
        Policy::Priority,
        Policy::RoundRobin,
        Policy::WeightedFair { resource: Resource::Packet },
        Policy::RateLimit { resource: Resource::Packet, limit: 10_000_000, max_burst: 100 },
    ];
    let (mut made, mut refused) = (0, 0);
    for _ in 0..1000 {
        let known: Vec<String> = engine
            .classes()
            .into_iter()
            .filter(|class| matches!(class.kind, ClassKind::Inner(_)) && !class.name.starts_with('!'))
            .map(|class| class.name)
            .collect();
        let mut any = |of: u64| match dice.roll(of) {
            0 => format!("class{}", dice.roll(12)),
            _ if known.is_empty() => "class0".to_owned(),
            _ => known[dice.roll(known.len() as u64) as usize].clone(),
        };
        let (name, above) = (any(2), any(10));
        let parent = match dice.roll(4) {
            0 => Parent::worker(dice.roll(2) as usize),
            _ => Parent::class(above),
        };
        let parent = match dice.roll(3) {
            0 => parent,
            1 => parent.priority(dice.roll(20) as u32),
            _ => parent.share(1 + dice.roll(10) as u32),
        };
        let policy = policies[dice.roll(4) as usize];
        let result = match dice.roll(12) {
            0..4 => engine.add_class(&name, policy, parent),
            4 => engine.remove_class(&name),
            5..8 => engine.move_class(&name, parent),
            8 => engine.update_class(&name, policy),
            _ => engine.attach_task("source", 0, parent),
        };
        match result {
            Ok(()) => made += 1,
            Err(ClassError::NoName | ClassError::Reserved(_) | ClassError::TooDeep(_)) => {
                panic!("{result:?}")
            }
            Err(_) => refused += 1,
        }
        let classes = engine.classes();
        let leaves = classes.iter().filter(|class| class.name == "!leaf_source:0").count();
        assert_eq!(leaves, 1, "the task is lost");
        // Whoever is named as a parent stands before its child, on the same worker.
        for (at, class) in classes.iter().enumerate() {
            let parent = class
                .parent
                .as_ref()
                .map(|parent| classes[..at].iter().find(|other| other.name == *parent).expect("a parent"));
            assert!(parent.is_none_or(|parent| parent.worker == class.worker));
        }
    }
    println!("{made} changes made, {refused} refused");
    assert!(made > 200 && refused > 50);
    nothing_is_missing(&engine, seed);
    drop(engine);
    assert_eq!(pool.available(), pool.capacity(), "every buffer is home");
}

#[test]
fn workers_have_numbers_and_go_when_nobody_needs_them() {
    let engine = Engine::new();
    let config = WorkerConfig::default();
    engine.add_worker_as(5, config).unwrap();
    assert_eq!(engine.add_worker(config).unwrap(), 0);
    assert!(matches!(engine.add_worker_as(5, config), Err(WorkerError::Taken(5))));
    assert!(matches!(engine.add_worker_as(WORKERS_MAX, config), Err(WorkerError::Number(WORKERS_MAX))));
    assert!(matches!(engine.remove_worker(1), Err(WorkerError::NoWorker(1))));
    assert!(matches!(engine.pause_worker(1), Err(WorkerError::NoWorker(1))));
    let indices = |engine: &Engine| -> Vec<usize> {
        engine.snapshot().workers.iter().map(|worker| worker.index).collect()
    };
    assert_eq!(indices(&engine), [0, 5]);
    stream(&engine, &pool());
    engine.apply(Edit::new().move_to("judge", 5)).unwrap();
    engine.add_class("idle", Policy::RoundRobin, Parent::worker(5)).unwrap();
    let busy = engine.remove_worker(5).unwrap_err();
    assert_eq!(busy.to_string(), "worker 5 cannot go: it has modules, `judge` among them");
    engine.apply(Edit::new().move_to("judge", 0)).unwrap();
    engine.remove_worker(5).unwrap();
    assert_eq!(indices(&engine), [0]);
    assert!(engine.classes().iter().all(|class| class.worker == 0), "its classes went with it");
    // Both the number and the name can be used again.
    engine.add_worker_as(5, config).unwrap();
    engine.add_class("idle", Policy::RoundRobin, Parent::worker(5)).unwrap();
    engine.apply(Edit::new().move_to("judge", 5)).unwrap();
    nothing_is_missing(&engine, 0);
    for _ in 2..WORKERS_MAX {
        engine.add_worker(config).unwrap();
    }
    assert!(matches!(engine.add_worker(config), Err(WorkerError::TooMany)));
}

#[test]
fn who_leads_to_a_full_module_rests() {
    let engine = Engine::new();
    engine.add_worker(WorkerConfig::default()).unwrap();
    let big = Pool::new(PoolConfig { buffers: 4096, room: 64, ..PoolConfig::default() }).unwrap();
    stream(&engine, &big);
    // A queue between wire and judge that lets out much less than comes in.
    engine
        .apply(
            Edit::new()
                .add("brim", Brim::new(256), 0)
                .connect("brim", 0, "judge", 0)
                .rewire("wire", 0, "brim", 0)
                .add_class(
                    "slow",
                    Policy::RateLimit { resource: Resource::Packet, limit: 20_000, max_burst: 0 },
                    Parent::worker(0),
                )
                .attach_task("brim", 0, Parent::class("slow")),
        )
        .unwrap();
    let seen = || engine.with_module("judge", |judge: &mut Judge| judge.next).unwrap();
    let begin = seen();
    until("a good deal has come through", || seen() > begin + 5000);
    let brim = engine.snapshot().module("brim").cloned().unwrap();
    assert_eq!(brim.dropped, 0, "the source did not rest");
    let sink = Sink::new();
    // While somebody is full, the graph changes: who does not lead there any more runs again.
    until("it is full", || {
        let classes = engine.classes();
        classes.iter().any(|class| class.name == "!leaf_source:0" && class.blocked)
    });
    let edit = Edit::new().add("sink", sink, 0).rewire("wire", 0, "sink", 0);
    engine.apply(edit).unwrap();
    let passed = || engine.with_module("sink", |sink: &mut Sink| sink.packets()).unwrap();
    until("the source runs again", || passed() > 10_000);
    // Back to the queue, which goes while it is full.
    engine.apply(Edit::new().rewire("wire", 0, "brim", 0)).unwrap();
    engine
        .update_class("slow", Policy::RateLimit { resource: Resource::Packet, limit: 0, max_burst: 0 })
        .unwrap();
    until("it is full again", || {
        // It may be full from before, and then holds what it did not let out since.
        engine.snapshot().module("brim").unwrap().held > 0
            && engine.classes().iter().any(|class| class.name == "!leaf_source:0" && class.blocked)
    });
    engine.apply(Edit::new().remove("brim").connect("wire", 0, "sink", 0)).unwrap();
    let now = passed();
    until("nobody waits for a queue that is gone", || passed() > now + 10_000);
}
