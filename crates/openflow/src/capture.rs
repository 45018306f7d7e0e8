//! Messages in captured traffic: TCP segments of OpenFlow's ports put together, one message at a time.
//!
//! Segments may be sent again and may overlap; one that is missing from the capture costs the messages it had a part in. A
//! stream seen from its middle on is taken to begin with a message.

use std::collections::HashMap;

use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::wire::{IpProtocol, tcp};

use crate::wire::Header;

/// OpenFlow's port (IANA), and the one that was used before.
pub const PORTS: [u16; 2] = [6653, 6633];
/// Streams followed at a time; those beyond are not looked at.
pub const STREAMS_MAX: usize = 1024;

/// A message as it went by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// From where to where.
    pub flow: FlowKey,
    /// The message, whole.
    pub bytes: Vec<u8>,
}

/// One direction of a connection.
#[derive(Debug)]
struct Stream {
    /// The sequence number of the next byte.
    next: u32,
    /// What there is of the next message.
    bytes: Vec<u8>,
}

/// Follows the connections of some ports.
#[derive(Debug)]
pub struct Capture {
    ports: Vec<u16>,
    streams: HashMap<FlowKey, Stream>,
}

impl Capture {
    /// Of those TCP ports, at either end.
    #[must_use]
    pub fn new(ports: &[u16]) -> Self {
        Self { ports: ports.to_vec(), streams: HashMap::new() }
    }

    /// The messages that a frame completes, from its Ethernet header on.
    pub fn frame(&mut self, frame: &[u8]) -> Vec<Seen> {
        let Ok(layers) = Layers::of(frame) else { return Vec::new() };
        let Some(flow) = FlowKey::of(&layers, frame) else { return Vec::new() };
        let ours = [flow.source_port(), flow.destination_port()].iter().any(|port| self.ports.contains(port));
        if flow.protocol() != IpProtocol::TCP || !ours {
            return Vec::new();
        }
        match tcp::View::new_checked(layers.segment(frame)) {
            Ok(segment) => self.segment(flow, &segment),
            Err(_) => Vec::new(),
        }
    }

    fn segment(&mut self, flow: FlowKey, segment: &tcp::View<&[u8]>) -> Vec<Seen> {
        let flags = segment.flags();
        let syn = u32::from(flags.contains(tcp::Flags::SYN));
        let start = segment.sequence().wrapping_add(syn);
        let known = self.streams.contains_key(&flow);
        if !known && (self.streams.len() == STREAMS_MAX || segment.payload().is_empty() && syn == 0) {
            return Vec::new();
        }
        let stream = self.streams.entry(flow).or_insert(Stream { next: start, bytes: Vec::new() });
        if syn == 1 {
            *stream = Stream { next: start, bytes: Vec::new() };
        }
        let seen = stream.take(start, segment.payload());
        if flags.contains(tcp::Flags::FIN) || flags.contains(tcp::Flags::RST) {
            self.streams.remove(&flow);
        }
        seen.into_iter().map(|bytes| Seen { flow, bytes }).collect()
    }
}

impl Stream {
    /// Takes bytes in that begin at that sequence number; returns the messages they complete.
    fn take(&mut self, start: u32, payload: &[u8]) -> Vec<Vec<u8>> {
        let gone = self.next.wrapping_sub(start);
        let new = match i32::try_from(gone) {
            // Sent before, in part or whole.
            Ok(gone) => payload.get(gone as usize..).unwrap_or_default(),
            // Something is missing before it.
            Err(_) => {
                (self.next, self.bytes) = (start, Vec::new());
                payload
            }
        };
        self.next = self.next.wrapping_add(new.len() as u32);
        self.bytes.extend_from_slice(new);
        let mut messages = Vec::new();
        let mut rest = &self.bytes[..];
        loop {
            match Header::peek(rest) {
                Ok(Some(header)) if rest.len() >= usize::from(header.length) => {
                    let (message, behind) = rest.split_at(header.length.into());
                    messages.push(message.to_vec());
                    rest = behind;
                }
                Ok(_) => break,
                // No OpenFlow, or not from its beginning.
                Err(_) => {
                    rest = &[];
                    break;
                }
            }
        }
        self.bytes.drain(..self.bytes.len() - rest.len());
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: [u8; 8] = [4, 0, 0, 8, 0, 0, 0, 1];
    const ECHO: [u8; 12] = [4, 2, 0, 12, 0, 0, 0, 2, b'a', b'b', b'c', b'd'];

    #[test]
    fn segments_are_put_together_whatever_their_order() {
        let both = [&HELLO[..], &ECHO].concat();
        let mut stream = Stream { next: u32::MAX - 4, bytes: Vec::new() };
        assert_eq!(stream.take(u32::MAX - 4, &both[..5]), Vec::<Vec<u8>>::new());
        assert_eq!(stream.take(u32::MAX - 4, &both[..12]), [HELLO]); // sent again, and more
        assert_eq!(stream.take(u32::MAX - 4, &both[..12]), Vec::<Vec<u8>>::new());
        assert_eq!(stream.take(7, &both[12..]), [ECHO]);
        assert!(stream.bytes.is_empty());
    }

    #[test]
    fn what_is_missing_costs_its_messages_only() {
        let mut stream = Stream { next: 0, bytes: Vec::new() };
        assert_eq!(stream.take(0, &ECHO[..6]), Vec::<Vec<u8>>::new());
        assert_eq!(stream.take(100, &HELLO), [HELLO]);
        assert_eq!(stream.take(108, &[9, 9, 0, 3, 0, 0, 0, 0]), Vec::<Vec<u8>>::new()); // a length that is none
        assert_eq!(stream.take(116, &HELLO), [HELLO]);
    }
}
