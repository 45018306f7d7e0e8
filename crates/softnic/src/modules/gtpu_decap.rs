//! [`GtpuDecap`].

use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, gtpu};
use packet::{Batch, Packet};

use super::front;
use super::part::{mark, part};
use crate::engine::{Context, Gate, Module};

/// Takes the IP, UDP and GTP-U headers (3GPP TS 29.281) off each packet and leaves it its Ethernet header.
///
/// *Input gates*: one. *Output gates*: one.
///
/// Whatever UDP comes is taken for GTP-U, whichever its port. The Ethernet header announces the version of IP that came
/// out. What is no UDP, is a fragment, or holds no GTP-U message is dropped; BESS takes off as many bytes anyway.
///
/// ```
/// let decap = softnic::modules::GtpuDecap;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GtpuDecap;

fn unwrap(packet: &mut Packet) -> bool {
    let Some((l3, start, end, ethertype)) = open(packet.data()) else { return false };
    packet.truncate(end);
    packet.data_mut()[l3 - 2..l3].copy_from_slice(&ethertype.0.to_be_bytes());
    front::cut(packet, l3, start - l3)
}

/// Where the headers start and end, where what they carry ends, and what that is.
fn open(frame: &[u8]) -> Option<(usize, usize, usize, EtherType)> {
    let layers = Layers::of(frame).ok()?;
    if layers.protocol != IpProtocol::UDP || layers.fragment.is_some() || layers.labels > 0 {
        return None;
    }
    let message = gtpu::View::new_checked(layers.l4_payload(frame)).ok()?;
    let ethertype = match message.payload().first().map(|byte| byte >> 4) {
        Some(6) => EtherType::IPV6,
        _ => EtherType::IPV4,
    };
    let at = layers.payload?;
    Some((layers.l3, at + message.header_len(), at + message.total_len(), ethertype))
}

impl Module for GtpuDecap {
    fn class(&self) -> &'static str {
        "GtpuDecap"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let unwrapped = mark(batch, unwrap);
        part(ctx, batch, unwrapped, Some(0), None);
    }
}

#[cfg(test)]
mod tests {
    use packet::{Checksum, Offload};

    use super::super::frames::{datagram, packet, segment, tagged};
    use super::*;
    use crate::engine::Rig;

    fn tunnelled(ends: [&str; 2], pdu_session: Option<gtpu::PduSession>, inner: &[u8]) -> Vec<u8> {
        let message = gtpu::Message::G_PDU;
        let repr = gtpu::Repr { message, teid: 5, sequence: None, pdu_session, payload_len: inner.len() };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut gtpu::View::new_unchecked(&mut bytes[..]));
        datagram(ends, &[&bytes[..], inner].concat())
    }

    const FOUR: [&str; 2] = ["10.0.0.1:2152", "10.0.0.2:2152"];
    const SIX: [&str; 2] = ["[fd00::1]:2152", "[fd00::2]:2152"];

    #[test]
    fn the_inner_packet_gets_the_frame() {
        let session = Some(gtpu::PduSession { kind: 0, flow: 9 });
        let four = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworld");
        let six = datagram(["[fd00::5]:10001", "[fd00::6]:10002"], b"helloworld");
        for (outer, session, inner) in [(FOUR, None, &four), (FOUR, session, &six), (SIX, session, &four)] {
            let frame = tunnelled(outer, session, &inner[14..]);
            let padded = [&frame[..], &[0; 5]].concat();
            let frames = [packet(&frame), packet(&padded), packet(&tagged(&padded, EtherType::VLAN, 5))];
            let left = Rig::new(GtpuDecap).process(0, frames);
            assert_eq!((left[0].1.data(), left[1].1.data()), (&inner[..], &inner[..]));
            assert_eq!(left[2].1.data(), tagged(inner, EtherType::VLAN, 5));
        }
    }

    #[test]
    fn unfinished_work_goes_with_the_header_that_it_was_for() {
        let inner = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworld");
        let frame = tagged(&tunnelled(FOUR, None, &inner[14..]), EtherType::VLAN, 5);
        let partial =
            |start| Offload { checksum: Checksum::Partial { start, offset: 6 }, segmentation: None };
        for (before, after) in [(38, Offload::default()), (74, partial(38))] {
            let mut packet = packet(&frame);
            packet.set_offload(partial(before));
            assert_eq!(Rig::new(GtpuDecap).process(0, [packet])[0].1.offload(), after);
        }
    }

    #[test]
    fn what_is_no_tunnel_is_dropped() {
        let mut rig = Rig::new(GtpuDecap);
        let other = datagram(FOUR, &[0x50; 20]);
        let tcp = segment(FOUR, packet::wire::tcp::Flags::ACK, &[0x30; 20]);
        let mut fragment = tunnelled(FOUR, None, b"inner");
        fragment[20] = 0x20;
        assert!(rig.process(0, [&other[..], &tcp, &fragment, b"runt"].map(packet)).is_empty());
        assert_eq!(rig.dropped, 4);
    }
}
