//! The edge's control socket: JSON messages, each with at most one descriptor beside it (`unix(7)`, SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recvmsg, sendmsg, socket_with,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{OutsidePorts, OutsideStatus, PublishedPort, PublishedStatus, Reply, Request};

/// Bytes of one message: the longest is the list of [`super::PUBLISHES_MAX`] ports.
const MESSAGE_MAX: usize = 192 << 10;

/// Why the edge did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The process is not there or hung up.
    #[error("the edge process does not answer: {0}")]
    Io(#[from] io::Error),
    /// It refused.
    #[error("the edge process refused: {0}")]
    Refused(String),
    /// It answered something else.
    #[error("the edge process answered what was not asked: {0}")]
    Unexpected(String),
}

/// A connection to an edge process.
#[derive(Debug)]
pub struct EdgeClient(OwnedFd);

impl EdgeClient {
    /// Connects to the edge process that serves `socket`.
    ///
    /// # Errors
    /// When nobody serves it.
    pub fn connect(socket: &Path) -> Result<Self, EdgeError> {
        let fd = seqpacket()?;
        connect(&fd, &SocketAddrUnix::new(socket).map_err(io::Error::from)?).map_err(io::Error::from)?;
        Ok(Self(fd))
    }

    /// Publishes a port on `target`: `socket` is the bound socket of a new port, `None` leads a port that is
    /// published already elsewhere.
    ///
    /// # Errors
    /// When the edge refuses, or is gone.
    pub fn publish(
        &self,
        port: PublishedPort,
        target: SocketAddr,
        socket: Option<BorrowedFd<'_>>,
    ) -> Result<(), EdgeError> {
        self.ask(&Request::Publish { port, target }, socket).and_then(done)
    }

    /// Closes a port; its open connections live on.
    ///
    /// # Errors
    /// When the edge is gone.
    pub fn withdraw(&self, port: PublishedPort) -> Result<(), EdgeError> {
        self.ask(&Request::Withdraw { port }, None).and_then(done)
    }

    /// What is published.
    ///
    /// # Errors
    /// When the edge is gone.
    pub fn list(&self) -> Result<Vec<PublishedStatus>, EdgeError> {
        match self.ask(&Request::List, None)? {
            Reply::Published(list) => Ok(list),
            other => Err(unexpected(&other)),
        }
    }

    /// Carries connections to the outside on these ports, and on no others.
    ///
    /// # Errors
    /// When the edge refuses, or is gone.
    pub fn outside(&self, ports: Vec<OutsidePorts>) -> Result<(), EdgeError> {
        self.ask(&Request::Outside { ports }, None).and_then(done)
    }

    /// What was carried to the outside; nothing where no link leads there.
    ///
    /// # Errors
    /// When the edge is gone.
    pub fn carried(&self) -> Result<Option<OutsideStatus>, EdgeError> {
        match self.ask(&Request::Carried, None)? {
            Reply::Carried(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, request: &Request, fd: Option<BorrowedFd<'_>>) -> Result<Reply, EdgeError> {
        send(self.0.as_fd(), request, fd)?;
        let answer = receive(self.0.as_fd())?;
        answer.map(|(reply, _)| reply).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}

fn done(reply: Reply) -> Result<(), EdgeError> {
    match reply {
        Reply::Done => Ok(()),
        Reply::Refused(why) => Err(EdgeError::Refused(why)),
        other @ (Reply::Published(_) | Reply::Carried(_)) => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &Reply) -> EdgeError {
    EdgeError::Unexpected(format!("{reply:?}"))
}

/// Serves the control socket, one client after the other, until the process ends.
pub(super) fn answer(
    listener: &OwnedFd,
    mut handle: impl FnMut(Request, Option<OwnedFd>) -> Reply,
) -> io::Result<()> {
    loop {
        let client = accept_with(listener, SocketFlags::CLOEXEC)?;
        // A client that hangs up or talks nonsense loses its own connection and nothing else.
        while let Ok(Some((request, fd))) = receive(client.as_fd()) {
            if send(client.as_fd(), &handle(request, fd), None).is_err() {
                break;
            }
        }
    }
}

/// Makes the control socket.
pub(super) fn listen_at(socket: &Path) -> io::Result<OwnedFd> {
    let _ = std::fs::remove_file(socket);
    let fd = seqpacket()?;
    bind(&fd, &SocketAddrUnix::new(socket)?)?;
    listen(&fd, 16)?;
    Ok(fd)
}

fn seqpacket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn send(socket: BorrowedFd<'_>, message: &impl Serialize, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let fds = fd.map(|fd| [fd]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive<M: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(M, Option<OwnedFd>)>> {
    let mut text = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of more than 192 KiB"));
    }
    Ok(Some((serde_json::from_slice(&text[..got.bytes])?, fd)))
}
