//! Packet-ins, encoded once and changed where they differ.

use packet::wire::MacAddr;

use crate::Version;
use crate::codec;
use crate::flow::{NO_BUFFER, PacketIn, PacketInFormat, PacketInReason};
use crate::matching::Match;
use crate::message::{Body, Message};
use crate::port::PortNo;

/// Bytes of a frame: the shortest of Ethernet, without its checksum.
pub(super) const FRAME_BYTES: usize = 60;
/// EtherType for experiments (IEEE 802 local experimental 1): no controller takes it for something of its own.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// A packet-in whose port, addresses and buffer are still to be filled in.
#[derive(Debug, Clone)]
pub(super) struct Template {
    bytes: Vec<u8>,
    buffer: usize,
    in_port: std::ops::Range<usize>,
    frame: usize,
}

impl Template {
    pub(super) fn new(version: Version) -> Self {
        let mut frame = vec![0; FRAME_BYTES];
        frame[12..14].copy_from_slice(&ETHERTYPE);
        let packet_in = PacketIn {
            format: PacketInFormat::Standard,
            buffer: NO_BUFFER,
            total_len: FRAME_BYTES as u16,
            reason: PacketInReason::NoMatch,
            table: 0,
            cookie: 0,
            metadata: Match::new().in_port(PortNo(1)),
            data: frame,
        };
        let mut bytes = Vec::new();
        let message = Message::new(0, Body::PacketIn(packet_in));
        codec::encode(version, &message, &mut bytes)
            .expect("a packet-in with nothing but a port can be said in any version");
        let frame = bytes.len() - FRAME_BYTES;
        // Header 8, buffer 4, length 2; then the port in 16 bits (1.0), or reason 1, table 1, cookie 8, match 4, field 4.
        let in_port = match version {
            Version::V10 => 14..16,
            Version::V13 => 32..36,
        };
        Self { bytes, buffer: 8, in_port, frame }
    }

    /// Appends the packet-in of a frame.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        buffer: u32,
        in_port: u32,
        source: MacAddr,
        destination: MacAddr,
    ) {
        let at = out.len();
        out.extend(&self.bytes);
        let bytes = &mut out[at..];
        bytes[self.buffer..self.buffer + 4].copy_from_slice(&buffer.to_be_bytes());
        let port = in_port.to_be_bytes();
        bytes[self.in_port.clone()].copy_from_slice(&port[4 - self.in_port.len()..]);
        bytes[self.frame..self.frame + 6].copy_from_slice(&destination.0);
        bytes[self.frame + 6..self.frame + 12].copy_from_slice(&source.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_reads_back() {
        let (source, destination) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        for version in Version::ALL {
            let mut bytes = Vec::new();
            Template::new(version).write(&mut bytes, 77, 3, source, destination);
            let (got, message) = codec::decode(&bytes).unwrap();
            let Body::PacketIn(packet_in) = message.body else { panic!("{message:?}") };
            assert_eq!((got, packet_in.buffer, packet_in.data.len()), (version, 77, FRAME_BYTES));
            assert_eq!(packet_in.metadata, Match::new().in_port(PortNo(3)));
            assert_eq!(packet_in.data[..14], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        }
    }
}
