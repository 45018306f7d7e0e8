//! BESS's graphs in our engine: CPU time, cycles and instructions per packet of 60 bytes, one worker, in memory.
//!
//! `cargo bench -p softnic --bench bess` prints four tables: the graphs that a real bessd is measured with, and the same
//! with large tables; the five-module chain in other ways than the engine's; `dpdk-testpmd`, from Debian's `dpdk-dev`,
//! beside the same work done here; and the userspace datapath of Debian's `openvswitch-switch-dpdk`, all in one run. Instructions are callgrind's, from Debian's `valgrind`.
//!
//! `… --bench bess -- bessd PROGRAM` is another table: a bessd that was built elsewhere beside our daemon, both told the same by BESS's
//! interface. `… -- ovs` is Open vSwitch's table alone. `… -- ROW…` prints these rows alone, without instructions, and `… -- count ROW PACKETS` sends so many
//! packets through one and ends, for a profiler.
//!
//! * CPU time is the worker's own, so that other load on the machine matters little. Cycles are those of the processor's
//!   time-stamp counter (`host::cycles`), which need not run as fast as the core does.
//! * Instructions per packet are the difference of two runs by that of their packets.
//! * Of testpmd's null ports the receiving side takes a buffer and sets its length, of its copied ones it copies a frame
//!   into it; sending gives the buffer back. So do our source and sink. Nobody writes the packets of null ports:
//!   they are all zero, so there is no IP header to swap or sum in either.

mod bessd;
mod flows;
mod graphs;
mod open_vswitch;
#[path = "../../../netbricks/benches/peer/testpmd.rs"]
mod peer;

use std::process::Command;
use std::time::Duration;

use host::cycles;
use packet::{Pool, PoolConfig};
use softnic::engine::{Edit, Engine, WorkerConfig};
use softnic::modules::{Sink, Source};

use flows::FRAME;
use graphs::{Graph, OTHER_WAYS, Step, TABLE};
use open_vswitch::OpenVSwitch;
use peer::{BUFFERS, Device, Testpmd, cpu_ns, median};

const ROUNDS: usize = 5;
/// How long one measurement takes, ours and testpmd's.
const TIME: Duration = Duration::from_millis(400);
/// The same of Open vSwitch's, whose counters are some milliseconds old when they are told.
const LONG: Duration = Duration::from_secs(2);
/// Packets of testpmd's warm-up, and of ours beside it.
const WARM_UP: u64 = 100_000;
/// Packets between the two runs whose instructions are counted.
const COUNTED: u64 = 200_000;
const MODES: [&str; 4] = ["io", "macswap", "5tswap", "csum"];

/// A graph that runs.
struct Running(Engine);

impl Running {
    /// Starts it: `source`, the steps, a sink.
    fn start(source: Source, steps: Vec<Step>) -> Self {
        let engine = Engine::new();
        let worker = engine.add_worker(WorkerConfig::default()).expect("a worker");
        let mut edit = Edit::new().add("sink", Sink::new(), worker);
        let (mut next, mut input) = ("sink".to_owned(), 0);
        for (at, step) in steps.into_iter().enumerate().rev() {
            let name = format!("m{at}");
            edit = edit.add_boxed(&*name, step.module, worker).connect(&*name, step.output, next, input);
            (next, input) = (name, step.input);
        }
        engine.apply(edit).expect("a chain");
        let edit = Edit::new().add("source", source, worker).connect("source", 0, next, input);
        engine.apply(edit).expect("a source");
        Self(engine)
    }

    /// Packets that have reached the sink, and the worker's CPU nanoseconds, at one moment.
    fn look(&self) -> (u64, u64) {
        self.0.with_module("sink", |sink: &mut Sink| (sink.packets(), cpu_ns("thread-self"))).expect("a sink")
    }

    fn wait(&self, packets: u64) {
        while self.look().0 < packets {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// CPU nanoseconds of a packet, for a while.
    fn measure(&self) -> f64 {
        let (packets, ns) = self.look();
        std::thread::sleep(TIME);
        let (more, later) = self.look();
        let lost = self.0.snapshot().modules.iter().map(|module| module.dropped + module.lost).sum::<u64>();
        assert_eq!(lost, 0, "a graph of this table drops nothing");
        (later - ns) as f64 / (more - packets) as f64
    }
}

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() }).expect("a pool")
}

fn blank() -> Source {
    Source::blank(pool(), FRAME)
}

fn rounds(source: Source, steps: Vec<Step>, warm_up: u64) -> f64 {
    let running = Running::start(source, steps);
    running.wait(warm_up);
    median((0..ROUNDS).map(|_| running.measure()).collect())
}

/// Instructions of a packet, by callgrind.
fn instructions(graph: &Graph) -> f64 {
    let count = |packets: u64| {
        let us = std::env::current_exe().expect("this program");
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(us)
            .args(["count", graph.word, &packets.to_string()])
            .output()
            .expect("valgrind: `tests/install.sh bench` installs it");
        let text = String::from_utf8_lossy(&output.stderr);
        let collected = text.split_once("Collected :").and_then(|(_, rest)| rest.split_whitespace().next());
        let count: Option<u64> = collected.and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("callgrind counts nothing: {text}"))
    };
    let (few, many) = (count(graph.warm_up), count(graph.warm_up + COUNTED));
    (many - few) as f64 / COUNTED as f64
}

fn row(graph: &Graph, counts: bool) {
    let ns = rounds(blank(), (graph.build)(), graph.warm_up);
    let cycles = ns * cycles::per_second() as f64 / 1e9;
    let instructions = if counts { format!("{:.0}", instructions(graph)) } else { "–".into() };
    let mpps = 1000.0 / ns;
    println!("| {} | {ns:.2} | {mpps:.1} | {cycles:.1} | {instructions} |", graph.name);
}

fn head(title: &str) {
    println!("\n| {title} | CPU ns | Mpps | cycles | instructions |\n|---|---|---|---|---|");
}

fn beside_testpmd(name: &str, device: Device<'_>, source: impl Fn() -> Source) {
    println!("\n| {name} | dpdk-testpmd, ns | weft, ns | weft / testpmd |\n|---|---|---|---|");
    for mode in MODES {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(Testpmd::start(mode, device).measure(TIME));
            let running = Running::start(source(), graphs::testpmd(mode));
            running.wait(WARM_UP);
            ours.push(running.measure());
        }
        let (theirs, ours) = (median(theirs), median(ours));
        println!("| {mode} | {theirs:.1} | {ours:.1} | {:.2} |", ours / theirs);
    }
}

/// The same two flows in both; the packets are the null ports', all zero.
fn beside_open_vswitch() {
    println!("\n| null ports | Open vSwitch, ns | weft, ns | weft / Open vSwitch |\n|---|---|---|---|");
    let switch = OpenVSwitch::start(FRAME);
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(switch.measure(LONG));
        let running = Running::start(blank(), vec![graphs::open_flow_switch()]);
        running.wait(WARM_UP);
        ours.push(running.measure());
    }
    let (theirs, ours) = (median(theirs), median(ours));
    println!("| OpenFlow switch, two flows | {theirs:.1} | {ours:.1} | {:.2} |", ours / theirs);
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all = || TABLE.iter().chain(&OTHER_WAYS[1..]);
    if let [count, word, packets] = &words[..]
        && count == "count"
    {
        let graph = all().find(|graph| graph.word == word).expect("a row");
        let packets = packets.parse().expect("a number of packets");
        Running::start(blank().count(packets), (graph.build)()).wait(packets);
        return;
    }
    println!("{FRAME} B, one worker, CPU time per packet, median of {ROUNDS} rounds");
    if let [bessd, program] = &words[..]
        && bessd == "bessd"
    {
        return bessd::beside(program);
    }
    head("graph");
    if words == ["ovs"] {
        return beside_open_vswitch();
    }
    if !words.is_empty() {
        all().filter(|graph| words.iter().any(|word| word == graph.word)).for_each(|graph| row(graph, false));
        return;
    }
    TABLE.iter().for_each(|graph| row(graph, true));
    head("five modules");
    OTHER_WAYS.iter().for_each(|graph| row(graph, true));
    beside_testpmd("null ports", Device::Null(FRAME), blank);
    let directory = tempfile::tempdir().expect("a directory");
    let capture = directory.path().join("frame.pcap");
    let frame = graphs::one_frame();
    let file = std::fs::File::create(&capture).expect("a file");
    let mut writer = packet::pcap::Writer::new(file, packet::pcap::LinkType::ETHERNET).expect("a header");
    writer.write(0, &frame).and_then(|()| writer.flush()).expect("a record");
    beside_testpmd("copied frames", Device::Copied(&capture), || Source::new(pool(), &frame));
    beside_open_vswitch();
}
