//! Datagrams of a UDP socket: their level goes out as DSCP, their arrival comes in as the kernel has seen it.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::net::UdpSocket;
use mio::{Interest, Registry};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
};
use sim::Time;

use super::reactor::{Reactor, SOCKET};
use super::{LiveError, system};
use crate::wire::DATAGRAM_BYTES_MAX;

/// What the kernel is asked to hold of what arrives; it may grant less.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Datagrams that are received in one go.
const RECEIVE_MAX: usize = 256;

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    /// The only one that it talks to.
    peer: Option<SocketAddr>,
    /// What the kernel had no room for.
    stuck: Option<(Option<SocketAddr>, u8, Vec<u8>)>,
    bytes: Vec<u8>,
    control: Vec<u8>,
    /// Datagrams that could not be sent: the network is down, or they are too long for it.
    pub(super) unsent: u64,
}

/// What comes of a socket.
pub(super) enum Arrival<'a> {
    Datagram(Time, SocketAddr, &'a [u8]),
    /// The network says that nobody is there.
    Unreachable(Time),
}

impl Socket {
    /// One that hears everybody.
    pub(super) fn bind(address: SocketAddr, registry: &Registry) -> Result<Self, LiveError> {
        Self::make(address, None, registry).map_err(system(format!("UDP port {address}")))
    }

    /// One that hears only who it talks to.
    pub(super) fn connect(peer: SocketAddr, registry: &Registry) -> Result<Self, LiveError> {
        let own: SocketAddr = if peer.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        Self::make(own, Some(peer), registry).map_err(system(format!("a UDP socket to {peer}")))
    }

    fn make(own: SocketAddr, peer: Option<SocketAddr>, registry: &Registry) -> io::Result<Self> {
        let mut socket = UdpSocket::bind(own)?;
        if let Some(peer) = peer {
            socket.connect(peer)?;
        }
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            // Only root may have more than net.core.rmem_max; that much everybody gets.
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        }
        registry.register(&mut socket, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
        let (bytes, control) = (vec![0; DATAGRAM_BYTES_MAX + 1], nix::cmsg_space!(nix::sys::time::TimeSpec));
        Ok(Self { socket, peer, stuck: None, bytes, control, unsent: 0 })
    }

    pub(super) fn local(&self) -> Result<SocketAddr, LiveError> {
        self.socket.local_addr().map_err(system("the address of a socket"))
    }

    /// Takes what has arrived, up to a limit; whether there may be more.
    pub(super) fn receive(
        &mut self,
        reactor: &Reactor,
        mut take: impl FnMut(Arrival<'_>),
    ) -> Result<bool, LiveError> {
        for _ in 0..RECEIVE_MAX {
            let mut iov = [IoSliceMut::new(&mut self.bytes)];
            let came = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut iov,
                Some(&mut self.control),
                MsgFlags::MSG_DONTWAIT,
            );
            let (length, from, stamp) = match came {
                Ok(came) => {
                    let stamp = came.cmsgs().ok().and_then(|mut all| {
                        all.find_map(|message| match message {
                            ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
                            _ => None,
                        })
                    });
                    (came.bytes, came.address.as_ref().and_then(address), stamp)
                }
                Err(nix::Error::EAGAIN) => return Ok(false),
                Err(nix::Error::EINTR) => continue,
                Err(nix::Error::ECONNREFUSED | nix::Error::EHOSTUNREACH | nix::Error::ENETUNREACH) => {
                    take(Arrival::Unreachable(reactor.now()));
                    continue;
                }
                Err(error) => return Err(LiveError::System("receiving datagrams".to_owned(), error.into())),
            };
            if let Some(from) = from.or(self.peer) {
                take(Arrival::Datagram(arrived(reactor.now(), stamp), from, &self.bytes[..length]));
            }
        }
        Ok(true)
    }

    /// Sends a datagram; false where the kernel has no room: it goes first when there is.
    pub(super) fn send(&mut self, to: SocketAddr, level: u8, bytes: &[u8]) -> Result<bool, LiveError> {
        let to_whom = if self.peer.is_some() { None } else { Some(to) };
        match self.send_now(to_whom, to.ip(), level, bytes) {
            Ok(sent) => {
                if !sent {
                    self.stuck = Some((to_whom, level, bytes.to_vec()));
                }
                Ok(sent)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends what was stuck; false where it still is.
    pub(super) fn unstick(&mut self) -> Result<bool, LiveError> {
        let Some((to, level, bytes)) = self.stuck.take() else { return Ok(true) };
        let ip = to.or(self.peer).map_or(IpAddr::from([0; 4]), |to| to.ip());
        let sent = self.send_now(to, ip, level, &bytes)?;
        if !sent {
            self.stuck = Some((to, level, bytes));
        }
        Ok(sent)
    }

    fn send_now(
        &mut self,
        to: Option<SocketAddr>,
        ip: IpAddr,
        level: u8,
        bytes: &[u8],
    ) -> Result<bool, LiveError> {
        // DSCP n is level n; 1 is that of lower effort (RFC 8622). The low two bits are ECN's.
        let (tos, class) = (level << 2, i32::from(level << 2));
        let four = match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
        };
        let control = [if four { ControlMessage::Ipv4Tos(&tos) } else { ControlMessage::Ipv6TClass(&class) }];
        let to = to.map(SockaddrStorage::from);
        for _ in 0..4 {
            let iov = [IoSlice::new(bytes)];
            match sendmsg(self.socket.as_raw_fd(), &iov, &control, MsgFlags::MSG_DONTWAIT, to.as_ref()) {
                Ok(_) => return Ok(true),
                Err(nix::Error::EAGAIN | nix::Error::ENOBUFS) => return Ok(false),
                // What an earlier datagram has brought upon us is told by the next call; this one may go.
                Err(nix::Error::EINTR | nix::Error::ECONNREFUSED) => {}
                Err(_) => break,
            }
        }
        self.unsent += 1; // as if the network had lost it
        Ok(true)
    }
}

fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let four = from.as_sockaddr_in().map(|from| SocketAddr::from((from.ip(), from.port())));
    four.or_else(|| from.as_sockaddr_in6().map(|from| SocketAddr::from((from.ip(), from.port()))))
}

/// When something arrived that has this stamp of the wall clock's; now, where the stamp makes no sense.
fn arrived(now: Time, stamp: Option<Duration>) -> Time {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let ago = wall.zip(stamp).and_then(|(wall, stamp)| wall.checked_sub(stamp));
    match ago.map(|ago| ago.as_nanos()) {
        Some(ago) if ago < 1_000_000_000 => now - Time::from_nanos(ago as u64),
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as Plain;

    use nix::sys::socket::sockopt::{IpRecvTos, Ipv6RecvTClass};

    use super::*;

    /// The DSCP of the next datagram.
    fn dscp(socket: &Plain) -> u8 {
        let (mut bytes, mut control) = ([0; 100], nix::cmsg_space!([i32; 4]));
        let mut iov = [IoSliceMut::new(&mut bytes)];
        let fd = socket.as_raw_fd();
        let came = recvmsg::<SockaddrStorage>(fd, &mut iov, Some(&mut control), MsgFlags::empty()).unwrap();
        let found = came.cmsgs().unwrap().find_map(|message| match message {
            ControlMessageOwned::Ipv4Tos(tos) => Some(tos),
            ControlMessageOwned::Ipv6TClass(class) => Some(class as u8),
            _ => None,
        });
        found.unwrap() >> 2
    }

    #[test]
    fn levels_are_dscps() {
        let reactor = Reactor::new().unwrap();
        for (own, at) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::]:0", "[::1]:0"), ("[::]:0", "127.0.0.1:0")] {
            let plain = Plain::bind(at).unwrap();
            let to = plain.local_addr().unwrap();
            if to.is_ipv4() {
                setsockopt(&plain, IpRecvTos, &true).unwrap();
            } else {
                setsockopt(&plain, Ipv6RecvTClass, &true).unwrap();
            }
            let mut socket = Socket::bind(own.parse().unwrap(), reactor.registry()).unwrap();
            // As the kernel tells of who has sent to a socket of both families.
            let to = match to.ip() {
                IpAddr::V4(ip) if own.starts_with('[') => {
                    SocketAddr::new(ip.to_ipv6_mapped().into(), to.port())
                }
                _ => to,
            };
            for level in 0..8 {
                assert!(socket.send(to, level, b"datagram").unwrap());
                assert_eq!((dscp(&plain), socket.unsent), (level, 0), "level {level} from {own} to {to}");
            }
        }
    }
}
