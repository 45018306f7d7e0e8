//! What a packet is about: a flow of its own, or the flow of a packet it quotes.

use std::net::IpAddr;

use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, icmpv4, icmpv6, tcp, udp};

use super::flow::Tuple;
use super::verdict::{Invalid, State};
use super::way::Way;

/// A packet's place in the tracker.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// It belongs to the flow of its tuple, if to any.
    Flow(Way),
    /// It is an ICMP error.
    Error {
        /// The tuple of an answer to the packet it quotes: that of what travels the error's way.
        about: Tuple,
        /// Whom it is addressed to.
        to: IpAddr,
    },
    /// No table needs to be asked.
    Settled(State),
}

impl Subject {
    /// Reads what a packet is about; `checksums` says whether they must be right.
    #[inline]
    pub(super) fn of(layers: &Layers, frame: &[u8], checksums: bool) -> Self {
        if !matches!(layers.network, Network::V4 | Network::V6) {
            return Self::Settled(State::Untracked);
        }
        if layers.fragment.is_some_and(|fragment| fragment.offset > 0) {
            return Self::Settled(State::Fragment);
        }
        if checksums && layers.fragment.is_none() && !checksum_is_right(layers, frame) {
            return Self::Settled(State::Invalid(Invalid::Checksum));
        }
        if let Some(way) = Way::of_ports(layers, frame) {
            return Self::Flow(way);
        }
        match (layers.protocol, layers.network) {
            (IpProtocol::ICMP, Network::V4) => Self::icmp(layers, frame),
            (IpProtocol::ICMPV6, Network::V6) => Self::icmp6(layers, frame),
            _ => FlowKey::of(layers, frame)
                .map_or(Self::Settled(State::Untracked), |key| Self::Flow(Way::of(&Tuple::plain(key)))),
        }
    }

    fn icmp(layers: &Layers, frame: &[u8]) -> Self {
        let Ok(message) = icmpv4::View::new_checked(layers.segment(frame)) else {
            return Self::Settled(State::Invalid(Invalid::IcmpType));
        };
        if message.kind().is_error() {
            return Self::error(layers, frame, message.payload());
        }
        query(message.kind().0)
            .and_then(|query| with_ident(layers, frame, message.ident(), query))
            .map_or(Self::Settled(State::Invalid(Invalid::IcmpType)), |tuple| Self::Flow(Way::of(&tuple)))
    }

    fn icmp6(layers: &Layers, frame: &[u8]) -> Self {
        let Ok(message) = icmpv6::View::new_checked(layers.segment(frame)) else {
            return Self::Settled(State::Invalid(Invalid::IcmpType));
        };
        match message.kind() {
            kind if kind.is_error() => Self::error(layers, frame, message.payload()),
            // Multicast listener and neighbour discovery (RFC 2710, RFC 3810, RFC 4861) are not answered by who is asked.
            icmpv6::Type(130..=137 | 143) => Self::Settled(State::Untracked),
            kind => query6(kind.0)
                .and_then(|query| with_ident(layers, frame, message.ident(), query))
                .map_or(Self::Settled(State::Invalid(Invalid::IcmpType)), |tuple| {
                    Self::Flow(Way::of(&tuple))
                }),
        }
    }

    fn error(layers: &Layers, frame: &[u8], quoted: &[u8]) -> Self {
        let quote = Layers::of_quoted(quoted).ok().filter(|inner| inner.network == layers.network);
        let tuple = quote.and_then(|inner| quoted_tuple(&inner, quoted));
        match (tuple, layers.addresses(frame)) {
            (Some(tuple), Some((_, to))) => Self::Error { about: tuple.reversed(), to },
            _ => Self::Settled(State::Invalid(Invalid::Quote)),
        }
    }
}

/// Which query an ICMP type belongs to, by its request, and whether it is the answer (RFC 792, RFC 950).
const fn query(kind: u8) -> Option<(u8, bool)> {
    Some(match kind {
        8 | 13 | 15 | 17 => (kind, false),
        0 => (8, true),
        14 | 16 | 18 => (kind - 1, true),
        _ => return None,
    })
}

/// The same for ICMPv6 (RFC 4443, RFC 4620); echo has ICMP's number.
const fn query6(kind: u8) -> Option<(u8, bool)> {
    Some(match kind {
        128 => (8, false),
        129 => (8, true),
        139 => (139, false),
        140 => (139, true),
        _ => return None,
    })
}

/// The tuple of a query, under its identifier.
fn with_ident(layers: &Layers, frame: &[u8], ident: u16, (query, answers): (u8, bool)) -> Option<Tuple> {
    let mut key = FlowKey::hosts(layers, frame)?;
    match &mut key {
        FlowKey::V4(tuple) => (tuple.source_port, tuple.destination_port) = (ident, ident),
        FlowKey::V6(tuple) => (tuple.source_port, tuple.destination_port) = (ident, ident),
    }
    Some(Tuple { key, query, answers })
}

/// The tuple of a packet that an error quotes, of which little more than the ports may be there.
fn quoted_tuple(layers: &Layers, quoted: &[u8]) -> Option<Tuple> {
    let segment = layers.segment(quoted);
    match (layers.protocol, layers.network) {
        (IpProtocol::ICMP, Network::V4) => {
            let message = icmpv4::View::new_checked(segment).ok()?;
            with_ident(layers, quoted, message.ident(), query(message.kind().0)?)
        }
        (IpProtocol::ICMPV6, Network::V6) => {
            let message = icmpv6::View::new_checked(segment).ok()?;
            with_ident(layers, quoted, message.ident(), query6(message.kind().0)?)
        }
        _ => FlowKey::of(layers, quoted).map(Tuple::plain),
    }
}

fn checksum_is_right(layers: &Layers, frame: &[u8]) -> bool {
    let segment = layers.segment(frame);
    let Some((source, destination)) = layers.addresses(frame) else { return true };
    match (layers.protocol, layers.network) {
        (IpProtocol::TCP, _) => {
            tcp::View::new_checked(segment).is_ok_and(|segment| segment.verify_checksum(source, destination))
        }
        (IpProtocol::UDP, _) => udp::View::new_checked(segment)
            .is_ok_and(|datagram| datagram.verify_checksum(source, destination)),
        (IpProtocol::ICMP, Network::V4) => {
            icmpv4::View::new_checked(segment).is_ok_and(|message| message.verify_checksum())
        }
        (IpProtocol::ICMPV6, Network::V6) => match (source, destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => icmpv6::View::new_checked(segment)
                .is_ok_and(|message| message.verify_checksum(source, destination)),
            _ => false,
        },
        _ => true,
    }
}
