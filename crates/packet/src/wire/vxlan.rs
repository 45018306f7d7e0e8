//! VXLAN (RFC 7348): an Ethernet frame inside UDP port 4789.

use std::fmt;

use super::{Field, WireError, be32, need, put32, span, span_mut};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// The UDP port.
pub const PORT: u16 = 4789;

mod field {
    use super::Field;
    pub(super) const FLAGS: Field = 0..4;
    pub(super) const VNI: Field = 4..8;
}

const VNI_VALID: u32 = 0x0800_0000;

/// A VXLAN packet's bytes.
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
    /// A buffer shorter than the header, or a header without the I flag: its network identifier means nothing (§5).
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("vxlan header", buffer.as_ref(), HEADER_LEN)?;
        let flags = be32(&buffer.as_ref()[field::FLAGS]);
        if flags & VNI_VALID == 0 {
            return Err(WireError::BadValue { what: "vxlan flags", value: u64::from(flags >> 24) });
        }
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Network identifier, 24 bits.
    #[inline]
    pub fn vni(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::VNI]) >> 8
    }

    /// The Ethernet frame inside.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// The Ethernet frame inside.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VXLAN, flags [I] (0x08), vni {}", self.vni())
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Network identifier, 24 bits.
    pub vni: u32,
}

impl Repr {
    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self { vni: view.vni() }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let data = view.buffer.as_mut();
        put32(&mut data[field::FLAGS], VNI_VALID);
        put32(&mut data[field::VNI], self.vni << 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_refuses_a_header_without_its_flag() {
        let mut bytes = [0xff; 10];
        Repr { vni: 0xab_cdef }.emit(&mut View::new_unchecked(&mut bytes[..]));
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!((view.vni(), view.payload().len()), (0xab_cdef, 2));
        assert_eq!(view.to_string(), "VXLAN, flags [I] (0x08), vni 11259375");
        bytes[0] = 0xf7;
        assert_eq!(
            View::new_checked(&bytes[..]),
            Err(WireError::BadValue { what: "vxlan flags", value: 0xf7 })
        );
    }
}
