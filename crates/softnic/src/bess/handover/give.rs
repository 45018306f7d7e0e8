//! The side that ends.

use std::fs::File;
use std::io::{self, BufWriter};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with, sockopt,
};

use super::wire::{self, Nothing, Offer, Paused, PortFds, Say};
use super::{HandoverError, SOCKET};
use crate::bess::control::Bess;
use crate::bess::saving::file;
use crate::engine::monotonic_ns;

/// How long the other one may build, packets flowing.
const BUILD: Duration = Duration::from_secs(120);
/// How long it may take over what modules have learnt, packets waiting.
const TAKE: Duration = Duration::from_secs(5);

/// What goes along beside the ports.
pub(in crate::bess) struct Giver {
    /// The directory of the state.
    pub(in crate::bess) directory: PathBuf,
    /// The listening socket.
    pub(in crate::bess) listener: Option<TcpListener>,
    /// The pid file with its lock.
    pub(in crate::bess) pid_file: Option<File>,
}

/// Lets others take over, from a thread of its own. The process ends once one has.
pub(in crate::bess) fn serve(bess: &Arc<Bess>, giver: Giver) -> io::Result<()> {
    let path = giver.directory.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // The directory is its owner's alone, and with it the socket.
    bind(&socket, &SocketAddrUnix::new(&path)?)?;
    listen(&socket, 1)?;
    let weak = Arc::downgrade(bess);
    std::thread::Builder::new().name("handover".into()).spawn(move || wait(&weak, &socket, &giver))?;
    Ok(())
}

fn wait(bess: &Weak<Bess>, socket: &OwnedFd, giver: &Giver) {
    while let Ok(peer) = accept_with(socket, SocketFlags::CLOEXEC) {
        let Some(bess) = bess.upgrade() else { return };
        match give(&bess, &peer, giver) {
            // Nothing is closed or taken back: it is the other one's now.
            Ok(()) => std::process::exit(0),
            Err(error) => {
                tracing::warn!("nothing is handed over: {error}");
                let _ = wire::say(&peer, Say::Refused(error.to_string()), &[]);
                if let Err(failure) = bess.release() {
                    tracing::error!("{failure}");
                }
            }
        }
    }
}

fn give(bess: &Arc<Bess>, peer: &OwnedFd, giver: &Giver) -> Result<(), HandoverError> {
    // As long as this is held, no request changes anything.
    let journal = bess.journal();
    let lock =
        journal.as_ref().ok_or_else(|| HandoverError::Refused("nothing is saved".to_owned()))?.lock()?;
    let mut fds = vec![OwnedFd::from(picture(bess)?), lock.into()];
    if let Some(listener) = &giver.listener {
        fds.push(listener.try_clone()?.into());
    }
    if let Some(file) = &giver.pid_file {
        fds.push(file.try_clone()?.into());
    }
    let mut ports = Vec::new();
    for (name, of_port) in bess.lock().ports.duplicates()? {
        ports.push(PortFds { name, count: of_port.len() as u32 });
        fds.extend(of_port);
    }
    if fds.len() > wire::ALL_FDS_MAX {
        return Err(HandoverError::Refused(format!("{} descriptors are too many", fds.len())));
    }
    let (listens, pid_file) = (giver.listener.is_some(), giver.pid_file.is_some());
    let offer = Offer { pid: std::process::id(), fds: fds.len() as u32, listens, pid_file, ports };
    wire::say_with(peer, Say::Offer(offer), &fds)?;
    drop(fds);
    expect(peer, BUILD, &Say::Ready(Nothing {}))?;
    let at_ns = monotonic_ns();
    bess.hold()?;
    let held = bess.engine().drain() as u64;
    let learnt = learnt(bess)?;
    wire::say_with(peer, Say::Paused(Paused { at_ns, held }), &[learnt.into()])?;
    expect(peer, TAKE, &Say::Taken(Nothing {}))?;
    wire::say(peer, Say::Go(Nothing {}), &[])?;
    Ok(())
}

/// Waits for what has to come next.
fn expect(peer: &OwnedFd, patience: Duration, wanted: &Say) -> Result<(), HandoverError> {
    sockopt::set_socket_timeout(peer, sockopt::Timeout::Recv, Some(patience)).map_err(io::Error::from)?;
    match wire::hear(peer)? {
        (say, _) if say == *wanted => Ok(()),
        (Say::Refused(why), _) => Err(HandoverError::Refused(why)),
        _ => Err(HandoverError::Refused("the other one says what it should not".to_owned())),
    }
}

/// A memory file of all that runs.
fn picture(bess: &Bess) -> Result<File, HandoverError> {
    let mut to = BufWriter::new(wire::memory("weft-state")?);
    file::begin(&mut to)?;
    bess.picture::<HandoverError>(&mut |kind, body| Ok(file::write(&mut to, kind, body)?))?;
    to.into_inner().map_err(|error| error.into_error().into())
}

/// A memory file of what modules have learnt, a record for each.
fn learnt(bess: &Bess) -> Result<File, HandoverError> {
    let mut to = BufWriter::new(wire::memory("weft-learnt")?);
    file::begin(&mut to)?;
    let names: Vec<String> = bess.lock().modules.keys().cloned().collect();
    for name in names {
        // One that is out of order has nothing to say, and will be in order there.
        if let Ok(Some(body)) = bess.engine().save(&name) {
            file::write(&mut to, &name, &body)?;
        }
    }
    to.into_inner().map_err(|error| error.into_error().into())
}
