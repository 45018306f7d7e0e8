//! What a gate is to the link behind it: its Ethernet address and the addresses it answers for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use packet::wire::MacAddr;

/// An address and the length of its prefix: `10.0.0.1/24`. What shares the prefix is on the same link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    length: u8,
}

/// Text that is not an address with a prefix length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address with a prefix length, such as 10.0.0.1/24 or fd00::1/64")]
pub struct SubnetError(pub String);

impl Subnet {
    /// `None` where the prefix is longer than the address.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (length <= bits).then_some(Self { address, length })
    }

    /// The address, host bits included.
    #[inline]
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits of the address are the subnet's.
    #[inline]
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether an address has the same prefix.
    #[inline]
    #[must_use]
    pub fn contains(&self, other: IpAddr) -> bool {
        let (differ, bits) = match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
            _ => return false,
        };
        differ.checked_shr(bits - u32::from(self.length)).unwrap_or(0) == 0
    }

    /// Whether an address is the subnet itself or its IPv4 broadcast: no host's (RFC 922 §7; RFC 3021 lets links of two
    /// use both).
    #[must_use]
    pub fn is_reserved(&self, other: IpAddr) -> bool {
        let (IpAddr::V4(other_v4), true) = (other, self.contains(other) && self.length < 31) else {
            return false;
        };
        let host = u32::MAX >> self.length & other_v4.to_bits();
        host == 0 || host == u32::MAX >> self.length
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let wrong = || SubnetError(text.chars().take(80).collect());
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let length = Some(length).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let length = length.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
        Self::new(address.parse().map_err(|_| wrong())?, length).ok_or_else(wrong)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// One gate's side of its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Its addresses, and with their prefixes who is on the link.
    pub addresses: Vec<Subnet>,
    /// Further addresses that it answers for (those a NAT translates to).
    pub answers: Vec<RangeInclusive<IpAddr>>,
    /// The one Ethernet address behind the gate, where nobody needs to be asked.
    pub next_hop: Option<MacAddr>,
}

impl Interface {
    /// An interface with these addresses, and with a link-local one if any is of IPv6 (RFC 4291 §2.5.6, appendix A).
    #[must_use]
    pub fn new(mac: MacAddr, mut addresses: Vec<Subnet>) -> Self {
        if addresses.iter().any(|subnet| subnet.address.is_ipv6()) {
            addresses.push(Subnet { address: link_local(mac).into(), length: 64 });
        }
        Self { mac, addresses, answers: Vec::new(), next_hop: None }
    }

    /// Whether an address is one of its own.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|subnet| subnet.address == address)
    }

    /// Whether it answers the question for an address.
    #[must_use]
    pub fn answers_for(&self, address: IpAddr) -> bool {
        self.is_own(address) || self.answers.iter().any(|range| range.contains(&address))
    }

    /// Whether an address is a host's on this link.
    #[inline]
    #[must_use]
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|subnet| subnet.contains(address) && !subnet.is_reserved(address))
    }

    /// The address to speak from to `other`: that of its subnet, else the first of its family.
    #[must_use]
    pub fn address_towards(&self, other: IpAddr) -> Option<IpAddr> {
        let mut family = self.addresses.iter().filter(|subnet| subnet.address.is_ipv4() == other.is_ipv4());
        let first = family.clone().next();
        family.find(|subnet| subnet.contains(other)).or(first).map(Subnet::address)
    }
}

fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_read_and_contain_their_own() {
        let subnet: Subnet = "10.0.0.1/24".parse().unwrap();
        assert_eq!(subnet.to_string(), "10.0.0.1/24");
        let holds = |subnet: &str, address: &str| {
            subnet.parse::<Subnet>().unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.1/24", "10.0.0.255") && !holds("10.0.0.1/24", "10.0.1.0"));
        assert!(holds("0.0.0.0/0", "255.1.2.3") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("fd00::1/64", "fd00::ffff") && !holds("fd00::1/64", "fd00:0:0:1::1"));
        assert!(holds("::/0", "fd00::1") && holds("1.2.3.4/32", "1.2.3.4"));
        for wrong in ["10.0.0.1", "10.0.0.1/33", "fd00::1/129", "10.0.0.1/+4", "/24", "10.0.0.1/"] {
            assert_eq!(wrong.parse::<Subnet>(), Err(SubnetError(wrong.into())));
        }
    }

    #[test]
    fn network_and_broadcast_are_no_hosts() {
        let reserved = |subnet: &str, address: &str| {
            subnet.parse::<Subnet>().unwrap().is_reserved(address.parse().unwrap())
        };
        assert!(reserved("10.0.0.1/24", "10.0.0.0") && reserved("10.0.0.1/24", "10.0.0.255"));
        assert!(!reserved("10.0.0.1/24", "10.0.0.7") && !reserved("10.0.0.1/31", "10.0.0.0"));
        assert!(!reserved("fd00::1/64", "fd00::"));
    }

    #[test]
    fn the_link_local_address_is_made_of_the_mac() {
        let interface =
            Interface::new(MacAddr([0, 0x1b, 0x21, 1, 2, 3]), vec!["fd00::1/64".parse().unwrap()]);
        assert!(interface.answers_for("fe80::21b:21ff:fe01:203".parse().unwrap()));
        let towards = |other: &str| interface.address_towards(other.parse().unwrap()).unwrap().to_string();
        assert_eq!(towards("fe80::9"), "fe80::21b:21ff:fe01:203");
        assert_eq!(towards("2001:db8::1"), "fd00::1");
        assert_eq!(interface.address_towards([1, 2, 3, 4].into()), None);
    }
}
