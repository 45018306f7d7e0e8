//! What must not be reached on the way outside: this machine, and what only it can see.
//!
//! The fabric lets none of these addresses pass but the machine's own, which it does not know; they are looked at here
//! again all the same, where the connection is made. Refused are
//!
//! * loopback (`127.0.0.0/8`, `::1`), where services listen that trust whoever can reach them;
//! * link-local addresses (`169.254.0.0/16`, `fe80::/10`), among them the metadata service of clouds;
//! * groups, broadcast and addresses that mean nobody;
//! * **every address of the machine itself**: its services are not outside, and a port that another deployment
//!   publishes there is open to those whom that one lets in by `publish`, not to a container.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether an address is outside, seen from the network of the calling thread.
pub(super) fn check(to: IpAddr) -> io::Result<()> {
    if !may_be_outside(to) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "an address that is never outside"));
    }
    // A datagram socket that is connected has looked up its route and sent nothing. The kernel reaches an address of
    // its own from that same address.
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = UdpSocket::bind((any, 0))?;
    // The number of the port plays no part (RFC 863, discard).
    probe.connect(SocketAddr::new(to, 9))?;
    let from = probe.local_addr()?.ip();
    if from == to || from.is_loopback() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "an address of this machine"));
    }
    Ok(())
}

/// Whether another machine may have this address.
fn may_be_outside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let first = v4.octets()[0];
            // 224 and above: groups, reserved, broadcast.
            first != 0 && first < 224 && !v4.is_loopback() && !v4.is_link_local()
        }
        IpAddr::V6(v6) => {
            // ::/96: unspecified, loopback, and the old "IPv4-compatible" addresses.
            v6.to_bits() >> 32 != 0 && !v6.is_unicast_link_local() && !v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_machine_sees_is_not_outside() {
        for inside in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.0.1",
            "fe80::1",
            "ff02::1",
        ] {
            let address: IpAddr = inside.parse().unwrap();
            let refused = check(address).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{inside}: {refused}");
        }
        for outside in ["93.184.216.34", "10.0.0.1", "192.168.1.1", "2606:2800::1", "fd00::1"] {
            assert!(may_be_outside(outside.parse().unwrap()), "{outside}");
        }
    }
}
