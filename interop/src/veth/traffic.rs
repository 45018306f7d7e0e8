//! What runs inside the namespaces: an engine that sends frames and has them back, and one that forwards.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use packet::{BATCH, Batch, Pool, PoolConfig};
use ports::PortSpec;
use softnic::engine::{Context, Edit, Engine, Gate, Module, QueuePair, Ran, Readiness, WorkerConfig};
use softnic::modules::{PortIn, PortOut};

use super::Round;
use crate::cpu;
use crate::error::{During, Result};

/// What a forwarder says once it forwards.
pub(super) const READY: &str = "ready\n";
/// Bytes of a frame.
const FRAME: usize = 60;
const BUFFERS: usize = 32_768;
/// How long traffic runs before it counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// Frames that have not come back after this long without any are lost.
const SILENCE_NS: u64 = 20_000_000;
/// A type of our own (IEEE 802, Local Experimental Ethertype 1), which no kernel answers.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// Whom frames are from and to: nobody's address, so that the kernel at the end leaves them alone.
const ENDS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0x77, 1], [2, 0, 0, 0, 0x77, 2]];

/// Send frames by one port and receive them by another, on one worker
#[derive(Debug, Args)]
pub(crate) struct Traffic {
    /// The port that sends
    tx: String,
    /// The port that receives
    rx: String,
    /// The network namespace of the port that receives
    #[arg(long)]
    rx_namespace: Option<String>,
    /// How long
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// The most frames under way
    #[arg(long, default_value_t = 256)]
    window: u64,
    /// Processes in between, whose CPU time is of interest
    #[arg(long)]
    between: Vec<u32>,
}

/// Forward frames between two ports, both ways
#[derive(Debug, Args)]
pub(crate) struct Forward {
    one: String,
    other: String,
}

/// Makes frames as long as fewer than a window are under way, and takes what comes back.
struct Loop {
    pool: Pool,
    window: u64,
    sent: u64,
    received: u64,
    /// Frames that will not come back.
    lost: u64,
    /// When the silence is too long.
    deadline_ns: u64,
}

impl Loop {
    fn under_way(&self) -> u64 {
        self.sent.saturating_sub(self.received + self.lost)
    }
}

impl Module for Loop {
    fn class(&self) -> &'static str {
        "Loop"
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        ctx.forward(0);
        if self.under_way() + BATCH as u64 > self.window {
            return Ran::idle();
        }
        let count = self.pool.alloc_batch(ctx.budget(), batch);
        for packet in &mut *batch {
            if packet.set_len(FRAME).is_ok() {
                packet.data_mut().copy_from_slice(&frame(ENDS));
            }
        }
        self.sent += count as u64;
        Ran::more(count, (count * FRAME) as u64)
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let ours = batch.iter().filter(|packet| packet.data().get(12..14) == Some(&ETHERTYPE)).count() as u64;
        self.received += ours;
        // One that was given up may have come after all.
        self.lost = self.lost.min(self.sent.saturating_sub(self.received));
        self.deadline_ns = ctx.now_ns() + SILENCE_NS;
        batch.clear();
        ctx.wake(0);
    }

    fn readiness(&self, _task: usize) -> Readiness<'_> {
        Readiness::Signal
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        Some(self.deadline_ns)
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        self.lost += self.under_way();
        self.deadline_ns = ctx.now_ns() + SILENCE_NS;
        ctx.wake(0);
    }
}

fn frame([from, to]: [[u8; 6]; 2]) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    frame[12..14].copy_from_slice(&ETHERTYPE);
    frame
}

/// An error of a room, in its words.
fn words<T, E: Display>(result: std::result::Result<T, E>) -> io::Result<T> {
    result.map_err(|error| io::Error::other(error.to_string()))
}

/// An engine with one worker and some ports.
struct Station {
    engine: Engine,
    worker: usize,
    pool: Pool,
}

impl Station {
    fn new() -> Result<Self> {
        let engine = Engine::new();
        let worker = words(engine.add_worker(WorkerConfig::default())).during("start a worker")?;
        let config = PoolConfig { buffers: BUFFERS, ..PoolConfig::default() };
        let pool = words(Pool::new(config)).during("make a pool")?;
        Ok(Self { engine, worker, pool })
    }

    /// Opens a port, in a network namespace if need be.
    fn open(&self, name: &str, spec: &str, namespace: Option<&str>) -> Result<QueuePair> {
        let what = || format!("open {spec}");
        let spec: PortSpec = words(spec.parse()).during(what())?;
        let open = || words(ports::open(&spec, &self.pool));
        let port = match namespace {
            None => open().during(what())?,
            Some(namespace) => {
                let path = PathBuf::from("/run/netns").join(namespace);
                let netns = words(host::netns::open(&path)).during(what())?;
                words(host::netns::within(netns, open)).during(what())?.during(what())?
            }
        };
        words(self.engine.add_port(name, port)).during(what())?;
        words(self.engine.queue(name, 0)).during(what())
    }
}

impl Traffic {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let station = Station::new()?;
        let (_unheard, tx) = station.open("tx", &self.tx, None)?;
        let (rx, mut back) = station.open("rx", &self.rx, self.rx_namespace.as_deref())?;
        // A switch in between learns where frames belong.
        let [from, to] = ENDS;
        let mut batch = Batch::new();
        let hello = station.pool.packet(&frame([to, from])).ok_or_else(|| io::Error::other("no buffer"));
        let _ = batch.push(hello.during("make a frame")?);
        words(back.send(&mut batch)).during("send a frame")?;
        let worker = station.worker;
        let (pool, window) = (station.pool.clone(), self.window);
        let ends = Loop { pool, window, sent: 0, received: 0, lost: 0, deadline_ns: 0 };
        let edit = Edit::new()
            .add("loop", ends, worker)
            .add("out", PortOut::new(tx), worker)
            .add("in", PortIn::new(rx), worker)
            .connect("loop", 0, "out", 0)
            .connect("in", 0, "loop", 0);
        words(station.engine.apply(edit)).during("build the graph")?;
        thread::sleep(WARM_UP);
        let us = [std::process::id()];
        let look = || {
            let counts = station.engine.with_module("loop", |ends: &mut Loop| (ends.sent, ends.received));
            let counts = words(counts).during("ask for the counts")?;
            Ok((counts, Instant::now(), cpu::machine()?, cpu::processes(&us), cpu::processes(&self.between)))
        };
        let before = look()?;
        thread::sleep(Duration::from_secs_f64(self.seconds));
        let after: (_, Instant, _, _, _) = look()?;
        let round = Round {
            sent: after.0.0 - before.0.0,
            received: after.0.1 - before.0.1,
            seconds: (after.1 - before.1).as_secs_f64(),
            machine: after.2 - before.2,
            ends: after.3 - before.3,
            between: after.4 - before.4,
        };
        println!("{}", serde_json::to_string(&round).during("write a report")?);
        Ok(ExitCode::SUCCESS)
    }
}

impl Forward {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let station = Station::new()?;
        let (one_rx, one_tx) = station.open("one", &self.one, None)?;
        let (other_rx, other_tx) = station.open("other", &self.other, None)?;
        let worker = station.worker;
        let edit = Edit::new()
            .add("one_in", PortIn::new(one_rx), worker)
            .add("other_in", PortIn::new(other_rx), worker)
            .add("one_out", PortOut::new(one_tx), worker)
            .add("other_out", PortOut::new(other_tx), worker)
            .connect("one_in", 0, "other_out", 0)
            .connect("other_in", 0, "one_out", 0);
        words(station.engine.apply(edit)).during("build the graph")?;
        let mut output = io::stdout();
        output.write_all(READY.as_bytes()).and_then(|()| output.flush()).during("say so")?;
        // Until it is killed.
        loop {
            thread::park();
        }
    }
}
