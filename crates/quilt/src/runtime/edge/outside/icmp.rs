//! Telling a container that its datagrams arrive nowhere, as a router would (RFC 792, RFC 4443 §3.1).
//!
//! The errors come from the edge's own address and quote the datagram's headers; the fabric lets them pass to the
//! sender of what they quote and to nobody else.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use packet::wire::{IpProtocol, icmpv4, ipv4, ipv6, udp};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

/// Bytes of a UDP header.
const UDP: usize = 8;
/// Bytes of an IPv4 header, and of an IPv6 one.
const IP: (usize, usize) = (20, 40);
/// Bytes before what an ICMP error quotes.
const ICMP: usize = 8;

/// Where errors are sent from; absent where the kernel gives no raw sockets, and then senders hear nothing.
#[derive(Debug)]
pub(super) struct Icmp {
    v4: Option<OwnedFd>,
    v6: Option<OwnedFd>,
}

impl Icmp {
    /// Opens raw sockets in the network of the calling thread.
    pub(super) fn open() -> Self {
        let raw = |family, protocol| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            socket_with(family, SocketType::RAW, flags, Some(protocol)).ok()
        };
        Self { v4: raw(AddressFamily::INET, ipproto::ICMP), v6: raw(AddressFamily::INET6, ipproto::ICMPV6) }
    }

    /// Tells `from` what became of its datagram to `to`. One that cannot be told learns it from silence.
    pub(super) fn tell(&self, from: SocketAddr, to: SocketAddr, error: &io::Error) {
        let socket = if from.is_ipv4() { &self.v4 } else { &self.v6 };
        if let (Some(socket), Some(message)) = (socket, message(from, to, error)) {
            let _ = sendto(socket, &message, SendFlags::NOSIGNAL, &SocketAddr::new(from.ip(), 0));
        }
    }
}

/// The code of "destination unreachable", for IPv4 and IPv6.
fn codes(error: &io::Error) -> Option<(u8, u8)> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => (3, 4),
        io::ErrorKind::HostUnreachable => (1, 3),
        io::ErrorKind::NetworkUnreachable => (0, 0),
        io::ErrorKind::PermissionDenied => (13, 1),
        _ => return None,
    })
}

fn message(from: SocketAddr, to: SocketAddr, error: &io::Error) -> Option<Vec<u8>> {
    let (code_v4, code_v6) = codes(error)?;
    let header = udp::Repr { source_port: from.port(), destination_port: to.port(), payload_len: 0 };
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            let mut quoted = vec![0; IP.0 + UDP];
            ipv4::Repr::new(*from.ip(), *to.ip(), IpProtocol::UDP, UDP)
                .emit(&mut ipv4::View::new_unchecked(&mut quoted[..]));
            header.emit(&mut udp::View::new_unchecked(&mut quoted[IP.0..]));
            let error = icmpv4::Repr::unreachable(code_v4, &quoted);
            let mut message = vec![0; error.buffer_len()];
            error.emit(&mut icmpv4::View::new_unchecked(&mut message[..]));
            Some(message)
        }
        (SocketAddr::V6(from), SocketAddr::V6(to)) => {
            let mut message = vec![0; ICMP + IP.1 + UDP];
            // The kernel fills in the checksum of what a raw ICMPv6 socket sends (RFC 3542 §3.1).
            (message[0], message[1]) = (1, code_v6);
            ipv6::Repr::new(*from.ip(), *to.ip(), IpProtocol::UDP, UDP)
                .emit(&mut ipv6::View::new_unchecked(&mut message[ICMP..]));
            header.emit(&mut udp::View::new_unchecked(&mut message[ICMP + IP.1..]));
            Some(message)
        }
        _ => None,
    }
}
