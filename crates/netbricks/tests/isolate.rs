//! Isolated functions that die, hang and misbehave, in every batch and at any moment: at most a batch is lost with each,
//! no buffer is, and the next one runs. Starts confined processes, as whoever runs it.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use host::confine::Program;
use netbricks::isolate::{Isolated, Isolation};
use netbricks::{Cause, Context, NetworkFunction, Report};
use packet::{BATCH, Batch, Pool, PoolConfig};

const BUFFERS: usize = 512;

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: BUFFERS, room: 256, ..PoolConfig::default() }).unwrap()
}

fn isolated(patience: Duration) -> Isolated {
    let example = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/isolated");
    let mut isolation = Isolation::of_this_program(vec!["guest".into()], 2).unwrap();
    // It has the libraries that this program has.
    isolation.program = Program { path: example, ..isolation.program };
    isolation.patience = patience;
    isolation.brief = b"for its eyes".to_vec();
    Isolated::start(isolation).unwrap()
}

fn batch(pool: &Pool, frames: &[&[u8]]) -> Batch {
    let mut batch = Batch::new();
    frames.iter().for_each(|frame| batch.push(pool.packet(frame).unwrap()).unwrap());
    batch
}

/// What has left at a gate.
fn left(ctx: &mut Context, gate: u16) -> Vec<Vec<u8>> {
    let mut left = Vec::new();
    ctx.drain(gate, |batch| left.extend(batch.iter().map(|packet| packet.data().to_vec())));
    left
}

#[test]
fn packets_pass_in_order_at_both_gates() {
    let (pool, mut isolated, mut ctx) = (pool(), isolated(Duration::from_secs(60)), Context::new(2));
    let (mut expected, mut got) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for number in 0..1000_u32 {
        let (a, b) = (number.to_be_bytes(), (number + 7).to_be_bytes());
        isolated.process(0, &mut batch(&pool, &[&a, b"drop"]), &mut ctx);
        isolated.process(1, &mut batch(&pool, &[&b]), &mut ctx);
        for (gate, [first, rest @ ..]) in [(1, a), (0, b)] {
            expected[gate].push([&[first + 1][..], &rest].concat());
        }
        (0..2).for_each(|gate| got[usize::from(gate)].extend(left(&mut ctx, gate)));
    }
    isolated.finish(&mut ctx);
    (0..2).for_each(|gate| got[usize::from(gate)].extend(left(&mut ctx, gate)));
    assert_eq!(got, expected);
    assert_eq!((isolated.restarts(), isolated.lost(), pool.available()), (0, 0, BUFFERS));
}

#[test]
fn a_packet_that_kills_costs_its_batch_and_no_other() {
    for fatal in [&b"panic"[..], b"open", b"hang"] {
        let (pool, mut isolated, mut ctx) = (pool(), isolated(Duration::from_millis(500)), Context::new(2));
        isolated.process(0, &mut batch(&pool, &[b"before"]), &mut ctx);
        isolated.finish(&mut ctx);
        isolated.process(0, &mut batch(&pool, &[b"lost", fatal, b"lost"]), &mut ctx);
        isolated.finish(&mut ctx);
        isolated.process(0, &mut batch(&pool, &[b"after"]), &mut ctx);
        isolated.finish(&mut ctx);
        let name = String::from_utf8_lossy(fatal);
        assert_eq!(left(&mut ctx, 1), [b"cefore".to_vec(), b"bfter".to_vec()], "{name}");
        assert_eq!((isolated.restarts(), isolated.lost()), (1, 3), "{name}");
        assert_eq!((ctx.drops().of(Cause::KILLED), pool.available()), (3, BUFFERS), "{name}");
    }
}

#[test]
fn what_it_reports_comes_out_and_is_its_own_word() {
    let (pool, mut isolated, mut ctx) = (pool(), isolated(Duration::from_secs(60)), Context::new(2));
    let told = |isolated: &Isolated| {
        let mut report = Report::default();
        report.counter("packets", 7);
        isolated.report(&mut report);
        report
    };
    assert_eq!(told(&isolated).get("packets"), 7, "what is counted here is not added to");
    isolated.process(0, &mut batch(&pool, &[b"a", b"drop"]), &mut ctx);
    isolated.finish(&mut ctx);
    let mut report = Report::default();
    isolated.report(&mut report);
    assert_eq!((report.get("packets"), report.get("finished")), (2, 1));
    assert_eq!((report.get("restarts of the process"), report.get("dropped by the process")), (0, 1));
    assert_eq!(report.lines(), ["\u{fffd}[1mfor its eyes"]);
    // With the process its counters go.
    isolated.process(0, &mut batch(&pool, &[b"panic"]), &mut ctx);
    isolated.finish(&mut ctx);
    assert_eq!((told(&isolated).get("finished"), told(&isolated).get("restarts of the process")), (1, 1));
    ctx.drain(1, Batch::clear);
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

#[test]
fn killed_at_any_moment_it_loses_a_batch_at_most_and_no_buffer() {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let (pool, mut isolated, mut ctx) = (pool(), isolated(Duration::from_secs(60)), Context::new(2));
    let (started, mut kills, mut sent) = (Instant::now(), 0, 0_u64);
    let frames = [&b"frame"[..]; BATCH];
    while kills < 1000 && started.elapsed() < Duration::from_secs(10) {
        let (lost, restarts) = (isolated.lost(), isolated.restarts());
        // One that is good, or the next start would have to wait ever longer.
        isolated.process(0, &mut batch(&pool, &frames), &mut ctx);
        isolated.finish(&mut ctx);
        sent += BATCH as u64;
        // More or none, so that the process is killed idle, at work, and with a queue.
        for _ in 0..random.below(6) {
            isolated.process(0, &mut batch(&pool, &frames), &mut ctx);
            sent += BATCH as u64;
        }
        for _ in 0..random.below(2000) {
            std::hint::spin_loop();
        }
        isolated.kill();
        kills += 1;
        // Until its end is noticed; the processes that follow live.
        while isolated.restarts() == restarts {
            ctx.set_now_ns(started.elapsed().as_nanos() as u64);
            isolated.expire(&mut ctx);
        }
        let lost = isolated.lost() - lost;
        assert!(lost <= BATCH as u64, "{lost} packets lost with kill {kills}");
        ctx.drain(1, Batch::clear);
    }
    // What every kill has left to be done again is done, or was counted.
    while isolated.held() > 0 {
        ctx.set_now_ns(started.elapsed().as_nanos() as u64);
        isolated.expire(&mut ctx);
    }
    ctx.drain(1, Batch::clear);
    println!("{kills} kills, {sent} packets sent, {} lost", isolated.lost());
    assert_eq!(ctx.sent() + isolated.lost(), sent);
    assert_eq!((isolated.restarts(), pool.available()), (kills, BUFFERS));
    assert!(kills >= 10, "{kills} kills in ten seconds");
}
