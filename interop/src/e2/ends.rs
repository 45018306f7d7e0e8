//! Many flows from one end to the other and back, without a socket for each: frames that are made and read here.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, udp};
use packet::{BATCH, Batch, Pool, PoolConfig};
use ports::{PortSpec, RxQueue, TxQueue};

use crate::error::{During, Result};
use crate::namespace::Namespace;

/// Bytes of a frame.
pub(super) const FRAME: usize = 100;
const HEADERS: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN;
const BUFFERS: usize = 16_384;
/// Whom frames are from and to: nobody's address, so that the kernel at either end leaves them alone.
const LEFT: MacAddr = MacAddr([2, 0, 0, 0, 0x77, 1]);
const RIGHT: MacAddr = MacAddr([2, 0, 0, 0, 0x77, 2]);
const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 7);
/// What is made up for after a time without a core.
const BEHIND: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(1);

/// What is sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    /// Flows at once.
    pub(super) flows: usize,
    /// Of them, those that never end.
    pub(super) immortal: usize,
    /// Flows that begin, each for another, in a second.
    pub(super) new: u32,
    /// Frames a second, of one flow after the other.
    pub(super) frames: u32,
}

/// What has come of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) begun: u64,
    pub(super) sent: u64,
    pub(super) back: u64,
}

struct Flow {
    id: u32,
    sent: u32,
}

#[derive(Default)]
struct State {
    load: Load,
    immortal: VecDeque<Flow>,
    mortal: VecDeque<Flow>,
    /// Frames that came back, by flow that has not ended.
    answered: HashMap<u32, u32>,
    counts: Counts,
    stop: bool,
}

/// Both ends, as long as it is there.
pub(super) struct Ends {
    state: Arc<Mutex<State>>,
    threads: Vec<JoinHandle<()>>,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of a room, in its words.
fn words<T, E: Display>(result: std::result::Result<T, E>) -> io::Result<T> {
    result.map_err(|error| io::Error::other(error.to_string()))
}

/// A queue of a namespace's only interface.
struct Queue {
    pool: Pool,
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
    /// It counts nothing if it is dropped.
    _port: Box<dyn ports::Port>,
}

impl Queue {
    fn open(namespace: &Namespace) -> Result<Self> {
        let pool = words(Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() }));
        let pool = pool.during("make a pool")?;
        let spec: PortSpec = words("veth:eth0".parse()).during("name a port")?;
        let path = Path::new("/run/netns").join(namespace.name());
        let netns = words(host::netns::open(&path)).during("open a namespace")?;
        let opened = host::netns::within(netns, || words(ports::open(&spec, &pool)));
        let mut port = words(opened).during("enter a namespace")?.during("open a port")?;
        let queue = port.queue(0).ok_or_else(|| io::Error::other("it has no queue"));
        let (rx, tx) = queue.during("open a port")?;
        Ok(Self { pool, rx, tx, _port: port })
    }

    /// What has come.
    fn receive(&mut self, mut each: impl FnMut(&mut [u8]) -> bool) -> Batch {
        let mut batch = Batch::new();
        let _ = self.rx.receive(&mut batch);
        let mut kept = Batch::new();
        for mut packet in batch.drain(..) {
            if each(packet.data_mut()) {
                let _ = kept.push(packet);
            }
        }
        kept
    }

    /// Sends all, and says how many went: one that finds no room is not sent.
    fn send(&mut self, batch: &mut Batch) -> u64 {
        let wanted = batch.len() as u64;
        while !batch.is_empty() && self.tx.send(batch).is_ok_and(|sent| sent > 0) {}
        let left = batch.len() as u64;
        batch.clear();
        wanted - left
    }
}

/// The address and port of a flow: no two have the same.
fn source(id: u32) -> (Ipv4Addr, u16) {
    (Ipv4Addr::from(0x0a00_0000 | (id >> 8) & 0xff_ffff), 1024 + (id & 0xff) as u16)
}

fn frame(flow: u32) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    let (address, port) = source(flow);
    let link = ethernet::Repr { source: LEFT, destination: RIGHT, ethertype: EtherType::IPV4 };
    link.emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    let rest = &mut frame[ethernet::HEADER_LEN..];
    let network = ipv4::Repr::new(address, SERVER.0, IpProtocol::UDP, rest.len() - ipv4::HEADER_LEN);
    network.emit(&mut ipv4::View::new_unchecked(&mut *rest));
    let rest = &mut rest[ipv4::HEADER_LEN..];
    rest[udp::HEADER_LEN..][..4].copy_from_slice(&flow.to_be_bytes());
    let payload_len = rest.len() - udp::HEADER_LEN;
    let transport = udp::Repr { source_port: port, destination_port: SERVER.1, payload_len };
    let mut datagram = udp::View::new_unchecked(&mut *rest);
    transport.emit(&mut datagram);
    datagram.fill_checksum(IpAddr::V4(address), IpAddr::V4(SERVER.0));
    frame
}

/// Whether a frame is for one of the ends.
fn is_for(frame: &[u8], end: MacAddr) -> bool {
    frame.len() >= HEADERS + 4 && frame[..6] == end.0
}

/// Sends it back: no checksum changes by that.
fn turn(frame: &mut [u8]) {
    let (ip, ports) = (ethernet::HEADER_LEN + 12, ethernet::HEADER_LEN + ipv4::HEADER_LEN);
    for (one, other, length) in [(0, 6, 6), (ip, ip + 4, 4), (ports, ports + 2, 2)] {
        (0..length).for_each(|place| frame.swap(one + place, other + place));
    }
}

impl State {
    fn begin(&mut self) -> Flow {
        let id = u32::try_from(self.counts.begun).unwrap_or(u32::MAX);
        self.counts.begun += 1;
        self.answered.insert(id, 0);
        Flow { id, sent: 0 }
    }

    fn end(&mut self, flow: Option<Flow>) {
        if let Some(flow) = flow {
            self.answered.remove(&flow.id);
        }
    }

    /// As many flows as are wanted.
    fn fill(&mut self) {
        while self.immortal.len() > self.load.immortal {
            let flow = self.immortal.pop_front();
            self.end(flow);
        }
        while self.immortal.len() < self.load.immortal {
            let flow = self.begin();
            self.immortal.push_back(flow);
        }
        let mortal = self.load.flows.saturating_sub(self.load.immortal);
        while self.mortal.len() > mortal {
            let flow = self.mortal.pop_front();
            self.end(flow);
        }
        while self.mortal.len() < mortal {
            let flow = self.begin();
            self.mortal.push_back(flow);
        }
    }

    /// The oldest ends, another begins.
    fn renew(&mut self) {
        let old = self.mortal.pop_front();
        self.end(old);
        let new = self.begin();
        self.mortal.push_back(new);
    }

    /// The flow of the next frame: one after the other, as if all were in one ring.
    fn next(&mut self, turn: u64) -> Option<u32> {
        let all = self.immortal.len() + self.mortal.len();
        let place = (turn % (all.max(1) as u64)) as usize;
        let flow = match place.checked_sub(self.immortal.len()) {
            None => self.immortal.get_mut(place),
            Some(place) => self.mortal.get_mut(place),
        }?;
        flow.sent += 1;
        Some(flow.id)
    }
}

impl Ends {
    /// Opens both ends; nothing is sent yet.
    pub(super) fn open(left: &Namespace, right: &Namespace) -> Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let (mut left, mut right) = (Queue::open(left)?, Queue::open(right)?);
        let (sends, answers) = (Arc::clone(&state), Arc::clone(&state));
        let threads = vec![
            thread::spawn(move || send(&mut left, &sends)),
            thread::spawn(move || while answer(&mut right, &answers) {}),
        ];
        Ok(Self { state, threads })
    }

    /// From now on this.
    pub(super) fn load(&self, load: Load) {
        let mut state = locked(&self.state);
        state.load = load;
        state.fill();
    }

    /// Nothing, until what is on its way has come.
    pub(super) fn settle(&self, time: Duration) -> Counts {
        let load = locked(&self.state).load;
        locked(&self.state).load = Load { frames: 0, new: 0, ..load };
        thread::sleep(time);
        let mut state = locked(&self.state);
        state.load = load;
        state.counts
    }

    /// Flows of which something was sent and nothing came back.
    pub(super) fn silent(&self) -> usize {
        let state = locked(&self.state);
        let flows = state.immortal.iter().chain(&state.mortal).filter(|flow| flow.sent > 0);
        flows.filter(|flow| state.answered.get(&flow.id).is_none_or(|count| *count == 0)).count()
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        locked(&self.state).stop = true;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The left end, until it is over.
fn send(queue: &mut Queue, shared: &Mutex<State>) {
    let (mut frames, mut flows) = (Instant::now(), Instant::now());
    let mut turn = 0;
    loop {
        thread::sleep(PAUSE);
        loop {
            let mut came = 0;
            let mut state = locked(shared);
            queue.receive(|frame| {
                if is_for(frame, LEFT) {
                    came += 1;
                    let id =
                        frame[HEADERS..HEADERS + 4].try_into().map(u32::from_be_bytes).unwrap_or_default();
                    state.answered.entry(id).and_modify(|count| *count += 1);
                }
                false
            });
            state.counts.back += came;
            if came == 0 {
                break;
            }
        }
        let mut state = locked(shared);
        if state.stop {
            return;
        }
        let now = Instant::now();
        (frames, flows) = (frames.max(now - BEHIND), flows.max(now - BEHIND));
        while state.load.new > 0 && flows <= now {
            state.renew();
            flows += Duration::from_secs(1) / state.load.new;
        }
        let mut batch = Batch::new();
        while state.load.frames > 0 && frames <= now {
            frames += Duration::from_secs(1) / state.load.frames;
            turn += 1;
            let packet = state.next(turn).and_then(|flow| queue.pool.packet(&frame(flow)));
            let Some(packet) = packet else { continue };
            let _ = batch.push(packet);
            if batch.len() == BATCH {
                state.counts.sent += queue.send(&mut batch);
            }
        }
        state.counts.sent += queue.send(&mut batch);
    }
}

/// The right end, once; whether it is not over.
fn answer(queue: &mut Queue, shared: &Mutex<State>) -> bool {
    let mut batch = queue.receive(|frame| {
        let ours = is_for(frame, RIGHT);
        if ours {
            turn(frame);
        }
        ours
    });
    if batch.is_empty() {
        thread::sleep(PAUSE);
    }
    queue.send(&mut batch);
    !locked(shared).stop
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::flow::FlowKey;
    use packet::parse::Layers;

    fn key(frame: &[u8]) -> FlowKey {
        FlowKey::of(&Layers::of(frame).unwrap(), frame).unwrap()
    }

    #[test]
    fn every_flow_has_frames_of_its_own_and_they_come_back_whole() {
        let mut seen = std::collections::HashSet::new();
        for id in (0..3000).chain([1 << 20, 0xffff_ffff]) {
            let mut bytes = frame(id);
            assert!(is_for(&bytes, RIGHT) && seen.insert(key(&bytes)), "{id}");
            let sent = key(&bytes);
            turn(&mut bytes);
            assert_eq!(key(&bytes), sent.reversed());
            assert!(is_for(&bytes, LEFT));
            let network = ipv4::View::new_checked(&bytes[ethernet::HEADER_LEN..]).unwrap();
            let transport = udp::View::new_checked(network.payload()).unwrap();
            let ends = (network.source(), network.destination());
            assert!(network.verify_checksum());
            assert!(transport.verify_checksum(IpAddr::V4(ends.0), IpAddr::V4(ends.1)));
        }
    }
}
