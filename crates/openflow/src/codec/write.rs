//! Writing: big-endian numbers, padding, and lengths that are known when a structure is complete.

use super::EncodeError;
use crate::port::PortNo;
use crate::{Version, nicira};

/// What is put behind the bytes there are.
pub(super) trait Put {
    fn u8(&mut self, value: u8);
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    /// That many zero bytes.
    fn zeros(&mut self, count: usize);
    /// Zero bytes until there is a multiple of eight from `start` on.
    fn pad8(&mut self, start: usize);
    /// Seconds and nanoseconds.
    fn duration(&mut self, duration: (u32, u32));
    /// Text in a field of `size` bytes, the last of which is NUL.
    fn text(&mut self, text: &str, size: usize, what: &'static str) -> Result<(), EncodeError>;
    /// Puts the number of bytes from `start` on at `at`.
    fn length(&mut self, start: usize, at: usize, what: &'static str) -> Result<(), EncodeError>;
    /// A port in 1.0's 16 bits.
    fn port16(&mut self, port: PortNo) -> Result<(), EncodeError>;
    /// The header of an action, message part or property of Nicira's: `0xffff`, length, vendor.
    fn vendor(&mut self, length: u16, subtype: u16);
}

impl Put for Vec<u8> {
    #[inline]
    fn u8(&mut self, value: u8) {
        self.push(value);
    }

    #[inline]
    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    fn zeros(&mut self, count: usize) {
        self.resize(self.len() + count, 0);
    }

    #[inline]
    fn pad8(&mut self, start: usize) {
        let length = self.len() - start;
        self.zeros(length.next_multiple_of(8) - length);
    }

    fn duration(&mut self, (seconds, nanoseconds): (u32, u32)) {
        self.u32(seconds);
        self.u32(nanoseconds);
    }

    fn text(&mut self, text: &str, size: usize, what: &'static str) -> Result<(), EncodeError> {
        if text.len() >= size {
            return Err(EncodeError::TooLong { what, length: text.len(), max: size - 1 });
        }
        self.extend_from_slice(text.as_bytes());
        self.zeros(size - text.len());
        Ok(())
    }

    fn length(&mut self, start: usize, at: usize, what: &'static str) -> Result<(), EncodeError> {
        let length = self.len() - start;
        let Ok(short) = u16::try_from(length) else {
            return Err(EncodeError::TooLong { what, length, max: usize::from(u16::MAX) });
        };
        self[at..at + 2].copy_from_slice(&short.to_be_bytes());
        Ok(())
    }

    fn port16(&mut self, port: PortNo) -> Result<(), EncodeError> {
        self.u16(number_v10(port)?);
        Ok(())
    }

    fn vendor(&mut self, length: u16, subtype: u16) {
        self.u16(0xffff);
        self.u16(length);
        self.u32(nicira::VENDOR);
        self.u16(subtype);
    }
}

/// The part of a message whose length is known, put together before it is appended at once: the hot messages' heads.
pub(super) struct Block<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Block<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    #[inline]
    pub(super) const fn put<const M: usize>(&mut self, value: [u8; M]) {
        let (_, rest) = self.bytes.split_at_mut(self.at);
        let (place, _) = rest.split_at_mut(M);
        place.copy_from_slice(&value);
        self.at += M;
    }

    #[inline]
    pub(super) const fn u8(&mut self, value: u8) {
        self.put([value]);
    }

    #[inline]
    pub(super) const fn u16(&mut self, value: u16) {
        self.put(value.to_be_bytes());
    }

    #[inline]
    pub(super) const fn u32(&mut self, value: u32) {
        self.put(value.to_be_bytes());
    }

    #[inline]
    pub(super) const fn u64(&mut self, value: u64) {
        self.put(value.to_be_bytes());
    }

    /// All of it; what was not written is zero.
    #[inline]
    pub(super) const fn bytes(&self) -> &[u8; N] {
        &self.bytes
    }
}

/// A port in 1.0's 16 bits.
#[inline]
pub(super) fn number_v10(port: PortNo) -> Result<u16, EncodeError> {
    port.to_v10().ok_or_else(|| unsayable(Version::V10, format!("port {}", port.0)))
}

/// What a version has no way to say.
pub(super) fn unsayable(version: Version, what: impl Into<String>) -> EncodeError {
    EncodeError::Unsayable { version, what: what.into() }
}
