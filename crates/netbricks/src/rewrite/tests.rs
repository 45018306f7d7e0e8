use std::net::{IpAddr, SocketAddr};

use packet::wire::{EtherType, MacAddr, ethernet};
use packet::{Pool, PoolConfig};
use proptest::prelude::*;

use super::*;

/// A frame as an end host sends it, as ethernet, IP, transport.
#[derive(Debug, Clone)]
struct Sample {
    six: bool,
    protocol: IpProtocol,
    ends: [(u128, u16); 2],
    payload: Vec<u8>,
    /// 32-bit words of IPv4 options and of TCP options.
    options: (usize, usize),
    padding: usize,
    without_checksum: bool,
    fragment: bool,
}

fn address(six: bool, bits: u128) -> IpAddr {
    if six { IpAddr::V6(bits.into()) } else { IpAddr::V4((bits as u32).into()) }
}

impl Sample {
    fn key(&self, ends: [(u128, u16); 2]) -> FlowKey {
        let mut ends = ends.map(|(bits, port)| SocketAddr::new(address(self.six, bits), port));
        if matches!(self.protocol, IpProtocol::ICMP | IpProtocol::ICMPV6) {
            let ident = ends[0].port();
            ends[1].set_port(ident);
        }
        FlowKey::new(self.protocol, ends[0], ends[1]).unwrap()
    }

    fn segment(&self, key: &FlowKey) -> Vec<u8> {
        let mut bytes = match self.protocol {
            IpProtocol::TCP => {
                let mut header = vec![0; 20 + 4 * self.options.1];
                header[12] = (5 + self.options.1 as u8) << 4;
                header
            }
            IpProtocol::UDP => {
                let length = (8 + self.payload.len()) as u16;
                [&[0; 4][..], &length.to_be_bytes(), &[0; 2]].concat()
            }
            _ => vec![if self.six { 128 } else { 8 }, 0, 0, 0, 0, 0, 0, 1],
        };
        let ports = if bytes.len() == 8 && self.protocol != IpProtocol::UDP { 4..6 } else { 0..4 };
        let both = [key.source_port().to_be_bytes(), key.destination_port().to_be_bytes()].concat();
        let length = ports.len();
        bytes[ports].copy_from_slice(&both[..length]);
        bytes.extend(&self.payload);
        bytes
    }

    fn frame(&self, key: &FlowKey) -> Vec<u8> {
        let segment = self.segment(key);
        let mut frame = vec![0; ethernet::HEADER_LEN];
        let ethertype = if self.six { EtherType::IPV6 } else { EtherType::IPV4 };
        ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype }
            .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
        match key {
            FlowKey::V4(key) => {
                let mut header = vec![1; 20 + 4 * self.options.0];
                let mut view = ipv4::View::new_unchecked(&mut header[..]);
                let payload_len = segment.len();
                ipv4::Repr {
                    more_fragments: self.fragment,
                    dont_fragment: false,
                    ..ipv4::Repr::new(key.source, key.destination, key.protocol, payload_len)
                }
                .emit(&mut view);
                view.set_header_len(20 + 4 * self.options.0);
                view.set_total_len(20 + 4 * self.options.0 + segment.len());
                view.fill_checksum();
                frame.extend(header);
            }
            FlowKey::V6(key) => {
                let mut header = vec![0; 40];
                ipv6::Repr::new(key.source, key.destination, key.protocol, segment.len())
                    .emit(&mut ipv6::View::new_unchecked(&mut header[..]));
                frame.extend(header);
            }
        }
        frame.extend(segment);
        frame.extend(vec![0xee; self.padding]);
        frame
    }

    /// The twin: the whole sum, from the bytes as they are.
    fn filled(&self, key: &FlowKey) -> Vec<u8> {
        let mut frame = self.frame(key);
        let layers = Layers::of(&frame).unwrap();
        let (at, l4) = (checksum_offset(&layers).unwrap(), layers.l4.unwrap());
        if self.without_checksum {
            return frame;
        }
        let segment = &frame[l4..layers.end];
        let check = !checksum::combine(pseudo(self, key, segment.len()), checksum::sum(segment));
        let check = if self.protocol == IpProtocol::UDP { checksum::udp_on_wire(check) } else { check };
        frame[l4 + at..l4 + at + 2].copy_from_slice(&check.to_be_bytes());
        frame
    }

    /// With the pseudo header's sum alone.
    fn partial(&self, key: &FlowKey) -> (Vec<u8>, Offload) {
        let mut frame = self.frame(key);
        let layers = Layers::of(&frame).unwrap();
        let (at, l4) = (checksum_offset(&layers).unwrap(), layers.l4.unwrap());
        let sum = pseudo(self, key, layers.end - l4);
        frame[l4 + at..l4 + at + 2].copy_from_slice(&sum.to_be_bytes());
        let checksum = Checksum::Partial { start: l4 as u16, offset: at as u16 };
        (frame, Offload { checksum, segmentation: None })
    }
}

fn pseudo(sample: &Sample, key: &FlowKey, length: usize) -> u16 {
    if sample.protocol == IpProtocol::ICMP {
        return 0;
    }
    checksum::pseudo(key.source(), key.destination(), sample.protocol, length as u32).unwrap()
}

fn samples() -> impl Strategy<Value = Sample> {
    let shape = (any::<bool>(), 0..3usize, prop_oneof![4 => 0..80usize, 1 => 64_000..65_000usize]);
    let rest = (any::<[(u128, u16); 2]>(), any::<u8>(), 0..=10usize, 0..=10usize, 0..30usize);
    (shape, rest, any::<bool>(), any::<bool>()).prop_map(
        |((six, protocol, length), (ends, fill, ip, tcp, padding), bare, fragment)| {
            let icmp = if six { IpProtocol::ICMPV6 } else { IpProtocol::ICMP };
            let protocol = [IpProtocol::TCP, IpProtocol::UDP, icmp][protocol];
            Sample {
                six,
                protocol,
                ends,
                payload: (0..length).map(|at| (at as u8).wrapping_mul(31) ^ fill).collect(),
                options: (if six { 0 } else { ip }, tcp),
                padding,
                without_checksum: bare && !six && protocol == IpProtocol::UDP,
                fragment: fragment && !six,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_rewritten_packet_is_the_one_its_sender_would_have_sent(
        sample in samples(), new: [(u128, u16); 2],
    ) {
        let (old, new) = (sample.key(sample.ends), sample.key(new));
        let mut frame = sample.filled(&old);
        let layers = Layers::of(&frame).unwrap();
        prop_assert!(tuple(&mut frame, &layers, &Offload::default(), &new));
        prop_assert_eq!(&frame, &sample.filled(&new));
        prop_assert!(tuple(&mut frame, &layers, &Offload::default(), &old));
        prop_assert_eq!(frame, sample.filled(&old));
    }

    #[test]
    fn a_partial_checksum_stays_the_pseudo_headers(sample in samples(), new: [(u128, u16); 2]) {
        let (old, new) = (sample.key(sample.ends), sample.key(new));
        let (mut frame, offload) = sample.partial(&old);
        let layers = Layers::of(&frame).unwrap();
        prop_assert!(tuple(&mut frame, &layers, &offload, &new));
        prop_assert_eq!(frame, sample.partial(&new).0);
    }

    #[test]
    fn finishing_a_partial_checksum_gives_the_complete_one(sample in samples()) {
        let key = sample.key(sample.ends);
        let whole = Sample { without_checksum: false, fragment: false, ..sample };
        let (frame, offload) = whole.partial(&key);
        let config = PoolConfig { buffers: 1, room: packet::ROOM_GSO, ..PoolConfig::default() };
        let mut packet = Pool::new(config).unwrap().packet(&frame).unwrap();
        packet.set_offload(offload);
        let layers = Layers::of(&frame).unwrap();
        for _ in 0..2 {
            finish(&mut packet, &layers);
            prop_assert_eq!(packet.data(), &whole.filled(&key));
            prop_assert_eq!(packet.offload(), Offload::default());
        }
    }

    #[test]
    fn time_to_live_goes_down_to_one_and_no_further(sample in samples(), life in 0..=255u8) {
        let key = sample.key(sample.ends);
        let mut frame = sample.filled(&key);
        let layers = Layers::of(&frame).unwrap();
        let at = layers.l3 + if sample.six { 7 } else { 8 };
        let with = |frame: &mut Vec<u8>, life| {
            frame[at] = life;
            if !sample.six {
                ipv4::View::new_unchecked(&mut frame[layers.l3..]).fill_checksum();
            }
        };
        with(&mut frame, life);
        let mut expected = frame.clone();
        if life > 1 {
            with(&mut expected, life - 1);
        }
        prop_assert_eq!(ttl(&mut frame, &layers), life > 1);
        prop_assert_eq!(frame, expected);
    }

    /// The error, its checksum and the quote are (unless it ends in the middle of a checksum, which cannot be mended) what a router would have sent about the other packet.
    #[test]
    fn an_error_and_its_quote_are_rewritten_together(
        sample in samples(), new: [(u128, u16); 2], outer: [u128; 2], to: [u128; 2], words in 14..100usize,
    ) {
        let error = |key: &FlowKey, outer: [u128; 2]| {
            let quoted = sample.filled(key)[ethernet::HEADER_LEN..].to_vec();
            let layers = Layers::of_ip(&quoted).unwrap();
            let least = layers.l4.unwrap() + 8;
            let quoted = &quoted[..quoted.len().min(least.max(2 * words))];
            let icmp = if sample.six { IpProtocol::ICMPV6 } else { IpProtocol::ICMP };
            let error = Sample { protocol: icmp, options: (0, 0), payload: Vec::new(), fragment: false, ..sample.clone() };
            let key = error.key(outer.map(|bits| (bits, 0)));
            let mut frame = Sample { payload: quoted.to_vec(), ..error.clone() }.frame(&key);
            let l4 = Layers::of(&frame).unwrap().l4.unwrap();
            frame[l4..l4 + 8].copy_from_slice(&[if sample.six { 1 } else { 3 }, 1, 0, 0, 0, 0, 0, 0]);
            let end = frame.len() - sample.padding;
            let check = !checksum::combine(pseudo(&error, &key, end - l4), checksum::sum(&frame[l4..end]));
            frame[l4 + 2..l4 + 4].copy_from_slice(&check.to_be_bytes());
            (key, frame)
        };
        let (old, new) = (sample.key(sample.ends), sample.key(new));
        let (mut frame, (outer_key, expected)) = (error(&old, outer).1, error(&new, to));
        let layers = Layers::of(&frame).unwrap();
        let done = quote(&mut frame, &layers, |quoted, inner| {
            tuple(quoted, inner, &Offload::default(), &new)
        });
        prop_assert_eq!(done, Some(true));
        prop_assert!(tuple(&mut frame, &layers, &Offload::default(), &outer_key));
        prop_assert_eq!(frame, expected);
    }

    #[test]
    fn no_frame_panics(frame in proptest::collection::vec(any::<u8>(), 0..120), six: bool, protocol: u8) {
        let mut frame = frame;
        if frame.len() > 24 {
            frame[12..15].copy_from_slice(if six { &[0x86, 0xdd, 0x60] } else { &[8, 0, 0x45] });
            frame[if six { 20 } else { 23 }] = protocol;
        }
        if let Ok(layers) = Layers::of(&frame) {
            let new = FlowKey::of(&layers, &frame);
            quote(&mut frame, &layers, |_, _| ());
            new.map(|new| tuple(&mut frame, &layers, &Offload::default(), &new));
            let _ = ttl(&mut frame, &layers);
        }
    }
}

#[test]
fn a_later_fragment_has_addresses_and_no_ports() {
    let sample = Sample {
        six: false,
        protocol: IpProtocol::UDP,
        ends: [(1, 1), (2, 2)],
        payload: vec![7; 24],
        options: (0, 0),
        padding: 0,
        without_checksum: false,
        fragment: false,
    };
    let mut frame = sample.filled(&sample.key(sample.ends));
    let mut ip = ipv4::View::new_unchecked(&mut frame[14..]);
    ip.set_fragment(false, false, 64);
    ip.fill_checksum();
    let (layers, payload) = (Layers::of(&frame).unwrap(), frame[34..].to_vec());
    assert!(tuple(&mut frame, &layers, &Offload::default(), &sample.key([(3, 9), (4, 9)])));
    let ip = ipv4::View::new_checked(&frame[14..]).unwrap();
    assert_eq!((ip.source().to_bits(), ip.destination().to_bits()), (3, 4));
    assert!(ip.verify_checksum());
    assert_eq!(frame[34..], payload);
    let six = FlowKey::new(IpProtocol::UDP, "[::1]:1".parse().unwrap(), "[::2]:2".parse().unwrap()).unwrap();
    let before = frame.clone();
    assert!(!tuple(&mut frame, &layers, &Offload::default(), &six), "of the other family");
    assert_eq!(frame, before);
}
