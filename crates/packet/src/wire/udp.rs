//! UDP (RFC 768).

use std::fmt;
use std::net::IpAddr;

use super::{Field, IpProtocol, WireError, be16, len16, need, put16, span, span_mut};
use crate::checksum;

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

mod field {
    use super::Field;
    pub(super) const SOURCE: Field = 0..2;
    pub(super) const DESTINATION: Field = 2..4;
    pub(super) const LENGTH: Field = 4..6;
    pub(super) const CHECKSUM: Field = 6..8;
}

/// Where the checksum lies in the header, for offloads.
pub const CHECKSUM_OFFSET: usize = field::CHECKSUM.start;

/// A UDP datagram's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than [`HEADER_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A length field below 8 or beyond the buffer.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let view = Self::new_quoted(buffer)?;
        let length = view.length();
        if length < HEADER_LEN {
            return Err(WireError::BadLength { what: "udp length", value: length });
        }
        need("udp length", view.buffer.as_ref(), length)?;
        Ok(view)
    }

    /// For a first fragment or a datagram quoted in an ICMP error: only the header must be whole.
    ///
    /// # Errors
    /// A buffer shorter than the header.
    #[inline]
    pub fn new_quoted(buffer: T) -> Result<Self, WireError> {
        need("udp header", buffer.as_ref(), HEADER_LEN)?;
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Source port.
    #[inline]
    pub fn source_port(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::SOURCE])
    }

    /// Destination port.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::DESTINATION])
    }

    /// Bytes of header and payload.
    #[inline]
    pub fn length(&self) -> usize {
        usize::from(be16(&self.buffer.as_ref()[field::LENGTH]))
    }

    /// The checksum field; 0 means none (allowed over IPv4 only).
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::CHECKSUM])
    }

    /// Whether the checksum is right, or absent over IPv4.
    #[inline]
    pub fn verify_checksum(&self, source: IpAddr, destination: IpAddr) -> bool {
        if self.checksum() == 0 {
            return source.is_ipv4();
        }
        let datagram = span(self.buffer.as_ref(), 0, self.length());
        checksum::pseudo(source, destination, IpProtocol::UDP, datagram.len() as u32)
            .is_some_and(|pseudo| checksum::verify(pseudo, datagram))
    }

    /// What lies between the header and the length.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), HEADER_LEN, self.length())
    }
}

impl<'a> View<&'a [u8]> {
    /// [`View::payload`] that outlives the view.
    #[inline]
    pub fn into_payload(self) -> &'a [u8] {
        span(self.buffer, HEADER_LEN, self.length())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets the source port without touching the checksum.
    #[inline]
    pub fn set_source_port(&mut self, port: u16) {
        put16(&mut self.buffer.as_mut()[field::SOURCE], port);
    }

    /// Sets the destination port without touching the checksum.
    #[inline]
    pub fn set_destination_port(&mut self, port: u16) {
        put16(&mut self.buffer.as_mut()[field::DESTINATION], port);
    }

    /// Sets the bytes of header and payload.
    #[inline]
    pub fn set_length(&mut self, length: usize) {
        put16(&mut self.buffer.as_mut()[field::LENGTH], len16(length));
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put16(&mut self.buffer.as_mut()[field::CHECKSUM], checksum);
    }

    /// Computes the checksum over the pseudo header, header and payload. Addresses of different families leave 0.
    pub fn fill_checksum(&mut self, source: IpAddr, destination: IpAddr) {
        self.set_checksum(0);
        let datagram = span(self.buffer.as_ref(), 0, self.length());
        let Some(pseudo) = checksum::pseudo(source, destination, IpProtocol::UDP, datagram.len() as u32)
        else {
            return;
        };
        let check = !checksum::combine(pseudo, checksum::sum(datagram));
        self.set_checksum(checksum::udp_on_wire(check));
    }

    /// What lies between the header and the length.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let end = self.length();
        span_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.length().saturating_sub(HEADER_LEN);
        write!(f, "{} > {}: UDP, length {length}", self.source_port(), self.destination_port())
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Bytes after the header.
    pub payload_len: usize,
}

impl Repr {
    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            source_port: view.source_port(),
            destination_port: view.destination_port(),
            payload_len: view.length().saturating_sub(HEADER_LEN),
        }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header with checksum 0; [`View::fill_checksum`] once the payload is there.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        view.set_source_port(self.source_port);
        view.set_destination_port(self.destination_port);
        view.set_length(HEADER_LEN + self.payload_len);
        view.set_checksum(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_none_is_right_over_v4_and_wrong_over_v6() {
        let mut bytes = *b"\0\0\0\0\0\0\0\0hi";
        let mut view = View::new_unchecked(&mut bytes[..]);
        Repr { source_port: 53, destination_port: 5000, payload_len: 2 }.emit(&mut view);
        let (four, six): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        assert!(view.verify_checksum(four, four));
        assert!(!view.verify_checksum(six, six));
        view.fill_checksum(six, six);
        assert!(view.verify_checksum(six, six));
        view.payload_mut()[0] ^= 1;
        assert!(!view.verify_checksum(six, six));
        assert_eq!(view.to_string(), "53 > 5000: UDP, length 2");
    }

    #[test]
    fn lying_length_is_refused_and_bytes_behind_it_are_no_payload() {
        let mut bytes = [0, 1, 0, 2, 0, 10, 0, 0, b'h', b'i', 0, 0, 0];
        assert_eq!(View::new_checked(&bytes[..]).unwrap().payload(), b"hi");
        bytes[5] = 14;
        let wrong = View::new_checked(&bytes[..]).unwrap_err();
        assert_eq!(wrong, WireError::Truncated { what: "udp length", need: 14, have: 13 });
        bytes[5] = 7;
        let wrong = View::new_checked(&bytes[..]).unwrap_err();
        assert_eq!(wrong, WireError::BadLength { what: "udp length", value: 7 });
    }
}
