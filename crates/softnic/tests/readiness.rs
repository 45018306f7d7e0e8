//! Idle ports cost nothing, and a busy one does not pay for them.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use packet::{Batch, Pool, PoolConfig};
use ports::{PortError, RxQueue};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use softnic::engine::{Edit, Engine, WorkerConfig};
use softnic::modules::{PortIn, Queue, Sink};

/// Receives from a socket.
struct Socket {
    socket: UnixDatagram,
    pool: Pool,
}

impl RxQueue for Socket {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let mut count = 0;
        while batch.room() > 0 {
            let Some(mut packet) = self.pool.alloc() else { break };
            let Ok(len) = self.socket.recv(packet.room_mut()) else { break };
            packet.set_len(len).unwrap();
            batch.push(packet).unwrap();
            count += 1;
        }
        Ok(count)
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

/// An engine with one worker and `count` ports that lead to one sink.
fn engine_with_ports(count: usize) -> (Engine, Vec<UnixDatagram>) {
    // Two descriptors a port, and some for the other tests of this process.
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, wanted).unwrap();
    let engine = Engine::new();
    let worker = engine.add_worker(WorkerConfig::default()).unwrap();
    let pool = Pool::new(PoolConfig { buffers: 1024, room: 128, ..PoolConfig::default() }).unwrap();
    let mut edit = Edit::new().add("sink", Sink::new(), worker);
    let mut peers = Vec::new();
    for port in 0..count {
        let (socket, peer) = UnixDatagram::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let name = format!("port{port}");
        let queue = Box::new(Socket { socket, pool: pool.clone() });
        edit = edit.add(&*name, PortIn::new(queue), worker).connect(name, 0, "sink", 0);
        peers.push(peer);
    }
    engine.apply(edit).unwrap();
    (engine, peers)
}

fn received(engine: &Engine) -> u64 {
    engine.with_module("sink", |sink: &mut Sink| sink.packets()).unwrap()
}

fn wait_for(engine: &Engine, packets: u64) {
    let begin = Instant::now();
    while received(engine) < packets {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} of {packets} packets came", received(engine));
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Sends packets to one port; returns turns and nanoseconds of CPU time that the worker spent on each.
fn cost_per_packet(engine: &Engine, peer: &UnixDatagram) -> (f64, f64) {
    const PACKETS: u64 = 20_000;
    let (before, first) = (engine.snapshot().workers.remove(0), received(engine));
    for _ in 0..PACKETS {
        peer.send(&[7; 60]).unwrap();
    }
    wait_for(engine, first + PACKETS);
    let after = engine.snapshot().workers.remove(0);
    let each = |before: u64, after: u64| (after - before) as f64 / PACKETS as f64;
    (each(before.turns, after.turns), each(before.cpu_ns, after.cpu_ns))
}

#[test]
fn idle_ports_cost_no_cpu_time() {
    let (engine, peers) = engine_with_ports(200);
    // Every port works, and then none of them has anything.
    for peer in &peers {
        peer.send(&[7; 60]).unwrap();
    }
    wait_for(&engine, 200);
    std::thread::sleep(Duration::from_millis(50));
    let before = engine.snapshot().workers.remove(0);
    std::thread::sleep(Duration::from_secs(1));
    let after = engine.snapshot().workers.remove(0);
    let spent = Duration::from_nanos(after.cpu_ns - before.cpu_ns);
    println!("200 idle ports: {spent:?} of CPU time in a second, {} turns", after.turns - before.turns);
    assert!(spent < Duration::from_millis(5), "{spent:?} for nothing");
    assert_eq!(after.turns, before.turns);
    assert_eq!(after.active_tasks, 0);
}

#[test]
fn a_busy_port_does_not_pay_for_a_thousand_idle_ones() {
    let (alone, alone_peers) = engine_with_ports(1);
    let (crowd, crowd_peers) = engine_with_ports(1000);
    let (turns_alone, ns_alone) = cost_per_packet(&alone, &alone_peers[0]);
    let (turns_crowd, ns_crowd) = cost_per_packet(&crowd, &crowd_peers[500]);
    println!(
        "one port alone: {turns_alone:.2} turns, {ns_alone:.0} ns per packet; \
         among 1,000: {turns_crowd:.2} turns, {ns_crowd:.0} ns per packet"
    );
    // A turn brings a packet or ends a busy time: two per packet at the most.
    assert!(turns_alone <= 2.1 && turns_crowd <= 2.1, "idle ports had turns");
}

#[test]
fn a_thousand_busy_ports_all_have_their_turn() {
    let (engine, peers) = engine_with_ports(1000);
    for round in 1..=3 {
        for peer in &peers {
            peer.send(&[7; 60]).unwrap();
        }
        wait_for(&engine, round * 1000);
    }
}

#[test]
fn a_queue_sleeps_and_wakes() {
    let engine = Engine::new();
    let worker = engine.add_worker(WorkerConfig::default()).unwrap();
    let pool = Pool::new(PoolConfig { buffers: 64, room: 128, ..PoolConfig::default() }).unwrap();
    let (socket, peer) = UnixDatagram::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    let port = PortIn::new(Box::new(Socket { socket, pool }));
    engine
        .apply(
            Edit::new()
                .add("in", port, worker)
                .add("queue", Queue::new(16), worker)
                .add("sink", Sink::new(), worker)
                .connect("in", 0, "queue", 0)
                .connect("queue", 0, "sink", 0),
        )
        .unwrap();
    for count in 1..=20 {
        peer.send(&[7; 60]).unwrap();
        wait_for(&engine, count);
    }
    assert_eq!(engine.snapshot().workers[0].active_tasks, 0);
}
