//! LLDP (IEEE 802.1AB-2016): what a port tells its neighbour, as TLVs behind EtherType 0x88cc.
//!
//! ```text
//! 0                  2
//! | type 7, length 9 | value …      chassis id, port id, time to live, others …, end
//! ```
//!
//! ```
//! use packet::wire::lldp::{ChassisId, PortId, Repr, Tlv, View};
//! let mine = Tlv::Organization { oui: [0x02, 0x77, 0x66], subtype: 1, data: b"secret" };
//! let repr = Repr {
//!     chassis: ChassisId::Local(b"dpid:1"),
//!     port: PortId::Component(b"3"),
//!     ttl_s: 120,
//!     optional_len: mine.buffer_len(),
//! };
//! let mut bytes = vec![0; repr.buffer_len()];
//! let mut view = View::new_unchecked(&mut bytes[..]);
//! repr.emit(&mut view)?;
//! mine.emit(view.optional_mut())?;
//! let view = View::new_checked(&bytes[..])?;
//! assert_eq!(Repr::parse(&view)?, repr);
//! assert!(view.optional().any(|tlv| tlv == Ok(mine)));
//! assert_eq!(view.to_string(), "LLDP, chassis dpid:1, port 3, ttl 120s, length 31");
//! # Ok::<(), packet::wire::WireError>(())
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{MacAddr, WireError, array, be16, need, put16, span, span_mut};

/// Bytes of a TLV's header.
pub const TLV_HEADER_LEN: usize = 2;
/// Bytes of a TLV's value.
pub const VALUE_LEN_MAX: usize = 511;
/// Bytes of a chassis or port id, its subtype aside (§8.5.2.3).
pub const ID_LEN_MAX: usize = 255;
/// TLVs walked in one frame.
pub const TLVS_MAX: usize = 128;
/// The nearest bridge, of any kind (§7.1): the destination address of most frames.
pub const NEAREST_BRIDGE: MacAddr = MacAddr([0x01, 0x80, 0xc2, 0, 0, 0x0e]);

/// Types of TLVs (§8.4.1).
mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const CHASSIS: u8 = 1;
    pub(super) const PORT: u8 = 2;
    pub(super) const TTL: u8 = 3;
    pub(super) const PORT_DESCRIPTION: u8 = 4;
    pub(super) const SYSTEM_NAME: u8 = 5;
    pub(super) const SYSTEM_DESCRIPTION: u8 = 6;
    pub(super) const CAPABILITIES: u8 = 7;
    pub(super) const ORGANIZATION: u8 = 127;
}

/// Which system (§8.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChassisId<'a> {
    /// Its Ethernet address (subtype 4).
    Mac(MacAddr),
    /// Its IP address (subtype 5).
    Address(IpAddr),
    /// A name of its own choosing (subtype 7).
    Local(&'a [u8]),
    /// Any other: subtype and bytes.
    Other(u8, &'a [u8]),
}

/// Which of its ports (§8.5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortId<'a> {
    /// The port component (subtype 2), as POX and others number it.
    Component(&'a [u8]),
    /// The port's Ethernet address (subtype 3).
    Mac(MacAddr),
    /// The interface's name (subtype 5).
    Interface(&'a [u8]),
    /// A name of its own choosing (subtype 7).
    Local(&'a [u8]),
    /// Any other: subtype and bytes.
    Other(u8, &'a [u8]),
}

/// An address with its family number (1 IPv4, 2 IPv6) as id TLVs have it.
fn network_address(data: &[u8]) -> Option<IpAddr> {
    match data {
        [1, four @ ..] => <[u8; 4]>::try_from(four).ok().map(|four| Ipv4Addr::from(four).into()),
        [2, six @ ..] => <[u8; 16]>::try_from(six).ok().map(|six| Ipv6Addr::from(six).into()),
        _ => None,
    }
}

/// Subtype and bytes of an id.
fn id<'a>(what: &'static str, value: &'a [u8]) -> Result<(u8, &'a [u8]), WireError> {
    match value {
        [subtype, data @ ..] if (1..=ID_LEN_MAX).contains(&data.len()) => Ok((*subtype, data)),
        _ => Err(WireError::BadLength { what, value: value.len() }),
    }
}

impl<'a> ChassisId<'a> {
    fn parse(value: &'a [u8]) -> Result<Self, WireError> {
        let (subtype, data) = id("lldp chassis id", value)?;
        Ok(match (subtype, data, network_address(data)) {
            (4, [_, _, _, _, _, _], _) => Self::Mac(MacAddr(array(data))),
            (5, _, Some(address)) => Self::Address(address),
            (7, ..) => Self::Local(data),
            _ => Self::Other(subtype, data),
        })
    }

    /// Bytes behind the TLV's header.
    fn len(&self) -> usize {
        1 + match self {
            Self::Mac(_) => 6,
            Self::Address(IpAddr::V4(_)) => 5,
            Self::Address(IpAddr::V6(_)) => 17,
            Self::Local(data) | Self::Other(_, data) => data.len(),
        }
    }

    fn write(&self, value: &mut [u8]) {
        match self {
            Self::Mac(mac) => put_id(value, 4, &mac.0),
            Self::Address(IpAddr::V4(address)) => {
                value[1] = 1;
                value[0] = 5;
                value[2..].copy_from_slice(&address.octets());
            }
            Self::Address(IpAddr::V6(address)) => {
                value[1] = 2;
                value[0] = 5;
                value[2..].copy_from_slice(&address.octets());
            }
            Self::Local(data) => put_id(value, 7, data),
            Self::Other(subtype, data) => put_id(value, *subtype, data),
        }
    }
}

impl<'a> PortId<'a> {
    fn parse(value: &'a [u8]) -> Result<Self, WireError> {
        let (subtype, data) = id("lldp port id", value)?;
        Ok(match (subtype, data) {
            (2, _) => Self::Component(data),
            (3, [_, _, _, _, _, _]) => Self::Mac(MacAddr(array(data))),
            (5, _) => Self::Interface(data),
            (7, _) => Self::Local(data),
            _ => Self::Other(subtype, data),
        })
    }

    /// Bytes behind the TLV's header.
    fn len(&self) -> usize {
        1 + match self {
            Self::Mac(_) => 6,
            Self::Component(data) | Self::Interface(data) | Self::Local(data) | Self::Other(_, data) => {
                data.len()
            }
        }
    }

    fn write(&self, value: &mut [u8]) {
        match self {
            Self::Component(data) => put_id(value, 2, data),
            Self::Mac(mac) => put_id(value, 3, &mac.0),
            Self::Interface(data) => put_id(value, 5, data),
            Self::Local(data) => put_id(value, 7, data),
            Self::Other(subtype, data) => put_id(value, *subtype, data),
        }
    }
}

fn put_id(value: &mut [u8], subtype: u8, data: &[u8]) {
    value[0] = subtype;
    value[1..].copy_from_slice(data);
}

impl fmt::Display for ChassisId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Local(data) | Self::Other(_, data) => data.escape_ascii().fmt(f),
        }
    }
}

impl fmt::Display for PortId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Component(data) | Self::Interface(data) | Self::Local(data) | Self::Other(_, data) => {
                data.escape_ascii().fmt(f)
            }
        }
    }
}

/// One TLV. The end of the list is no TLV here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tlv<'a> {
    /// Which system.
    Chassis(ChassisId<'a>),
    /// Which of its ports.
    Port(PortId<'a>),
    /// Seconds this is true; 0: no longer.
    Ttl(u16),
    /// The port, in words.
    PortDescription(&'a [u8]),
    /// The system's name.
    SystemName(&'a [u8]),
    /// The system, in words.
    SystemDescription(&'a [u8]),
    /// What it can be and what it is: bits, 0x04 bridge, 0x10 router, …
    Capabilities {
        /// What it can be.
        system: u16,
        /// What it is.
        enabled: u16,
    },
    /// Somebody's own (§8.6).
    Organization {
        /// Whose.
        oui: [u8; 3],
        /// Which of theirs.
        subtype: u8,
        /// Its bytes, 507 at most.
        data: &'a [u8],
    },
    /// Any other: type (7 bits) and value.
    Other(u8, &'a [u8]),
}

impl<'a> Tlv<'a> {
    fn parse(kind: u8, value: &'a [u8]) -> Result<Self, WireError> {
        let wrong = |what| WireError::BadLength { what, value: value.len() };
        Ok(match kind {
            kind::CHASSIS => Self::Chassis(ChassisId::parse(value)?),
            kind::PORT => Self::Port(PortId::parse(value)?),
            // What stands behind the two bytes is ignored (§9.2.7.7.1).
            kind::TTL if value.len() >= 2 => Self::Ttl(be16(value)),
            kind::TTL => return Err(wrong("lldp ttl")),
            kind::PORT_DESCRIPTION => Self::PortDescription(value),
            kind::SYSTEM_NAME => Self::SystemName(value),
            kind::SYSTEM_DESCRIPTION => Self::SystemDescription(value),
            kind::CAPABILITIES => match value {
                [a, b, c, d] => Self::Capabilities {
                    system: u16::from_be_bytes([*a, *b]),
                    enabled: u16::from_be_bytes([*c, *d]),
                },
                _ => return Err(wrong("lldp capabilities")),
            },
            kind::ORGANIZATION => match value {
                [a, b, c, subtype, data @ ..] => {
                    Self::Organization { oui: [*a, *b, *c], subtype: *subtype, data }
                }
                _ => return Err(wrong("lldp organization")),
            },
            _ => Self::Other(kind, value),
        })
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Chassis(_) => kind::CHASSIS,
            Self::Port(_) => kind::PORT,
            Self::Ttl(_) => kind::TTL,
            Self::PortDescription(_) => kind::PORT_DESCRIPTION,
            Self::SystemName(_) => kind::SYSTEM_NAME,
            Self::SystemDescription(_) => kind::SYSTEM_DESCRIPTION,
            Self::Capabilities { .. } => kind::CAPABILITIES,
            Self::Organization { .. } => kind::ORGANIZATION,
            Self::Other(kind, _) => *kind & 0x7f,
        }
    }

    fn value_len(&self) -> usize {
        match self {
            Self::Chassis(id) => id.len(),
            Self::Port(id) => id.len(),
            Self::Ttl(_) => 2,
            Self::Capabilities { .. } => 4,
            Self::Organization { data, .. } => 4 + data.len(),
            Self::PortDescription(data)
            | Self::SystemName(data)
            | Self::SystemDescription(data)
            | Self::Other(_, data) => data.len(),
        }
    }

    /// Bytes [`Tlv::emit`] writes.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        TLV_HEADER_LEN + self.value_len()
    }

    /// Writes the TLV and returns its length.
    ///
    /// # Errors
    /// A value longer than [`VALUE_LEN_MAX`], an id that is empty or longer than [`ID_LEN_MAX`], a buffer too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, WireError> {
        let length = self.value_len();
        let fits = match self {
            Self::Chassis(_) | Self::Port(_) => (2..=1 + ID_LEN_MAX).contains(&length),
            _ => length <= VALUE_LEN_MAX,
        };
        if !fits {
            return Err(WireError::BadLength { what: "lldp tlv", value: length });
        }
        need("lldp buffer", buffer, TLV_HEADER_LEN + length)?;
        let (header, rest) = buffer.split_at_mut(TLV_HEADER_LEN);
        put16(header, u16::from(self.kind()) << 9 | length as u16);
        let value = &mut rest[..length];
        match self {
            Self::Chassis(id) => id.write(value),
            Self::Port(id) => id.write(value),
            Self::Ttl(ttl_s) => put16(value, *ttl_s),
            Self::Capabilities { system, enabled } => {
                put16(value, *system);
                put16(&mut value[2..], *enabled);
            }
            Self::Organization { oui, subtype, data } => {
                value[..3].copy_from_slice(oui);
                value[3] = *subtype;
                value[4..].copy_from_slice(data);
            }
            Self::PortDescription(data)
            | Self::SystemName(data)
            | Self::SystemDescription(data)
            | Self::Other(_, data) => value.copy_from_slice(data),
        }
        Ok(TLV_HEADER_LEN + length)
    }
}

/// Walks TLVs up to the end TLV or the end of the bytes, at most [`TLVS_MAX`]. Ends at the first error.
#[derive(Debug, Clone)]
pub struct Tlvs<'a> {
    data: &'a [u8],
    seen: usize,
}

impl<'a> Tlvs<'a> {
    /// TLVs from their bytes.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data, seen: 0 }
    }

    /// The next one's type and value; `None` at the end.
    fn raw(&mut self) -> Result<Option<(u8, &'a [u8])>, WireError> {
        if self.data.is_empty() {
            return Ok(None);
        }
        need("lldp tlv", self.data, TLV_HEADER_LEN)?;
        let header = be16(self.data);
        let (kind, end) = ((header >> 9) as u8, TLV_HEADER_LEN + usize::from(header & 0x1ff));
        if kind == kind::END {
            self.data = &[];
            return Ok(None);
        }
        if self.seen == TLVS_MAX {
            return Err(WireError::TooMany { what: "lldp tlvs", limit: TLVS_MAX });
        }
        need("lldp tlv", self.data, end)?;
        let (tlv, rest) = self.data.split_at(end);
        self.data = rest;
        self.seen += 1;
        Ok(Some((kind, &tlv[TLV_HEADER_LEN..])))
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = self.raw().transpose()?;
        let tlv = raw.and_then(|(kind, value)| Tlv::parse(kind, value));
        if tlv.is_err() {
            self.data = &[];
        }
        Some(tlv)
    }
}

/// An LLDP frame's bytes, from behind the EtherType.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting.
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// The first three TLVs are not chassis id, port id and time to live, or do not hold; a TLV that ends behind the
    /// buffer; more TLVs than [`TLVS_MAX`]; one of the first three a second time. What is behind the end TLV is padding; a
    /// frame without an end TLV is taken.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let mut tlvs = Tlvs::new(buffer.as_ref());
        for expected in [kind::CHASSIS, kind::PORT, kind::TTL] {
            let tlv = tlvs.next().transpose()?;
            let kind = tlv.map_or(kind::END, |tlv| tlv.kind());
            if kind != expected {
                return Err(WireError::BadValue { what: "lldp order of tlvs", value: u64::from(kind) });
            }
        }
        for tlv in tlvs {
            let kind = tlv?.kind();
            if kind <= kind::TTL {
                return Err(WireError::BadValue { what: "lldp tlv twice", value: u64::from(kind) });
            }
        }
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// All TLVs.
    pub fn tlvs(&self) -> Tlvs<'_> {
        Tlvs::new(self.buffer.as_ref())
    }

    /// The TLVs behind the first three.
    pub fn optional(&self) -> Tlvs<'_> {
        Tlvs::new(span(self.buffer.as_ref(), self.mandatory_len(), usize::MAX))
    }

    /// Bytes of the first three TLVs.
    fn mandatory_len(&self) -> usize {
        let data = self.buffer.as_ref();
        (0..3).fold(0, |at, _| match span(data, at, at + TLV_HEADER_LEN) {
            header @ [_, _] => at + TLV_HEADER_LEN + usize::from(be16(header) & 0x1ff),
            _ => at,
        })
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// The bytes behind the first three TLVs, for more of them.
    pub fn optional_mut(&mut self) -> &mut [u8] {
        let start = self.mandatory_len();
        span_mut(self.buffer.as_mut(), start, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Repr::parse(self) {
            Ok(repr) => write!(f, "LLDP, {repr}, length {}", self.buffer.as_ref().len()),
            Err(wrong) => write!(f, "LLDP [{wrong}]"),
        }
    }
}

/// What every frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr<'a> {
    /// Which system.
    pub chassis: ChassisId<'a>,
    /// Which of its ports.
    pub port: PortId<'a>,
    /// Seconds this is true; 0: no longer.
    pub ttl_s: u16,
    /// Bytes of the other TLVs, the end aside.
    pub optional_len: usize,
}

impl<'a> Repr<'a> {
    /// Reads the first three TLVs.
    ///
    /// # Errors
    /// They are not chassis id, port id, time to live; or any TLV ends behind the buffer.
    pub fn parse<T: AsRef<[u8]>>(view: &'a View<T>) -> Result<Self, WireError> {
        let mut tlvs = view.tlvs();
        let mut next = || tlvs.next().transpose();
        let (Some(Tlv::Chassis(chassis)), Some(Tlv::Port(port)), Some(Tlv::Ttl(ttl_s))) =
            (next()?, next()?, next()?)
        else {
            return Err(WireError::BadValue { what: "lldp order of tlvs", value: 0 });
        };
        let mut optional_len = 0;
        let mut rest = view.optional();
        while let Some((_, value)) = rest.raw()? {
            optional_len += TLV_HEADER_LEN + value.len();
        }
        Ok(Self { chassis, port, ttl_s, optional_len })
    }

    /// Bytes of the frame with room for the other TLVs, the end TLV included.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        3 * TLV_HEADER_LEN + self.chassis.len() + self.port.len() + 2 + self.optional_len + TLV_HEADER_LEN
    }

    /// Writes the first three TLVs and ends the list; [`Tlv::emit`] into [`View::optional_mut`] writes the others over the
    /// ends.
    ///
    /// # Errors
    /// An id that is empty or too long, a buffer too short.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) -> Result<(), WireError> {
        let data = view.buffer.as_mut();
        need("lldp buffer", data, self.buffer_len())?;
        let mut at = 0;
        for tlv in [Tlv::Chassis(self.chassis), Tlv::Port(self.port), Tlv::Ttl(self.ttl_s)] {
            at += tlv.emit(&mut data[at..])?;
        }
        data[at..].fill(0);
        Ok(())
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chassis {}, port {}, ttl {}s", self.chassis, self.port, self.ttl_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(repr: &Repr<'_>, others: &[Tlv<'_>]) -> Vec<u8> {
        let optional_len = others.iter().map(Tlv::buffer_len).sum();
        let repr = Repr { optional_len, ..*repr };
        let mut bytes = vec![0xee; repr.buffer_len()];
        let mut view = View::new_unchecked(&mut bytes[..]);
        repr.emit(&mut view).unwrap();
        let mut at = 0;
        for tlv in others {
            at += tlv.emit(&mut view.optional_mut()[at..]).unwrap();
        }
        bytes
    }

    #[test]
    fn every_tlv_reads_back() {
        let chassis = [
            ChassisId::Mac(MacAddr([2, 0, 0, 0, 0, 1])),
            ChassisId::Address("10.0.0.1".parse().unwrap()),
            ChassisId::Address("fd00::1".parse().unwrap()),
            ChassisId::Local(b"dpid:1"),
            ChassisId::Other(1, b"rack 3"),
            ChassisId::Other(4, b"short"),
        ];
        let port = [
            PortId::Component(b"3"),
            PortId::Mac(MacAddr([2, 0, 0, 0, 0, 9])),
            PortId::Interface(b"eth0"),
            PortId::Local(b"left"),
            PortId::Other(6, b"agent"),
        ];
        let others = [
            Tlv::PortDescription(b"to h1"),
            Tlv::SystemName(b"s1"),
            Tlv::SystemDescription(b""),
            Tlv::Capabilities { system: 0x14, enabled: 4 },
            Tlv::Other(8, &[5, 1, 10, 0, 0, 1, 2, 0, 0, 0, 1, 0]),
            Tlv::Organization { oui: [0, 0x26, 0xe1], subtype: 0, data: b"x" },
        ];
        for chassis in chassis {
            for port in port {
                let repr = Repr { chassis, port, ttl_s: 120, optional_len: 0 };
                let bytes = frame(&repr, &others);
                let view = View::new_checked(&bytes[..]).unwrap();
                let read = Repr::parse(&view).unwrap();
                assert_eq!((read.chassis, read.port, read.ttl_s), (chassis, port, 120));
                assert_eq!(read.buffer_len(), bytes.len());
                assert_eq!(view.optional().collect::<Result<Vec<_>, _>>().unwrap(), others);
                assert_eq!(view.tlvs().count(), 3 + others.len());
            }
        }
    }

    #[test]
    fn order_and_lengths_are_checked() {
        let good = [2, 2, 7, b'a', 4, 2, 7, b'b', 6, 2, 0, 120];
        let check = |bytes: &[u8]| View::new_checked(bytes.to_vec()).map(|_| ());
        assert_eq!(check(&good), Ok(()));
        assert_eq!(check(&[&good[..], &[0, 0, 1, 2, 3]].concat()), Ok(())); // padding behind the end
        let order = |value| Err(WireError::BadValue { what: "lldp order of tlvs", value });
        assert_eq!(check(&good[..4]), order(0));
        assert_eq!(check(&[&good[4..8], &good[..4], &good[8..]].concat()), order(2));
        let twice = [&good[..], &good[..4]].concat();
        assert_eq!(check(&twice), Err(WireError::BadValue { what: "lldp tlv twice", value: 1 }));
        assert_eq!(check(&good[..11]), Err(WireError::Truncated { what: "lldp tlv", need: 4, have: 3 }));
        assert_eq!(
            check(&[2, 1, 7]),
            Err(WireError::BadLength { what: "lldp chassis id", value: 1 }),
            "an id has at least one byte"
        );
        let many = [&good[..], &[10, 0].repeat(TLVS_MAX)].concat();
        assert_eq!(check(&many), Err(WireError::TooMany { what: "lldp tlvs", limit: TLVS_MAX }));
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let mut out = [0; 600];
        let long = [0; 512];
        assert!(Tlv::SystemName(&long).emit(&mut out).is_err());
        assert!(Tlv::SystemName(&long[..511]).emit(&mut out).is_ok());
        assert!(Tlv::Chassis(ChassisId::Local(&long[..256])).emit(&mut out).is_err());
        assert!(Tlv::Port(PortId::Local(b"")).emit(&mut out).is_err());
        assert!(Tlv::Ttl(1).emit(&mut out[..3]).is_err());
    }
}
