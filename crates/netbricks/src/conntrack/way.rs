//! A packet's tuple as the tables keep it: what both directions are found by, and which of them it is.

use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

use packet::flow::{self, FlowKey};
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, ipv4, udp};

use super::flow::Tuple;

const V4: u8 = 4;
const V6: u8 = 6;

/// What a flow is found by, in words: they are compared, hashed and put in order without looking at single fields.
///
/// ```text
/// head   query (16 bits) │ family (8) │ protocol (8) │ port (16) │ port (16)
/// ends   address (32) │ address (32)          for IPv4, and three words of 0
///        address (128) │ address (128)        for IPv6
/// ```
#[derive(Debug, Clone, Copy, Eq)]
pub(super) struct Index {
    head: u64,
    ends: [u64; 4],
}

impl Index {
    #[inline]
    const fn family(&self) -> u8 {
        (self.head >> 40) as u8
    }
}

/// Of IPv4, the words that are not 0.
impl PartialEq for Index {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let Self { head, ends: [first, rest @ ..] } = other;
        self.head == *head && self.ends[0] == *first && (self.family() != V6 || self.ends[1..] == *rest)
    }
}

/// Two words for IPv4, five for IPv6; the family in the first keeps them apart.
impl Hash for Index {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.head);
        state.write_u64(self.ends[0]);
        if self.family() == V6 {
            self.ends[1..].iter().for_each(|word| state.write_u64(*word));
        }
    }
}

/// A tuple, taken apart into what it shares with its answers and what it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) index: Index,
    /// It runs from the second end to the first; of a query, it is the answer.
    pub(super) against: bool,
}

impl Way {
    /// The tuple's. Queries run from the first end, others from the smaller.
    #[inline]
    pub(super) fn of(tuple: &Tuple) -> Self {
        match &tuple.key {
            FlowKey::V4(key) => Self::v4(key, tuple.query, tuple.answers),
            FlowKey::V6(key) => Self::v6(key, tuple.query, tuple.answers),
        }
    }

    #[inline(always)]
    fn v4(key: &flow::Tuple<Ipv4Addr>, query: u8, answers: bool) -> Self {
        let source = u64::from(key.source.to_bits()) << 16 | u64::from(key.source_port);
        let destination = u64::from(key.destination.to_bits()) << 16 | u64::from(key.destination_port);
        let against = if query == 0 { source > destination } else { answers };
        let (first, second) = if against { (destination, source) } else { (source, destination) };
        let head = head(query, V4, key.protocol, (first as u16, second as u16));
        Self { index: Index { head, ends: [first >> 16 << 32 | second >> 16, 0, 0, 0] }, against }
    }

    #[inline]
    fn v6(key: &flow::Tuple<Ipv6Addr>, query: u8, answers: bool) -> Self {
        let source = (key.source.to_bits(), key.source_port);
        let destination = (key.destination.to_bits(), key.destination_port);
        let against = if query == 0 { source > destination } else { answers };
        let (first, second) = if against { (destination, source) } else { (source, destination) };
        let head = head(query, V6, key.protocol, (first.1, second.1));
        let (first, second) = (first.0, second.0);
        let ends = [(first >> 64) as u64, first as u64, (second >> 64) as u64, second as u64];
        Self { index: Index { head, ends }, against }
    }

    /// A packet's with ports over IPv4, read from its bytes; `None` where it is another. It saves the checks of
    /// [`FlowKey::of`], and a key that would be taken apart again.
    #[inline(always)]
    pub(super) fn of_ports(layers: &Layers, frame: &[u8]) -> Option<Self> {
        if layers.network != Network::V4 || !matches!(layers.protocol, IpProtocol::TCP | IpProtocol::UDP) {
            return None;
        }
        let ip = ipv4::View::new_unchecked(frame.get(layers.l3..)?.first_chunk::<{ ipv4::HEADER_LEN }>()?);
        let ports = udp::View::new_unchecked(frame.get(layers.l4?..)?.first_chunk::<{ udp::HEADER_LEN }>()?);
        let key = flow::Tuple {
            source: ip.source(),
            destination: ip.destination(),
            source_port: ports.source_port(),
            destination_port: ports.destination_port(),
            protocol: layers.protocol,
        };
        Some(Self::v4(&key, 0, false))
    }

    /// The tuple it was taken from.
    pub(super) fn tuple(&self) -> Tuple {
        let Index { head, ends } = self.index;
        let (source_port, destination_port) = ((head >> 16) as u16, head as u16);
        let protocol = IpProtocol((head >> 32) as u8);
        let key = if self.index.family() == V4 {
            FlowKey::V4(flow::Tuple {
                source: Ipv4Addr::from_bits((ends[0] >> 32) as u32),
                destination: Ipv4Addr::from_bits(ends[0] as u32),
                source_port,
                destination_port,
                protocol,
            })
        } else {
            FlowKey::V6(flow::Tuple {
                source: Ipv6Addr::from_bits(u128::from(ends[0]) << 64 | u128::from(ends[1])),
                destination: Ipv6Addr::from_bits(u128::from(ends[2]) << 64 | u128::from(ends[3])),
                source_port,
                destination_port,
                protocol,
            })
        };
        let query = (head >> 48) as u8;
        let key = if self.against { key.reversed() } else { key };
        Tuple { key, query, answers: query != 0 && self.against }
    }
}

#[inline]
fn head(query: u8, family: u8, protocol: IpProtocol, ports: (u16, u16)) -> u64 {
    u64::from(query) << 48
        | u64::from(family) << 40
        | u64::from(protocol.0) << 32
        | u64::from(ports.0) << 16
        | u64::from(ports.1)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use packet::flow::FlowHasher;
    use proptest::prelude::*;

    use super::*;

    /// Few addresses and ports, so that ends are often the same.
    fn end(v6: bool) -> impl Strategy<Value = SocketAddr> {
        let number = prop_oneof![0..3u128, any::<u128>()];
        (number, prop_oneof![0..3u16, any::<u16>()]).prop_map(move |(number, port)| match v6 {
            true => (Ipv6Addr::from_bits(number), port).into(),
            false => (Ipv4Addr::from_bits(number as u32), port).into(),
        })
    }

    fn tuple() -> impl Strategy<Value = Tuple> {
        (any::<bool>(), any::<u8>(), prop_oneof![Just(0), any::<u8>()], any::<bool>()).prop_flat_map(
            |(v6, protocol, query, answers)| {
                (end(v6), end(v6)).prop_map(move |(source, destination)| {
                    let key = FlowKey::new(IpProtocol(protocol), source, destination).expect("one family");
                    Tuple { key, query, answers: answers && query != 0 }
                })
            },
        )
    }

    /// What the words stand for, field by field.
    fn index(tuple: &Tuple) -> (FlowKey, u8) {
        let key = match (tuple.query, tuple.answers) {
            (0, _) => tuple.key.symmetric(),
            (_, false) => tuple.key,
            (_, true) => tuple.key.reversed(),
        };
        (key, tuple.query)
    }

    proptest! {
        #[test]
        fn a_tuple_comes_back_whole_and_meets_its_answers(tuple in tuple(), other in tuple()) {
            let (way, back) = (Way::of(&tuple), Way::of(&tuple.reversed()));
            prop_assert_eq!(way.tuple(), tuple);
            prop_assert_eq!(way.index, back.index);
            prop_assert_eq!(way.against == back.against, tuple == tuple.reversed());
            for other in [other, tuple.reversed(), Tuple { query: other.query, ..tuple }] {
                let other = Tuple { answers: other.answers && other.query != 0, ..other };
                prop_assert_eq!(way.index == Way::of(&other).index, index(&tuple) == index(&other));
                prop_assert_eq!(way == Way::of(&other), tuple == other);
            }
        }

        #[test]
        fn the_hash_is_of_all_of_it(tuple in tuple(), other in tuple()) {
            let hash = |tuple| std::hash::BuildHasher::hash_one(&FlowHasher::new(1), Way::of(tuple).index);
            prop_assert_eq!(hash(&tuple) == hash(&other), index(&tuple) == index(&other));
        }
    }
}
