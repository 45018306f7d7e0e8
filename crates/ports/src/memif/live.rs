//! A session with its socket, descriptors and memory.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::bell::Bell;
use super::half::{Borrowed, LentEmpty, LentFull};
use super::interface::{Interface, Rings, RxHalf, RxRing, TxHalf, TxRing};
use super::memory::Memory;
use super::ring::{Borrower, Lender};
use super::session::{Attach, Input, Limits, Offer, Output, Reason, RingOffer, Session, Terms};
use super::wire::{Direction, Init, MESSAGE, Message};

/// A connection, from the first message to the last.
pub(super) struct Live {
    socket: OwnedFd,
    session: Session<OwnedFd>,
    interface: Option<Arc<Interface>>,
    /// What a client has made.
    made: Option<Made>,
    /// What a server has been given.
    joined: Option<Rings>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Up,
    Over,
}

/// A client's memory and eventfds.
struct Made {
    terms: Terms,
    memory: Memory,
    region: OwnedFd,
    to_server: Vec<OwnedFd>,
    to_client: Vec<OwnedFd>,
}

impl Live {
    pub(super) fn new(socket: OwnedFd, session: Session<OwnedFd>, interface: Option<Arc<Interface>>) -> Self {
        Self { socket, session, interface, made: None, joined: None, state: State::Pending }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    pub(super) fn interface(&self) -> Option<&Arc<Interface>> {
        self.interface.as_ref()
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.session.next_deadline()
    }

    /// Reads one message.
    pub(super) fn read(&mut self, now: Instant) {
        // One byte more, to see that a message is too long.
        let mut bytes = [0; MESSAGE + 1];
        match read(&self.socket, &mut bytes) {
            Ok((0, _)) => self.session.handle(now, Input::Close(Reason::Gone)),
            Ok((len, descriptor)) => self.session.handle(now, Input::Message(&bytes[..len], descriptor)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.session.handle(now, Input::Close(Reason::Gone)),
        }
    }

    /// Ends it, and tells the other side why.
    pub(super) fn close(&mut self, now: Instant, reason: Reason) {
        self.session.handle(now, Input::Close(reason));
        self.advance(now, |init| Err(Reason::Id(init.id)));
    }

    /// Does what the session wants done, now that time has passed; `find` looks an interface up.
    pub(super) fn advance(&mut self, now: Instant, find: impl Fn(&Init) -> Result<Arc<Interface>, Reason>) {
        self.session.handle(now, Input::Time);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(message, attach) => {
                    let sent = send(&self.socket, &message, self.attachment(attach));
                    // A socket that takes no few messages is one that nobody reads.
                    if let Err(error) = sent {
                        self.session.handle(now, Input::Close(Reason::System { action: "sending", error }));
                    }
                }
                Output::Ask(init) => {
                    let answer = find(&init).and_then(|interface| self.admit(&init, interface));
                    self.session.handle(now, Input::Admitted(answer));
                }
                Output::Prepare(terms) => {
                    let answer = Made::new(terms).map(|made| self.made = Some(made));
                    self.session.handle(now, Input::Prepared(answer));
                }
                Output::Join(offer) => {
                    let bell = self.interface.as_ref().map(|interface| &*interface.bell);
                    let answer = join(offer, bell).map(|rings| self.joined = Some(rings));
                    self.session.handle(now, Input::Joined(answer));
                }
                Output::Up(peer) => {
                    let rings = self.joined.take().map(Ok).or_else(|| self.made.take().map(Made::into_rings));
                    match (rings, &self.interface) {
                        (Some(Ok(rings)), Some(interface)) => {
                            self.state = State::Up;
                            interface.up(rings, &peer);
                        }
                        (Some(Err(reason)), _) => self.session.handle(now, Input::Close(reason)),
                        _ => self.session.handle(now, Input::Close(Reason::Closed)),
                    }
                }
                Output::Ended(reason) => {
                    self.state = State::Over;
                    if let Some(interface) = &self.interface {
                        interface.down(&reason);
                    }
                }
            }
        }
    }

    fn admit(&mut self, init: &Init, interface: Arc<Interface>) -> Result<Limits, Reason> {
        if !interface.secret.is_empty() && !interface.secret.matches(&init.secret) {
            interface.down(&Reason::Secret);
            return Err(Reason::Secret);
        }
        let limits = Limits { queues: interface.config.queues as u16, name: interface.name };
        self.interface = Some(interface);
        Ok(limits)
    }

    fn attachment(&self, attach: Attach) -> Option<BorrowedFd<'_>> {
        let made = self.made.as_ref()?;
        match attach {
            Attach::Nothing => None,
            Attach::Region => Some(made.region.as_fd()),
            Attach::Bell(Direction::ToServer, index) => {
                made.to_server.get(usize::from(index)).map(AsFd::as_fd)
            }
            Attach::Bell(Direction::ToClient, index) => {
                made.to_client.get(usize::from(index)).map(AsFd::as_fd)
            }
        }
    }
}

impl Made {
    fn new(terms: Terms) -> Result<Self, Reason> {
        let bell = |_| {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            eventfd(0, flags).map_err(|error| Reason::System { action: "making an eventfd", error })
        };
        let to_server = (0..terms.to_server).map(bell).collect::<Result<_, _>>()?;
        let to_client = (0..terms.to_client).map(bell).collect::<Result<_, _>>()?;
        let (memory, region) = Memory::make(terms)?;
        Ok(Self { terms, memory, region, to_server, to_client })
    }

    fn into_rings(self) -> Result<Rings, Reason> {
        let Self { terms, memory, to_server, to_client, .. } = self;
        let lender = |direction, index| {
            let words = memory.ring(0, terms.ring(direction, index), terms.log2_entries);
            words.map(Lender::new).ok_or(Reason::Ring { direction, index, problem: "it is not there" })
        };
        let send = (0..).zip(to_server).map(|(index, bell)| {
            let half = LentFull::new(lender(Direction::ToServer, index)?, memory.clone(), terms, index);
            Ok::<_, Reason>(TxRing::new(TxHalf::Client(half), bell))
        });
        let receive = (0..).zip(to_client).map(|(index, bell)| {
            let half = LentEmpty::new(lender(Direction::ToClient, index)?, memory.clone(), terms, index);
            Ok::<_, Reason>(RxRing::new(RxHalf::Client(half), bell))
        });
        Ok(Rings { send: send.collect::<Result<_, _>>()?, receive: receive.collect::<Result<_, _>>()? })
    }
}

/// Checks and maps what a client offers.
fn join(offer: Offer<OwnedFd>, bell: Option<&Bell>) -> Result<Rings, Reason> {
    let bell = bell.ok_or(Reason::Closed)?;
    let memory = Memory::join(&offer.regions)?;
    let borrower = |direction, index, ring: &RingOffer<OwnedFd>| {
        let error = |problem| Reason::Ring { direction, index, problem };
        // It takes nothing but an eventfd; and whoever sleeps there wakes once for nothing.
        bell.ring(ring.bell.as_fd()).map_err(|_| error("its descriptor is that of no eventfd"))?;
        let words = memory.ring(ring.region, ring.offset as usize, ring.log2_entries);
        let words = words.filter(super::ring::Words::is_ring).ok_or(error("there is no ring"))?;
        Ok::<_, Reason>(Borrowed::new(Borrower::new(words), memory.clone()))
    };
    let receive = (0..).zip(offer.to_server).map(|(index, ring)| {
        let half = borrower(Direction::ToServer, index, &ring)?;
        Ok::<_, Reason>(RxRing::new(RxHalf::Server(half), ring.bell))
    });
    let send = (0..).zip(offer.to_client).map(|(index, ring)| {
        let half = borrower(Direction::ToClient, index, &ring)?;
        Ok::<_, Reason>(TxRing::new(TxHalf::Server(half), ring.bell))
    });
    Ok(Rings { receive: receive.collect::<Result<_, _>>()?, send: send.collect::<Result<_, _>>()? })
}

/// Reads a message and the first descriptor that came with it; others are closed.
fn read(socket: &OwnedFd, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptor = descriptors.into_iter().next();
        }
    }
    Ok((received.bytes, descriptor))
}

fn send(socket: &OwnedFd, message: &Message, attached: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let attached = attached.map(|descriptor| [descriptor]);
    if let Some(descriptors) = &attached {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(socket, &[IoSlice::new(&message.encode())], &mut control, flags)?;
    Ok(())
}
