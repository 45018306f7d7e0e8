//! AF_XDP ports against the kernel at the other end of a veth pair.

mod net;

use std::net::UdpSocket;
use std::time::Duration;

use net::{Netns, comes_back_and_is_deleted, receive, wait_up};
use packet::{Batch, Checksum, Offload, Pool, PoolConfig, SegmentKind, Segmentation};
use ports::xdp::{XdpConfig, XdpMode, XdpPort};
use ports::{LinkState, Port, PortError};

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 256, room: 16_384, ..PoolConfig::default() }).unwrap()
}

fn port(ns: &Netns, mode: XdpMode, pool: &Pool) -> Result<XdpPort, PortError> {
    ns.veth("eth0", "port0");
    ns.address("eth0", "10.9.0.1", "10.9.0.2");
    ns.enter(|| XdpPort::open("port0", &XdpConfig { mode, ..XdpConfig::default() }, pool))
}

/// A UDP datagram from 10.9.0.2:7000 to 10.9.0.1:7000 with the checksum left partial.
fn datagram(pool: &Pool, payload: &[u8]) -> packet::Packet {
    let udp = 8 + payload.len();
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend((20 + udp as u16).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]);
    let sum = !packet::checksum::sum(&frame[14..]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend([0x1b, 0x58, 0x1b, 0x58]);
    frame.extend((udp as u16).to_be_bytes());
    let pseudo = packet::checksum::pseudo_v4(
        [10, 9, 0, 2].into(),
        [10, 9, 0, 1].into(),
        packet::wire::IpProtocol::UDP,
        udp as u32,
    );
    frame.extend(pseudo.to_be_bytes());
    frame.extend(payload);
    let mut packet = pool.packet(&frame).unwrap();
    let checksum = Checksum::Partial { start: 34, offset: 6 };
    packet.set_offload(Offload { checksum, segmentation: None });
    packet
}

fn exchange(mode: XdpMode, name: &str) {
    let (pool, ns) = (pool(), Netns::new());
    let mut port = port(&ns, mode, &pool).unwrap();
    assert_eq!(port.mode(), name);
    wait_up(&port);
    let (mut rx, mut tx) = port.queue(0).unwrap();
    let socket = ns.enter(|| UdpSocket::bind("10.9.0.1:7000").unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0; 2000];
    // More than the rings hold, so every chunk is used again.
    for round in 0..3000u32 {
        socket.send_to(&round.to_ne_bytes(), "10.9.0.2:7000").unwrap();
        assert!(receive(&mut *rx)[0].data().ends_with(&round.to_ne_bytes()), "round {round}");
        let mut batch = Batch::new();
        batch.push(datagram(&pool, &round.to_ne_bytes())).unwrap();
        assert_eq!(tx.send(&mut batch).unwrap(), 1);
        let len = socket.recv(&mut answer).unwrap();
        assert_eq!(answer[..len], round.to_ne_bytes());
    }
    let mut batch = Batch::new();
    let payload: Vec<u8> = (0..10_000).map(|at| (at * 7) as u8).collect();
    let mut large = datagram(&pool, &payload);
    let segmentation = Segmentation { kind: SegmentKind::Udp, ecn: false, size: 1400, header_len: 42 };
    large.set_offload(Offload { segmentation: Some(segmentation), ..large.offload() });
    batch.push(large).unwrap();
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    let mut received = Vec::new();
    while received.len() < payload.len() {
        let len = socket.recv(&mut answer).expect("the kernel accepts every segment's checksum");
        received.extend_from_slice(&answer[..len]);
    }
    assert!(received == payload);
    let counters = port.counters();
    assert_eq!((counters.rx_packets, counters.tx_packets, counters.tx_dropped), (3000, 3008, 0));
    drop((port, rx, tx, batch));
    // Without the program, the kernel has the frames again.
    let peer = ns.enter(|| {
        std::process::Command::new("ip").args(["-d", "link", "show", "port0"]).output().unwrap().stdout
    });
    assert!(!String::from_utf8_lossy(&peer).contains("xdp"), "the program lingers");
    assert_eq!(pool.available(), pool.capacity());
}

#[test]
fn datagrams_pass_in_native_mode() {
    exchange(XdpMode::Native, "native, copy");
}

#[test]
fn datagrams_pass_in_generic_mode() {
    exchange(XdpMode::Generic, "generic, copy");
}

#[test]
fn an_interface_that_is_taken_down_comes_back_and_one_that_is_deleted_does_not() {
    let (pool, ns) = (pool(), Netns::new());
    let mut port = port(&ns, XdpMode::Auto, &pool).unwrap();
    let (mut rx, mut tx) = port.queue(0).unwrap();
    for _ in 0..1000 {
        assert_eq!(rx.receive(&mut Batch::new()).unwrap(), 0, "an idle port is no deleted one");
    }
    ns.ip("link set port0 down");
    assert_eq!(port.link(), LinkState::Down);
    let mut batch = Batch::new();
    batch.push(datagram(&pool, b"lost or late")).unwrap();
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    comes_back_and_is_deleted(&ns, &port, &mut *rx);
    batch.push(datagram(&pool, b"nowhere")).unwrap();
    assert!(matches!(tx.send(&mut batch), Err(PortError::Missing { .. })));
}

#[test]
fn a_queue_that_is_taken_is_named() {
    let (pool, ns) = (pool(), Netns::new());
    let _port = port(&ns, XdpMode::Auto, &pool).unwrap();
    let second = ns.enter(|| XdpPort::open("port0", &XdpConfig::default(), &pool).err().unwrap());
    assert!(second.to_string().contains("another XDP program"), "{second}");
}
