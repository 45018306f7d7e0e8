//! Network functions as modules of the engine.

use std::any::Any;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use netbricks::functions::{self, Kind, Setup};
use netbricks::{Args, Line, NetworkFunction};
use packet::{Batch, Packet, Pool, PoolConfig};
use ports::{Port, RxQueue, TxQueue, ring};
use softnic::engine::{Edit, Engine, Gate, WorkerConfig};
use softnic::modules::{FunctionModule, NoOp, PortIn, PortOut};

const FRAME: &[u8] = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0rest";
const SWAPPED: &[u8] = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0rest";
const BUFFERS: usize = 512;
/// Packets under way at most; a ring holds twice as many.
const WINDOW: usize = 64;

fn setup() -> Setup {
    let pool = Pool::new(PoolConfig { buffers: BUFFERS, room: 128, ..PoolConfig::default() }).unwrap();
    Setup { pool, key: 1, seed: 1 }
}

/// A function between two ports; ours are their far ends.
struct Graph {
    engine: Engine,
    worker: usize,
    pool: Pool,
    far: Vec<(Box<dyn RxQueue>, Box<dyn TxQueue>)>,
    _ports: Vec<Box<dyn Port>>,
}

impl Graph {
    fn of(module: FunctionModule, pool: &Pool) -> Self {
        let engine = Engine::new();
        let worker = engine.add_worker(WorkerConfig::default()).unwrap();
        let (mut far, mut ports) = (Vec::new(), Vec::<Box<dyn Port>>::new());
        let mut edit = Edit::new().add("function", module, worker);
        for (gate, name) in ["left", "right"].into_iter().enumerate() {
            let gate = gate as Gate;
            let (near, mut other) = ring::pair([name, "far"], 2 * WINDOW).unwrap();
            far.push(other.queue(0).unwrap());
            ports.push(Box::new(other));
            engine.add_port(name, Box::new(near)).unwrap();
            let (rx, tx) = engine.queue(name, 0).unwrap();
            let (entry, exit) = (format!("{name}-in"), format!("{name}-out"));
            edit = edit.add(&entry, PortIn::new(rx), worker).add(&exit, PortOut::new(tx), worker);
            edit = edit.connect(entry, 0, "function", gate).connect("function", gate, exit, 0);
        }
        engine.apply(edit).unwrap();
        Self { engine, worker, pool: pool.clone(), far, _ports: ports }
    }

    fn send(&mut self, gate: usize, packets: impl IntoIterator<Item = Packet>) {
        let mut batch = Batch::new();
        packets.into_iter().for_each(|packet| batch.push(packet).unwrap());
        self.far[gate].1.send(&mut batch).unwrap();
        assert!(batch.is_empty(), "the ring holds the window");
    }

    fn receive(&mut self, gate: usize) -> Vec<Vec<u8>> {
        let mut batch = Batch::new();
        self.far[gate].0.receive(&mut batch).unwrap();
        batch.iter().map(|packet| packet.data().to_vec()).collect()
    }

    /// What comes out at a gate, which is one packet.
    fn one(&mut self, gate: usize) -> Vec<u8> {
        let start = Instant::now();
        loop {
            let mut frames = self.receive(gate);
            assert!(frames.len() < 2 && start.elapsed() < Duration::from_secs(10), "{frames:?}");
            if let Some(frame) = frames.pop() {
                return frame;
            }
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_line_runs_between_two_ports_and_answers_to_commands() {
    let setup = setup();
    let line = functions::build(&["macswap"], &setup).unwrap();
    let mut graph = Graph::of(FunctionModule::new(Box::new(line)), &setup.pool);
    for (gate, other) in [(0, 1), (1, 0)] {
        let packet = setup.pool.packet(FRAME).unwrap();
        graph.send(gate, [packet]);
        assert_eq!(graph.one(other), SWAPPED);
    }
    let stage = setup.clone();
    let extended = graph.engine.with_module("function", move |module: &mut FunctionModule| {
        let line = (module.function() as &mut dyn Any).downcast_mut::<Line>().unwrap();
        line.push("again", Kind::find("macswap").unwrap().build(&mut Args::default(), &stage).unwrap())
    });
    assert!(extended.unwrap());
    let packets = [setup.pool.packet(FRAME).unwrap(), setup.pool.packet(b"a runt").unwrap()];
    graph.send(0, packets);
    assert_eq!(graph.one(1), FRAME, "swapped twice");
    let report = graph.engine.with_module("function", |module: &mut FunctionModule| module.report()).unwrap();
    assert_eq!(
        (report.get("macswap: packets in at gate 0"), report.get("again: packets in at gate 0")),
        (3, 1)
    );
    assert_eq!(report.get("macswap: dropped, truncated: ethernet header"), 1);
}

#[test]
fn a_single_function_has_its_class_and_says_what_it_dropped() {
    let setup = setup();
    let module = FunctionModule::build(Kind::find("macswap").unwrap(), &Args::default(), &setup).unwrap();
    let mut graph = Graph::of(module, &setup.pool);
    let packets = [setup.pool.packet(b"a runt").unwrap(), setup.pool.packet(FRAME).unwrap()];
    graph.send(0, packets);
    assert_eq!(graph.one(1), SWAPPED);
    let snapshot = graph.engine.snapshot();
    let module = snapshot.modules.iter().find(|module| module.name == "function").unwrap();
    assert_eq!((&*module.class, &*module.status), ("MacSwap", "dropped 1, truncated: ethernet header"));
    drop(graph);
    assert_eq!(setup.pool.available(), BUFFERS);
}

/// Keeps every packet for 5 ms.
#[derive(Default)]
struct Late(VecDeque<(u64, netbricks::Gate, Packet)>);

impl NetworkFunction for Late {
    fn process(&mut self, gate: netbricks::Gate, batch: &mut Batch, ctx: &mut netbricks::Context) {
        let due_ns = ctx.now_ns() + 5_000_000;
        self.0.extend(batch.drain(..).map(|packet| (due_ns, gate ^ 1, packet)));
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.0.front().map(|(due_ns, ..)| *due_ns)
    }

    fn expire(&mut self, ctx: &mut netbricks::Context) {
        while let Some((_, gate, packet)) = self.0.pop_front_if(|(due_ns, ..)| *due_ns <= ctx.now_ns()) {
            ctx.send(gate, packet);
        }
    }

    fn held(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn what_a_function_keeps_back_leaves_on_time() {
    let setup = setup();
    let mut graph = Graph::of(FunctionModule::new(Box::new(Late::default())), &setup.pool);
    let start = Instant::now();
    let packet = setup.pool.packet(FRAME).unwrap();
    graph.send(1, [packet]);
    assert_eq!(graph.one(0), FRAME);
    assert!(start.elapsed() >= Duration::from_millis(5));
}

#[test]
fn reconnecting_under_load_loses_nothing() {
    const PACKETS: u32 = 20_000;
    let setup = setup();
    let line = functions::build(&["macswap"], &setup).unwrap();
    let mut graph = Graph::of(FunctionModule::new(Box::new(line)), &setup.pool);
    let (mut sent, mut seen, mut longer, start) = (0u32, 0u32, false, Instant::now());
    while seen < PACKETS {
        assert!(start.elapsed() < Duration::from_secs(60), "{seen} of {sent} came out");
        if (sent - seen) as usize <= WINDOW - packet::BATCH && sent < PACKETS {
            let count = (PACKETS - sent).min(packet::BATCH as u32);
            let pool = graph.pool.clone();
            graph.send(
                0,
                (sent..sent + count).map(|n| pool.packet(&[FRAME, &n.to_be_bytes()].concat()).unwrap()),
            );
            sent += count;
        }
        for frame in graph.receive(1) {
            assert_eq!(frame, [SWAPPED, &seen.to_be_bytes()].concat());
            seen += 1;
        }
        // Every thousand packets another way leads out: through one more module, or without it.
        if seen / 1000 % 2 == 1 && !longer {
            let edit = Edit::new().add("detour", NoOp, graph.worker);
            graph
                .engine
                .apply(edit.rewire("function", 1, "detour", 0).connect("detour", 0, "right-out", 0))
                .unwrap();
            longer = true;
        } else if seen / 1000 % 2 == 0 && longer {
            graph.engine.apply(Edit::new().rewire("function", 1, "right-out", 0).remove("detour")).unwrap();
            longer = false;
        }
    }
    let report = graph.engine.with_module("function", |module: &mut FunctionModule| module.report()).unwrap();
    assert_eq!(report.get("macswap: packets in at gate 0"), u64::from(PACKETS));
    drop(graph);
    assert_eq!(setup.pool.available(), BUFFERS);
}
