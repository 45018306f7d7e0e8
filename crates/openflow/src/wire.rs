//! Framing: the header that every message of every version begins with.

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// Bytes of the longest message.
pub const MESSAGE_MAX: usize = 0xffff;

/// `ofp_header`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Version of the protocol; any, since a hello says the highest that its sender speaks.
    pub version: u8,
    /// `type`.
    pub kind: u8,
    /// Bytes of the message, header included; at least [`HEADER_LEN`].
    pub length: u16,
    /// Transaction.
    pub xid: u32,
}

/// Where a stream stops being messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length that does not include the header.
    #[error("a message of {0} bytes, less than its header's {HEADER_LEN}")]
    Short(u16),
}

impl Header {
    /// The header that the bytes begin with; `None` where they are fewer than a header.
    ///
    /// # Errors
    /// The length is that of no message. What follows cannot be found, so that the connection is of no use any more.
    #[inline]
    pub fn peek(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(&[version, kind, high, low, a, b, c, d]) = bytes.first_chunk() else { return Ok(None) };
        let length = u16::from_be_bytes([high, low]);
        if usize::from(length) < HEADER_LEN {
            return Err(FrameError::Short(length));
        }
        Ok(Some(Self { version, kind, length, xid: u32::from_be_bytes([a, b, c, d]) }))
    }

    /// The eight bytes.
    #[inline]
    #[must_use]
    pub const fn bytes(self) -> [u8; HEADER_LEN] {
        let [high, low] = self.length.to_be_bytes();
        let [a, b, c, d] = self.xid.to_be_bytes();
        [self.version, self.kind, high, low, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let bytes = [4, 10, 0, 9, 1, 2, 3, 4, 99];
        let header = Header { version: 4, kind: 10, length: 9, xid: 0x0102_0304 };
        assert_eq!(Header::peek(&bytes), Ok(Some(header)));
        assert_eq!(header.bytes(), bytes[..8]);
        assert_eq!(Header::peek(&bytes[..7]), Ok(None));
        assert_eq!(Header::peek(&[4, 10, 0, 7, 1, 2, 3, 4]), Err(FrameError::Short(7)));
    }
}
