//! Rules that are compared one by one: with a key, or with those of a whole batch.

use std::net::{Ipv4Addr, Ipv6Addr};

use lookup::acl::{Prefix, Rule};
use packet::flow::Tuple;
use packet::{BATCH, Batch, Packet};

use super::super::flow_key::Words;

/// An address of IPv4 as it lies in a packet.
pub(super) type V4 = u32;
/// An address of IPv6.
pub(super) type V6 = u128;

/// A rule of one family, to be compared.
pub(super) struct Compared<A> {
    /// Source and destination.
    addresses: [A; 2],
    masks: [A; 2],
    /// Whether it asks for nothing but addresses.
    only_addresses: bool,
    /// The first and how many are behind it.
    source_ports: (u16, u16),
    destination_ports: (u16, u16),
    protocol: (u8, u8),
    /// Which of the rules it is.
    pub(super) rule: u32,
}

fn v4(address: Ipv4Addr) -> V4 {
    u32::from_ne_bytes(address.octets())
}

impl Compared<V4> {
    /// Of a rule about these networks.
    pub(super) fn v4(
        rule: &Rule,
        number: u32,
        source: Prefix<Ipv4Addr>,
        destination: Prefix<Ipv4Addr>,
    ) -> Self {
        // The bits that count are the first.
        let mask = |length: u8| v4(Ipv4Addr::from_bits(!u32::MAX.checked_shr(length.into()).unwrap_or(0)));
        let addresses = [v4(source.address()), v4(destination.address())];
        Self::new(rule, number, addresses, [mask(source.length()), mask(destination.length())])
    }

    /// Whether a packet of this key matches.
    #[inline]
    pub(super) fn is(&self, tuple: &Tuple<Ipv4Addr>) -> bool {
        self.are([v4(tuple.source), v4(tuple.destination)])
            && self.admits(tuple.source_port, tuple.destination_port, tuple.protocol.0)
    }

    /// Those of a batch's keys, one bit each, whose addresses match.
    #[inline]
    fn near(&self, keys: &Keys) -> u32 {
        let ([source, destination], [source_mask, destination_mask]) = (self.addresses, self.masks);
        let mut near = 0;
        for ((a, b), bit) in keys.source.iter().zip(&keys.destination).zip(&BITS) {
            let differs = (a & source_mask ^ source) | (b & destination_mask ^ destination);
            near |= if differs == 0 { *bit } else { 0 };
        }
        near
    }
}

impl Compared<V6> {
    /// Of a rule about these networks.
    pub(super) fn v6(
        rule: &Rule,
        number: u32,
        source: Prefix<Ipv6Addr>,
        destination: Prefix<Ipv6Addr>,
    ) -> Self {
        let mask = |length: u8| !u128::MAX.checked_shr(length.into()).unwrap_or(0);
        let addresses = [source.address().to_bits(), destination.address().to_bits()];
        Self::new(rule, number, addresses, [mask(source.length()), mask(destination.length())])
    }

    /// Whether a packet of this key matches.
    #[inline]
    pub(super) fn is(&self, tuple: &Tuple<Ipv6Addr>) -> bool {
        self.are([tuple.source.to_bits(), tuple.destination.to_bits()])
            && self.admits(tuple.source_port, tuple.destination_port, tuple.protocol.0)
    }
}

impl<A: Copy + PartialEq + std::ops::BitAnd<Output = A>> Compared<A> {
    fn new(rule: &Rule, number: u32, addresses: [A; 2], masks: [A; 2]) -> Self {
        let ports = |range: &std::ops::RangeInclusive<u16>| (*range.start(), range.end() - range.start());
        let (source_ports, destination_ports) = (ports(&rule.source_ports), ports(&rule.destination_ports));
        let protocol = (rule.protocol.value(), rule.protocol.mask());
        let only_addresses = [source_ports, destination_ports] == [(0, u16::MAX); 2] && protocol == (0, 0);
        Self { addresses, masks, only_addresses, source_ports, destination_ports, protocol, rule: number }
    }

    #[inline]
    fn are(&self, [source, destination]: [A; 2]) -> bool {
        [source & self.masks[0], destination & self.masks[1]] == self.addresses
    }

    /// Whether all but the addresses match.
    #[inline]
    fn admits(&self, source_port: u16, destination_port: u16, protocol: u8) -> bool {
        let within = |(first, more): (u16, u16), port: u16| port.wrapping_sub(first) <= more;
        within(self.source_ports, source_port)
            && within(self.destination_ports, destination_port)
            && protocol & self.protocol.1 == self.protocol.0
    }
}

/// The bit of each lane.
const BITS: [u32; BATCH] = {
    let (mut bits, mut lane) = ([0; BATCH], 0);
    while lane < BATCH {
        bits[lane] = 1 << lane;
        lane += 1;
    }
    bits
};

/// The keys of a batch's plain packets, each field by itself: so that a rule is compared with several at once.
pub(super) struct Keys {
    source: [V4; BATCH],
    destination: [V4; BATCH],
    ports: [u32; BATCH],
    protocol: [u8; BATCH],
    /// The lanes that have one, one bit each.
    pub(super) there: u32,
}

impl Keys {
    /// Those of a batch.
    #[inline]
    pub(super) fn of(batch: &Batch) -> Self {
        let zero = [0; BATCH];
        let mut keys = Self { source: zero, destination: zero, ports: zero, protocol: [0; BATCH], there: 0 };
        for (lane, words) in batch.iter().map(Packet::data).map(Words::of).enumerate().take(BATCH) {
            let Some(words) = words else { continue };
            keys.source[lane] = words.source;
            keys.destination[lane] = words.destination;
            keys.ports[lane] = words.ports;
            keys.protocol[lane] = words.protocol;
            keys.there |= BITS[lane];
        }
        keys
    }

    /// Tells which lanes each rule is the first to match, one bit each.
    #[inline]
    pub(super) fn match_first(&self, rules: &[Compared<V4>], mut matched: impl FnMut(u32, u32)) {
        let mut open = self.there;
        for rule in rules {
            let mut hits = rule.near(self) & open;
            if hits != 0 && !rule.only_addresses {
                hits = self.admitted(rule, hits);
            }
            if hits != 0 {
                matched(rule.rule, hits);
                open &= !hits;
                if open == 0 {
                    return;
                }
            }
        }
    }

    /// Those of these lanes of which a rule takes ports and protocol.
    fn admitted(&self, rule: &Compared<V4>, lanes: u32) -> u32 {
        let is_admitted = |lane: &usize| {
            let [a, b, c, d] = self.ports[*lane].to_ne_bytes();
            let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            lanes & BITS[*lane] != 0 && rule.admits(source, destination, self.protocol[*lane])
        };
        (0..BATCH).filter(is_admitted).fold(0, |hits, lane| hits | BITS[lane])
    }
}
