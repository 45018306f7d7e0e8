//! EAP over LANs (IEEE 802.1X-2010 §11) and EAP itself (RFC 3748): who may use a port.
//!
//! ```text
//! 0         1      2               4
//! | version | type | body length   | body: an EAP packet, a key, nothing
//!                                    | code | identifier | length 16 | type, data …
//! ```
//!
//! ```
//! use packet::wire::eapol::{Eap, EapCode, PacketType, Repr, View, eap};
//! let who = Eap { code: EapCode::REQUEST, identifier: 7, kind: Some(eap::IDENTITY), data: b"" };
//! let repr = Repr { version: 2, kind: PacketType::EAP, body_len: who.buffer_len() };
//! let mut bytes = vec![0; repr.buffer_len()];
//! let mut view = View::new_unchecked(&mut bytes[..]);
//! repr.emit(&mut view);
//! who.emit(view.body_mut())?;
//! let view = View::new_checked(&bytes[..])?;
//! assert_eq!(Eap::parse(view.body())?, who);
//! assert_eq!(view.to_string(), "EAPOL, EAP packet (0) v2, len 5: Request (1), id 7, len 5, type Identity (1)");
//! # Ok::<(), packet::wire::WireError>(())
//! ```

use std::fmt;

use super::{Field, WireError, be16, len16, need, put16, span, span_mut};

/// Bytes of the EAPOL header.
pub const HEADER_LEN: usize = 4;
/// Bytes of an EAP packet's header, its type aside.
pub const EAP_HEADER_LEN: usize = 4;
/// Where frames to a port's access entity go (IEEE 802.1X-2010 §11.1.1).
pub const PORT_ACCESS: super::MacAddr = super::MacAddr([0x01, 0x80, 0xc2, 0, 0, 3]);

mod field {
    use super::Field;
    pub(super) const VERSION: usize = 0;
    pub(super) const KIND: usize = 1;
    pub(super) const LENGTH: Field = 2..4;
}

/// What a frame is (§11.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PacketType(pub u8);

impl PacketType {
    /// An EAP packet.
    pub const EAP: Self = Self(0);
    /// The station wants to be asked.
    pub const START: Self = Self(1);
    /// The station leaves.
    pub const LOGOFF: Self = Self(2);
    /// A key.
    pub const KEY: Self = Self(3);
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::EAP => "EAP packet",
            Self::START => "EAPOL start",
            Self::LOGOFF => "EAPOL logoff",
            Self::KEY => "EAPOL key",
            Self(_) => "unknown",
        };
        write!(f, "{name} ({})", self.0)
    }
}

/// An EAPOL frame's bytes, from behind the EtherType.
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
    /// A buffer shorter than the header and the body that it tells of.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("eapol header", buffer.as_ref(), HEADER_LEN)?;
        let view = Self { buffer };
        need("eapol body", view.buffer.as_ref(), HEADER_LEN + view.body_len())?;
        Ok(view)
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Version of the protocol: 1 (2001), 2 (2004), 3 (2010).
    pub fn version(&self) -> u8 {
        self.buffer.as_ref()[field::VERSION]
    }

    /// What it is.
    pub fn kind(&self) -> PacketType {
        PacketType(self.buffer.as_ref()[field::KIND])
    }

    /// Bytes of the body.
    pub fn body_len(&self) -> usize {
        usize::from(be16(&self.buffer.as_ref()[field::LENGTH]))
    }

    /// The body, without padding.
    pub fn body(&self) -> &[u8] {
        span(self.buffer.as_ref(), HEADER_LEN, HEADER_LEN + self.body_len())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// The body, without padding.
    pub fn body_mut(&mut self) -> &mut [u8] {
        let end = HEADER_LEN + self.body_len();
        span_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EAPOL, {} v{}, len {}", self.kind(), self.version(), self.body_len())?;
        match (self.kind(), Eap::parse(self.body())) {
            (PacketType::EAP, Ok(eap)) => write!(f, ": {eap}"),
            (PacketType::EAP, Err(wrong)) => write!(f, " [{wrong}]"),
            _ => Ok(()),
        }
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Version of the protocol.
    pub version: u8,
    /// What it is.
    pub kind: PacketType,
    /// Bytes of the body.
    pub body_len: usize,
}

impl Repr {
    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self { version: view.version(), kind: view.kind(), body_len: view.body_len() }
    }

    /// Bytes of the header and the body.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.body_len
    }

    /// Writes the header.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let data = view.buffer.as_mut();
        data[field::VERSION] = self.version;
        data[field::KIND] = self.kind.0;
        put16(&mut data[field::LENGTH], len16(self.body_len));
    }
}

/// Types of requests and responses (RFC 3748 §5, IANA eap-numbers).
pub mod eap {
    /// Who are you?
    pub const IDENTITY: u8 = 1;
    /// Something to show a person.
    pub const NOTIFICATION: u8 = 2;
    /// Not that method, but these.
    pub const NAK: u8 = 3;
    /// MD5 challenge.
    pub const MD5_CHALLENGE: u8 = 4;
    /// TLS, RFC 5216.
    pub const TLS: u8 = 13;
}

/// What an EAP packet is (RFC 3748 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EapCode(pub u8);

impl EapCode {
    /// The authenticator asks.
    pub const REQUEST: Self = Self(1);
    /// The peer answers.
    pub const RESPONSE: Self = Self(2);
    /// It may.
    pub const SUCCESS: Self = Self(3);
    /// It may not.
    pub const FAILURE: Self = Self(4);

    /// Whether a type follows the header.
    const fn has_type(self) -> bool {
        matches!(self, Self::REQUEST | Self::RESPONSE)
    }
}

impl fmt::Display for EapCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::REQUEST => "Request",
            Self::RESPONSE => "Response",
            Self::SUCCESS => "Success",
            Self::FAILURE => "Failure",
            Self(_) => "unknown",
        };
        write!(f, "{name} ({})", self.0)
    }
}

/// An EAP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eap<'a> {
    /// What it is.
    pub code: EapCode,
    /// Which request a response answers.
    pub identifier: u8,
    /// Method of a request or response; none of the others.
    pub kind: Option<u8>,
    /// What follows.
    pub data: &'a [u8],
}

impl<'a> Eap<'a> {
    /// Reads a packet; bytes behind its length are padding.
    ///
    /// # Errors
    /// A length below the header's or beyond the bytes; a request or response without a type; a code that there is not.
    pub fn parse(data: &'a [u8]) -> Result<Self, WireError> {
        need("eap header", data, EAP_HEADER_LEN)?;
        let (code, length) = (EapCode(data[0]), usize::from(be16(&data[2..])));
        if !(1..=4).contains(&code.0) {
            return Err(WireError::BadValue { what: "eap code", value: u64::from(code.0) });
        }
        let header = EAP_HEADER_LEN + usize::from(code.has_type());
        if length < header {
            return Err(WireError::BadLength { what: "eap length", value: length });
        }
        need("eap length", data, length)?;
        let kind = code.has_type().then(|| data[EAP_HEADER_LEN]);
        Ok(Self { code, identifier: data[1], kind, data: &data[header..length] })
    }

    /// Bytes [`Eap::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        EAP_HEADER_LEN + if self.kind.is_some() { 1 } else { 0 } + self.data.len()
    }

    /// Writes the packet and returns its length.
    ///
    /// # Errors
    /// A buffer too short; a type where there is none, or none where there must be one.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, WireError> {
        let length = self.buffer_len();
        if self.code.has_type() != self.kind.is_some() || length > usize::from(u16::MAX) {
            return Err(WireError::BadLength { what: "eap length", value: length });
        }
        need("eap buffer", buffer, length)?;
        buffer[..2].copy_from_slice(&[self.code.0, self.identifier]);
        put16(&mut buffer[2..], length as u16);
        if let Some(kind) = self.kind {
            buffer[EAP_HEADER_LEN] = kind;
        }
        buffer[length - self.data.len()..length].copy_from_slice(self.data);
        Ok(length)
    }
}

impl fmt::Display for Eap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, id {}, len {}", self.code, self.identifier, self.buffer_len())?;
        let Some(kind) = self.kind else { return Ok(()) };
        let name = match kind {
            eap::IDENTITY => "Identity",
            eap::NOTIFICATION => "Notification",
            eap::NAK => "Nak",
            eap::MD5_CHALLENGE => "MD5-challenge",
            eap::TLS => "TLS",
            _ => "unknown",
        };
        write!(f, ", type {name} ({kind})")?;
        if kind == eap::IDENTITY && !self.data.is_empty() {
            write!(f, ", Identity: {}", self.data.escape_ascii())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_their_packets_read_back() {
        for packet in [
            Eap { code: EapCode::RESPONSE, identifier: 7, kind: Some(eap::IDENTITY), data: b"alice" },
            Eap { code: EapCode::REQUEST, identifier: 8, kind: Some(eap::MD5_CHALLENGE), data: &[16; 17] },
            Eap { code: EapCode::SUCCESS, identifier: 8, kind: None, data: b"" },
        ] {
            let repr = Repr { version: 1, kind: PacketType::EAP, body_len: packet.buffer_len() };
            let mut bytes = vec![0xee; repr.buffer_len() + 3];
            let mut view = View::new_unchecked(&mut bytes[..]);
            repr.emit(&mut view);
            assert_eq!(packet.emit(view.body_mut()), Ok(repr.body_len));
            let view = View::new_checked(&bytes[..]).unwrap();
            assert_eq!((Repr::parse(&view), Eap::parse(view.body())), (repr, Ok(packet)));
        }
        let start = View::new_checked([1, 1, 0, 0]).unwrap();
        assert_eq!(start.to_string(), "EAPOL, EAPOL start (1) v1, len 0");
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(
            View::new_checked([1, 0, 0, 5, 1, 7]),
            Err(WireError::Truncated { what: "eapol body", need: 9, have: 6 })
        );
        assert_eq!(Eap::parse(&[1, 7, 0, 4]), Err(WireError::BadLength { what: "eap length", value: 4 }));
        assert_eq!(
            Eap::parse(&[3, 7, 0, 5]),
            Err(WireError::Truncated { what: "eap length", need: 5, have: 4 })
        );
        assert_eq!(Eap::parse(&[5, 7, 0, 4]), Err(WireError::BadValue { what: "eap code", value: 5 }));
        let nameless = Eap { code: EapCode::REQUEST, identifier: 0, kind: None, data: b"" };
        assert!(nameless.emit(&mut [0; 9]).is_err());
    }
}
