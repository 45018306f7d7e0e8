//! Rings under two threads: every packet is accounted for.

use std::time::{Duration, Instant};

use packet::{Batch, Pool, PoolConfig};
use ports::{LinkState, Port, PortError, ring};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const PACKETS: u64 = 200_000;

/// Sends numbered packets from one thread and receives them in another; `wait` is what the reader does when it
/// finds nothing.
fn exchange(wait: impl Fn(&dyn ports::RxQueue) + Send) {
    let pool = Pool::new(PoolConfig { buffers: 256, room: 64, ..PoolConfig::default() }).unwrap();
    let (mut a, mut b) = ring::pair(["a", "b"], 64).unwrap();
    let (_rx, mut tx) = a.queue(0).unwrap();
    let (mut rx, _tx) = b.queue(0).unwrap();
    std::thread::scope(|scope| {
        let pool = &pool;
        scope.spawn(move || {
            let (mut next, mut batch) = (0u64, Batch::new());
            while next < PACKETS || !batch.is_empty() {
                while batch.room() > 0 && next < PACKETS {
                    let Some(packet) = pool.packet(&next.to_ne_bytes()) else { break };
                    batch.push(packet).unwrap();
                    next += 1;
                }
                if tx.send(&mut batch).unwrap() == 0 {
                    std::thread::yield_now();
                }
                // Pauses now and then, so that the reader falls asleep.
                if next % 5000 < 3 {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        });
        let (mut expected, mut batch) = (0u64, Batch::new());
        let start = Instant::now();
        while expected < PACKETS {
            assert!(start.elapsed() < Duration::from_secs(60), "stuck at {expected}");
            if rx.receive(&mut batch).unwrap() == 0 {
                wait(&*rx);
            }
            for packet in batch.drain(..) {
                assert_eq!(packet.data(), expected.to_ne_bytes());
                expected += 1;
            }
        }
    });
    assert_eq!((a.counters().tx_packets, b.counters().rx_packets), (PACKETS, PACKETS));
    assert_eq!(pool.available(), 256);
}

#[test]
fn a_busy_reader_gets_every_packet_in_order() {
    exchange(|_| std::thread::yield_now());
}

#[test]
fn a_sleeping_reader_is_woken_every_time() {
    exchange(|rx| {
        let fd = rx.poll_fd().unwrap();
        let timeout = Timespec { tv_sec: 5, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).unwrap();
        assert_eq!(ready, 1, "nobody woke the reader");
    });
}

#[test]
fn the_descriptor_is_readable_while_packets_wait_and_no_longer() {
    let pool = Pool::new(PoolConfig { buffers: 64, room: 64, ..PoolConfig::default() }).unwrap();
    let (mut a, mut b) = ring::pair(["a", "b"], 64).unwrap();
    let (_rx, mut tx) = a.queue(0).unwrap();
    let (mut rx, _tx) = b.queue(0).unwrap();
    let mut batch = Batch::new();
    let readable = |rx: &dyn ports::RxQueue| {
        let fd = rx.poll_fd().unwrap();
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    };
    assert_eq!(rx.receive(&mut batch).unwrap(), 0);
    assert!(!readable(&*rx));
    for _ in 0..2 {
        let mut out = Batch::new();
        pool.alloc_batch(32, &mut out);
        assert_eq!(tx.send(&mut out).unwrap(), 32);
    }
    assert!(readable(&*rx));
    assert_eq!(rx.receive(&mut batch).unwrap(), 32);
    assert!(readable(&*rx), "32 more wait");
    batch.clear();
    assert_eq!(rx.receive(&mut batch).unwrap(), 32);
    batch.clear();
    assert_eq!(rx.receive(&mut batch).unwrap(), 0);
    assert!(!readable(&*rx));
}

#[test]
fn a_full_ring_takes_no_more_and_a_closed_one_says_so() {
    let pool = Pool::new(PoolConfig { buffers: 64, room: 64, ..PoolConfig::default() }).unwrap();
    let (mut a, mut b) = ring::pair(["a", "b"], 16).unwrap();
    assert_eq!(a.link(), LinkState::Up);
    let (_, mut tx) = a.queue(0).unwrap();
    let (mut rx, tx_b) = b.queue(0).unwrap();
    let mut batch = Batch::new();
    pool.alloc_batch(20, &mut batch);
    assert_eq!((tx.send(&mut batch).unwrap(), batch.len()), (16, 4));
    assert_eq!(tx.send(&mut batch).unwrap(), 0);
    drop((tx, a));
    let mut received = Batch::new();
    assert_eq!(rx.receive(&mut received).unwrap(), 16, "what was sent before the end arrives");
    assert!(matches!(rx.receive(&mut Batch::new()), Err(PortError::Closed { .. })));
    assert_eq!(b.link(), LinkState::Down);
    drop((tx_b, rx, b, received, batch));
    assert_eq!(pool.available(), 64);
}

#[test]
fn what_nobody_read_is_dropped_with_the_ring() {
    let pool = Pool::new(PoolConfig { buffers: 8, room: 64, ..PoolConfig::default() }).unwrap();
    let (mut sender, receiver) = ring::channel(8);
    for number in 0..5 {
        sender.push(pool.packet(&[number]).unwrap()).unwrap();
    }
    drop(receiver);
    assert_eq!(pool.available(), 3);
    drop(sender);
    assert_eq!(pool.available(), 8);
}
