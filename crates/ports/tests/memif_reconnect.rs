//! A client that comes and goes a thousand times. Alone in its process, since it counts what the process holds.

use std::time::{Duration, Instant};

use packet::{Batch, Pool, PoolConfig};
use ports::memif::{MemifConfig, MemifPort, Role};
use ports::{LinkState, Port, RxQueue, TxQueue};

const TIMES: u64 = 1000;
/// As many before it is counted for the first time.
const WARM: u64 = 50;
/// Memory that may come and go, in KiB.
const SLACK: usize = 1024;

fn wait(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Descriptors and mappings of this process, and what it has of memory in KiB.
fn held() -> (usize, usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident = resident.trim().trim_end_matches(" kB").parse().unwrap();
    (descriptors, maps.lines().filter(|line| line.contains("weft-memif")).count(), resident)
}

fn pass(tx: &mut dyn TxQueue, rx: &mut dyn RxQueue, pool: &Pool) {
    let mut batch = Batch::new();
    batch.push(pool.packet(b"a frame of twenty-six bytes").unwrap()).unwrap();
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    let start = Instant::now();
    while batch.is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20));
        rx.receive(&mut batch).unwrap();
    }
    assert_eq!(batch[0].data(), b"a frame of twenty-six bytes");
}

#[test]
fn a_thousand_reconnections_leave_nothing_behind() {
    let pool = Pool::new(PoolConfig::default()).unwrap();
    let path = format!("@weft-memif-{}-thousand", std::process::id());
    let config = MemifConfig { ring: 64, queues: 2, ..MemifConfig::default() };
    let serving = MemifConfig { role: Role::Server, ..config.clone() };
    let mut server = MemifPort::open(&path, &serving, &pool).unwrap();
    let (mut rx, mut tx) = server.queue(0).unwrap();
    let mut before = (0, 0, 0);
    for turn in 1..=TIMES {
        let mut client = MemifPort::open(&path, &config, &pool).unwrap();
        let (mut client_rx, mut client_tx) = client.queue(0).unwrap();
        let up = || client.link() == LinkState::Up && server.link() == LinkState::Up;
        wait("it comes up", up);
        assert_eq!(server.status().connections, turn);
        pass(&mut *client_tx, &mut *rx, &pool);
        pass(&mut *tx, &mut *client_rx, &pool);
        drop((client, client_rx, client_tx));
        wait("it is gone", || server.link() == LinkState::Down);
        // The queues let go when they are next asked; those of the second pair never had been.
        rx.tend();
        tx.send(&mut Batch::new()).unwrap();
        if turn == WARM {
            before = held();
        }
    }
    // The last client's thread may still be about to let go, as may the one of the turn that was counted.
    wait("it holds no more than then", || {
        let now = held();
        now.0 <= before.0 && now.1 <= before.1
    });
    let after = held();
    println!("descriptors, mappings, KiB: {before:?} after {WARM}, {after:?} after {TIMES}");
    assert!(after.2 < before.2 + SLACK, "{before:?} {after:?}");
    assert_eq!(pool.available(), pool.capacity());
}
