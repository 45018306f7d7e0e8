//! TCP segments without data.

use std::net::IpAddr;

use packet::wire::{IpProtocol, ipv4, ipv6, tcp};
use packet::{Offload, Packet};

use crate::Cause;

/// A header without options.
pub(crate) fn plain(
    (source_port, destination_port): (u16, u16),
    (sequence, ack): (u32, u32),
    flags: tcp::Flags,
    window: u16,
) -> tcp::Repr {
    tcp::Repr {
        source_port,
        destination_port,
        sequence,
        ack,
        flags,
        window,
        urgent: 0,
        maximum_segment: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        sack: tcp::SackBlocks::default(),
    }
}

/// Writes a segment without data over what follows the link header, checksums included.
pub(crate) fn write(
    packet: &mut Packet,
    l3: usize,
    hosts: (IpAddr, IpAddr),
    repr: &tcp::Repr,
) -> Result<(), Cause> {
    let length = repr.buffer_len();
    let header = if hosts.0.is_ipv4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    packet.set_len(l3 + header + length)?;
    packet.set_offload(Offload::default());
    let ip = &mut packet.data_mut()[l3..];
    match hosts {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            ipv4::Repr::new(from, to, IpProtocol::TCP, length).emit(&mut ipv4::View::new_unchecked(&mut *ip));
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            ipv6::Repr::new(from, to, IpProtocol::TCP, length).emit(&mut ipv6::View::new_unchecked(&mut *ip));
        }
        _ => return Err(Cause::new("no address of the family")),
    }
    let mut segment = tcp::View::new_unchecked(&mut ip[header..]);
    repr.emit(&mut segment);
    segment.fill_checksum(hosts.0, hosts.1);
    Ok(())
}
