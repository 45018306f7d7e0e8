//! A memif port and DPDK's `net_memif`, in both roles: testpmd swaps the addresses of what it gets and sends it back.

mod testpmd;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use packet::{Batch, Pool, PoolConfig};
use ports::memif::{MemifConfig, MemifPort, Role};
use ports::{LinkState, Port, RxQueue, TxQueue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testpmd::Testpmd;

const PATIENCE: Duration = Duration::from_secs(30);
const FRAMES: u32 = 20_000;
/// Descriptors that may be in use; testpmd drops what finds no space.
const IN_FLIGHT: u32 = 256;

/// testpmd takes a whole core: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static CORE: Mutex<()> = Mutex::new(());
    CORE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 2048, room: 9216, ..PoolConfig::default() }).unwrap()
}

/// Whether a queue's descriptor polls readable within so many milliseconds.
fn readable(rx: &dyn RxQueue, ms: i64) -> bool {
    let limit = Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    let fd = rx.poll_fd().unwrap();
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

fn until_up(port: &MemifPort) {
    let start = Instant::now();
    while port.link() != LinkState::Up {
        assert!(start.elapsed() < PATIENCE, "{:?}", port.status());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn until_down(port: &MemifPort) {
    let start = Instant::now();
    while port.link() != LinkState::Down {
        assert!(start.elapsed() < PATIENCE, "{:?}", port.status());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A frame with its number in every word behind the addresses.
fn frame(number: u32, len_max: usize) -> Vec<u8> {
    let len = 60 + number.wrapping_mul(2_654_435_761) as usize % (len_max - 59);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5];
    frame.extend(number.to_be_bytes().into_iter().cycle().take(len - 14));
    frame
}

/// The same with its addresses swapped.
fn swapped(number: u32, len_max: usize) -> Vec<u8> {
    let mut frame = frame(number, len_max);
    frame[..12].rotate_left(6);
    frame
}

/// Sends frames to the peer and checks that they come back whole, swapped and in order.
fn bounce(
    rx: &mut dyn RxQueue,
    tx: &mut dyn TxQueue,
    pool: &Pool,
    frames: std::ops::Range<u32>,
    len_max: usize,
    descriptors: u32,
) {
    let (mut out, mut next, mut expected) = (Batch::new(), frames.start, frames.start);
    let start = Instant::now();
    while expected < frames.end {
        assert!(start.elapsed() < PATIENCE, "{expected} of {frames:?}");
        while next < frames.end && next - expected < IN_FLIGHT / descriptors && out.room() > 0 {
            out.push(pool.packet(&frame(next, len_max)).unwrap()).unwrap();
            next += 1;
        }
        tx.send(&mut out).unwrap();
        let mut batch = Batch::new();
        if rx.receive(&mut batch).unwrap() == 0 {
            // It needs the core if there are few.
            readable(rx, 10);
        }
        for packet in &batch {
            assert!(
                packet.data() == swapped(expected, len_max),
                "frame {expected} of {} bytes",
                packet.len()
            );
            expected += 1;
        }
    }
}

/// The peer's device on the socket of that name.
fn device(role: Role, path: &str) -> String {
    // DPDK's abstract names are spelled without @.
    let (socket, theirs) =
        (path.trim_start_matches('@'), if role == Role::Server { "client" } else { "server" });
    let kind = if path.starts_with('@') { "yes" } else { "no" };
    format!("net_memif0,role={theirs},socket={socket},socket-abstract={kind},id=5,secret=sesame")
}

fn peer(role: Role, path: &str) -> Testpmd {
    let mut peer = Testpmd::start(&device(role, path), "macswap", 1, &[]);
    peer.say("start");
    peer
}

fn config(role: Role) -> MemifConfig {
    MemifConfig { role, id: 5, secret: "sesame".into(), ..MemifConfig::default() }
}

/// Both ways, with a peer that is killed and comes back twice.
fn both_ways(role: Role, path: &str) {
    let pool = pool();
    let mut port = MemifPort::open(path, &config(role), &pool).unwrap();
    let (mut rx, mut tx) = port.queue(0).unwrap();
    for round in 1..=3u32 {
        let mut peer = peer(role, path);
        until_up(&port);
        peer.until_up();
        assert_eq!(port.status().connections, round.into());
        bounce(&mut *rx, &mut *tx, &pool, 0..FRAMES, 1500, 1);
        // It counts from its own start.
        assert_eq!(peer.packets(), (FRAMES.into(), FRAMES.into()));
        peer.kill();
        until_down(&port);
        let counters = port.counters();
        let all = u64::from(round * FRAMES);
        assert_eq!((counters.rx_packets, counters.tx_packets), (all, all));
        assert_eq!((counters.rx_dropped, counters.tx_dropped), (0, 0));
        rx.receive(&mut Batch::new()).unwrap();
    }
    assert_eq!(port.status().ended.as_deref(), Some("the other side is gone"));
}

#[test]
fn a_server_and_testpmd_as_its_client() {
    let _alone = alone();
    both_ways(Role::Server, &format!("@weft-testpmd-{}-server", std::process::id()));
}

#[test]
fn a_client_and_testpmd_as_its_server() {
    let _alone = alone();
    both_ways(Role::Client, &format!("@weft-testpmd-{}-client", std::process::id()));
}

#[test]
fn a_socket_in_a_directory_and_frames_longer_than_a_buffer() {
    let _alone = alone();
    let (pool, directory) = (pool(), tempfile::tempdir().unwrap());
    // The client says how large buffers are. What finds no space for all of its pieces is dropped by testpmd, which leaves
    // marks in descriptors that spoil what comes after.
    for (role, buffer, len_max, descriptors) in [(Role::Server, 2048, 1500, 1), (Role::Client, 512, 4000, 8)]
    {
        let path = directory.path().join(format!("{role:?}.sock")).to_str().unwrap().to_owned();
        let config = MemifConfig { buffer, ..config(role) };
        let mut port = MemifPort::open(&path, &config, &pool).unwrap();
        let (mut rx, mut tx) = port.queue(0).unwrap();
        let mut peer = peer(role, &path);
        until_up(&port);
        peer.until_up();
        bounce(&mut *rx, &mut *tx, &pool, 0..5000, len_max, descriptors);
        assert_eq!(peer.packets(), (5000, 5000));
    }
}

#[test]
fn a_queue_that_sleeps_is_woken_by_testpmd() {
    let _alone = alone();
    for role in [Role::Server, Role::Client] {
        let (pool, path) = (pool(), format!("@weft-testpmd-{}-sleep-{role:?}", std::process::id()));
        let mut port = MemifPort::open(&path, &config(role), &pool).unwrap();
        let (mut rx, mut tx) = port.queue(0).unwrap();
        let mut peer = peer(role, &path);
        until_up(&port);
        peer.until_up();
        for number in 0..200 {
            let start = Instant::now();
            while readable(&*rx, 5) {
                assert!(start.elapsed() < PATIENCE, "it does not come to rest");
                assert_eq!(rx.receive(&mut Batch::new()).unwrap(), 0);
            }
            let mut batch = Batch::new();
            batch.push(pool.packet(&frame(number, 1500)).unwrap()).unwrap();
            assert_eq!(tx.send(&mut batch).unwrap(), 1);
            assert!(readable(&*rx, 5000), "frame {number} wakes");
            let start = Instant::now();
            while batch.is_empty() {
                assert!(start.elapsed() < PATIENCE);
                rx.receive(&mut batch).unwrap();
            }
            assert_eq!(batch[0].data(), swapped(number, 1500));
        }
    }
}

#[test]
fn a_wrong_secret_is_refused_either_way() {
    let _alone = alone();
    let pool = pool();
    let path = format!("@weft-testpmd-{}-secret", std::process::id());
    for role in [Role::Server, Role::Client] {
        let wrong = MemifConfig { secret: "open".into(), ..config(role) };
        let port = MemifPort::open(&path, &wrong, &pool).unwrap();
        let _peer = peer(role, &path);
        let start = Instant::now();
        let said = || port.status().ended.unwrap_or_default();
        // Ours, or DPDK's words.
        while !(said().contains("wrong secret") || said().contains("Incorrect secret")) {
            assert!(start.elapsed() < PATIENCE, "{:?}", port.status());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(port.link(), LinkState::Down);
    }
}

#[test]
fn several_queues_are_paired() {
    let _alone = alone();
    let pool = pool();
    for role in [Role::Server, Role::Client] {
        let path = format!("@weft-testpmd-{}-queues-{role:?}", std::process::id());
        let mut port = MemifPort::open(&path, &MemifConfig { queues: 2, ..config(role) }, &pool).unwrap();
        let mut queues = [0, 1].map(|index| port.queue(index).unwrap());
        let mut peer =
            Testpmd::start(&device(role, &path), "macswap", 1, &["--rxq=2", "--txq=2", "--nb-cores=1"]);
        peer.say("start");
        until_up(&port);
        peer.until_up();
        for (rx, tx) in &mut queues {
            bounce(&mut **rx, &mut **tx, &pool, 0..5000, 1500, 1);
        }
        assert_eq!(peer.packets(), (10_000, 10_000));
    }
}
