//! The flow key of a frame, for modules that look at nothing else of it.

use packet::flow::{FlowKey, Tuple};
use packet::parse::Layers;
use packet::wire::IpProtocol;

const ETHERNET: usize = 14;
/// More fragments, or an offset.
const FRAGMENT: u16 = 0x3fff;

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

/// The addresses, the protocol and, where it has some and this is no later fragment, the ports. `None` where the frame is
/// not IP, or one whose lengths lie.
#[inline]
pub(super) fn flow_key(frame: &[u8]) -> Option<FlowKey> {
    plain_v4(frame).or_else(|| any(frame, false))
}

/// [`flow_key`], but that of the first fragment has no ports either: all fragments of a packet have one key.
#[inline]
pub(super) fn shared_key(frame: &[u8]) -> Option<FlowKey> {
    plain_v4(frame).or_else(|| any(frame, true))
}

/// Untagged IPv4 with TCP or UDP that is no fragment: most of what is seen.
#[inline]
fn plain_v4(frame: &[u8]) -> Option<FlowKey> {
    let ip = frame.get(ETHERNET..)?.first_chunk::<20>()?;
    let (header, total) = (usize::from(ip[0] & 0xf) * 4, usize::from(be16(&ip[2..])));
    let plain = frame[12..ETHERNET] == [0x08, 0x00]
        && ip[0] >> 4 == 4
        && header >= 20
        && be16(&ip[6..]) & FRAGMENT == 0
        && matches!(IpProtocol(ip[9]), IpProtocol::TCP | IpProtocol::UDP);
    let segment = frame.get(ETHERNET..ETHERNET + total)?.get(header..)?.first_chunk::<8>()?;
    plain.then(|| {
        FlowKey::V4(Tuple {
            source: [ip[12], ip[13], ip[14], ip[15]].into(),
            destination: [ip[16], ip[17], ip[18], ip[19]].into(),
            source_port: be16(segment),
            destination_port: be16(&segment[2..]),
            protocol: IpProtocol(ip[9]),
        })
    })
}

fn any(frame: &[u8], shared: bool) -> Option<FlowKey> {
    let layers = Layers::of(frame).ok()?;
    match layers.protocol {
        // The identifier of an echo is no port.
        IpProtocol::ICMP | IpProtocol::ICMPV6 => FlowKey::hosts(&layers, frame),
        _ if shared && layers.fragment.is_some() => FlowKey::hosts(&layers, frame),
        _ => FlowKey::of(&layers, frame).or_else(|| FlowKey::hosts(&layers, frame)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::Random;

    #[test]
    fn the_short_way_says_what_the_long_one_says() {
        let mut random = Random::seeded();
        let mut short = 0;
        for _ in 0..20_000 {
            let behind = random.below(30);
            let mut frame = random.bytes(ETHERNET + 28 + behind);
            frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0]);
            frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&(28 + random.below(30) as u16).to_be_bytes());
            frame[ETHERNET + 6] = *random.pick(&[0, 0, 0x40, 0x20]);
            frame[ETHERNET + 7] = *random.pick(&[0, 0, 0, 1]);
            frame[ETHERNET + 9] = *random.pick(&[6, 17, 17, 1, 47]);
            // An honest UDP length, and data offset.
            let length = 8 + random.below(8) as u8;
            frame[ETHERNET + 20 + 4..ETHERNET + 26].copy_from_slice(&[0, length]);
            let at = random.below(frame.len());
            frame[at] ^= 1 << random.below(8);
            let Some(key) = plain_v4(&frame) else { continue };
            let long = any(&frame, false);
            short += u32::from(long.is_some());
            // The long way also refuses segments whose own lengths lie.
            assert!(long.is_none_or(|long| long == key), "{key} {long:?} {random:?}");
        }
        assert!(short > 1000, "{short} of {random:?}");
    }
}
