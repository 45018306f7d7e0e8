//! Sockets of published ports, made in the host's network.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::RuntimeError;
use super::edge::{PublishedPort, PublishedStatus};
use crate::model::{Protocol, Publish};

/// Connections that may wait to be accepted (`listen(2)`; the kernel caps it at `net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// The port that a publish occupies on the host.
pub(super) fn port_of(publish: &Publish) -> PublishedPort {
    PublishedPort { protocol: publish.protocol, port: publish.host_port }
}

/// Binds the ports that are not served yet.
pub(super) fn bind_new(
    publishes: &[Publish],
    served: &[PublishedStatus],
) -> Result<BTreeMap<PublishedPort, OwnedFd>, RuntimeError> {
    let new = publishes.iter().filter(|publish| served.iter().all(|status| status.port != port_of(publish)));
    new.map(|publish| match bind_port(port_of(publish)) {
        Ok(socket) => Ok((port_of(publish), socket)),
        Err(source) => Err(RuntimeError::PortTaken {
            port: publish.host_port,
            protocol: publish.protocol,
            span: publish.span.clone(),
            source,
        }),
    })
    .collect()
}

/// A socket on every address of the host, IPv6 and IPv4 where both are there.
fn bind_port(port: PublishedPort) -> io::Result<OwnedFd> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port.port));
    match bind_at(port.protocol, AddressFamily::INET6, both) {
        Err(error)
            if error.kind() != io::ErrorKind::AddrInUse
                && error.kind() != io::ErrorKind::PermissionDenied =>
        {
            bind_at(port.protocol, AddressFamily::INET, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.port)))
        }
        bound => bound,
    }
}

fn bind_at(protocol: Protocol, family: AddressFamily, address: SocketAddr) -> io::Result<OwnedFd> {
    let kind = if protocol == Protocol::Udp { SocketType::DGRAM } else { SocketType::STREAM };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if family == AddressFamily::INET6 {
        set_ipv6_v6only(&socket, false)?;
    }
    if kind == SocketType::STREAM {
        // Connections of an earlier run may still linger; for UDP the option would let two share the port.
        set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    if kind == SocketType::STREAM {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Party, Span};

    #[test]
    fn a_port_in_use_is_told_apart_from_one_we_serve() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let publish = Publish {
            to: Party::Container("web".into()),
            host_port: listener.local_addr().unwrap().port(),
            container_port: 80,
            protocol: Protocol::Tcp,
            through: Vec::new(),
            span: Span::default(),
        };
        let taken = bind_new(std::slice::from_ref(&publish), &[]);
        assert!(matches!(taken, Err(RuntimeError::PortTaken { .. })), "{taken:?}");
        let served = PublishedStatus {
            port: port_of(&publish),
            target: listener.local_addr().unwrap(),
            open: 0,
            total: 0,
            failed: 0,
        };
        assert!(bind_new(&[publish], &[served]).unwrap().is_empty());
    }
}
