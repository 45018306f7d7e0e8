//! Rules: what a packet's 5-tuple must be.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use packet::flow::FlowKey;
use packet::wire::IpProtocol;

use super::family::Range;

/// An address prefix. The bits behind its length are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix<A> {
    address: A,
    length: u8,
}

impl Prefix<Ipv4Addr> {
    /// Every address.
    pub const ANY: Self = Self { address: Ipv4Addr::UNSPECIFIED, length: 0 };

    /// `address/length`, bits behind the length cleared; `None` where `length` is above 32.
    #[must_use]
    pub fn new(address: Ipv4Addr, length: u8) -> Option<Self> {
        let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
        (length <= 32).then(|| Self { address: Ipv4Addr::from_bits(address.to_bits() & mask), length })
    }

    /// The first and the last address, as numbers.
    fn bounds(self) -> Range {
        let host = u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
        let first = self.address.to_bits();
        (first.into(), (first | host).into())
    }
}

impl Prefix<Ipv6Addr> {
    /// Every address.
    pub const ANY: Self = Self { address: Ipv6Addr::UNSPECIFIED, length: 0 };

    /// `address/length`, bits behind the length cleared; `None` where `length` is above 128.
    #[must_use]
    pub fn new(address: Ipv6Addr, length: u8) -> Option<Self> {
        let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
        (length <= 128).then(|| Self { address: Ipv6Addr::from_bits(address.to_bits() & mask), length })
    }

    /// The first and the last address, as numbers.
    fn bounds(self) -> Range {
        let host = u128::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
        let first = self.address.to_bits();
        (first, first | host)
    }
}

impl<A: Copy> Prefix<A> {
    /// The first address.
    #[must_use]
    pub fn address(self) -> A {
        self.address
    }

    /// How many leading bits are fixed.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }
}

impl<A: fmt::Display> fmt::Display for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The addresses a rule asks for. A rule is of one family, or of both where it asks for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Networks {
    /// Any address of either family.
    Any,
    /// IPv4.
    V4 {
        /// Source addresses.
        source: Prefix<Ipv4Addr>,
        /// Destination addresses.
        destination: Prefix<Ipv4Addr>,
    },
    /// IPv6.
    V6 {
        /// Source addresses.
        source: Prefix<Ipv6Addr>,
        /// Destination addresses.
        destination: Prefix<Ipv6Addr>,
    },
}

impl Networks {
    /// First and last addresses of source and destination, if IPv4 may match.
    pub(super) fn v4_bounds(&self) -> Option<(Range, Range)> {
        match *self {
            Self::Any => Some((Prefix::<Ipv4Addr>::ANY.bounds(), Prefix::<Ipv4Addr>::ANY.bounds())),
            Self::V4 { source, destination } => Some((source.bounds(), destination.bounds())),
            Self::V6 { .. } => None,
        }
    }

    /// First and last addresses of source and destination, if IPv6 may match.
    pub(super) fn v6_bounds(&self) -> Option<(Range, Range)> {
        match *self {
            Self::Any => Some((Prefix::<Ipv6Addr>::ANY.bounds(), Prefix::<Ipv6Addr>::ANY.bounds())),
            Self::V6 { source, destination } => Some((source.bounds(), destination.bounds())),
            Self::V4 { .. } => None,
        }
    }

    fn contain(&self, key: &FlowKey) -> bool {
        let within = |(first, last): Range, address: u128| (first..=last).contains(&address);
        let (bounds, source, destination) = match key {
            FlowKey::V4(t) => (self.v4_bounds(), t.source.to_bits().into(), t.destination.to_bits().into()),
            FlowKey::V6(t) => (self.v6_bounds(), t.source.to_bits(), t.destination.to_bits()),
        };
        bounds.is_some_and(|(from, to)| within(from, source) && within(to, destination))
    }
}

/// The protocols a rule asks for: those equal to a value under a mask. Bits outside the mask are 0 in the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProtocolMatch {
    value: u8,
    mask: u8,
}

impl ProtocolMatch {
    /// Every protocol.
    pub const ANY: Self = Self { value: 0, mask: 0 };

    /// One protocol.
    #[must_use]
    pub const fn exactly(protocol: IpProtocol) -> Self {
        Self { value: protocol.0, mask: 0xff }
    }

    /// The protocols that are `value` in the bits of `mask`.
    #[must_use]
    pub const fn masked(value: u8, mask: u8) -> Self {
        Self { value: value & mask, mask }
    }

    /// What the masked bits must be.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.value
    }

    /// The bits that are compared.
    #[must_use]
    pub const fn mask(self) -> u8 {
        self.mask
    }

    /// Whether `protocol` is among them.
    #[must_use]
    pub const fn contains(self, protocol: IpProtocol) -> bool {
        protocol.0 & self.mask == self.value
    }
}

/// One rule: all five must hold. A port range whose start is above its end is empty, and [`Acl::build`](super::Acl::build)
/// refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Source and destination addresses.
    pub networks: Networks,
    /// Source ports; for protocols without ports the key's port is 0 ([`FlowKey`]).
    pub source_ports: RangeInclusive<u16>,
    /// Destination ports.
    pub destination_ports: RangeInclusive<u16>,
    /// Protocols.
    pub protocol: ProtocolMatch,
}

impl Rule {
    /// The rule that every packet matches.
    pub const ANY: Self = Self {
        networks: Networks::Any,
        source_ports: 0..=u16::MAX,
        destination_ports: 0..=u16::MAX,
        protocol: ProtocolMatch::ANY,
    };

    /// Whether a packet matches: the definition that the classifier is held to.
    #[must_use]
    pub fn matches(&self, key: &FlowKey) -> bool {
        self.networks.contain(key)
            && self.source_ports.contains(&key.source_port())
            && self.destination_ports.contains(&key.destination_port())
            && self.protocol.contains(key.protocol())
    }
}

/// As a line of ClassBench's filter files. IPv6 addresses are written in full, which `dpdk-test-acl` asks for; a rule for
/// both families is written as IPv4.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.networks {
            Networks::Any => write!(f, "@{}\t{}", Prefix::<Ipv4Addr>::ANY, Prefix::<Ipv4Addr>::ANY)?,
            Networks::V4 { source, destination } => write!(f, "@{source}\t{destination}")?,
            Networks::V6 { source, destination } => {
                let full = |address: Ipv6Addr| address.segments().map(|group| format!("{group:x}")).join(":");
                let (from, to) = (full(source.address()), full(destination.address()));
                write!(f, "@{from}/{}\t{to}/{}", source.length(), destination.length())?;
            }
        }
        let (source, destination) = (&self.source_ports, &self.destination_ports);
        write!(
            f,
            "\t{} : {}\t{} : {}",
            source.start(),
            source.end(),
            destination.start(),
            destination.end()
        )?;
        write!(f, "\t{:#04x}/{:#04x}", self.protocol.value, self.protocol.mask)
    }
}
