//! What hosts, ports and protocols look like in a frame.
//!
//! The tests are those of libpcap, in its order: a test of bytes that a frame does not have ends the whole filter, so it
//! matters which come first.

use std::net::Ipv6Addr;

use super::program::{Base, Load, Node, Relation, Test};

pub(super) const TYPE_IP: u32 = 0x0800;
pub(super) const TYPE_ARP: u32 = 0x0806;
pub(super) const TYPE_RARP: u32 = 0x8035;
pub(super) const TYPE_IP6: u32 = 0x86dd;
const TYPE_ATALK: u32 = 0x809b;
const TYPE_AARP: u32 = 0x80f3;
/// Tags: 802.1Q, 802.1ad, and what was used before it.
const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];
/// Above, the type field is a type; up to it, the length of an 802.3 frame.
const LENGTH_MAX: u32 = 1500;
/// Access points that are compared on both sides of an 802.2 header: OSI, IP, NetBIOS.
const BOTH_SIDES: [u32; 3] = [0xfe, 0x06, 0xf0];
/// The header of an IPv6 fragment.
const FRAGMENT: u32 = 44;
/// Where an IPv6 header ends.
const IP6_HEADER: u32 = 40;
/// Protocols with ports, in the order in which they are tried.
const WITH_PORTS: [u32; 3] = [SCTP, TCP, UDP];
pub(super) const TCP: u32 = 6;
pub(super) const UDP: u32 = 17;
pub(super) const SCTP: u32 = 132;
pub(super) const ICMP6: u32 = 58;

/// Which end of a packet is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
    Either,
    Both,
}

impl End {
    /// A test of both ends, as the end asks.
    fn of(self, source: impl FnOnce() -> Node, destination: impl FnOnce() -> Node) -> Node {
        match self {
            Self::Source => source(),
            Self::Destination => destination(),
            Self::Either => source().or(destination()),
            Self::Both => source().and(destination()),
        }
    }
}

/// A network protocol whose addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    Ip,
    Arp,
    Rarp,
}

/// Where the layers of a frame are, as far as the filter has said: every `vlan` moves them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Of the type field.
    pub(super) kind: u32,
}

fn bytes(offset: u32, bytes: u32, mask: u32, relation: Relation, value: u32) -> Node {
    let load = Load { base: Base::Frame, offset, bytes };
    Node::Test(Test::Bytes { load, mask, relation, value })
}

fn equal(offset: u32, width: u32, value: u32) -> Node {
    bytes(offset, width, u32::MAX, Relation::Equal, value)
}

impl Layout {
    /// An untagged frame.
    pub(super) const ETHERNET: Self = Self { kind: 12 };

    /// Of the network header.
    pub(super) fn network(self) -> u32 {
        self.kind + 2
    }

    /// Frames that carry this EtherType, or 802.2 access point.
    pub(super) fn ethertype(self, kind: u32) -> Node {
        let is = equal(self.kind, 2, kind);
        let length = || bytes(self.kind, 2, u32::MAX, Relation::Greater, LENGTH_MAX).negated();
        match kind {
            TYPE_ATALK | TYPE_AARP => {
                // Behind an 802.2 header, with the company's number in front.
                let company = if kind == TYPE_ATALK { 0x0008_0007 } else { 0 };
                let name = equal(self.network() + 4, 4, (company & 0xffff) << 16 | kind);
                let header = equal(self.network(), 4, 0xaaaa_0300 | company >> 16);
                is.or(length().and(name.and(header)))
            }
            _ if BOTH_SIDES.contains(&kind) => length().and(equal(self.network(), 2, kind << 8 | kind)),
            _ if kind <= LENGTH_MAX => length().and(equal(self.network(), 1, kind)),
            _ => is,
        }
    }

    /// A tag, perhaps of one VLAN. What is asked afterwards is asked behind it.
    pub(super) fn vlan(&mut self, number: Option<u32>) -> Node {
        let [first, second, third] = TAGS.map(|kind| equal(self.kind, 2, kind));
        let mut tagged = first.or(second).or(third);
        if let Some(number) = number {
            tagged = tagged.and(bytes(self.network(), 2, 0xfff, Relation::Equal, number));
        }
        self.kind += 4;
        tagged
    }

    /// Packets of a protocol over IPv4.
    pub(super) fn over_ip(self, protocol: u32) -> Node {
        self.ethertype(TYPE_IP).and(equal(self.network() + 9, 1, protocol))
    }

    /// Packets of a protocol over IPv6, perhaps in a fragment.
    pub(super) fn over_ip6(self, protocol: u32) -> Node {
        let next = |value| equal(self.network() + 6, 1, value);
        let behind = next(FRAGMENT).and(equal(self.network() + IP6_HEADER, 1, protocol));
        self.ethertype(TYPE_IP6).and(next(protocol).or(behind))
    }

    /// Packets of a protocol over IPv6, without a look for fragments.
    pub(super) fn directly_over_ip6(self, protocol: u32) -> Node {
        self.ethertype(TYPE_IP6).and(equal(self.network() + 6, 1, protocol))
    }

    /// Packets of a protocol over either.
    pub(super) fn over_either(self, protocol: u32) -> Node {
        self.over_ip(protocol).or(self.over_ip6(protocol))
    }

    /// Fragments behind the first are not among them.
    pub(super) fn first_fragment(self) -> Node {
        bytes(self.network() + 6, 2, u32::MAX, Relation::Shares, 0x1fff).negated()
    }

    /// Packets from or to addresses that are this one under the mask.
    pub(super) fn host(self, family: Family, end: End, address: u32, mask: u32) -> Node {
        let of = |kind, source, destination| {
            let at = |offset| {
                let there = bytes(self.network() + offset, 4, mask, Relation::Equal, address);
                self.ethertype(kind).and(there)
            };
            end.of(|| at(source), || at(destination))
        };
        let (arp, rarp) = (|| of(TYPE_ARP, 14, 24), || of(TYPE_RARP, 14, 24));
        match family {
            Family::Any => of(TYPE_IP, 12, 16).or(arp()).or(rarp()),
            Family::Ip => of(TYPE_IP, 12, 16),
            Family::Arp => arp(),
            Family::Rarp => rarp(),
        }
    }

    /// Packets from or to IPv6 addresses that are this one under the mask.
    pub(super) fn host6(self, end: End, address: Ipv6Addr, mask: u128) -> Node {
        let at = |offset: u32| {
            let word = |number: u128, at: u32| (number >> (96 - at * 32)) as u32;
            (0..4).fold(self.ethertype(TYPE_IP6), |node, part| {
                let (value, mask) = (word(address.to_bits(), part), word(mask, part));
                node.and(bytes(self.network() + offset + part * 4, 4, mask, Relation::Equal, value))
            })
        };
        end.of(|| at(8), || at(24))
    }

    /// Frames from or to a station.
    pub(super) fn station(end: End, address: [u8; 6]) -> Node {
        let [a, b, rest @ ..] = address;
        let at = |offset| {
            equal(offset + 2, 4, u32::from_be_bytes(rest)).and(equal(
                offset,
                2,
                u16::from_be_bytes([a, b]).into(),
            ))
        };
        end.of(|| at(6), || at(0))
    }

    /// Frames to a group of stations.
    pub(super) fn group_of_stations() -> Node {
        bytes(0, 1, u32::MAX, Relation::Shares, 1)
    }

    /// Packets to a group of IPv4 hosts.
    pub(super) fn group_of_hosts(self) -> Node {
        self.ethertype(TYPE_IP).and(bytes(self.network() + 16, 1, u32::MAX, Relation::AtLeast, 224))
    }

    /// Packets to a group of IPv6 hosts.
    pub(super) fn group_of_hosts6(self) -> Node {
        self.ethertype(TYPE_IP6).and(equal(self.network() + 24, 1, 0xff))
    }

    /// Packets from or to ports `first` to `last`, of one protocol or all that have some.
    pub(super) fn ports(self, protocol: Option<u32>, end: End, first: u32, last: u32) -> Node {
        let number = |base, offset| {
            let test = |relation, value| {
                let load = Load { base, offset, bytes: 2 };
                Node::Test(Test::Bytes { load, mask: u32::MAX, relation, value })
            };
            match first == last {
                true => test(Relation::Equal, first),
                false => test(Relation::AtLeast, first).and(test(Relation::Greater, last).negated()),
            }
        };
        let in_any = |of: &dyn Fn(u32) -> Node| match protocol {
            Some(protocol) => of(protocol),
            None => {
                let [first, second, third] = WITH_PORTS.map(of);
                first.or(second.or(third))
            }
        };
        let at6 = self.network() + IP6_HEADER;
        let six = in_any(&|protocol| {
            let ports = end.of(|| number(Base::Frame, at6), || number(Base::Frame, at6 + 2));
            equal(self.network() + 6, 1, protocol).and(ports)
        });
        let behind = Base::BehindIpv4(self.network());
        let four = in_any(&|protocol| {
            let at = self.network();
            let ports = end.of(|| number(behind, at), || number(behind, at + 2));
            equal(self.network() + 9, 1, protocol).and(self.first_fragment()).and(ports)
        });
        self.ethertype(TYPE_IP6).and(six).or(self.ethertype(TYPE_IP).and(four))
    }
}
