//! The far half of the pair: connects where its clients want to go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use mio::Interest;
use mio::net::TcpStream;
use sim::Time;

use super::LiveError;
use super::destination::{Allow, Destination, Host};
use super::reactor::{Ready, SOCKET, Stop, stream_place, stream_token};
use super::resolver::Resolver;
use super::server::Server;
use super::splice::{Pumped, SCRATCH_BYTES, Splice};
use crate::connection::{Code, Config, Event, Reason};
use crate::endpoint::EndpointStats;
use crate::secure::Key;

/// Connections to destinations at once.
const STREAMS_MAX: usize = 8_192;
/// How long an address is waited for.
const CONNECT: Time = Time::from_secs(8);

/// What an egress is told.
#[derive(Debug, Clone)]
pub struct EgressConfig {
    /// Where clients come to.
    pub listen: SocketAddr,
    /// The key that they have.
    pub key: Key,
    /// Connections.
    pub connection: Config,
    /// Where they may go; anywhere if it is empty.
    pub allow: Vec<Allow>,
}

/// A stream of a connection.
type Whose = (u64, u32);

/// A stream on its way to a destination.
#[derive(Debug)]
enum Outbound {
    /// Its name becomes addresses.
    Resolving(Destination),
    /// One is tried until then; the others are next.
    Connecting {
        tcp: TcpStream,
        until: Time,
        port: u16,
        rest: Vec<SocketAddr>,
    },
    Spliced(Splice),
}

/// An egress.
#[derive(Debug)]
pub struct Egress {
    allow: Vec<Allow>,
    server: Server,
    resolver: Resolver,
    /// The streams, and whose they are.
    places: Vec<Option<(Whose, Outbound)>>,
    free: Vec<usize>,
    by_stream: BTreeMap<Whose, usize>,
    timers: BTreeSet<(Time, usize)>,
    /// Questions to the resolver, by number.
    questions: BTreeMap<u64, Whose>,
    asked: u64,
    scratch: Vec<u8>,
}

impl Egress {
    /// Listens; [`Egress::run`] serves.
    pub fn bind(config: EgressConfig) -> Result<Self, LiveError> {
        let server = Server::bind(config.listen, config.connection, config.key)?;
        Ok(Self {
            allow: config.allow,
            resolver: Resolver::new(&server.reactor.waker()),
            server,
            places: Vec::new(),
            free: Vec::new(),
            by_stream: BTreeMap::new(),
            timers: BTreeSet::new(),
            questions: BTreeMap::new(),
            asked: 0,
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Where clients come to.
    pub fn local(&self) -> Result<SocketAddr, LiveError> {
        self.server.local()
    }

    /// What ends it.
    pub fn stopper(&self) -> Stop {
        self.server.reactor.stopper()
    }

    /// What it counted.
    pub fn stats(&self) -> EndpointStats {
        self.server.endpoint.stats()
    }

    /// Serves until it is stopped.
    pub fn run(&mut self) -> Result<(), LiveError> {
        let mut ready = Vec::new();
        while !self.server.reactor.is_stopped() {
            self.server.hear()?;
            self.answers();
            self.expire();
            self.events();
            self.server.flush()?;
            self.server.wait(self.timers.first().map(|first| first.0), &mut ready)?;
            for ready in &ready {
                if ready.token != SOCKET
                    && let Some(place) = stream_place(ready.token)
                {
                    self.serve(place, Some(*ready));
                }
            }
        }
        self.server.end("the egress ends")
    }

    fn events(&mut self) {
        while let Some((id, event)) = self.server.endpoint.poll_event() {
            match event {
                Event::Asked { stream, target } => {
                    if let Err((code, text)) = self.asked((id, stream), &target) {
                        self.refuse((id, stream), code, &text);
                    }
                }
                Event::Readable { stream } | Event::Writable { stream } => {
                    if let Some(place) = self.by_stream.get(&(id, stream)).copied() {
                        self.serve(place, None);
                    }
                }
                Event::Reset { stream, .. } => self.abort((id, stream)),
                Event::Closed(reason) => {
                    match reason {
                        Reason::Peer(Code::Done, _) => tracing::debug!("a client has ended: {reason}"),
                        _ => tracing::warn!("no connection to a client any more: {reason}"),
                    }
                    let all: Vec<Whose> =
                        self.by_stream.range((id, 0)..=(id, u32::MAX)).map(|entry| *entry.0).collect();
                    all.into_iter().for_each(|whose| self.abort(whose));
                }
                Event::Connected | Event::Opened { .. } => {}
            }
        }
    }

    fn refuse(&mut self, (id, stream): Whose, code: Code, text: &str) {
        if let Some(connection) = self.server.endpoint.connection(id) {
            connection.reset(stream, code, text);
        }
    }

    /// A client wants to go somewhere.
    fn asked(&mut self, whose: Whose, target: &[u8]) -> Result<(), (Code, String)> {
        let text = std::str::from_utf8(target).ok().and_then(|text| text.strip_prefix("connect "));
        let text = text.ok_or((Code::Violation, "this is an egress: it connects".to_owned()))?;
        let destination: Destination =
            text.parse().map_err(|_| (Code::Violation, "no destination".to_owned()))?;
        if self.by_stream.len() >= STREAMS_MAX {
            return Err((Code::Busy, "too many streams".to_owned()));
        }
        let port = destination.port;
        match &destination.host {
            Host::Ip(ip) => {
                self.permit(None, *ip, port)?;
                let address = SocketAddr::new(*ip, port);
                self.next_address(whose, port, vec![address])
            }
            Host::Name(name) => {
                self.asked += 1;
                if !self.resolver.ask(self.asked, name, port) {
                    return Err((Code::Busy, "too many names".to_owned()));
                }
                self.questions.insert(self.asked, whose);
                self.put(whose, Outbound::Resolving(destination), None);
                Ok(())
            }
        }
    }

    /// May one go there?
    fn permit(&self, name: Option<&str>, ip: std::net::IpAddr, port: u16) -> Result<(), (Code, String)> {
        let allowed =
            |rule: &Allow| name.is_some_and(|name| rule.allows_name(name, port)) || rule.allows_ip(ip, port);
        if self.allow.is_empty() || self.allow.iter().any(allowed) {
            return Ok(());
        }
        Err((Code::Denied, "the egress does not go there".to_owned()))
    }

    /// Names that have become addresses.
    fn answers(&mut self) {
        while let Some((number, found)) = self.resolver.answer() {
            let Some(whose) = self.questions.remove(&number) else { continue };
            let Some(Outbound::Resolving(destination)) = self.remove(whose) else { continue };
            let Host::Name(name) = &destination.host else { continue };
            let permit = |address: &SocketAddr| self.permit(Some(name), address.ip(), address.port()).is_ok();
            let allowed: Vec<SocketAddr> = found.iter().copied().filter(permit).collect();
            let tried = match (found.is_empty(), allowed.is_empty()) {
                (true, _) => Err((Code::Unreachable, "no such name".to_owned())),
                (false, true) => Err((Code::Denied, "the egress does not go there".to_owned())),
                (false, false) => self.next_address(whose, destination.port, allowed),
            };
            if let Err((code, text)) = tried {
                self.refuse(whose, code, &text);
            }
        }
    }

    /// Tries the first of these addresses.
    fn next_address(
        &mut self,
        whose: Whose,
        port: u16,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<(), (Code, String)> {
        let mut last = (Code::Unreachable, "no address".to_owned());
        while !addresses.is_empty() {
            match TcpStream::connect(addresses.remove(0)) {
                Ok(tcp) => {
                    let until = self.server.reactor.now() + CONNECT;
                    self.put(whose, Outbound::Connecting { tcp, until, port, rest: addresses }, Some(until));
                    return Ok(());
                }
                Err(error) => last = (code_of(&error), error.to_string()),
            }
        }
        Err(last)
    }

    /// Gives a stream a place.
    fn put(&mut self, whose: Whose, mut outbound: Outbound, timer: Option<Time>) {
        let place = self.free.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(None);
        }
        if let Outbound::Connecting { tcp, .. } = &mut outbound {
            let both = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = self.server.reactor.registry().register(tcp, stream_token(place), both) {
                self.free.push(place);
                return self.refuse(whose, Code::Failed, &error.to_string());
            }
        }
        self.places[place] = Some((whose, outbound));
        self.by_stream.insert(whose, place);
        self.timers.extend(timer.map(|timer| (timer, place)));
    }

    fn remove(&mut self, whose: Whose) -> Option<Outbound> {
        let place = self.by_stream.remove(&whose)?;
        let (_, outbound) = self.places[place].take()?;
        if let Outbound::Connecting { until, .. } = &outbound {
            self.timers.remove(&(*until, place));
        }
        self.free.push(place);
        Some(outbound)
    }

    fn abort(&mut self, whose: Whose) {
        if let Some(Outbound::Spliced(splice)) = self.remove(whose) {
            splice.abort();
        }
    }

    /// Addresses that take too long.
    fn expire(&mut self) {
        let now = self.server.reactor.now();
        while let Some((at, place)) = self.timers.first().copied().filter(|first| first.0 <= now) {
            self.timers.remove(&(at, place));
            if let Some((whose, Outbound::Connecting { .. })) = &self.places[place] {
                let whose = *whose;
                self.failed(whose, Code::Unreachable, "no answer");
            }
        }
    }

    /// An address does not answer: the next, or none.
    fn failed(&mut self, whose: Whose, code: Code, text: &str) {
        let Some(Outbound::Connecting { port, rest, .. }) = self.remove(whose) else { return };
        let tried =
            if rest.is_empty() { Err((code, text.to_owned())) } else { self.next_address(whose, port, rest) };
        if let Err((code, text)) = tried {
            self.refuse(whose, code, &text);
        }
    }

    fn serve(&mut self, place: usize, ready: Option<Ready>) {
        let Some((whose, outbound)) = self.places.get_mut(place).and_then(Option::as_mut) else { return };
        let whose = *whose;
        match outbound {
            Outbound::Resolving(_) => {}
            Outbound::Connecting { tcp, .. } => match tcp.take_error() {
                Ok(Some(error)) | Err(error) => self.failed(whose, code_of(&error), &error.to_string()),
                Ok(None) if ready.is_some_and(|ready| ready.writable) && tcp.peer_addr().is_ok() => {
                    self.connected(whose, place);
                }
                Ok(None) => {}
            },
            Outbound::Spliced(splice) => {
                let Some(connection) = self.server.endpoint.connection(whose.0) else { return };
                match splice.pump(ready, connection, &mut self.scratch) {
                    Pumped::Going => {}
                    Pumped::Done | Pumped::Failed => drop(self.remove(whose)),
                }
            }
        }
    }

    fn connected(&mut self, whose: Whose, place: usize) {
        let Some((_, Outbound::Connecting { tcp, until, .. })) = self.places[place].take() else { return };
        self.timers.remove(&(until, place));
        let _ = tcp.set_nodelay(true);
        self.places[place] = Some((whose, Outbound::Spliced(Splice::new(tcp, whose.1))));
        let now = self.server.reactor.now();
        if let Some(connection) = self.server.endpoint.connection(whose.0) {
            connection.accept(now, whose.1);
        }
        self.serve(place, None);
    }
}

fn code_of(error: &std::io::Error) -> Code {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Code::Refused,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Code::Unreachable,
        _ => Code::Failed,
    }
}
