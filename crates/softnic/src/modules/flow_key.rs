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

/// What [`flow_key`] says of a packet, as it lies there: in the order of the network, whatever that of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) source: u32,
    pub(super) destination: u32,
    /// Both ports, the source's first.
    pub(super) ports: u32,
    pub(super) protocol: u8,
}

impl Words {
    /// Of untagged IPv4 without options, with TCP or UDP, that is no fragment: most of what is seen, at one look. `None` for
    /// all else, which has to be asked with [`flow_key`].
    #[inline(always)]
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let head = frame.first_chunk::<{ ETHERNET + 28 }>()?;
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        // EtherType, version and header length.
        let is_plain = u32::from_be_bytes(word(12)) >> 8 == 0x08_0045 && be16(&head[20..]) & FRAGMENT == 0;
        let (total, protocol) = (usize::from(be16(&head[16..])), head[23]);
        let is_whole = total >= 28 && ETHERNET + total <= frame.len();
        let has_ports = matches!(IpProtocol(protocol), IpProtocol::TCP | IpProtocol::UDP);
        (is_plain && is_whole && has_ports).then(|| Self {
            source: u32::from_ne_bytes(word(26)),
            destination: u32::from_ne_bytes(word(30)),
            ports: u32::from_ne_bytes(word(34)),
            protocol,
        })
    }
}

/// Untagged IPv4 with TCP or UDP that is no fragment.
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
            let Some(key) = plain_v4(&frame) else {
                assert_eq!(Words::of(&frame), None, "{random:?}");
                continue;
            };
            let FlowKey::V4(tuple) = key else { panic!("{key} {random:?}") };
            // All but those with options.
            assert_eq!(Words::of(&frame).is_some(), frame[ETHERNET] == 0x45, "{key} {random:?}");
            let ports = [tuple.source_port.to_be_bytes(), tuple.destination_port.to_be_bytes()].concat();
            if let Some(words) = Words::of(&frame) {
                let word = |octets: &[u8]| u32::from_ne_bytes([octets[0], octets[1], octets[2], octets[3]]);
                let (source, destination) = (word(&tuple.source.octets()), word(&tuple.destination.octets()));
                let (ports, protocol) = (word(&ports), tuple.protocol.0);
                assert_eq!(words, Words { source, destination, ports, protocol }, "{random:?}");
            }
            let long = any(&frame, false);
            short += u32::from(long.is_some());
            // The long way also refuses segments whose own lengths lie.
            assert!(long.is_none_or(|long| long == key), "{key} {long:?} {random:?}");
        }
        assert!(short > 1000, "{short} of {random:?}");
    }
}
