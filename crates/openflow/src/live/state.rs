//! What a hub has: sockets, timers, dials.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use mio::{Poll, Token};
use thiserror::Error;

use super::connection::Connection;
use super::dial::{Dial, DialId};
use super::listener::{self, Listener};
use super::stream::Stream;
use super::tls::TlsIdentity;
use super::{ACCEPT_PAUSE, ACCEPTS_PER_TURN, Side, Target};
use crate::channel::{ConnectionId, Datapaths, Down};

/// Sockets that a hub may listen on, and connections that it may make.
const SOURCES_MAX: usize = 1024;

/// Why there is no listening or dialling.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The system says no.
    #[error("{target}: {error}")]
    System {
        /// Where.
        target: Target,
        /// Why.
        error: io::Error,
    },
    /// There is no descriptor left for a poll.
    #[error("no poll: {0}")]
    Poll(io::Error),
    /// It needs a certificate, and none is given.
    #[error("{0} needs a private key, a certificate and an authority's certificate")]
    NoCertificate(Target),
    /// It is dialled and not listened on, or the reverse.
    #[error("{0} is for dialling where it starts with t, s or u, for listening where it starts with p")]
    WrongWay(Target),
    /// There are too many.
    #[error("{0}: more than {SOURCES_MAX}")]
    TooMany(Target),
}

/// What a hub has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections taken from listeners.
    pub accepted: u64,
    /// Connections closed at once, since there were [`connections_max`](super::HubConfig::connections_max).
    pub refused: u64,
    /// Times that listening rested, for want of descriptors or buffers.
    pub accept_pauses: u64,
    /// Attempts at connecting.
    pub dialled: u64,
    /// Connections that are over, for whatever reason.
    pub closed: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) poll: Poll,
    epoch: Instant,
    pub(super) now: Duration,
    pub(super) tls: Option<TlsIdentity>,
    connections_max: usize,
    slots: Vec<Slot>,
    free: Vec<usize>,
    pub(super) connections: usize,
    listeners: usize,
    pub(super) dials: Vec<Option<Dial>>,
    timers: BTreeSet<(Duration, Timer)>,
    /// Slots with something to do.
    pub(super) ready: VecDeque<usize>,
    /// Slots with something to send.
    pub(super) dirty: Vec<usize>,
    /// Connections to be closed, by whoever runs now.
    pub(super) closing: Vec<(ConnectionId, Down)>,
    /// Peers whose connections ended before they were anything.
    pub(super) refusals: Vec<(String, Down)>,
    pub(super) datapaths: Datapaths,
    pub(super) counters: Counters,
    pub(super) stopped: bool,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    queued: bool,
    timer: Option<Duration>,
    source: Source,
}

#[derive(Debug, Default)]
enum Source {
    #[default]
    Free,
    Listener(Box<Listener>),
    Connection(Box<Connection>),
    /// Being served.
    Out,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Slot(usize),
    Dial(usize),
}

impl State {
    pub(super) fn new(connections_max: usize, tls: Option<TlsIdentity>) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            epoch: Instant::now(),
            now: Duration::ZERO,
            tls,
            connections_max,
            slots: Vec::new(),
            free: Vec::new(),
            connections: 0,
            listeners: 0,
            dials: Vec::new(),
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            closing: Vec::new(),
            refusals: Vec::new(),
            datapaths: Datapaths::default(),
            counters: Counters::default(),
            stopped: false,
        })
    }

    pub(super) fn read_clock(&mut self) {
        self.now = self.epoch.elapsed();
    }

    /// Has it served in the next turn.
    pub(super) fn queue(&mut self, slot: usize) {
        if let Some(entry) = self.slots.get_mut(slot)
            && !entry.queued
            && !matches!(entry.source, Source::Free)
        {
            entry.queued = true;
            self.ready.push_back(slot);
        }
    }

    /// Takes it from the queue.
    pub(super) fn unqueue(&mut self) -> Option<usize> {
        let slot = self.ready.pop_front()?;
        self.slots[slot].queued = false;
        Some(slot)
    }

    fn occupy(&mut self, source: Source) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.slots[slot].source = source;
        slot
    }

    fn release(&mut self, slot: usize) {
        if let Some(due) = self.slots[slot].timer.take() {
            self.timers.remove(&(due, Timer::Slot(slot)));
        }
        let entry = &mut self.slots[slot];
        entry.source = Source::Free;
        // An id is not used again before four thousand million others have been.
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
    }

    pub(super) fn slot_of(id: ConnectionId) -> usize {
        (id.0 & 0xffff_ffff) as usize
    }

    fn id_of(&self, slot: usize) -> ConnectionId {
        ConnectionId(u64::from(self.slots[slot].generation) << 32 | slot as u64)
    }

    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        match self.slots.get_mut(Self::slot_of(id)).map(|slot| &mut slot.source) {
            Some(Source::Connection(connection)) if connection.id == id => Some(connection),
            _ => None,
        }
    }

    pub(super) fn connection_at(&mut self, slot: usize) -> Option<&mut Connection> {
        match self.slots.get_mut(slot).map(|slot| &mut slot.source) {
            Some(Source::Connection(connection)) => Some(connection),
            _ => None,
        }
    }

    /// Connections that are up, but for the one that is being served.
    pub(super) fn up(&self) -> impl Iterator<Item = ConnectionId> {
        self.slots.iter().filter_map(|slot| match &slot.source {
            Source::Connection(connection) if connection.up => Some(connection.id),
            _ => None,
        })
    }

    pub(super) fn is_listener(&self, slot: usize) -> bool {
        matches!(self.slots[slot].source, Source::Listener(_))
    }

    /// Takes a connection out to serve it.
    pub(super) fn take(&mut self, slot: usize) -> Option<Box<Connection>> {
        match std::mem::replace(&mut self.slots[slot].source, Source::Out) {
            Source::Connection(connection) => Some(connection),
            other => {
                self.slots[slot].source = other;
                None
            }
        }
    }

    /// Puts it back.
    pub(super) fn put(&mut self, slot: usize, connection: Box<Connection>) {
        if let Some(due) = connection.channel.next_deadline() {
            self.schedule(slot, due);
        }
        self.slots[slot].source = Source::Connection(connection);
    }

    /// It is over; what it was is still to be told.
    pub(super) fn end(&mut self, slot: usize, connection: &mut Connection) {
        connection.stream.deregister(self.poll.registry());
        self.release(slot);
        self.connections -= 1;
        self.counters.closed += 1;
        for id in self.datapaths.remove(connection.id).auxiliaries {
            self.closing.push((id, Down::Here("the main connection is down".into())));
        }
        // One that was hung up has no dial any more, or another's.
        if let Some(at) = connection.dial
            && self.dials[at].as_ref().is_some_and(|dial| dial.slot == Some(slot))
        {
            self.dial_failed(at);
        }
    }

    /// Sees to it that the slot is looked at by then. A timer that is too early is left: it is set anew when it fires,
    /// so that a message does not cost a change of the tree.
    fn schedule(&mut self, slot: usize, due: Duration) {
        let entry = &mut self.slots[slot];
        if entry.timer.is_none_or(|timer| due < timer) {
            if let Some(before) = entry.timer.replace(due) {
                self.timers.remove(&(before, Timer::Slot(slot)));
            }
            self.timers.insert((due, Timer::Slot(slot)));
        }
    }

    pub(super) fn next_timer(&self) -> Option<Duration> {
        self.timers.first().map(|&(due, _)| due)
    }

    /// A timer that has run out.
    pub(super) fn expired(&mut self) -> Option<Timer> {
        let &(due, timer) = self.timers.first().filter(|&&(due, _)| due <= self.now)?;
        self.timers.remove(&(due, timer));
        if let Timer::Slot(slot) = timer {
            self.slots[slot].timer = None;
        }
        Some(timer)
    }

    pub(super) fn listen(&mut self, target: &Target, side: Side) -> Result<Target, LinkError> {
        if !target.listens() {
            return Err(LinkError::WrongWay(target.clone()));
        }
        if target.is_tls() && self.tls.is_none() {
            return Err(LinkError::NoCertificate(target.clone()));
        }
        if self.listeners >= SOURCES_MAX {
            return Err(LinkError::TooMany(target.clone()));
        }
        let system = |error| LinkError::System { target: target.clone(), error };
        let listener = Listener::new(target, side, self.tls.clone()).map_err(system)?;
        let actual = listener.target.clone();
        let slot = self.occupy(Source::Listener(Box::new(listener)));
        let registry = self.poll.registry();
        if let Source::Listener(listener) = &mut self.slots[slot].source
            && let Err(error) = listener.register(registry, Token(slot))
        {
            self.release(slot);
            return Err(system(error));
        }
        self.listeners += 1;
        Ok(actual)
    }

    /// Takes those who connect, up to [`ACCEPTS_PER_TURN`].
    pub(super) fn accept(&mut self, slot: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Source::Listener(listener) = &self.slots[slot].source else { return };
            match listener.accept() {
                Ok((stream, peer)) => {
                    self.counters.accepted += 1;
                    if self.connections >= self.connections_max {
                        // Dropped here, which closes it.
                        self.counters.refused += 1;
                        continue;
                    }
                    let side = listener.side.clone();
                    self.add(stream, &side, peer, None);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    // Who connected is gone again.
                    io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::Interrupted => {}
                    // No descriptors, no buffers. Who waits keeps waiting; the poll will not tell of them again.
                    _ => {
                        self.counters.accept_pauses += 1;
                        let due = self.now + ACCEPT_PAUSE;
                        return self.schedule(slot, due);
                    }
                },
            }
        }
        self.queue(slot);
    }

    /// Puts a socket under care; the slot it has.
    fn add(&mut self, mut stream: Stream, side: &Side, peer: String, dial: Option<usize>) -> Option<usize> {
        let slot = self.occupy(Source::Out);
        if let Err(error) = stream.register(self.poll.registry(), Token(slot)) {
            self.release(slot);
            self.refusals.push((peer, Down::Socket(error.to_string())));
            return None;
        }
        let id = self.id_of(slot);
        let connection = Connection::new(id, stream, side.channel(self.now), peer, dial);
        self.connections += 1;
        self.put(slot, Box::new(connection));
        // Its hello is to be sent.
        self.queue(slot);
        Some(slot)
    }

    pub(super) fn dial(&mut self, target: &Target, side: Side) -> Result<DialId, LinkError> {
        if target.listens() {
            return Err(LinkError::WrongWay(target.clone()));
        }
        if target.is_tls() && self.tls.is_none() {
            return Err(LinkError::NoCertificate(target.clone()));
        }
        let at = self.dials.iter().position(Option::is_none).unwrap_or(self.dials.len());
        if at >= self.connections_max {
            return Err(LinkError::TooMany(target.clone()));
        }
        let dial = Some(Dial::new(target.clone(), side));
        if at == self.dials.len() {
            self.dials.push(dial);
        } else {
            self.dials[at] = dial;
        }
        self.attempt(at);
        Ok(DialId(at))
    }

    /// Tries to connect.
    pub(super) fn attempt(&mut self, at: usize) {
        let Some(dial) = self.dials.get_mut(at).and_then(Option::as_mut) else { return };
        dial.due = None;
        self.counters.dialled += 1;
        let (target, side) = (dial.target.clone(), dial.side.clone());
        let slot = match listener::dial(&target, self.tls.as_ref()) {
            Ok(stream) => self.add(stream, &side, target.to_string(), Some(at)),
            Err(error) => {
                self.refusals.push((target.to_string(), Down::Socket(error.to_string())));
                None
            }
        };
        match (slot, self.dials[at].as_mut()) {
            (Some(slot), Some(dial)) => dial.slot = Some(slot),
            _ => self.dial_failed(at),
        }
    }

    fn dial_failed(&mut self, at: usize) {
        if let Some(dial) = self.dials.get_mut(at).and_then(Option::as_mut) {
            let due = dial.failed(self.now);
            self.timers.insert((due, Timer::Dial(at)));
        }
    }

    /// Dials no more; its connection ends.
    pub(super) fn hang_up(&mut self, id: DialId) {
        let Some(dial) = self.dials.get_mut(id.0).and_then(Option::take) else { return };
        if let Some(due) = dial.due {
            self.timers.remove(&(due, Timer::Dial(id.0)));
        }
        if let Some(slot) = dial.slot {
            self.closing.push((self.id_of(slot), Down::Here("hung up".into())));
        }
    }
}
