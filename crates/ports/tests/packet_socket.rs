//! Packet sockets against the kernel at the other end of a veth pair.

mod net;

use std::net::UdpSocket;
use std::time::Duration;

use net::{Netns, comes_back_and_is_deleted, pattern, receive, transfer, wait_up};
use packet::{Batch, Checksum, Pool, PoolConfig, ROOM_GSO};
use ports::packet_socket::{PacketConfig, PacketPort};
use ports::{Counters, LinkState, Offloads, Port, PortError, PortInfo, RxQueue, TxQueue};

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 512, room: ROOM_GSO, ..PoolConfig::default() }).unwrap()
}

/// A veth pair in `ns`: the kernel has `eth0` with an address, the port has `port0`.
fn port(ns: &Netns, address: &str, neighbour: &str, config: &PacketConfig, pool: &Pool) -> PacketPort {
    ns.veth("eth0", "port0");
    ns.address("eth0", address, neighbour);
    ns.enter(|| PacketPort::open("port0", config, pool)).unwrap()
}

#[test]
fn tcp_crosses_two_veths_in_large_segments_and_intact() {
    tcp_crosses(&PacketConfig::default());
}

#[test]
fn tcp_crosses_two_receive_rings_in_large_segments_and_intact() {
    tcp_crosses(&PacketConfig { ring: 2 << 20, ..PacketConfig::default() });
}

fn tcp_crosses(config: &PacketConfig) {
    let (pool, left, right) = (pool(), Netns::new(), Netns::new());
    let mut a = port(&left, "10.9.0.1", "10.9.0.2", config, &pool);
    let mut b = port(&right, "10.9.0.2", "10.9.0.1", config, &pool);
    wait_up(&a);
    let longest = transfer(&left, &right, &mut a, &mut b, &pattern(8 << 20));
    assert!(longest >= 32 << 10, "the longest frame had {longest} bytes");
    assert_eq!(pool.available(), pool.capacity());
}

/// Sends as a port without offloads has to: everything finished in software.
struct Finishing {
    tx: Box<dyn TxQueue>,
    pool: Pool,
}

impl TxQueue for Finishing {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let taken = batch.len();
        for packet in std::mem::take(batch) {
            ports::finish::finish(packet, Offloads::default(), &self.pool, |segment| {
                assert!(segment.len() <= 1514 && segment.offload() == packet::Offload::default());
                let mut one = Batch::new();
                one.push(segment).unwrap();
                while self.tx.send(&mut one).unwrap() == 0 {}
            })
            .unwrap();
        }
        Ok(taken)
    }
}

/// A port whose queue finishes in software.
struct Plain(PacketPort, Pool);

impl Port for Plain {
    fn info(&self) -> &PortInfo {
        self.0.info()
    }
    fn link(&self) -> LinkState {
        self.0.link()
    }
    fn counters(&self) -> Counters {
        self.0.counters()
    }
    fn queue(&mut self, index: usize) -> Option<(Box<dyn RxQueue>, Box<dyn TxQueue>)> {
        let (rx, tx) = self.0.queue(index)?;
        Some((rx, Box::new(Finishing { tx, pool: self.1.clone() })))
    }
}

#[test]
fn the_kernel_accepts_what_is_finished_in_software() {
    let (pool, left, right) = (pool(), Netns::new(), Netns::new());
    let config = PacketConfig::default();
    let mut a = Plain(port(&left, "10.9.0.1", "10.9.0.2", &config, &pool), pool.clone());
    let mut b = Plain(port(&right, "10.9.0.2", "10.9.0.1", &config, &pool), pool.clone());
    let bytes = pattern(4 << 20);
    let longest = transfer(&left, &right, &mut a, &mut b, &bytes);
    assert!(longest >= 32 << 10, "the longest frame had {longest} bytes");
    assert!(b.counters().tx_packets > 2000, "{}", b.counters());
}

#[test]
fn a_datagram_comes_out_with_its_checksum_undone_and_goes_back_in() {
    let (pool, ns) = (pool(), Netns::new());
    let mut port = port(&ns, "10.9.0.1", "10.9.0.2", &PacketConfig::default(), &pool);
    let (mut rx, mut tx) = port.queue(0).unwrap();
    let socket = ns.enter(|| UdpSocket::bind("10.9.0.1:7000").unwrap());
    socket.send_to(b"hello", "10.9.0.2:7000").unwrap();
    let mut batch = receive(&mut *rx);
    let packet = &mut batch[0];
    assert_eq!(packet.offload().checksum, Checksum::Partial { start: 34, offset: 6 });
    assert!(packet.data().ends_with(b"hello"));
    // Turned round, it is an answer: the sum over the pseudo header is the same.
    let frame = packet.data_mut();
    let (a, b) = frame[..12].split_at_mut(6);
    a.swap_with_slice(b);
    let (a, b) = frame[26..34].split_at_mut(4);
    a.swap_with_slice(b);
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0; 16];
    assert_eq!(socket.recv_from(&mut answer).unwrap(), (5, "10.9.0.2:7000".parse().unwrap()));
    let counters = port.counters();
    assert_eq!((counters.rx_packets, counters.tx_packets, counters.tx_bytes), (1, 1, 47));
}

#[test]
fn packets_carry_the_time_at_which_the_kernel_had_them() {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    for stamps in [true, false] {
        let (pool, ns) = (pool(), Netns::new());
        let config = PacketConfig { stamps, ..PacketConfig::default() };
        let mut port = port(&ns, "10.9.0.1", "10.9.0.2", &config, &pool);
        let (mut rx, _tx) = port.queue(0).unwrap();
        let socket = ns.enter(|| UdpSocket::bind("10.9.0.1:7000").unwrap());
        let before = now();
        socket.send_to(b"hello", "10.9.0.2:7000").unwrap();
        let after = now();
        std::thread::sleep(Duration::from_millis(20));
        let stamp = Duration::from_nanos(receive(&mut *rx)[0].timestamp_ns());
        if stamps {
            // A veth hands a frame over within the call that sends it; the kernel may see to it a moment later.
            assert!(
                (before..after + Duration::from_millis(15)).contains(&stamp),
                "{before:?} {stamp:?} {after:?}"
            );
        } else {
            assert_eq!(stamp, Duration::ZERO);
        }
    }
}

#[test]
fn a_vlan_tag_that_the_kernel_takes_off_is_put_back() {
    for (ring, stamps) in [(0, false), (0, true), (512 << 10, false)] {
        a_vlan_tag_is_put_back(&PacketConfig { ring, stamps, ..PacketConfig::default() });
    }
}

fn a_vlan_tag_is_put_back(config: &PacketConfig) {
    let (pool, ns) = (pool(), Netns::new());
    let mut port = port(&ns, "10.9.0.1", "10.9.0.2", config, &pool);
    let mut other = ns.enter(|| PacketPort::open("eth0", config, &pool)).unwrap();
    let (mut rx, _tx) = port.queue(0).unwrap();
    let (_rx, mut tx) = other.queue(0).unwrap();
    let mut frame = vec![0xff; 12];
    frame.extend([0x81, 0, 0x60, 7, 8, 0]);
    frame.extend([0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2]);
    frame.extend([0x1b, 0x58, 0x1b, 0x58, 0, 13, 0, 0]);
    frame.extend(b"hello");
    let mut packet = pool.packet(&frame).unwrap();
    let checksum = Checksum::Partial { start: 38, offset: 6 };
    packet.set_offload(packet::Offload { checksum, segmentation: None });
    let mut batch = Batch::new();
    batch.push(packet).unwrap();
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    let batch = receive(&mut *rx);
    assert_eq!(batch[0].data(), frame);
    assert_eq!(batch[0].offload().checksum, checksum);
}

#[test]
fn what_the_kernel_refuses_is_dropped_and_counted() {
    let (pool, ns) = (pool(), Netns::new());
    let mut port = port(&ns, "10.9.0.1", "10.9.0.2", &PacketConfig::default(), &pool);
    let (_rx, mut tx) = port.queue(0).unwrap();
    let mut batch = Batch::new();
    let mut hostile = pool.packet(&[0xff; 60]).unwrap();
    let checksum = Checksum::Partial { start: 59, offset: 9 };
    hostile.set_offload(packet::Offload { checksum, segmentation: None });
    batch.push(hostile).unwrap();
    batch.push(pool.packet(&[0xff; 4000]).unwrap()).unwrap();
    batch.push(pool.packet(&[0xff; 3]).unwrap()).unwrap();
    batch.push(pool.packet(&[0xff; 60]).unwrap()).unwrap();
    assert_eq!(tx.send(&mut batch).unwrap(), 4);
    assert_eq!((port.counters().tx_packets, port.counters().tx_dropped), (1, 3));
}

#[test]
fn a_link_that_is_down_is_a_state_and_a_deleted_interface_is_an_error() {
    for ring in [0, 512 << 10] {
        down_and_deleted(&PacketConfig { ring, ..PacketConfig::default() });
    }
}

fn down_and_deleted(config: &PacketConfig) {
    let (pool, ns) = (pool(), Netns::new());
    let mut port = port(&ns, "10.9.0.1", "10.9.0.2", config, &pool);
    let (mut rx, mut tx) = port.queue(0).unwrap();
    let mut batch = Batch::new();
    for _ in 0..1000 {
        assert_eq!(rx.receive(&mut batch).unwrap(), 0, "an idle port is no deleted one");
    }
    ns.ip("link set port0 down");
    assert_eq!(port.link(), LinkState::Down);
    assert_eq!(rx.receive(&mut batch).unwrap(), 0);
    batch.push(pool.packet(&[0xff; 60]).unwrap()).unwrap();
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    assert_eq!(port.counters().tx_dropped, 1);
    comes_back_and_is_deleted(&ns, &port, &mut *rx);
    assert!(matches!(rx.receive(&mut batch), Err(PortError::Missing { .. })), "and stays one");
    batch.push(pool.packet(&[0xff; 60]).unwrap()).unwrap();
    assert!(matches!(tx.send(&mut batch), Err(PortError::Missing { .. })));
}

#[test]
fn flows_spread_over_queues() {
    let (pool, ns) = (pool(), Netns::new());
    let config = PacketConfig { queues: 2, ..PacketConfig::default() };
    let mut port = port(&ns, "10.9.0.1", "10.9.0.2", &config, &pool);
    let mut queues = [port.queue(0).unwrap(), port.queue(1).unwrap()];
    assert!(port.queue(2).is_none());
    let socket = ns.enter(|| UdpSocket::bind("10.9.0.1:7000").unwrap());
    for destination in 1..=64 {
        socket.send_to(b"spread", format!("10.9.0.2:{destination}")).unwrap();
    }
    let mut counts = [0; 2];
    for ((rx, _), count) in queues.iter_mut().zip(&mut counts) {
        let mut batch = Batch::new();
        while rx.receive(&mut batch).unwrap() > 0 {
            *count += batch.len();
            batch.clear();
        }
    }
    assert_eq!(counts[0] + counts[1], 64);
    assert!(counts[0] > 8 && counts[1] > 8, "{counts:?}");
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let error = PacketPort::open("nosuchif0", &PacketConfig::default(), &pool()).err().unwrap();
    assert!(error.to_string().contains("interface nosuchif0 is not there"), "{error}");
}
