//! IPv4 with options (RFC 791).
//!
//! ```text
//! 0             1     2              4    6                 8     9          10         12       16           20
//! | ver 4 IHL 4 | TOS | total length | id | flags 3 frag 13 | TTL | protocol | checksum | source | destination | options
//! ```
//!
//! The payload ends at the total length, so Ethernet padding is never part of it. A total length of 0, which the
//! kernel uses for frames beyond 64 KiB, is refused: such frames do not occur here.

use std::fmt;
use std::net::Ipv4Addr;

use super::{Field, IpProtocol, WireError, array, be16, len16, need, put16, span, span_mut};
use crate::checksum;

/// Bytes of the header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const HEADER_LEN_MAX: usize = 60;
/// The smallest MTU (RFC 791 §3.2: 68; hosts must accept 576).
pub const MTU_MIN: usize = 576;

mod field {
    use super::Field;
    pub(super) const VERSION_IHL: usize = 0;
    pub(super) const TOS: usize = 1;
    pub(super) const TOTAL_LEN: Field = 2..4;
    pub(super) const IDENT: Field = 4..6;
    pub(super) const FRAGMENT: Field = 6..8;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const CHECKSUM: Field = 10..12;
    pub(super) const SOURCE: Field = 12..16;
    pub(super) const DESTINATION: Field = 16..20;
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// An IPv4 packet's bytes.
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
    /// A version other than 4, an IHL below 5 or beyond the total length, a total length beyond the buffer.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let view = Self::new_quoted(buffer)?;
        need("ipv4 total length", view.buffer.as_ref(), view.total_len())?;
        Ok(view)
    }

    /// For a packet quoted in an ICMP error, which is usually cut: only the header must be whole.
    ///
    /// # Errors
    /// As [`View::new_checked`], but the total length may lie beyond the buffer.
    #[inline]
    pub fn new_quoted(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("ipv4 header", data, HEADER_LEN)?;
        let version = data[field::VERSION_IHL] >> 4;
        if version != 4 {
            return Err(WireError::BadValue { what: "ipv4 version", value: u64::from(version) });
        }
        let header_len = usize::from(data[field::VERSION_IHL] & 0xf) * 4;
        if header_len < HEADER_LEN {
            return Err(WireError::BadLength { what: "ipv4 header length", value: header_len });
        }
        need("ipv4 options", data, header_len)?;
        let total = usize::from(be16(&data[field::TOTAL_LEN]));
        if total < header_len {
            return Err(WireError::BadLength { what: "ipv4 total length", value: total });
        }
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Bytes of the header, options included.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::VERSION_IHL] & 0xf) * 4
    }

    /// The type-of-service byte: DSCP 6 bits, ECN 2 bits (RFC 2474, RFC 3168).
    #[inline]
    pub fn tos(&self) -> u8 {
        self.buffer.as_ref()[field::TOS]
    }

    /// Bytes of header and payload.
    #[inline]
    pub fn total_len(&self) -> usize {
        usize::from(be16(&self.buffer.as_ref()[field::TOTAL_LEN]))
    }

    /// Identification, by which fragments find each other.
    #[inline]
    pub fn ident(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::IDENT])
    }

    #[inline]
    fn fragment(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::FRAGMENT])
    }

    /// Whether routers may not fragment it.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.fragment() & DONT_FRAGMENT != 0
    }

    /// Whether this is a fragment and not the last.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.fragment() & MORE_FRAGMENTS != 0
    }

    /// Where in the original payload this fragment belongs, in bytes.
    #[inline]
    pub fn fragment_offset(&self) -> u16 {
        (self.fragment() & OFFSET_MASK) << 3
    }

    /// Whether this is any fragment of a larger packet.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.fragment() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Time to live.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.buffer.as_ref()[field::TTL]
    }

    /// What the payload is.
    #[inline]
    pub fn protocol(&self) -> IpProtocol {
        IpProtocol(self.buffer.as_ref()[field::PROTOCOL])
    }

    /// The header checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::CHECKSUM])
    }

    /// Whether the header checksum is right.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        checksum::verify(0, span(self.buffer.as_ref(), 0, self.header_len()))
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        array::<4>(&self.buffer.as_ref()[field::SOURCE]).into()
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        array::<4>(&self.buffer.as_ref()[field::DESTINATION]).into()
    }

    /// The header's options.
    #[inline]
    pub fn options(&self) -> Options<'_> {
        Options { data: span(self.buffer.as_ref(), HEADER_LEN, self.header_len()) }
    }

    /// Header and payload without what follows the total length.
    #[inline]
    pub fn packet(&self) -> &[u8] {
        span(self.buffer.as_ref(), 0, self.total_len())
    }

    /// What lies between the header and the total length.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), self.header_len(), self.total_len())
    }
}

impl<'a> View<&'a [u8]> {
    /// [`View::payload`] that outlives the view.
    #[inline]
    pub fn into_payload(self) -> &'a [u8] {
        span(self.buffer, self.header_len(), self.total_len())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets version 4 and the header length in bytes, a multiple of 4.
    #[inline]
    pub fn set_header_len(&mut self, length: usize) {
        self.buffer.as_mut()[field::VERSION_IHL] = 0x40 | ((length / 4) as u8 & 0xf);
    }

    /// Sets the type-of-service byte.
    #[inline]
    pub fn set_tos(&mut self, tos: u8) {
        self.buffer.as_mut()[field::TOS] = tos;
    }

    /// Sets the bytes of header and payload.
    #[inline]
    pub fn set_total_len(&mut self, length: usize) {
        put16(&mut self.buffer.as_mut()[field::TOTAL_LEN], len16(length));
    }

    /// Sets the identification.
    #[inline]
    pub fn set_ident(&mut self, ident: u16) {
        put16(&mut self.buffer.as_mut()[field::IDENT], ident);
    }

    /// Sets flags and offset (in bytes, a multiple of 8).
    #[inline]
    pub fn set_fragment(&mut self, dont_fragment: bool, more_fragments: bool, offset: u16) {
        let flags =
            if dont_fragment { DONT_FRAGMENT } else { 0 } | if more_fragments { MORE_FRAGMENTS } else { 0 };
        put16(&mut self.buffer.as_mut()[field::FRAGMENT], flags | offset >> 3);
    }

    /// Sets the time to live without touching the checksum; see [`View::decrement_ttl`].
    #[inline]
    pub fn set_ttl(&mut self, ttl: u8) {
        self.buffer.as_mut()[field::TTL] = ttl;
    }

    /// One hop: lowers the time to live and mends the checksum. `false`, and nothing changed, where the packet's life
    /// ends here (TTL 0 or 1: the caller answers "time exceeded").
    #[inline]
    pub fn decrement_ttl(&mut self) -> bool {
        let ttl = self.ttl();
        if ttl <= 1 {
            return false;
        }
        // The word of TTL and protocol loses 0x100, so the checksum gains as much: `checksum::update16`, whatever the word.
        let (check, carry) = self.checksum().overflowing_add(0x100);
        self.set_ttl(ttl - 1);
        self.set_checksum(check.wrapping_add(u16::from(carry || check == u16::MAX)));
        true
    }

    /// Sets the protocol.
    #[inline]
    pub fn set_protocol(&mut self, protocol: IpProtocol) {
        self.buffer.as_mut()[field::PROTOCOL] = protocol.0;
    }

    /// Sets the header checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put16(&mut self.buffer.as_mut()[field::CHECKSUM], checksum);
    }

    /// Computes the header checksum.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let check = checksum::checksum(span(self.buffer.as_ref(), 0, self.header_len()));
        self.set_checksum(check);
    }

    /// Sets the source without touching any checksum.
    #[inline]
    pub fn set_source(&mut self, address: Ipv4Addr) {
        self.buffer.as_mut()[field::SOURCE].copy_from_slice(&address.octets());
    }

    /// Sets the destination without touching any checksum.
    #[inline]
    pub fn set_destination(&mut self, address: Ipv4Addr) {
        self.buffer.as_mut()[field::DESTINATION].copy_from_slice(&address.octets());
    }

    /// Sets the source and mends the header checksum (RFC 1624). The L4 checksum is the caller's.
    #[inline]
    pub fn translate_source(&mut self, address: Ipv4Addr) {
        let check = checksum::update32(self.checksum(), self.source().to_bits(), address.to_bits());
        self.set_source(address);
        self.set_checksum(check);
    }

    /// Sets the destination and mends the header checksum (RFC 1624). The L4 checksum is the caller's.
    #[inline]
    pub fn translate_destination(&mut self, address: Ipv4Addr) {
        let check = checksum::update32(self.checksum(), self.destination().to_bits(), address.to_bits());
        self.set_destination(address);
        self.set_checksum(check);
    }

    /// The bytes of the options, as long as the header length says.
    #[inline]
    pub fn options_mut(&mut self) -> &mut [u8] {
        let end = self.header_len();
        span_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }

    /// What lies between the header and the total length.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let (start, end) = (self.header_len(), self.total_len());
        span_mut(self.buffer.as_mut(), start, end)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = match (self.more_fragments(), self.dont_fragment()) {
            (false, false) => "none",
            (true, false) => "+",
            (false, true) => "DF",
            (true, true) => "+, DF",
        };
        let (tos, ttl, id, offset) = (self.tos(), self.ttl(), self.ident(), self.fragment_offset());
        write!(f, "(tos 0x{tos:x}, ttl {ttl}, id {id}, offset {offset}, flags [{flags}], ")?;
        write!(f, "proto {}, length {}", self.protocol(), self.total_len())?;
        for (index, option) in self.options().enumerate() {
            f.write_str(if index == 0 { ", options (" } else { "," })?;
            match option {
                Ok(option) => write!(f, "{option}")?,
                Err(wrong) => write!(f, "[{wrong}]")?,
            }
        }
        f.write_str(if self.header_len() > HEADER_LEN { "))" } else { ")" })?;
        write!(f, " {} > {}", self.source(), self.destination())
    }
}

/// One option (IANA ip-parameters).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderOption<'a> {
    /// End of the list; the rest is padding.
    End,
    /// Padding of one byte.
    Nop,
    /// Every router shall look at the packet (RFC 2113).
    RouterAlert(u16),
    /// The route the source asks for: hosts that do not want to be tricked drop it (RFC 7126).
    SourceRoute {
        /// Strict: no other router in between.
        strict: bool,
        /// 1-based index of the next address, counted from the option's first byte.
        pointer: u8,
        /// Addresses, 4 bytes each.
        route: &'a [u8],
    },
    /// Room for the addresses of routers passed.
    RecordRoute {
        /// 1-based index of the next free place, counted from the option's first byte.
        pointer: u8,
        /// Addresses, 4 bytes each.
        route: &'a [u8],
    },
    /// Room for the time at routers passed: pointer, overflow and flag, then entries.
    Timestamp(&'a [u8]),
    /// Any other.
    Unknown {
        /// Type byte: copied 1 bit, class 2 bits, number 5 bits.
        kind: u8,
        /// Data behind type and length.
        data: &'a [u8],
    },
}

impl fmt::Display for HeaderOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = |f: &mut fmt::Formatter<'_>, route: &[u8]| {
            route.as_chunks::<4>().0.iter().try_for_each(|hop| write!(f, " {}", Ipv4Addr::from(*hop)))
        };
        match self {
            Self::End => f.write_str("EOL"),
            Self::Nop => f.write_str("NOP"),
            Self::RouterAlert(value) => write!(f, "RA value {value}"),
            Self::SourceRoute { strict, route, .. } => {
                f.write_str(if *strict { "SSRR" } else { "LSRR" })?;
                addresses(f, route)
            }
            Self::RecordRoute { route, .. } => {
                f.write_str("RR")?;
                addresses(f, route)
            }
            Self::Timestamp(_) => f.write_str("TS"),
            Self::Unknown { kind, data } => write!(f, "unknown {kind} len {}", data.len() + 2),
        }
    }
}

/// Walks a header's options: at most 40 bytes, so at most 40 of them. Ends at the end-of-list option (yielded) and at
/// the first error.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    data: &'a [u8],
}

impl<'a> Options<'a> {
    /// Options from their bytes.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    fn advance(&mut self, kind: u8) -> Result<HeaderOption<'a>, WireError> {
        let data = self.data;
        need("ipv4 option", data, 2)?;
        let length = usize::from(data[1]);
        if length < 2 {
            return Err(WireError::BadLength { what: "ipv4 option", value: length });
        }
        need("ipv4 option", data, length)?;
        self.data = &data[length..];
        let body = &data[2..length];
        Ok(match (kind, body) {
            (148, &[high, low]) => HeaderOption::RouterAlert(u16::from_be_bytes([high, low])),
            (131 | 137, &[pointer, ref route @ ..]) => {
                HeaderOption::SourceRoute { strict: kind == 137, pointer, route }
            }
            (7, &[pointer, ref route @ ..]) => HeaderOption::RecordRoute { pointer, route },
            (68, body) => HeaderOption::Timestamp(body),
            _ => HeaderOption::Unknown { kind, data: body },
        })
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<HeaderOption<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        match *self.data.first()? {
            0 => {
                self.data = &[];
                Some(Ok(HeaderOption::End))
            }
            1 => {
                self.data = &self.data[1..];
                Some(Ok(HeaderOption::Nop))
            }
            kind => {
                let option = self.advance(kind);
                if option.is_err() {
                    self.data = &[];
                }
                Some(option)
            }
        }
    }
}

/// What the header says, options left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// What the payload is.
    pub protocol: IpProtocol,
    /// Time to live.
    pub ttl: u8,
    /// Type-of-service byte.
    pub tos: u8,
    /// Identification.
    pub ident: u16,
    /// Routers may not fragment it.
    pub dont_fragment: bool,
    /// A fragment, and not the last.
    pub more_fragments: bool,
    /// Place of a fragment, in bytes, a multiple of 8.
    pub fragment_offset: u16,
    /// Bytes after the header.
    pub payload_len: usize,
}

impl Repr {
    /// A whole packet with TTL 64 and "don't fragment".
    #[must_use]
    pub const fn new(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: IpProtocol,
        payload_len: usize,
    ) -> Self {
        Self {
            source,
            destination,
            protocol,
            ttl: 64,
            tos: 0,
            ident: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            payload_len,
        }
    }

    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            source: view.source(),
            destination: view.destination(),
            protocol: view.protocol(),
            ttl: view.ttl(),
            tos: view.tos(),
            ident: view.ident(),
            dont_fragment: view.dont_fragment(),
            more_fragments: view.more_fragments(),
            fragment_offset: view.fragment_offset(),
            payload_len: view.total_len().saturating_sub(view.header_len()),
        }
    }

    /// Bytes [`Repr::emit`] writes: a header without options.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header, checksum included.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        view.set_header_len(HEADER_LEN);
        view.set_tos(self.tos);
        view.set_total_len(HEADER_LEN + self.payload_len);
        view.set_ident(self.ident);
        view.set_fragment(self.dont_fragment, self.more_fragments, self.fragment_offset);
        view.set_ttl(self.ttl);
        view.set_protocol(self.protocol);
        view.set_source(self.source);
        view.set_destination(self.destination);
        view.fill_checksum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN + options.len() + payload.len()];
        let length = bytes.len();
        let mut view = View::new_unchecked(&mut bytes[..]);
        let repr =
            Repr { ident: 7, ..Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 0) };
        repr.emit(&mut view);
        view.set_header_len(HEADER_LEN + options.len());
        view.set_total_len(length);
        view.options_mut().copy_from_slice(options);
        view.payload_mut().copy_from_slice(payload);
        view.fill_checksum();
        bytes
    }

    #[test]
    fn options_are_walked_and_printed() {
        let bytes = packet(&[148, 4, 0, 0, 7, 7, 4, 10, 0, 0, 9, 0], b"x");
        let view = View::new_checked(&bytes[..]).unwrap();
        assert!(view.verify_checksum());
        assert_eq!(view.payload(), b"x");
        assert_eq!(
            view.to_string(),
            "(tos 0x0, ttl 64, id 7, offset 0, flags [DF], proto UDP (17), length 33, \
             options (RA value 0,RR 10.0.0.9,EOL)) 10.0.0.1 > 10.0.0.2"
        );
    }

    #[test]
    fn lying_options_end_in_one_error() {
        for options in [[7, 0, 0, 0], [7, 1, 0, 0], [7, 40, 0, 0], [1, 1, 1, 7]] {
            let bytes = packet(&options, b"");
            let view = View::new_checked(&bytes[..]).unwrap();
            let walked: Vec<_> = view.options().collect();
            assert!(walked.last().unwrap().is_err(), "{options:?}: {walked:?}");
            assert_eq!(walked.iter().filter(|option| option.is_err()).count(), 1);
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let good = packet(&[], b"abcd");
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            View::new_checked(&bytes[..]).map(|_| ())
        };
        assert_eq!(with(0, 0x65), Err(WireError::BadValue { what: "ipv4 version", value: 6 }));
        assert_eq!(with(0, 0x44), Err(WireError::BadLength { what: "ipv4 header length", value: 16 }));
        assert_eq!(with(0, 0x4f), Err(WireError::Truncated { what: "ipv4 options", need: 60, have: 24 }));
        assert_eq!(with(3, 0), Err(WireError::BadLength { what: "ipv4 total length", value: 0 }));
        assert_eq!(with(3, 19), Err(WireError::BadLength { what: "ipv4 total length", value: 19 }));
        assert_eq!(with(3, 25), Err(WireError::Truncated { what: "ipv4 total length", need: 25, have: 24 }));
    }

    #[test]
    fn every_ttl_step_keeps_the_checksum_right_and_the_last_hop_is_told() {
        let mut bytes = packet(&[], b"");
        let mut view = View::new_unchecked(&mut bytes[..]);
        view.set_ttl(255);
        view.fill_checksum();
        for left in (1..255).rev() {
            assert!(view.decrement_ttl());
            assert!(view.verify_checksum());
            assert_eq!(view.ttl(), left);
        }
        assert!(!view.decrement_ttl());
        view.set_ttl(0);
        assert!(!view.decrement_ttl());
    }

    /// Also of headers whose checksum is wrong: it stays as wrong as it was.
    #[test]
    fn a_ttl_step_is_the_incremental_update_whatever_the_checksum() {
        let mut bytes = packet(&[], b"");
        let mut view = View::new_unchecked(&mut bytes[..]);
        for (ttl, protocol) in [(2, 0), (2, 255), (64, 17), (128, 6), (255, 0), (255, 255)] {
            for check in 0..=u16::MAX {
                view.set_ttl(ttl);
                view.set_protocol(IpProtocol(protocol));
                view.set_checksum(check);
                assert!(view.decrement_ttl());
                let word = |ttl| u16::from_be_bytes([ttl, protocol]);
                let twin = checksum::update16(check, word(ttl), word(ttl - 1));
                assert_eq!((view.checksum(), view.ttl()), (twin, ttl - 1), "{check:x} {ttl} {protocol}");
            }
        }
    }

    #[test]
    fn translation_keeps_the_header_checksum_right() {
        let mut bytes = packet(&[], b"abc");
        let mut view = View::new_checked(&mut bytes[..]).unwrap();
        view.translate_source([192, 168, 255, 255].into());
        view.translate_destination([0, 0, 0, 0].into());
        assert!(view.verify_checksum());
    }
}
