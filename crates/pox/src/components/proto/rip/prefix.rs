//! Prefixes of 0 to 32 bits, and the interfaces of a router.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use openflow::port::PortNo;

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    network: Ipv4Addr,
    len: u8,
}

impl Prefix {
    /// The prefix of that length that an address is in. Above 32, 32.
    #[must_use]
    pub const fn of(address: Ipv4Addr, len: u8) -> Self {
        let len = if len > 32 { 32 } else { len };
        Self { network: Ipv4Addr::from_bits(address.to_bits() & mask(len)), len }
    }

    /// Its first address.
    #[must_use]
    pub const fn network(self) -> Ipv4Addr {
        self.network
    }

    /// Its last address.
    #[must_use]
    pub const fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !mask(self.len))
    }

    /// Its bits.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "bits, not items")]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// Its mask.
    #[must_use]
    pub const fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.len))
    }

    /// Whether an address is in it.
    #[must_use]
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.len) == self.network.to_bits()
    }

    /// Whether a host may have that address: neither the network's nor the broadcast's, but of two addresses both (RFC 3021).
    #[must_use]
    pub fn is_host(self, address: Ipv4Addr) -> bool {
        self.contains(address) && (self.len >= 31 || (address != self.network && address != self.last()))
    }

    /// Whether they have addresses in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }
}

const fn mask(len: u8) -> u32 {
    if len == 0 { 0 } else { u32::MAX << (32 - len) }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.len)
    }
}

/// An address and the bits of its network: `10.0.1.1/24`.
fn address(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let (ip, len) = text.split_once('/').ok_or_else(|| format!("'{text}' has no /prefix"))?;
    let ip = ip.parse().map_err(|_| format!("'{ip}' is not an IPv4 address"))?;
    match len.parse() {
        Ok(len) if len <= 32 => Ok((ip, len)),
        _ => Err(format!("'{len}' is not a prefix of 0 to 32 bits")),
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ip, len) = address(text)?;
        let prefix = Self::of(ip, len);
        if prefix.network == ip { Ok(prefix) } else { Err(format!("{ip} has bits beyond /{len}: {prefix}?")) }
    }
}

/// One of a router's addresses, and the network it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The port as it was given, a number or a name.
    pub name: String,
    /// The router's own address there.
    pub ip: Ipv4Addr,
    /// The network.
    pub network: Prefix,
    /// Whether hosts only are there: no word of RIP is said or heard.
    pub passive: bool,
    /// The port, while it is live.
    pub port: Option<PortNo>,
}

impl FromStr for Interface {
    type Err = String;

    /// `PORT=IP/N`
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or("an interface is PORT=IP/N")?;
        let (ip, len) = address(rest)?;
        let network = Prefix::of(ip, len);
        if !(1..=31).contains(&len) || !network.is_host(ip) {
            return Err(format!("{ip} is no address of a host on {network}"));
        }
        Ok(Self { name: name.into(), ip, network, passive: false, port: None })
    }
}

/// A route that is told, not learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticRoute {
    /// Where to.
    pub prefix: Prefix,
    /// By whom.
    pub next_hop: Ipv4Addr,
    /// As it is announced.
    pub metric: u8,
}

impl FromStr for StaticRoute {
    type Err = String;

    /// `PREFIX=IP` or `PREFIX=IP:METRIC`
    fn from_str(text: &str) -> Result<Self, String> {
        let (prefix, rest) = text.split_once('=').ok_or("a route is PREFIX=IP or PREFIX=IP:METRIC")?;
        let (ip, metric) = rest.split_once(':').unwrap_or((rest, "1"));
        let next_hop = ip.parse().map_err(|_| format!("'{ip}' is not an IPv4 address"))?;
        match metric.parse() {
            Ok(metric @ 1..=15) => Ok(Self { prefix: prefix.parse()?, next_hop, metric }),
            _ => Err(format!("'{metric}' is not a metric of 1 to 15")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_all_lengths() {
        let prefix: Prefix = "10.1.0.0/16".parse().unwrap();
        assert_eq!(prefix.to_string(), "10.1.0.0/16");
        assert_eq!(prefix.mask().to_string(), "255.255.0.0");
        assert!(prefix.contains([10, 1, 255, 255].into()) && !prefix.contains([10, 2, 0, 0].into()));
        assert!(!prefix.is_host([10, 1, 0, 0].into()) && !prefix.is_host([10, 1, 255, 255].into()));
        let all: Prefix = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains([255; 4].into()) && all.overlaps(prefix) && prefix.overlaps(all));
        let two: Prefix = "10.1.0.0/31".parse().unwrap();
        assert!(two.is_host([10, 1, 0, 0].into()) && two.is_host([10, 1, 0, 1].into()));
        for wrong in ["10.1.0.0", "10.1.0.0/33", "10.1.0.1/16", "10.1/16", "/8", "10.0.0.0/x"] {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn interfaces_and_routes_are_read_and_refused() {
        let interface: Interface = "eth0=192.168.1.1/24".parse().unwrap();
        assert_eq!((interface.name.as_str(), interface.network.len()), ("eth0", 24));
        for wrong in ["eth0", "1=10.0.0.0/24", "1=10.0.0.255/24", "1=10.0.0.1/32", "1=10.0.0.1"] {
            assert!(wrong.parse::<Interface>().is_err(), "{wrong}");
        }
        let route: StaticRoute = "10.3.0.0/16=192.168.1.3:3".parse().unwrap();
        assert_eq!((route.next_hop, route.metric), ([192, 168, 1, 3].into(), 3));
        for wrong in ["10.3.0.0/16", "10.3.0.1/16=1.2.3.4", "10.3.0.0/16=1.2.3.4:16", "10.3.0.0/16=x:1"] {
            assert!(wrong.parse::<StaticRoute>().is_err(), "{wrong}");
        }
    }
}
