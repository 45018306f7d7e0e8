//! The frame that packets are copies of.

use std::net::{IpAddr, SocketAddr};

use netbricks::functions::Random;
use netbricks::rewrite;
use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::tcp::Flags;
use packet::wire::{IpProtocol, WireError, ipv4, ipv6, tcp};
use packet::{Offload, Packet, Pool};

use super::{FlowGen, Ranges};

/// The shortest Ethernet frame, without its check sequence.
const FRAME_MIN: usize = 60;

/// A frame that packets cannot be copies of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is none.
    #[error("must specify 'template'")]
    Missing,
    /// It is longer than it may be, or than a buffer.
    #[error("'template' is too big: {length} bytes, {most} at most")]
    TooBig {
        /// Its length.
        length: usize,
        /// The most.
        most: usize,
    },
    /// It cannot be read.
    #[error("'template' is malformed: {0}")]
    Malformed(#[from] WireError),
    /// It is not IP.
    #[error("'template' is not IPv4 or IPv6")]
    NotIp,
    /// It is neither TCP nor UDP, or a fragment.
    #[error("'template' is not UDP or TCP")]
    Protocol,
}

/// A frame with all checksums right, and where its layers are.
#[derive(Clone, Debug)]
pub(super) struct Template {
    frame: Vec<u8>,
    layers: Layers,
    key: FlowKey,
    /// Where its payload starts, and how long that is.
    payload: usize,
    payload_len: u32,
}

/// Where in its flow a packet is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) begins: bool,
    pub(super) ends: bool,
}

impl Template {
    pub(super) fn new(frame: &[u8], room: usize) -> Result<Self, TemplateError> {
        let (length, most) = (frame.len(), room.min(FlowGen::TEMPLATE_MAX));
        if frame.is_empty() {
            return Err(TemplateError::Missing);
        }
        if length > most {
            return Err(TemplateError::TooBig { length, most });
        }
        let mut frame = frame.to_vec();
        let layers = Layers::of(&frame)?;
        if !matches!(layers.network, Network::V4 | Network::V6) {
            return Err(TemplateError::NotIp);
        }
        let is_whole = layers.fragment.is_none();
        if !is_whole || !matches!(layers.protocol, IpProtocol::TCP | IpProtocol::UDP) {
            return Err(TemplateError::Protocol);
        }
        let (Some(key), Some(payload)) = (FlowKey::of(&layers, &frame), layers.payload) else {
            return Err(TemplateError::Protocol);
        };
        if layers.network == Network::V4 {
            ipv4::View::new_unchecked(&mut frame[layers.l3..]).fill_checksum();
        }
        rewrite::fill(&mut frame, &layers);
        let payload_len = layers.l4_payload(&frame).len() as u32;
        Ok(Self { frame, layers, key, payload, payload_len })
    }

    pub(super) fn protocol(&self) -> IpProtocol {
        self.layers.protocol
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.layers.network == Network::V4
    }

    /// The ends of a new flow.
    pub(super) fn key(&self, ranges: Ranges, random: &mut Random) -> Option<FlowKey> {
        let source =
            end(self.key.source(), ranges.ip_source, self.key.source_port(), ranges.port_source, random);
        let (address, port) = (self.key.destination(), self.key.destination_port());
        let destination = end(address, ranges.ip_destination, port, ranges.port_destination, random);
        FlowKey::new(self.protocol(), source, destination)
    }

    /// How far a packet moves its flow's sequence numbers.
    pub(super) fn advance(&self, span: Span) -> u32 {
        if span.begins {
            1
        } else if span.ends {
            0
        } else {
            self.payload_len
        }
    }

    /// A packet of a flow; `None` while there is no buffer.
    pub(super) fn packet(&self, pool: &Pool, key: &FlowKey, span: Span, sequence: u32) -> Option<Packet> {
        let mut packet = pool.packet(&self.frame)?;
        rewrite::tuple(packet.data_mut(), &self.layers, &Offload::default(), key);
        if self.protocol() == IpProtocol::TCP {
            self.set_segment(&mut packet, span, sequence);
        }
        Some(packet)
    }

    fn set_segment(&self, packet: &mut Packet, span: Span, sequence: u32) {
        let Some(l4) = self.layers.l4 else { return };
        let mut layers = self.layers;
        if span.begins || span.ends {
            layers.end = self.payload;
            self.strip(packet);
        }
        let flags = if span.begins { Flags::SYN } else { Flags::ACK };
        let flags = if span.ends { flags | Flags::FIN } else { flags };
        let frame = packet.data_mut();
        let mut segment = tcp::View::new_unchecked(&mut frame[l4..]);
        segment.set_flags(flags);
        segment.set_sequence(sequence);
        rewrite::fill(frame, &layers);
    }

    /// Leaves a segment without its payload.
    fn strip(&self, packet: &mut Packet) {
        let length = self.payload.max(FRAME_MIN);
        let before = packet.len();
        if packet.set_len(length).is_err() {
            return;
        }
        let frame = packet.data_mut();
        frame[self.payload.min(before)..].fill(0);
        let ip = &mut frame[self.layers.l3..];
        let ip_len = self.payload - self.layers.l3;
        if self.is_ipv4() {
            let mut ip = ipv4::View::new_unchecked(ip);
            ip.set_total_len(ip_len);
            ip.fill_checksum();
        } else {
            ipv6::View::new_unchecked(ip).set_payload_len(ip_len - ipv6::HEADER_LEN);
        }
    }
}

/// One of so many ends from this one on.
fn end(address: IpAddr, addresses: u32, port: u16, ports: u16, random: &mut Random) -> SocketAddr {
    let mut draw = |count: u32| random.among(&(0..=u64::from(count.max(1) - 1)));
    let by = draw(addresses);
    let address = match address {
        IpAddr::V4(address) => IpAddr::V4(address.to_bits().wrapping_add(by as u32).into()),
        IpAddr::V6(address) => IpAddr::V6(address.to_bits().wrapping_add(u128::from(by)).into()),
    };
    SocketAddr::new(address, port.wrapping_add(draw(u32::from(ports)) as u16))
}
