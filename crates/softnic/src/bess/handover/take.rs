//! The side that goes on.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::wire::{self, Nothing, Offer, Paused, Say};
use super::{HandoverError, SOCKET};
use crate::bess::control::{Bess, Config};
use crate::bess::saving::file::{Next, Reader};
use crate::bess::saving::{Journal, Restored, Saved};
use crate::engine::monotonic_ns;

/// How long the other one may take to answer.
const PATIENCE: Duration = Duration::from_secs(130);

/// A daemon that goes on where another one has ended.
pub(in crate::bess) struct Taken {
    pub(in crate::bess) bess: Arc<Bess>,
    pub(in crate::bess) listener: Option<TcpListener>,
    pub(in crate::bess) pid_file: Option<File>,
    pub(in crate::bess) restored: Restored,
}

/// Takes over from the daemon that saves in a directory.
pub(in crate::bess) fn take(directory: &Path, config: Config) -> Result<Taken, HandoverError> {
    let nobody =
        |source: io::Error| HandoverError::Nobody { directory: directory.display().to_string(), source };
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(|error| nobody(error.into()))?;
    let address = SocketAddrUnix::new(directory.join(SOCKET)).map_err(|error| nobody(error.into()))?;
    connect(&socket, &address).map_err(|error| nobody(error.into()))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE)).map_err(io::Error::from)?;
    let (offer, fds) = offer(&socket)?;
    let other = pid(&offer).and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?))?;
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or_else(|| io::Error::other("a descriptor is missing"));
    let picture = wire::from_start(next()?)?;
    let lock = File::from(next()?);
    let listener = if offer.listens { Some(TcpListener::from(next()?)) } else { None };
    let pid_file = if offer.pid_file { Some(File::from(next()?)) } else { None };
    let mut ports = Vec::new();
    for port in &offer.ports {
        let of_port = (0..port.count).map(|_| next()).collect::<io::Result<Vec<OwnedFd>>>()?;
        ports.push((port.name.clone(), of_port));
    }
    let saved = Saved::handed(directory, lock, picture)?;
    let bess = Bess::start(saved.config(config)?)?;
    let built = build(&bess, saved, ports, &socket, &other);
    match built {
        Ok((journal, restored)) => {
            // It is written only now that nobody else writes there.
            *bess.journal() = Some(Journal::begin(&bess, directory, journal)?);
            Ok(Taken { bess, listener, pid_file, restored })
        }
        Err(error) => {
            let _ = wire::say(&socket, Say::Refused(error.to_string()), &[]);
            // Ports close what they have when they go, and remove the files of their sockets, which are not ours.
            std::mem::forget(bess);
            Err(error)
        }
    }
}

fn pid(offer: &Offer) -> io::Result<Pid> {
    let pid = i32::try_from(offer.pid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("it has no process number"))
}

/// What is offered, and all descriptors.
fn offer(socket: &OwnedFd) -> Result<(Offer, Vec<OwnedFd>), HandoverError> {
    let (offer, mut fds) = match wire::hear(socket)? {
        (Say::Offer(offer), fds) => (offer, fds),
        (Say::Refused(why), _) => return Err(HandoverError::Refused(why)),
        _ => return Err(HandoverError::Refused("it offers nothing".to_owned())),
    };
    let all = (offer.fds as usize).min(wire::ALL_FDS_MAX);
    while fds.len() < all {
        let (say, more) = wire::hear(socket)?;
        if say != Say::More(Nothing {}) || more.is_empty() {
            return Err(HandoverError::Refused("descriptors are missing".to_owned()));
        }
        fds.extend(more);
    }
    Ok((offer, fds))
}

/// Builds all of it, waits until the other one has paused, takes what modules have learnt there, and runs. Returns the lock
/// of the state.
fn build(
    bess: &Arc<Bess>,
    saved: Saved,
    ports: Vec<(String, Vec<OwnedFd>)>,
    socket: &OwnedFd,
    other: &OwnedFd,
) -> Result<(File, Restored), HandoverError> {
    bess.lock().ports.handed(ports);
    bess.hold()?;
    let (lock, mut restored) = saved.replay(bess)?;
    wire::say(socket, Say::Ready(Nothing {}), &[])?;
    let (Paused { at_ns, held }, learnt) = match wire::hear(socket)? {
        (Say::Paused(paused), mut fds) if fds.len() == 1 => (paused, fds.remove(0)),
        (Say::Refused(why), _) => return Err(HandoverError::Refused(why)),
        _ => return Err(HandoverError::Refused("it does not pause".to_owned())),
    };
    let path = std::path::PathBuf::from("what modules have learnt");
    let wrong = |source| crate::bess::saving::RestoreError::File { path: path.display().to_string(), source };
    let mut reader = Reader::over(wire::from_start(learnt)?).map_err(wrong)?;
    while let Next::Record(record) = reader.next().map_err(wrong)? {
        match bess.engine().restore(&record.kind, record.body) {
            Ok(Ok(0)) => {}
            Ok(Ok(lost)) => tracing::warn!("{}: {lost} of what it had learnt are lost", record.kind),
            Ok(Err(error)) => tracing::warn!("{}: {error}", record.kind),
            Err(error) => tracing::warn!("{error}"),
        }
    }
    wire::say(socket, Say::Taken(Nothing {}), &[])?;
    match wire::hear(socket) {
        Ok((Say::Go(_), _)) => {}
        Ok((Say::Refused(why), _)) => return Err(HandoverError::Refused(why)),
        // It may have died: then nobody else goes on.
        _ if is_gone(other) => {}
        _ => return Err(HandoverError::Refused("it has not ended".to_owned())),
    }
    bess.release()?;
    restored.waited = Some(Duration::from_nanos(monotonic_ns().saturating_sub(at_ns)));
    restored.held = held;
    Ok((lock, restored))
}

/// Whether a process has ended.
fn is_gone(process: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let soon = Timespec { tv_sec: 1, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&soon)), Ok(1))
}
