//! Nothing pauses: while a stream of numbered packets crosses a chain of BESS's modules, thousands of requests change
//! the tables, the chain, the traffic classes, the workers, the hooks and the ports around it, without one `PauseAll`.
//! Not a packet is lost or overtaken but those that arrive at a gate which a request has disconnected, and these are
//! counted one by one. Every command of every class is among them, and every request that leaves the stream in place; each
//! has been carried out when the test ends.
//!
//! `WEFT_STREAM_EDITS` says how many requests (10,000), `WEFT_STREAM_SECONDS` after what time no more are made (40; where
//! many others want the cores a request takes milliseconds), `WEFT_STREAM_SEED` repeats a run's choices. Whoever gives a
//! time wants all of the requests within it.

mod around;
#[path = "../bess_kit/mod.rs"]
mod bess_kit;
mod chain;
mod commands;
mod graph;
mod numbered;
mod running;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bess_kit::{Daemon, packed, schema};
use commands::{Deck, PAUSED_IN_BESS};
use graph::TOLD;
use numbered::{Judge, Line, Numbered};
use packet::{Pool, PoolConfig};
use prost::{Message, Name};
use running::Class;
use softnic::bess::{Config, pb};
use softnic::engine::{Edit, Gate, ModuleSnapshot};

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};
const NO_ARG: pb::EmptyArg = pb::EmptyArg {};
/// The workers that always are there.
const WORKERS: i64 = 2;
/// What is not drawn within its time is drawn within so many seconds for each one of that.
const ALL_WITHIN: Duration = Duration::from_secs(5);
/// How long packets may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// xorshift64*: enough for choosing edits.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// A module of the chain, and the gate at which the stream leaves it.
#[derive(Clone)]
struct Hop {
    name: String,
    gate: Gate,
    inserted: bool,
}

/// The daemon, the chain, and what has been done to it.
struct Work {
    daemon: Daemon,
    dice: Dice,
    line: Arc<Line>,
    /// From the source to the last module before the judge.
    chain: Vec<Hop>,
    classes: Vec<Class>,
    /// Hosts whose rules the tables have: addresses of 198.18.0.0/15.
    rules: BTreeMap<&'static str, Vec<u32>>,
    /// Whether there is a third worker.
    fleeting: bool,
    named: u64,
    requests: usize,
    /// All of the interface's requests, and how often each was made.
    methods: Vec<String>,
    kinds: BTreeMap<&'static str, usize>,
    /// All commands of all classes, and how often each was carried out.
    commands: Vec<(&'static str, String)>,
    told: BTreeMap<(&'static str, String), usize>,
    deck: Deck,
    questions: Deck,
    /// Edits that may drop, and what they have dropped.
    rough: u64,
    dropped: u64,
    /// What modules that are gone have dropped.
    gone: u64,
    /// The longest silence, and that of edits which may drop.
    silence_ns: u64,
    rough_silence_ns: u64,
    /// The longest stall that the engine itself has told of.
    stall: Duration,
}

/// Packets that arrived at a gate that leads nowhere.
fn at_gates(module: &ModuleSnapshot) -> u64 {
    module.outputs.iter().map(|gate| gate.unconnected).sum()
}

/// Packets lost in any other way.
fn elsewhere(module: &ModuleSnapshot) -> u64 {
    module.dropped + module.lost + module.outputs.iter().map(|gate| gate.overrun).sum::<u64>()
}

impl Work {
    fn start(seed: u64, pool: &Pool) -> Self {
        let mut daemon = Daemon::start(Config { buffers: 2048, seed, ..Config::default() });
        for wid in 0..WORKERS {
            daemon.must("AddWorker", &worker(wid));
        }
        let service = schema().services().next().unwrap();
        let line = Arc::new(Line::default());
        let mut work = Self {
            daemon,
            dice: Dice(seed | 1),
            line: line.clone(),
            chain: Vec::new(),
            classes: Vec::new(),
            rules: BTreeMap::new(),
            fleeting: false,
            named: 0,
            requests: 0,
            methods: service.methods().map(|method| method.name().to_owned()).collect(),
            kinds: BTreeMap::new(),
            commands: Vec::new(),
            told: BTreeMap::new(),
            deck: Deck::default(),
            questions: Deck::default(),
            rough: 0,
            dropped: 0,
            gone: 0,
            silence_ns: 0,
            rough_silence_ns: 0,
            stall: Duration::ZERO,
        };
        work.read_commands();
        work.make_chain();
        let ends = Edit::new()
            .add("judge", Judge::new(line.clone()), 0)
            .connect("lookup", 0, "judge", 0)
            .add("source", Numbered::new(pool.clone(), line), 0)
            .connect("source", 0, "exact", 0);
        work.daemon.bess.engine().apply(ends).unwrap();
        work.chain.insert(0, Hop { name: "source".to_owned(), gate: 0, inserted: false });
        work.make_side();
        work.lead();
        work.request("ResumeAll", &EMPTY);
        work
    }

    /// Makes a request, which must succeed.
    fn request(&mut self, method: &'static str, request: &impl Message) {
        self.requests += 1;
        *self.kinds.entry(method).or_default() += 1;
        self.daemon.must(method, request);
    }

    /// Tells a module something, which it must do.
    fn command<A: Message + Name>(&mut self, module: &str, command: &str, arg: &A) {
        let (name, cmd) = (module.to_owned(), command.to_owned());
        self.requests += 1;
        *self.kinds.entry("ModuleCommand").or_default() += 1;
        let answer = self.daemon.command(module, command, arg);
        assert_eq!(answer.error, None, "{name} {cmd}");
        let class = TOLD.iter().find(|told| told.1 == module).unwrap().0;
        *self.told.entry((class, cmd)).or_default() += 1;
    }

    fn module<A: Message + Name>(&mut self, class: &str, name: &str, arg: &A) {
        let (name, mclass) = (name.to_owned(), class.to_owned());
        self.request("CreateModule", &pb::CreateModuleRequest { name, mclass, arg: Some(packed(arg)) });
    }

    fn connect(&mut self, from: &Hop, to: &str) {
        let (m1, m2, ogate) = (from.name.clone(), to.to_owned(), u64::from(from.gate));
        let request = pb::ConnectModulesRequest { m1, m2, ogate, igate: 0, skip_default_hooks: false };
        self.request("ConnectModules", &request);
    }

    fn destroy(&mut self, name: &str) {
        self.request("DestroyModule", &pb::DestroyModuleRequest { name: name.to_owned() });
    }

    fn name(&mut self, kind: &str) -> String {
        self.named += 1;
        format!("{kind}{}", self.named)
    }

    /// Makes an edit by the engine itself.
    fn apply(&mut self, edit: Edit) {
        self.requests += 1;
        *self.kinds.entry("Engine::apply").or_default() += 1;
        let applied = self.daemon.bess.engine().apply(edit).unwrap();
        assert_eq!(applied.lost, 0);
        self.stall = applied.stalls.into_iter().chain([self.stall]).max().unwrap();
    }

    fn judge<R: Send + 'static>(&self, ask: impl FnOnce(&mut Judge) -> R + Send + 'static) -> R {
        self.daemon.bess.engine().with_module("judge", ask).unwrap()
    }

    fn sent(&self) -> u64 {
        self.daemon.bess.engine().with_module("source", |source: &mut Numbered| source.sent).unwrap()
    }

    fn edit(&mut self) {
        match self.dice.roll(64) {
            0..8 => self.edit_chain(),
            8..16 => self.move_task(),
            16..22 => self.edit_classes(),
            22..26 => self.edit_hooks(),
            26 => self.edit_ports(),
            27..29 => self.edit_workers(),
            29..35 => self.ask(),
            _ => self.edit_module(),
        }
    }
}

/// A worker on a core that is there.
fn worker(wid: i64) -> pb::AddWorkerRequest {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as i64);
    pb::AddWorkerRequest { wid, core: wid % cores, ..Default::default() }
}

#[test]
fn nothing_is_lost_or_overtaken_while_everything_is_edited() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = setting("WEFT_STREAM_SEED").unwrap_or_else(|| std::process::id().into());
    let edits = setting("WEFT_STREAM_EDITS").unwrap_or(10_000) as usize;
    let given = setting("WEFT_STREAM_SECONDS");
    let limit = Duration::from_secs(given.unwrap_or(40));
    println!("WEFT_STREAM_SEED={seed} WEFT_STREAM_EDITS={edits} WEFT_STREAM_SECONDS={}", limit.as_secs());
    let pool = Pool::new(PoolConfig { buffers: 1024, room: 256, ..PoolConfig::default() }).unwrap();
    let mut work = Work::start(seed, &pool);
    let begin = Instant::now();
    let more = |work: &Work| {
        let time = begin.elapsed();
        let all = work.requests >= edits || time > limit;
        !all || time < ALL_WITHIN * limit.as_secs().max(1) as u32 && !work.missing().is_empty()
    };
    while more(&work) {
        work.edit();
    }
    let took = begin.elapsed();

    let sent = work.daemon.bess.engine().with_module("source", |source: &mut Numbered| {
        source.stop = true;
        source.sent
    });
    let (sent, dropped) = (sent.unwrap(), work.dropped);
    let start = Instant::now();
    while work.judge(|judge| judge.received) + dropped < sent && start.elapsed() < PATIENCE {}
    let silence = work.judge(Judge::silence_ns).max(work.silence_ns);
    let (received, overtaken, gaps) =
        work.judge(|judge| (judge.received, judge.overtaken, judge.gaps.clone()));
    let snapshot = work.daemon.bess.engine().snapshot();
    let stall = snapshot.workers.iter().take(WORKERS as usize).map(|worker| worker.stall_ns_max).max();
    println!(
        "{} requests in {took:?} under {sent} packets: {received} received, {dropped} dropped at gates that {} requests \
         had disconnected, in {} gaps; {overtaken} overtaken\n{:?}\nlongest silence {:?}, around a disconnected gate {:?}; \
         longest stall of a worker by an edit {:?}, of those by the engine's interface {:?}\n{} commands of {} classes, each \
         {} times at least",
        work.requests,
        work.rough,
        gaps.len(),
        work.kinds,
        Duration::from_nanos(silence),
        Duration::from_nanos(work.rough_silence_ns),
        Duration::from_nanos(stall.unwrap_or_default()),
        work.stall,
        work.told.len(),
        work.told.keys().map(|told| told.0).collect::<BTreeSet<_>>().len(),
        work.told.values().min().copied().unwrap_or_default(),
    );
    assert_eq!(work.missing(), Vec::<String>::new(), "seed {seed}: never carried out");
    let paused =
        PAUSED_IN_BESS.iter().flat_map(|(class, commands)| commands.iter().map(move |one| (*class, *one)));
    let paused: Vec<_> =
        paused.filter(|(class, one)| work.told.contains_key(&(*class, (*one).to_owned()))).collect();
    assert_eq!(paused.len(), 45, "seed {seed}: of those for which BESS pauses, only {paused:?}");
    let enough = given.is_none() || work.requests >= edits;
    assert!(enough, "seed {seed}: {} requests within {limit:?}, not {edits}", work.requests);
    assert_eq!(work.drops(elsewhere), 0, "seed {seed}: packets were dropped inside");
    assert_eq!(work.dropped_at_gates(), dropped, "seed {seed}: packets were dropped by no request that may");
    assert_eq!((received + dropped, overtaken), (sent, 0), "seed {seed}");
    assert_eq!(gaps.iter().map(|gap| gap.1).sum::<u64>(), dropped, "seed {seed}: {gaps:?}");
    assert!(gaps.len() as u64 <= work.rough, "seed {seed}: at most one gap for each disconnected gate");
    assert!(work.rough > 0 && received > work.requests as u64, "seed {seed}: there was hardly any load");
    let broken = snapshot.modules.into_iter().filter_map(|module| module.failed);
    assert_eq!(broken.collect::<Vec<_>>(), Vec::<String>::new(), "modules have panicked");
}
