//! Which packets: tcpdump's words for header fields, and the attributes that network functions give packets.
//!
//! ```text
//! filter  = term { "and" term } | term { "or" term }         (&& and || too; a mixture wants brackets)
//! term    = "not" term | "(" filter ")" | "any" | test       (! too)
//! test    = [proto] [dir] ("host" ADDRESS | "net" PREFIX | "port" NUMBER | "portrange" NUMBER-NUMBER)
//!         | proto | "proto" NUMBER | ATTRIBUTE | NF.ATTRIBUTE
//! proto   = "ip" | "ip6" | "tcp" | "udp" | "sctp" | "icmp" | "icmp6"
//! dir     = "src" | "dst"                                    (either one, where none is said)
//! ```
//!
//! So `tcp dst port 80 and not safe`. Every test means what it means in pcap-filter(7), where `and` and `or` bind alike and
//! from left to right; elsewhere `and` binds tighter. Both readings agree on what can be written here. Ports are those of
//! TCP, UDP and SCTP. `any` is every packet.
//!
//! The parser of `softnic::filter` is not used: it hands out tests on bytes of a frame, and what is wanted here are the fields
//! that a filter reads, its attributes, and its negation.

mod parse;
pub(crate) use parse::is_name;
mod text;

use std::collections::BTreeSet;
use std::net::IpAddr;

use lookup::lpm::Prefix;
use packet::flow::FlowKey;
use packet::wire::IpProtocol;
use thiserror::Error;

use crate::key::Fields;

/// The longest filter, in bytes.
pub const TEXT_MAX: usize = 4096;
/// The most tests of a filter.
pub const TESTS_MAX: usize = 256;
/// How deep brackets and negations may be nested.
pub const DEPTH_MAX: usize = 32;

/// Which packets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// All (`true`) or none.
    Constant(bool),
    /// Those whose header says so.
    Header(Test),
    /// Those that a network function gave an attribute.
    Attribute(Attribute),
    /// The others.
    Not(Box<Filter>),
    /// Those that are in all of them.
    All(Vec<Filter>),
    /// Those that are in any of them.
    Any(Vec<Filter>),
}

/// An attribute, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute {
    /// The network function that gives it; that of the edge, where none is said.
    pub function: Option<String>,
    /// Its name.
    pub name: String,
}

/// Which end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
    /// One of them.
    Either,
}

/// A prefix of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Net {
    /// IPv4.
    V4(Prefix<std::net::Ipv4Addr>),
    /// IPv6.
    V6(Prefix<std::net::Ipv6Addr>),
}

/// What one test asks of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// IPv4 (4) or IPv6 (6).
    Version(u8),
    /// The protocol.
    Protocol(u8),
    /// An address.
    Net(Side, Net),
    /// A port of TCP, UDP or SCTP, first and last.
    Port(Side, u16, u16),
}

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}, at byte {at} of the filter")]
pub struct FilterError {
    /// Where, in bytes from 0.
    pub at: usize,
    /// What.
    pub message: String,
}

impl Net {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(net), IpAddr::V4(address)) => net.contains(address),
            (Self::V6(net), IpAddr::V6(address)) => net.contains(address),
            _ => false,
        }
    }
}

impl Net {
    /// Whether they have no address in common.
    fn is_apart(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::V4(one), Self::V4(other)) => one.last() < other.address() || other.last() < one.address(),
            (Self::V6(one), Self::V6(other)) => one.last() < other.address() || other.last() < one.address(),
            _ => true,
        }
    }
}

impl Side {
    fn any(self, source: bool, destination: bool) -> bool {
        match self {
            Self::Source => source,
            Self::Destination => destination,
            Self::Either => source || destination,
        }
    }

    fn fields(self, source: Fields, destination: Fields) -> Fields {
        match self {
            Self::Source => source,
            Self::Destination => destination,
            Self::Either => source.with(destination),
        }
    }
}

impl Test {
    /// Whether a packet passes it.
    pub fn matches(&self, key: &FlowKey) -> bool {
        match *self {
            Self::Version(version) => matches!((key, version), (FlowKey::V4(_), 4) | (FlowKey::V6(_), 6)),
            Self::Protocol(protocol) => key.protocol().0 == protocol,
            Self::Net(side, net) => side.any(net.contains(key.source()), net.contains(key.destination())),
            Self::Port(side, first, last) => {
                let ports = [IpProtocol::TCP, IpProtocol::UDP, IpProtocol::SCTP].contains(&key.protocol());
                let within = |port| (first..=last).contains(&port);
                ports && side.any(within(key.source_port()), within(key.destination_port()))
            }
        }
    }

    /// Whether no packet passes both.
    pub fn excludes(&self, other: &Self) -> bool {
        let ported = |protocol: &u8| [6, 17, 132].contains(protocol);
        match (self, other) {
            (Self::Version(one), Self::Version(other)) | (Self::Protocol(one), Self::Protocol(other)) => {
                one != other
            }
            (Self::Port(..), Self::Protocol(protocol)) | (Self::Protocol(protocol), Self::Port(..)) => {
                !ported(protocol)
            }
            (Self::Port(one, first, last), Self::Port(other, start, end)) => {
                one == other && *one != Side::Either && (last < start || end < first)
            }
            (Self::Net(one, net), Self::Net(other, against)) => {
                one == other && *one != Side::Either && net.is_apart(against)
            }
            _ => false,
        }
    }

    /// The fields that it reads.
    pub fn fields(&self) -> Fields {
        match *self {
            Self::Version(_) => Fields::NONE, // no function turns one into the other without new addresses
            Self::Protocol(_) => Fields::PROTOCOL,
            Self::Net(side, _) => side.fields(Fields::SOURCE, Fields::DESTINATION),
            Self::Port(side, ..) => {
                side.fields(Fields::SOURCE_PORT, Fields::DESTINATION_PORT).with(Fields::PROTOCOL)
            }
        }
    }
}

impl Filter {
    /// Every packet.
    pub const ANY: Self = Self::Constant(true);

    /// Whether a packet is one of them; `attribute` says which it was given.
    pub fn matches(&self, key: &FlowKey, attribute: &dyn Fn(&Attribute) -> bool) -> bool {
        self.matches_frame(Some(key), attribute)
    }

    /// The same of a frame that need not be IP: then no test of its header holds.
    pub fn matches_frame(&self, key: Option<&FlowKey>, attribute: &dyn Fn(&Attribute) -> bool) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Header(test) => key.is_some_and(|key| test.matches(key)),
            Self::Attribute(name) => attribute(name),
            Self::Not(filter) => !filter.matches_frame(key, attribute),
            Self::All(filters) => filters.iter().all(|filter| filter.matches_frame(key, attribute)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches_frame(key, attribute)),
        }
    }

    /// The header fields that it reads.
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::NONE;
        self.visit(&mut |filter| {
            if let Self::Header(test) = filter {
                fields = fields.with(test.fields());
            }
        });
        fields
    }

    /// The attributes that it reads.
    pub fn attributes(&self) -> BTreeSet<&Attribute> {
        let mut attributes = BTreeSet::new();
        self.visit(&mut |filter| {
            if let Self::Attribute(attribute) = filter {
                attributes.insert(attribute);
            }
        });
        attributes
    }

    /// Whether it is about attributes or headers at all.
    pub const fn is_any(&self) -> bool {
        matches!(self, Self::Constant(true))
    }

    fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Self)) {
        see(self);
        match self {
            Self::Not(filter) => filter.visit(see),
            Self::All(filters) | Self::Any(filters) => filters.iter().for_each(|filter| filter.visit(see)),
            Self::Constant(_) | Self::Header(_) | Self::Attribute(_) => {}
        }
    }

    /// The same with attributes replaced: by what is known of them, or by another name.
    #[must_use]
    pub fn with_attributes(&self, replace: &dyn Fn(&Attribute) -> Self) -> Self {
        match self {
            Self::Attribute(attribute) => replace(attribute),
            Self::Not(filter) => Self::Not(Box::new(filter.with_attributes(replace))),
            Self::All(filters) => Self::All(filters.iter().map(|one| one.with_attributes(replace)).collect()),
            Self::Any(filters) => Self::Any(filters.iter().map(|one| one.with_attributes(replace)).collect()),
            Self::Constant(_) | Self::Header(_) => self.clone(),
        }
    }

    /// The same packets, said shorter: without constants, nested alike, said twice, or beside their opposite.
    #[must_use]
    pub fn simplified(&self) -> Self {
        match self {
            Self::Not(filter) => match filter.simplified() {
                Self::Constant(value) => Self::Constant(!value),
                Self::Not(filter) => *filter,
                filter => Self::Not(Box::new(filter)),
            },
            Self::All(filters) => Self::join(filters, true),
            Self::Any(filters) => Self::join(filters, false),
            Self::Constant(_) | Self::Header(_) | Self::Attribute(_) => self.clone(),
        }
    }

    /// All of them (`neutral` is true) or any of them.
    fn join(filters: &[Self], neutral: bool) -> Self {
        let mut joined: Vec<Self> = Vec::new();
        for filter in filters {
            match (filter.simplified(), neutral) {
                (Self::Constant(value), _) if value == neutral => {}
                (Self::Constant(_), _) => return Self::Constant(!neutral),
                (Self::All(inner), true) | (Self::Any(inner), false) => joined.extend(inner),
                (filter, _) => joined.push(filter),
            }
        }
        let mut seen = BTreeSet::new();
        joined.retain(|filter| seen.insert(filter.clone()));
        let opposite = |filter: &Self| match filter {
            Self::Not(inner) => seen.contains(&**inner),
            _ => false,
        };
        if joined.iter().any(opposite) {
            return Self::Constant(!neutral);
        }
        match (joined.len(), neutral) {
            (0, _) => Self::Constant(neutral),
            (1, _) => joined.swap_remove(0),
            (_, true) => Self::All(joined),
            (_, false) => Self::Any(joined),
        }
    }

    /// Whether no packet can be in both, as far as one test of each says; false where it takes more to see it.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let tests = |filter: &Self| -> Vec<Test> {
            let parts =
                if let Self::All(parts) = filter { parts.as_slice() } else { std::slice::from_ref(filter) };
            // `tcp port 80` is two tests in brackets of their own.
            let inner = parts.iter().flat_map(|part| {
                if let Self::All(inner) = part { inner.as_slice() } else { std::slice::from_ref(part) }
            });
            inner.filter_map(|part| if let Self::Header(test) = part { Some(*test) } else { None }).collect()
        };
        let others = tests(other);
        tests(self).iter().any(|one| others.iter().any(|other| one.excludes(other)))
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::All(vec![self, other]).simplified()
    }
}
