//! Frames for the tests of functions that look into payloads, and an outlet that keeps what is written.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use packet::wire::tcp::{self, Flags};
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, ipv6, udp};

/// Keeps what is written, for all its clones.
#[derive(Clone, Default)]
pub(super) struct Outlet(Arc<Mutex<Vec<u8>>>);

impl Outlet {
    pub(super) fn taken(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A TCP segment from the first end to the second; with ACK it acknowledges 1.
pub(super) fn segment(ends: [&str; 2], sequence: u32, flags: Flags, payload: &[u8]) -> Vec<u8> {
    let [source, destination] = ends.map(|end| end.parse::<SocketAddr>().unwrap());
    let ack = u32::from(flags.contains(Flags::ACK));
    let repr = tcp::Repr {
        source_port: source.port(),
        destination_port: destination.port(),
        sequence,
        ack,
        flags,
        window: 1000,
        urgent: 0,
        maximum_segment: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        sack: tcp::SackBlocks::default(),
    };
    answer(source.ip(), destination.ip(), &repr, payload)
}

/// A TCP segment with all that its header may say.
pub(super) fn answer(source: IpAddr, destination: IpAddr, repr: &tcp::Repr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len() + payload.len()];
    let mut view = tcp::View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view);
    view.payload_mut().copy_from_slice(payload);
    view.fill_checksum(source, destination);
    frame(source, destination, IpProtocol::TCP, &bytes)
}

/// A UDP datagram from the first end to the second.
pub(super) fn datagram(ends: [&str; 2], payload: &[u8]) -> Vec<u8> {
    let [source, destination] = ends.map(|end| end.parse::<SocketAddr>().unwrap());
    let mut bytes = vec![0; udp::HEADER_LEN + payload.len()];
    let mut view = udp::View::new_unchecked(&mut bytes[..]);
    let (source_port, destination_port) = (source.port(), destination.port());
    udp::Repr { source_port, destination_port, payload_len: payload.len() }.emit(&mut view);
    view.payload_mut().copy_from_slice(payload);
    view.fill_checksum(source.ip(), destination.ip());
    frame(source.ip(), destination.ip(), IpProtocol::UDP, &bytes)
}

/// An IP packet in an Ethernet frame.
pub(super) fn frame(source: IpAddr, destination: IpAddr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let (mut header, ethertype) = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0; ipv4::HEADER_LEN];
            ipv4::Repr::new(source, destination, protocol, payload.len())
                .emit(&mut ipv4::View::new_unchecked(&mut header[..]));
            (header, EtherType::IPV4)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0; ipv6::HEADER_LEN];
            ipv6::Repr::new(source, destination, protocol, payload.len())
                .emit(&mut ipv6::View::new_unchecked(&mut header[..]));
            (header, EtherType::IPV6)
        }
        _ => panic!("{source} and {destination} are of two families"),
    };
    let mut frame = vec![0; ethernet::HEADER_LEN];
    let (source, destination) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    ethernet::Repr { source, destination, ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    frame.append(&mut header);
    frame.extend_from_slice(payload);
    frame
}
