//! TAP ports against the kernel at their other end.

mod net;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use net::{Netns, pattern, receive, transfer, wait_up};
use packet::{Batch, Pool, PoolConfig, ROOM_GSO};
use ports::tap::{Tap, TapConfig, attach_queue, open_queue};
use ports::{LinkState, Port, PortError};

fn large_pool() -> Pool {
    Pool::new(PoolConfig { buffers: 512, room: ROOM_GSO, ..PoolConfig::default() }).unwrap()
}

/// A TAP in `ns` with an address, and a fixed neighbour so that no ARP is needed.
fn tap(ns: &Netns, address: &str, neighbour: &str, pool: &Pool) -> Tap {
    let tap = ns.enter(|| Tap::open("eth0", &TapConfig::default(), pool)).unwrap();
    ns.address("eth0", address, neighbour);
    tap
}

#[test]
fn tcp_crosses_two_taps_in_large_segments_and_intact() {
    let (pool, left, right) = (large_pool(), Netns::new(), Netns::new());
    let mut a = tap(&left, "10.9.0.1", "10.9.0.2", &pool);
    let mut b = tap(&right, "10.9.0.2", "10.9.0.1", &pool);
    wait_up(&a);
    wait_up(&b);
    assert!(a.info().offloads.tcp_segmentation);
    let bytes = pattern(8 << 20);
    let longest = transfer(&left, &right, &mut a, &mut b, &bytes);
    assert!(longest >= 32 << 10, "the longest frame had {longest} bytes");
    let (from, to) = (a.counters(), b.counters());
    assert!(from.rx_bytes >= bytes.len() as u64 && to.tx_bytes >= bytes.len() as u64);
    assert_eq!((from.rx_dropped, to.tx_dropped), (0, 0));
    assert_eq!(pool.available(), pool.capacity());
}

#[test]
fn a_small_pool_gets_ordinary_frames() {
    let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() }).unwrap();
    let ns = Netns::new();
    let refused = ns.enter(|| {
        let config = TapConfig { segmentation: Some(true), ..TapConfig::default() };
        Tap::open("eth0", &config, &pool).err()
    });
    assert!(matches!(refused, Some(PortError::Option { .. })), "{refused:?}");
    let mut tap = tap(&ns, "10.9.0.1", "10.9.0.2", &pool);
    let (mut rx, _tx) = tap.queue(0).unwrap();
    assert!(tap.queue(0).is_none(), "a queue is handed out once");
    let socket = ns.enter(|| UdpSocket::bind("10.9.0.1:0").unwrap());
    socket.send_to(b"hello", "10.9.0.2:9").unwrap();
    let batch = receive(&mut *rx);
    assert_eq!(batch[0].len(), 14 + 20 + 8 + 5);
    assert!(batch[0].data().ends_with(b"hello"));
    assert_eq!(tap.counters().rx_packets, 1);
}

#[test]
fn frames_without_a_buffer_are_dropped_and_counted() {
    let pool = Pool::new(PoolConfig { buffers: 2, ..PoolConfig::default() }).unwrap();
    let ns = Netns::new();
    let mut tap = tap(&ns, "10.9.0.1", "10.9.0.2", &pool);
    let (mut rx, _tx) = tap.queue(0).unwrap();
    let socket = ns.enter(|| UdpSocket::bind("10.9.0.1:0").unwrap());
    for _ in 0..5 {
        socket.send_to(b"hello", "10.9.0.2:9").unwrap();
    }
    let mut batch = Batch::new();
    while rx.receive(&mut batch).unwrap() > 0 {}
    assert_eq!(batch.len(), 2);
    assert_eq!(tap.counters().rx_dropped, 3);
}

#[test]
fn a_link_that_is_down_is_a_state_and_a_deleted_interface_is_an_error() {
    let (pool, ns) = (large_pool(), Netns::new());
    let mut tap = tap(&ns, "10.9.0.1", "10.9.0.2", &pool);
    let (mut rx, mut tx) = tap.queue(0).unwrap();
    let mut batch = Batch::new();
    ns.ip("link set eth0 down");
    assert_eq!(tap.link(), LinkState::Down);
    assert_eq!(rx.receive(&mut batch).unwrap(), 0);
    batch.push(pool.packet(&[0xff; 60]).unwrap()).unwrap();
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    assert_eq!(tap.counters().tx_dropped, 1);
    ns.ip("link set eth0 up");
    wait_up(&tap);
    batch.push(pool.packet(&[0xff; 60]).unwrap()).unwrap();
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    assert_eq!(tap.counters().tx_packets, 1);
    ns.ip("link del eth0");
    batch.push(pool.packet(&[0xff; 60]).unwrap()).unwrap();
    assert!(matches!(tx.send(&mut batch), Err(PortError::Missing { .. })));
    batch.clear();
    assert!(matches!(rx.receive(&mut batch), Err(PortError::Missing { .. })));
    assert_eq!(tap.link(), LinkState::Down);
}

#[test]
fn queues_opened_elsewhere_make_a_port_here() {
    let (pool, ns) = (large_pool(), Netns::new());
    let fds = ns.enter(|| vec![open_queue("eth0", false).unwrap(), open_queue("eth0", false).unwrap()]);
    let mut tap = Tap::from_fds("eth0", fds, None, None, &pool).unwrap();
    assert_eq!((tap.info().queues, tap.link()), (2, LinkState::Unknown));
    assert!(tap.info().mac.is_some());
    assert!(tap.queue(1).is_some() && tap.queue(2).is_none());
}

/// The interface of a container: its dataplane may end and come back, and shall not make it when it is gone.
#[test]
fn an_interface_that_others_made_is_attached_again_and_again_and_never_made() {
    let (pool, ns) = (large_pool(), Netns::new());
    let missing = ns.enter(|| attach_queue("eth0").err());
    assert!(matches!(missing, Some(PortError::Missing { .. })), "{missing:?}");
    ns.ip("tuntap add dev eth0 mode tap vnet_hdr");
    ns.address("eth0", "10.9.0.1", "10.9.0.2");
    let attach = || {
        let queue = ns.enter(|| attach_queue("eth0"))?;
        Tap::from_fds("eth0", vec![queue], None, None, &pool)
    };
    let socket = ns.enter(|| UdpSocket::bind("10.9.0.1:0").unwrap());
    for text in ["first", "again"] {
        // A process that another test has just forked holds the last one until it is another program.
        let start = Instant::now();
        let mut tap = loop {
            match attach() {
                Ok(tap) => break tap,
                Err(_) if start.elapsed() < Duration::from_secs(5) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        };
        let busy = attach().err();
        assert!(matches!(busy, Some(PortError::Option { .. })), "it has one queue: {busy:?}");
        let (mut rx, _tx) = tap.queue(0).unwrap();
        let (mut batch, start) = (Batch::new(), Instant::now());
        while !batch.iter().any(|packet| packet.data().ends_with(text.as_bytes())) {
            assert!(start.elapsed() < Duration::from_secs(5), "{text} did not come");
            // Until the kernel has noted that somebody is there, it drops without a word what is sent.
            socket.send_to(text.as_bytes(), "10.9.0.2:9").unwrap();
            std::thread::sleep(Duration::from_millis(10));
            batch.clear();
            rx.receive(&mut batch).unwrap();
        }
    }
}

#[test]
fn an_interface_of_several_queues_is_attached_once_for_each() {
    let ns = Netns::new();
    ns.ip("tuntap add dev eth0 mode tap vnet_hdr multi_queue");
    let queues: Vec<_> = (0..2).map(|_| ns.enter(|| attach_queue("eth0").unwrap())).collect();
    let mut tap = Tap::from_fds("eth0", queues, None, None, &large_pool()).unwrap();
    assert!(tap.queue(0).is_some() && tap.queue(1).is_some());
}
