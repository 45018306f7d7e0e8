//! What the sender of a packet is told when it ends here: ICMP errors (RFC 1812 §4.3, RFC 4443 §2.4), TCP resets.

use std::net::{IpAddr, Ipv4Addr};

use lookup::token_bucket::{Rate, TokenBucket};
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, ethernet, icmpv4, icmpv6, ipv4, ipv6, tcp};
use packet::{Offload, Packet};

use super::{HOPS, segment, turn_round};
use crate::Cause;

/// Errors and resets that one function sends in a second (Linux' `icmp_msgs_per_sec`).
pub const ERRORS_PER_SECOND: u64 = 1000;
/// How many it may send at once (twice Linux' `icmp_msgs_burst`, because packets come in batches).
pub const ERRORS_BURST: u64 = 100;

/// Precedence "internetwork control" (RFC 1812 §4.3.2.5).
const TOS_ERROR: u8 = 0xc0;

/// Why a packet ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// There is no route.
    NoRoute,
    /// The host does not answer.
    HostUnreachable,
    /// The host does not speak the protocol.
    ProtocolUnreachable,
    /// Nobody listens on the port.
    PortUnreachable,
    /// A rule forbids it.
    Prohibited,
    /// Its hops are used up.
    TimeExceeded,
    /// It is larger than the next link takes, which is this many bytes from the IP header on.
    TooBig(u32),
}

impl Notice {
    /// The message without its quote.
    fn message_v4(self) -> icmpv4::Repr<'static> {
        use icmpv4::unreachable;
        match self {
            Self::NoRoute => icmpv4::Repr::unreachable(unreachable::NET, &[]),
            Self::HostUnreachable => icmpv4::Repr::unreachable(unreachable::HOST, &[]),
            Self::ProtocolUnreachable => icmpv4::Repr::unreachable(unreachable::PROTOCOL, &[]),
            Self::PortUnreachable => icmpv4::Repr::unreachable(unreachable::PORT, &[]),
            Self::Prohibited => icmpv4::Repr::unreachable(unreachable::PROHIBITED, &[]),
            Self::TimeExceeded => icmpv4::Repr::time_exceeded(&[]),
            Self::TooBig(mtu) => icmpv4::Repr::fragmentation_needed(mtu.min(0xffff) as u16, &[]),
        }
    }

    /// The message without its quote.
    fn message_v6(self) -> icmpv6::Repr<'static> {
        use icmpv6::unreachable;
        match self {
            Self::NoRoute => icmpv6::Repr::unreachable(unreachable::NO_ROUTE, &[]),
            Self::HostUnreachable => icmpv6::Repr::unreachable(unreachable::ADDRESS, &[]),
            // An unknown next header (§3.4); the pointer is that field of the fixed header.
            Self::ProtocolUnreachable => icmpv6::Repr::ParameterProblem { code: 1, pointer: 6, quoted: &[] },
            Self::PortUnreachable => icmpv6::Repr::unreachable(unreachable::PORT, &[]),
            Self::Prohibited => icmpv6::Repr::unreachable(unreachable::PROHIBITED, &[]),
            Self::TimeExceeded => icmpv6::Repr::time_exceeded(&[]),
            Self::TooBig(mtu) => icmpv6::Repr::too_big(mtu, &[]),
        }
    }
}

/// Sends notices, and not more than [`ERRORS_PER_SECOND`].
#[derive(Debug)]
pub struct Notices {
    bucket: TokenBucket,
    sent: u64,
    withheld: u64,
}

impl Default for Notices {
    fn default() -> Self {
        let bucket = TokenBucket::new(Rate::per_second(ERRORS_PER_SECOND), ERRORS_BURST, 0);
        Self { bucket, sent: 0, withheld: 0 }
    }
}

impl Notices {
    /// Notices sent.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Notices not sent because they would have been too many.
    #[must_use]
    pub const fn withheld(&self) -> u64 {
        self.withheld
    }

    /// Turns a packet into the ICMP error about it, from the address `from`; whether it did. Where it did not, the packet
    /// is as it was: there may be none about such a packet, there were too many, or the buffer has no room.
    pub fn error(
        &mut self,
        packet: &mut Packet,
        layers: &Layers,
        notice: Notice,
        from: IpAddr,
        now_ns: u64,
    ) -> bool {
        if !may_be_told(layers, packet.data()) || !self.may_send(now_ns) {
            return false;
        }
        let told = write_error(packet, layers, notice, from).is_ok();
        self.sent += u64::from(told);
        told
    }

    /// Turns a TCP segment into the reset that a host without its connection sends (RFC 9293 §3.10.7.1); whether it did.
    pub fn reset(&mut self, packet: &mut Packet, layers: &Layers, now_ns: u64) -> bool {
        if layers.protocol != IpProtocol::TCP || !may_be_told(layers, packet.data()) || !self.may_send(now_ns)
        {
            return false;
        }
        let told = write_reset(packet, layers).is_ok();
        self.sent += u64::from(told);
        told
    }

    fn may_send(&mut self, now_ns: u64) -> bool {
        let may = self.bucket.take(1, now_ns);
        self.withheld += u64::from(!may);
        may
    }
}

/// Whether the sender may be told of an error (RFC 1812 §4.3.2.7, RFC 4443 §2.4 (e)): never about an ICMP error, a fragment
/// that is not the first, what was sent to a group, or what comes from no single host.
#[must_use]
pub(crate) fn may_be_told(layers: &Layers, frame: &[u8]) -> bool {
    let to_one = ethernet::View::new_checked(frame).is_ok_and(|link| link.destination().is_unicast());
    if !to_one || layers.labels > 0 || layers.fragment.is_some_and(|fragment| fragment.offset > 0) {
        return false;
    }
    let message = layers.segment(frame);
    match layers.addresses(frame) {
        Some((IpAddr::V4(source), IpAddr::V4(destination))) => {
            let is_error = layers.protocol == IpProtocol::ICMP
                && icmpv4::View::new_checked(message).map_or(true, |message| message.kind().is_error());
            !is_error && is_host_v4(source) && !destination.is_multicast() && !destination.is_broadcast()
        }
        Some((IpAddr::V6(source), IpAddr::V6(destination))) => {
            let is_error = layers.protocol == IpProtocol::ICMPV6
                && icmpv6::View::new_checked(message).map_or(true, |message| {
                    message.kind().is_error() || message.kind() == icmpv6::Type::REDIRECT
                });
            let is_host = !source.is_multicast() && !source.is_unspecified() && !source.is_loopback();
            !is_error && is_host && !destination.is_multicast()
        }
        _ => false,
    }
}

/// Whether an address may be the source of a packet on a wire (RFC 1812 §5.3.7).
pub(crate) fn is_host_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first != 127 && first < 224
}

fn write_error(packet: &mut Packet, layers: &Layers, notice: Notice, from: IpAddr) -> Result<(), Cause> {
    let Some((to, _)) = layers.addresses(packet.data()) else { return Err(Cause::new("no address")) };
    let v4 = layers.network == Network::V4;
    let (header, quote_max) = match v4 {
        true => (ipv4::HEADER_LEN + icmpv4::HEADER_LEN, icmpv4::QUOTE_MAX),
        false => (ipv6::HEADER_LEN + icmpv6::MESSAGE_LEN, icmpv6::QUOTE_MAX),
    };
    let (l3, quoted) = (layers.l3, layers.network_packet(packet.data()).len().min(quote_max));
    packet.prepend(header)?;
    packet.truncate(header + l3 + quoted);
    packet.set_offload(Offload::default());
    let data = packet.data_mut();
    // The link header moves to the new front; what it announced was the quoted packet, and is the error.
    data.copy_within(header..header + l3, 0);
    turn_round(data);
    let ip = &mut data[l3..];
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let repr = ipv4::Repr::new(from, to, IpProtocol::ICMP, icmpv4::HEADER_LEN + quoted);
            ipv4::Repr { tos: TOS_ERROR, ttl: HOPS, dont_fragment: false, ..repr }
                .emit(&mut ipv4::View::new_unchecked(&mut *ip));
            notice.message_v4().emit(&mut icmpv4::View::new_unchecked(&mut ip[ipv4::HEADER_LEN..]));
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let repr = ipv6::Repr::new(from, to, IpProtocol::ICMPV6, icmpv6::MESSAGE_LEN + quoted);
            ipv6::Repr { hop_limit: HOPS, ..repr }.emit(&mut ipv6::View::new_unchecked(&mut *ip));
            let mut view = icmpv6::View::new_unchecked(&mut ip[ipv6::HEADER_LEN..]);
            notice.message_v6().emit(from, to, &mut view);
        }
        _ => return Err(Cause::new("no address of the family")),
    }
    Ok(())
}

fn write_reset(packet: &mut Packet, layers: &Layers) -> Result<(), Cause> {
    let at_fault = tcp::View::new_checked(layers.segment(packet.data()))?;
    let flags = at_fault.flags();
    if flags.contains(tcp::Flags::RST) {
        return Err(Cause::new("a reset is not answered"));
    }
    let (sequence, ack) = match flags.contains(tcp::Flags::ACK) {
        true => (at_fault.ack(), None),
        false => (0, Some(at_fault.sequence().wrapping_add(at_fault.sequence_len()))),
    };
    let flags = tcp::Flags(tcp::Flags::RST.0 | ack.map_or(0, |_| tcp::Flags::ACK.0));
    let ports = (at_fault.destination_port(), at_fault.source_port());
    let repr = segment::plain(ports, (sequence, ack.unwrap_or(0)), flags, 0);
    let Some((to, from)) = layers.addresses(packet.data()) else { return Err(Cause::new("no address")) };
    segment::write(packet, layers.l3, (from, to), &repr)?;
    turn_round(packet.data_mut());
    Ok(())
}
