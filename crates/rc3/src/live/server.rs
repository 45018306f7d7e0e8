//! What servers share: a socket, the connections on it, and how a loop goes round.

use std::net::SocketAddr;

use sim::Time;

use super::reactor::{Reactor, Ready};
use super::socket::{Arrival, Socket};
use super::{LiveError, seed};
use crate::connection::{Code, Config};
use crate::endpoint::Endpoint;
use crate::secure::Key;

/// Connections of clients at once.
const CONNECTIONS_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) reactor: Reactor,
    pub(super) endpoint: Endpoint,
    socket: Socket,
    /// Whether more may have arrived than was taken.
    more: bool,
}

impl Server {
    pub(super) fn bind(listen: SocketAddr, connection: Config, key: Key) -> Result<Self, LiveError> {
        let reactor = Reactor::new()?;
        Ok(Self {
            socket: Socket::bind(listen, reactor.registry())?,
            endpoint: Endpoint::new(connection, key, CONNECTIONS_MAX, seed()?),
            reactor,
            more: false,
        })
    }

    pub(super) fn local(&self) -> Result<SocketAddr, LiveError> {
        self.socket.local()
    }

    /// Takes what has arrived, and sees to timers: events come of it.
    pub(super) fn hear(&mut self) -> Result<(), LiveError> {
        let (reactor, endpoint) = (&self.reactor, &mut self.endpoint);
        endpoint.timer(reactor.now());
        self.more = self.socket.receive(reactor, |arrival| {
            if let Arrival::Datagram(at, from, bytes) = arrival {
                endpoint.handle(at, from, bytes);
            }
        })?;
        Ok(())
    }

    /// Sends what there is to send.
    pub(super) fn flush(&mut self) -> Result<(), LiveError> {
        let mut out = Vec::new();
        let mut free = self.socket.unstick()?;
        while free && let Some((to, level)) = self.endpoint.poll_output(self.reactor.now(), &mut out) {
            free = self.socket.send(to, level, &out)?;
        }
        Ok(())
    }

    /// Waits for a socket or a timer, its own or another's.
    pub(super) fn wait(&mut self, other: Option<Time>, ready: &mut Vec<Ready>) -> Result<(), LiveError> {
        let next = self.endpoint.next_deadline().into_iter().chain(other).min();
        self.reactor.wait(if self.more { Some(Time::ZERO) } else { next }, ready)
    }

    /// Tells all clients that it ends.
    pub(super) fn end(&mut self, text: &str) -> Result<(), LiveError> {
        self.endpoint.close(Code::Done, text);
        self.flush()
    }
}
