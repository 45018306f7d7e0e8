//! GTP-U version 1 (3GPP TS 29.281 §5): packets of mobile subscribers between base station and core, over UDP port 2152.
//!
//! ```text
//! 0         1      2        4      8          10     11     12
//! | flags   | type | length | TEID | sequence | N-PDU | next | extension headers | payload
//!   version 3, PT 1, -, E, S, PN    └ where any of E, S, PN is set ┘
//! ```
//!
//! An extension header begins with its length in units of 4 bytes and ends with the type of the next one.

use std::fmt;

use super::{Field, WireError, be16, be32, len16, need, put16, put32, span, span_mut};

/// Bytes of the part that every header has, and which the length field does not count.
pub const HEADER_LEN: usize = 8;
/// Bytes of sequence number, N-PDU number and next type.
pub const OPTIONAL_LEN: usize = 4;
/// The UDP port.
pub const PORT: u16 = 2152;
/// Extension headers accepted one behind the other.
pub const EXTENSIONS_MAX: usize = 8;

mod field {
    use super::Field;
    pub(super) const FLAGS: usize = 0;
    pub(super) const MESSAGE: usize = 1;
    pub(super) const LENGTH: Field = 2..4;
    pub(super) const TEID: Field = 4..8;
    pub(super) const SEQUENCE: Field = 8..10;
    pub(super) const NEXT: usize = 11;
}

const VERSION_1_GTP: u8 = 0x30;
const VERSION_MASK: u8 = 0xf0;
const EXTENDED: u8 = 0x04;
const SEQUENCED: u8 = 0x02;
const OPTIONAL: u8 = 0x07;
/// The type of the extension header that holds a [`PduSession`] (§5.2.1).
const PDU_SESSION: u8 = 0x85;
const PDU_SESSION_LEN: usize = 4;

/// What a message is (§6.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Message(pub u8);

impl Message {
    /// "Are you there?"
    pub const ECHO_REQUEST: Self = Self(1);
    /// "Yes."
    pub const ECHO_RESPONSE: Self = Self(2);
    /// A packet of a tunnel that is none.
    pub const ERROR_INDICATION: Self = Self(26);
    /// A subscriber's packet.
    pub const G_PDU: Self = Self(255);
}

/// Which quality of service a packet has (3GPP TS 38.415 §5.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PduSession {
    /// 0 to the subscriber, 1 from it; 4 bits.
    pub kind: u8,
    /// QoS flow identifier, 6 bits.
    pub flow: u8,
}

/// A GTP-U message's bytes.
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
    /// A buffer shorter than the header; another version, or GTP'; a length beyond the buffer; extension headers that have no
    /// length, end behind the message, or are more than [`EXTENSIONS_MAX`].
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("gtp-u header", buffer.as_ref(), HEADER_LEN)?;
        let view = Self { buffer };
        let flags = view.flags();
        if flags & VERSION_MASK != VERSION_1_GTP {
            return Err(WireError::BadValue { what: "gtp-u version", value: u64::from(flags >> 4) });
        }
        need("gtp-u message", view.buffer.as_ref(), view.total_len())?;
        let message = span(view.buffer.as_ref(), 0, view.total_len());
        if flags & OPTIONAL != 0 {
            need("gtp-u optional fields", message, HEADER_LEN + OPTIONAL_LEN)?;
        }
        walk(message, |_, _| ())?;
        Ok(view)
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    #[inline]
    fn flags(&self) -> u8 {
        self.buffer.as_ref()[field::FLAGS]
    }

    /// What it is.
    #[inline]
    pub fn message(&self) -> Message {
        Message(self.buffer.as_ref()[field::MESSAGE])
    }

    /// Bytes of the message, header included.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + usize::from(be16(&self.buffer.as_ref()[field::LENGTH]))
    }

    /// Tunnel endpoint identifier.
    #[inline]
    pub fn teid(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::TEID])
    }

    /// Sequence number, if it has one.
    #[inline]
    pub fn sequence(&self) -> Option<u16> {
        (self.flags() & SEQUENCED != 0)
            .then(|| be16(span(self.buffer.as_ref(), field::SEQUENCE.start, field::SEQUENCE.end)))
    }

    /// What the PDU session container says, if there is one.
    pub fn pdu_session(&self) -> Option<PduSession> {
        let mut found = None;
        let _ = walk(span(self.buffer.as_ref(), 0, self.total_len()), |kind, content| {
            if let (PDU_SESSION, [first, second, ..]) = (kind, content) {
                found = Some(PduSession { kind: first >> 4, flow: second & 0x3f });
            }
        });
        found
    }

    /// Bytes of the header with all extensions.
    #[inline]
    pub fn header_len(&self) -> usize {
        walk(span(self.buffer.as_ref(), 0, self.total_len()), |_, _| ()).unwrap_or(HEADER_LEN)
    }

    /// What the message carries.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), self.header_len(), self.total_len())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets what it is.
    #[inline]
    pub fn set_message(&mut self, message: Message) {
        self.buffer.as_mut()[field::MESSAGE] = message.0;
    }

    /// Sets the bytes of the message, header included.
    #[inline]
    pub fn set_total_len(&mut self, length: usize) {
        put16(&mut self.buffer.as_mut()[field::LENGTH], len16(length.saturating_sub(HEADER_LEN)));
    }

    /// Sets the sequence number, if it has one.
    #[inline]
    pub fn set_sequence(&mut self, sequence: u16) {
        if self.flags() & SEQUENCED != 0
            && let Some(bytes) = self.buffer.as_mut().get_mut(field::SEQUENCE)
        {
            put16(bytes, sequence);
        }
    }

    /// What the message carries.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let (start, end) = (self.header_len(), self.total_len());
        span_mut(self.buffer.as_mut(), start, end)
    }
}

/// Walks the extension headers of a message, shows each with its type, and returns where they end.
fn walk(message: &[u8], mut see: impl FnMut(u8, &[u8])) -> Result<usize, WireError> {
    let flags = message[field::FLAGS];
    if flags & OPTIONAL == 0 {
        return Ok(HEADER_LEN);
    }
    let mut end = HEADER_LEN + OPTIONAL_LEN;
    // Without the flag the field means nothing (§5.1).
    let mut kind = if flags & EXTENDED == 0 { 0 } else { message.get(field::NEXT).copied().unwrap_or(0) };
    for _ in 0..EXTENSIONS_MAX {
        if kind == 0 {
            return Ok(end);
        }
        let rest = span(message, end, usize::MAX);
        need("gtp-u extension header", rest, 4)?;
        let length = 4 * usize::from(rest[0]);
        if length == 0 {
            return Err(WireError::BadLength { what: "gtp-u extension header", value: 0 });
        }
        need("gtp-u extension header", rest, length)?;
        see(kind, &rest[1..length - 1]);
        kind = rest[length - 1];
        end += length;
    }
    if kind == 0 {
        Ok(end)
    } else {
        Err(WireError::TooMany { what: "gtp-u extension headers", limit: EXTENSIONS_MAX })
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Message::ECHO_REQUEST => f.write_str("GTP-U echo request")?,
            Message::ECHO_RESPONSE => f.write_str("GTP-U echo response")?,
            Message::ERROR_INDICATION => f.write_str("GTP-U error indication")?,
            Message::G_PDU => f.write_str("GTP-U")?,
            Message(kind) => write!(f, "GTP-U type {kind}")?,
        }
        write!(f, ", teid {:#x}", self.teid())?;
        if let Some(sequence) = self.sequence() {
            write!(f, ", seq {sequence}")?;
        }
        if let Some(PduSession { flow, .. }) = self.pdu_session() {
            write!(f, ", qfi {flow}")?;
        }
        write!(f, ", length {}", self.payload().len())
    }
}

/// What the header says; other extension headers than the PDU session container, and N-PDU numbers, are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// What it is.
    pub message: Message,
    /// Tunnel endpoint identifier.
    pub teid: u32,
    /// Sequence number.
    pub sequence: Option<u16>,
    /// Quality of service.
    pub pdu_session: Option<PduSession>,
    /// Bytes behind the header.
    pub payload_len: usize,
}

impl Repr {
    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            message: view.message(),
            teid: view.teid(),
            sequence: view.sequence(),
            pdu_session: view.pdu_session(),
            payload_len: view.payload().len(),
        }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match (self.pdu_session, self.sequence) {
            (Some(_), _) => HEADER_LEN + OPTIONAL_LEN + PDU_SESSION_LEN,
            (None, Some(_)) => HEADER_LEN + OPTIONAL_LEN,
            (None, None) => HEADER_LEN,
        }
    }

    /// Writes the header.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let length = self.buffer_len();
        let data = view.buffer.as_mut();
        let extended = if self.pdu_session.is_some() { EXTENDED } else { 0 };
        let sequenced = if self.sequence.is_some() { SEQUENCED } else { 0 };
        data[field::FLAGS] = VERSION_1_GTP | extended | sequenced;
        data[field::MESSAGE] = self.message.0;
        put16(&mut data[field::LENGTH], len16(length - HEADER_LEN + self.payload_len));
        put32(&mut data[field::TEID], self.teid);
        if length > HEADER_LEN {
            data[HEADER_LEN..length].fill(0);
            put16(&mut data[field::SEQUENCE], self.sequence.unwrap_or(0));
        }
        if let Some(PduSession { kind, flow }) = self.pdu_session {
            data[field::NEXT] = PDU_SESSION;
            data[HEADER_LEN + OPTIONAL_LEN..length].copy_from_slice(&[1, kind << 4, flow & 0x3f, 0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Repr = Repr {
        message: Message::G_PDU,
        teid: 0x1234_5678,
        sequence: None,
        pdu_session: None,
        payload_len: 3,
    };

    fn emitted(repr: Repr) -> Vec<u8> {
        let mut bytes = vec![0xff; repr.buffer_len()];
        repr.emit(&mut View::new_unchecked(&mut bytes[..]));
        bytes.extend(vec![7; repr.payload_len]);
        bytes
    }

    #[test]
    fn headers_read_back_and_have_these_bytes() {
        let session = PduSession { kind: 1, flow: 9 };
        let reprs = [
            BARE,
            Repr { sequence: Some(0xabcd), ..BARE },
            Repr { pdu_session: Some(session), ..BARE },
            Repr { sequence: Some(1), pdu_session: Some(session), message: Message::ECHO_REQUEST, ..BARE },
        ];
        for repr in reprs {
            let bytes = emitted(repr);
            let view = View::new_checked(&bytes[..]).unwrap();
            assert_eq!(Repr::parse(&view), repr);
            assert_eq!((view.payload(), view.total_len()), (&[7; 3][..], bytes.len()));
        }
        assert_eq!(
            emitted(reprs[2]),
            [0x34, 255, 0, 11, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0x85, 1, 0x10, 9, 0, 7, 7, 7]
        );
        assert_eq!(
            View::new_checked(&emitted(reprs[3])[..]).unwrap().to_string(),
            "GTP-U echo request, teid 0x12345678, seq 1, qfi 9, length 3"
        );
    }

    #[test]
    fn lies_are_refused() {
        let good = emitted(Repr { pdu_session: Some(PduSession { kind: 0, flow: 1 }), ..BARE });
        for length in 0..good.len() {
            assert!(View::new_checked(&good[..length]).is_err(), "{length}");
        }
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            View::new_checked(bytes).map(|view| view.header_len())
        };
        assert_eq!(with(0, 0x54), Err(WireError::BadValue { what: "gtp-u version", value: 5 }));
        assert_eq!(with(12, 0), Err(WireError::BadLength { what: "gtp-u extension header", value: 0 }));
        assert!(with(12, 2).is_err(), "behind the message");
        assert!(with(15, 0x85).is_err(), "another one behind the message");
        assert_eq!(with(0, 0x32), Ok(12), "the next type means nothing without its flag");
    }

    #[test]
    fn extension_headers_are_bounded() {
        let chain = |count: usize| {
            let mut bytes = vec![0x34, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20];
            for number in 1..=count {
                bytes.extend([1, 0, 0, if number == count { 0 } else { 0x20 }]);
            }
            bytes[3] = bytes.len() as u8 - 8;
            View::new_checked(bytes).map(|view| view.header_len())
        };
        assert_eq!(chain(8), Ok(44));
        assert_eq!(chain(9), Err(WireError::TooMany { what: "gtp-u extension headers", limit: 8 }));
    }

    #[test]
    fn setters_set() {
        let mut bytes = emitted(Repr { sequence: Some(1), ..BARE });
        let mut view = View::new_unchecked(&mut bytes[..]);
        view.set_message(Message::ECHO_RESPONSE);
        view.set_sequence(77);
        view.set_total_len(14);
        view.payload_mut().fill(1);
        assert_eq!(bytes, [0x32, 2, 0, 6, 0x12, 0x34, 0x56, 0x78, 0, 77, 0, 0, 1, 1, 7]);
        let mut bare = emitted(BARE);
        View::new_unchecked(&mut bare[..]).set_sequence(77);
        assert_eq!(bare, emitted(BARE));
    }
}
