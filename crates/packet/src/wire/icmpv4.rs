//! ICMP for IPv4 (RFC 792, RFC 1812).
//!
//! ```text
//! 0      1      2          4                8
//! | type | code | checksum | rest of header | data, or the packet that caused the error
//! ```

use std::fmt;
use std::net::Ipv4Addr;

use super::{Field, WireError, array, be16, be32, ipv4, need, put16, put32, span, span_mut};
use crate::checksum;

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// Bytes of the packet at fault that an error quotes: as much as fits into 576 bytes (RFC 1812 §4.3.2.3).
pub const QUOTE_MAX: usize = ipv4::MTU_MIN - ipv4::HEADER_LEN - HEADER_LEN;

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

/// A message type (IANA icmp-parameters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Type(pub u8);

impl Type {
    /// Echo reply.
    pub const ECHO_REPLY: Self = Self(0);
    /// Destination unreachable.
    pub const UNREACHABLE: Self = Self(3);
    /// Redirect.
    pub const REDIRECT: Self = Self(5);
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self(8);
    /// Time exceeded.
    pub const TIME_EXCEEDED: Self = Self(11);
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: Self = Self(12);

    /// Whether it reports an error and so quotes the packet at fault. Errors are never answered with errors
    /// (RFC 1122 §3.2.2).
    #[inline]
    #[must_use]
    pub const fn is_error(self) -> bool {
        matches!(self.0, 3 | 4 | 5 | 11 | 12)
    }

    /// Whether it is an echo request or reply.
    #[inline]
    #[must_use]
    pub const fn is_echo(self) -> bool {
        matches!(self, Self::ECHO_REPLY | Self::ECHO_REQUEST)
    }
}

/// Codes of "destination unreachable".
pub mod unreachable {
    /// No route.
    pub const NET: u8 = 0;
    /// The host does not answer.
    pub const HOST: u8 = 1;
    /// The host does not speak the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Nobody listens on the port.
    pub const PORT: u8 = 3;
    /// Too big, and "don't fragment" is set; carries the next hop's MTU (RFC 1191).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Administratively prohibited (RFC 1812 §5.2.7.1).
    pub const PROHIBITED: u8 = 13;
}

/// An ICMP message's bytes.
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
    /// A buffer shorter than the header.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("icmp header", buffer.as_ref(), HEADER_LEN)?;
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
    pub fn verify_checksum(&self) -> bool {
        checksum::verify(0, self.buffer.as_ref())
    }

    /// Identifier of an echo.
    #[inline]
    pub fn ident(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::IDENT])
    }

    /// Sequence number of an echo; in "fragmentation needed" the next hop's MTU.
    #[inline]
    pub fn sequence(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::SEQUENCE])
    }

    /// The 32 bits behind the checksum, whatever they mean.
    #[inline]
    pub fn rest(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::REST])
    }

    /// An echo's data, or the packet an error quotes.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }

    /// The packet an error quotes, usually cut behind its first bytes.
    ///
    /// # Errors
    /// Not an error message, or no whole IPv4 header in it.
    pub fn quoted(&self) -> Result<ipv4::View<&[u8]>, WireError> {
        if !self.kind().is_error() {
            return Err(WireError::BadValue { what: "icmp error type", value: u64::from(self.kind().0) });
        }
        ipv4::View::new_quoted(self.payload())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets the identifier of an echo without touching the checksum.
    #[inline]
    pub fn set_ident(&mut self, ident: u16) {
        put16(&mut self.buffer.as_mut()[field::IDENT], ident);
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put16(&mut self.buffer.as_mut()[field::CHECKSUM], checksum);
    }

    /// Computes the checksum over the whole buffer.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let check = checksum::checksum(self.buffer.as_ref());
        self.set_checksum(check);
    }

    /// Everything after the header.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Repr::parse(self) {
            Ok(repr) => fmt::Display::fmt(&repr, f)?,
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
        /// The next hop's MTU with [`unreachable::FRAGMENTATION_NEEDED`], else 0.
        mtu: u16,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// The TTL ended (code 0), or reassembly took too long (code 1).
    TimeExceeded {
        /// 0 or 1.
        code: u8,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// A header field makes no sense.
    ParameterProblem {
        /// What kind of problem.
        code: u8,
        /// The byte at fault.
        pointer: u8,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// There is a better first hop.
    Redirect {
        /// For a net or host, with or without its type of service.
        code: u8,
        /// The better first hop.
        gateway: Ipv4Addr,
        /// The packet that took the detour.
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
            Type::UNREACHABLE => Self::Unreachable { code, mtu: sequence, quoted: data },
            Type::TIME_EXCEEDED => Self::TimeExceeded { code, quoted: data },
            Type::PARAMETER_PROBLEM => {
                Self::ParameterProblem { code, pointer: (ident >> 8) as u8, quoted: data }
            }
            Type::REDIRECT => {
                let gateway = array::<4>(&view.buffer.as_ref()[field::REST]).into();
                Self::Redirect { code, gateway, quoted: data }
            }
            Type(other) => return Err(WireError::BadValue { what: "icmp type", value: u64::from(other) }),
        })
    }

    /// "Destination unreachable" about `packet` (from its IP header on), quoting no more than [`QUOTE_MAX`].
    #[must_use]
    pub fn unreachable(code: u8, packet: &'a [u8]) -> Self {
        Self::Unreachable { code, mtu: 0, quoted: span(packet, 0, QUOTE_MAX) }
    }

    /// "Fragmentation needed" about `packet`.
    #[must_use]
    pub fn fragmentation_needed(mtu: u16, packet: &'a [u8]) -> Self {
        Self::Unreachable { code: unreachable::FRAGMENTATION_NEEDED, mtu, quoted: span(packet, 0, QUOTE_MAX) }
    }

    /// "Time to live exceeded" about `packet`.
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
            Self::Unreachable { code, mtu, quoted } => (Type::UNREACHABLE, code, mtu as u32, quoted),
            Self::TimeExceeded { code, quoted } => (Type::TIME_EXCEEDED, code, 0, quoted),
            Self::ParameterProblem { code, pointer, quoted } => {
                (Type::PARAMETER_PROBLEM, code, (pointer as u32) << 24, quoted)
            }
            Self::Redirect { code, gateway, quoted } => (Type::REDIRECT, code, gateway.to_bits(), quoted),
        }
    }

    /// Bytes [`Repr::emit`] writes, data included.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.fields().3.len()
    }

    /// Writes the message, checksum included. The buffer must be exactly [`Repr::buffer_len`] long: the checksum covers
    /// all of it.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let (kind, code, rest, data) = self.fields();
        let buffer = view.buffer.as_mut();
        buffer[field::TYPE] = kind.0;
        buffer[field::CODE] = code;
        put32(&mut buffer[field::REST], rest);
        buffer[HEADER_LEN..HEADER_LEN + data.len()].copy_from_slice(data);
        view.fill_checksum();
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = |quoted: &[u8]| {
            ipv4::View::new_quoted(quoted).map_or(Ipv4Addr::UNSPECIFIED, |ip| ip.destination())
        };
        match *self {
            Self::EchoRequest { ident, sequence, .. } => {
                write!(f, "echo request, id {ident}, seq {sequence}")
            }
            Self::EchoReply { ident, sequence, .. } => write!(f, "echo reply, id {ident}, seq {sequence}"),
            Self::Unreachable { code, mtu, quoted } => {
                let host = to(quoted);
                match code {
                    unreachable::NET => write!(f, "net {host} unreachable"),
                    unreachable::HOST => write!(f, "host {host} unreachable"),
                    unreachable::PROTOCOL => write!(f, "{host} protocol unreachable"),
                    unreachable::PORT => write!(f, "{host} port unreachable"),
                    unreachable::FRAGMENTATION_NEEDED => {
                        write!(f, "{host} unreachable - need to frag (mtu {mtu})")
                    }
                    unreachable::PROHIBITED => write!(f, "host {host} unreachable - admin prohibited filter"),
                    code => write!(f, "{host} unreachable - #{code}"),
                }
            }
            Self::TimeExceeded { code: 0, .. } => f.write_str("time exceeded in-transit"),
            Self::TimeExceeded { code: 1, .. } => f.write_str("ip reassembly time exceeded"),
            Self::TimeExceeded { code, .. } => write!(f, "time exceeded-#{code}"),
            Self::ParameterProblem { pointer, .. } => write!(f, "parameter problem - octet {pointer}"),
            Self::Redirect { gateway, quoted, .. } => write!(f, "redirect {} to host {gateway}", to(quoted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::IpProtocol;

    fn emit(repr: &Repr<'_>) -> Vec<u8> {
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut View::new_unchecked(&mut bytes[..]));
        bytes
    }

    #[test]
    fn echo_reads_back_and_prints_like_tcpdump() {
        let repr = Repr::EchoRequest { ident: 3, sequence: 9, data: &[7; 56] };
        let bytes = emit(&repr);
        let view = View::new_checked(&bytes[..]).unwrap();
        assert!(view.verify_checksum());
        assert_eq!(Repr::parse(&view).unwrap(), repr);
        assert_eq!(view.to_string(), "echo request, id 3, seq 9, length 64");
        assert!(view.quoted().is_err());
    }

    #[test]
    fn refusal_quotes_the_packet_at_fault_and_no_more_than_fits() {
        let mut packet = vec![0; 2000];
        ipv4::Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::TCP, 1980)
            .emit(&mut ipv4::View::new_unchecked(&mut packet[..]));
        let bytes = emit(&Repr::unreachable(unreachable::PROHIBITED, &packet));
        assert_eq!(bytes.len() + ipv4::HEADER_LEN, ipv4::MTU_MIN);
        let view = View::new_checked(&bytes[..]).unwrap();
        let quoted = view.quoted().unwrap();
        assert_eq!((quoted.source(), quoted.total_len()), ([10, 0, 0, 1].into(), 2000));
        assert_eq!(quoted.payload().len(), QUOTE_MAX - ipv4::HEADER_LEN);
        assert_eq!(view.to_string(), "host 10.0.0.2 unreachable - admin prohibited filter, length 556");
        let bytes = emit(&Repr::fragmentation_needed(1400, &packet));
        assert!(View::new_checked(&bytes[..]).unwrap().to_string().contains("need to frag (mtu 1400)"));
    }

    #[test]
    fn error_that_quotes_nothing_whole_is_an_error() {
        let bytes = emit(&Repr::time_exceeded(&[0x45; 19]));
        let wrong = View::new_checked(&bytes[..]).unwrap().quoted().unwrap_err();
        assert_eq!(wrong, WireError::Truncated { what: "ipv4 header", need: 20, have: 19 });
    }
}
