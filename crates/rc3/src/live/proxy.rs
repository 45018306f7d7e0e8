//! The local half of the pair: takes what SOCKS and HTTP CONNECT clients want to a far egress, over one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::Interest;
use mio::net::{TcpListener, TcpStream};
use sim::Time;

use super::reactor::{LISTENER, Reactor, Ready, SOCKET, Stop, stream_place, stream_token};
use super::socket::{Arrival, Socket};
use super::splice::{Pumped, SCRATCH_BYTES, Splice};
use super::{LiveError, resolve, seed, system};
use crate::connection::{Code, Config, Connection, Event, Input, Reason};
use crate::secure::Key;
use crate::socks::{HANDSHAKE_MAX, Handshake, Protocol, Step};

/// Local clients at once; more wait to be accepted.
const CLIENTS_MAX: usize = 1_000;
/// How long a client may take to say what it wants.
const HANDSHAKE: Time = Time::from_secs(10);
/// How long one that cannot be reached is left alone.
const PAUSE: Time = Time::from_secs(1);

/// What a proxy is told.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// What local clients speak.
    pub protocol: Protocol,
    /// Where they connect to.
    pub listen: SocketAddr,
    /// The egress: `HOST:PORT`.
    pub egress: String,
    /// The key that the egress has, too.
    pub key: Key,
    /// Connections.
    pub connection: Config,
}

/// Where a local client is.
#[derive(Debug)]
enum Client {
    /// Says what it wants.
    Greeting { tcp: TcpStream, handshake: Handshake, until: Time },
    /// Waits for the stream.
    Waiting { tcp: TcpStream, handshake: Handshake, stream: u32 },
    /// Is connected; what it said early goes first.
    Spliced(Splice),
}

/// A proxy.
#[derive(Debug)]
pub struct Proxy {
    config: ProxyConfig,
    reactor: Reactor,
    listener: TcpListener,
    /// Whether clients may wait to be accepted.
    waiting: bool,
    link: Option<Link>,
    /// Not before then another connection is tried.
    paused: Time,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    by_stream: BTreeMap<u32, usize>,
    timers: BTreeSet<(Time, usize)>,
    scratch: Vec<u8>,
}

/// The connection to the egress.
#[derive(Debug)]
struct Link {
    socket: Socket,
    connection: Connection,
    egress: SocketAddr,
}

impl Proxy {
    /// Listens; [`Proxy::run`] serves.
    pub fn bind(config: ProxyConfig) -> Result<Self, LiveError> {
        let reactor = Reactor::new()?;
        let listener = TcpListener::bind(config.listen).and_then(|mut listener| {
            reactor.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
            Ok(listener)
        });
        Ok(Self {
            listener: listener.map_err(system(format!("TCP port {}", config.listen)))?,
            config,
            reactor,
            waiting: true,
            link: None,
            paused: Time::ZERO,
            clients: Vec::new(),
            free: Vec::new(),
            by_stream: BTreeMap::new(),
            timers: BTreeSet::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Where clients connect to.
    pub fn local(&self) -> Result<SocketAddr, LiveError> {
        self.listener.local_addr().map_err(system("the address of a socket"))
    }

    /// What ends it.
    pub fn stopper(&self) -> Stop {
        self.reactor.stopper()
    }

    /// Serves until it is stopped. The connection to the egress is made at once, and again whenever it is wanted and there is none.
    pub fn run(&mut self) -> Result<(), LiveError> {
        let mut ready = Vec::new();
        let _ = self.connect();
        while !self.reactor.is_stopped() {
            self.accept();
            let more = self.hear()?;
            self.expire();
            self.events();
            let deadline = self.flush()?;
            let deadline = deadline.into_iter().chain(self.timers.first().map(|first| first.0)).min();
            let deadline = if more { Some(Time::ZERO) } else { deadline };
            self.reactor.wait(deadline, &mut ready)?;
            for ready in &ready {
                self.ready(*ready);
            }
        }
        if let Some(link) = &mut self.link {
            link.connection.close(Code::Done, "the proxy ends");
        }
        self.flush().map(|_| ())
    }

    fn ready(&mut self, ready: Ready) {
        match ready.token {
            SOCKET => {}
            LISTENER => self.waiting = true,
            token => {
                if let Some(place) = stream_place(token) {
                    self.serve(place, Some(ready));
                }
            }
        }
    }

    /// Sees to it that there is a connection, even if its handshake is yet to come.
    fn connect(&mut self) -> Result<(), LiveError> {
        if self.link.is_some() {
            return Ok(());
        }
        let egress = resolve(&self.config.egress)?;
        let socket = Socket::connect(egress, self.reactor.registry())?;
        let connection =
            Connection::client(self.reactor.now(), self.config.connection, self.config.key, seed()?);
        self.link = Some(Link { socket, connection, egress });
        Ok(())
    }

    fn accept(&mut self) {
        while self.waiting && self.clients.len() - self.free.len() < CLIENTS_MAX {
            match self.listener.accept() {
                Ok((tcp, _)) => self.admit(tcp),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.waiting = false,
                Err(error) => {
                    tracing::debug!("a client could not be accepted: {error}");
                    self.waiting = error.kind() == io::ErrorKind::ConnectionAborted;
                }
            }
        }
    }

    fn admit(&mut self, mut tcp: TcpStream) {
        let place = self.free.pop().unwrap_or(self.clients.len());
        let _ = tcp.set_nodelay(true);
        if let Err(error) = self.reactor.registry().register(
            &mut tcp,
            stream_token(place),
            Interest::READABLE | Interest::WRITABLE,
        ) {
            tracing::warn!("a client could not be served: {error}");
            self.free.extend((place < self.clients.len()).then_some(place));
            return;
        }
        if place == self.clients.len() {
            self.clients.push(None);
        }
        let until = self.reactor.now() + HANDSHAKE;
        let handshake = Handshake::new(self.config.protocol);
        self.clients[place] = Some(Client::Greeting { tcp, handshake, until });
        self.timers.insert((until, place));
        self.serve(place, None);
    }

    /// Clients that take too long to say what they want.
    fn expire(&mut self) {
        let now = self.reactor.now();
        while let Some((at, place)) = self.timers.first().copied().filter(|first| first.0 <= now) {
            self.timers.remove(&(at, place));
            if matches!(self.clients.get(place), Some(Some(Client::Greeting { until, .. })) if *until == at) {
                self.drop_client(place);
            }
        }
    }

    fn drop_client(&mut self, place: usize) {
        if let Some(client) = self.clients.get_mut(place).and_then(Option::take) {
            let stream = match &client {
                Client::Greeting { until, .. } => {
                    self.timers.remove(&(*until, place));
                    None
                }
                Client::Waiting { stream, .. } => Some(*stream),
                Client::Spliced(splice) => Some(splice.stream),
            };
            self.by_stream.retain(|known, _| Some(*known) != stream);
            self.free.push(place);
        }
    }

    fn serve(&mut self, place: usize, ready: Option<Ready>) {
        let Some(client) = self.clients.get_mut(place).and_then(Option::as_mut) else { return };
        match client {
            Client::Greeting { tcp, handshake, .. } => match greet(tcp, handshake, &mut self.scratch) {
                Greeted::More => {}
                Greeted::Connect(target) => self.want(place, &target),
                Greeted::Over => self.drop_client(place),
            },
            // What it says now waits, but one that goes away is not waited for.
            Client::Waiting { tcp, stream, .. } => {
                if matches!(tcp.peek(&mut [0]), Ok(0)) && tcp.take_error().is_ok_and(|error| error.is_some())
                {
                    let stream = *stream;
                    if let Some(link) = &mut self.link {
                        link.connection.reset(stream, Code::Done, "the client has gone");
                    }
                    self.drop_client(place);
                }
            }
            Client::Spliced(splice) => {
                let Some(link) = &mut self.link else { return };
                match splice.pump(ready, &mut link.connection, &mut self.scratch) {
                    Pumped::Going => {}
                    Pumped::Done | Pumped::Failed => self.drop_client(place),
                }
            }
        }
    }

    /// A client has said where to.
    fn want(&mut self, place: usize, target: &str) {
        let now = self.reactor.now();
        let stream =
            if now < self.paused { Ok(None) } else { self.connect().map(|()| self.open(now, target)) };
        let Some(Client::Greeting { tcp, handshake, until }) = self.clients[place].take() else { return };
        self.timers.remove(&(until, place));
        match stream {
            Ok(Some(stream)) => {
                self.by_stream.insert(stream, place);
                self.clients[place] = Some(Client::Waiting { tcp, handshake, stream });
            }
            failed => {
                if let Err(error) = failed {
                    tracing::warn!("{error}");
                    self.paused = now + PAUSE;
                }
                refuse(tcp, &handshake, Code::Busy);
                self.free.push(place);
            }
        }
    }

    fn open(&mut self, now: Time, target: &str) -> Option<u32> {
        self.link.as_mut()?.connection.open(now, format!("connect {target}").as_bytes())
    }

    /// What has arrived; whether there may be more.
    fn hear(&mut self) -> Result<bool, LiveError> {
        let Some(Link { socket, connection, .. }) = &mut self.link else { return Ok(false) };
        connection.handle(self.reactor.now(), Input::Timer);
        socket.receive(&self.reactor, |arrival| match arrival {
            Arrival::Datagram(at, _, bytes) => connection.handle(at, Input::Datagram(bytes)),
            Arrival::Unreachable(at) => connection.handle(at, Input::Unreachable),
        })
    }

    fn events(&mut self) {
        while let Some(event) = self.link.as_mut().and_then(|link| link.connection.poll_event()) {
            match event {
                Event::Opened { stream } => self.opened(stream),
                Event::Readable { stream } | Event::Writable { stream } => {
                    if let Some(place) = self.by_stream.get(&stream).copied() {
                        self.serve(place, None);
                    }
                }
                Event::Reset { stream, code, text } => {
                    if let Some(place) = self.by_stream.get(&stream).copied() {
                        tracing::debug!("stream {stream} was given up: {text}");
                        self.give_up(place, code);
                    }
                }
                Event::Closed(reason) => self.closed(&reason),
                Event::Connected => tracing::info!("connected to the egress {}", self.config.egress),
                Event::Asked { .. } => {}
            }
        }
    }

    fn opened(&mut self, stream: u32) {
        let Some(place) = self.by_stream.get(&stream).copied() else { return };
        let Some(Client::Waiting { mut tcp, mut handshake, stream }) = self.clients[place].take() else {
            return;
        };
        let early = handshake.rest();
        // A few bytes into a socket to which nothing was written: they go in whole.
        if tcp.write_all(&handshake.granted()).is_err() {
            self.reset(stream);
            self.by_stream.remove(&stream);
            self.free.push(place);
            return;
        }
        if let Some(link) = &mut self.link {
            link.connection.write(stream, &early); // at most a handshake's, into an empty buffer
        }
        self.clients[place] = Some(Client::Spliced(Splice::new(tcp, stream)));
        self.serve(place, None);
    }

    fn reset(&mut self, stream: u32) {
        if let Some(link) = &mut self.link {
            link.connection.reset(stream, Code::Done, "the client has gone");
        }
    }

    /// There will be no stream for a client, or no more of it.
    fn give_up(&mut self, place: usize, code: Code) {
        match self.clients.get_mut(place).and_then(Option::take) {
            Some(Client::Waiting { tcp, handshake, stream }) => {
                refuse(tcp, &handshake, code);
                self.by_stream.remove(&stream);
            }
            Some(Client::Spliced(splice)) => {
                self.by_stream.remove(&splice.stream);
                splice.abort();
            }
            Some(Client::Greeting { .. }) | None => return,
        }
        self.free.push(place);
    }

    fn closed(&mut self, reason: &Reason) {
        tracing::warn!("no connection to the egress {} any more: {reason}", self.config.egress);
        let code = if *reason == Reason::Unreachable { Code::Refused } else { Code::Failed };
        let places: Vec<usize> = self.by_stream.values().copied().collect();
        places.into_iter().for_each(|place| self.give_up(place, code));
        self.paused = self.reactor.now() + PAUSE;
        self.link = None;
    }

    /// Sends what is to be sent; when to come back.
    fn flush(&mut self) -> Result<Option<Time>, LiveError> {
        let Some(Link { socket, connection, egress }) = &mut self.link else { return Ok(None) };
        let mut out = Vec::new();
        let mut free = socket.unstick()?;
        while free && let Some(level) = connection.poll_output(self.reactor.now(), &mut out) {
            free = socket.send(*egress, level, &out)?;
        }
        Ok(connection.next_deadline())
    }
}

/// What has come of a handshake.
enum Greeted {
    More,
    Connect(String),
    Over,
}

fn greet(tcp: &mut TcpStream, handshake: &mut Handshake, scratch: &mut [u8]) -> Greeted {
    loop {
        match tcp.read(&mut scratch[..HANDSHAKE_MAX]) {
            Ok(0) => return Greeted::Over,
            Ok(length) => handshake.push(&scratch[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Greeted::More,
            Err(_) => return Greeted::Over,
        }
        loop {
            match handshake.step() {
                Step::More => break,
                Step::Say(words) => {
                    if tcp.write_all(&words).is_err() {
                        return Greeted::Over;
                    }
                }
                Step::Connect(destination) => return Greeted::Connect(destination.to_string()),
                Step::Refuse(words) => {
                    let _ = tcp.write_all(&words);
                    return Greeted::Over;
                }
            }
        }
    }
}

fn refuse(mut tcp: TcpStream, handshake: &Handshake, code: Code) {
    let _ = tcp.write_all(&handshake.refused(code));
}
