//! What goes over the socket between the two: small messages, with descriptors. Whatever is long is in a memory file.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use prost::Message;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Descriptors in one message; the kernel takes 253 (`SCM_MAX_FD`).
const FDS_MAX: usize = 128;
/// Bytes of the longest message.
const MESSAGE_MAX: usize = 1 << 16;
/// Descriptors in all: each of 4,096 ports with some queues.
pub(super) const ALL_FDS_MAX: usize = 1 << 16;

/// What is said.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub(super) enum Say {
    /// The first: what comes along.
    #[prost(message, tag = "1")]
    Offer(Offer),
    /// More descriptors.
    #[prost(message, tag = "2")]
    More(Nothing),
    /// All of it is built.
    #[prost(message, tag = "3")]
    Ready(Nothing),
    /// The other one is paused; with a memory file of what modules have learnt.
    #[prost(message, tag = "4")]
    Paused(Paused),
    /// That is there as well.
    #[prost(message, tag = "5")]
    Taken(Nothing),
    /// Run.
    #[prost(message, tag = "6")]
    Go(Nothing),
    /// It will not be.
    #[prost(string, tag = "7")]
    Refused(String),
}

/// A message.
#[derive(Clone, PartialEq, Eq, Message)]
struct Said {
    #[prost(oneof = "Say", tags = "1, 2, 3, 4, 5, 6, 7")]
    say: Option<Say>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Nothing {}

/// What comes along: descriptors in this order.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Offer {
    /// The process.
    #[prost(uint32, tag = "1")]
    pub(super) pid: u32,
    /// Descriptors in all. The first is a memory file with all that runs, the second the lock of the state.
    #[prost(uint32, tag = "2")]
    pub(super) fds: u32,
    /// Whether the listening socket comes next.
    #[prost(bool, tag = "3")]
    pub(super) listens: bool,
    /// Whether the lock of the pid file comes next.
    #[prost(bool, tag = "4")]
    pub(super) pid_file: bool,
    /// Then those of the ports that have any.
    #[prost(message, repeated, tag = "5")]
    pub(super) ports: Vec<PortFds>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct PortFds {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint32, tag = "2")]
    pub(super) count: u32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Paused {
    /// When, on the monotonic clock.
    #[prost(uint64, tag = "1")]
    pub(super) at_ns: u64,
    /// Packets that stay behind in modules.
    #[prost(uint64, tag = "2")]
    pub(super) held: u64,
}

/// Says something, with some descriptors.
pub(super) fn say(socket: impl AsFd, say: Say, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let said = Said { say: Some(say) }.encode_to_vec();
    if said.len() > MESSAGE_MAX || fds.len() > FDS_MAX {
        return Err(io::Error::other("there are too many ports to be told of"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("there are too many descriptors"));
    }
    sendmsg(socket, &[IoSlice::new(&said)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Says something with descriptors, as many messages as that takes.
pub(super) fn say_with(socket: impl AsFd, what: Say, fds: &[OwnedFd]) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let mut chunks = fds.chunks(FDS_MAX);
    say(&socket, what, chunks.next().unwrap_or_default())?;
    chunks.try_for_each(|chunk| say(&socket, Say::More(Nothing {}), chunk))
}

/// What the other one says next, and the descriptors that come with it.
pub(super) fn hear(socket: impl AsFd) -> io::Result<(Say, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut bytes)];
    let came = recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if came.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let said = Said::decode(&bytes[..came.bytes]).ok().and_then(|said| said.say);
    let say = said.ok_or_else(|| io::Error::other("it says what this version does not know"))?;
    Ok((say, fds))
}

/// An empty memory file.
pub(super) fn memory(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// A memory file that another one has written, from its beginning.
pub(super) fn from_start(fd: OwnedFd) -> io::Result<File> {
    let mut file = File::from(fd);
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
