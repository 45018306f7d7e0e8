//! The side that connects: it makes the memory and offers it.

use super::super::layout::Layout;
use super::super::wire::{
    AddRegion, AddRing, Direction, Hello, Init, MODE_ETHERNET, Message, NAME, SECRET, Text, VERSION,
};
use super::server::own_name;
use super::{Attach, Outbox, Output, Reason};

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The interface it wants.
    pub(crate) id: u32,
    pub(crate) secret: Text<SECRET>,
    /// The name of its own.
    pub(crate) name: Text<NAME>,
    /// Rings in each direction.
    pub(crate) queues: u16,
    pub(crate) log2_entries: u8,
    /// Bytes of a buffer.
    pub(crate) buffer: u32,
}

/// What the two sides come to: the wish, within what the server takes.
pub(crate) type Terms = Layout;

#[derive(Debug)]
pub(super) struct Client {
    state: State,
    wish: Wish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for the server's hello.
    Connected,
    /// Has asked for memory.
    Preparing(Terms),
    /// Has sent what `step` says and waits for its acknowledgement.
    Offering(Terms, Step),
    Up,
}

/// What is sent, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Init,
    Region,
    Ring(Direction, u16),
    Connect,
}

impl Client {
    pub(super) fn new(wish: Wish) -> Self {
        Self { state: State::Connected, wish }
    }

    pub(super) fn message<F>(&mut self, message: &Message, out: &mut Outbox<'_, F>) -> Result<(), Reason> {
        match (self.state, message) {
            (State::Connected, Message::Hello(hello)) => {
                let terms = self.terms(hello)?;
                self.state = State::Preparing(terms);
                out.push(Output::Prepare(terms));
            }
            (State::Offering(terms, step), Message::Ack) if step != Step::Connect => {
                let next = match step {
                    Step::Init => Step::Region,
                    Step::Region => Step::Ring(Direction::ToServer, 0),
                    Step::Ring(Direction::ToServer, index) if index + 1 < terms.to_server => {
                        Step::Ring(Direction::ToServer, index + 1)
                    }
                    Step::Ring(Direction::ToServer, _) => Step::Ring(Direction::ToClient, 0),
                    Step::Ring(Direction::ToClient, index) if index + 1 < terms.to_client => {
                        Step::Ring(Direction::ToClient, index + 1)
                    }
                    Step::Ring(Direction::ToClient, _) | Step::Connect => Step::Connect,
                };
                self.offer(terms, next, out);
            }
            (State::Offering(_, Step::Connect), Message::Connected(peer)) => {
                self.state = State::Up;
                out.push(Output::Up(*peer));
            }
            _ => return Err(Reason::Unexpected(message.kind())),
        }
        Ok(())
    }

    pub(super) fn prepared<F>(
        &mut self,
        answer: Result<(), Reason>,
        out: &mut Outbox<'_, F>,
    ) -> Result<(), Reason> {
        if let State::Preparing(terms) = self.state {
            answer?;
            self.offer(terms, Step::Init, out);
        }
        Ok(())
    }

    fn terms(&self, hello: &Hello) -> Result<Terms, Reason> {
        let (least, greatest) = hello.versions;
        if !(least..=greatest).contains(&VERSION) {
            return Err(Reason::Version(greatest));
        }
        let rings = |greatest: u16| self.wish.queues.min(greatest.saturating_add(1));
        let terms = Layout {
            to_server: rings(hello.to_server_max),
            to_client: rings(hello.to_client_max),
            // A ring of one entry is none.
            log2_entries: self.wish.log2_entries.min(hello.log2_entries_max).max(1),
            buffer: self.wish.buffer,
        };
        Ok(terms)
    }

    fn offer<F>(&mut self, terms: Terms, step: Step, out: &mut Outbox<'_, F>) {
        let (message, attach) = match step {
            Step::Init => {
                let Wish { id, secret, .. } = self.wish;
                let init = Init { version: VERSION, id, mode: MODE_ETHERNET, secret, name: own_name() };
                (Message::Init(init), Attach::Nothing)
            }
            Step::Region => {
                let region = AddRegion { index: 0, bytes: terms.bytes() as u64 };
                (Message::AddRegion(region), Attach::Region)
            }
            Step::Ring(direction, index) => {
                let ring = AddRing {
                    direction,
                    index,
                    region: 0,
                    offset: terms.ring(direction, index) as u32,
                    log2_entries: terms.log2_entries,
                    private_header: 0,
                };
                (Message::AddRing(ring), Attach::Bell(direction, index))
            }
            Step::Connect => (Message::Connect(self.wish.name), Attach::Nothing),
        };
        self.state = State::Offering(terms, step);
        out.send(message, attach);
    }
}
