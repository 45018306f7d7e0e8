//! The crate etherparse as a judge of [`Layers`]: frames of every kind, mutated. Where both accept a frame they agree on
//! what it says; where one refuses, the reason is one of those written down here.
//!
//! The seed is fixed, since another crate's next refusal is no fault of ours; `WEFT_FUZZ_SEED` takes another.

use std::collections::BTreeMap;
use std::net::IpAddr;

use etherparse::{LinkExtSlice, NetSlice, SlicedPacket, TransportSlice};
use packet::flow::FlowKey;
use packet::fuzzing::bounded::{self, Random};
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, ipv6};

mod frames;

const SEED: u64 = 7919;
const FRAMES: usize = 300_000;
/// Bytes that decide what follows: lengths, versions, protocols and halves of Ethernet types.
const TELLING: &[u8] = &[0, 1, 4, 5, 0x45, 0x46, 0x60, 6, 17, 44, 51, 58, 0x81, 0x88];

/// One of the frames with up to three bytes changed, mostly in its headers, or cut.
fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = seeds[random.below(seeds.len())].clone();
    for _ in 0..random.below(4) {
        let at = random.below(frame.len().min(80));
        match random.below(4) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = random.next() as u8,
            2 => frame[at] = random.one_of(TELLING),
            _ => {
                let length = frame.len() - random.below(frame.len().min(60));
                frame.truncate(length.max(1));
            }
        }
    }
    frame
}

/// Whether both say the same of a frame that both accept; what differs, if not.
fn agree(layers: &Layers, theirs: &SlicedPacket<'_>, frame: &[u8]) -> Result<(), String> {
    let same = |what: &str, ours: String, theirs: String| {
        if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours}, etherparse says {theirs}")) }
    };
    let tags = theirs.link_exts.iter().filter_map(|extension| match extension {
        LinkExtSlice::Vlan(tag) => Some(tag.vlan_identifier().value()),
        LinkExtSlice::Macsec(_) => None,
    });
    // MPLS ends what etherparse reads.
    let tags: Vec<u16> = tags.collect();
    let ours: Vec<u16> = layers.vlans.iter().map(|tag| tag.id).collect();
    same("tags", format!("{ours:?}"), format!("{tags:?}"))?;
    let (net, payload): (Option<(IpAddr, IpAddr)>, _) = match &theirs.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let ends = (header.source_addr().into(), header.destination_addr().into());
            (Some(ends), Some(ip.payload()))
        }
        // It takes a payload length of 0 for the rest (RFC 2675); ours has no jumbograms.
        Some(NetSlice::Ipv6(ip)) if ip.header().payload_length() == 0 => return Ok(()),
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let ends = (header.source_addr().into(), header.destination_addr().into());
            (Some(ends), Some(ip.payload()))
        }
        _ => (None, None),
    };
    if layers.labels > 0 {
        return Ok(());
    }
    same("addresses", format!("{:?}", layers.addresses(frame)), format!("{net:?}"))?;
    let Some(payload) = payload else { return Ok(()) };
    same("fragment", layers.fragment.is_some().to_string(), payload.fragmented.to_string())?;
    if layers.fragment.is_some() {
        return Ok(());
    }
    // It steps over AH in IPv4, which for us is a protocol like any other there.
    if layers.network == Network::V4 && layers.protocol == IpProtocol::AH {
        return Ok(());
    }
    same("protocol", layers.protocol.0.to_string(), payload.ip_number.0.to_string())?;
    let start = payload.payload.as_ptr() as usize - frame.as_ptr() as usize;
    same("end", layers.end.to_string(), (start + payload.payload.len()).to_string())?;
    let key = FlowKey::of(layers, frame);
    let ports = key.map(|key| (key.source_port(), key.destination_port()));
    match &theirs.transport {
        Some(TransportSlice::Udp(udp)) => {
            let theirs = Some((udp.source_port(), udp.destination_port()));
            same("udp ports", format!("{ports:?}"), format!("{theirs:?}"))?;
            same("udp payload", format!("{:?}", layers.l4_payload(frame)), format!("{:?}", udp.payload()))
        }
        Some(TransportSlice::Tcp(tcp)) => {
            let theirs = Some((tcp.source_port(), tcp.destination_port()));
            same("tcp ports", format!("{ports:?}"), format!("{theirs:?}"))?;
            same("tcp payload", format!("{:?}", layers.l4_payload(frame)), format!("{:?}", tcp.payload()))
        }
        _ => Ok(()),
    }
}

const JUMBO: &str = "theirs takes an IPv6 payload length of 0 for the rest (RFC 2675)";

/// Why one accepts what the other refuses; `None` where it should not.
fn excuse(ours: &Result<Layers, String>, theirs: &Result<SlicedPacket<'_>, String>) -> Option<&'static str> {
    match (ours, theirs) {
        (Err(ours), Ok(theirs)) => {
            let fragment = match &theirs.net {
                Some(NetSlice::Ipv4(ip)) => ip.is_payload_fragmented(),
                Some(NetSlice::Ipv6(ip)) => ip.is_payload_fragmented(),
                _ => false,
            };
            let jumbo = matches!(&theirs.net, Some(NetSlice::Ipv6(ip)) if ip.header().payload_length() == 0);
            match &**ours {
                _ if jumbo => Some(JUMBO),
                _ if fragment => {
                    Some("theirs reads no transport header of fragments, so tiny ones pass (RFC 1858)")
                }
                text if text.contains("arp") => Some("ours reads ARP for IPv4 over Ethernet only"),
                _ if theirs.net.is_none() => Some("theirs stops in front of labels, and behind three tags"),
                text if text.contains("udp length") => {
                    Some("theirs takes a UDP length of 0 for the rest (RFC 2675)")
                }
                text if text.contains("icmp") => Some("theirs keeps the rest of an ICMP message unread"),
                text if text.contains("ipv6 extension") => {
                    Some("ours bounds and checks what theirs passes over")
                }
                _ => None,
            }
        }
        (Ok(ours), Err(theirs)) => match &**theirs {
            _ if ours.network == Network::V4 && ours.protocol == IpProtocol::AH => {
                Some("theirs steps over AH in IPv4, and minds its length")
            }
            text if text.contains("MACsec") => Some("ours carries MACsec unread"),
            text if text.contains("ARP") => Some("theirs reads ARP of any kind, and minds its lengths"),
            text if text.contains("uthentication") => {
                Some("theirs steps over AH in IPv4, and minds its length")
            }
            text if text.contains("hop-by-hop") || text.contains("Hop-by-hop") => Some(
                "theirs wants hop-by-hop options first (RFC 8200 §4.1); ours reads them anywhere, as Linux does",
            ),
            text if text.contains("IGMP") => Some("ours does not read IGMP"),
            text if text.contains("ICMP") => Some("theirs minds ICMP messages of a fixed length"),
            // A later fragment has no extension headers; what theirs reads there is payload.
            _ if ours.fragment.is_some() => Some("ours reads nothing behind a fragment header"),
            _ if ours.network == Network::Other => Some("ours carries other protocols unread"),
            _ if ours.network == Network::V6 && ours.end == ours.l3 + ipv6::HEADER_LEN => Some(JUMBO),
            _ if ours.protocol == IpProtocol::NONE => Some("nothing follows, or what ours does not know"),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn both_say_the_same_of_what_both_accept() {
    let seed = bounded::seed(Some(SEED));
    println!("WEFT_FUZZ_SEED={seed}");
    let seeds: Vec<Vec<u8>> = frames::all().into_iter().map(|(_, frame, _)| frame).collect();
    let (mut random, mut both, mut excused) = (Random(seed), 0, BTreeMap::<&str, usize>::new());
    for _ in 0..FRAMES {
        let frame = mutate(&mut random, &seeds);
        let ours = Layers::of(&frame).map_err(|error| error.to_string());
        let theirs = SlicedPacket::from_ethernet(&frame).map_err(|error| error.to_string());
        match (&ours, &theirs) {
            (Ok(layers), Ok(packet)) => {
                both += 1;
                if let Err(difference) = agree(layers, packet, &frame) {
                    panic!("seed {seed}: {difference}\n{frame:02x?}\n{layers:?}");
                }
            }
            (Err(_), Err(_)) => {}
            _ => match excuse(&ours, &theirs) {
                Some(reason) => *excused.entry(reason).or_default() += 1,
                None => panic!("seed {seed}: ours {ours:?}\ntheirs {theirs:?}\n{frame:02x?}"),
            },
        }
    }
    println!("{both} of {FRAMES} accepted by both");
    excused.iter().for_each(|(reason, count)| println!("{count} {reason}"));
    assert!(both > FRAMES / 4, "{both}");
}
