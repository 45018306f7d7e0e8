//! Sending a packet to a back end: rewritten, readdressed, or inside another.

use std::net::IpAddr;

use packet::parse::{Layers, Network};
use packet::wire::{EtherType, IpProtocol, ethernet, gre, ipv4, ipv6};
use packet::{Checksum, Packet};

use super::balancer::Target;
use super::key_or_hosts;
use super::service::Mode;
use crate::Cause;
use crate::rewrite;

/// No tunnel of this kind cuts segments.
const TOO_LARGE: Cause = Cause::new("segment too large for a tunnel");
/// The buffer has no room in front.
const NO_ROOM: Cause = Cause::new("no room for a tunnel header");

/// Labels say where a packet goes, not its addresses.
const LABELLED: Cause = Cause::new("mpls packet for a tunnel");

/// Makes the packet one for the back end.
///
/// # Errors
/// Why it cannot go there.
pub(super) fn forward(packet: &mut Packet, layers: &Layers, target: Target, mode: Mode) -> Result<(), Cause> {
    match mode {
        Mode::Dsr => {}
        Mode::Nat => {
            let offload = packet.offload();
            if let Some(new) = key_or_hosts(layers, packet.data()).and_then(|key| target.to(&key)) {
                rewrite::tuple(packet.data_mut(), layers, &offload, &new);
            }
        }
        Mode::Ipip(source) => wrap(packet, layers, source, target.address, 0)?,
        Mode::Gre(source) => wrap(packet, layers, source, target.address, gre::HEADER_LEN)?,
    }
    if let Some(mac) = target.mac {
        ethernet::View::new_unchecked(packet.data_mut()).set_destination(mac);
    }
    Ok(())
}

/// Puts the packet into another one, with a GRE header of `gre_len` bytes or none.
fn wrap(
    packet: &mut Packet,
    layers: &Layers,
    source: IpAddr,
    destination: IpAddr,
    gre_len: usize,
) -> Result<(), Cause> {
    let six = layers.network == Network::V6;
    let (ethertype, protocol) =
        if six { (EtherType::IPV6, IpProtocol::IPV6) } else { (EtherType::IPV4, IpProtocol::IPV4) };
    let protocol = if gre_len > 0 { IpProtocol::GRE } else { protocol };
    let payload_len = gre_len + layers.end - layers.l3;
    let ip_len = if source.is_ipv4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    let header = ip_len + gre_len;
    let mut offload = packet.offload();
    if offload.segmentation.is_some() || ip_len + payload_len > usize::from(u16::MAX) {
        return Err(TOO_LARGE);
    }
    if layers.labels > 0 {
        return Err(LABELLED);
    }
    packet.truncate(layers.end); // padding is not to become payload
    packet.prepend(header).map_err(|_| NO_ROOM)?;
    let data = packet.data_mut();
    data.copy_within(header..header + layers.l3, 0);
    let (link, outer) = data.split_at_mut(layers.l3);
    let outer_type = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let repr = ipv4::Repr::new(source, destination, protocol, payload_len);
            repr.emit(&mut ipv4::View::new_unchecked(&mut *outer));
            EtherType::IPV4
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let repr = ipv6::Repr::new(source, destination, protocol, payload_len);
            repr.emit(&mut ipv6::View::new_unchecked(&mut *outer));
            EtherType::IPV6
        }
        _ => return Err(NO_ROOM), // refused when it was built
    };
    if gre_len > 0 {
        let repr = gre::Repr { protocol: ethertype, checksum: false, key: None, sequence: None };
        repr.emit(&mut gre::View::new_unchecked(&mut outer[ip_len..]));
    }
    let at = link.len() - 2;
    link[at..].copy_from_slice(&outer_type.0.to_be_bytes());
    if let Checksum::Partial { start, offset } = offload.checksum {
        offload.checksum = Checksum::Partial { start: start + header as u16, offset };
        packet.set_offload(offload);
    }
    Ok(())
}
