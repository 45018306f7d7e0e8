use super::*;
use packet::wire::{EtherType, MacAddr, ethernet, ipv4};
use packet::{Offload, PoolConfig, ROOM_GSO};
use proptest::prelude::*;

const NOTHING: Offloads = Offloads { checksum: false, tcp_segmentation: false, udp_segmentation: false };

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 1100, room: ROOM_GSO, ..PoolConfig::default() }).unwrap()
}

/// What a large packet is made of.
#[derive(Clone, Debug)]
struct Case {
    v6: bool,
    tcp: bool,
    vlan: bool,
    options: usize,
    flags: u8,
    ident: u16,
    sequence: u32,
    size: u16,
    payload: Vec<u8>,
    padding: usize,
}

impl Case {
    /// Writes a frame with this payload and these header values by hand; no checksum but the IPv4 header's.
    fn frame(&self, payload: &[u8], index: usize, last: bool) -> Vec<u8> {
        let mut transport = Vec::new();
        transport.extend([0x1b, 0x58, 0x00, 0x50]);
        if self.tcp {
            let sequence = self.sequence.wrapping_add((index * usize::from(self.size)) as u32);
            transport.extend(sequence.to_be_bytes());
            transport.extend([9; 4]);
            let mut flags = self.flags;
            if !last {
                flags &= !0x09;
            }
            if index > 0 {
                flags &= !0x80;
            }
            transport.extend([(((20 + self.options) / 4) << 4) as u8, flags, 4, 0, 0, 0, 0, 0]);
            transport.extend(std::iter::repeat_n(1, self.options));
        } else {
            transport.extend(((8 + payload.len()) as u16).to_be_bytes());
            transport.extend([0; 2]);
        }
        transport.extend(payload);
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        if self.vlan {
            frame.extend([0x81, 0, 0, 7]);
        }
        let protocol = if self.tcp { 6 } else { 17 };
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((transport.len() as u16).to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend([0xfd; 16]);
            frame.extend([0xfc; 16]);
        } else {
            frame.extend([8, 0, 0x45, 0]);
            let at = frame.len() - 2;
            frame.extend((20 + transport.len() as u16).to_be_bytes());
            frame.extend(self.ident.wrapping_add(index as u16).to_be_bytes());
            frame.extend([0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            let sum = slow_sum(&frame[at..]);
            frame[at + 10..at + 12].copy_from_slice(&(!sum).to_be_bytes());
        }
        frame.extend(transport);
        frame
    }

    fn l3(&self) -> usize {
        if self.vlan { 18 } else { 14 }
    }

    fn l4(&self) -> usize {
        self.l3() + if self.v6 { 40 } else { 20 }
    }

    fn field(&self) -> usize {
        if self.tcp { 16 } else { 6 }
    }

    /// The pseudo header's sum, by the book (RFC 9293 3.1, RFC 8200 8.1).
    fn pseudo(&self, len: usize) -> Vec<u8> {
        let mut pseudo =
            if self.v6 { [[0xfd; 16], [0xfc; 16]].concat() } else { vec![10, 0, 0, 1, 10, 0, 0, 2] };
        pseudo.extend((len as u32).to_be_bytes());
        pseudo.extend([0, 0, 0, if self.tcp { 6 } else { 17 }]);
        pseudo
    }

    /// The large packet as the kernel hands it over.
    fn packet(&self, pool: &Pool) -> Packet {
        let mut frame = self.frame(&self.payload, 0, true);
        let (l4, field) = (self.l4(), self.l4() + self.field());
        let sum = slow_sum(&self.pseudo(frame.len() - l4));
        frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        frame.extend(vec![0; self.padding]);
        let mut packet = pool.packet(&frame).unwrap();
        let kind = match (self.tcp, self.v6) {
            (true, false) => SegmentKind::TcpV4,
            (true, true) => SegmentKind::TcpV6,
            (false, _) => SegmentKind::Udp,
        };
        packet.set_offload(Offload {
            checksum: Checksum::Partial { start: l4 as u16, offset: self.field() as u16 },
            segmentation: Some(Segmentation { kind, ecn: false, size: self.size, header_len: 0 }),
        });
        packet
    }

    /// The segments as they ought to be.
    fn expected(&self) -> Vec<Vec<u8>> {
        let pieces: Vec<&[u8]> = match self.payload.is_empty() {
            true => vec![&[]],
            false => self.payload.chunks(usize::from(self.size)).collect(),
        };
        let segment = |(index, piece): (usize, &&[u8])| {
            let mut frame = self.frame(piece, index, index + 1 == pieces.len());
            let (l4, field) = (self.l4(), self.l4() + self.field());
            let mut covered = self.pseudo(frame.len() - l4);
            covered.extend(&frame[l4..]);
            let sum = !slow_sum(&covered);
            let sum = if sum == 0 { 0xffff } else { sum };
            frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
            frame
        };
        pieces.iter().enumerate().map(segment).collect()
    }
}

/// RFC 1071, one word at a time.
fn slow_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn cases() -> impl Strategy<Value = Case> {
    let header = (any::<bool>(), any::<bool>(), any::<bool>(), 0..=10usize, any::<u8>(), any::<u16>());
    let body = (any::<u32>(), 200..3000u16, proptest::collection::vec(any::<u8>(), 0..40_000), 0..4usize);
    (header, body).prop_map(|((v6, tcp, vlan, options, flags, ident), (sequence, size, payload, padding))| {
        Case { v6, tcp, vlan, options: options * 4, flags, ident, sequence, size, payload, padding }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn segments_are_those_of_the_slow_twin(case in cases()) {
        let pool = pool();
        let mut segments = Vec::new();
        let count = finish(case.packet(&pool), NOTHING, &pool, |segment| {
            assert_eq!(segment.offload(), Offload::default());
            segments.push(segment.data().to_vec());
        });
        let expected = case.expected();
        prop_assert_eq!(count, Ok(expected.len()));
        prop_assert_eq!(segments, expected);
    }

    #[test]
    fn partial_segments_complete_to_the_same(case in cases()) {
        let pool = pool();
        let offloads = Offloads { checksum: true, ..NOTHING };
        let mut segments = Vec::new();
        finish(case.packet(&pool), offloads, &pool, |mut segment| {
            complete(&mut segment).unwrap();
            segments.push(segment.data().to_vec());
        }).unwrap();
        prop_assert_eq!(segments, case.expected());
    }

    #[test]
    fn no_offload_state_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        whole in cases(), cut in 0..100usize, header: [u8; 10], ipv4: bool,
    ) {
        let pool = pool();
        let Ok(offload) = Offload::from_virtio(&header) else { return Ok(()) };
        for mut bytes in [bytes, whole.frame(&whole.payload[..whole.payload.len().min(100)], 0, true)] {
            bytes.truncate(bytes.len().saturating_sub(cut));
            if ipv4 && bytes.len() > 34 {
                bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
            }
            let mut packet = pool.packet(&bytes).unwrap();
            packet.set_offload(offload);
            let mut out = 0;
            if let Ok(count) = finish(packet, NOTHING, &pool, |_| out += 1) {
                prop_assert_eq!(count, out);
            }
        }
    }
}

fn udp(pool: &Pool, payload: usize, size: u16) -> Packet {
    Case {
        v6: false,
        tcp: false,
        vlan: false,
        options: 0,
        flags: 0,
        ident: 0,
        sequence: 0,
        size,
        payload: vec![1; payload],
        padding: 0,
    }
    .packet(pool)
}

#[test]
fn what_the_port_takes_passes_as_it_is() {
    let pool = pool();
    let packet = udp(&pool, 5000, 1000);
    let (offload, len) = (packet.offload(), packet.len());
    let all = Offloads { checksum: true, tcp_segmentation: true, udp_segmentation: true };
    assert!(!needs_work(&packet, all) && needs_work(&packet, NOTHING));
    let mut out = None;
    assert_eq!(finish(packet, all, &pool, |packet| out = Some(packet)), Ok(1));
    assert_eq!(out.map(|packet| (packet.offload(), packet.len())), Some((offload, len)));
}

#[test]
fn a_hostile_offload_is_an_error() {
    let pool = pool();
    let mut packet = pool.packet(&[0; 60]).unwrap();
    for (start, offset) in [(60, 0), (59, 0), (0, 59), (65535, 65535)] {
        packet.set_offload(Offload { checksum: Checksum::Partial { start, offset }, segmentation: None });
        assert_eq!(complete(&mut packet), Err(FinishError::Checksum { start, offset, len: 60 }));
    }
    let many = udp(&pool, 5000, 1);
    assert_eq!(
        finish(many, NOTHING, &pool, |_| ()).err(),
        Some(FinishError::TooMany { payload: 5000, size: 1 })
    );
    let mut lying = udp(&pool, 5000, 1000);
    let mut offload = lying.offload();
    offload.checksum = Checksum::Partial { start: 20, offset: 6 };
    lying.set_offload(offload);
    assert_eq!(
        finish(lying, NOTHING, &pool, |_| ()).err(),
        Some(FinishError::Frame { kind: SegmentKind::Udp })
    );
}

#[test]
fn a_pool_that_runs_out_loses_the_rest_only() {
    let large = pool();
    let pool = Pool::new(PoolConfig { buffers: 3, ..PoolConfig::default() }).unwrap();
    let mut out = Vec::new();
    let result = finish(udp(&large, 5000, 1000), NOTHING, &pool, |packet| out.push(packet));
    assert_eq!((result, out.len()), (Err(FinishError::NoBuffer), 3));
}

#[test]
fn the_frames_of_this_test_are_what_the_views_read() {
    let pool = pool();
    let packet = udp(&pool, 100, 50);
    let frame = ethernet::View::new_checked(packet.data()).unwrap();
    assert_eq!((frame.ethertype(), frame.source()), (EtherType::IPV4, MacAddr([2, 0, 0, 0, 0, 1])));
    assert!(ipv4::View::new_checked(&packet.data()[14..]).unwrap().verify_checksum());
}
