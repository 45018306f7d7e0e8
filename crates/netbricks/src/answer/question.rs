//! Questions that a station answers for its addresses: ARP, neighbour discovery, ping.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, MacAddr, arp, ethernet, icmpv4, icmpv6, ipv4, ipv6, ndp};
use packet::{Checksum, Offload, Packet};

use super::{HOPS, turn_round};
use crate::Cause;

/// Neighbour discovery from beyond the link has fewer hops left (RFC 4861 §7.1.1).
const HOPS_ON_LINK: u8 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A packet that asks the owner of an address to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// An ARP request (RFC 826); a probe where the asker wants the address itself (RFC 5227).
    Arp {
        /// The address asked for.
        target: Ipv4Addr,
        /// The asker has no address yet.
        probe: bool,
    },
    /// A neighbour solicitation (RFC 4861 §4.3); a probe in duplicate address detection (RFC 4862 §5.4).
    Neighbour {
        /// The address asked for.
        target: Ipv6Addr,
        /// The asker has no address yet.
        probe: bool,
    },
    /// An echo request.
    Echo {
        /// Who is asked.
        to: IpAddr,
    },
    /// A piece of an ICMP message, which may be an echo request.
    EchoFragment {
        /// Who is asked.
        to: IpAddr,
    },
}

impl Question {
    /// It came in pieces, and nobody put them together.
    pub const FRAGMENT: Cause = Cause::new("fragment of an echo request");
    /// It asks for a route of its own choice (RFC 791's source routes, a routing header with segments left).
    pub const SOURCE_ROUTE: Cause = Cause::new("source route");
    /// Its checksum, or that of the IP header, is wrong.
    pub const CHECKSUM: Cause = Cause::new("wrong checksum");
    /// It does not come from one host: a group, the unspecified address, the address that is asked.
    pub const SOURCE: Cause = Cause::new("source is no other host");
    /// Neighbour discovery that RFC 4861 §7.1.1 tells receivers to ignore.
    pub const DISCOVERY: Cause = Cause::new("invalid neighbour discovery");

    /// What a packet asks; `None` for one that asks nothing, and for an echo request to everybody.
    #[inline]
    #[must_use]
    pub fn of(layers: &Layers, frame: &[u8]) -> Option<Self> {
        if layers.labels > 0 {
            return None;
        }
        match (layers.network, layers.protocol) {
            (Network::Arp, _) => Self::arp(layers, frame),
            (Network::V4, IpProtocol::ICMP) | (Network::V6, IpProtocol::ICMPV6) => Self::icmp(layers, frame),
            _ => None,
        }
    }

    fn arp(layers: &Layers, frame: &[u8]) -> Option<Self> {
        let request = arp::View::new_checked(layers.network_packet(frame)).ok()?;
        let (sender, target) = (request.sender_ip(), request.target_ip());
        // One that asks for its own address announces it.
        let asks = request.operation() == arp::Operation::REQUEST && sender != target;
        asks.then_some(Self::Arp { target, probe: sender.is_unspecified() })
    }

    fn icmp(layers: &Layers, frame: &[u8]) -> Option<Self> {
        let (source, to) = layers.addresses(frame)?;
        let to_one = ethernet::View::new_checked(frame).is_ok_and(|link| link.destination().is_unicast());
        if layers.fragment.is_some() {
            return to_one.then_some(Self::EchoFragment { to });
        }
        let message = layers.segment(frame);
        if layers.network == Network::V4 {
            let echo = icmpv4::View::new_checked(message).ok()?.kind() == icmpv4::Type::ECHO_REQUEST;
            return (echo && to_one).then_some(Self::Echo { to });
        }
        let message = icmpv6::View::new_checked(message).ok()?;
        match message.kind() {
            icmpv6::Type::ECHO_REQUEST => to_one.then_some(Self::Echo { to }),
            icmpv6::Type::NEIGHBOUR_SOLICITATION => match ndp::Repr::parse(&message).ok()? {
                ndp::Repr::NeighbourSolicitation { target, .. } => {
                    Some(Self::Neighbour { target, probe: source.is_unspecified() })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The address whose owner is asked.
    #[must_use]
    pub const fn whom(&self) -> IpAddr {
        match *self {
            Self::Arp { target, .. } => IpAddr::V4(target),
            Self::Neighbour { target, .. } => IpAddr::V6(target),
            Self::Echo { to } | Self::EchoFragment { to } => to,
        }
    }

    /// Whether the asker wants to know if it may have the address.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        matches!(self, Self::Arp { probe: true, .. } | Self::Neighbour { probe: true, .. })
    }

    /// Turns the packet into the answer of the station `mac`, which is a `router` or not.
    ///
    /// # Errors
    /// Why it is not answered; the packet may be anything then.
    pub fn answer(
        &self,
        packet: &mut Packet,
        layers: &Layers,
        mac: MacAddr,
        router: bool,
    ) -> Result<(), Cause> {
        match *self {
            Self::Arp { .. } => answer_arp(packet, layers, mac)?,
            Self::Neighbour { target, .. } => answer_neighbour(packet, layers, target, mac, router)?,
            Self::Echo { to: IpAddr::V4(_) } => answer_echo_v4(packet, layers)?,
            Self::Echo { to: IpAddr::V6(_) } => answer_echo_v6(packet, layers)?,
            Self::EchoFragment { .. } => return Err(Self::FRAGMENT),
        }
        packet.set_offload(Offload::default());
        Ok(())
    }
}

fn answer_arp(packet: &mut Packet, layers: &Layers, mac: MacAddr) -> Result<(), Cause> {
    let data = packet.data_mut();
    let request = arp::Repr::parse(&arp::View::new_checked(layers.network_packet(data))?);
    if !request.sender_mac.is_unicast() {
        return Err(Question::SOURCE);
    }
    request.reply(mac).emit(&mut arp::View::new_unchecked(&mut data[layers.l3..]));
    let mut link = ethernet::View::new_unchecked(data);
    link.set_source(mac);
    link.set_destination(request.sender_mac);
    packet.truncate(layers.l3 + arp::PACKET_LEN);
    Ok(())
}

/// RFC 4861 §7.2.4. A probe is answered to everybody: the asker has no address yet.
fn answer_neighbour(
    packet: &mut Packet,
    layers: &Layers,
    target: Ipv6Addr,
    mac: MacAddr,
    router: bool,
) -> Result<(), Cause> {
    let ip = ipv6::View::new_checked(layers.network_packet(packet.data()))?;
    let message = icmpv6::View::new_checked(layers.segment(packet.data()))?;
    let asker = ip.source();
    if ip.hop_limit() != HOPS_ON_LINK || message.code() != 0 || asker.is_multicast() {
        return Err(Question::DISCOVERY);
    }
    if must_verify(packet) && !message.verify_checksum(asker, ip.destination()) {
        return Err(Question::CHECKSUM);
    }
    let asker_mac = ethernet::View::new_unchecked(packet.data()).source();
    let probe = asker.is_unspecified();
    let (to, to_mac) = if probe { (ALL_NODES, MacAddr::multicast_v6(ALL_NODES)) } else { (asker, asker_mac) };
    let says = ndp::Repr::NeighbourAdvertisement {
        router,
        solicited: !probe,
        overriding: true,
        target,
        target_mac: Some(mac),
    };
    let l4 = layers.l3 + ipv6::HEADER_LEN;
    packet.set_len(l4 + says.buffer_len())?;
    let data = packet.data_mut();
    let ip = ipv6::Repr::new(target, to, IpProtocol::ICMPV6, says.buffer_len());
    ipv6::Repr { hop_limit: HOPS_ON_LINK, ..ip }.emit(&mut ipv6::View::new_unchecked(&mut data[layers.l3..]));
    says.emit(target, to, &mut icmpv6::View::new_unchecked(&mut data[l4..]));
    let mut link = ethernet::View::new_unchecked(data);
    link.set_source(mac);
    link.set_destination(to_mac);
    Ok(())
}

/// RFC 1122 §3.2.2.6: the data goes back, and so do the options, as far as they got; a source route is not followed.
fn answer_echo_v4(packet: &mut Packet, layers: &Layers) -> Result<(), Cause> {
    let ip = ipv4::View::new_checked(layers.network_packet(packet.data()))?;
    let message = icmpv4::View::new_checked(layers.segment(packet.data()))?;
    let (source, destination) = (ip.source(), ip.destination());
    if source.is_multicast() || source.is_broadcast() || source.is_unspecified() || source == destination {
        return Err(Question::SOURCE);
    }
    if !ip.verify_checksum() || (must_verify(packet) && !message.verify_checksum()) {
        return Err(Question::CHECKSUM);
    }
    if layers.ip_options && has_source_route(&ip) {
        return Err(Question::SOURCE_ROUTE);
    }
    let (ident, sequence) = (message.ident(), message.sequence());
    packet.truncate(layers.end);
    let data = packet.data_mut();
    turn_round(data);
    let mut ip = ipv4::View::new_unchecked(&mut data[layers.l3..]);
    ip.set_source(destination);
    ip.set_destination(source);
    ip.set_ttl(HOPS);
    ip.fill_checksum();
    let reply = icmpv4::Repr::EchoReply { ident, sequence, data: &[] };
    // The data is there already; the checksum covers the whole buffer.
    reply.emit(&mut icmpv4::View::new_unchecked(layers.segment_mut(data)));
    Ok(())
}

/// RFC 4443 §4.2. Extension headers are for the way here, and do not go back.
fn answer_echo_v6(packet: &mut Packet, layers: &Layers) -> Result<(), Cause> {
    let ip = ipv6::View::new_checked(layers.network_packet(packet.data()))?;
    let message = icmpv6::View::new_checked(layers.segment(packet.data()))?;
    let (source, destination) = (ip.source(), ip.destination());
    if source.is_multicast() || source.is_unspecified() || source == destination {
        return Err(Question::SOURCE);
    }
    if must_verify(packet) && !message.verify_checksum(source, destination) {
        return Err(Question::CHECKSUM);
    }
    let routed = |extension| matches!(extension, Ok(ipv6::Extension::Routing { segments_left: 1.., .. }));
    if ip.extensions().any(routed) {
        return Err(Question::SOURCE_ROUTE);
    }
    let (ident, sequence) = (message.ident(), message.sequence());
    let length = layers.segment(packet.data()).len();
    let (from, l4) = (layers.l4.unwrap_or(layers.end), layers.l3 + ipv6::HEADER_LEN);
    let data = packet.data_mut();
    turn_round(data);
    data.copy_within(from..from + length, l4);
    let mut ip = ipv6::View::new_unchecked(&mut data[layers.l3..]);
    ip.set_source(destination);
    ip.set_destination(source);
    ip.set_hop_limit(HOPS);
    ip.set_next_header(IpProtocol::ICMPV6);
    ip.set_payload_len(length);
    let reply = icmpv6::Repr::EchoReply { ident, sequence, data: &[] };
    reply.emit(destination, source, &mut icmpv6::View::new_unchecked(&mut data[l4..l4 + length]));
    packet.truncate(l4 + length);
    Ok(())
}

/// Whether nobody has verified the checksum yet; one that is still to be completed cannot be wrong.
fn must_verify(packet: &Packet) -> bool {
    packet.offload().checksum == Checksum::Unknown
}

fn has_source_route(ip: &ipv4::View<&[u8]>) -> bool {
    ip.options().any(|option| matches!(option, Ok(ipv4::HeaderOption::SourceRoute { .. })))
}
