//! The frames of address resolution: questions, answers, and what is read from them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::parse::{Layers, Network};
use packet::wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv6, ipv6, ndp};
use packet::{Checksum, NoRoom, Offload, Packet, Pool};

use super::Interface;

/// What a frame of address resolution says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The address that `mac` claims, if it claims one.
    pub(super) claim: Option<(IpAddr, MacAddr)>,
    /// The address that is asked for, and by whom: `None` for one who has no address yet.
    pub(super) asked: Option<(IpAddr, Option<IpAddr>)>,
    /// A claim that does not replace what is known (RFC 4861 §7.2.5, the override flag).
    pub(super) yields: bool,
}

/// Reads ARP and neighbour discovery; `None` for what is neither. The inner `None` is one that must be ignored.
pub(super) fn read(layers: &Layers, packet: &Packet) -> Option<Option<Said>> {
    let frame = packet.data();
    match layers.network {
        Network::Arp => {
            Some(arp::View::new_checked(layers.network_packet(frame)).ok().and_then(|v| read_arp(&v)))
        }
        Network::V6 if layers.protocol == IpProtocol::ICMPV6 && layers.l4.is_some() => {
            let message = icmpv6::View::new_checked(layers.segment(frame)).ok()?;
            message.kind().is_ndp().then(|| read_ndp(layers, packet, &message))
        }
        _ => None,
    }
}

fn read_arp(view: &arp::View<&[u8]>) -> Option<Said> {
    let (mac, sender) = (view.sender_mac(), view.sender_ip());
    if !mac.is_unicast() {
        return None;
    }
    // A probe asks without an address of its own (RFC 5227 §2.1.1).
    let sender = (sender != Ipv4Addr::UNSPECIFIED).then_some(IpAddr::V4(sender));
    let asked = (view.operation() == arp::Operation::REQUEST).then(|| (view.target_ip().into(), sender));
    Some(Said { claim: sender.map(|sender| (sender, mac)), asked, yields: false })
}

/// The checks of RFC 4861 §7.1 come first.
fn read_ndp(layers: &Layers, packet: &Packet, message: &icmpv6::View<&[u8]>) -> Option<Said> {
    let ip = ipv6::View::new_checked(layers.network_packet(packet.data())).ok()?;
    let (source, destination) = (ip.source(), ip.destination());
    let known_right = matches!(packet.offload().checksum, Checksum::Partial { .. } | Checksum::Verified);
    if ip.hop_limit() != 255
        || message.code() != 0
        || layers.fragment.is_some()
        || !(known_right || message.verify_checksum(source, destination))
    {
        return None;
    }
    let unicast = |mac: Option<MacAddr>| mac.filter(|mac| mac.is_unicast());
    match ndp::Repr::parse(message).ok()? {
        ndp::Repr::NeighbourSolicitation { target, source_mac } if !target.is_multicast() => {
            let source = (source != Ipv6Addr::UNSPECIFIED).then_some(IpAddr::V6(source));
            let claim = source.zip(unicast(source_mac));
            Some(Said { claim, asked: Some((target.into(), source)), yields: false })
        }
        ndp::Repr::NeighbourAdvertisement { target, target_mac, overriding, solicited, .. }
            if !(target.is_multicast() || solicited && destination.is_multicast()) =>
        {
            let claim = unicast(target_mac).map(|mac| (target.into(), mac));
            Some(Said { claim, asked: None, yields: !overriding })
        }
        _ => None,
    }
}

/// Asks for `target`: everybody, or the one who had it (`mac`). `None` where the pool or the interface has nothing to
/// ask with.
pub(super) fn question(
    pool: &Pool,
    interface: &Interface,
    target: IpAddr,
    mac: Option<MacAddr>,
) -> Option<Packet> {
    let mut packet = pool.alloc()?;
    match (target, interface.address_towards(target)?) {
        (IpAddr::V4(target), IpAddr::V4(own)) => {
            let repr = arp::Repr {
                operation: arp::Operation::REQUEST,
                sender_mac: interface.mac,
                sender_ip: own,
                target_mac: MacAddr::UNSPECIFIED,
                target_ip: target,
            };
            emit_arp(&mut packet, &repr, mac.unwrap_or(MacAddr::BROADCAST)).ok()?;
        }
        (IpAddr::V6(target), IpAddr::V6(own)) => {
            let group = ipv6::solicited_node(target);
            let (to, at) = match mac {
                Some(mac) => (target, mac),
                None => (group, MacAddr::multicast_v6(group)),
            };
            let repr = ndp::Repr::NeighbourSolicitation { target, source_mac: Some(interface.mac) };
            emit_ndp(&mut packet, &repr, (interface.mac, own), (at, to)).ok()?;
        }
        _ => return None,
    }
    Some(packet)
}

/// Makes a question for `target` the answer to it.
pub(super) fn answer(
    packet: &mut Packet,
    mac: MacAddr,
    target: IpAddr,
    asker: Option<IpAddr>,
) -> Result<(), NoRoom> {
    let back = ethernet::View::new_unchecked(packet.data()).source();
    match (target, asker) {
        (IpAddr::V4(target_ip), _) => {
            let question = packet.data().get(ethernet::HEADER_LEN..).map(arp::View::new_checked);
            let Some(Ok(question)) = question else { return Ok(()) };
            let repr = arp::Repr { target_ip, ..arp::Repr::parse(&question) }.reply(mac);
            emit_arp(packet, &repr, back)
        }
        (IpAddr::V6(target), asker) => {
            let advertise = |solicited| ndp::Repr::NeighbourAdvertisement {
                router: true,
                solicited,
                overriding: true,
                target,
                target_mac: Some(mac),
            };
            match asker {
                Some(IpAddr::V6(asker)) => emit_ndp(packet, &advertise(true), (mac, target), (back, asker)),
                // Who has no address yet hears it with everybody else (RFC 4861 §7.2.4).
                _ => {
                    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
                    let at = MacAddr::multicast_v6(all);
                    emit_ndp(packet, &advertise(false), (mac, target), (at, all))
                }
            }
        }
    }
}

fn emit_arp(packet: &mut Packet, repr: &arp::Repr, destination: MacAddr) -> Result<(), NoRoom> {
    packet.set_len(ethernet::HEADER_LEN + arp::PACKET_LEN)?;
    packet.set_offload(Offload::default());
    let (link, body) = packet.data_mut().split_at_mut(ethernet::HEADER_LEN);
    ethernet::Repr { source: repr.sender_mac, destination, ethertype: EtherType::ARP }
        .emit(&mut ethernet::View::new_unchecked(link));
    repr.emit(&mut arp::View::new_unchecked(body));
    Ok(())
}

fn emit_ndp(
    packet: &mut Packet,
    repr: &ndp::Repr,
    (source_mac, source): (MacAddr, Ipv6Addr),
    (destination_mac, destination): (MacAddr, Ipv6Addr),
) -> Result<(), NoRoom> {
    packet.set_len(ethernet::HEADER_LEN + ipv6::HEADER_LEN + repr.buffer_len())?;
    packet.set_offload(Offload::default());
    let (link, rest) = packet.data_mut().split_at_mut(ethernet::HEADER_LEN);
    let (ip, message) = rest.split_at_mut(ipv6::HEADER_LEN);
    ethernet::Repr { source: source_mac, destination: destination_mac, ethertype: EtherType::IPV6 }
        .emit(&mut ethernet::View::new_unchecked(link));
    ipv6::Repr {
        hop_limit: 255,
        ..ipv6::Repr::new(source, destination, IpProtocol::ICMPV6, repr.buffer_len())
    }
    .emit(&mut ipv6::View::new_unchecked(ip));
    repr.emit(source, destination, &mut icmpv6::View::new_unchecked(message));
    Ok(())
}
