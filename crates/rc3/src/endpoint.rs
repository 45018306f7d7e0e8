//! The server's side: many connections on one address, and what it takes for nobody to exhaust it. Without I/O or clock.
//!
//! Nothing is kept for who has not the key. Who has it, or has heard somebody who has, costs a half-open connection for a few
//! seconds; when there are many of these a HELLO must carry a cookie, which only comes to where the HELLO says it is from.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use sim::Time;

use crate::connection::{Config, Connection, Event, Input};
use crate::secure::{Entropy, Key, Responder, code, same};
use crate::wire::{COOKIE_BYTES, Datagram, TOKEN_BYTES};

/// Connections whose clients have not shown that they hear us, without cookies.
pub const HALF_OPEN_FREE: usize = 64;
/// And with cookies.
pub const HALF_OPEN_MAX: usize = 1_024;
/// How long one is half open at most.
const HALF_OPEN: Time = Time::from_secs(5);
/// How long a cookie counts, in seconds.
const COOKIE_SECONDS: u64 = 20;
/// GONEs a second.
const GONE_PER_SECOND: u32 = 64;
/// Answers that wait; more are not given.
const ANSWERS_MAX: usize = 1_024;

/// What an endpoint counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Datagrams that are none of this protocol.
    pub malformed: u64,
    /// HELLOs of who has not the key.
    pub strangers: u64,
    /// Datagrams of connections that there are not.
    pub unknown: u64,
    /// HELLOs that were answered with a cookie.
    pub retries: u64,
    /// HELLOs that there was no room for.
    pub refused: u64,
    /// Connections that were opened.
    pub connections: u64,
}

/// A place for a connection.
#[derive(Debug)]
struct Place {
    connection: Connection,
    peer: SocketAddr,
    client: u64,
    /// What is said again while the client has not shown that it has heard; when, and how often.
    welcome: Option<(Vec<u8>, Time, u32)>,
    timer: Option<Time>,
    ready: bool,
}

/// An endpoint.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    connections_max: usize,
    key: Key,
    entropy: Entropy,
    cookies: [u8; 32],
    tokens: [u8; 32],
    places: BTreeMap<u64, Place>,
    by_client: HashMap<(SocketAddr, u64), u64>,
    half_open: usize,
    ready: VecDeque<u64>,
    timers: BTreeSet<(Time, u64)>,
    answers: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<(u64, Event)>,
    gone: (Time, u32),
    stats: EndpointStats,
}

impl Endpoint {
    /// For who has the key, so many connections at once. `seed` is random and used for nothing else.
    pub fn new(config: Config, key: Key, connections_max: usize, seed: [u8; 32]) -> Self {
        let mut entropy = Entropy::new(seed);
        // From the key, so that a server that was started again can say so; but not from one that everybody has.
        let tokens = if key == Key::OPEN { entropy.draw() } else { code(key.bytes(), b"weft rc3 gone") };
        Self {
            config,
            connections_max,
            key,
            cookies: entropy.draw(),
            tokens,
            entropy,
            places: BTreeMap::new(),
            by_client: HashMap::new(),
            half_open: 0,
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            answers: VecDeque::new(),
            events: VecDeque::new(),
            gone: (Time::ZERO, 0),
            stats: EndpointStats::default(),
        }
    }

    /// What it counted.
    pub fn stats(&self) -> EndpointStats {
        self.stats
    }

    /// Connections it has.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Has it none?
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A connection. Something may have been done with it when the endpoint is next polled.
    pub fn connection(&mut self, id: u64) -> Option<&mut Connection> {
        self.touch(id);
        self.places.get_mut(&id).map(|place| &mut place.connection)
    }

    /// Closes all.
    pub fn close(&mut self, code: crate::connection::Code, text: &str) {
        let all: Vec<u64> = self.places.keys().copied().collect();
        all.into_iter()
            .filter_map(|id| self.connection(id).map(|connection| connection.close(code, text)))
            .for_each(drop);
    }

    /// What has happened, and to which connection.
    pub fn poll_event(&mut self) -> Option<(u64, Event)> {
        self.events.pop_front()
    }

    /// Takes a datagram.
    pub fn handle(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        match Datagram::parse(bytes) {
            Ok(Datagram::Hello { client, cookie, noise }) => self.hello(now, from, client, cookie, noise),
            Ok(datagram @ Datagram::Data { id, .. }) => self.data(now, from, id, &datagram),
            Ok(Datagram::Retry { .. } | Datagram::Welcome { .. } | Datagram::Gone { .. }) => {
                self.stats.unknown += 1;
            }
            Err(_) => self.stats.malformed += 1,
        }
    }

    fn data(&mut self, now: Time, from: SocketAddr, id: u64, datagram: &Datagram<'_>) {
        let Some(place) = self.places.get_mut(&id) else { return self.say_gone(now, from, id) };
        if place.peer != from {
            self.stats.unknown += 1;
            return;
        }
        let before = place.connection.stats().received;
        place.connection.datagram(now, datagram);
        if place.connection.stats().received != before
            && let Some((_, at, times)) = place.welcome.take()
        {
            self.half_open -= 1;
            if times == 1 {
                place.connection.measured(now - at);
            }
        }
        self.gather(id);
        self.touch(id);
    }

    fn hello(
        &mut self,
        now: Time,
        from: SocketAddr,
        client: u64,
        cookie: Option<&[u8; COOKIE_BYTES]>,
        noise: &[u8],
    ) {
        if let Some(place) = self.by_client.get(&(from, client)).and_then(|id| self.places.get_mut(id)) {
            if let Some((welcome, _, times)) = &mut place.welcome {
                *times += 1;
                let welcome = welcome.clone();
                self.answer(from, welcome);
            }
            return;
        }
        let ephemeral = self.entropy.draw();
        let Some(responder) = Responder::new(&self.key, ephemeral, noise) else {
            self.stats.strangers += 1;
            return;
        };
        let Some(datagram) = responder.payload.first_chunk().copied().map(u16::from_be_bytes) else {
            self.stats.malformed += 1;
            return;
        };
        let proved = cookie.is_some_and(|cookie| self.is_cookie(now, from, client, cookie));
        if self.half_open >= HALF_OPEN_FREE && !proved {
            self.stats.retries += 1;
            let cookie = self.cookie(now.nanos() / 1_000_000_000, from, client);
            let mut retry = Vec::new();
            Datagram::Retry { client, cookie: &cookie }.emit(&mut retry);
            return self.answer(from, retry);
        }
        if self.half_open >= HALF_OPEN_MAX || self.places.len() >= self.connections_max {
            self.stats.refused += 1;
            return;
        }
        self.admit(now, (from, client), responder, usize::from(datagram));
    }

    fn admit(&mut self, now: Time, (peer, client): (SocketAddr, u64), responder: Responder, datagram: usize) {
        let id = self.entropy.draw_u64();
        if self.places.contains_key(&id) {
            return; // once in 2⁶⁴; the client asks again
        }
        let mut payload = (self.config.datagram.min(usize::from(u16::MAX)) as u16).to_be_bytes().to_vec();
        payload.extend(id.to_be_bytes());
        payload.extend(self.token(id));
        let Some((noise, seal)) = responder.finish(&payload) else { return };
        let mut welcome = Vec::new();
        Datagram::Welcome { client, noise: &noise }.emit(&mut welcome);
        let connection = Connection::accepted(now, self.config, seal, (id, client), datagram);
        let welcome_again = Some((welcome.clone(), now, 1));
        let place = Place { connection, peer, client, welcome: welcome_again, timer: None, ready: false };
        self.places.insert(id, place);
        self.by_client.insert((peer, client), id);
        self.half_open += 1;
        self.stats.connections += 1;
        self.answer(peer, welcome);
        self.touch(id);
    }

    fn answer(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push_back((to, bytes));
        }
    }

    fn say_gone(&mut self, now: Time, from: SocketAddr, id: u64) {
        self.stats.unknown += 1;
        if now >= self.gone.0 + Time::from_secs(1) {
            self.gone = (now, 0);
        }
        if self.gone.1 < GONE_PER_SECOND {
            self.gone.1 += 1;
            let mut gone = Vec::new();
            Datagram::Gone { token: &self.token(id) }.emit(&mut gone);
            self.answer(from, gone);
        }
    }

    fn token(&self, id: u64) -> [u8; TOKEN_BYTES] {
        let mut token = [0; TOKEN_BYTES];
        token.copy_from_slice(&code(&self.tokens, &id.to_be_bytes())[..TOKEN_BYTES]);
        token
    }

    fn cookie(&self, second: u64, from: SocketAddr, client: u64) -> [u8; COOKIE_BYTES] {
        let mut message = second.to_be_bytes().to_vec();
        message.extend(client.to_be_bytes());
        message.extend(from.port().to_be_bytes());
        match from.ip() {
            IpAddr::V4(ip) => message.extend(ip.octets()),
            IpAddr::V6(ip) => message.extend(ip.octets()),
        }
        let mut cookie = [0; COOKIE_BYTES];
        cookie[..8].copy_from_slice(&second.to_be_bytes());
        cookie[8..].copy_from_slice(&code(&self.cookies, &message)[..COOKIE_BYTES - 8]);
        cookie
    }

    fn is_cookie(&self, now: Time, from: SocketAddr, client: u64, cookie: &[u8; COOKIE_BYTES]) -> bool {
        let second = cookie[..8].iter().fold(0, |second, byte| second << 8 | u64::from(*byte));
        let now = now.nanos() / 1_000_000_000;
        second <= now && now - second <= COOKIE_SECONDS && same(&self.cookie(second, from, client), cookie)
    }

    fn touch(&mut self, id: u64) {
        if let Some(place) = self.places.get_mut(&id).filter(|place| !place.ready) {
            place.ready = true;
            self.ready.push_back(id);
        }
    }

    fn gather(&mut self, id: u64) {
        if let Some(place) = self.places.get_mut(&id) {
            self.events.extend(std::iter::from_fn(|| place.connection.poll_event()).map(|event| (id, event)));
        }
    }

    /// Time has passed.
    pub fn timer(&mut self, now: Time) {
        while let Some((at, id)) = self.timers.first().copied().filter(|first| first.0 <= now) {
            self.timers.remove(&(at, id));
            let Some(place) = self.places.get_mut(&id) else { continue };
            place.timer = None;
            if place.welcome.as_ref().is_some_and(|welcome| welcome.1 + HALF_OPEN <= now) {
                self.remove(id);
                continue;
            }
            place.connection.handle(now, Input::Timer);
            self.gather(id);
            self.touch(id);
        }
    }

    /// When it wants [`Endpoint::timer`]; only right once [`Endpoint::poll_output`] has nothing more.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.first().map(|first| first.0)
    }

    /// Writes the next datagram to send, and tells where to and its level.
    pub fn poll_output(&mut self, now: Time, out: &mut Vec<u8>) -> Option<(SocketAddr, u8)> {
        if let Some((to, bytes)) = self.answers.pop_front() {
            *out = bytes;
            return Some((to, 0));
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(place) = self.places.get_mut(&id) else { continue };
            if let Some(level) = place.connection.poll_output(now, out) {
                self.ready.push_back(id);
                return Some((place.peer, level));
            }
            place.ready = false;
            self.gather(id);
            self.rest(id);
        }
        None
    }

    fn rest(&mut self, id: u64) {
        let Some(place) = self.places.get_mut(&id) else { return };
        if place.connection.is_closed() {
            return self.remove(id);
        }
        let half = place.welcome.as_ref().map(|welcome| welcome.1 + HALF_OPEN);
        let deadline = crate::config::earliest(half, place.connection.next_deadline());
        if place.timer != deadline {
            if let Some(timer) = std::mem::replace(&mut place.timer, deadline) {
                self.timers.remove(&(timer, id));
            }
            self.timers.extend(deadline.map(|deadline| (deadline, id)));
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(place) = self.places.remove(&id) else { return };
        self.by_client.remove(&(place.peer, place.client));
        self.half_open -= usize::from(place.welcome.is_some());
        if let Some(timer) = place.timer {
            self.timers.remove(&(timer, id));
        }
    }
}
