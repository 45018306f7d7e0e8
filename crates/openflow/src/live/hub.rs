//! The loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Token};

use super::connection::Connection;
use super::links::{Current, Links};
use super::state::{State, Timer};
use super::tls::TlsIdentity;
use super::{CONNECTIONS_MAX, Counters, Handler, MESSAGES_PER_TURN};
use crate::channel::{ConnectionId, Down, Event};

/// Sockets that one poll tells of. The others are told of by the next.
const EVENTS_MAX: usize = 1024;
/// Times that a connection is read from in a turn: what it sends may be answered without being an event.
const READS_MAX: usize = 8;
/// The waker's token; no slot has it.
const WAKER: Token = Token(usize::MAX);

/// What a hub may use.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Connections at the same time; one more is closed at once.
    pub connections_max: usize,
    /// For targets under TLS.
    pub tls: Option<TlsIdentity>,
}

impl Default for HubConfig {
    /// [`CONNECTIONS_MAX`], no TLS.
    fn default() -> Self {
        Self { connections_max: CONNECTIONS_MAX, tls: None }
    }
}

/// Channels on sockets, and the handler that they belong to.
#[derive(Debug)]
pub struct Hub<H> {
    state: State,
    events: Events,
    waker: Arc<mio::Waker>,
    handler: H,
}

/// Wakes a hub up from another thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Has [`Handler::woken`] called, soon.
    pub fn wake(&self) {
        // It fails only where the hub's counter is full, which it then sees all the same.
        let _ = self.0.wake();
    }
}

impl<H: Handler> Hub<H> {
    /// A hub without connections.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(handler: H, config: HubConfig) -> io::Result<Self> {
        let state = State::new(config.connections_max, config.tls)?;
        let waker = Arc::new(mio::Waker::new(state.poll.registry(), WAKER)?);
        Ok(Self { state, events: Events::with_capacity(EVENTS_MAX), waker, handler })
    }

    /// The handler.
    pub fn handler(&mut self) -> &mut H {
        &mut self.handler
    }

    /// The connections, to use them between turns.
    pub fn links(&mut self) -> Links<'_> {
        self.state.read_clock();
        Links { state: &mut self.state, current: None }
    }

    /// Both; what is sent is written by the next turn, or by [`Hub::flush`].
    pub fn with<R>(&mut self, run: impl FnOnce(&mut H, &mut Links<'_>) -> R) -> R {
        self.state.read_clock();
        run(&mut self.handler, &mut Links { state: &mut self.state, current: None })
    }

    /// The handler, out of the hub; all connections end.
    pub fn into_handler(self) -> H {
        self.handler
    }

    /// Wakes it up from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(self.waker.clone())
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state.counters
    }

    /// Connections there are, up or not.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections
    }

    /// Whether a turn would do something at once.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !(self.state.ready.is_empty()
            && self.state.dirty.is_empty()
            && self.state.closing.is_empty()
            && self.state.refusals.is_empty())
    }

    /// When a turn has something to do though nothing comes in.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let own = self.state.next_timer();
        let handlers = self.handler.next_deadline();
        own.into_iter().chain(handlers).min()
    }

    /// Turns until [`Links::stop`].
    ///
    /// # Errors
    /// The poll fails, which it does not for reasons outside this process.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.state.stopped {
            self.turn(None)?;
        }
        Ok(())
    }

    /// Waits until there is something to do, `wait` at most, and does it.
    ///
    /// # Errors
    /// The poll fails, which it does not for reasons outside this process.
    pub fn turn(&mut self, wait: Option<Duration>) -> io::Result<()> {
        self.state.read_clock();
        let pause = if self.is_busy() {
            Some(Duration::ZERO)
        } else {
            let due = self.next_deadline().map(|due| due.saturating_sub(self.state.now));
            due.into_iter().chain(wait).min()
        };
        match self.state.poll.poll(&mut self.events, pause) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        self.state.read_clock();
        self.notice();
        // Those that are queued now, and not what they queue: everybody's turn comes before anybody's second.
        for _ in 0..self.state.ready.len() {
            let Some(slot) = self.state.unqueue() else { break };
            if self.state.is_listener(slot) {
                self.state.accept(slot);
            } else {
                self.serve(slot);
            }
        }
        self.expire();
        self.settle();
        self.flush();
        Ok(())
    }

    /// Looks at what the poll tells.
    fn notice(&mut self) {
        let mut woken = false;
        for event in &self.events {
            if event.token() == WAKER {
                woken = true;
                continue;
            }
            let slot = event.token().0;
            if let Some(connection) = self.state.connection_at(slot) {
                let ending = event.is_read_closed() || event.is_write_closed() || event.is_error();
                connection.ending |= ending;
                connection.readable |= event.is_readable() || ending;
                connection.writable |= event.is_writable() || ending;
            }
            self.state.queue(slot);
        }
        if woken {
            self.handler.woken(&mut Links { state: &mut self.state, current: None });
        }
    }

    /// Reads from a connection and hands on what came, within bounds; writes what answers it.
    fn serve(&mut self, slot: usize) {
        let Some(mut connection) = self.state.take(slot) else { return };
        let now = self.state.now;
        let mut budget = MESSAGES_PER_TURN;
        let mut over = None;
        let mut again = false;
        if connection.is_connected(now) || connection.channel.is_down() {
            let mut reads = 0;
            loop {
                over = self.dispatch(&mut connection, &mut budget);
                if over.is_some() || budget == 0 || reads == READS_MAX || !connection.read(now) {
                    break;
                }
                reads += 1;
            }
            if over.is_none() {
                connection.flush(now);
            }
            // There is more to read, more events, or the write has failed.
            let reads_more = connection.readable && connection.channel.wants_input();
            again = budget == 0 || reads_more || connection.channel.has_events();
        }
        match over {
            Some(reason) => self.end(slot, connection, &reason),
            None => {
                self.state.put(slot, connection);
                if again {
                    self.state.queue(slot);
                }
            }
        }
    }

    /// Hands out a connection's events; why it is down, if it is.
    fn dispatch(&mut self, connection: &mut Connection, budget: &mut usize) -> Option<Down> {
        let id = connection.id;
        while *budget > 0 {
            let (event, outbox) = connection.channel.poll()?;
            *budget -= 1;
            let mut links = Links {
                state: &mut self.state,
                current: Some(Current { id, outbox, peer: &connection.peer, up: true }),
            };
            match event {
                Event::Down(reason) => return Some(reason),
                Event::Up(up) => {
                    if let Some(features) = &up.features {
                        match links.state.datapaths.add(id, features) {
                            Ok(replaced) => replaced
                                .into_iter()
                                .for_each(|old| links.close(old, "its switch has connected anew")),
                            Err(reason) => {
                                self.state.closing.push((id, reason));
                                return self.close_here(connection);
                            }
                        }
                    }
                    if let Some(dial) = connection.dial
                        && let Some(dial) = links.state.dials[dial].as_mut()
                    {
                        dial.succeeded();
                    }
                    connection.up = true;
                    self.handler.connected(&mut links, id, up);
                }
                event => self.handler.event(&mut links, id, event),
            }
            if !self.state.closing.is_empty() {
                self.close_here(connection);
            }
        }
        None
    }

    /// Closes the connection that is being served, if that was asked for.
    fn close_here(&mut self, connection: &mut Connection) -> Option<Down> {
        let at = self.state.closing.iter().position(|&(id, _)| id == connection.id)?;
        let (_, reason) = self.state.closing.swap_remove(at);
        connection.channel.close(self.state.now, reason);
        None
    }

    /// A connection is over.
    fn end(&mut self, slot: usize, mut connection: Box<Connection>, reason: &Down) {
        // An error that says why, as far as it goes out.
        connection.flush(self.state.now);
        connection.stream.close();
        self.state.end(slot, &mut connection);
        let mut links = Links { state: &mut self.state, current: None };
        if connection.up {
            self.handler.disconnected(&mut links, connection.id, reason);
        } else {
            self.handler.refused(&mut links, &connection.peer, reason);
        }
    }

    /// Does what is due by now.
    fn expire(&mut self) {
        while let Some(timer) = self.state.expired() {
            match timer {
                Timer::Dial(at) => self.state.attempt(at),
                Timer::Slot(slot) if self.state.is_listener(slot) => self.state.queue(slot),
                Timer::Slot(slot) => {
                    let now = self.state.now;
                    if let Some(mut connection) = self.state.take(slot) {
                        connection.channel.expire(now);
                        self.state.put(slot, connection);
                        self.state.queue(slot);
                    }
                }
            }
        }
        if self.handler.next_deadline().is_some_and(|due| due <= self.state.now) {
            self.handler.deadline(&mut Links { state: &mut self.state, current: None });
        }
    }

    /// Closes what is to be closed, and tells of those who never were.
    fn settle(&mut self) {
        for (id, reason) in std::mem::take(&mut self.state.closing) {
            let now = self.state.now;
            if let Some(connection) = self.state.connection(id) {
                connection.channel.close(now, reason);
                self.state.queue(State::slot_of(id));
            }
        }
        for (peer, reason) in std::mem::take(&mut self.state.refusals) {
            self.handler.refused(&mut Links { state: &mut self.state, current: None }, &peer, &reason);
        }
    }

    /// Writes what was sent to connections since they were last written to.
    pub fn flush(&mut self) {
        let now = self.state.now;
        for slot in std::mem::take(&mut self.state.dirty) {
            let Some(connection) = self.state.connection_at(slot) else { continue };
            connection.dirty = false;
            if connection.is_connected(now) {
                connection.flush(now);
            }
            if connection.channel.has_events() {
                self.state.queue(slot);
            }
        }
    }

    /// The one who is asked about a connection.
    #[must_use]
    pub fn is_up(&mut self, id: ConnectionId) -> bool {
        self.state.connection(id).is_some_and(|connection| connection.up)
    }
}

impl<H> AsFd for Hub<H> {
    /// Polls readable while a turn has something to do, but for what [`Hub::is_busy`] and [`Hub::next_deadline`] tell.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.state.poll.registry().as_fd()
    }
}
