//! Unix socket ports: two of them, and one against a plain socket.

use std::time::{Duration, Instant};

use packet::{Batch, Checksum, Offload, Pool, PoolConfig, SegmentKind, Segmentation};
use ports::unix::{UnixConfig, UnixPort};
use ports::{LinkState, Port, PortError, RxQueue};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    socket_with,
};

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 256, room: 9000, ..PoolConfig::default() }).unwrap()
}

fn listening() -> UnixConfig {
    UnixConfig::default()
}

fn connecting() -> UnixConfig {
    UnixConfig { connect: true, confirm: false }
}

fn name(test: &str) -> String {
    format!("@wt{}-{test}", std::process::id())
}

fn client(name: &str) -> std::os::fd::OwnedFd {
    let client = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    connect(&client, &SocketAddrUnix::new_abstract_name(&name.as_bytes()[1..]).unwrap()).unwrap();
    client
}

fn receive(rx: &mut dyn RxQueue) -> Vec<Vec<u8>> {
    let (mut batch, start) = (Batch::new(), Instant::now());
    while batch.is_empty() && start.elapsed() < Duration::from_secs(5) {
        rx.receive(&mut batch).unwrap();
    }
    batch.iter().map(|packet| packet.data().to_vec()).collect()
}

fn one(pool: &Pool, bytes: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.push(pool.packet(bytes).unwrap()).unwrap();
    batch
}

#[test]
fn two_ports_talk_and_a_killed_peer_is_replaced() {
    let (pool, directory) = (pool(), tempfile::tempdir().unwrap());
    let path = directory.path().join("port").to_str().unwrap().to_owned();
    let mut client = UnixPort::open(&path, &connecting(), &pool).unwrap();
    assert_eq!(client.link(), LinkState::Down, "a server that is not there yet is no error");
    let (mut client_rx, mut client_tx) = client.queue(0).unwrap();
    for round in 0..3u8 {
        let mut server = UnixPort::open(&path, &listening(), &pool).unwrap();
        let (mut server_rx, mut server_tx) = server.queue(0).unwrap();
        let start = Instant::now();
        while server.link() != LinkState::Up || client.link() != LinkState::Up {
            assert!(start.elapsed() < Duration::from_secs(5), "round {round}: no connection");
            client_rx.receive(&mut Batch::new()).unwrap();
            server_rx.receive(&mut Batch::new()).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(client_tx.send(&mut one(&pool, &[round; 60])).unwrap(), 1);
        assert_eq!(receive(&mut *server_rx), [[round; 60]]);
        assert_eq!(server_tx.send(&mut one(&pool, &[round; 61])).unwrap(), 1);
        assert_eq!(receive(&mut *client_rx), [[round; 61]]);
        drop((server, server_rx, server_tx));
        assert_eq!(client_tx.send(&mut one(&pool, &[0; 60])).unwrap(), 1, "dropped, not kept");
        assert_eq!(client_rx.receive(&mut Batch::new()).unwrap(), 0);
        assert_eq!(client.link(), LinkState::Down);
    }
    assert_eq!((client.counters().tx_packets, client.counters().tx_dropped), (3, 3));
    assert!(!std::path::Path::new(&path).exists(), "the socket file went with its port");
}

#[test]
fn a_client_is_confirmed_and_a_full_socket_takes_no_more() {
    let (pool, name) = (pool(), name("confirm"));
    let config = UnixConfig { connect: false, confirm: true };
    let mut port = UnixPort::open(&name, &config, &pool).unwrap();
    let (mut rx, mut tx) = port.queue(0).unwrap();
    let peer = client(&name);
    assert_eq!(rx.receive(&mut Batch::new()).unwrap(), 0);
    let mut answer = [0; 8];
    assert_eq!(recv(&peer, &mut answer[..], RecvFlags::empty()).unwrap().0, 4);
    assert_eq!(&answer[..4], b"yes\0");
    let mut sent = 0;
    let mut batch = Batch::new();
    loop {
        while batch.room() > 0 {
            batch.push(pool.packet(&[7; 1000]).unwrap()).unwrap();
        }
        match tx.send(&mut batch).unwrap() {
            0 => break,
            more => sent += more,
        }
        assert!(sent < 100_000, "the socket never filled");
    }
    assert_eq!((!batch.is_empty(), port.counters().tx_packets), (true, sent as u64));
    assert_eq!(port.counters().tx_dropped, 0);
}

#[test]
fn a_message_too_long_is_dropped_and_a_second_client_waits() {
    let (pool, name) = (pool(), name("long"));
    let mut port = UnixPort::open(&name, &listening(), &pool).unwrap();
    let (mut rx, _tx) = port.queue(0).unwrap();
    let (first, second) = (client(&name), client(&name));
    send(&second, &[2; 60], SendFlags::empty()).unwrap();
    send(&first, &[1; 20_000], SendFlags::empty()).unwrap();
    send(&first, &[1; 60], SendFlags::empty()).unwrap();
    assert_eq!(receive(&mut *rx), [[1; 60]]);
    assert_eq!(port.counters().rx_dropped, 1);
    drop(first);
    assert_eq!(receive(&mut *rx), [[2; 60]]);
}

#[test]
fn large_packets_are_cut_and_checksums_filled_in() {
    let (pool, name) = (pool(), name("cut"));
    let mut port = UnixPort::open(&name, &listening(), &pool).unwrap();
    let (mut rx, mut tx) = port.queue(0).unwrap();
    let peer = client(&name);
    rx.receive(&mut Batch::new()).unwrap();
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0x0b, 0xd4, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 7, 0, 7, 0x0b, 0xc0, 0, 0]);
    frame.extend([5; 3000]);
    let mut batch = one(&pool, &frame);
    batch[0].set_offload(Offload {
        checksum: Checksum::Unknown,
        segmentation: Some(Segmentation { kind: SegmentKind::Udp, ecn: false, size: 1400, header_len: 42 }),
    });
    assert_eq!(tx.send(&mut batch).unwrap(), 1);
    let mut buffer = [0; 4096];
    let lengths = [(); 3].map(|()| recv(&peer, &mut buffer[..], RecvFlags::empty()).unwrap().0);
    assert_eq!(lengths, [1442, 1442, 242]);
    assert_eq!(port.counters().tx_packets, 3);
}

#[test]
fn a_path_in_use_or_in_no_directory_is_an_error_and_an_abandoned_socket_is_not() {
    let (pool, directory) = (pool(), tempfile::tempdir().unwrap());
    let path = directory.path().join("port").to_str().unwrap().to_owned();
    let port = UnixPort::open(&path, &listening(), &pool).unwrap();
    assert!(matches!(UnixPort::open(&path, &listening(), &pool), Err(PortError::Option { .. })));
    drop(port);
    let left = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&left, &SocketAddrUnix::new(&*path).unwrap()).unwrap();
    drop(left);
    assert!(UnixPort::open(&path, &listening(), &pool).is_ok());
    let nowhere = format!("{path}/no/such");
    assert!(matches!(
        UnixPort::open(&nowhere, &listening(), &pool),
        Err(PortError::Missing { .. } | PortError::System { .. })
    ));
    std::fs::write(&path, b"precious").unwrap();
    assert!(matches!(UnixPort::open(&path, &listening(), &pool), Err(PortError::Option { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}
