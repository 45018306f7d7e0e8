//! One state machine in two worlds: a file over a link of 50 Mbit/s and 80 ms, of packets and in virtual time.
//!
//! The link of packets is a thread between two sockets: it reads a datagram's level from its number, which is not sealed.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rc3::connection::Config;
use rc3::live::{Serve, ServeConfig, get};
use rc3::{Key, wire};
use sim::{LinkSpec, Rate, Time};

use super::kit::World;
use super::stage::{Running, pattern};

const RATE_MBIT: u64 = 50;
const DELAY_MS: u64 = 40;
/// A bandwidth-delay product.
const BUFFER: usize = 500_000;
/// Headers of IPv4 and UDP.
const HEADERS: usize = 28;

/// One way.
struct Lane {
    queues: [VecDeque<Vec<u8>>; 8],
    held: usize,
    free: Instant,
    under_way: VecDeque<(Instant, Vec<u8>)>,
}

impl Lane {
    fn new() -> Self {
        Self { queues: Default::default(), held: 0, free: Instant::now(), under_way: VecDeque::new() }
    }

    fn arrive(&mut self, now: Instant, datagram: Vec<u8>) {
        let level = match wire::Datagram::parse(&datagram) {
            Ok(wire::Datagram::Data { number, .. }) => usize::from(wire::level(number)),
            _ => 0,
        };
        if self.held == 0 {
            self.free = self.free.max(now);
        }
        self.held += datagram.len() + HEADERS;
        self.queues[level].push_back(datagram);
        while self.held > BUFFER {
            let lowest = self.queues.iter_mut().rev().find(|queue| !queue.is_empty()).unwrap();
            self.held -= lowest.pop_back().unwrap().len() + HEADERS;
        }
    }

    /// What leaves by now, and what has got there.
    fn step(&mut self, now: Instant, mut deliver: impl FnMut(&[u8])) {
        while self.free <= now
            && let Some(next) = self.queues.iter_mut().find_map(VecDeque::pop_front)
        {
            let bytes = next.len() + HEADERS;
            self.held -= bytes;
            self.free += Duration::from_nanos(bytes as u64 * 8_000 / RATE_MBIT);
            self.under_way.push_back((self.free + Duration::from_millis(DELAY_MS), next));
        }
        while let Some((_, datagram)) = self.under_way.pop_front_if(|first| first.0 <= now) {
            deliver(&datagram);
        }
    }
}

/// The link.
struct Wan {
    local: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wan {
    fn new(to: SocketAddr) -> Self {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        far.connect(to).unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let (local, stop) = (near.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let carry = move || {
            let (mut up, mut down, mut client, mut bytes) = (Lane::new(), Lane::new(), None, [0; 2_000]);
            while !stopped.load(Ordering::Relaxed) {
                let now = Instant::now();
                while let Ok((length, from)) = near.recv_from(&mut bytes) {
                    client = Some(from);
                    up.arrive(now, bytes[..length].to_vec());
                }
                while let Ok(length) = far.recv(&mut bytes) {
                    down.arrive(now, bytes[..length].to_vec());
                }
                up.step(now, |datagram| drop(far.send(datagram)));
                down.step(now, |datagram| drop(client.map(|client| near.send_to(datagram, client))));
                std::thread::sleep(Duration::from_micros(50));
            }
        };
        Self { local, stop, thread: Some(std::thread::spawn(carry)) }
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// Seconds for a file over the link, in virtual time.
fn simulated(bytes: u64, config: Config) -> f64 {
    let delay = Time::from_millis(DELAY_MS);
    let link = LinkSpec::new(Rate::from_mbit(RATE_MBIT), delay).buffer(BUFFER as u64);
    let mut world = World::new(1, config, Key::OPEN);
    let stream = world.open(0, bytes, 0).unwrap();
    world.run(link, link, 1, Time::from_secs(60));
    world.ends[&stream][0].ended.expect("an end").secs_f64()
}

/// The same of packets; the fastest of three, since others use this machine, too.
fn live(bytes: u64, config: Config) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), pattern(bytes as usize)).unwrap();
    let served = ServeConfig {
        directory: directory.path().to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        key: Key::OPEN,
        connection: config,
    };
    let mut serve = Serve::bind(&served).unwrap();
    let serve = Running::new(serve.local().unwrap(), serve.stopper(), move || serve.run().unwrap());
    let wan = Wan::new(serve.local);
    let url = format!("rc3://{}/file", wan.local).parse().unwrap();
    let into = directory.path().join("into");
    let times = (0..3).map(|_| {
        let got = get(&url, &into, Key::OPEN, config, |_| {}, |_, _| {}).unwrap();
        assert!(std::fs::read(&into).unwrap() == pattern(bytes as usize));
        got.took.as_secs_f64()
    });
    times.fold(f64::MAX, f64::min)
}

#[test]
fn packets_take_as_long_as_virtual_time_says() {
    let with = Config::default();
    let mut without = with;
    without.sender.low = None;
    for (bytes, less) in [(50_000, 1.01), (300_000, 0.8)] {
        let expected = [with, without].map(|config| simulated(bytes, config));
        let found = [with, without].map(|config| live(bytes, config));
        println!("{bytes} bytes: with RC3 {:.3} s simulated, {:.3} s live", expected[0], found[0]);
        println!("{bytes} bytes: TCP alone {:.3} s simulated, {:.3} s live", expected[1], found[1]);
        for (expected, found) in expected.iter().zip(found) {
            // Never faster than the link; slower by what a machine with other work to do adds.
            assert!(
                found > 0.98 * expected && found < 1.4 * expected + 0.1,
                "{bytes} bytes: {found} s, {expected} s"
            );
        }
        assert!(expected[0] < less * expected[1], "{bytes} bytes: {expected:?}");
    }
}
