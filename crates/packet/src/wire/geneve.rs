//! GENEVE with options (RFC 8926): any frame inside UDP port 6081.
//!
//! ```text
//! 0                                 2               4        7          8
//! | ver 2, opt len 6, O, C, rsvd 6 | protocol type | VNI 24 | reserved | options, payload
//! ```

use std::fmt;

use super::{EtherType, Field, WireError, be16, be32, need, put16, put32, span, span_mut};

/// Bytes of the header without options.
pub const HEADER_LEN: usize = 8;
/// Bytes of the longest options.
pub const OPTIONS_LEN_MAX: usize = 63 * 4;
/// The UDP port.
pub const PORT: u16 = 6081;

mod field {
    use super::Field;
    pub(super) const VERSION_LEN: usize = 0;
    pub(super) const FLAGS: usize = 1;
    pub(super) const PROTOCOL: Field = 2..4;
    pub(super) const VNI: Field = 4..8;
}

const CONTROL: u8 = 0x80;
const CRITICAL: u8 = 0x40;

/// A GENEVE packet's bytes.
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
    /// Another version, a buffer shorter than header and options.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("geneve header", data, HEADER_LEN)?;
        let version = data[field::VERSION_LEN] >> 6;
        if version != 0 {
            return Err(WireError::BadValue { what: "geneve version", value: u64::from(version) });
        }
        let view = Self { buffer };
        need("geneve options", view.buffer.as_ref(), view.header_len())?;
        Ok(view)
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Bytes of the header, options included.
    #[inline]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + usize::from(self.buffer.as_ref()[field::VERSION_LEN] & 0x3f) * 4
    }

    /// A message for the tunnel endpoint itself.
    #[inline]
    pub fn control(&self) -> bool {
        self.buffer.as_ref()[field::FLAGS] & CONTROL != 0
    }

    /// Some option must be understood, or the packet dropped.
    #[inline]
    pub fn critical(&self) -> bool {
        self.buffer.as_ref()[field::FLAGS] & CRITICAL != 0
    }

    /// What the payload is; [`EtherType::BRIDGING`] for Ethernet.
    #[inline]
    pub fn protocol(&self) -> EtherType {
        EtherType(be16(&self.buffer.as_ref()[field::PROTOCOL]))
    }

    /// Network identifier, 24 bits.
    #[inline]
    pub fn vni(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::VNI]) >> 8
    }

    /// The options.
    #[inline]
    pub fn options(&self) -> Options<'_> {
        Options { data: span(self.buffer.as_ref(), HEADER_LEN, self.header_len()) }
    }

    /// Everything after the options.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), self.header_len(), usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// The bytes of the options.
    #[inline]
    pub fn options_mut(&mut self) -> &mut [u8] {
        let end = self.header_len();
        span_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }

    /// Everything after the options.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let start = self.header_len();
        span_mut(self.buffer.as_mut(), start, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = match (self.control(), self.critical()) {
            (false, false) => "none",
            (true, false) => "O",
            (false, true) => "C",
            (true, true) => "OC",
        };
        write!(f, "Geneve, Flags [{flags}], vni 0x{:x}, proto {}", self.vni(), self.protocol())?;
        for (index, option) in self.options().enumerate() {
            f.write_str(if index == 0 { ", options [" } else { ", " })?;
            match option {
                Ok(option) => write!(f, "{option}")?,
                Err(wrong) => write!(f, "{wrong}")?,
            }
        }
        f.write_str(if self.header_len() > HEADER_LEN { "]" } else { "" })
    }
}

/// One option (§3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelOption<'a> {
    /// Who defines the type.
    pub class: u16,
    /// The type, its critical bit included.
    pub kind: u8,
    /// Data, a multiple of 4 bytes.
    pub data: &'a [u8],
}

impl TunnelOption<'_> {
    /// Who does not understand it must drop the packet.
    #[must_use]
    pub const fn critical(&self) -> bool {
        self.kind & 0x80 != 0
    }

    /// Writes the option and returns its length.
    ///
    /// # Errors
    /// Data longer than 124 bytes or not a multiple of 4; a buffer too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, WireError> {
        let length = self.data.len();
        if length > 124 || !length.is_multiple_of(4) {
            return Err(WireError::BadLength { what: "geneve option", value: length });
        }
        need("geneve option buffer", buffer, 4 + length)?;
        put16(buffer, self.class);
        buffer[2..4].copy_from_slice(&[self.kind, (length / 4) as u8]);
        buffer[4..4 + length].copy_from_slice(self.data);
        Ok(4 + length)
    }
}

impl fmt::Display for TunnelOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let critical = if self.critical() { "(C) " } else { "" };
        write!(f, "class 0x{:x} {critical}type 0x{:x} len {}", self.class, self.kind, self.data.len() + 4)
    }
}

/// Walks the options: at most 252 bytes, so at most 63 of them. Ends at the first error.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    data: &'a [u8],
}

impl<'a> Options<'a> {
    fn advance(&mut self) -> Result<TunnelOption<'a>, WireError> {
        let data = self.data;
        need("geneve option", data, 4)?;
        let end = 4 + usize::from(data[3] & 0x1f) * 4;
        need("geneve option", data, end)?;
        self.data = &data[end..];
        Ok(TunnelOption { class: be16(data), kind: data[2], data: &data[4..end] })
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<TunnelOption<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.data.is_empty() {
            return None;
        }
        let option = self.advance();
        if option.is_err() {
            self.data = &[];
        }
        Some(option)
    }
}

/// What the header says, options aside from their length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Network identifier, 24 bits.
    pub vni: u32,
    /// What the payload is.
    pub protocol: EtherType,
    /// A message for the tunnel endpoint itself.
    pub control: bool,
    /// Some option is critical.
    pub critical: bool,
    /// Bytes of the options, a multiple of 4 up to [`OPTIONS_LEN_MAX`].
    pub options_len: usize,
}

impl Repr {
    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            vni: view.vni(),
            protocol: view.protocol(),
            control: view.control(),
            critical: view.critical(),
            options_len: view.header_len() - HEADER_LEN,
        }
    }

    /// Bytes of the header with room for its options.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.options_len
    }

    /// Writes the header without its options: [`TunnelOption::emit`] into [`View::options_mut`] does those.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let flag = |set, flag| if set { flag } else { 0 };
        let data = view.buffer.as_mut();
        data[field::VERSION_LEN] = (self.options_len / 4) as u8 & 0x3f;
        data[field::FLAGS] = flag(self.control, CONTROL) | flag(self.critical, CRITICAL);
        put16(&mut data[field::PROTOCOL], self.protocol.0);
        put32(&mut data[field::VNI], self.vni << 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_read_back_and_print() {
        let repr =
            Repr { vni: 10, protocol: EtherType::BRIDGING, control: false, critical: true, options_len: 12 };
        let mut bytes = vec![0; repr.buffer_len() + 1];
        let mut view = View::new_unchecked(&mut bytes[..]);
        repr.emit(&mut view);
        let options = [
            TunnelOption { class: 0x102, kind: 0x80, data: &[1, 2, 3, 4] },
            TunnelOption { class: 0x103, kind: 1, data: &[] },
        ];
        let mut at = 0;
        for option in options {
            at += option.emit(&mut view.options_mut()[at..]).unwrap();
        }
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(Repr::parse(&view), repr);
        assert_eq!(view.options().collect::<Result<Vec<_>, _>>().unwrap(), options);
        assert_eq!(view.payload().len(), 1);
        assert_eq!(
            view.to_string(),
            "Geneve, Flags [C], vni 0xa, proto TEB (0x6558), \
             options [class 0x102 (C) type 0x80 len 8, class 0x103 type 0x1 len 4]"
        );
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert!(View::new_checked(&[0x3f, 0, 8, 0, 0, 0, 0, 0][..]).is_err());
        assert_eq!(
            View::new_checked(&[0x40, 0, 8, 0, 0, 0, 0, 0][..]),
            Err(WireError::BadValue { what: "geneve version", value: 1 })
        );
        let bytes = [1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0x1f];
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(view.options().count(), 1);
        assert!(view.options().next().unwrap().is_err());
        assert!(TunnelOption { class: 0, kind: 0, data: &[0; 5] }.emit(&mut [0; 20]).is_err());
    }
}
