//! The side that listens: it takes the memory that a client has made.

use super::super::ring;
use super::super::wire::{
    AddRegion, AddRing, Direction, Hello, Init, MODE_ETHERNET, Message, NAME, Text, VERSION,
};
use super::{Attach, BYTES_MAX, LOG2_ENTRIES_MAX, Outbox, Output, REGIONS_MAX, Reason};

/// What an interface takes of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Rings in each direction.
    pub(crate) queues: u16,
    /// The interface's name.
    pub(crate) name: Text<NAME>,
}

/// What a client offers: memory with rings in it, which nobody has looked at yet.
#[derive(Debug)]
pub(crate) struct Offer<F> {
    /// Bytes and memory of each region.
    pub(crate) regions: Vec<(u64, F)>,
    /// The rings to the server, by index.
    pub(crate) to_server: Vec<RingOffer<F>>,
    /// The rings to the client, by index.
    pub(crate) to_client: Vec<RingOffer<F>>,
}

/// A ring that lies within its region, as far as the region has the bytes that were said.
#[derive(Debug)]
pub(crate) struct RingOffer<F> {
    pub(crate) region: u16,
    pub(crate) offset: u32,
    pub(crate) log2_entries: u8,
    /// What wakes the reader.
    pub(crate) bell: F,
}

/// What a server says first.
pub(super) fn hello(queues: u16) -> Message {
    let greatest = queues.saturating_sub(1);
    Message::Hello(Hello {
        name: own_name(),
        versions: (VERSION, VERSION),
        region_max: REGIONS_MAX as u16 - 1,
        to_client_max: greatest,
        to_server_max: greatest,
        log2_entries_max: LOG2_ENTRIES_MAX,
    })
}

/// What this program is called.
pub(super) fn own_name() -> Text<NAME> {
    Text::new(concat!("weft ", env!("CARGO_PKG_VERSION")))
}

#[derive(Debug)]
pub(super) struct Server<F> {
    state: State,
    limits: Limits,
    offer: Offer<F>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Has said hello.
    Greeted,
    /// Has asked for the interface.
    Asking,
    /// Takes regions and rings.
    Gathering,
    /// Has handed out the offer.
    Joining(Text<NAME>),
    Up,
}

impl<F> Server<F> {
    pub(super) fn new() -> Self {
        let offer = Offer { regions: Vec::new(), to_server: Vec::new(), to_client: Vec::new() };
        Self { state: State::Greeted, limits: Limits { queues: 0, name: Text::new("") }, offer }
    }

    pub(super) fn message(
        &mut self,
        message: &Message,
        descriptor: Option<F>,
        out: &mut Outbox<'_, F>,
    ) -> Result<(), Reason> {
        match (self.state, message) {
            (State::Greeted, Message::Init(init)) => {
                suits(init)?;
                self.state = State::Asking;
                out.push(Output::Ask(*init));
                return Ok(());
            }
            (State::Gathering, Message::AddRegion(region)) => {
                self.add_region(region, descriptor.ok_or(Reason::Descriptor(message.kind()))?)?;
            }
            (State::Gathering, Message::AddRing(ring)) => {
                self.add_ring(ring, descriptor.ok_or(Reason::Descriptor(message.kind()))?)?;
            }
            (State::Gathering, Message::Connect(peer)) => {
                let nothing = Offer { regions: Vec::new(), to_server: Vec::new(), to_client: Vec::new() };
                self.state = State::Joining(*peer);
                out.push(Output::Join(std::mem::replace(&mut self.offer, nothing)));
                return Ok(());
            }
            _ => return Err(Reason::Unexpected(message.kind())),
        }
        out.send(Message::Ack, Attach::Nothing);
        Ok(())
    }

    pub(super) fn admitted(
        &mut self,
        answer: Result<Limits, Reason>,
        out: &mut Outbox<'_, F>,
    ) -> Result<(), Reason> {
        if self.state == State::Asking {
            self.limits = answer?;
            self.state = State::Gathering;
            out.send(Message::Ack, Attach::Nothing);
        }
        Ok(())
    }

    pub(super) fn joined(
        &mut self,
        answer: Result<(), Reason>,
        out: &mut Outbox<'_, F>,
    ) -> Result<(), Reason> {
        if let State::Joining(peer) = self.state {
            answer?;
            self.state = State::Up;
            out.send(Message::Connected(self.limits.name), Attach::Nothing);
            out.push(Output::Up(peer));
        }
        Ok(())
    }

    fn add_region(&mut self, region: &AddRegion, memory: F) -> Result<(), Reason> {
        let error = |problem| Err(Reason::Region { index: region.index, problem });
        let regions = &mut self.offer.regions;
        if usize::from(region.index) != regions.len() || regions.len() >= REGIONS_MAX {
            return error("regions are numbered from 0 to 15");
        }
        let before: u64 = regions.iter().map(|(bytes, _)| bytes).sum();
        if region.bytes == 0 || region.bytes > BYTES_MAX - before {
            return error("no bytes, or with the others more than 1 GiB");
        }
        regions.push((region.bytes, memory));
        Ok(())
    }

    fn add_ring(&mut self, ring: &AddRing, bell: F) -> Result<(), Reason> {
        let error = |problem| Err(Reason::Ring { direction: ring.direction, index: ring.index, problem });
        let rings = match ring.direction {
            Direction::ToServer => &mut self.offer.to_server,
            Direction::ToClient => &mut self.offer.to_client,
        };
        if usize::from(ring.index) != rings.len() || ring.index >= self.limits.queues {
            return error("out of turn, or more than there are queues");
        }
        if !(1..=LOG2_ENTRIES_MAX).contains(&ring.log2_entries) {
            return error("a ring has 2 to 16384 entries");
        }
        if ring.private_header != 0 {
            return error("no private headers are spoken here");
        }
        let Some(&(bytes, _)) = self.offer.regions.get(usize::from(ring.region)) else {
            return error("it lies in no region");
        };
        let end = u64::from(ring.offset) + ring::bytes(ring.log2_entries) as u64;
        if !ring.offset.is_multiple_of(ring::ALIGNMENT) || end > bytes {
            return error("it is not aligned, or lies outside its region");
        }
        let (region, offset, log2_entries) = (ring.region, ring.offset, ring.log2_entries);
        rings.push(RingOffer { region, offset, log2_entries, bell });
        Ok(())
    }
}

/// Whether this is a client that could be served.
fn suits(init: &Init) -> Result<(), Reason> {
    if init.version != VERSION {
        return Err(Reason::Version(init.version));
    }
    if init.mode != MODE_ETHERNET {
        return Err(Reason::Mode(init.mode));
    }
    Ok(())
}
