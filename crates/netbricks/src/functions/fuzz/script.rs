//! Frames from a few bytes each: mostly whole, between a few hosts that the functions know, some of them spoiled.

use std::net::{IpAddr, SocketAddr};

use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::wire::{
    EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv4, icmpv6, ipv4, ipv6, ndp, tcp, udp,
};
use packet::{Checksum, Packet, SegmentKind, Segmentation, checksum};

use crate::{Gate, rewrite};

/// Bytes that make one frame.
pub(super) const STEP: usize = 12;

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const FLAGS: [u16; 8] = [0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x10];
const PORTS: [u16; 4] = [80, 53, 1025, 8080];

/// One frame and the time before it.
pub(super) struct Step<'a>(pub(super) &'a [u8; STEP]);

impl Step<'_> {
    /// How much later this frame comes than the one before.
    pub(super) fn nanoseconds(&self) -> u64 {
        1 << (self.0[10] % 46)
    }

    /// Whether it comes in one batch with the next frame, if that comes in by the same gate.
    pub(super) fn comes_with_next(&self) -> bool {
        self.has(6)
    }

    fn has(&self, bit: u8) -> bool {
        self.0[1] & 1 << bit != 0
    }

    /// The frame, and the gate it comes in by; `last` is what left last and where, for those that answer it.
    pub(super) fn frame(&self, last: Option<(Gate, &[u8])>) -> (Gate, Vec<u8>) {
        let [what, .., spoiled, change, _, cut] = *self.0;
        let own_gate = Gate::from(self.has(0));
        let (gate, mut frame) = match (what % 10, last) {
            (0..=2, Some((gate, last))) => (gate, self.answer(last).unwrap_or_else(|| last.to_vec())),
            (3, Some((gate, last))) => (gate, self.error(last).unwrap_or_else(|| last.to_vec())),
            (4, _) => (own_gate, self.resolution()),
            (5, _) => (own_gate, self.0[2..].repeat(usize::from(what) / 16)),
            (what, _) => (own_gate, self.packet(what).unwrap_or_default()),
        };
        if let Some(byte) =
            frame.len().checked_sub(1).and_then(|most| frame.get_mut(usize::from(spoiled) % (most + 1)))
        {
            *byte ^= change;
        }
        if cut < 16 {
            frame.truncate(14 + usize::from(cut) * 4);
        }
        (gate, frame)
    }

    fn host(&self, number: u8) -> IpAddr {
        let six = self.has(1);
        let low = u16::from(number & 3);
        match (six, number >> 2 & 1 != 0) {
            (false, false) => [10, 0, 0, low as u8].into(),
            (false, true) => [192, 0, 2, low as u8].into(),
            (true, false) => [0xfd00, 0, 0, 0, 0, 0, 0, low].into(),
            (true, true) if low < 2 => [0x64, 0xff9b, 0, 0, 0, 0, 0xc000, 0x0202 + low].into(),
            (true, true) => [0x2001, 0xdb8, 0, 0, 0, 0, 0, low].into(),
        }
    }

    fn ends(&self) -> [SocketAddr; 2] {
        let port = |at: u8| PORTS[usize::from(self.0[3] >> at & 3)];
        [SocketAddr::new(self.host(self.0[2]), port(0)), SocketAddr::new(self.host(self.0[2] >> 4), port(2))]
    }

    fn payload(&self) -> Vec<u8> {
        let length = usize::from(self.0[6]);
        let mut payload = vec![b'a'; if length < 240 { length % 40 } else { 1200 + length % 3 * 120 }];
        payload.extend(self.0[6].is_multiple_of(3).then_some(b'b'));
        payload
    }

    /// A packet of a flow of its own.
    fn packet(&self, what: u8) -> Option<Vec<u8>> {
        let [source, destination] = self.ends();
        let protocol = match what {
            9 if self.has(1) => IpProtocol::ICMPV6,
            9 => IpProtocol::ICMP,
            8 => IpProtocol::UDP,
            _ => IpProtocol::TCP,
        };
        let key = FlowKey::new(protocol, source, destination)?;
        let near = |byte: u8| u32::from(byte & 15).wrapping_sub(4).wrapping_mul(9);
        Some(self.whole(&key, near(self.0[5]), near(self.0[5] >> 4)))
    }

    fn whole(&self, key: &FlowKey, sequence: u32, ack: u32) -> Vec<u8> {
        let payload = self.payload();
        let (source_port, destination_port) = (key.source_port(), key.destination_port());
        let mut segment;
        match key.protocol() {
            IpProtocol::TCP => {
                let byte = self.0[4];
                let flags = tcp::Flags(FLAGS[usize::from(byte & 7)]);
                let is_syn = flags.contains(tcp::Flags::SYN);
                let repr = tcp::Repr {
                    source_port,
                    destination_port,
                    sequence,
                    ack,
                    flags,
                    window: u16::from(byte) << 6,
                    maximum_segment: is_syn.then_some(u16::from(byte) * 20),
                    window_scale: (is_syn && byte & 8 != 0).then_some(byte >> 4),
                    sack_permitted: is_syn && byte & 16 != 0,
                    timestamps: (byte & 32 != 0).then_some((sequence, ack)),
                    ..tcp::Repr::default()
                };
                segment = vec![0; repr.buffer_len()];
                repr.emit(&mut tcp::View::new_unchecked(&mut segment[..]));
                segment.extend(if is_syn { &[] } else { &payload[..] });
                tcp::View::new_unchecked(&mut segment[..]).fill_checksum(key.source(), key.destination());
            }
            IpProtocol::UDP => {
                segment = vec![0; udp::HEADER_LEN];
                let repr = udp::Repr { source_port, destination_port, payload_len: payload.len() };
                repr.emit(&mut udp::View::new_unchecked(&mut segment[..]));
                segment.extend(payload);
                if self.0[4] & 1 == 0 {
                    udp::View::new_unchecked(&mut segment[..]).fill_checksum(key.source(), key.destination());
                }
            }
            _ => {
                let kinds = if matches!(key, FlowKey::V4(_)) { [8, 0, 8, 13] } else { [128, 129, 128, 130] };
                segment =
                    message(key, [kinds[usize::from(self.0[4] & 3)], 0, 0, 0, 0, 1, 0, self.0[5]], &payload);
            }
        }
        self.framed(key, &segment)
    }

    /// What comes back to what left: the next segment of the other side, or the packet turned round.
    fn answer(&self, last: &[u8]) -> Option<Vec<u8>> {
        let layers = Layers::of(last).ok()?;
        let key = FlowKey::of(&layers, last).or_else(|| FlowKey::hosts(&layers, last))?.reversed();
        if let Ok(segment) = tcp::View::new_checked(layers.segment(last))
            && layers.protocol == IpProtocol::TCP
            && layers.fragment.is_none()
        {
            let opens = segment.flags().0 & 3 != 0;
            let behind = layers.l4_payload(last).len() as u32 + u32::from(opens);
            return Some(self.whole(&key, segment.ack(), segment.sequence().wrapping_add(behind)));
        }
        let mut frame = last.to_vec();
        rewrite::tuple(&mut frame, &layers, &packet::Offload::default(), &key);
        Some(with_link(frame))
    }

    /// An ICMP error about what left.
    fn error(&self, last: &[u8]) -> Option<Vec<u8>> {
        let layers = Layers::of(last).ok()?;
        let (source, destination) = layers.addresses(last)?;
        let quoted = layers.network_packet(last);
        let quoted = &quoted[..quoted.len().min(20 + usize::from(self.0[6]))];
        let is_v4 = source.is_ipv4();
        let protocol = if is_v4 { IpProtocol::ICMP } else { IpProtocol::ICMPV6 };
        let [from, to] = [destination, source].map(|address| SocketAddr::new(address, 0));
        let key = FlowKey::new(protocol, from, to)?;
        let kind = if is_v4 { [3, 11, 12, 5] } else { [1, 2, 3, 4] }[usize::from(self.0[4] & 3)];
        let segment = message(&key, [kind, self.0[5] & 15, 0, 0, 0, 0, self.0[3], self.0[2]], quoted);
        Some(self.framed(&key, &segment))
    }

    /// Address resolution: question or answer.
    fn resolution(&self) -> Vec<u8> {
        let asks = self.0[4] & 1 != 0;
        let [sender, target] = self.ends();
        match (sender.ip(), target.ip()) {
            (IpAddr::V4(sender_ip), IpAddr::V4(target_ip)) => {
                let operation = if asks { arp::Operation::REQUEST } else { arp::Operation::REPLY };
                let repr =
                    arp::Repr { operation, sender_mac: THEIRS, sender_ip, target_mac: OURS, target_ip };
                let mut frame = link(EtherType::ARP);
                frame.resize(ethernet::HEADER_LEN + arp::PACKET_LEN, 0);
                repr.emit(&mut arp::View::new_unchecked(&mut frame[ethernet::HEADER_LEN..]));
                frame
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                let solicitation = ndp::Repr::NeighbourSolicitation { target, source_mac: Some(THEIRS) };
                let advertisement = ndp::Repr::NeighbourAdvertisement {
                    router: false,
                    solicited: self.0[4] & 4 != 0,
                    overriding: self.0[4] & 2 != 0,
                    target: source,
                    target_mac: Some(THEIRS),
                };
                let repr = if asks { solicitation } else { advertisement };
                let mut message = vec![0; repr.buffer_len()];
                repr.emit(source, target, &mut icmpv6::View::new_unchecked(&mut message[..]));
                let mut header = [0; ipv6::HEADER_LEN];
                let ip = ipv6::Repr::new(source, target, IpProtocol::ICMPV6, message.len());
                ipv6::Repr { hop_limit: 255, ..ip }.emit(&mut ipv6::View::new_unchecked(&mut header[..]));
                [link(EtherType::IPV6), header.to_vec(), message].concat()
            }
            _ => Vec::new(),
        }
    }

    /// The segment in a packet and a frame, perhaps a fragment.
    fn framed(&self, key: &FlowKey, segment: &[u8]) -> Vec<u8> {
        let shape = self.0[7];
        let life = [64, 64, 255, 1, 2, 64, 64, 64][usize::from(shape & 7)];
        let fragment = (shape >= 0xc0).then_some(u16::from(shape >> 3 & 3) * 8);
        let mut frame = if let FlowKey::V4(_) = key { link(EtherType::IPV4) } else { link(EtherType::IPV6) };
        match key {
            FlowKey::V4(key) => {
                let mut header = [0; ipv4::HEADER_LEN];
                ipv4::Repr {
                    ttl: life,
                    ident: 7,
                    dont_fragment: shape & 0x20 != 0,
                    more_fragments: fragment.is_some_and(|offset| offset < 16),
                    fragment_offset: fragment.unwrap_or(0),
                    ..ipv4::Repr::new(key.source, key.destination, key.protocol, segment.len())
                }
                .emit(&mut ipv4::View::new_unchecked(&mut header[..]));
                frame.extend(header);
            }
            FlowKey::V6(key) => {
                let extra = fragment.map_or(0, |_| ipv6::FRAGMENT_LEN);
                let next_header = if fragment.is_some() { IpProtocol::FRAGMENT } else { key.protocol };
                let repr = ipv6::Repr::new(key.source, key.destination, next_header, extra + segment.len());
                let mut header = [0; ipv6::HEADER_LEN];
                ipv6::Repr { hop_limit: life, ..repr }.emit(&mut ipv6::View::new_unchecked(&mut header[..]));
                frame.extend(header);
                if let Some(offset) = fragment {
                    let more = u8::from(offset < 16);
                    frame.extend([key.protocol.0, 0, 0, offset as u8 & 0xf8 | more, 0, 0, 0, 7]);
                }
            }
        }
        frame.extend(segment);
        frame.resize(frame.len().max(60), 0xee);
        if self.has(4) && self.has(5) {
            frame.splice(12..12, [0x81, 0, 0, 5]);
        }
        frame
    }

    /// Leaves the transport checksum and the cutting into segments of the wire's size to the last hop, as a kernel would.
    pub(super) fn leave_work(&self, packet: &mut Packet, layers: &Layers) {
        let (Some(l4), None, true) = (layers.l4, layers.fragment, self.has(2)) else { return };
        let offset = match layers.protocol {
            IpProtocol::TCP => tcp::CHECKSUM_OFFSET,
            IpProtocol::UDP => udp::CHECKSUM_OFFSET,
            _ => return,
        };
        let length = layers.segment(packet.data()).len() as u32;
        let Some((source, destination)) = layers.addresses(packet.data()) else { return };
        let Some(sum) = checksum::pseudo(source, destination, layers.protocol, length) else { return };
        let Some(field) = packet.data_mut().get_mut(l4 + offset..l4 + offset + 2) else { return };
        field.copy_from_slice(&sum.to_be_bytes());
        let mut offload = packet.offload();
        offload.checksum = Checksum::Partial { start: l4 as u16, offset: offset as u16 };
        if self.has(3) && layers.protocol == IpProtocol::TCP {
            let kind = if source.is_ipv4() { SegmentKind::TcpV4 } else { SegmentKind::TcpV6 };
            offload.segmentation = Some(Segmentation { kind, ecn: false, size: 536, header_len: 54 });
        }
        packet.set_offload(offload);
    }
}

fn message(key: &FlowKey, head: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut bytes = [&head[..], body].concat();
    match key {
        FlowKey::V4(_) => icmpv4::View::new_unchecked(&mut bytes[..]).fill_checksum(),
        FlowKey::V6(key) => {
            icmpv6::View::new_unchecked(&mut bytes[..]).fill_checksum(key.source, key.destination);
        }
    }
    bytes
}

fn link(ethertype: EtherType) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr { source: THEIRS, destination: OURS, ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    frame
}

/// From the other station to ours.
fn with_link(mut frame: Vec<u8>) -> Vec<u8> {
    let mut link = ethernet::View::new_unchecked(&mut frame[..]);
    link.set_source(THEIRS);
    link.set_destination(OURS);
    frame
}
