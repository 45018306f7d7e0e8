//! GRE with checksum, key and sequence number (RFC 2784, RFC 2890).
//!
//! ```text
//! 0                                     2               4
//! | C, R, K, S, reserved 9, version 3 | protocol type | [checksum, 0] [key] [sequence] payload
//! ```
//!
//! Routing (R, RFC 1701) and version 1 (PPTP) are refused.

use std::fmt;

use super::{EtherType, Field, WireError, be16, be32, need, put16, put32, span, span_mut};
use crate::checksum;

/// Bytes of the header without optional fields.
pub const HEADER_LEN: usize = 4;

mod field {
    use super::Field;
    pub(super) const FLAGS: Field = 0..2;
    pub(super) const PROTOCOL: Field = 2..4;
}

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const VERSION: u16 = 0x0007;

/// A GRE packet's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than the header.
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// Another version, routing, a buffer shorter than the fields the flags announce.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("gre header", buffer.as_ref(), HEADER_LEN)?;
        let view = Self { buffer };
        let flags = view.flags();
        if flags & VERSION != 0 {
            return Err(WireError::BadValue { what: "gre version", value: u64::from(flags & VERSION) });
        }
        if flags & ROUTING != 0 {
            return Err(WireError::BadValue { what: "gre routing flag", value: 1 });
        }
        need("gre optional fields", view.buffer.as_ref(), view.header_len())?;
        Ok(view)
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    fn flags(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::FLAGS])
    }

    /// Where an optional field lies: behind those in front of it.
    fn place(&self, wanted: u16) -> Option<usize> {
        let flags = self.flags();
        let before = [CHECKSUM, KEY, SEQUENCE].into_iter().take_while(|flag| *flag != wanted);
        let skip = before.filter(|flag| flags & flag != 0).count();
        (flags & wanted != 0).then_some(HEADER_LEN + 4 * skip)
    }

    fn optional(&self, wanted: u16) -> Option<u32> {
        let place = self.place(wanted)?;
        self.buffer.as_ref().get(place..place + 4).map(be32)
    }

    /// Bytes of the header with its optional fields.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + 4 * (self.flags() & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize
    }

    /// What the payload is.
    pub fn protocol(&self) -> EtherType {
        EtherType(be16(&self.buffer.as_ref()[field::PROTOCOL]))
    }

    /// The checksum of header and payload, if there is one.
    pub fn checksum(&self) -> Option<u16> {
        self.optional(CHECKSUM).map(|word| (word >> 16) as u16)
    }

    /// Whether the checksum is right or absent.
    pub fn verify_checksum(&self) -> bool {
        self.checksum().is_none() || checksum::verify(0, self.buffer.as_ref())
    }

    /// The key, which tells tunnels between the same ends apart.
    pub fn key(&self) -> Option<u32> {
        self.optional(KEY)
    }

    /// The sequence number.
    pub fn sequence(&self) -> Option<u32> {
        self.optional(SEQUENCE)
    }

    /// Everything after the header.
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), self.header_len(), usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Computes the checksum over header and payload, where the header has the field.
    pub fn fill_checksum(&mut self) {
        if let Some(place) = self.place(CHECKSUM) {
            put32(&mut self.buffer.as_mut()[place..], 0);
            let check = checksum::checksum(self.buffer.as_ref());
            put16(&mut self.buffer.as_mut()[place..], check);
        }
    }

    /// Everything after the header.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let start = self.header_len();
        span_mut(self.buffer.as_mut(), start, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GREv0")?;
        if let Some(checksum) = self.checksum() {
            write!(f, ", sum 0x{checksum:x}")?;
        }
        if let Some(key) = self.key() {
            write!(f, ", key=0x{key:x}")?;
        }
        if let Some(sequence) = self.sequence() {
            write!(f, ", seq {sequence}")?;
        }
        write!(f, ", proto {}, length {}", self.protocol(), self.buffer.as_ref().len())
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// What the payload is.
    pub protocol: EtherType,
    /// The header has a checksum.
    pub checksum: bool,
    /// The key.
    pub key: Option<u32>,
    /// The sequence number.
    pub sequence: Option<u32>,
}

impl Repr {
    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            protocol: view.protocol(),
            checksum: view.checksum().is_some(),
            key: view.key(),
            sequence: view.sequence(),
        }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
            + 4 * (self.checksum as usize + self.key.is_some() as usize + self.sequence.is_some() as usize)
    }

    /// Writes the header; [`View::fill_checksum`] once the payload is there.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let flag = |set, flag| if set { flag } else { 0 };
        let flags = flag(self.checksum, CHECKSUM)
            | flag(self.key.is_some(), KEY)
            | flag(self.sequence.is_some(), SEQUENCE);
        let data = view.buffer.as_mut();
        put16(&mut data[field::FLAGS], flags);
        put16(&mut data[field::PROTOCOL], self.protocol.0);
        let words = [self.checksum.then_some(0), self.key, self.sequence];
        for (place, word) in words.into_iter().flatten().enumerate() {
            put32(&mut data[HEADER_LEN + 4 * place..], word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mix_of_optional_fields_reads_back() {
        for mix in 0..8u32 {
            let repr = Repr {
                protocol: EtherType::IPV4,
                checksum: mix & 1 != 0,
                key: (mix & 2 != 0).then_some(0xdead_beef),
                sequence: (mix & 4 != 0).then_some(7),
            };
            let mut bytes = vec![0; repr.buffer_len() + 3];
            let mut view = View::new_unchecked(&mut bytes[..]);
            repr.emit(&mut view);
            view.payload_mut().copy_from_slice(b"abc");
            view.fill_checksum();
            let view = View::new_checked(&bytes[..]).unwrap();
            assert_eq!((Repr::parse(&view), view.payload()), (repr, &b"abc"[..]));
            assert!(view.verify_checksum());
            assert!(View::new_checked(&bytes[..repr.buffer_len() - 1]).is_err());
            bytes[repr.buffer_len()] ^= 1;
            assert_eq!(View::new_checked(&bytes[..]).unwrap().verify_checksum(), !repr.checksum);
        }
    }

    #[test]
    fn pptp_and_routing_are_refused() {
        let wrong = View::new_checked(&[0x20u8, 0x01, 0x88, 0x0b, 0, 0, 0, 0][..]).unwrap_err();
        assert_eq!(wrong, WireError::BadValue { what: "gre version", value: 1 });
        let wrong = View::new_checked(&[0x40u8, 0, 8, 0][..]).unwrap_err();
        assert_eq!(wrong, WireError::BadValue { what: "gre routing flag", value: 1 });
    }

    #[test]
    fn prints_like_tcpdump() {
        let view = View::new_checked(&[0x30u8, 0, 8, 0, 0, 0, 0, 9, 0, 0, 0, 1][..]).unwrap();
        assert_eq!(view.to_string(), "GREv0, key=0x9, seq 1, proto IPv4 (0x0800), length 12");
    }
}
