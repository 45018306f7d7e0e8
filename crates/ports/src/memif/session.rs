//! The control channel of one connection as a state machine without sockets, clocks or memory.
//!
//! ```text
//! client                         server
//!           ◀──── HELLO             what the server takes
//! INIT ─────▶                       which interface; the server asks for it (Ask) and answers
//! ADD_REGION ▶                      each is answered by ACK, which lets the client send the next
//! ADD_RING ──▶
//! CONNECT ───▶                      the server checks and maps what it was given (Join)
//!           ◀──── CONNECTED         packets pass (Up)
//!      ◀─ DISCONNECT ─▶             or the socket closes: Ended
//! ```
//!
//! Descriptors are of some type `F`: the real ones, or numbers in tests. Whatever the other side sends, a session makes
//! outputs for no more than [`REGIONS_MAX`] regions and the rings it was told to take, and ends after [`HANDSHAKE_MAX`]
//! if it is not up by then.

mod client;
mod server;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::wire::{Direction, Init, Message, NAME, REASON, Text, WireError};
use client::Client;
pub(crate) use client::Terms;
use server::Server;
pub(crate) use server::{Limits, Offer, RingOffer};

/// How long two sides may take to come to terms.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// The most regions of one connection.
pub(crate) const REGIONS_MAX: usize = 16;
/// The most bytes of all regions of a connection.
pub(crate) const BYTES_MAX: u64 = 1 << 30;
/// The longest ring, as a power of two.
pub(crate) const LOG2_ENTRIES_MAX: u8 = 14;
/// Outputs that one input makes at most.
const OUTPUTS_MAX: usize = 4;

/// Why there is no connection, or no longer one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    /// The other side said so.
    #[error("the other side left: {0}")]
    Left(Text<REASON>),
    /// The socket was closed.
    #[error("the other side is gone")]
    Gone,
    /// It took longer than [`HANDSHAKE_MAX`].
    #[error("no agreement within {HANDSHAKE_MAX:?}")]
    Late,
    /// This side's port was closed.
    #[error("port closed")]
    Closed,
    /// No such message.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// A message out of turn.
    #[error("unexpected {0}")]
    Unexpected(&'static str),
    /// Not version 2.0.
    #[error("version {0:#06x} is not spoken here")]
    Version(u16),
    /// No interface of that number.
    #[error("no interface {0} here")]
    Id(u32),
    /// The interface has a peer.
    #[error("interface {0} is connected already")]
    Busy(u32),
    /// Bare IP packets, or another mode that is no Ethernet.
    #[error("only Ethernet mode is spoken here")]
    Mode(u8),
    /// A wrong secret, or none.
    #[error("wrong secret")]
    Secret,
    /// A message without its descriptor.
    #[error("{0} without a descriptor")]
    Descriptor(&'static str),
    /// A region that cannot be taken.
    #[error("region {index}: {problem}")]
    Region {
        /// Which.
        index: u16,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A ring that cannot be taken.
    #[error("ring {index} {direction}: {problem}")]
    Ring {
        /// Which way it goes.
        direction: Direction,
        /// Which.
        index: u16,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A position in a ring that the other side cannot have got to.
    #[error("a ring's position is out of bounds")]
    Position,
    /// A descriptor in a ring that leads out of its region.
    #[error("a descriptor leads out of its region")]
    Buffer,
    /// The kernel refused something.
    #[error("{action}: {error}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        error: rustix::io::Errno,
    },
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToServer => "to the server",
            Self::ToClient => "to the client",
        })
    }
}

/// The descriptor that goes with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    Nothing,
    /// The region's memory; a client has one.
    Region,
    /// What wakes a ring's reader.
    Bell(Direction, u16),
}

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum Input<'a, F> {
    /// A message came, with a descriptor or without.
    Message(&'a [u8], Option<F>),
    /// The answer to [`Output::Ask`].
    Admitted(Result<Limits, Reason>),
    /// The answer to [`Output::Prepare`].
    Prepared(Result<(), Reason>),
    /// The answer to [`Output::Join`].
    Joined(Result<(), Reason>),
    /// Time has passed.
    Time,
    /// This side wants no more of it.
    Close(Reason),
}

/// What a session wants done.
#[derive(Debug)]
pub(crate) enum Output<F> {
    /// A message is to be sent.
    Send(Message, Attach),
    /// A client wants this interface; to be answered before anything else happens.
    Ask(Init),
    /// A client's memory is to be made; to be answered as well.
    Prepare(Terms),
    /// What a client offers is to be checked and mapped; to be answered as well.
    Join(Offer<F>),
    /// Packets may pass; the other side's interface has this name.
    Up(Text<NAME>),
    /// It is over; nothing follows.
    Ended(Reason),
}

/// One side of a connection.
#[derive(Debug)]
pub(crate) struct Session<F> {
    role: Role<F>,
    outputs: VecDeque<Output<F>>,
    deadline: Option<Instant>,
}

#[derive(Debug)]
enum Role<F> {
    Server(Server<F>),
    Client(Client),
    Ended,
}

/// Where outputs go, and what a role may do besides.
struct Outbox<'a, F>(&'a mut VecDeque<Output<F>>);

impl<F> Outbox<'_, F> {
    fn send(&mut self, message: Message, attach: Attach) {
        self.push(Output::Send(message, attach));
    }

    fn push(&mut self, output: Output<F>) {
        self.0.push_back(output);
    }
}

impl<F> Session<F> {
    /// A server's, right after a client has connected. `queues` is what it says of itself: each client is held to
    /// what its interface has.
    pub(crate) fn server(now: Instant, queues: u16) -> Self {
        let mut outputs = VecDeque::with_capacity(OUTPUTS_MAX);
        Outbox(&mut outputs).send(server::hello(queues), Attach::Nothing);
        Self { role: Role::Server(Server::new()), outputs, deadline: Some(now + HANDSHAKE_MAX) }
    }

    /// A client's, right after it has connected.
    pub(crate) fn client(now: Instant, wish: client::Wish) -> Self {
        let outputs = VecDeque::with_capacity(OUTPUTS_MAX);
        Self { role: Role::Client(Client::new(wish)), outputs, deadline: Some(now + HANDSHAKE_MAX) }
    }

    /// Takes an input; outputs wait for [`Session::poll_output`].
    pub(crate) fn handle(&mut self, now: Instant, input: Input<'_, F>) {
        let mut outbox = Outbox(&mut self.outputs);
        let result = match (&mut self.role, input) {
            (Role::Ended, _) => return,
            (_, Input::Close(reason)) => Err(reason),
            (_, Input::Time) if self.deadline.is_some_and(|deadline| deadline <= now) => Err(Reason::Late),
            (_, Input::Time) => Ok(()),
            (role, Input::Message(bytes, descriptor)) => match Message::decode(bytes) {
                Ok(Message::Disconnect { reason, .. }) => Err(Reason::Left(reason)),
                Ok(message) => match role {
                    Role::Server(server) => server.message(&message, descriptor, &mut outbox),
                    Role::Client(client) => client.message(&message, &mut outbox),
                    Role::Ended => Ok(()),
                },
                Err(error) => Err(error.into()),
            },
            (Role::Server(server), Input::Admitted(answer)) => server.admitted(answer, &mut outbox),
            (Role::Server(server), Input::Joined(answer)) => server.joined(answer, &mut outbox),
            (Role::Client(client), Input::Prepared(answer)) => client.prepared(answer, &mut outbox),
            (Role::Server(_), Input::Prepared(_))
            | (Role::Client(_), Input::Admitted(_) | Input::Joined(_)) => Ok(()),
        };
        if let Err(reason) = result {
            self.end(reason);
        } else if matches!(self.outputs.back(), Some(Output::Up(_))) {
            self.deadline = None;
        }
    }

    fn end(&mut self, reason: Reason) {
        if !matches!(reason, Reason::Left(_) | Reason::Gone) {
            let reason = Text::new(&reason.to_string());
            self.outputs.push_back(Output::Send(Message::Disconnect { code: 0, reason }, Attach::Nothing));
        }
        self.outputs.push_back(Output::Ended(reason));
        self.role = Role::Ended;
        self.deadline = None;
    }

    /// The next thing to be done, if there is one.
    pub(crate) fn poll_output(&mut self) -> Option<Output<F>> {
        self.outputs.pop_front()
    }

    /// When [`Input::Time`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

pub(crate) use client::Wish;

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
