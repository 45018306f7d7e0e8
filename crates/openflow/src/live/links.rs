//! What a handler sees of the hub.

use std::time::Duration;

use super::state::State;
use super::{DialId, LinkError, Side, Target};
use crate::channel::{ConnectionId, Down, Outbox, SendError};
use crate::message::{Body, Message};

/// The connections, as a handler may use them: any of them, whichever an event came from.
#[derive(Debug)]
pub struct Links<'a> {
    pub(super) state: &'a mut State,
    /// The connection that is being served; it is not among the others meanwhile.
    pub(super) current: Option<Current<'a>>,
}

#[derive(Debug)]
pub(super) struct Current<'a> {
    pub(super) id: ConnectionId,
    pub(super) outbox: &'a mut Outbox,
    pub(super) peer: &'a str,
    pub(super) up: bool,
}

impl Links<'_> {
    /// The time since the hub was made, as of this turn.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.state.now
    }

    /// Where to send to a connection; `None` if it is down.
    pub fn outbox(&mut self, id: ConnectionId) -> Option<&mut Outbox> {
        if let Some(current) = &mut self.current
            && current.id == id
        {
            return Some(current.outbox);
        }
        let slot = State::slot_of(id);
        let connection = self.state.connection(id)?;
        if !connection.dirty {
            connection.dirty = true;
            self.state.dirty.push(slot);
        }
        self.state.connection(id).map(|connection| connection.channel.outbox())
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Then nothing of it is sent.
    pub fn send(&mut self, id: ConnectionId, message: &Message) -> Result<(), SendError> {
        self.outbox(id).ok_or(SendError::NotUp)?.send(message)
    }

    /// Sends it under a transaction of its own, which is returned.
    ///
    /// # Errors
    /// Then nothing of it is sent.
    pub fn send_body(&mut self, id: ConnectionId, body: &Body) -> Result<u32, SendError> {
        self.outbox(id).ok_or(SendError::NotUp)?.send_body(body)
    }

    /// Sends a request; an [`Event::Answer`](crate::channel::Event::Answer) of the transaction that is returned tells what
    /// became of it, within `timeout`.
    ///
    /// # Errors
    /// Then nothing of it is sent.
    pub fn request(&mut self, id: ConnectionId, timeout: Duration, body: &Body) -> Result<u32, SendError> {
        let due = self.state.now + timeout;
        self.outbox(id).ok_or(SendError::NotUp)?.request(due, body)
    }

    /// Ends a connection. One that was dialled is dialled again.
    pub fn close(&mut self, id: ConnectionId, why: &str) {
        self.state.closing.push((id, Down::Here(why.to_owned())));
    }

    /// The other side's address, `tcp:10.0.0.1:40000`.
    #[must_use]
    pub fn peer(&mut self, id: ConnectionId) -> Option<&str> {
        match &self.current {
            Some(current) if current.id == id => Some(current.peer),
            _ => self.state.connection(id).map(|connection| &*connection.peer),
        }
    }

    /// All connections that are up.
    #[must_use]
    pub fn up(&self) -> Vec<ConnectionId> {
        let mut all: Vec<_> = self.state.up().collect();
        all.extend(self.current.as_ref().filter(|current| current.up).map(|current| current.id));
        all
    }

    /// A controller's main connection to a datapath.
    #[must_use]
    pub fn datapath(&self, datapath: u64) -> Option<ConnectionId> {
        self.state.datapaths.main(datapath)
    }

    /// Listens; returns where, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// What is wrong with the target, or what the system says.
    pub fn listen(&mut self, target: &Target, side: Side) -> Result<Target, LinkError> {
        self.state.listen(target, side)
    }

    /// Connects, and connects again whenever that is over, with growing pauses.
    ///
    /// # Errors
    /// What is wrong with the target. That it cannot be reached is no error.
    pub fn dial(&mut self, target: &Target, side: Side) -> Result<DialId, LinkError> {
        self.state.dial(target, side)
    }

    /// Dials no more, and ends the connection.
    pub fn hang_up(&mut self, dial: DialId) {
        self.state.hang_up(dial);
    }

    /// Has [`Hub::run`](super::Hub::run) return.
    pub fn stop(&mut self) {
        self.state.stopped = true;
    }
}
