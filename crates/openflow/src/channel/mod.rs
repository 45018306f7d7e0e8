//! The channel between a switch and a controller, as a state machine without sockets or clocks.
//!
//! ```text
//!   bytes ─► handle_bytes ─► messages ─► poll ─► Event, and the Outbox to answer with
//!                               │                          │
//!            echo, hello, handshake, errors                │ send, request
//!                               ▼                          ▼
//!   bytes ◄─ output, consume_output ◄──────────────── encoded messages, bounded
//! ```
//!
//! Either end is a [`Channel`]: it agrees on a version, keeps the peer alive with echoes, cuts messages out of the
//! bytes, answers what it cannot read with the right error, puts multipart replies together and pairs replies with
//! requests. A controller's channel asks for features and ports before it is [`Event::Up`].
//!
//! What a peer can do: a message that cannot be read is answered and counted; bytes that are no messages (a length below
//! 8, another version than agreed on) end the channel, since nothing after them can be trusted. Who begins a message and
//! does not end it, or says nothing, is down after [`Config::echo_after`] and [`Config::echo_timeout`]. Who does not
//! read is cut off at [`Config::output_max`]; at half of that packet-ins in either direction are dropped and counted.
//!
//! ```
//! use openflow::channel::{Channel, Config, Event};
//! use openflow::Version;
//! use std::time::Duration;
//!
//! let now = Duration::ZERO;
//! let mut switch = Channel::switch(Config::default(), now);
//! let mut controller = Channel::controller(Config::default(), now);
//! let hello = controller.output().to_vec();
//! controller.consume_output(hello.len());
//! switch.handle_bytes(now, &hello);
//! match switch.poll_event() {
//!     Some(Event::Up(up)) => assert_eq!(up.version, Version::V13),
//!     other => panic!("{other:?}"),
//! }
//! ```

mod assembly;
mod datapaths;
mod down;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod hello;
mod input;
mod outbox;
mod requests;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

pub use assembly::{ASSEMBLIES_MAX, ASSEMBLY_BYTES_MAX};
pub use datapaths::{AUXILIARIES_MAX, Datapaths, Gone};
pub use down::Down;
pub use hello::Versions;
pub use outbox::{OUTPUT_BYTES_MAX, Outbox, SendError};
pub use requests::{Answer, REQUESTS_MAX};

use crate::Version;
use crate::codec::{self, DecodeError, PacketInView};
use crate::error::{BadRequest, Fault, HelloFailed};
use crate::message::{Body, Error, Features, Message, SwitchConfig};
use crate::wire::Header;

use assembly::{Assembled, Assembly};
use down::shown;
use handshake::{Handshake, Progress};
use input::Input;

/// Bytes of a request that an error quotes ("at least 64 bytes of the failed request").
pub const ERROR_DATA_BYTES: usize = 64;
/// Messages that come during a controller's handshake and are kept until it is over. Packet-ins are not.
pub const EARLY_MAX: usize = 64;

/// Message types that are looked at before they are decoded; the same in both versions.
const HELLO: u8 = 0;
const ERROR: u8 = 1;
const ECHO_REQUEST: u8 = 2;
const ECHO_REPLY: u8 = 3;
const EXPERIMENTER: u8 = 4;
const PACKET_IN: u8 = 10;

const fn is_echo(kind: u8) -> bool {
    matches!(kind, ECHO_REQUEST | ECHO_REPLY)
}

/// A connection, to those who have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How a channel behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// What may be spoken.
    pub versions: Versions,
    /// Until then a handshake is to be over.
    pub handshake_timeout: Duration,
    /// After so much silence an echo request is sent.
    pub echo_after: Duration,
    /// After so much more the channel is down.
    pub echo_timeout: Duration,
    /// Bytes that may wait for the peer.
    pub output_max: usize,
    /// A controller: what to have the switch do with fragments and with packets of table misses.
    pub set_config: Option<SwitchConfig>,
    /// A switch: the number of this connection, 0 for the main one (1.3).
    pub auxiliary: u8,
    /// Once it is up, messages come as [`Event::Raw`] and are neither decoded nor put together nor paired with requests.
    pub raw: bool,
}

impl Default for Config {
    /// Both versions, 10 s for handshakes, echoes after 10 s that have 10 s, [`OUTPUT_BYTES_MAX`].
    fn default() -> Self {
        Self {
            versions: Versions::ALL,
            handshake_timeout: Duration::from_secs(10),
            echo_after: Duration::from_secs(10),
            echo_timeout: Duration::from_secs(10),
            output_max: OUTPUT_BYTES_MAX,
            set_config: None,
            auxiliary: 0,
            raw: false,
        }
    }
}

/// What happens on a channel.
#[derive(Debug)]
pub enum Event<'a> {
    /// It can be used.
    Up(Up),
    /// A packet-in, of whatever layout, read where it lies in the buffer.
    PacketIn(PacketInView<'a>),
    /// Any message but an echo, as it lies in the buffer, where [`Config::raw`] asks for that.
    Raw(&'a [u8]),
    /// Any other message.
    Message(Message),
    /// What became of an [`Outbox::request`].
    Answer {
        /// The request's transaction.
        xid: u32,
        /// What became of it.
        answer: Answer,
    },
    /// A message that could not be read. Unless it is an error itself, it has been answered with one.
    Unreadable {
        /// Its type.
        kind: u8,
        /// Its transaction.
        xid: u32,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// It is over. Nothing follows.
    Down(Down),
}

/// What is known once a channel is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Up {
    /// What is spoken.
    pub version: Version,
    /// To a controller: what the switch says of itself, its ports included in either version.
    pub features: Option<Box<Features>>,
}

/// What a channel has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages received, those that are answered here included.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Packet-ins dropped, in either direction: the peer does not read, or a handshake is not over.
    pub packet_ins_dropped: u64,
    /// Other messages dropped during a handshake.
    pub early_dropped: u64,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Channel {
    config: Config,
    phase: Phase,
    controller: bool,
    now: Duration,
    began: Duration,
    /// When the last whole message came.
    heard: Duration,
    /// Whether an echo request is under way.
    echo: bool,
    /// The last echo request.
    echo_xid: Option<u32>,
    input: Input,
    outbox: Outbox,
    replies: Assembly<crate::multipart::MultipartReply>,
    requests: Assembly<crate::multipart::MultipartRequest>,
    events: VecDeque<Event<'static>>,
    /// The peer will send nothing more.
    closed: bool,
    counters: Counters,
}

#[derive(Debug)]
enum Phase {
    /// Waits for the peer's hello.
    Hello,
    /// A controller's questions.
    Handshake(Box<Handshake>),
    Up,
    Down,
}

/// An event, before it borrows anything.
enum Step {
    Event(Event<'static>),
    /// Without its packet, which lies there.
    PacketIn(PacketInView<'static>, Range<usize>),
    Raw(Range<usize>),
}

impl Channel {
    /// A controller's end. Its hello waits to be sent.
    #[must_use]
    pub fn controller(config: Config, now: Duration) -> Self {
        Self::new(config, now, true)
    }

    /// A switch's end. Its hello waits to be sent.
    #[must_use]
    pub fn switch(config: Config, now: Duration) -> Self {
        Self::new(config, now, false)
    }

    fn new(config: Config, now: Duration, controller: bool) -> Self {
        let mut outbox = Outbox::new(config.output_max, config.auxiliary);
        let xid = outbox.next_xid();
        // A hello is 16 bytes: a limit below that ends the channel by itself.
        let _ = outbox.raw(|out| hello::encode(config.versions, xid, out));
        Self {
            config,
            phase: Phase::Hello,
            controller,
            now,
            began: now,
            heard: now,
            echo: false,
            echo_xid: None,
            input: Input::default(),
            outbox,
            replies: Assembly::default(),
            requests: Assembly::default(),
            events: VecDeque::new(),
            closed: false,
            counters: Counters::default(),
        }
    }

    /// What is spoken, once that is agreed on.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.outbox.version()
    }

    /// Whether it can be used.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self.phase, Phase::Down)
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            messages_out: self.outbox.messages,
            packet_ins_dropped: self.counters.packet_ins_dropped + self.outbox.packet_ins_dropped(),
            ..self.counters
        }
    }

    /// Takes bytes from the peer, all of them: whoever reads bounds how many, and polls all events before there are more.
    pub fn handle_bytes(&mut self, now: Duration, bytes: &[u8]) {
        self.now = now;
        if !self.is_down() {
            self.input.extend(bytes);
        }
    }

    /// Room to receive into, up to 64 KiB, as an alternative to [`Channel::handle_bytes`]; empty while events wait.
    pub fn input_space(&mut self) -> &mut [u8] {
        if self.is_down() { &mut [] } else { self.input.space() }
    }

    /// So many bytes of [`Channel::input_space`] have been filled.
    pub fn input_filled(&mut self, now: Duration, count: usize) {
        self.now = now;
        self.input.filled(count);
    }

    /// Whether to receive more. Not while a peer does not read the answers to what it has asked already; its requests
    /// then wait where they are. A controller's end always reads: of two ends that both wait for each other to read
    /// neither ever would.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.is_down() && !self.closed && (self.controller || !self.outbox.is_congested())
    }

    /// The peer has closed the connection. What came before is still told of.
    pub fn handle_closed(&mut self, now: Duration) {
        self.now = now;
        self.closed = true;
    }

    /// Ends it. What waits to be sent may still be.
    pub fn close(&mut self, now: Duration, reason: Down) {
        self.now = now;
        self.fail(reason);
    }

    /// What happened next. See [`Channel::poll`] for answering while a packet is still being read.
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        self.poll().map(|(event, _)| event)
    }

    /// What happened next, and where to send what answers it.
    pub fn poll(&mut self) -> Option<(Event<'_>, &mut Outbox)> {
        let event = match self.step()? {
            Step::Event(event) => event,
            Step::PacketIn(view, data) => {
                Event::PacketIn(PacketInView { data: self.input.bytes(data), ..view })
            }
            Step::Raw(range) => Event::Raw(self.input.bytes(range)),
        };
        Some((event, &mut self.outbox))
    }

    /// Whether [`Channel::poll`] has something that is not in what was received.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty() || ((self.outbox.overflown || self.closed) && !self.is_down())
    }

    /// Where to send messages.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Sends a message; see [`Outbox::send`].
    ///
    /// # Errors
    /// Then nothing of it is sent.
    pub fn send(&mut self, message: &Message) -> Result<(), SendError> {
        self.outbox.send(message)
    }

    /// Sends it under a transaction of its own; see [`Outbox::send_body`].
    ///
    /// # Errors
    /// Then nothing of it is sent.
    pub fn send_body(&mut self, body: &Body) -> Result<u32, SendError> {
        self.outbox.send_body(body)
    }

    /// Bytes for the peer.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.outbox.output()
    }

    /// So many of them are sent.
    pub fn consume_output(&mut self, count: usize) {
        self.outbox.consume(count);
    }

    /// When [`Channel::expire`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let own = match self.phase {
            Phase::Down => return None,
            Phase::Hello | Phase::Handshake(_) => self.began + self.config.handshake_timeout,
            Phase::Up if !self.echo => self.heard + self.config.echo_after,
            Phase::Up => self.heard + self.config.echo_after + self.config.echo_timeout,
        };
        Some(self.outbox.requests.next_deadline().map_or(own, |due| due.min(own)))
    }

    /// Does what is due: an echo request, an end.
    pub fn expire(&mut self, now: Duration) {
        self.now = now;
        while let Some(xid) = self.outbox.requests.expired(now) {
            self.replies.forget(xid);
            self.events.push_back(Event::Answer { xid, answer: Answer::TimedOut });
        }
        let step = match &self.phase {
            Phase::Down => return,
            Phase::Hello => "hello",
            Phase::Handshake(handshake) => handshake.step(),
            Phase::Up => return self.keep_alive(),
        };
        if now >= self.began + self.config.handshake_timeout {
            self.fail(Down::Handshake(step));
        }
    }

    fn keep_alive(&mut self) {
        let silent = self.now.saturating_sub(self.heard);
        if silent < self.config.echo_after || self.input.whole().is_ok_and(|header| header.is_some()) {
            return;
        }
        if !self.echo {
            self.input.relax();
            self.outbox.relax();
            let xid = self.outbox.next_xid();
            let version = self.outbox.version().map_or(0, Version::wire);
            let _ = self.outbox.raw(|out| {
                out.extend([version, ECHO_REQUEST, 0, 8]);
                out.extend(xid.to_be_bytes());
            });
            (self.echo, self.echo_xid) = (true, Some(xid));
        } else if silent >= self.config.echo_after + self.config.echo_timeout {
            self.fail(match self.input.begun() {
                Some(header) => Down::Stalled { have: self.input.len(), length: header.length },
                None => Down::Silent(silent),
            });
        }
    }

    /// Ends it with an event.
    fn fail(&mut self, reason: Down) {
        if !self.is_down() {
            self.phase = Phase::Down;
            self.input.clear();
            self.outbox.agree(None);
            self.events.push_back(Event::Down(reason));
        }
    }

    fn step(&mut self) -> Option<Step> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Step::Event(event));
            }
            if self.is_down() {
                return None;
            }
            if self.outbox.overflown {
                let waiting = self.outbox.waiting();
                self.outbox.clear();
                self.fail(Down::Slow(waiting));
                continue;
            }
            let header = match self.input.whole() {
                Ok(Some(header)) => header,
                Ok(None) if self.closed => {
                    self.fail(match self.input.len() {
                        0 => Down::Closed,
                        have => Down::Cut { have },
                    });
                    continue;
                }
                Ok(None) => return None,
                Err(error) => {
                    self.fail(Down::Frame(error));
                    continue;
                }
            };
            let range = self.input.take(&header);
            self.counters.messages_in += 1;
            (self.heard, self.echo) = (self.now, false);
            match self.phase {
                Phase::Up if self.is_agreed(&header) && self.config.raw && !is_echo(header.kind) => {
                    return Some(Step::Raw(range));
                }
                Phase::Up if self.is_agreed(&header) && matches!(header.kind, PACKET_IN | EXPERIMENTER) => {
                    match PacketInView::new(self.input.bytes(range.clone())) {
                        Ok(Some(_)) if self.outbox.is_congested() => self.counters.packet_ins_dropped += 1,
                        // The packet is the last of the message.
                        Ok(Some(view)) => {
                            let data = range.end - view.data.len()..range.end;
                            return Some(Step::PacketIn(PacketInView { data: &[], ..view }, data));
                        }
                        Ok(None) => self.message(&header, range),
                        Err(error) => self.unreadable(&header, range, error),
                    }
                }
                Phase::Hello => self.hello(&header, range),
                _ => self.message(&header, range),
            }
        }
    }

    fn is_agreed(&self, header: &Header) -> bool {
        self.outbox.version().map(Version::wire) == Some(header.version)
    }

    /// The first message.
    fn hello(&mut self, header: &Header, range: Range<usize>) {
        match header.kind {
            HELLO => {}
            ERROR => return self.refused(range),
            kind => return self.fail(Down::NoHello { kind }),
        }
        match hello::negotiate(self.config.versions, self.input.bytes(range)) {
            Ok(version) => {
                self.outbox.agree(Some(version));
                if self.controller {
                    let handshake = Handshake::begin(version, &self.config, &mut self.outbox);
                    self.phase = Phase::Handshake(Box::new(handshake));
                } else {
                    self.phase = Phase::Up;
                    self.events.push_back(Event::Up(Up { version, features: None }));
                }
            }
            Err(text) => {
                let ours = self.config.versions;
                let version = Version::from_wire(header.version).filter(|&version| ours.has(version));
                self.outbox.agree(version.or(ours.lowest()));
                self.answer_error(
                    header.xid,
                    Fault::HelloFailed(HelloFailed::Incompatible),
                    text.as_bytes().to_vec(),
                );
                self.fail(Down::Version(text));
            }
        }
    }

    /// The peer has sent an error instead of, or in answer to, a hello: type and code, then text.
    fn refused(&mut self, range: Range<usize>) {
        const TEXT: usize = 12;
        let text = shown(self.input.bytes(range).get(TEXT..).unwrap_or_default());
        self.fail(Down::Refused(text));
    }

    /// A message after the hello.
    fn message(&mut self, header: &Header, range: Range<usize>) {
        let Some(agreed) = self.outbox.version() else { return };
        if header.version != agreed.wire() {
            match header.kind {
                HELLO => {}
                ERROR => self.refused(range),
                _ => {
                    let quoted = self.quoted(range);
                    self.answer_error(header.xid, Fault::BadRequest(BadRequest::BadVersion), quoted);
                    self.fail(Down::OtherVersion { got: header.version, agreed });
                }
            }
            return;
        }
        match header.kind {
            HELLO => {}
            ECHO_REQUEST => {
                let input = &self.input;
                // A peer that floods with echo requests and does not read is cut off like any other.
                let _ = self.outbox.raw(|out| {
                    let at = out.len();
                    out.extend(input.bytes(range));
                    out[at + 1] = ECHO_REPLY;
                });
            }
            // To an echo request of our own. It was heard, and that was the point.
            ECHO_REPLY if Some(header.xid) == self.echo_xid => {}
            _ => self.decode(header, range),
        }
    }

    fn decode(&mut self, header: &Header, range: Range<usize>) {
        let message = match codec::decode(self.input.bytes(range.clone())) {
            Ok((_, message)) => message,
            Err(error) => return self.unreadable(header, range, error),
        };
        match &mut self.phase {
            Phase::Handshake(handshake) => match handshake.handle(message, &mut self.outbox) {
                Progress::More => {}
                Progress::PacketInDropped => self.counters.packet_ins_dropped += 1,
                Progress::Dropped => self.counters.early_dropped += 1,
                Progress::Failed(reason) => self.fail(reason),
                Progress::Up { features, early } => {
                    let version = self.outbox.version().unwrap_or(Version::V10);
                    self.phase = Phase::Up;
                    self.events.push_back(Event::Up(Up { version, features: Some(features) }));
                    self.events.extend(early.into_iter().map(Event::Message));
                }
            },
            _ => self.deliver(message, usize::from(header.length)),
        }
    }

    fn unreadable(&mut self, header: &Header, range: Range<usize>, error: DecodeError) {
        self.counters.unreadable += 1;
        // Two ends that answered each other's errors would never end.
        if header.kind != ERROR {
            let quoted = self.quoted(range);
            self.answer_error(header.xid, error.fault, quoted);
        }
        let (kind, xid) = (header.kind, header.xid);
        self.events.push_back(Event::Unreadable { kind, xid, error });
    }

    /// Hands a message out: as the answer to a request, put together from its parts, or as it is.
    fn deliver(&mut self, message: Message, bytes: usize) {
        let Message { xid, body } = message;
        let body = match body {
            Body::MultipartReply(reply) => match self.replies.add(xid, bytes, reply) {
                Assembled::Waiting => return,
                Assembled::Whole(reply) => Body::MultipartReply(reply),
                Assembled::Failed if self.outbox.requests.forget(xid) => {
                    return self.events.push_back(Event::Answer { xid, answer: Answer::TooLong });
                }
                Assembled::Failed => return self.counters.unreadable += 1,
            },
            Body::MultipartRequest(request) => match self.requests.add(xid, bytes, request) {
                Assembled::Waiting => return,
                Assembled::Whole(request) => Body::MultipartRequest(request),
                Assembled::Failed => {
                    self.counters.unreadable += 1;
                    let fault = Fault::BadRequest(BadRequest::MultipartBufferOverflow);
                    return self.answer_error(xid, fault, Vec::new());
                }
            },
            body => body,
        };
        self.events.push_back(if self.outbox.requests.answered(xid, &body) {
            let answer = match body {
                Body::Error(error) => Answer::Failed(error),
                body => Answer::Reply(body),
            };
            Event::Answer { xid, answer }
        } else {
            Event::Message(Message { xid, body })
        });
    }

    /// What an error says of a message that is at fault.
    fn quoted(&self, range: Range<usize>) -> Vec<u8> {
        let bytes = self.input.bytes(range);
        bytes[..bytes.len().min(ERROR_DATA_BYTES)].to_vec()
    }

    fn answer_error(&mut self, xid: u32, fault: Fault, data: Vec<u8>) {
        let Some(version) = self.outbox.version() else { return };
        let error = Error { code: fault.code(version), data };
        // Whoever does not read errors is cut off like any other.
        let _ = self.outbox.send(&Message::new(xid, Body::Error(error)));
    }
}
