//! What it costs to get from one network function through the data plane to another: `cargo bench -p e2 --bench hops`.
//!
//! ```text
//!  load ─► a ─► E2Plane ─► b ─► load        b: native, in a confined process, or nft in a bridge behind two interfaces
//! ```
//!
//! The program of the data plane is what the compiler makes of a policy. Both functions are `macswap`, as cheap as a function can
//! be. A window of packets goes round, so that nothing is lost; then one packet, whose way is timed. CPU time is that of all threads
//! of this process, of confined ones and of the kernel's threads for interrupts, in ns for a packet; what the load and
//! the functions take is in the first row, and taken off in the columns `more`. Rows about legacy functions want root.

mod legacy;
mod load;

use std::fs;
use std::time::{Duration, Instant};

use e2::compile::plan;
use e2::deploy::{Deployed, Scheme};
use e2::plane::Plane;
use e2::policy::Policy;
use legacy::Bridge;
use load::Load;
use netbricks::Args;
use netbricks::functions::{Kind, Setup, build_isolated, serve_isolated};
use packet::{Pool, PoolConfig};
use softnic::engine::{Edit, Engine, WorkerConfig};
use softnic::modules::{FunctionModule, Queue};

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_millis(400);
/// Packets on their way at once: fewer than any queue on it holds.
const WINDOW: usize = 256;
/// How long the last of them may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The word with which this program is a function in a confined process.
const ROLE: &str = "function";
/// What stands in front of an instance where `weft e2 up` runs it.
const QUEUE: usize = 4096;

/// What `b` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    Native,
    Isolated,
    Legacy,
}

/// A row of the table.
struct Row {
    name: &'static str,
    /// What the edge from `a` to `b` asks for; none where there is no data plane between them.
    when: Option<&'static str>,
    other: Other,
    /// As it is run: the data plane and each function have a worker, and queues stand in between.
    apart: bool,
}

const fn row(name: &'static str, when: Option<&'static str>, other: Other, apart: bool) -> Row {
    Row { name, when, other, apart }
}

const ROWS: [Row; 10] = [
    row("no data plane", None, Other::Native, false),
    row("native", Some(""), Other::Native, false),
    row("header match", Some(HEADER), Other::Native, false),
    row("metadata match", Some("safe"), Other::Native, false),
    row("isolated", Some(""), Other::Isolated, false),
    row("legacy", Some(""), Other::Legacy, false),
    row("no data plane, a worker each", None, Other::Native, true),
    row("native, a worker each", Some(""), Other::Native, true),
    row("isolated, a worker each", Some(""), Other::Isolated, true),
    row("legacy, a worker each", Some(""), Other::Legacy, true),
];
const HEADER: &str = "udp dst port 53";

fn policy(row: &Row) -> String {
    let kind = if row.other == Other::Legacy { "legacy" } else { "native" };
    let when =
        row.when.filter(|when| !when.is_empty()).map_or_else(String::new, |when| format!(", when: {when}"));
    format!(
        "nfs:
  - {{name: a, affinity: flow, run: [macswap], inside: [left], attributes: [{{name: safe, by: metadata}}]}}
  - {{name: b, affinity: flow, run: [macswap], inside: [left], kind: {kind}}}
pipelets:
  - {{name: way, rate: 1 Gbit/s, edges: [{{from: left, to: a}}, {{from: a, to: b{when}}}, {{from: b, to: right}}]}}
hardware:
  switch: {{name: tor, entries: 100}}
  servers: [{{name: s1, cores: 2}}]
  links: [{{between: [s1, tor], rate: 10 Gbit/s}}]
  ports: [{{name: left, rate: 10 Gbit/s, at: \"ring:l\"}}, {{name: right, rate: 10 Gbit/s, at: \"ring:r\"}}]
"
    )
}

fn setup(pool: &Pool) -> Setup {
    Setup { pool: pool.clone(), key: 1, seed: 1 }
}

fn native(pool: &Pool) -> FunctionModule {
    let kind = Kind::find("macswap").expect("macswap");
    FunctionModule::build(kind, &Args::default(), &setup(pool)).expect("macswap")
}

fn isolated(pool: &Pool) -> FunctionModule {
    let line = build_isolated(&["macswap"], &setup(pool), ROLE, false).expect("a confined process");
    FunctionModule::new(Box::new(line))
}

/// A graph that runs, and what it needs.
struct Running {
    engine: Engine,
    _bridge: Option<Bridge>,
}

impl Running {
    fn start(row: &Row, window: usize, timed: bool) -> Self {
        let engine = Engine::new();
        let pool = Pool::new(PoolConfig { buffers: 4096, ..PoolConfig::default() }).expect("a pool");
        let workers: Vec<usize> =
            (0..3).map(|_| engine.add_worker(WorkerConfig::default()).expect("a worker")).collect();
        let [first, of_a, of_b] =
            if row.apart { [workers[0], workers[1], workers[2]] } else { [workers[0]; 3] };
        // What packets for a function meet first, and by which gate it lets them out.
        let mut edit = Edit::new().add("a", native(&pool), of_a);
        let (mut to_a, mut to_b) = ("a", "b");
        if row.apart {
            edit = edit.add("queue_a", Queue::new(QUEUE), of_a).connect("queue_a", 0, "a", 0);
            to_a = "queue_a";
        }
        let mut bridge = None;
        let from_b = if row.other == Other::Legacy {
            let there = bridge.insert(Bridge::new());
            let (there, back) = there.ports(&engine, &pool);
            // Ports belong to the data plane's worker.
            edit = edit.add("b", there, first).add("back", back, first);
            ("back", 0)
        } else {
            let function = if row.other == Other::Isolated { isolated(&pool) } else { native(&pool) };
            edit = edit.add("b", function, of_b);
            if row.apart {
                edit = edit.add("queue_b", Queue::new(QUEUE), of_b).connect("queue_b", 0, "b", 0);
                to_b = "queue_b";
            }
            ("b", 1)
        };
        match row.when {
            None => edit = edit.connect("a", 1, to_b, 0),
            Some(when) => {
                let (plane, [gate_a, gate_b]) = plane(row, pool.clone());
                // The gate of the attribute is behind inside and outside.
                let leaves = if when == "safe" { 2 } else { 1 };
                edit = edit
                    .add("plane", plane, first)
                    .connect("a", 1, "plane", gate_a + leaves)
                    .connect("plane", gate_b, to_b, 0);
            }
        }
        let load = Load::new(&pool, window, timed);
        edit =
            edit.add("load", load, first).connect("load", 0, to_a, 0).connect(from_b.0, from_b.1, "load", 0);
        engine.apply(edit).expect("a graph");
        engine.command("load", |_: &mut Load, ctx| ctx.wake(0)).expect("a load");
        Self { engine, _bridge: bridge }
    }

    fn back(&self) -> u64 {
        self.engine.with_module("load", |load: &mut Load| load.look().back).expect("a load")
    }

    /// CPU nanoseconds of a packet, and packets in a second, for a while.
    fn rate(&self) -> (f64, f64) {
        let (before, packets, began) = (cpu_ns(), self.back(), Instant::now());
        std::thread::sleep(TIME);
        let (more, time) = ((self.back() - packets) as f64, began.elapsed());
        ((cpu_ns() - before) as f64 / more, more / time.as_secs_f64())
    }

    /// Ends it; all that was sent is back.
    fn end(self, row: &Row) -> Vec<u32> {
        let end = Instant::now() + PATIENCE;
        let mut times = Vec::new();
        loop {
            let seen = self.engine.with_module("load", |load: &mut Load| {
                load.stop();
                load.look()
            });
            let seen = seen.expect("a load");
            times.extend(seen.times);
            if seen.out == 0 {
                break;
            }
            assert!(Instant::now() < end, "{}: {} packets are lost", row.name, seen.out);
            std::thread::sleep(Duration::from_millis(1));
        }
        let lost =
            self.engine.snapshot().modules.iter().map(|module| module.dropped + module.lost).sum::<u64>();
        assert_eq!(lost, 0, "{}", row.name);
        times
    }
}

/// The data plane of the server, and the gates of the two functions.
fn plane(row: &Row, pool: Pool) -> (Plane, [u16; 2]) {
    let policy = Policy::read(&policy(row)).expect("a policy");
    let plan = plan(&policy).expect("a plan");
    let scheme = Scheme::of_plan(&policy, &plan).expect("a scheme");
    let deployed = Deployed::of_plan(&policy, &plan, 7).expect("instances");
    let mut plane = Plane::new(pool);
    plane.set_program(deployed.programs(&scheme).swap_remove(1)).expect("a program");
    let gate = |function: usize| {
        let of = deployed.instances.values().find(|one| one.function == function).expect("an instance");
        assert_eq!(of.site, 1, "on the server");
        of.gate
    };
    (plane, [gate(0), gate(1)])
}

fn schedstat(task: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{task}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// CPU nanoseconds of this process's threads, of the processes that it has started, and of the kernel's threads for interrupts.
fn cpu_ns() -> u64 {
    let mut tasks: Vec<String> = Vec::new();
    for thread in fs::read_dir("/proc/self/task").expect("threads").flatten() {
        let thread = thread.file_name().to_string_lossy().into_owned();
        let children = fs::read_to_string(format!("/proc/self/task/{thread}/children")).unwrap_or_default();
        tasks.extend(children.split_whitespace().map(str::to_owned));
        tasks.push(format!("self/task/{thread}"));
    }
    tasks.extend(interrupts().iter().cloned());
    tasks.iter().map(|task| schedstat(task)).sum()
}

/// The kernel's threads for what interrupts leave behind.
fn interrupts() -> &'static [String] {
    static THREADS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    THREADS.get_or_init(|| {
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        let names = processes.map(|process| process.file_name().to_string_lossy().into_owned());
        let is_one = |name: &String| {
            fs::read_to_string(format!("/proc/{name}/comm")).is_ok_and(|comm| comm.starts_with("ksoftirqd"))
        };
        names.filter(is_one).collect()
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU nanoseconds for a packet, packets in a second, and nanoseconds that one alone takes: medians.
fn measure(row: &Row) -> [f64; 3] {
    let running = Running::start(row, WINDOW, false);
    std::thread::sleep(TIME / 4);
    let (cpu, rate): (Vec<f64>, Vec<f64>) = (0..ROUNDS).map(|_| running.rate()).unzip();
    running.end(row);
    let running = Running::start(row, 1, true);
    std::thread::sleep(TIME / 4);
    running.back(); // these times are not wanted
    std::thread::sleep(TIME);
    let times = running.end(row);
    [median(cpu), median(rate), median(times.into_iter().map(f64::from).collect())]
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [role, words @ ..] = &words[..]
        && role == ROLE
    {
        serve_isolated(words).expect("to be started by this benchmark");
        return;
    }
    let wanted = |row: &&Row| words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str()));
    let root = rustix::process::geteuid().is_root();
    println!("{} flows, frames of {} bytes, {WINDOW} packets at once, then one\n", load::FLOWS, load::FRAME);
    println!(
        "| between `a` and `b` | CPU, ns a packet | more | million packets/s of a core | one alone, µs | more |"
    );
    println!("|---|---|---|---|---|---|");
    let mut bases: [Option<[f64; 3]>; 2] = [None; 2];
    for row in ROWS.iter().filter(wanted) {
        if row.other == Other::Legacy && !root {
            println!("| {} | (wants root) | | | | |", row.name);
            continue;
        }
        let measured @ [cpu, rate, alone] = measure(row);
        let base = bases[usize::from(row.apart)].get_or_insert(measured);
        let more = |at: usize| if row.when.is_some() { measured[at] - base[at] } else { 0.0 };
        println!(
            "| {} | {cpu:.1} | {:.1} | {:.2} | {:.2} | {:.2} |",
            row.name,
            more(0),
            1e3 / cpu,
            alone / 1e3,
            more(2) / 1e3
        );
        eprintln!("{}: {:.2} million packets/s by the clock", row.name, rate / 1e6);
    }
}
