//! ICMPv6 (RFC 4443). Neighbour discovery has its own file, [`ndp`].
//!
//! The checksum covers the IPv6 pseudo header, so filling and verifying take the addresses.

use std::fmt;
use std::net::Ipv6Addr;

use super::{Field, IpProtocol, WireError, be16, be32, ipv6, ndp, need, put16, put32, span, span_mut};
use crate::checksum;

/// Bytes of type, code and checksum, which every message has.
pub const HEADER_LEN: usize = 4;
/// Bytes in front of the data of an echo or an error.
pub const MESSAGE_LEN: usize = 8;
/// Bytes of the packet at fault that an error quotes: as much as fits into 1280 bytes (§3.1).
pub const QUOTE_MAX: usize = ipv6::MTU_MIN - ipv6::HEADER_LEN - MESSAGE_LEN;

mod field {
    use super::Field;
    pub(super) const TYPE: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: Field = 2..4;
    pub(super) const REST: Field = 4..8;
    pub(super) const IDENT: Field = 4..6;
    pub(super) const SEQUENCE: Field = 6..8;
}

/// Where the checksum lies in the header.
pub const CHECKSUM_OFFSET: usize = field::CHECKSUM.start;

/// A message type (IANA icmpv6-parameters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Type(pub u8);

impl Type {
    /// Destination unreachable.
    pub const UNREACHABLE: Self = Self(1);
    /// Packet too big.
    pub const TOO_BIG: Self = Self(2);
    /// Time exceeded.
    pub const TIME_EXCEEDED: Self = Self(3);
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: Self = Self(4);
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self(128);
    /// Echo reply.
    pub const ECHO_REPLY: Self = Self(129);
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: Self = Self(133);
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: Self = Self(134);
    /// Neighbour solicitation.
    pub const NEIGHBOUR_SOLICITATION: Self = Self(135);
    /// Neighbour advertisement.
    pub const NEIGHBOUR_ADVERTISEMENT: Self = Self(136);
    /// Redirect.
    pub const REDIRECT: Self = Self(137);

    /// Whether it reports an error and so quotes the packet at fault. Errors are never answered with errors (§2.4 (e)).
    #[inline]
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 < 128
    }

    /// Whether it is an echo request or reply.
    #[inline]
    #[must_use]
    pub const fn is_echo(self) -> bool {
        matches!(self, Self::ECHO_REPLY | Self::ECHO_REQUEST)
    }

    /// Whether it belongs to neighbour discovery.
    #[inline]
    #[must_use]
    pub const fn is_ndp(self) -> bool {
        matches!(self.0, 133..=137)
    }
}

/// Codes of "destination unreachable".
pub mod unreachable {
    /// No route.
    pub const NO_ROUTE: u8 = 0;
    /// Administratively prohibited.
    pub const PROHIBITED: u8 = 1;
    /// The host does not answer.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens on the port.
    pub const PORT: u8 = 4;
}

/// An ICMPv6 message's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than [`MESSAGE_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A buffer shorter than the header, or for echo and errors than their 8 bytes.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("icmpv6 header", data, HEADER_LEN)?;
        let kind = Type(data[field::TYPE]);
        if kind.is_error() || kind.is_echo() || kind.is_ndp() {
            need("icmpv6 message", data, MESSAGE_LEN)?;
        }
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Message type.
    #[inline]
    pub fn kind(&self) -> Type {
        Type(self.buffer.as_ref()[field::TYPE])
    }

    /// Code: what exactly, within the type.
    #[inline]
    pub fn code(&self) -> u8 {
        self.buffer.as_ref()[field::CODE]
    }

    /// The checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::CHECKSUM])
    }

    /// Whether the checksum is right.
    #[inline]
    pub fn verify_checksum(&self, source: Ipv6Addr, destination: Ipv6Addr) -> bool {
        let message = self.buffer.as_ref();
        let pseudo = checksum::pseudo_v6(source, destination, IpProtocol::ICMPV6, message.len() as u32);
        checksum::verify(pseudo, message)
    }

    /// Identifier of an echo; 0 in a message too short to have one.
    #[inline]
    pub fn ident(&self) -> u16 {
        self.buffer.as_ref().get(field::IDENT).map_or(0, be16)
    }

    /// Sequence number of an echo; 0 in a message too short to have one.
    #[inline]
    pub fn sequence(&self) -> u16 {
        self.buffer.as_ref().get(field::SEQUENCE).map_or(0, be16)
    }

    /// The 32 bits behind the checksum: MTU, pointer, flags; 0 in a message too short to have them.
    #[inline]
    pub fn rest(&self) -> u32 {
        self.buffer.as_ref().get(field::REST).map_or(0, be32)
    }

    /// An echo's data, or the packet an error quotes.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), MESSAGE_LEN, usize::MAX)
    }

    /// Everything behind the checksum: the message body, whatever the type.
    #[inline]
    pub fn body(&self) -> &[u8] {
        span(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }

    /// The packet an error quotes, usually cut.
    ///
    /// # Errors
    /// Not an error message, or no whole IPv6 header in it.
    pub fn quoted(&self) -> Result<ipv6::View<&[u8]>, WireError> {
        if !self.kind().is_error() {
            return Err(WireError::BadValue { what: "icmpv6 error type", value: u64::from(self.kind().0) });
        }
        ipv6::View::new_quoted(self.payload())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets type and code.
    #[inline]
    pub fn set_kind(&mut self, kind: Type, code: u8) {
        self.buffer.as_mut()[..2].copy_from_slice(&[kind.0, code]);
    }

    /// Sets the identifier of an echo without touching the checksum; nothing in a message too short to have one.
    #[inline]
    pub fn set_ident(&mut self, ident: u16) {
        if let Some(field) = self.buffer.as_mut().get_mut(field::IDENT) {
            put16(field, ident);
        }
    }

    /// Sets the 32 bits behind the checksum; nothing in a message too short to have them.
    #[inline]
    pub fn set_rest(&mut self, rest: u32) {
        if let Some(field) = self.buffer.as_mut().get_mut(field::REST) {
            put32(field, rest);
        }
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put16(&mut self.buffer.as_mut()[field::CHECKSUM], checksum);
    }

    /// Computes the checksum over the pseudo header and the whole buffer.
    pub fn fill_checksum(&mut self, source: Ipv6Addr, destination: Ipv6Addr) {
        self.set_checksum(0);
        let message = self.buffer.as_ref();
        let pseudo = checksum::pseudo_v6(source, destination, IpProtocol::ICMPV6, message.len() as u32);
        let check = !checksum::combine(pseudo, checksum::sum(message));
        self.set_checksum(check);
    }

    /// An echo's data, or the packet an error quotes.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), MESSAGE_LEN, usize::MAX)
    }

    /// Everything behind the checksum.
    #[inline]
    pub fn body_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Repr::parse(self) {
            Ok(repr) => fmt::Display::fmt(&repr, f)?,
            Err(_) if self.kind().is_ndp() => match ndp::Repr::parse(self) {
                Ok(repr) => fmt::Display::fmt(&repr, f)?,
                Err(wrong) => write!(f, "neighbour discovery [{wrong}]")?,
            },
            Err(_) => write!(f, "type-#{}", self.kind().0)?,
        }
        write!(f, ", length {}", self.buffer.as_ref().len())
    }
}

/// What the message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repr<'a> {
    /// Ping.
    EchoRequest {
        /// Who asks.
        ident: u16,
        /// Which of its questions.
        sequence: u16,
        /// To be sent back.
        data: &'a [u8],
    },
    /// Its answer.
    EchoReply {
        /// From the request.
        ident: u16,
        /// From the request.
        sequence: u16,
        /// From the request.
        data: &'a [u8],
    },
    /// Destination unreachable.
    Unreachable {
        /// One of [`mod@unreachable`].
        code: u8,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// The next hop's MTU is smaller than the packet.
    TooBig {
        /// The next hop's MTU.
        mtu: u32,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// The hop limit ended (code 0), or reassembly took too long (code 1).
    TimeExceeded {
        /// 0 or 1.
        code: u8,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// A header field makes no sense.
    ParameterProblem {
        /// 0 field, 1 next header, 2 option.
        code: u8,
        /// The byte at fault.
        pointer: u32,
        /// The packet at fault.
        quoted: &'a [u8],
    },
}

impl<'a> Repr<'a> {
    /// Reads a message. Checksums are the caller's ([`View::verify_checksum`]).
    ///
    /// # Errors
    /// A type that is none of these.
    pub fn parse<T: AsRef<[u8]>>(view: &'a View<T>) -> Result<Self, WireError> {
        let (ident, sequence, code, data) = (view.ident(), view.sequence(), view.code(), view.payload());
        Ok(match view.kind() {
            Type::ECHO_REQUEST => Self::EchoRequest { ident, sequence, data },
            Type::ECHO_REPLY => Self::EchoReply { ident, sequence, data },
            Type::UNREACHABLE => Self::Unreachable { code, quoted: data },
            Type::TOO_BIG => Self::TooBig { mtu: view.rest(), quoted: data },
            Type::TIME_EXCEEDED => Self::TimeExceeded { code, quoted: data },
            Type::PARAMETER_PROBLEM => Self::ParameterProblem { code, pointer: view.rest(), quoted: data },
            Type(other) => return Err(WireError::BadValue { what: "icmpv6 type", value: u64::from(other) }),
        })
    }

    /// "Destination unreachable" about `packet` (from its IP header on), quoting no more than [`QUOTE_MAX`].
    #[must_use]
    pub fn unreachable(code: u8, packet: &'a [u8]) -> Self {
        Self::Unreachable { code, quoted: span(packet, 0, QUOTE_MAX) }
    }

    /// "Packet too big" about `packet`.
    #[must_use]
    pub fn too_big(mtu: u32, packet: &'a [u8]) -> Self {
        Self::TooBig { mtu, quoted: span(packet, 0, QUOTE_MAX) }
    }

    /// "Hop limit exceeded" about `packet`.
    #[must_use]
    pub fn time_exceeded(packet: &'a [u8]) -> Self {
        Self::TimeExceeded { code: 0, quoted: span(packet, 0, QUOTE_MAX) }
    }

    const fn fields(&self) -> (Type, u8, u32, &'a [u8]) {
        match *self {
            Self::EchoRequest { ident, sequence, data } => {
                (Type::ECHO_REQUEST, 0, (ident as u32) << 16 | sequence as u32, data)
            }
            Self::EchoReply { ident, sequence, data } => {
                (Type::ECHO_REPLY, 0, (ident as u32) << 16 | sequence as u32, data)
            }
            Self::Unreachable { code, quoted } => (Type::UNREACHABLE, code, 0, quoted),
            Self::TooBig { mtu, quoted } => (Type::TOO_BIG, 0, mtu, quoted),
            Self::TimeExceeded { code, quoted } => (Type::TIME_EXCEEDED, code, 0, quoted),
            Self::ParameterProblem { code, pointer, quoted } => {
                (Type::PARAMETER_PROBLEM, code, pointer, quoted)
            }
        }
    }

    /// Bytes [`Repr::emit`] writes, data included.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        MESSAGE_LEN + self.fields().3.len()
    }

    /// Writes the message, checksum included. The buffer must be exactly [`Repr::buffer_len`] long: the checksum covers
    /// all of it.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        view: &mut View<T>,
    ) {
        let (kind, code, rest, data) = self.fields();
        view.set_kind(kind, code);
        view.set_rest(rest);
        view.buffer.as_mut()[MESSAGE_LEN..MESSAGE_LEN + data.len()].copy_from_slice(data);
        view.fill_checksum(source, destination);
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = |quoted: &[u8]| {
            ipv6::View::new_quoted(quoted).map_or(Ipv6Addr::UNSPECIFIED, |ip| ip.destination())
        };
        match *self {
            Self::EchoRequest { ident, sequence, .. } => {
                write!(f, "echo request, id {ident}, seq {sequence}")
            }
            Self::EchoReply { ident, sequence, .. } => write!(f, "echo reply, id {ident}, seq {sequence}"),
            Self::Unreachable { code, quoted } => {
                let host = to(quoted);
                match code {
                    unreachable::NO_ROUTE => write!(f, "destination unreachable, unreachable route {host}"),
                    unreachable::PROHIBITED => {
                        write!(f, "destination unreachable, unreachable prohibited {host}")
                    }
                    unreachable::ADDRESS => write!(f, "destination unreachable, unreachable address {host}"),
                    unreachable::PORT => write!(f, "destination unreachable, unreachable port, {host}"),
                    code => write!(f, "destination unreachable, code-#{code} {host}"),
                }
            }
            Self::TooBig { mtu, .. } => write!(f, "packet too big, mtu {mtu}"),
            Self::TimeExceeded { code: 0, quoted } => {
                write!(f, "time exceeded in-transit for {}", to(quoted))
            }
            Self::TimeExceeded { code: 1, .. } => f.write_str("ip6 reassembly time exceeded"),
            Self::TimeExceeded { code, .. } => write!(f, "time exceeded, unknown code #{code}"),
            Self::ParameterProblem { code, pointer, .. } => {
                write!(f, "parameter problem, code-#{code} - octet {pointer}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    const B: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

    #[test]
    fn echo_reads_back_and_its_checksum_covers_the_addresses() {
        let repr = Repr::EchoReply { ident: 1, sequence: 2, data: b"odd" };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(A, B, &mut View::new_unchecked(&mut bytes[..]));
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(Repr::parse(&view).unwrap(), repr);
        assert!(view.verify_checksum(A, B));
        assert!(!view.verify_checksum(A, A));
        assert_eq!(view.to_string(), "echo reply, id 1, seq 2, length 11");
    }

    #[test]
    fn refusal_fits_the_smallest_mtu() {
        let mut packet = vec![0; 3000];
        ipv6::Repr::new(A, B, IpProtocol::TCP, 2960).emit(&mut ipv6::View::new_unchecked(&mut packet[..]));
        let repr = Repr::unreachable(unreachable::PROHIBITED, &packet);
        let mut bytes = vec![0; repr.buffer_len()];
        assert_eq!(bytes.len() + ipv6::HEADER_LEN, ipv6::MTU_MIN);
        repr.emit(B, A, &mut View::new_unchecked(&mut bytes[..]));
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(view.quoted().unwrap().destination(), B);
        assert_eq!(view.to_string(), "destination unreachable, unreachable prohibited fd00::2, length 1240");
    }

    #[test]
    fn short_messages_of_known_types_are_refused() {
        for kind in [1u8, 2, 3, 4, 128, 129, 135] {
            assert!(View::new_checked(&[kind, 0, 0, 0, 0, 0, 0][..]).is_err());
        }
        let unknown = View::new_checked(&[155u8, 0, 0, 0][..]).unwrap();
        assert_eq!((unknown.ident(), unknown.rest(), unknown.payload()), (0, 0, &[][..]));
    }
}
