//! Datagrams to and from every address: the one that was meant comes beside a datagram (`ip(7)`, IP_PKTINFO;
//! `ipv6(7)`, IPV6_RECVPKTINFO), and goes beside an answer as its source.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, sendmsg,
};

/// Receives one datagram: its length, who sent it, and which address it was sent to.
pub(super) fn receive(socket: impl AsFd, into: &mut [u8]) -> io::Result<(usize, SocketAddr, IpAddr)> {
    let mut space = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(into)];
    let fd = socket.as_fd().as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
    let from = message.address.as_ref().and_then(socket_address);
    let to = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr))),
        _ => None,
    });
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "a datagram without its addresses");
    Ok((message.bytes, from.ok_or_else(missing)?, to.ok_or_else(missing)?))
}

/// Sends one datagram from an address that need not be one of this network.
pub(super) fn send(socket: impl AsFd, datagram: &[u8], from: IpAddr, to: SocketAddr) -> io::Result<()> {
    let parts = [IoSlice::new(datagram)];
    let fd = socket.as_fd().as_raw_fd();
    match (from, to) {
        (IpAddr::V4(from), SocketAddr::V4(to)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(from).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            let control = [ControlMessage::Ipv4PacketInfo(&info)];
            sendmsg(fd, &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&SockaddrIn::from(to)))?;
        }
        (IpAddr::V6(from), SocketAddr::V6(to)) => {
            let info =
                libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: from.octets() }, ipi6_ifindex: 0 };
            let control = [ControlMessage::Ipv6PacketInfo(&info)];
            sendmsg(fd, &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&SockaddrIn6::from(to)))?;
        }
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(())
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4(SocketAddrV4::new(v4.ip(), v4.port())));
    let v6 = || {
        let v6 = address.as_sockaddr_in6()?;
        Some(SocketAddr::V6(SocketAddrV6::new(v6.ip(), v6.port(), 0, 0)))
    };
    v4.or_else(v6)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;

    #[test]
    fn the_address_that_was_meant_comes_along_and_goes_back() {
        for meant in ["127.8.9.10", "::1"] {
            let meant: IpAddr = meant.parse().unwrap();
            let any = if meant.is_ipv4() { "0.0.0.0" } else { "::" };
            let listener = UdpSocket::bind((any, 0)).unwrap();
            match meant {
                IpAddr::V4(_) => setsockopt(&listener, sockopt::Ipv4PacketInfo, &true).unwrap(),
                IpAddr::V6(_) => setsockopt(&listener, sockopt::Ipv6RecvPacketInfo, &true).unwrap(),
            }
            let asker = UdpSocket::bind((any, 0)).unwrap();
            asker.connect((meant, listener.local_addr().unwrap().port())).unwrap();
            asker.send(b"who are you?").unwrap();
            let mut text = [0; 64];
            let (length, from, to) = receive(&listener, &mut text).unwrap();
            assert_eq!((&text[..length], to), (&b"who are you?"[..], meant));
            assert_eq!(from.port(), asker.local_addr().unwrap().port());
            send(&listener, b"I am", meant, from).unwrap();
            // A connected socket hears only the address that it asked.
            assert_eq!(asker.recv(&mut text).unwrap(), 4);
        }
    }
}
