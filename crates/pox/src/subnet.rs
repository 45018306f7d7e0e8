//! IPv4 subnets, as components are given them: `10.0.0.0/24`.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    network: u32,
    prefix: u32,
}

impl Subnet {
    /// The subnet an address is in. `prefix` is at most 30.
    #[must_use]
    pub const fn new(address: Ipv4Addr, prefix: u32) -> Self {
        let prefix = if prefix > 30 { 30 } else { prefix };
        Self { network: address.to_bits() & Self { network: 0, prefix }.bits(), prefix }
    }

    const fn bits(self) -> u32 {
        if self.prefix == 0 { 0 } else { u32::MAX << (32 - self.prefix) }
    }

    /// Its first address, that of the network.
    #[must_use]
    pub const fn network(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network)
    }

    /// Its mask.
    #[must_use]
    pub const fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.bits())
    }

    /// Its broadcast address.
    #[must_use]
    pub const fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network | !self.bits())
    }

    /// Its last host.
    #[must_use]
    pub const fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits((self.network | !self.bits()) - 1)
    }

    /// How many hosts it may have.
    #[must_use]
    pub const fn hosts(self) -> u32 {
        !self.bits() - 1
    }

    /// Whether an address is in it.
    #[must_use]
    pub const fn contains(self, ip: Ipv4Addr) -> bool {
        ip.to_bits() & self.bits() == self.network
    }

    /// Whether an address is one of its hosts'.
    #[must_use]
    pub const fn is_host(self, ip: Ipv4Addr) -> bool {
        let host = ip.to_bits() & !self.bits();
        self.contains(ip) && host != 0 && host != !self.bits()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.network), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ip, prefix) = text.split_once('/').ok_or("no /prefix")?;
        let ip = ip.parse().map_err(|_| format!("'{ip}' is not an IPv4 address"))?;
        match prefix.parse() {
            Ok(prefix) if prefix <= 30 => Ok(Self::new(ip, prefix)),
            _ => Err(format!("'{prefix}' is not a prefix of 0 to 30 bits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_knows_its_hosts() {
        let ip = |n| Ipv4Addr::new(10, 0, 0, n);
        let subnet: Subnet = "10.0.0.9/29".parse().unwrap();
        assert_eq!((subnet.to_string(), subnet.last(), subnet.hosts()), ("10.0.0.8/29".into(), ip(14), 6));
        assert!(
            subnet.is_host(ip(9))
                && !subnet.is_host(ip(8))
                && !subnet.is_host(ip(15))
                && !subnet.is_host(ip(1))
        );
        for wrong in ["10.0.0.0", "10.0.0.0/31", "10.0.0/8", "10.0.0.0/x"] {
            assert!(wrong.parse::<Subnet>().is_err(), "{wrong}");
        }
    }
}
