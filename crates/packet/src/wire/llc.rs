//! LLC (IEEE 802.2) and SNAP (RFC 1042): what follows an 802.3 length where an EtherType might have been.
//!
//! ```text
//! 0      1      2                3     6
//! | dsap | ssap | control 8, 16 | OUI | protocol |  the last two where both service access points are 0xaa
//! ```
//!
//! ```
//! use packet::wire::{EtherType, llc};
//! let repr = llc::Repr::snap(EtherType::IPV4);
//! let mut bytes = vec![0; repr.buffer_len()];
//! repr.emit(&mut llc::View::new_unchecked(&mut bytes[..]));
//! let view = llc::View::new_checked(&bytes[..])?;
//! assert_eq!(llc::Repr::parse(&view).snap, Some(([0; 3], EtherType::IPV4)));
//! assert_eq!(view.to_string(), "LLC, dsap SNAP (0xaa) Individual, ssap SNAP (0xaa) Command, ctrl 0x03, SNAP, oui 00:00:00, ethertype IPv4 (0x0800)");
//! # Ok::<(), packet::wire::WireError>(())
//! ```

use std::fmt;

use super::{EtherType, WireError, array, be16, need, put16, span};

/// Bytes of the shortest header.
pub const HEADER_LEN: usize = 3;
/// Bytes of a header with SNAP's.
pub const SNAP_LEN: usize = 8;
/// Service access point of SNAP.
pub const SNAP: u8 = 0xaa;
/// Service access point of the spanning tree.
pub const SPANNING_TREE: u8 = 0x42;
/// Control field of unnumbered information.
pub const UNNUMBERED: u16 = 3;

/// An LLC frame's bytes, from behind the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

/// Bytes of the control field that begins so: one of unnumbered frames, else two.
const fn control_len(first: u8) -> usize {
    if first & 3 == 3 { 1 } else { 2 }
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than [`HEADER_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A buffer shorter than the header, SNAP's included where there is one.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("llc header", buffer.as_ref(), HEADER_LEN)?;
        let view = Self { buffer };
        need("llc header", view.buffer.as_ref(), view.header_len())?;
        Ok(view)
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Destination service access point.
    pub fn destination(&self) -> u8 {
        self.buffer.as_ref()[0]
    }

    /// Source service access point; the lowest bit says that it is a response.
    pub fn source(&self) -> u8 {
        self.buffer.as_ref()[1]
    }

    /// The control field; of two bytes the first is the lower one.
    pub fn control(&self) -> u16 {
        let data = self.buffer.as_ref();
        match control_len(data[2]) {
            1 => u16::from(data[2]),
            _ => u16::from(data[2]) | u16::from(span(data, 3, 4).first().copied().unwrap_or(0)) << 8,
        }
    }

    fn is_snap(&self) -> bool {
        let data = self.buffer.as_ref();
        data[0] == SNAP && data[1] & !1 == SNAP && data[2] == UNNUMBERED as u8
    }

    /// Bytes of the header, SNAP's included.
    pub fn header_len(&self) -> usize {
        if self.is_snap() { SNAP_LEN } else { 2 + control_len(self.buffer.as_ref()[2]) }
    }

    /// SNAP's organization and protocol; under organization 0 that is an EtherType.
    pub fn snap(&self) -> Option<([u8; 3], EtherType)> {
        let data = span(self.buffer.as_ref(), HEADER_LEN, SNAP_LEN);
        (self.is_snap() && data.len() == 5).then(|| (array(data), EtherType(be16(&data[3..]))))
    }

    /// What follows.
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), self.header_len(), usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Repr::parse(self).fmt(f)
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Destination service access point.
    pub destination: u8,
    /// Source service access point.
    pub source: u8,
    /// The control field.
    pub control: u16,
    /// SNAP's organization and protocol.
    pub snap: Option<([u8; 3], EtherType)>,
}

impl Repr {
    /// A frame of that EtherType (RFC 1042).
    #[must_use]
    pub const fn snap(protocol: EtherType) -> Self {
        Self { destination: SNAP, source: SNAP, control: UNNUMBERED, snap: Some(([0; 3], protocol)) }
    }

    /// A bridge's frame.
    #[must_use]
    pub const fn spanning_tree() -> Self {
        Self { destination: SPANNING_TREE, source: SPANNING_TREE, control: UNNUMBERED, snap: None }
    }

    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            destination: view.destination(),
            source: view.source(),
            control: view.control(),
            snap: view.snap(),
        }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        if self.snap.is_some() { SNAP_LEN } else { 2 + control_len(self.control as u8) }
    }

    /// Writes the header.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let data = view.buffer.as_mut();
        data[..3].copy_from_slice(&[self.destination, self.source, self.control as u8]);
        if let Some((organization, protocol)) = self.snap {
            data[3..6].copy_from_slice(&organization);
            put16(&mut data[6..], protocol.0);
        } else if control_len(self.control as u8) == 2 {
            data[3] = (self.control >> 8) as u8;
        }
    }
}

/// A service access point's name and number.
struct Point(u8);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 & !1 {
            SNAP => "SNAP",
            SPANNING_TREE => "STP",
            0 => "Null",
            0x06 => "IP",
            0xe0 => "IPX",
            0xf0 => "NetBeui",
            0xfe => "OSI",
            _ => "Unknown",
        };
        write!(f, "{name} ({:#04x})", self.0 & !1)
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = if self.destination & 1 == 0 { "Individual" } else { "Group" };
        let response = if self.source & 1 == 0 { "Command" } else { "Response" };
        write!(f, "LLC, dsap {} {group}, ssap {} {response}", Point(self.destination), Point(self.source))?;
        write!(f, ", ctrl {:#04x}", self.control)?;
        if let Some(([a, b, c], protocol)) = self.snap {
            write!(f, ", SNAP, oui {a:02x}:{b:02x}:{c:02x}, ethertype {protocol}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_each_length_read_back() {
        for (repr, length) in [
            (Repr::snap(EtherType::ARP), 8),
            (Repr::spanning_tree(), 3),
            (Repr { destination: 0xf0, source: 0xf1, control: 0x0102, snap: None }, 4),
        ] {
            assert_eq!(repr.buffer_len(), length);
            let mut bytes = vec![0xee; length + 2];
            repr.emit(&mut View::new_unchecked(&mut bytes[..]));
            let view = View::new_checked(&bytes[..]).unwrap();
            assert_eq!((Repr::parse(&view), view.payload().len()), (repr, 2));
            assert!(View::new_checked(&bytes[..length - 1]).is_err());
        }
    }
}
