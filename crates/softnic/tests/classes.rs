//! Traffic classes with live engines: who gets how much, who stands where, and what is refused.

use std::time::{Duration, Instant};

use packet::{Pool, PoolConfig};
use softnic::engine::{
    ClassError, ClassKind, ClassSnapshot, ClassStats, Edit, EditError, Engine, Parent, Policy, Rank,
    Resource, Usage, WorkerConfig,
};
use softnic::modules::{NoOp, Sink, Source};

const FRAME: [u8; 60] = [7; 60];

fn pool(buffers: usize) -> Pool {
    Pool::new(PoolConfig { buffers, room: 128, ..PoolConfig::default() }).unwrap()
}

fn engine(workers: usize) -> Engine {
    let engine = Engine::new();
    for worker in 0..workers {
        assert_eq!(engine.add_worker(WorkerConfig::default()).unwrap(), worker);
    }
    engine
}

/// Adds sources without end, each with a sink behind it.
fn add_sources(engine: &Engine, names: &[&str], worker: usize) {
    let mut edit = Edit::new();
    for name in names {
        let sink = format!("{name}_sink");
        edit = edit
            .add(*name, Source::new(pool(64), &FRAME), worker)
            .add(&*sink, Sink::new(), worker)
            .connect(*name, 0, sink, 0);
    }
    engine.apply(edit).unwrap();
}

/// Waits until `done` says so; a minute at most.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn usage(engine: &Engine, class: &str) -> Usage {
    engine.class_stats(class).unwrap().usage
}

fn class(engine: &Engine, name: &str) -> ClassSnapshot {
    let found = engine.classes().into_iter().find(|class| class.name == name);
    found.unwrap_or_else(|| panic!("no class {name}"))
}

/// What classes, and their parent, have used of a resource. The worker pauses between two turns, so that all are read at the
/// same moment.
fn read(engine: &Engine, parent: &str, classes: &[&str], resource: Resource) -> (Vec<u64>, u64) {
    engine.pause_all();
    let each = classes.iter().map(|class| usage(engine, class).of(resource)).collect();
    let all = usage(engine, parent).of(resource);
    engine.resume_all();
    (each, all)
}

/// The part that each has had of what their parent has used in between.
fn portions(before: &(Vec<u64>, u64), after: &(Vec<u64>, u64)) -> Vec<f64> {
    let all = (after.1 - before.1) as f64;
    before.0.iter().zip(&after.0).map(|(before, after)| (after - before) as f64 / all).collect()
}

/// The same while the parent uses `amount`.
fn shares(engine: &Engine, parent: &str, classes: &[&str], resource: Resource, amount: u64) -> Vec<f64> {
    let before = read(engine, parent, classes, resource);
    until("enough is used", || usage(engine, parent).of(resource) >= before.1 + amount);
    portions(&before, &read(engine, parent, classes, resource))
}

fn assert_near(got: &[f64], want: &[f64], apart: f64, what: &str) {
    println!("{what}: {got:.4?}, {want:.4?} wanted");
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= want * apart, "{what}: {got} instead of {want}");
    }
}

#[test]
fn shares_are_kept_in_every_resource() {
    let engine = engine(1);
    let names = ["one", "two", "five"];
    add_sources(&engine, &names, 0);
    engine.add_class("fair", Policy::WeightedFair { resource: Resource::Packet }, Parent::worker(0)).unwrap();
    for (name, share) in names.into_iter().zip([1, 2, 5]) {
        engine.attach_task(name, 0, Parent::class("fair").share(share)).unwrap();
    }
    let leaves = names.map(|name| format!("!leaf_{name}:0"));
    let leaves = leaves.each_ref().map(String::as_str);
    let enough = [(Resource::Packet, 500_000), (Resource::Bit, 300_000_000), (Resource::Count, 20_000)];
    for (resource, amount) in enough {
        engine.update_class("fair", Policy::WeightedFair { resource }).unwrap();
        let got = shares(&engine, "fair", &leaves, resource, amount);
        assert_near(&got, &[0.125, 0.25, 0.625], 0.02, resource.name());
    }
    // A turn during which the thread loses its core is charged what it took, and the others make it good in time.
    engine.update_class("fair", Policy::WeightedFair { resource: Resource::Cycle }).unwrap();
    let begin = read(&engine, "fair", &leaves, Resource::Cycle);
    let mut got = Vec::new();
    until("cycles are shared out to 2 %", || {
        let now = read(&engine, "fair", &leaves, Resource::Cycle);
        got = portions(&begin, &now);
        now.1 - begin.1 > host::cycles::per_second() / 2
            && got.iter().zip([0.125, 0.25, 0.625]).all(|(got, want)| (got / want - 1.0).abs() <= 0.02)
    });
    println!("cycle: {got:.4?}");
}

/// Waits for so long, by the clock of a class's statistics; returns how much of a resource it used in a second.
fn rate(engine: &Engine, class: &str, resource: Resource, span: Duration) -> f64 {
    let begin = engine.class_stats(class).unwrap();
    let mut got = 0.0;
    until("time passes", || {
        let passed;
        (got, passed) = rate_since(engine, class, resource, &begin);
        passed >= span
    });
    got
}

fn rate_since(engine: &Engine, class: &str, resource: Resource, begin: &ClassStats) -> (f64, Duration) {
    let end = engine.class_stats(class).unwrap();
    let passed = end.at.duration_since(begin.at).unwrap_or_default();
    let used = end.usage.of(resource) - begin.usage.of(resource);
    (used as f64 / passed.as_secs_f64().max(1e-9), passed)
}

#[test]
fn limits_are_kept_in_every_resource() {
    let engine = engine(1);
    add_sources(&engine, &["source"], 0);
    let limits = [
        (Resource::Packet, 100_000),
        (Resource::Bit, 100_000_000),
        (Resource::Count, 2_000),
        (Resource::Cycle, host::cycles::per_second() / 10),
    ];
    engine.add_class("limit", policy(Resource::Packet, 0, 0), Parent::worker(0)).unwrap();
    engine.attach_task("source", 0, Parent::class("limit")).unwrap();
    for (resource, limit) in limits {
        // The burst is what makes up for a core that other processes take away.
        let max_burst = limit / 5;
        engine.update_class("limit", policy(resource, limit, max_burst)).unwrap();
        let before = usage(&engine, "limit").of(resource);
        until("the burst is used up", || usage(&engine, "limit").of(resource) > before + 2 * max_burst);
        // While another process has the core the worker is behind, at either end of the time. What it makes good in the end
        // is within 1 %; a limit that is missed by more never gets there. In cycles one turn that lost its core is a debt of
        // half a second and more, hence 5 %.
        let apart = if resource == Resource::Cycle { 0.05 } else { 0.01 };
        let begin = engine.class_stats("limit").unwrap();
        let mut got = 0.0;
        until(&format!("{limit} {resource}s a second"), || {
            let passed;
            (got, passed) = rate_since(&engine, "limit", resource, &begin);
            passed >= Duration::from_secs(1) && (got / limit as f64 - 1.0).abs() <= apart
        });
        println!("{got:.0} {resource}s a second, {limit} wanted");
    }
}

fn policy(resource: Resource, limit: u64, max_burst: u64) -> Policy {
    Policy::RateLimit { resource, limit, max_burst }
}

#[test]
fn a_worker_that_may_not_work_sleeps() {
    let engine = engine(1);
    add_sources(&engine, &["source"], 0);
    engine.add_class("limit", policy(Resource::Count, 500, 0), Parent::worker(0)).unwrap();
    engine.attach_task("source", 0, Parent::class("limit")).unwrap();
    let before = engine.snapshot().workers.remove(0);
    rate(&engine, "limit", Resource::Count, Duration::from_secs(1));
    let after = engine.snapshot().workers.remove(0);
    let turns = after.turns - before.turns;
    let spent = Duration::from_nanos(after.cpu_ns - before.cpu_ns);
    println!("500 turns a second: {turns} turns, {} sleeps, {spent:?}", after.sleeps - before.sleeps);
    assert!((300..=600).contains(&turns), "{turns} turns");
    assert!(after.sleeps - before.sleeps >= turns / 3, "it does not sleep");
    assert!(spent < Duration::from_millis(300), "{spent:?} for 500 turns");
    // A limit of nothing wakes nobody, and lifting it does.
    engine.update_class("limit", policy(Resource::Count, 0, 0)).unwrap();
    assert!(class(&engine, "limit").blocked && !class(&engine, "!leaf_source:0").blocked);
    let turns = engine.snapshot().workers[0].turns;
    rate(&engine, "limit", Resource::Count, Duration::from_millis(50));
    assert_eq!(engine.snapshot().workers[0].turns, turns);
    engine.update_class("limit", policy(Resource::Count, 1_000_000, 0)).unwrap();
    until("turns again", || engine.snapshot().workers[0].turns > turns + 100);
}

#[test]
fn the_first_comes_first() {
    let engine = engine(1);
    engine.pause_all();
    let first = Source::new(pool(64), &FRAME).count(1_000_000);
    let edit = Edit::new().add("first", first, 0).add("sink", Sink::new(), 0).connect("first", 0, "sink", 0);
    engine.apply(edit).unwrap();
    add_sources(&engine, &["second"], 0);
    engine.add_class("strict", Policy::Priority, Parent::worker(0)).unwrap();
    engine.attach_task("second", 0, Parent::class("strict").priority(20)).unwrap();
    engine.attach_task("first", 0, Parent::class("strict").priority(10)).unwrap();
    engine.resume_all();
    until("the first has begun", || usage(&engine, "!leaf_first:0").packets > 10_000);
    engine.pause_all();
    let [first, second] = ["first", "second"].map(|name| usage(&engine, &format!("!leaf_{name}:0")));
    assert!(first.packets < 1_000_000, "it was too quick for this test");
    assert_eq!(second, Usage::default(), "the second ran before the first was done");
    engine.resume_all();
    until("the second runs", || usage(&engine, "!leaf_second:0").packets > 10_000);
    assert_eq!(usage(&engine, "!leaf_first:0").packets, 1_000_000);
}

/// Name, parent, worker, policy of every class.
fn outline(engine: &Engine) -> Vec<(String, String, usize, &'static str)> {
    let row = |class: ClassSnapshot| {
        let policy = class.kind.policy();
        (class.name, class.parent.unwrap_or_default(), class.worker, policy)
    };
    engine.classes().into_iter().map(row).collect()
}

fn row(
    name: &str,
    parent: &str,
    worker: usize,
    policy: &'static str,
) -> (String, String, usize, &'static str) {
    (name.to_owned(), parent.to_owned(), worker, policy)
}

#[test]
fn tasks_without_a_class_are_adopted() {
    let engine = engine(1);
    assert_eq!(outline(&engine), []);
    add_sources(&engine, &["a"], 0);
    assert_eq!(outline(&engine), [row("!leaf_a:0", "", 0, "leaf")]);
    add_sources(&engine, &["b"], 0);
    let adopted = |name, policy| row(name, "!default_rr_0", 0, policy);
    let root = || row("!default_rr_0", "", 0, "round_robin");
    assert_eq!(outline(&engine), [root(), adopted("!leaf_a:0", "leaf"), adopted("!leaf_b:0", "leaf")]);
    engine.add_class("main", Policy::Priority, Parent::worker(0)).unwrap();
    engine.attach_task("a", 0, Parent::class("main").priority(3)).unwrap();
    let expected = [
        root(),
        adopted("!leaf_b:0", "leaf"),
        adopted("main", "priority"),
        row("!leaf_a:0", "main", 0, "leaf"),
    ];
    assert_eq!(outline(&engine), expected);
    let a = class(&engine, "!leaf_a:0");
    assert_eq!(a.kind, ClassKind::Leaf { module: "a".into(), task: 0 });
    assert_eq!(a.rank, Rank::Priority(3));
    // With everything below it, the user's class is the root.
    engine.attach_task("b", 0, Parent::class("main").priority(4)).unwrap();
    assert_eq!(outline(&engine)[0], row("main", "", 0, "priority"));
    until("both run", || usage(&engine, "main").packets > 1000);
    let below = usage(&engine, "main").packets;
    assert!(usage(&engine, "!default_rr_0").packets >= below);
    // What a class used is the sum of what its children used while they were there.
    engine.apply(Edit::new().remove("b")).unwrap();
    assert_eq!(outline(&engine), [row("main", "", 0, "priority"), row("!leaf_a:0", "main", 0, "leaf")]);
    engine.remove_classes();
    assert_eq!(outline(&engine), [row("!leaf_a:0", "", 0, "leaf")]);
    let packets = usage(&engine, "!leaf_a:0").packets;
    until("it still runs", || usage(&engine, "!leaf_a:0").packets > packets);
}

#[test]
fn a_task_takes_its_module_along() {
    let engine = engine(2);
    add_sources(&engine, &["a", "b"], 0);
    engine.add_class("here", Policy::RoundRobin, Parent::worker(0)).unwrap();
    engine.add_class("there", Policy::RoundRobin, Parent::worker(1)).unwrap();
    engine.attach_task("a", 0, Parent::class("here")).unwrap();
    until("a has run", || usage(&engine, "!leaf_a:0").packets > 1000);
    let before = usage(&engine, "!leaf_a:0").packets;
    engine.attach_task("a", 0, Parent::class("there")).unwrap();
    let worker = |name: &str| engine.snapshot().module(name).unwrap().worker;
    assert_eq!((worker("a"), worker("a_sink"), worker("b")), (Some(1), Some(0), Some(0)));
    assert!(usage(&engine, "!leaf_a:0").packets >= before, "what it used is forgotten");
    let now = usage(&engine, "there").packets;
    until("it runs there", || usage(&engine, "there").packets > now + 1000);
    // A whole class goes, and comes back.
    engine.attach_task("b", 0, Parent::class("here")).unwrap();
    engine.move_class("here", Parent::class("there")).unwrap();
    assert_eq!(worker("b"), Some(1));
    let expected = [
        row("there", "", 1, "round_robin"),
        row("!leaf_a:0", "there", 1, "leaf"),
        row("here", "there", 1, "round_robin"),
        row("!leaf_b:0", "here", 1, "leaf"),
    ];
    assert_eq!(outline(&engine), expected);
    let now = usage(&engine, "here").packets;
    until("b runs there", || usage(&engine, "here").packets > now + 1000);
    engine.move_class("there", Parent::worker(0)).unwrap();
    assert_eq!((worker("a"), worker("b")), (Some(0), Some(0)));
    // An edit that moves the module puts its task at the top.
    engine.apply(Edit::new().move_to("b", 1)).unwrap();
    assert_eq!(class(&engine, "!leaf_b:0").parent, None);
}

#[test]
fn what_is_impossible_is_refused_and_changes_nothing() {
    let engine = engine(1);
    add_sources(&engine, &["a", "b"], 0);
    engine.apply(Edit::new().add("plain", NoOp, 0)).unwrap();
    let top = || Parent::worker(0);
    engine.add_class("strict", Policy::Priority, top()).unwrap();
    engine.add_class("fair", Policy::WeightedFair { resource: Resource::Bit }, top()).unwrap();
    engine.add_class("limit", policy(Resource::Bit, 1, 0), Parent::class("fair").share(1)).unwrap();
    engine.attach_task("a", 0, Parent::class("strict").priority(1)).unwrap();
    engine.add_class("below", Policy::RoundRobin, Parent::class("limit")).unwrap();
    let before = outline(&engine);
    let name = str::to_owned;
    let add = |class: &str, parent| engine.add_class(class, Policy::RoundRobin, parent);
    let attach = |module: &str, task, parent| engine.attach_task(module, task, parent);
    let wants = |class: &str, policy: &'static str| ClassError::OtherPolicy {
        class: name(class),
        policy,
        wanted: "round_robin",
    };
    let refused = [
        (add("", top()), ClassError::NoName),
        (add("!x", top()), ClassError::Reserved(name("!x"))),
        (add("fair", top()), ClassError::NameTaken(name("fair"))),
        (add("x", Parent::class("y")), ClassError::NoParent(name("y"))),
        (add("x", Parent::worker(3)), ClassError::NoWorker(3)),
        (add("x", Parent::class("!leaf_a:0")), ClassError::UnderLeaf(name("!leaf_a:0"))),
        (add("x", Parent::class("strict")), ClassError::WantsPriority(name("strict"))),
        (add("x", Parent::class("strict").share(1)), ClassError::WantsPriority(name("strict"))),
        (
            add("x", Parent::class("strict").priority(1)),
            ClassError::PriorityTaken { parent: name("strict"), priority: 1, child: name("!leaf_a:0") },
        ),
        (add("x", Parent::class("fair")), ClassError::WantsShare(name("fair"))),
        (add("x", Parent::class("fair").share(0)), ClassError::WantsShare(name("fair"))),
        (
            add("x", Parent::class("limit")),
            ClassError::OneChild { parent: name("limit"), child: name("below") },
        ),
        (attach("x", 0, top()), ClassError::NoModule(name("x"))),
        (attach("a", 1, top()), ClassError::NoTask { module: name("a"), task: 1, tasks: 1 }),
        (attach("plain", 0, top()), ClassError::NoTask { module: name("plain"), task: 0, tasks: 0 }),
        (engine.update_class("x", Policy::RoundRobin), ClassError::NoClass(name("x"))),
        (engine.update_class("strict", Policy::RoundRobin), wants("strict", "priority")),
        (engine.update_class("!leaf_a:0", Policy::RoundRobin), wants("!leaf_a:0", "leaf")),
        (engine.move_class("!default_rr_0", top()), ClassError::Reserved(name("!default_rr_0"))),
        (
            engine.move_class("fair", Parent::class("below")),
            ClassError::Circle { class: name("fair"), parent: name("below") },
        ),
        (engine.remove_class("!leaf_a:0"), ClassError::Reserved(name("!leaf_a:0"))),
        (engine.remove_class("x"), ClassError::NoClass(name("x"))),
        (engine.class_stats("x").map(|_| ()), ClassError::NoClass(name("x"))),
    ];
    for (at, (result, error)) in refused.into_iter().enumerate() {
        assert_eq!(result, Err(error), "number {at}");
    }
    // An edit with classes in it is made whole or not at all.
    let edit = Edit::new()
        .add("c", Source::new(pool(64), &FRAME), 0)
        .add_class("new", Policy::RoundRobin, top())
        .attach_task("c", 0, Parent::class("new"))
        .attach_task("b", 0, Parent::class("fair"));
    assert_eq!(engine.apply(edit).err(), Some(EditError::Class(ClassError::WantsShare(name("fair")))));
    assert_eq!(outline(&engine), before);
    assert!(engine.snapshot().module("c").is_none());
    // A way may be so long and no longer.
    let deepest = (0..).find(|at| {
        let parent = if *at == 0 { top() } else { Parent::class(format!("way{}", at - 1)) };
        add(&format!("way{at}"), parent).is_err()
    });
    assert_eq!(deepest, Some(softnic::engine::CLASS_DEPTH_MAX - 1), "the root counts");
    assert!(matches!(attach("b", 0, Parent::class("way62")), Err(ClassError::TooDeep(_))));
}
