//! memif ports: a server and a client of this process, and of two.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use packet::{Batch, Checksum, Offload, Pool, PoolConfig, SegmentKind, Segmentation};
use ports::memif::{MemifConfig, MemifPort, Role};
use ports::{LinkState, Port, PortError, PortSpec, RxQueue, TxQueue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// As long as anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 2048, room: 9216, ..PoolConfig::default() }).unwrap()
}

fn name(test: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("@weft-memif-{}-{test}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn server() -> MemifConfig {
    MemifConfig { role: Role::Server, ..MemifConfig::default() }
}

fn open(path: &str, config: &MemifConfig, pool: &Pool) -> MemifPort {
    MemifPort::open(path, config, pool).unwrap()
}

fn wait(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn until_up(ports: &[&MemifPort]) {
    for port in ports {
        wait(&format!("{:?}", port.status()), || port.link() == LinkState::Up);
    }
}

/// Frames with their numbers in them, of any lengths.
fn frame(number: u32) -> Vec<u8> {
    let len = 14 + number.wrapping_mul(2_654_435_761) as usize % 1500;
    number.to_be_bytes().into_iter().cycle().take(len).collect()
}

/// Sends frames one way and checks that they arrive whole and in order.
fn pass(tx: &mut dyn TxQueue, rx: &mut dyn RxQueue, pool: &Pool, frames: std::ops::Range<u32>) {
    let (mut out, mut next, mut expected) = (Batch::new(), frames.start, frames.start);
    let start = Instant::now();
    while expected < frames.end {
        assert!(start.elapsed() < PATIENCE, "{expected} of {frames:?}");
        while next < frames.end && out.room() > 0 {
            out.push(pool.packet(&frame(next)).unwrap()).unwrap();
            next += 1;
        }
        tx.send(&mut out).unwrap();
        let mut batch = Batch::new();
        rx.receive(&mut batch).unwrap();
        for packet in &batch {
            assert!(packet.data() == frame(expected), "frame {expected} of {} bytes", packet.len());
            expected += 1;
        }
    }
}

#[test]
fn frames_arrive_whole_and_in_order_both_ways() {
    let pool = pool();
    for (ring, buffer) in [(1024, 2048), (2, 2048), (64, 64), (16, 512), (16384, 65536 / 8)] {
        let path = name("both");
        let wish = MemifConfig { ring, buffer, ..MemifConfig::default() };
        let mut client = open(&path, &wish, &pool);
        assert_eq!(client.link(), LinkState::Down, "a server that is not there yet is no error");
        let mut server = open(&path, &server(), &pool);
        until_up(&[&client, &server]);
        let (mut client_rx, mut client_tx) = client.queue(0).unwrap();
        let (mut server_rx, mut server_tx) = server.queue(0).unwrap();
        assert!(client.queue(0).is_none() && client.queue(1).is_none());
        // With buffers of 64 bytes, a frame of 1500 takes 24; a ring of 2 times 2048 bytes holds each.
        let count = if ring == 2 { 1000 } else { 4000 };
        pass(&mut *client_tx, &mut *server_rx, &pool, 0..count);
        pass(&mut *server_tx, &mut *client_rx, &pool, 0..count);
        let (c, s) = (client.counters(), server.counters());
        assert_eq!((c.tx_packets, s.rx_packets), (count.into(), count.into()));
        assert_eq!((c.rx_bytes, s.tx_bytes), (c.tx_bytes, s.rx_bytes));
        assert_eq!((c.rx_dropped + c.tx_dropped, s.rx_dropped + s.tx_dropped), (0, 0));
        // What can never fit is dropped, and counted.
        if ring == 2 {
            let mut batch = Batch::new();
            batch.push(pool.packet(&[1; 5000]).unwrap()).unwrap();
            batch.push(pool.packet(&[]).unwrap()).unwrap();
            assert_eq!(client_tx.send(&mut batch).unwrap(), 2);
            assert_eq!(client.counters().tx_dropped, 2);
        }
    }
}

#[test]
fn a_pool_that_is_empty_leaves_frames_where_they_are() {
    let (own, few) = (pool(), Pool::new(PoolConfig { buffers: 4, ..PoolConfig::default() }).unwrap());
    let path = name("pool");
    let mut server = open(&path, &server(), &few);
    let mut client = open(&path, &MemifConfig::default(), &own);
    until_up(&[&client, &server]);
    let (mut rx, _tx) = server.queue(0).unwrap();
    let (_rx, mut tx) = client.queue(0).unwrap();
    let mut batch = Batch::new();
    for number in 0..32 {
        batch.push(own.packet(&frame(number)).unwrap()).unwrap();
    }
    assert_eq!(tx.send(&mut batch).unwrap(), 32);
    let mut received = 0;
    let start = Instant::now();
    while received < 32 {
        assert!(start.elapsed() < PATIENCE);
        let mut batch = Batch::new();
        rx.receive(&mut batch).unwrap();
        for packet in &batch {
            assert_eq!(packet.data(), frame(received));
            received += 1;
        }
    }
    assert_eq!(server.counters().rx_dropped, 0);
}

#[test]
fn queues_are_paired_or_shared() {
    let pool = pool();
    for (of_client, of_server) in [(3, 3), (3, 1), (1, 3)] {
        let path = name("queues");
        let mut client = open(&path, &MemifConfig { queues: of_client, ..MemifConfig::default() }, &pool);
        let mut server = open(&path, &MemifConfig { queues: of_server, ..server() }, &pool);
        until_up(&[&client, &server]);
        let take = |port: &mut MemifPort, count| -> Vec<_> {
            (0..count).map(|index| port.queue(index).unwrap()).collect()
        };
        let (mut ours, mut theirs) = (take(&mut client, of_client), take(&mut server, of_server));
        let rings = of_client.min(of_server);
        for (from, to) in [(true, of_client), (false, of_server)] {
            for index in 0..to {
                let (senders, receivers) =
                    if from { (&mut ours, &mut theirs) } else { (&mut theirs, &mut ours) };
                pass(&mut *senders[index].1, &mut *receivers[index % rings].0, &pool, 0..500);
            }
        }
        assert_eq!(client.counters().tx_packets, 500 * of_client as u64);
        assert_eq!(client.counters().rx_packets, 500 * of_server as u64);
    }
}

#[test]
fn a_socket_serves_several_ports_and_their_secrets() {
    let (pool, directory) = (pool(), tempfile::tempdir().unwrap());
    let path = directory.path().join("memif.sock").to_str().unwrap().to_owned();
    let with = |id, secret: &str| MemifConfig { id, secret: secret.into(), ..MemifConfig::default() };
    let serving = |config: MemifConfig| MemifConfig { role: Role::Server, ..config };
    let mut servers = [1, 2].map(|id| open(&path, &serving(with(id, "sesame")), &pool));
    let again = MemifPort::open(&path, &serving(with(2, "")), &pool);
    assert!(matches!(again, Err(PortError::Option { .. })));
    let mut clients = [2, 1].map(|id| open(&path, &with(id, "sesame"), &pool));
    until_up(&[&clients[0], &clients[1]]);
    for (client, server) in [(0, 1), (1, 0)] {
        let (_rx, mut tx) = clients[client].queue(0).unwrap();
        let (mut rx, _tx) = servers[server].queue(0).unwrap();
        pass(&mut *tx, &mut *rx, &pool, 0..100);
    }
    for (id, secret, why) in [(1, "sesame", "connected already"), (3, "sesame", "no interface 3")] {
        let third = open(&path, &with(id, secret), &pool);
        let said = || third.status().ended.unwrap_or_default();
        wait(why, || said().contains(why));
    }
    let [first, second] = servers;
    drop(first);
    for secret in ["", "sesam", "sesame "] {
        wait("it is free", || clients[1].link() == LinkState::Down);
        let server = open(&path, &serving(with(5, "sesame")), &pool);
        let wrong = open(&path, &with(5, secret), &pool);
        wait("wrong secret", || wrong.status().ended.is_some_and(|ended| ended.contains("wrong secret")));
        assert_eq!(server.link(), LinkState::Down);
    }
    assert!(std::path::Path::new(&path).exists());
    drop(second);
    assert!(!std::path::Path::new(&path).exists(), "the last one takes the socket away");
    assert!(std::fs::write(&path, b"precious").is_ok());
    assert!(matches!(MemifPort::open(&path, &server(), &pool), Err(PortError::Option { .. })));
    let nowhere = format!("{path}/no/such");
    assert!(MemifPort::open(&nowhere, &server(), &pool).is_err());
}

#[test]
fn options_out_of_bounds_are_errors() {
    let pool = pool();
    for (option, part) in [
        ("queues=0", "1 to 128 queues"),
        ("queues=129", "1 to 128 queues"),
        ("ring=1", "2 to 16384"),
        ("ring=0", "2 to 16384"),
        ("ring=1000", "power of two"),
        ("ring=32768", "2 to 16384"),
        ("buffer=63", "64 to 65536"),
        ("buffer=65537", "64 to 65536"),
        ("secret=012345678901234567890123", "23 bytes"),
        ("ring=16384,buffer=65536", "1 GiB"),
    ] {
        let spec: PortSpec = format!("memif:@weft-bounds,{option}").parse().unwrap();
        let error = ports::open(&spec, &pool).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(part), "{option}: {error}");
    }
}

/// Whether a descriptor polls readable within so many milliseconds.
fn readable(rx: &dyn RxQueue, ms: i64) -> bool {
    let limit = Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    let fd = rx.poll_fd().unwrap();
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

/// Asks until there is nothing to do.
fn fall_asleep(rx: &mut dyn RxQueue) {
    let start = Instant::now();
    while readable(rx, 5) {
        assert!(start.elapsed() < PATIENCE, "it does not come to rest");
        assert_eq!(rx.receive(&mut Batch::new()).unwrap(), 0);
    }
}

#[test]
fn a_sleeping_queue_is_woken_by_frames_and_connections_and_by_nothing_else() {
    let (pool, path) = (pool(), name("sleep"));
    let mut server = open(&path, &server(), &pool);
    let (mut server_rx, mut server_tx) = server.queue(0).unwrap();
    fall_asleep(&mut *server_rx);
    let mut client = open(&path, &MemifConfig::default(), &pool);
    let (mut client_rx, mut client_tx) = client.queue(0).unwrap();
    assert!(readable(&*server_rx, 5000), "a connection wakes");
    until_up(&[&client, &server]);
    for number in 0..300 {
        fall_asleep(&mut *server_rx);
        fall_asleep(&mut *client_rx);
        for (tx, rx) in [(&mut client_tx, &mut server_rx), (&mut server_tx, &mut client_rx)] {
            let mut batch = Batch::new();
            batch.push(pool.packet(&frame(number)).unwrap()).unwrap();
            assert_eq!(tx.send(&mut batch).unwrap(), 1);
            assert!(readable(&**rx, 5000), "frame {number} wakes");
            let mut batch = Batch::new();
            // The second look may have come first.
            let start = Instant::now();
            while batch.is_empty() {
                assert!(start.elapsed() < PATIENCE);
                rx.receive(&mut batch).unwrap();
            }
            assert_eq!(batch[0].data(), frame(number));
        }
    }
    // More than a batch: what waits keeps it readable.
    fall_asleep(&mut *server_rx);
    for first in [0, 32, 64] {
        let mut batch = Batch::new();
        for number in first..first + 32 {
            batch.push(pool.packet(&frame(number)).unwrap()).unwrap();
        }
        assert_eq!(client_tx.send(&mut batch).unwrap(), 32);
    }
    for _ in 0..3 {
        assert!(readable(&*server_rx, 0));
        let mut batch = Batch::new();
        assert_eq!(server_rx.receive(&mut batch).unwrap(), 32);
    }
    fall_asleep(&mut *server_rx);
    drop((client, client_rx, client_tx));
    assert!(readable(&*server_rx, 5000), "that the other side is gone wakes");
    fall_asleep(&mut *server_rx);
    assert_eq!(server.link(), LinkState::Down);
}

#[test]
fn large_packets_are_cut_and_checksums_filled_in() {
    let (pool, path) = (pool(), name("cut"));
    let mut server = open(&path, &server(), &pool);
    let mut client = open(&path, &MemifConfig::default(), &pool);
    until_up(&[&client, &server]);
    let (mut rx, _tx) = server.queue(0).unwrap();
    let (_rx, mut tx) = client.queue(0).unwrap();
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0x0b, 0xd4, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 7, 0, 7, 0x0b, 0xc0, 0, 0]);
    frame.extend([5; 3000]);
    let mut batch = Batch::new();
    batch.push(pool.packet(&frame).unwrap()).unwrap();
    batch[0].set_offload(Offload {
        checksum: Checksum::Unknown,
        segmentation: Some(Segmentation { kind: SegmentKind::Udp, ecn: false, size: 1400, header_len: 42 }),
    });
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    let start = Instant::now();
    while batch.len() < 3 {
        assert!(start.elapsed() < PATIENCE);
        rx.receive(&mut batch).unwrap();
    }
    assert_eq!(batch.iter().map(packet::Packet::len).collect::<Vec<_>>(), [1442, 1442, 242]);
    let sum = packet::checksum::checksum(&batch[0].data()[14..34]);
    assert_eq!((sum, client.counters().tx_packets), (0, 3));
}

/// `examples/memif_echo`, which Cargo builds for a crate's tests.
fn echo(path: &str, role: &str) -> Command {
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/memif_echo");
    assert!(program.exists(), "cargo build -p ports --example memif_echo");
    let mut echo = Command::new(program);
    echo.arg(format!("memif:{path},role={role}"));
    echo
}

#[test]
fn two_processes_talk_and_a_killed_one_is_replaced() {
    let pool = pool();
    for (own, theirs) in [(Role::Server, "client"), (Role::Client, "server")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("memif.sock").to_str().unwrap().to_owned();
        let config = MemifConfig { role: own, ..MemifConfig::default() };
        let mut port = open(&path, &config, &pool);
        let (mut rx, mut tx) = port.queue(0).unwrap();
        for _ in 0..3 {
            let mut other = echo(&path, theirs).spawn().unwrap();
            until_up(&[&port]);
            pass(&mut *tx, &mut *rx, &pool, 0..5000);
            // In the middle of it.
            let mut batch = Batch::new();
            batch.push(pool.packet(&frame(0)).unwrap()).unwrap();
            tx.send(&mut batch).unwrap();
            other.kill().unwrap();
            other.wait().unwrap();
            wait("it is gone", || port.link() == LinkState::Down);
            let lost = port.counters().tx_dropped;
            let mut batch = Batch::new();
            batch.push(pool.packet(&frame(0)).unwrap()).unwrap();
            assert_eq!(tx.send(&mut batch).unwrap(), 1);
            assert_eq!(port.counters().tx_dropped, lost + 1, "with nobody there, it is dropped and counted");
            rx.receive(&mut Batch::new()).unwrap();
        }
        assert_eq!(port.status().connections, 3);
    }
}
