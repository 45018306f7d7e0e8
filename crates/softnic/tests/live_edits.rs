//! The graph changes while packets flow, and every packet is accounted for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use packet::{Batch, Pool, PoolConfig};
use softnic::engine::{
    Applied, Context, Edit, EditError, Engine, Gate, Module, ModuleSnapshot, Next, Ran, WorkerConfig,
};

const EDITS: usize = 1000;
const STAGES: u64 = 6;
const SINKS: u64 = 3;
/// Bytes of a packet: its number, and room for the modules that it has crossed.
const NUMBER: usize = 8;

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
            packet.append(NUMBER).unwrap().copy_from_slice(&self.sent.to_be_bytes());
            self.sent += 1;
        }
        ctx.forward(0);
        Ran {
            packets: got as u32,
            bytes: 8 * got as u64,
            next: if got > 0 { Next::More } else { Next::Idle },
        }
    }
}

/// Writes its mark on the packets that pass.
struct Stamp(u8);

impl Module for Stamp {
    fn class(&self) -> &'static str {
        "Stamp"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        for packet in &mut *batch {
            packet.append(1).unwrap()[0] = self.0;
        }
        ctx.forward(0);
    }
}

/// Sees that no packet was overtaken by one that went the same way.
#[derive(Default)]
struct Judge {
    received: u64,
    overtaken: u64,
    last: HashMap<Vec<u8>, u64>,
}

impl Module for Judge {
    fn class(&self) -> &'static str {
        "Judge"
    }

    fn outputs(&self) -> Gate {
        0
    }

    fn process(&mut self, _ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        for packet in &*batch {
            let (number, way) = packet.data().split_at(NUMBER);
            let number = u64::from_be_bytes(number.try_into().unwrap());
            if let Some(last) = self.last.get_mut(way) {
                self.overtaken += u64::from(*last >= number);
                *last = number;
            } else {
                self.last.insert(way.to_vec(), number);
            }
        }
        self.received += batch.len() as u64;
        batch.clear();
    }
}

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

fn stage(at: u64) -> String {
    format!("stage{at}")
}

fn sink(at: u64) -> String {
    format!("sink{at}")
}

/// Somewhere behind stage `at`; stage 0 has everything behind the source.
fn behind(at: u64, dice: &mut Dice) -> String {
    let next = at + dice.roll(STAGES + SINKS - at);
    if next < STAGES { stage(next) } else { sink(next - STAGES) }
}

/// One to four random changes after which every output gate leads somewhere, as before.
fn gentle_edit(dice: &mut Dice, workers: u64) -> Edit {
    let mut edit = Edit::new();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(STAGES);
        let worker = dice.roll(workers) as usize;
        edit = match dice.roll(6) {
            0 => edit.rewire("source", 0, behind(0, dice), 0),
            1 => edit.move_to(stage(at), worker),
            2 => edit.move_to("source", worker),
            _ => edit.rewire(stage(at), 0, behind(at + 1, dice), 0),
        };
    }
    edit
}

/// One to four random changes of any kind.
fn rough_edit(dice: &mut Dice, workers: u64) -> Edit {
    let mut edit = Edit::new();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(STAGES);
        let worker = dice.roll(workers) as usize;
        edit = match dice.roll(20) {
            0 => edit.disconnect(stage(at), 0),
            1 => edit.disconnect("source", 0),
            2 | 8 | 9 | 10 => edit.rewire("source", 0, behind(0, dice), 0),
            3 | 4 => edit.move_to(stage(at), worker),
            5 => edit.move_to(sink(dice.roll(SINKS)), worker),
            6 => edit.move_to("source", worker),
            7 => {
                // A module is replaced by a new one of its name.
                let to = behind(at + 1, dice);
                edit.remove(stage(at)).add(stage(at), Stamp(at as u8), worker).connect(stage(at), 0, to, 0)
            }
            _ => edit.rewire(stage(at), 0, behind(at + 1, dice), 0),
        };
    }
    edit
}

fn drops(module: &ModuleSnapshot) -> u64 {
    module.dropped
        + module.lost
        + module.outputs.iter().map(|gate| gate.unconnected + gate.overrun).sum::<u64>()
}

fn build(engine: &Engine, pool: &Pool) {
    let source = Numbered { pool: pool.clone(), sent: 0, stop: false };
    let mut edit = Edit::new().add("source", source, 0);
    for at in 0..STAGES {
        edit = edit.add(stage(at), Stamp(at as u8), 0);
    }
    for at in 0..SINKS {
        edit = edit.add(sink(at), Judge::default(), 0);
    }
    for at in 0..STAGES {
        edit = edit.connect(stage(at), 0, if at + 1 < STAGES { stage(at + 1) } else { sink(0) }, 0);
    }
    engine.apply(edit.connect("source", 0, stage(0), 0)).unwrap();
}

/// Applies edits until `EDITS` were possible; returns what they dropped and the longest stall.
fn edit_at_random(engine: &Engine, mut edit: impl FnMut() -> Edit) -> (u64, Duration) {
    let (mut dropped, mut stall) = (0, Duration::ZERO);
    let mut done = 0;
    while done < EDITS {
        match engine.apply(edit()) {
            Ok(Applied { removed, stalls, lost }) => {
                dropped += lost + removed.iter().map(|gone| drops(&gone.counts)).sum::<u64>();
                stall = stalls.into_iter().chain([stall]).max().unwrap();
                done += 1;
            }
            Err(EditError::NotConnected { .. } | EditError::Fleeting(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    (dropped, stall)
}

/// Edits under load, and counts. Returns how many packets were dropped for another reason than a full ring.
fn every_packet_is_accounted_for(workers: u64, seed: u64, edits: fn(&mut Dice, u64) -> Edit) -> u64 {
    let engine = Engine::new();
    for _ in 0..workers {
        engine.add_worker(WorkerConfig::default()).unwrap();
    }
    let pool = Pool::new(PoolConfig { buffers: 2048, room: 64, ..PoolConfig::default() }).unwrap();
    build(&engine, &pool);
    let begin = Instant::now();
    let mut dice = Dice(seed);
    let (dropped, stall) = edit_at_random(&engine, || edits(&mut dice, workers));
    let took = begin.elapsed();

    let sent = engine
        .command("source", |source: &mut Numbered, _| {
            source.stop = true;
            source.sent
        })
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut received, mut overtaken, mut counted, mut overrun) = (0, 0, 0, 0);
    while Instant::now() < deadline && received + counted != sent {
        std::thread::sleep(Duration::from_millis(1));
        let judge = |at| {
            engine.with_module(&sink(at), |judge: &mut Judge| (judge.received, judge.overtaken)).unwrap()
        };
        (received, overtaken) = (0..SINKS).map(judge).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let modules = engine.snapshot().modules;
        counted = dropped + modules.iter().map(drops).sum::<u64>();
        overrun = modules.iter().flat_map(|module| &module.outputs).map(|gate| gate.overrun).sum();
    }
    println!(
        "{workers} workers, seed {seed}: {EDITS} edits in {took:?} under {sent} packets: {received} received, \
         {counted} dropped and counted ({overrun} at full rings), {overtaken} overtaken; longest stall {stall:?}"
    );
    assert_eq!(received + counted, sent, "seed {seed}: packets are missing");
    assert_eq!(overtaken, 0, "seed {seed}");
    assert!(received > 0 && sent > EDITS as u64, "there was hardly any load");
    drop(engine);
    assert_eq!(pool.available(), pool.capacity(), "every buffer is home");
    counted - overrun
}

#[test]
fn one_worker_loses_nothing() {
    every_packet_is_accounted_for(1, 0x5eed_0001, rough_edit);
}

#[test]
fn two_workers_lose_nothing() {
    every_packet_is_accounted_for(2, 0x5eed_0002, rough_edit);
}

#[test]
fn three_workers_lose_nothing() {
    every_packet_is_accounted_for(3, 0x5eed_0003, rough_edit);
}

#[test]
fn rewiring_drops_nothing_at_all() {
    assert_eq!(every_packet_is_accounted_for(1, 0x5eed_0004, gentle_edit), 0);
    assert_eq!(every_packet_is_accounted_for(2, 0x5eed_0005, gentle_edit), 0);
}
