//! A connection: streams between a client and a server, each with a sender and a receiver of its own in either direction, in sealed
//! datagrams. Without I/O or clock.
//!
//! [`Connection::handle`] takes datagrams and time, [`Connection::poll_output`] gives datagrams with their levels,
//! [`Connection::poll_event`] tells the application what has happened, and [`Connection::next_deadline`] says when to come back.
//!
//! Each stream is to the network what a TCP connection is: it has an initial window, and a window. What one has found of the
//! bottleneck's rate the next ones pace their low-priority loop by from the start.

mod buffers;
mod event;
mod greeting;
mod stream;
mod streams;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sim::{Rate, Time};

use crate::config::{Pacing, SenderConfig, earliest};
use crate::ranges::Ranges;
use crate::secure::{Key, Seal};
use crate::wire::{
    DATA_BYTES, DATAGRAM_BYTES, DATAGRAM_BYTES_MAX, Datagram, FRAME_DATA_BYTES, Frame, Frames, Replay,
    TOKEN_BYTES, level, number,
};
pub use event::{Code, ConnectionStats, Event, Reason, Received};
use greeting::Greeting;
use stream::Stream;

/// Streams a connection has at most, those among them that only ack what still comes.
pub const STREAMS_MAX: usize = 8_192;
/// How long a stream that is through acks what still comes.
pub(crate) const LINGER: Time = Time::from_secs(20);
/// How often a sender without room asks for it.
const ASK_EVERY: Time = Time::from_millis(500);
/// How often something is said that is not answered.
const TRIES_MAX: u32 = 8;
/// Bytes each stream may hold in either direction whatever the others do.
const MEMORY_FREE: usize = 64 << 10;
/// Control frames that wait; more are not made.
const CONTROL_MAX: usize = 256;
/// How long a path that reports that nobody is there is believed not to.
const PROBATION: Time = Time::from_secs(3);
/// How long what was found of the bottleneck's rate counts.
const REMEMBERED: Time = Time::from_secs(60);

/// What a connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The senders of its streams. Segment and buffer follow from what is below.
    pub sender: SenderConfig,
    /// Bytes of a datagram's UDP payload at most.
    pub datagram: usize,
    /// Bytes a stream holds in either direction at most.
    pub buffer: usize,
    /// Bytes all streams hold at most, beside 64 KiB each.
    pub memory: usize,
    /// Streams that are not through, at most.
    pub streams: usize,
    /// How long it lives without hearing anything.
    pub idle: Time,
    /// How long a client is silent at most.
    pub keepalive: Time,
    /// How long a client asks for a connection.
    pub patience: Time,
}

impl Default for Config {
    fn default() -> Self {
        let low = crate::LowConfig { slack: Time::from_millis(2), ..crate::LowConfig::default() };
        let sender = SenderConfig {
            initial_window: 10,
            algorithm: crate::Algorithm::Cubic,
            ..SenderConfig::default()
        };
        Self {
            sender: sender.with_low(low),
            datagram: DATAGRAM_BYTES,
            buffer: 4 << 20,
            memory: 256 << 20,
            streams: 1_024,
            idle: Time::from_secs(30),
            keepalive: Time::from_secs(10),
            patience: Time::from_secs(10),
        }
    }
}

/// What comes in.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A datagram, when it arrived.
    Datagram(&'a [u8]),
    /// The network says that nobody is there, which anybody could say.
    Unreachable,
    /// Time has passed.
    Timer,
}

#[derive(Debug)]
enum Phase {
    Greeting(Box<Greeting>),
    Open,
    /// Closed here; whether the other side has yet to be told, and of what.
    Closing(Code, String),
    Closed,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    phase: Phase,
    is_client: bool,
    own_id: u64,
    peer_id: u64,
    /// What the server says if it does not know the connection any more.
    token: Option<[u8; TOKEN_BYTES]>,
    seal: Option<Seal>,
    counts: [u64; 8],
    replays: [Replay; 8],
    streams: BTreeMap<u32, Stream>,
    /// Streams that may have something to send, each once.
    ready: VecDeque<u32>,
    timers: BTreeSet<(Time, u32)>,
    /// Streams that only ack, the oldest first.
    lingering: VecDeque<u32>,
    control: VecDeque<Vec<u8>>,
    next_stream: u32,
    /// Numbers of streams the client has used.
    seen: Ranges,
    memory: usize,
    events: VecDeque<Event>,
    heard: Time,
    pinged: Time,
    suspected: Option<Time>,
    rtt: Option<Time>,
    remembered: Option<(Rate, Time)>,
    opened: Vec<u8>,
    stats: ConnectionStats,
}

impl Connection {
    fn new(now: Time, config: Config, is_client: bool, own_id: u64, peer_id: u64) -> Self {
        let datagram = config.datagram.clamp(512, DATAGRAM_BYTES_MAX);
        let buffer = config.buffer.clamp(MEMORY_FREE, u32::MAX as usize);
        Self {
            config: Config { datagram, buffer, ..config },
            phase: Phase::Open,
            is_client,
            own_id,
            peer_id,
            token: None,
            seal: None,
            counts: [0; 8],
            replays: std::array::from_fn(|_| Replay::default()),
            streams: BTreeMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            lingering: VecDeque::new(),
            control: VecDeque::new(),
            next_stream: 0,
            seen: Ranges::default(),
            memory: 0,
            events: VecDeque::new(),
            heard: now,
            pinged: now,
            suspected: None,
            rtt: None,
            remembered: None,
            opened: Vec::new(),
            stats: ConnectionStats::default(),
        }
    }

    /// A server's, whose handshake is through: the seal, the ids, and the longest datagram that the client takes.
    pub(crate) fn accepted(now: Time, config: Config, seal: Seal, ids: (u64, u64), datagram: usize) -> Self {
        let mut connection = Self::new(now, config, false, ids.0, ids.1);
        connection.config.datagram = connection.config.datagram.min(datagram.max(512));
        connection.seal = Some(seal);
        connection
    }

    /// A client's: asks for a connection with who has the same key. `seed` is random and used for nothing else.
    pub fn client(now: Time, config: Config, key: Key, seed: [u8; 32]) -> Self {
        let mut entropy = crate::secure::Entropy::new(seed);
        let mut connection = Self::new(now, config, true, entropy.draw_u64(), 0);
        match Greeting::new(now, key, entropy.draw(), connection.config.datagram) {
            Some(greeting) => connection.phase = Phase::Greeting(Box::new(greeting)),
            None => connection.fail(Reason::Violation("the handshake could not be made")),
        }
        connection
    }

    /// Is the handshake through, and the connection not closed?
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Is there nothing more to send or hear?
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The round trip of the last handshake or PING.
    pub fn round_trip(&self) -> Option<Time> {
        self.rtt
    }

    /// The rate of the bottleneck, as streams have found it.
    pub fn bottleneck(&self) -> Option<Rate> {
        self.remembered.map(|remembered| remembered.0)
    }

    /// Bytes of memory that its streams hold.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// What it counted.
    pub fn stats(&self) -> ConnectionStats {
        self.stats
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Readable { stream } = &event
            && let Some(stream) = self.streams.get_mut(stream)
        {
            stream.told = false;
        }
        Some(event)
    }

    /// The server hears of the round trip when the first sealed datagram comes.
    pub(crate) fn measured(&mut self, rtt: Time) {
        self.rtt = Some(rtt);
    }

    /// Takes what has come.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Datagram(bytes) => match Datagram::parse(bytes) {
                Ok(datagram) => self.datagram(now, &datagram),
                Err(_) => self.stats.malformed += 1,
            },
            Input::Unreachable => self.unreachable(now),
            Input::Timer => self.timer(now),
        }
    }

    pub(crate) fn datagram(&mut self, now: Time, datagram: &Datagram<'_>) {
        match *datagram {
            Datagram::Retry { client, cookie } if client == self.own_id => match &mut self.phase {
                Phase::Greeting(greeting) => greeting.retry(now, cookie),
                _ => self.stats.stray += 1,
            },
            Datagram::Welcome { client, noise } if client == self.own_id => self.welcome(now, noise),
            Datagram::Data { id, number, sealed } if id == self.own_id => self.sealed(now, number, sealed),
            Datagram::Gone { token } if self.token.is_some_and(|own| crate::secure::same(&own, token)) => {
                self.fail(Reason::Gone);
            }
            _ => self.stats.stray += 1,
        }
    }

    fn welcome(&mut self, now: Time, noise: &[u8]) {
        let Phase::Greeting(greeting) = &mut self.phase else {
            self.stats.stray += 1;
            return;
        };
        let Some(welcome) = greeting.welcome(now, noise) else {
            self.stats.forged += 1;
            return;
        };
        (self.peer_id, self.token, self.seal) = (welcome.id, Some(welcome.token), Some(welcome.seal));
        self.config.datagram = self.config.datagram.min(welcome.datagram.max(512));
        (self.rtt, self.heard, self.pinged) = (welcome.rtt, now, now);
        self.phase = Phase::Open;
        self.say(&Frame::Ping); // the server answers nothing before it has heard from a client that can open its words
        self.events.push_back(Event::Connected);
        let waiting: Vec<u32> = self.streams.keys().copied().collect();
        waiting.into_iter().for_each(|id| self.touch(id));
    }

    fn sealed(&mut self, now: Time, number: u64, sealed: &[u8]) {
        let (Some(seal), Phase::Open) = (&self.seal, &self.phase) else {
            self.stats.stray += 1;
            return;
        };
        let (level, count) = (level(number), number & (u64::MAX >> 3));
        if !self.replays[usize::from(level)].is_new(count) {
            self.stats.replayed += 1;
            return;
        }
        let mut opened = std::mem::take(&mut self.opened);
        if seal.open(number, sealed, &mut opened) {
            self.replays[usize::from(level)].mark(count);
            self.stats.received[usize::from(level)] += 1;
            (self.heard, self.suspected) = (now, None);
            for frame in Frames::new(&opened) {
                let taken = match frame {
                    Ok(frame) => self.frame(now, level, &frame),
                    Err(_) => Err(stream::Violation("a frame that cannot be read")),
                };
                if let Err(violation) = taken {
                    self.close(Code::Violation, violation.0);
                    self.events.push_back(Event::Closed(Reason::Violation(violation.0)));
                    break;
                }
            }
        } else {
            self.stats.forged += 1;
        }
        self.opened = opened;
    }

    fn unreachable(&mut self, now: Time) {
        match &mut self.phase {
            Phase::Greeting(greeting) => {
                if greeting.unreachable() {
                    self.fail(Reason::Unreachable);
                }
            }
            Phase::Open if self.suspected.is_none() => {
                self.suspected = Some(now);
                self.ping(now);
            }
            Phase::Open | Phase::Closing(..) | Phase::Closed => {}
        }
    }

    fn timer(&mut self, now: Time) {
        match &mut self.phase {
            Phase::Greeting(greeting) => {
                if greeting.timer(now, self.config.patience) {
                    self.fail(Reason::NoAnswer);
                }
                return;
            }
            Phase::Open => {}
            Phase::Closing(..) | Phase::Closed => return,
        }
        if self.heard + self.config.idle <= now {
            return self.fail(Reason::Idle);
        }
        if self.suspected.is_some_and(|since| since + PROBATION <= now) {
            return self.fail(Reason::Unreachable);
        }
        if self.is_client && self.ping_at() <= now {
            self.ping(now);
        }
        while let Some((at, id)) = self.timers.first().copied().filter(|first| first.0 <= now) {
            self.timers.remove(&(at, id));
            self.stream_timer(now, id);
        }
    }

    fn ping(&mut self, now: Time) {
        self.pinged = now;
        self.say(&Frame::Ping);
    }

    /// When a client that hears nothing asks whether somebody is there, and again, more often.
    fn ping_at(&self) -> Time {
        let again =
            if self.pinged > self.heard { self.config.keepalive.divided(5) } else { self.config.keepalive };
        self.heard.max(self.pinged) + again
    }

    /// When it wants [`Input::Timer`] if nothing comes; only right once [`Connection::poll_output`] has nothing more.
    pub fn next_deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Greeting(greeting) => Some(greeting.deadline(self.config.patience)),
            Phase::Open => {
                let end = self
                    .suspected
                    .map_or(Time::MAX, |since| since + PROBATION)
                    .min(self.heard + self.config.idle);
                let ping = self.is_client.then(|| self.ping_at());
                earliest(earliest(Some(end), ping), self.timers.first().map(|first| first.0))
            }
            Phase::Closing(..) | Phase::Closed => None,
        }
    }

    /// Writes the next datagram to send, and tells its level.
    pub fn poll_output(&mut self, now: Time, out: &mut Vec<u8>) -> Option<u8> {
        out.clear();
        match &mut self.phase {
            Phase::Greeting(greeting) => greeting.poll(now, self.own_id, out).then_some(0),
            Phase::Open => {
                let mut frames = std::mem::take(&mut self.opened);
                frames.clear();
                let level = self.poll_control(&mut frames).or_else(|| self.poll_streams(now, &mut frames));
                if let Some(level) = level {
                    self.emit(level, &frames, out);
                }
                self.opened = frames;
                level
            }
            Phase::Closing(code, text) => {
                let mut frames = Vec::new();
                Frame::Close { code: *code as u8, text: text.as_bytes() }.emit(&mut frames);
                self.phase = Phase::Closed;
                self.seal.is_some().then(|| self.emit(0, &frames, out)).map(|()| 0)
            }
            Phase::Closed => None,
        }
    }

    fn poll_control(&mut self, frames: &mut Vec<u8>) -> Option<u8> {
        let room = self.config.datagram - DATA_BYTES;
        while let Some(frame) = self.control.pop_front_if(|frame| frames.len() + frame.len() <= room) {
            frames.extend(frame);
        }
        (!frames.is_empty()).then_some(0)
    }

    fn emit(&mut self, level: u8, frames: &[u8], out: &mut Vec<u8>) {
        let Some(seal) = &self.seal else { return };
        let number = number(level, self.counts[usize::from(level & 7)]);
        Datagram::Data { id: self.peer_id, number, sealed: &[] }.emit(out);
        seal.seal(number, frames, out);
        self.counts[usize::from(level & 7)] += 1;
        self.stats.sent[usize::from(level & 7)] += 1;
    }

    /// Closes it: the other side is told once.
    pub fn close(&mut self, code: Code, text: &str) {
        if !matches!(self.phase, Phase::Closed) {
            self.drop_streams();
            self.phase = Phase::Closing(code, text.to_owned());
        }
    }

    /// It is no more; nobody is told but the application.
    fn fail(&mut self, reason: Reason) {
        self.drop_streams();
        self.phase = Phase::Closed;
        self.events.push_back(Event::Closed(reason));
    }

    fn drop_streams(&mut self) {
        self.streams.clear();
        self.ready.clear();
        self.timers.clear();
        self.lingering.clear();
        self.control.clear();
        self.memory = 0;
    }

    /// A control frame that belongs to no stream that there is.
    fn say(&mut self, frame: &Frame<'_>) {
        if self.control.len() < CONTROL_MAX {
            let mut bytes = Vec::new();
            frame.emit(&mut bytes);
            self.control.push_back(bytes);
        }
    }

    /// The senders of new streams: their segments fill a datagram, and what was found of the bottleneck they know.
    fn sender_config(&self, now: Time) -> SenderConfig {
        let segment = (self.config.datagram - DATA_BYTES - FRAME_DATA_BYTES) as u32;
        let mut sender = SenderConfig { segment, ..self.config.sender };
        if let Some(low) = &mut sender.low
            && let Pacing::Bottleneck { remembered, .. } = &mut low.pacing
            && let Some((rate, _)) = self.remembered.filter(|known| known.1 + REMEMBERED > now)
        {
            *remembered = remembered.or(Some(rate));
        }
        sender
    }
}
