//! The packets of the table: frames of 60 bytes, from a hot set of 32 or of a million flows.

use std::net::Ipv4Addr;

use packet::Batch;
use packet::flow::{FlowKey, Tuple};
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, udp};
use softnic::engine::{Context, Gate, Module};

/// Bytes of a frame, without its check sequence.
pub(crate) const FRAME: usize = 60;
/// Frames of the hot set.
pub(crate) const HOT: u8 = 32;
/// Addresses of the layer-2 table, from [`station`] 0 on.
pub(crate) const STATIONS: u64 = 256;
// Where the network layer begins, and the transport layer behind it.
const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv4::HEADER_LEN;

/// The address of a station.
pub(crate) fn station(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

/// A datagram, its IPv4 checksum right. TCP is seen in it as well where the protocol says so: a header without options.
pub(crate) fn frame(to: MacAddr, key: Tuple<Ipv4Addr>) -> [u8; FRAME] {
    let mut bytes = [0; FRAME];
    let link = ethernet::Repr { source: station(u8::MAX), destination: to, ethertype: EtherType::IPV4 };
    link.emit(&mut ethernet::View::new_unchecked(&mut bytes[..]));
    let header = ipv4::Repr::new(key.source, key.destination, key.protocol, FRAME - L4);
    header.emit(&mut ipv4::View::new_unchecked(&mut bytes[L3..]));
    let ports = udp::Repr {
        source_port: key.source_port,
        destination_port: key.destination_port,
        payload_len: FRAME - L4 - udp::HEADER_LEN,
    };
    ports.emit(&mut udp::View::new_unchecked(&mut bytes[L4..]));
    // The data offset of TCP.
    bytes[L4 + 12] = 5 << 4;
    bytes
}

/// The hot set: as many hosts of 10.0.0.0/8 that send to as many networks of 198.18.0.0/15, over as many stations.
pub(crate) fn hot_set() -> Vec<Vec<u8>> {
    let key = |number: u8| Tuple {
        source: Ipv4Addr::new(10, 0, 0, number),
        destination: Ipv4Addr::new(198, 18, number * 6, 7),
        source_port: 1024 + u16::from(number),
        destination_port: 53,
        protocol: IpProtocol::UDP,
    };
    (0..HOT).map(|number| frame(station(number * 8), key(number)).to_vec()).collect()
}

/// Makes each packet one of the next flow.
///
/// *Input gates*: one. *Output gates*: one. What a flow's packets differ in lies side by side in an array, so that to make
/// them costs little beside what the modules behind do.
pub(crate) struct Flows {
    flows: Vec<Written>,
    next: usize,
    template: [u8; FRAME],
}

/// The bytes of a flow's packets that are its own.
struct Written {
    /// Source, destination, ports.
    tuple: [u8; 12],
    checksum: [u8; 2],
    protocol: u8,
}

impl Flows {
    /// One flow after the other, and then from the first on.
    pub(crate) fn new(keys: impl IntoIterator<Item = FlowKey>) -> Self {
        let four = |key| if let FlowKey::V4(key) = key { Some(key) } else { None };
        let written = |key| {
            let frame = frame(station(0), key);
            let mut tuple = [0; 12];
            tuple.copy_from_slice(&frame[L3 + 12..L4 + 4]);
            Written { tuple, checksum: [frame[L3 + 10], frame[L3 + 11]], protocol: frame[L3 + 9] }
        };
        let flows = keys.into_iter().filter_map(four).map(written).collect();
        let nobody = Tuple {
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::UNSPECIFIED,
            source_port: 0,
            destination_port: 0,
            protocol: IpProtocol::UDP,
        };
        Self { flows, next: 0, template: frame(station(0), nobody) }
    }
}

impl Module for Flows {
    fn class(&self) -> &'static str {
        "Flows"
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        for packet in batch {
            let flow = &self.flows[self.next];
            self.next = if self.next + 1 < self.flows.len() { self.next + 1 } else { 0 };
            // Blank ones are of this length.
            if let Some(bytes) = packet.data_mut().first_chunk_mut::<FRAME>() {
                *bytes = self.template;
                bytes[L3 + 9] = flow.protocol;
                bytes[L3 + 10..L3 + 12].copy_from_slice(&flow.checksum);
                bytes[L3 + 12..L4 + 4].copy_from_slice(&flow.tuple);
            }
        }
    }
}
