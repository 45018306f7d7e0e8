//! Peers that lie, stall, die and take things away, against a real port.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use packet::{Batch, Pool, PoolConfig};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, connect, recvmsg, sendmsg,
};

use super::layout::Layout;
use super::memory::Memory;
use super::session::HANDSHAKE_MAX;
use super::wire::{
    AddRegion, AddRing, Direction, Hello, Init, MESSAGE, MODE_ETHERNET, Message, Text, VERSION,
};
use super::{MemifConfig, MemifPort, Role};
use crate::{LinkState, Port, RxQueue, TxQueue, seqpacket};

const LAYOUT: Layout = Layout { to_server: 1, to_client: 1, log2_entries: 4, buffer: 2048 };
const PATIENCE: Duration = Duration::from_secs(10);

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 512, ..PoolConfig::default() }).unwrap()
}

fn name(test: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("@weft-hostile-{}-{test}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A port, its queues and its socket.
struct Victim {
    port: MemifPort,
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
    pool: Pool,
    path: String,
}

impl Victim {
    fn new(test: &str, role: Role) -> Self {
        let (path, pool) = (name(test), pool());
        let config = MemifConfig { role, ring: 16, ..MemifConfig::default() };
        let mut port = MemifPort::open(&path, &config, &pool).unwrap();
        let (rx, tx) = port.queue(0).unwrap();
        Self { port, rx, tx, pool, path }
    }

    /// Lets its queues work until something is so.
    fn until(&mut self, what: &str, so: impl Fn(&MemifPort) -> bool) {
        let start = Instant::now();
        while !so(&self.port) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}, {}", self.port.status(), self.port.counters());
            let _ = self.rx.receive(&mut Batch::new()).unwrap();
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn until_up(&mut self, connections: u64) {
        self.until("it comes up", |port| {
            port.link() == LinkState::Up && port.status().connections == connections
        });
    }

    fn until_ended(&mut self, why: &str) {
        self.until(why, |port| {
            port.link() == LinkState::Down && port.status().ended.is_some_and(|ended| ended.contains(why))
        });
    }

    fn send(&mut self, frames: usize) -> usize {
        let mut batch = Batch::new();
        for _ in 0..frames {
            batch.push(self.pool.packet(&[7; 60]).unwrap()).unwrap();
        }
        self.tx.send(&mut batch).unwrap()
    }
}

fn tell(socket: &OwnedFd, message: &Message, descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    // It may have been dismissed already.
    let _ = sendmsg(socket, &[IoSlice::new(&message.encode())], &mut control, SendFlags::NOSIGNAL);
}

/// The next message and its descriptor; `None` when the other side has closed the socket.
fn hear(socket: &OwnedFd) -> Option<(Message, Option<OwnedFd>)> {
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&limit)).unwrap();
    let (mut bytes, mut space) = ([0; MESSAGE], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    // Whoever is dismissed with messages unread is told of those first.
    let heard = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)
        .or_else(|_| recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags));
    let len = heard.map_or(0, |heard| heard.bytes);
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptor = descriptors.into_iter().next();
        }
    }
    (len > 0).then(|| (Message::decode(&bytes[..len]).unwrap(), descriptor))
}

/// Why the port has dismissed this peer.
fn goodbye(socket: &OwnedFd) -> String {
    loop {
        match hear(socket) {
            Some((Message::Disconnect { reason, .. }, _)) => return reason.to_string(),
            Some(_) => {}
            None => return "no word".into(),
        }
    }
}

fn connection(path: &str) -> OwnedFd {
    let socket = seqpacket::socket().unwrap();
    connect(&socket, &seqpacket::address(path).unwrap()).unwrap();
    socket
}

fn init() -> Message {
    let (secret, name) = (Text::new(""), Text::new("hostile"));
    Message::Init(Init { version: VERSION, id: 0, mode: MODE_ETHERNET, secret, name })
}

fn add_ring(direction: Direction) -> Message {
    let offset = LAYOUT.ring(direction, 0) as u32;
    let log2_entries = LAYOUT.log2_entries;
    Message::AddRing(AddRing { direction, index: 0, region: 0, offset, log2_entries, private_header: 0 })
}

/// A client that has connected, and may do anything to the memory that it has lent.
struct Client {
    socket: OwnedFd,
    memory: Memory,
    region: OwnedFd,
    bells: [OwnedFd; 2],
}

impl Client {
    fn connect(victim: &mut Victim) -> Self {
        let before = victim.port.status().connections;
        let (memory, region) = Memory::make(LAYOUT).unwrap();
        let bell = || eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let client = Self { socket: connection(&victim.path), memory, region, bells: [bell(), bell()] };
        client.offer(&client.region, LAYOUT.bytes() as u64);
        victim.until_up(before + 1);
        client
    }

    fn offer(&self, region: &OwnedFd, bytes: u64) {
        tell(&self.socket, &init(), &[]);
        tell(&self.socket, &Message::AddRegion(AddRegion { index: 0, bytes }), &[region.as_fd()]);
        tell(&self.socket, &add_ring(Direction::ToServer), &[self.bells[0].as_fd()]);
        tell(&self.socket, &add_ring(Direction::ToClient), &[self.bells[1].as_fd()]);
        tell(&self.socket, &Message::Connect(Text::new("hostile")), &[]);
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        self.memory.place(0, at as u32, bytes.len() as u32).unwrap().write(bytes);
    }

    /// Writes a descriptor of a ring.
    fn descriptor(&self, direction: Direction, entry: usize, flags: u16, region: u16, len: u32, offset: u32) {
        let mut bytes = [flags.to_ne_bytes(), region.to_ne_bytes()].concat();
        bytes.extend([len.to_ne_bytes(), offset.to_ne_bytes(), [0; 4]].concat());
        self.write(LAYOUT.ring(direction, 0) + 128 + entry * 16, &bytes);
    }

    /// Moves its position in a ring.
    fn head(&self, direction: Direction, head: u16) {
        self.write(LAYOUT.ring(direction, 0) + 6, &head.to_ne_bytes());
    }
}

#[test]
fn descriptors_that_lead_elsewhere_cost_a_packet_and_the_connection() {
    let mut victim = Victim::new("descriptors", Role::Server);
    let bytes = LAYOUT.bytes() as u32;
    let bad = [(1, 60, 0), (u16::MAX, 60, 0), (0, 60, bytes - 59), (0, u32::MAX, 0), (0, 2, u32::MAX)];
    let mut dropped = 0;
    for (at, (region, len, offset)) in bad.into_iter().enumerate() {
        let client = Client::connect(&mut victim);
        let good = LAYOUT.buffers(Direction::ToServer, 0) as u32;
        client.descriptor(Direction::ToServer, 0, 0, 0, 60, good);
        client.descriptor(Direction::ToServer, 1, 0, region, len, offset);
        client.head(Direction::ToServer, 2);
        dropped += 1;
        victim.until_ended("out of its region");
        assert_eq!(goodbye(&client.socket), "a descriptor leads out of its region");
        let counters = victim.port.counters();
        assert_eq!((counters.rx_packets, counters.rx_dropped), (at as u64 + 1, dropped), "the good one came");
    }
    // The same in buffers to be filled.
    let client = Client::connect(&mut victim);
    client.descriptor(Direction::ToClient, 0, 0, 3, 2048, 0);
    client.head(Direction::ToClient, 1);
    victim.send(1);
    victim.until_ended("out of its region");
    assert_eq!(goodbye(&client.socket), "a descriptor leads out of its region");
}

#[test]
fn positions_that_cannot_be_end_it() {
    let mut victim = Victim::new("positions", Role::Server);
    for direction in [Direction::ToServer, Direction::ToClient] {
        for head in [17, 0x8000, u16::MAX] {
            let client = Client::connect(&mut victim);
            client.head(direction, head);
            if direction == Direction::ToClient {
                victim.send(1);
            }
            victim.until_ended("position is out of bounds");
            assert_eq!(goodbye(&client.socket), "a ring's position is out of bounds");
        }
    }
}

#[test]
fn frames_that_are_odd_are_dropped_and_no_more() {
    let mut victim = Victim::new("odd", Role::Server);
    let client = Client::connect(&mut victim);
    let first = LAYOUT.buffers(Direction::ToServer, 0) as u32;
    let ring = Direction::ToServer;
    client.descriptor(ring, 0, 0, 0, 0, first); // nothing
    client.descriptor(ring, 1, 0, 0, 20_000, first); // more than a buffer of the pool
    client.descriptor(ring, 2, 1, 0, 1000, first); // with the next a whole one
    client.descriptor(ring, 3, 0, 0, 500, first);
    client.descriptor(ring, 4, 1, 0, 1500, first); // with the next too long
    client.descriptor(ring, 5, 0, 0, 1500, first);
    client.descriptor(ring, 6, 0xfffe, 0, 60, first); // flags that mean nothing
    client.descriptor(ring, 7, 1, 0, 60, first); // goes on in nothing
    client.head(ring, 8);
    let mut lengths = Vec::new();
    let start = Instant::now();
    while victim.port.counters().rx_dropped < 4 {
        assert!(start.elapsed() < PATIENCE, "{}", victim.port.counters());
        let mut batch = Batch::new();
        victim.rx.receive(&mut batch).unwrap();
        lengths.extend(batch.iter().map(packet::Packet::len));
    }
    assert_eq!(lengths, [1500, 60]);
    assert_eq!((victim.port.counters().rx_dropped, victim.port.link()), (4, LinkState::Up));
    assert_eq!(victim.pool.available(), 512);
}

#[test]
fn memory_cannot_be_taken_away() {
    let mut victim = Victim::new("memory", Role::Server);
    let client = Client::connect(&mut victim);
    // Neither by truncating it: it was sealed. Nor by punching a hole, which leaves zeros.
    assert!(rustix::fs::ftruncate(&client.region, 0).is_err());
    let hole = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    client.head(Direction::ToServer, 16);
    rustix::fs::fallocate(&client.region, hole, 0, LAYOUT.bytes() as u64).unwrap();
    victim.send(4);
    for _ in 0..100 {
        victim.rx.receive(&mut Batch::new()).unwrap();
    }
    drop(client);
    victim.until("it is gone", |port| port.link() == LinkState::Down);

    let unsealable = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&unsealable, LAYOUT.bytes() as u64).unwrap();
    let short = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::fcntl_add_seals(&short, SealFlags::SHRINK).unwrap();
    let (pipe, _other) = rustix::pipe::pipe().unwrap();
    for (region, why) in [(unsealable, "F_SEAL_SHRINK"), (short, "shorter"), (pipe, "no sealed memory")] {
        let (memory, own) = Memory::make(LAYOUT).unwrap();
        let bells = [(); 2].map(|()| eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let client = Client { socket: connection(&victim.path), memory, region: own, bells };
        client.offer(&region, LAYOUT.bytes() as u64);
        let said = goodbye(&client.socket);
        assert!(said.contains(why), "{said}");
    }
    Client::connect(&mut victim);
}

#[test]
fn a_bell_that_is_none_is_refused_and_one_that_blocks_blocks_nobody() {
    let mut victim = Victim::new("bells", Role::Server);
    let (memory, region) = Memory::make(LAYOUT).unwrap();
    let (pipe, _other) = rustix::pipe::pipe().unwrap();
    let bells = [eventfd(0, EventfdFlags::CLOEXEC).unwrap(), pipe];
    let client = Client { socket: connection(&victim.path), memory, region, bells };
    client.offer(&client.region, LAYOUT.bytes() as u64);
    assert!(goodbye(&client.socket).contains("no eventfd"));

    // Blocking, and as full as they get; the port is asked to ring one of them and to sleep on the other.
    let client = Client::connect(&mut victim);
    for bell in &client.bells {
        let mut count = [0; 8];
        rustix::io::read(bell, &mut count).unwrap();
        rustix::io::write(bell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    }
    client.descriptor(Direction::ToClient, 0, 0, 0, 2048, LAYOUT.buffers(Direction::ToClient, 0) as u32);
    client.descriptor(Direction::ToClient, 1, 0, 0, 2048, LAYOUT.buffers(Direction::ToClient, 1) as u32);
    client.head(Direction::ToClient, 2);
    assert_eq!((victim.send(1), victim.send(1)), (1, 1));
    for _ in 0..200 {
        victim.rx.receive(&mut Batch::new()).unwrap();
    }
    assert_eq!((victim.port.counters().tx_packets, victim.port.link()), (2, LinkState::Up));
}

#[test]
fn a_ring_that_is_never_emptied_is_full() {
    let mut victim = Victim::new("stalled", Role::Server);
    let client = Client::connect(&mut victim);
    for entry in 0..16 {
        let offset = (LAYOUT.buffers(Direction::ToClient, 0) + entry * LAYOUT.stride()) as u32;
        client.descriptor(Direction::ToClient, entry, 0, 0, 2048, offset);
    }
    client.head(Direction::ToClient, 16);
    assert_eq!((victim.send(12), victim.send(12), victim.send(1)), (12, 4, 0));
    assert_eq!(victim.port.counters().tx_dropped, 0, "what is not taken is the caller's");
}

#[test]
fn who_stalls_or_floods_is_dismissed_and_keeps_nobody_out() {
    let mut victim = Victim::new("stall", Role::Server);
    let silent: Vec<_> = (0..8).map(|_| connection(&victim.path)).collect();
    let flooding = connection(&victim.path);
    tell(&flooding, &init(), &[]);
    let any = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    for _ in 0..1000 {
        let region = Message::AddRegion(AddRegion { index: 0, bytes: 1 });
        tell(&flooding, &region, &[any.as_fd(); 4]);
    }
    assert!(goodbye(&flooding).contains("region"));
    let start = Instant::now();
    let client = Client::connect(&mut victim);
    assert!(start.elapsed() < HANDSHAKE_MAX / 2, "it need not wait for those");
    // One interface has one peer.
    let second = connection(&victim.path);
    tell(&second, &init(), &[]);
    assert!(goodbye(&second).contains("connected already"));
    for silent in &silent {
        assert!(goodbye(silent).starts_with("no agreement"));
    }
    assert!(start.elapsed() < 2 * HANDSHAKE_MAX);
    assert_eq!(victim.port.link(), LinkState::Up);
    // Once it is up, there is nothing more to be said.
    tell(&client.socket, &init(), &[]);
    victim.until_ended("unexpected INIT");
}

/// A server that has taken a client's memory and may do anything to it.
struct Server {
    socket: OwnedFd,
    memory: Memory,
    bells: Vec<OwnedFd>,
}

impl Server {
    fn accept(listener: &OwnedFd, victim: &mut Victim) -> Self {
        let before = victim.port.status().connections;
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&limit)).unwrap();
        let socket = rustix::net::accept(listener).unwrap();
        let hello = Hello {
            name: Text::new("hostile"),
            versions: (VERSION, VERSION),
            region_max: 0,
            to_client_max: 0,
            to_server_max: 0,
            log2_entries_max: 14,
        };
        tell(&socket, &Message::Hello(hello), &[]);
        let (mut memory, mut bells) = (None, Vec::new());
        loop {
            match hear(&socket).unwrap() {
                (Message::AddRegion(region), Some(fd)) => {
                    memory = Some(Memory::join(&[(region.bytes, fd)]).unwrap());
                }
                (Message::AddRing(_), Some(bell)) => bells.push(bell),
                (Message::Connect(_), _) => break,
                _ => {}
            }
            tell(&socket, &Message::Ack, &[]);
        }
        tell(&socket, &Message::Connected(Text::new("hostile")), &[]);
        victim.until_up(before + 1);
        Self { socket, memory: memory.unwrap(), bells }
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        self.memory.place(0, at as u32, bytes.len() as u32).unwrap().write(bytes);
    }

    fn tail(&self, direction: Direction, tail: u16) {
        self.write(LAYOUT.ring(direction, 0) + 64, &tail.to_ne_bytes());
    }
}

#[test]
fn a_client_that_has_connected_stays_until_it_is_greeted() {
    // DPDK 22.11 aborts when a client is gone by the time that it says hello.
    let path = name("hello");
    let listener = seqpacket::listener("test", &path, &seqpacket::address(&path).unwrap(), 1).unwrap();
    for _ in 0..200 {
        let port = MemifPort::open(&path, &MemifConfig::default(), &pool()).unwrap();
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&limit)), Ok(1));
        let socket = rustix::net::accept(&listener).unwrap();
        let soon = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        assert_eq!(poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&soon)), Ok(0), "it is gone");
        drop(port);
    }
}

#[test]
fn a_server_that_lies_is_left() {
    let mut victim = Victim::new("server", Role::Client);
    let address = seqpacket::address(&victim.path).unwrap();
    let listener = seqpacket::listener("test", &victim.path, &address, 1).unwrap();
    for (direction, tail) in
        [(Direction::ToServer, 17), (Direction::ToServer, u16::MAX), (Direction::ToClient, 17)]
    {
        let server = Server::accept(&listener, &mut victim);
        server.tail(direction, tail);
        // A full ring makes the client look.
        victim.send(16);
        victim.send(1);
        victim.until_ended("position is out of bounds");
        assert!(goodbye(&server.socket).contains("out of bounds"));
    }
    // A frame longer than its buffer; what the descriptor says of where it is does not matter.
    let server = Server::accept(&listener, &mut victim);
    let ring = LAYOUT.ring(Direction::ToClient, 0);
    let place = LAYOUT.buffers(Direction::ToClient, 0);
    server.write(place, &[9; 60]);
    server.write(ring + 128, &[[0, 0, 0xff, 0xff], 60u32.to_ne_bytes(), [0xff; 4], [0xff; 4]].concat());
    server.write(ring + 144, &[[0, 0, 0, 0], 2049u32.to_ne_bytes(), [0; 4], [0; 4]].concat());
    server.tail(Direction::ToClient, 2);
    let mut batch = Batch::new();
    let start = Instant::now();
    while batch.is_empty() {
        assert!(start.elapsed() < PATIENCE);
        victim.rx.receive(&mut batch).unwrap();
    }
    assert_eq!(batch[0].data(), [9; 60]);
    drop(batch);
    victim.until_ended("out of its region");
    assert_eq!((victim.port.counters().rx_packets, victim.port.counters().rx_dropped), (1, 1));
    assert_eq!(server.bells.len(), 2);
}
