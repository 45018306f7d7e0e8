//! Sockets that wait for others to connect.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};

use super::stream::Stream;
use super::tls::TlsIdentity;
use super::{Side, Target, Tls};

/// Connections that wait to be accepted (the kernel may take it for less, `net.core.somaxconn`). A network that comes up
/// connects all its switches at once.
const BACKLOG: i32 = 4096;

#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    pub(super) target: Target,
    pub(super) side: Side,
    tls: Option<TlsIdentity>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Listens; [`Listener::target`] then says on which port.
    pub(super) fn new(target: &Target, side: Side, tls: Option<TlsIdentity>) -> io::Result<Self> {
        let (socket, target) = match target {
            Target::Listen(address, tls) => {
                let socket = tcp(*address)?;
                let target = Target::Listen(socket.local_addr()?, *tls);
                (Socket::Tcp(socket), target)
            }
            Target::ListenUnix(path) => {
                remove_dead(path)?;
                (Socket::Unix(UnixListener::bind(path)?, path.clone()), target.clone())
            }
            Target::Dial(..) | Target::DialUnix(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{target} is dialled")));
            }
        };
        let tls = tls.filter(|_| target.is_tls());
        Ok(Self { socket, target, side, tls })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match &mut self.socket {
            Socket::Tcp(socket) => socket,
            Socket::Unix(socket, _) => socket,
        };
        registry.register(source, token, Interest::READABLE)
    }

    /// The next one who connects, and its address.
    pub(super) fn accept(&self) -> io::Result<(Stream, String)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (socket, address) = listener.accept()?;
                socket.set_nodelay(true)?;
                match &self.tls {
                    Some(tls) => Ok((Stream::Tls(Box::new(tls.accept(socket)?)), format!("ssl:{address}"))),
                    None => Ok((Stream::Tcp(socket), format!("tcp:{address}"))),
                }
            }
            Socket::Unix(listener, path) => {
                let (socket, _) = listener.accept()?;
                Ok((Stream::Unix(socket), format!("unix:{}", path.display())))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix(_, path) = &self.socket {
            // Nobody listens there any more; if somebody else has taken the name meanwhile, it is gone for them too.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A listening socket with a backlog that mio and the standard library do not offer.
fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Removes a socket that a process has left behind; one that somebody listens on stays, and binding to it fails.
fn remove_dead(path: &Path) -> io::Result<()> {
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

/// Opens what a target dials.
pub(super) fn dial(target: &Target, tls: Option<&TlsIdentity>) -> io::Result<Stream> {
    match target {
        Target::Dial(address, Tls::No) => Stream::tcp(*address),
        Target::Dial(address, Tls::Yes) => {
            let tls = tls.ok_or_else(|| io::Error::other("no certificate is given"))?;
            match Stream::tcp(*address)? {
                Stream::Tcp(socket) => Ok(Stream::Tls(Box::new(tls.dial(socket, *address)?))),
                other => Ok(other),
            }
        }
        Target::DialUnix(path) => Stream::unix(path),
        Target::Listen(..) | Target::ListenUnix(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{target} is listened on")))
        }
    }
}
