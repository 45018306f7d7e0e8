//! The fuzz body: any segments, few connections, little memory; and a sink that holds reassembly to its promises.

use std::net::SocketAddrV4;

use packet::flow::FlowHasher;
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, tcp};

use super::{
    Config, Conversation, Event, Exhausted, Policy, Reassembler, Sink, StreamConfig, Timeouts, UrgentBytes,
};

/// An Ethernet frame with a TCP segment.
#[must_use]
pub fn frame(source: SocketAddrV4, destination: SocketAddrV4, header: &tcp::Repr, payload: &[u8]) -> Vec<u8> {
    let header = tcp::Repr { source_port: source.port(), destination_port: destination.port(), ..*header };
    let (l4, l3) = (ethernet::HEADER_LEN + ipv4::HEADER_LEN, ethernet::HEADER_LEN);
    let segment_len = header.buffer_len() + payload.len();
    let mut frame = vec![0; l4 + segment_len];
    ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype: EtherType::IPV4 }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    ipv4::Repr::new(*source.ip(), *destination.ip(), IpProtocol::TCP, segment_len)
        .emit(&mut ipv4::View::new_unchecked(&mut frame[l3..]));
    let mut view = tcp::View::new_unchecked(&mut frame[l4..]);
    header.emit(&mut view);
    view.payload_mut().copy_from_slice(payload);
    view.fill_checksum((*source.ip()).into(), (*destination.ip()).into());
    frame
}

/// What a connection has told so far.
#[derive(Debug, Default)]
pub struct Told {
    next: [u64; 2],
    finished: [bool; 2],
    opened: bool,
    closed: bool,
}

/// Asserts that offsets are told in order and once, and nothing outside a connection's life.
#[derive(Debug)]
pub struct Audit {
    /// What becomes of urgent bytes.
    pub urgent: UrgentBytes,
}

impl Sink<Told> for Audit {
    fn event(&mut self, conversation: &mut Conversation<'_, Told>, event: Event<'_>) {
        let direction = conversation.direction as usize;
        let told = &mut *conversation.state;
        assert!(!told.closed, "{event:?} after the close");
        assert_eq!(told.opened, !matches!(event, Event::Opened { .. }), "{event:?}");
        let advance = match event {
            Event::Opened { .. } => {
                told.opened = true;
                return;
            }
            Event::Closed { .. } => {
                told.closed = true;
                return;
            }
            Event::Conflict { len, .. } => {
                assert!(len > 0);
                return;
            }
            Event::Finished => {
                assert!(!std::mem::replace(&mut told.finished[direction], true), "finished twice");
                return;
            }
            Event::Urgent { .. } if self.urgent == UrgentBytes::Inline => return,
            Event::Urgent { offset, .. } => (offset, 1),
            Event::Data { offset, bytes } => (offset, bytes.len() as u64),
            Event::Gap { offset, len, .. } => (offset, len),
        };
        assert!(!told.finished[direction], "{event:?} after the end");
        assert_eq!(advance.0, told.next[direction], "{event:?} is not next");
        assert!(advance.1 > 0, "{event:?} says nothing");
        told.next[direction] += advance.1;
    }
}

/// Any segments. The first bytes choose the rules, every further eight are a segment.
pub fn reassembly(data: &[u8]) {
    let (&[policy, rules, share, history], steps) = data.split_first_chunk::<4>().unwrap_or((&[0; 4], data));
    let urgent = if rules & 1 == 0 { UrgentBytes::Inline } else { UrgentBytes::OutOfBand };
    let pool_bytes = 16 * usize::from(rules >> 3);
    let config = Config {
        connections: 2,
        policy: Policy::ALL[usize::from(policy) % Policy::ALL.len()],
        stream: StreamConfig {
            pool_bytes,
            chunk_bytes: 16,
            stream_bytes: 8 * u32::from(share),
            stream_chunks: u32::from(share),
            history_bytes: u32::from(history & 0x7f),
            ahead_bytes: 1 << 12,
            urgent,
            exhausted: if rules & 2 == 0 { Exhausted::SkipGap } else { Exhausted::DropSegment },
        },
        midstream: rules & 4 == 0,
        timeouts: Timeouts { opening_ns: 20, established_ns: 200, closed_ns: 30 },
        ..Config::default()
    };
    let mut reassembler = Reassembler::new(config, FlowHasher::new(1));
    let (mut audit, mut now_ns) = (Audit { urgent }, 0);
    for &[ends, flags, near, far, len, fill, ack, time] in steps.as_chunks::<8>().0 {
        let end = |host: u8| SocketAddrV4::new([10, 0, 0, host].into(), 80);
        let (a, b) = (end(1), end(2 + (ends >> 1) % 3));
        let (source, destination) = if ends & 1 == 0 { (a, b) } else { (b, a) };
        let far = if far > 240 { u32::from(far) << 24 } else { u32::from(far) & 3 };
        let header = tcp::Repr {
            sequence: (u32::MAX - 100).wrapping_add(u32::from(near)).wrapping_add(far << 6),
            ack: (u32::MAX - 100).wrapping_add(u32::from(ack) << 1),
            flags: tcp::Flags(u16::from(flags)),
            urgent: u16::from(fill),
            ..tcp::Repr::default()
        };
        let frame = frame(source, destination, &header, &[fill; 255][..usize::from(len)]);
        now_ns += u64::from(time & 31);
        if let Ok(layers) = Layers::of(&frame) {
            reassembler.segment(now_ns, &layers, &frame, &mut audit);
        }
        if time & 0x80 != 0 {
            reassembler.expire(now_ns, 2, &mut audit);
        }
        assert!(reassembler.used_bytes() <= pool_bytes);
    }
    reassembler.finish(&mut audit);
    assert_eq!(reassembler.used_bytes(), 0);
    assert_eq!(reassembler.table_counters().opened, reassembler.table_counters().closed);
}
