//! A client and a server of streams in virtual time, and applications that know each byte.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rc3::connection::{Code, Config, Connection, Event, Input, Reason, Received};
use rc3::{Endpoint, Key};
use sim::{Hosts, LinkSpec, Network, NodeId, Packet, Random, Time};

pub const CLIENT: NodeId = NodeId(0);
pub const SERVER: NodeId = NodeId(1);
/// Headers of IPv4 and UDP.
const HEADERS: u32 = 28;

/// One end of a stream: what it writes and what it has read.
#[derive(Debug, Default)]
pub struct End {
    pub writes: u64,
    pub written: u64,
    pub finished: bool,
    pub read: u64,
    /// When the other's end was read.
    pub ended: Option<Time>,
    pub reset: Option<(Code, String)>,
    /// Bytes that it takes each millisecond; 0 for all at once.
    pub slow: u64,
    /// When it last took some.
    took: Time,
    /// Whether the stream is there, at the server.
    asked: bool,
}

fn byte(stream: u32, from_server: bool, at: u64) -> u8 {
    (at * 31 + at / 251 + u64::from(stream) * 7 + u64::from(from_server)) as u8
}

impl End {
    fn pump(&mut self, now: Time, connection: &mut Connection, stream: u32, at_server: bool) {
        loop {
            let room = connection.room(stream).min(10_000).min((self.writes - self.written) as usize);
            if room == 0 {
                break;
            }
            let bytes: Vec<u8> =
                (0..room as u64).map(|at| byte(stream, at_server, self.written + at)).collect();
            assert_eq!(connection.write(stream, &bytes), room, "what there is room for is taken");
            self.written += room as u64;
        }
        if self.written == self.writes && !self.finished {
            self.finished = true;
            connection.finish(stream);
        }
        let mut left = match self.slow {
            0 => u64::MAX,
            _ if now < self.took + Time::from_millis(1) => 0,
            slow => slow,
        };
        self.took = if left > 0 { now } else { self.took };
        while left > 0 {
            match connection.received(stream) {
                Received::Nothing => break,
                Received::End => {
                    self.ended.get_or_insert(now);
                    break;
                }
                Received::Bytes(bytes) => {
                    let bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
                    for (at, found) in bytes.iter().enumerate() {
                        assert_eq!(
                            *found,
                            byte(stream, !at_server, self.read + at as u64),
                            "byte {at} of {stream}"
                        );
                    }
                    let len = bytes.len();
                    (self.read, left) = (self.read + len as u64, left - len as u64);
                    connection.take(stream, len);
                }
            }
        }
    }
}

/// What is done to datagrams on their way, each with this probability.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hostile {
    pub flip: f64,
    pub cut: f64,
    pub again: f64,
    pub noise: f64,
}

pub struct World {
    pub client: Connection,
    pub endpoint: Endpoint,
    /// Ends by stream, the client's and the server's.
    pub ends: BTreeMap<u32, [End; 2]>,
    pub id: Option<u64>,
    pub closed: Option<Reason>,
    pub hostile: Hostile,
    /// What of a target the server refuses.
    pub refuse: Option<&'static str>,
    pub sent: [u64; 8],
    random: Random,
    /// Datagrams under way, by the number that their packets carry.
    store: BTreeMap<u64, Vec<u8>>,
    count: u64,
    timer: Time,
    now: Time,
}

pub fn address() -> SocketAddr {
    "192.0.2.1:4000".parse().unwrap()
}

impl World {
    pub fn new(seed: u64, config: Config, key: Key) -> Self {
        Self::with_keys(seed, config, key, key)
    }

    pub fn with_keys(seed: u64, config: Config, client: Key, server: Key) -> Self {
        let bytes = |tag: u8| std::array::from_fn(|at| (seed >> (at % 8 * 8)) as u8 ^ tag);
        Self {
            client: Connection::client(Time::ZERO, config, client, bytes(1)),
            endpoint: Endpoint::new(config, server, 16, bytes(2)),
            ends: BTreeMap::new(),
            id: None,
            closed: None,
            hostile: Hostile::default(),
            refuse: None,
            sent: [0; 8],
            random: Random::new(seed, 77),
            store: BTreeMap::new(),
            count: 0,
            timer: Time::MAX,
            now: Time::ZERO,
        }
    }

    /// Asks for a stream: so many bytes up, so many down.
    pub fn open(&mut self, up: u64, down: u64, slow: u64) -> Option<u32> {
        let stream = self.client.open(self.now, format!("{up} {down} {slow}").as_bytes())?;
        let end = |writes, slow| End { writes, slow, ..End::default() };
        self.ends.insert(stream, [end(up, slow), end(down, slow)]);
        Some(stream)
    }

    /// The time of the last event.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Goes on until then. What is under way then is lost.
    pub fn run(&mut self, link: LinkSpec, back: LinkSpec, seed: u64, until: Time) {
        let mut net = Network::new(seed);
        let (client, server) = (net.add_node().unwrap(), net.add_node().unwrap());
        for (from, to, spec) in [(client, server, link), (server, client, back)] {
            let link = net.add_link(from, to, spec).unwrap();
            net.set_route(from, to, link).unwrap();
        }
        self.timer = Time::MAX;
        net.timer_at(self.now, 0);
        net.run(self, until);
    }

    /// Are all streams read to their ends at both sides?
    pub fn all_ended(&self) -> bool {
        self.ends.values().flatten().all(|end| end.ended.is_some())
    }

    fn events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Reset { stream, code, text } => {
                    self.ends.get_mut(&stream).unwrap()[0].reset = Some((code, text));
                }
                Event::Closed(reason) => self.closed = Some(reason),
                Event::Asked { .. } => panic!("servers do not ask"),
                Event::Connected | Event::Opened { .. } | Event::Readable { .. } | Event::Writable { .. } => {
                }
            }
        }
        while let Some((id, event)) = self.endpoint.poll_event() {
            self.id = Some(id);
            let now = self.now;
            let connection = self.endpoint.connection(id).unwrap();
            match event {
                Event::Asked { stream, target } => {
                    self.ends.get_mut(&stream).expect("only what was asked for")[1].asked = true;
                    let target = String::from_utf8(target).unwrap();
                    match self.refuse.filter(|refuse| target.starts_with(refuse)) {
                        Some(_) => connection.reset(stream, Code::Missing, "no such thing"),
                        None => connection.accept(now, stream),
                    }
                }
                Event::Reset { stream, code, text } => {
                    self.ends.get_mut(&stream).unwrap()[1].reset = Some((code, text));
                }
                _ => {}
            }
        }
    }

    fn pump(&mut self) {
        for (stream, [client, server]) in &mut self.ends {
            client.pump(self.now, &mut self.client, *stream, false);
            if server.asked
                && let Some(connection) = self.id.and_then(|id| self.endpoint.connection(id))
            {
                server.pump(self.now, connection, *stream, true);
            }
        }
    }

    fn send(&mut self, net: &mut Network<u64>, at: NodeId, level: u8, bytes: Vec<u8>) {
        self.sent[usize::from(level)] += 1;
        let mut all = vec![bytes];
        let Hostile { flip, cut, again, noise } = self.hostile;
        if self.random.unit() < again {
            all.push(all[0].clone());
        }
        if self.random.unit() < noise {
            let length = self.random.below(1_300) as usize;
            all.push((0..length).map(|_| self.random.below(256) as u8).collect());
        }
        for bytes in &mut all {
            if self.random.unit() < flip && !bytes.is_empty() {
                let at = self.random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << self.random.below(8);
            }
            if self.random.unit() < cut {
                bytes.truncate(self.random.below(bytes.len() as u64 + 1) as usize);
            }
        }
        for bytes in all {
            let (to, length) = (NodeId(1 - at.0), bytes.len() as u32 + HEADERS);
            self.count += 1;
            self.store.insert(self.count, bytes);
            net.send(at, Packet { level, ..Packet::new(to, length, 0, self.count) });
        }
    }

    fn service(&mut self, net: &mut Network<u64>) {
        self.now = net.now();
        self.events();
        self.pump();
        let mut out = Vec::new();
        while let Some(level) = self.client.poll_output(self.now, &mut out) {
            self.send(net, CLIENT, level, out.clone());
        }
        while let Some((to, level)) = self.endpoint.poll_output(self.now, &mut out) {
            assert_eq!(to, address());
            self.send(net, SERVER, level, out.clone());
        }
        self.events();
        let slow = self.ends.values().flatten().any(|end| end.slow > 0 && end.ended.is_none());
        let tick = slow.then(|| self.now + Time::from_millis(1));
        let next =
            [self.client.next_deadline(), self.endpoint.next_deadline(), tick].into_iter().flatten().min();
        if let Some(next) = next.map(|next| next.max(self.now + Time::from_picos(1)))
            && (next < self.timer || self.timer <= self.now)
        {
            self.timer = next;
            net.timer_at(next, 0);
        }
    }
}

impl Hosts<u64> for World {
    fn packet(&mut self, net: &mut Network<u64>, at: NodeId, packet: Packet<u64>) {
        let bytes = self.store.remove(&packet.body).unwrap();
        match at {
            CLIENT => self.client.handle(net.now(), Input::Datagram(&bytes)),
            _ => self.endpoint.handle(net.now(), address(), &bytes),
        }
        self.service(net);
    }

    fn timer(&mut self, net: &mut Network<u64>, _token: u64) {
        self.client.handle(net.now(), Input::Timer);
        self.endpoint.timer(net.now());
        self.service(net);
    }
}
