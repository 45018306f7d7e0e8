//! What a network function keeps its state by, and how that divides packets among instances.
//!
//! A key is a set of header fields. Where it holds both ends alike (`flow`, `host pair`) both directions of a flow have the
//! same hash; instances own ranges of it.

use std::fmt;
use std::str::FromStr;

use packet::flow::{FlowHasher, FlowKey};
use packet::wire::IpProtocol;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::rate::{Rate, shown};

/// A set of fields of the 5-tuple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fields(u8);

/// There is no such field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no field: ip.src, ip.dst, ip.proto, port.src, port.dst; or flow, host pair, none")]
pub struct FieldsError(String);

const NAMES: [&str; 5] = ["ip.src", "ip.dst", "ip.proto", "port.src", "port.dst"];

impl Fields {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Source address.
    pub const SOURCE: Self = Self(1);
    /// Destination address.
    pub const DESTINATION: Self = Self(2);
    /// Protocol.
    pub const PROTOCOL: Self = Self(4);
    /// Source port.
    pub const SOURCE_PORT: Self = Self(8);
    /// Destination port.
    pub const DESTINATION_PORT: Self = Self(16);
    /// Both addresses.
    pub const HOST_PAIR: Self = Self(3);
    /// All five.
    pub const FLOW: Self = Self(31);

    /// Those of either.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the other's are here.
    pub const fn has_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of the other's is here.
    pub const fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it holds source and destination alike: then both directions of a flow have one key.
    pub const fn is_symmetric(self) -> bool {
        self.has_any(Self::SOURCE) == self.has_any(Self::DESTINATION)
            && self.has_any(Self::SOURCE_PORT) == self.has_any(Self::DESTINATION_PORT)
    }

    /// Whether packets that agree in these fields always agree in the hash over `other`; for symmetric fields also where one
    /// goes there and one comes back.
    pub const fn determines(self, other: Self) -> bool {
        self.has_all(other) && (other.is_symmetric() || !self.is_symmetric())
    }

    /// Where a packet lies among [`HashRange::SPACE`]: the same for all packets that agree in these fields, and for both
    /// directions if they are symmetric.
    pub fn hash(self, hasher: &FlowHasher, key: &FlowKey) -> u32 {
        HashRange::hash_of(self.digest(hasher, key))
    }

    /// All 64 bits of the hash: what tells one key from another where flows are told apart.
    pub fn digest(self, hasher: &FlowHasher, key: &FlowKey) -> u64 {
        let masked = self.masked(key); // before it is ordered: what is not in the key must not decide the order
        hasher.hash(&if self.is_symmetric() { masked.symmetric() } else { masked })
    }

    /// As bits, in the order in which fields are named.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Those whose bits are set; bits beyond are none.
    pub const fn of_bits(bits: u8) -> Self {
        Self(bits & Self::FLOW.0)
    }

    fn masked(self, key: &FlowKey) -> FlowKey {
        let keep = |field: Self, port: u16| if self.has_any(field) { port } else { 0 };
        let mut masked = *key;
        match &mut masked {
            FlowKey::V4(tuple) => {
                if !self.has_any(Self::SOURCE) {
                    tuple.source = std::net::Ipv4Addr::UNSPECIFIED;
                }
                if !self.has_any(Self::DESTINATION) {
                    tuple.destination = std::net::Ipv4Addr::UNSPECIFIED;
                }
            }
            FlowKey::V6(tuple) => {
                if !self.has_any(Self::SOURCE) {
                    tuple.source = std::net::Ipv6Addr::UNSPECIFIED;
                }
                if !self.has_any(Self::DESTINATION) {
                    tuple.destination = std::net::Ipv6Addr::UNSPECIFIED;
                }
            }
        }
        let ports = (
            keep(Self::SOURCE_PORT, key.source_port()),
            keep(Self::DESTINATION_PORT, key.destination_port()),
        );
        let protocol = if self.has_any(Self::PROTOCOL) { key.protocol() } else { IpProtocol(0) };
        match &mut masked {
            FlowKey::V4(t) => (t.source_port, t.destination_port, t.protocol) = (ports.0, ports.1, protocol),
            FlowKey::V6(t) => (t.source_port, t.destination_port, t.protocol) = (ports.0, ports.1, protocol),
        }
        masked
    }
}

impl FromStr for Fields {
    type Err = FieldsError;

    fn from_str(text: &str) -> Result<Self, FieldsError> {
        Ok(match text {
            "flow" => Self::FLOW,
            "host pair" | "host-pair" => Self::HOST_PAIR,
            "none" => Self::NONE,
            name => {
                let place = NAMES.iter().position(|field| *field == name);
                Self(1 << place.ok_or_else(|| FieldsError(shown(name)))?)
            }
        })
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FLOW => f.write_str("flow"),
            Self::HOST_PAIR => f.write_str("host pair"),
            Self::NONE => f.write_str("none"),
            Self(bits) => {
                let held = NAMES.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
                f.write_str(&held.map(|(_, name)| *name).collect::<Vec<_>>().join("+"))
            }
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A part of the hashes, from `start` up to but without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HashRange {
    /// The first hash in it.
    pub start: u32,
    /// The first hash behind it.
    pub end: u32,
}

impl HashRange {
    /// How many hashes there are: 16 bits.
    pub const SPACE: u32 = 1 << 16;
    /// All hashes.
    pub const ALL: Self = Self { start: 0, end: Self::SPACE };

    /// Where a [digest](Fields::digest) lies.
    pub const fn hash_of(digest: u64) -> u32 {
        (digest >> 48) as u32
    }

    /// The ranges of `count` instances: contiguous, disjoint, all hashes together, sizes within one of each other.
    pub fn split(count: u32) -> impl Iterator<Item = Self> {
        let at =
            move |place: u32| (u64::from(place) * u64::from(Self::SPACE) / u64::from(count.max(1))) as u32;
        (0..count).map(move |place| Self { start: at(place), end: at(place + 1) })
    }

    /// How many hashes are in it.
    pub const fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether a hash is in it.
    pub const fn contains(self, hash: u32) -> bool {
        self.start <= hash && hash < self.end
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        Self { start, end: self.end.min(other.end).max(start) }
    }

    /// The part of a rate that falls into it. Parts of adjacent ranges add up to the part of both.
    pub fn of(self, rate: Rate) -> Rate {
        let upto = |end: u32| rate.part(end.into(), Self::SPACE.into());
        upto(self.end).minus(upto(self.start))
    }
}

impl fmt::Display for HashRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}-{:#06x}", self.start, self.end.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(source: &str, destination: &str) -> FlowKey {
        FlowKey::new(IpProtocol::TCP, source.parse().unwrap(), destination.parse().unwrap()).unwrap()
    }

    #[test]
    fn ranges_cover_all_hashes_once() {
        for count in 1..=300 {
            let ranges: Vec<_> = HashRange::split(count).collect();
            assert_eq!(ranges.len(), count as usize);
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, HashRange::SPACE));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(ranges.iter().all(|range| range.len().abs_diff(HashRange::SPACE / count) <= 1));
            let rate = Rate(1_000_003);
            assert_eq!(ranges.iter().map(|range| range.of(rate)).sum::<Rate>(), rate);
        }
    }

    #[test]
    fn both_directions_have_one_hash_where_the_key_is_symmetric() {
        let hasher = FlowHasher::new(7);
        let flow = key("10.0.0.1:1000", "10.0.0.2:80");
        for fields in [Fields::FLOW, Fields::HOST_PAIR, Fields::PROTOCOL] {
            assert_eq!(fields.hash(&hasher, &flow), fields.hash(&hasher, &flow.reversed()), "{fields}");
        }
        assert_ne!(Fields::SOURCE.hash(&hasher, &flow), Fields::SOURCE.hash(&hasher, &flow.reversed()));
        let other = key("10.0.0.1:7", "10.0.0.2:9999");
        assert_eq!(Fields::HOST_PAIR.hash(&hasher, &flow), Fields::HOST_PAIR.hash(&hasher, &other));
        assert_ne!(Fields::FLOW.hash(&hasher, &flow), Fields::FLOW.hash(&hasher, &other));
    }

    #[test]
    fn what_determines_what_is_what_hashes_say() {
        let hasher = FlowHasher::new(11);
        let ends = ["10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:1", "10.0.0.2:2"];
        let keys: Vec<FlowKey> = ends.iter().flat_map(|a| ends.iter().map(|b| key(a, b))).collect();
        for bits in 0..32 {
            for other in 0..32 {
                let (fields, other) = (Fields(bits), Fields(other));
                if fields.determines(other) {
                    for (a, b) in keys.iter().flat_map(|a| keys.iter().map(move |b| (a, b))) {
                        if fields.hash(&hasher, a) == fields.hash(&hasher, b) {
                            let same = other.hash(&hasher, a) == other.hash(&hasher, b);
                            assert!(same, "{fields} determines {other}, but not of {a} and {b}");
                        }
                    }
                }
            }
        }
    }
}
