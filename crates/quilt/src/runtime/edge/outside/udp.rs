//! Datagrams to the outside: whoever sends from one address and port to one address has a socket of its own there, so
//! that answers find back.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::super::OUTSIDE_SENDERS_MAX;
use super::{Open, Shared, datagram, place};

/// How long a sender is remembered after its last datagram either way.
const MEMORY: Duration = Duration::from_secs(60);
/// Bytes of the longest datagram.
const DATAGRAM_MAX: usize = 65_536;
/// Pause after a failure that is no datagram's own.
const PAUSE: Duration = Duration::from_millis(50);

/// Carries the datagrams that a socket for all addresses receives on `port`.
pub(super) fn serve(socket: OwnedFd, port: u16, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let inside = Arc::new(UdpSocket::from_std(StdUdpSocket::from(socket))?);
    let mut relay = Relay { inside, port, shared, senders: HashMap::new() };
    Ok(tokio::spawn(async move {
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            let socket = relay.inside.clone();
            let received = socket.async_io(Interest::READABLE, || datagram::receive(&*socket, &mut buffer));
            match received.await {
                Ok((length, from, to)) => relay.carry(&buffer[..length], from, to),
                // An ICMP error about an answer, or a datagram that made no sense; anything else does not go away by
                // itself at once.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => sleep(PAUSE).await,
            }
        }
    }))
}

struct Relay {
    inside: Arc<UdpSocket>,
    port: u16,
    shared: Arc<Shared>,
    senders: HashMap<(SocketAddr, IpAddr), Sender>,
}

impl Relay {
    fn carry(&mut self, datagram: &[u8], from: SocketAddr, to: IpAddr) {
        self.senders.retain(|_, sender| !sender.task.is_finished());
        let key = (from, to);
        let target = SocketAddr::new(to, self.port);
        if !self.senders.contains_key(&key) {
            match self.sender(from, target) {
                Some(Ok(sender)) => {
                    self.senders.insert(key, sender);
                }
                Some(Err(error)) => {
                    self.shared.senders.fail();
                    return self.shared.icmp.tell(from, target, &error);
                }
                None => return,
            }
        }
        if let Some(sender) = self.senders.get_mut(&key) {
            sender.seen = Instant::now();
            // A full socket loses datagrams, as every hop of the way may. The socket is asked itself: the runtime would not
            // know yet that a new one is ready.
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            if let Err(error) = send(&*sender.outside, datagram, flags) {
                self.shared.icmp.tell(from, target, &error.into());
            }
        }
    }

    /// A new sender; `None` where there are too many: then the one of this port that is silent longest makes room for
    /// the next.
    fn sender(&mut self, from: SocketAddr, to: SocketAddr) -> Option<io::Result<Sender>> {
        if let Some(open) = self.shared.senders.open(OUTSIDE_SENDERS_MAX) {
            return Some(Sender::open(from, to, self.inside.clone(), self.shared.clone(), open));
        }
        let oldest = self.senders.iter().min_by_key(|(_, sender)| sender.seen).map(|(key, _)| *key);
        oldest.and_then(|oldest| self.senders.remove(&oldest));
        None
    }
}

/// Who sends, and the socket that stands for it outside.
struct Sender {
    outside: Arc<UdpSocket>,
    seen: Instant,
    task: JoinHandle<()>,
}

impl Sender {
    fn open(
        from: SocketAddr,
        to: SocketAddr,
        inside: Arc<UdpSocket>,
        shared: Arc<Shared>,
        open: Open,
    ) -> io::Result<Self> {
        place::check(to.ip())?;
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = StdUdpSocket::bind((any, 0))?;
        // Also errors that may pass, such as an unreachable host, are told (`ip(7)`, IP_RECVERR).
        match to {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
        }
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        let outside = Arc::new(UdpSocket::from_std(socket)?);
        let answers = outside.clone();
        let task = tokio::spawn(async move {
            let _open = open;
            let mut buffer = vec![0; DATAGRAM_MAX];
            while let Ok(answer) = timeout(MEMORY, answers.recv(&mut buffer)).await {
                match answer {
                    Ok(length) => {
                        let _ = datagram::send(&*inside, &buffer[..length], to.ip(), from);
                    }
                    Err(error) => shared.icmp.tell(from, to, &error),
                }
            }
        });
        Ok(Self { outside, seen: Instant::now(), task })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.task.abort();
    }
}
