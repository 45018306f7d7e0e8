//! [`StaticNat`].

use std::net::{IpAddr, SocketAddr};

use netbricks::rewrite;
use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::{Batch, Offload, Packet};

use crate::engine::{Context, Gate, Module};

/// Exchanges inside addresses for outside ones, one for one (RFC 2663 §4.1.1), in IPv4 and IPv6.
///
/// *Input gates*: two, 0 for packets from inside, 1 for packets from outside. *Output gates*: two; from inside packets
/// leave at gate 1, from outside at gate 0.
///
/// Of packets from inside it translates the source, of those from outside the destination, with all checksums; in ICMP
/// errors also the packet that they quote (RFC 5508 §4.2). The first range that has the address counts. Packets whose
/// address is in no range, and those that are not IP or malformed, pass as they are.
///
/// ```
/// # use softnic::modules::{AddressPair, StaticNat};
/// let pair = AddressPair::new(
///     ("10.0.0.0".parse()?, "10.0.0.255".parse()?),
///     ("192.0.2.0".parse()?, "192.0.2.255".parse()?),
/// )?;
/// let nat = StaticNat::new(vec![pair])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct StaticNat {
    pairs: Vec<AddressPair>,
}

/// A range of inside addresses and the outside addresses they have, first for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPair {
    inside: Range,
    outside: Range,
}

/// The first and the last address of a range.
type Range = (IpAddr, IpAddr);

/// Ranges that [`StaticNat`] does not translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaticNatError {
    /// The last inside address is before the first, or of the other version.
    #[error("invalid internal IP address range: {} to {}", .0.0, .0.1)]
    Inside(Range),
    /// The same outside.
    #[error("invalid external IP address range: {} to {}", .0.0, .0.1)]
    Outside(Range),
    /// The IPv4 broadcast address is nobody's.
    #[error("cannot map broadcast address")]
    Broadcast,
    /// The ranges have different lengths, or versions.
    #[error("internal/external address ranges differ: {} to {}, {} to {}", .inside.0, .inside.1, .outside.0, .outside.1)]
    Differ {
        /// The inside range.
        inside: Range,
        /// The outside range.
        outside: Range,
    },
    /// More ranges than there may be.
    #[error("at most {max} address ranges, not {0}", max = StaticNat::PAIRS_MAX)]
    TooMany(usize),
}

/// An address as a number.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The length of a range less one; `None` where it is none.
fn span((first, last): Range) -> Option<u128> {
    if first.is_ipv4() != last.is_ipv4() { None } else { bits(last).checked_sub(bits(first)) }
}

impl AddressPair {
    /// These inside addresses are those outside; first and last each.
    ///
    /// # Errors
    /// See [`StaticNatError`].
    pub fn new(inside: Range, outside: Range) -> Result<Self, StaticNatError> {
        let spans = (
            span(inside).ok_or(StaticNatError::Inside(inside))?,
            span(outside).ok_or(StaticNatError::Outside(outside))?,
        );
        let is_broadcast = |address| matches!(address, IpAddr::V4(address) if address.is_broadcast());
        if is_broadcast(inside.1) || is_broadcast(outside.1) {
            return Err(StaticNatError::Broadcast);
        }
        if spans.0 != spans.1 || inside.0.is_ipv4() != outside.0.is_ipv4() {
            return Err(StaticNatError::Differ { inside, outside });
        }
        Ok(Self { inside, outside })
    }

    /// The inside addresses, first and last.
    pub fn inside(&self) -> Range {
        self.inside
    }

    /// The outside addresses, first and last.
    pub fn outside(&self) -> Range {
        self.outside
    }
}

/// The address at the same place of another range; `None` where this range does not have it.
fn across(from: Range, to: Range, address: IpAddr) -> Option<IpAddr> {
    if address.is_ipv4() != from.0.is_ipv4() || address < from.0 || address > from.1 {
        return None;
    }
    let place = bits(to.0) + (bits(address) - bits(from.0));
    Some(match to.0 {
        IpAddr::V4(_) => IpAddr::V4((place as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(place.into()),
    })
}

impl StaticNat {
    /// The most ranges: each packet's address is sought in one after the other.
    pub const PAIRS_MAX: usize = 1024;

    /// Translates these ranges.
    ///
    /// # Errors
    /// More than [`StaticNat::PAIRS_MAX`].
    pub fn new(pairs: Vec<AddressPair>) -> Result<Self, StaticNatError> {
        if pairs.len() > Self::PAIRS_MAX {
            Err(StaticNatError::TooMany(pairs.len()))
        } else {
            Ok(Self { pairs })
        }
    }

    /// What an address is on the other side.
    fn other(&self, outwards: bool, address: IpAddr) -> Option<IpAddr> {
        self.pairs.iter().find_map(|pair| {
            let (from, to) = if outwards { (pair.inside, pair.outside) } else { (pair.outside, pair.inside) };
            across(from, to, address)
        })
    }

    /// A packet's tuple on the other side, `source` says by which end; `None` where it is the same.
    fn translated(&self, outwards: bool, source: bool, layers: &Layers, frame: &[u8]) -> Option<FlowKey> {
        let key = FlowKey::of(layers, frame).or_else(|| FlowKey::hosts(layers, frame))?;
        let mut ends = [
            SocketAddr::new(key.source(), key.source_port()),
            SocketAddr::new(key.destination(), key.destination_port()),
        ];
        let end = &mut ends[usize::from(!source)];
        end.set_ip(self.other(outwards, end.ip())?);
        FlowKey::new(key.protocol(), ends[0], ends[1])
    }

    fn translate(&self, outwards: bool, packet: &mut Packet) {
        let Ok(layers) = Layers::of(packet.data()) else { return };
        let offload = packet.offload();
        let frame = packet.data_mut();
        // Who quotes a packet has received it, so its ends are the other way round.
        rewrite::quote(frame, &layers, |quote, inner| {
            if let Some(key) = self.translated(outwards, !outwards, inner, quote) {
                rewrite::tuple(quote, inner, &Offload::default(), &key);
            }
        });
        if let Some(key) = self.translated(outwards, outwards, &layers, frame) {
            rewrite::tuple(frame, &layers, &offload, &key);
        }
    }
}

impl Module for StaticNat {
    fn class(&self) -> &'static str {
        "StaticNAT"
    }

    fn inputs(&self) -> Gate {
        2
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, batch: &mut Batch) {
        let outwards = gate == 0;
        ctx.forward(Gate::from(outwards));
        for packet in batch {
            self.translate(outwards, packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::tcp::Flags;
    use packet::wire::{EtherType, IpProtocol, icmpv4, icmpv6};

    use super::super::frames::{datagram, framed, ip, packet, segment};
    use super::*;
    use crate::engine::rig::{Own, Rig};

    fn range(first: &str, last: &str) -> Range {
        (first.parse().unwrap(), last.parse().unwrap())
    }

    fn nat() -> Own<StaticNat> {
        let pairs = [
            (range("10.0.0.0", "10.0.0.255"), range("192.0.2.0", "192.0.2.255")),
            (range("fd00::10", "fd00::1f"), range("2001:db8::", "2001:db8::f")),
        ];
        let pairs = pairs.map(|(inside, outside)| AddressPair::new(inside, outside).unwrap());
        Rig::new(StaticNat::new(pairs.to_vec()).unwrap())
    }

    /// An ICMP error that quotes a frame's packet.
    fn error(from: &str, to: &str, frame: &[u8]) -> Vec<u8> {
        let (from, to, quoted) = (from.parse().unwrap(), to.parse().unwrap(), &frame[14..]);
        let mut bytes;
        let protocol = match (from, to) {
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let message = icmpv6::Repr::time_exceeded(quoted);
                bytes = vec![0; message.buffer_len()];
                message.emit(from, to, &mut icmpv6::View::new_unchecked(&mut bytes[..]));
                IpProtocol::ICMPV6
            }
            _ => {
                let message = icmpv4::Repr::time_exceeded(quoted);
                bytes = vec![0; message.buffer_len()];
                message.emit(&mut icmpv4::View::new_unchecked(&mut bytes[..]));
                IpProtocol::ICMP
            }
        };
        ip(from, to, protocol, &bytes)
    }

    fn through(gate: Gate, frame: &[u8]) -> Vec<u8> {
        let left = nat().process(gate, [packet(frame)]);
        assert_eq!(left[0].0, 1 - gate);
        left[0].1.data().to_vec()
    }

    #[test]
    fn addresses_are_exchanged_one_for_one_both_ways() {
        for (inside, outside, peer) in [
            ("10.0.0.7:1000", "192.0.2.7:1000", "8.8.8.8:53"),
            ("[fd00::1f]:1000", "[2001:db8::f]:1000", "[2620::1]:53"),
        ] {
            assert_eq!(through(0, &datagram([inside, peer], b"out")), datagram([outside, peer], b"out"));
            assert_eq!(through(1, &datagram([peer, outside], b"in")), datagram([peer, inside], b"in"));
            let [there, here] = [inside, outside].map(|end| segment([end, peer], Flags::SYN, b"x"));
            assert_eq!(through(0, &there), here);
        }
    }

    #[test]
    fn addresses_of_no_range_pass() {
        for end in ["10.0.1.0:5", "9.255.255.255:5"] {
            let frame = datagram([end, "8.8.8.8:53"], b"x");
            assert_eq!(through(0, &frame), frame);
        }
        // From outside it is the destination that counts.
        let frame = datagram(["192.0.2.7:5", "8.8.8.8:53"], b"x");
        assert_eq!(through(1, &frame), frame);
        let arp = framed(EtherType::ARP, &[0; 28]);
        assert_eq!(through(0, &arp), arp);
    }

    #[test]
    fn an_error_quotes_the_packet_as_its_sender_knows_it() {
        for [inside, outside, peer, router] in [
            ["10.0.0.7", "192.0.2.7", "8.8.8.8", "203.0.113.1"],
            ["fd00::17", "2001:db8::7", "2620::1", "2001:db8:ffff::1"],
        ] {
            let end = |host: &str, port: u16| SocketAddr::new(host.parse().unwrap(), port).to_string();
            let sent = |from: &str, to: &str| datagram([&end(from, 1000), &end(to, 53)], b"payload");
            // From a router outside, about what an inside host has sent.
            let (before, after) = (sent(outside, peer), sent(inside, peer));
            assert_eq!(through(1, &error(router, outside, &before)), error(router, inside, &after));
            // And one that an inside host sends about what it got.
            let (before, after) = (sent(peer, inside), sent(peer, outside));
            assert_eq!(through(0, &error(inside, peer, &before)), error(outside, peer, &after));
            // A quote that ends behind the UDP header.
            let end = 14 + if inside.contains(':') { 48 } else { 28 };
            let (before, after) = (&sent(outside, peer)[..end], &sent(inside, peer)[..end]);
            assert_eq!(through(1, &error(router, outside, before)), error(router, inside, after));
            // What quotes somebody else's packet is translated itself, and its quote is not.
            let other = sent(router, peer);
            assert_eq!(through(1, &error(router, outside, &other)), error(router, inside, &other));
        }
    }

    #[test]
    fn ranges_that_do_not_fit_are_refused() {
        let wrong = |inside, outside| AddressPair::new(inside, outside).unwrap_err();
        let [good, long] = [range("10.0.0.1", "10.0.0.2"), range("192.0.2.1", "192.0.2.3")];
        let backwards = (good.1, good.0);
        assert_eq!(wrong(backwards, good), StaticNatError::Inside(backwards));
        assert_eq!(wrong(good, backwards), StaticNatError::Outside(backwards));
        assert_eq!(wrong(good, long), StaticNatError::Differ { inside: good, outside: long });
        let six = range("fd00::1", "fd00::2");
        assert_eq!(wrong(good, six), StaticNatError::Differ { inside: good, outside: six });
        let last = range("255.255.255.254", "255.255.255.255");
        assert_eq!(wrong(good, last), StaticNatError::Broadcast);
        let pair = AddressPair::new(good, good).unwrap();
        assert_eq!(StaticNat::new(vec![pair; 1025]).unwrap_err(), StaticNatError::TooMany(1025));
        let all = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert!(AddressPair::new(all, all).is_ok());
    }
}
