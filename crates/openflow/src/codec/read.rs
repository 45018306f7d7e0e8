//! Reading: a cursor that knows what it reads and what is wrong where the bytes end too early.

use std::net::Ipv4Addr;

use packet::wire::MacAddr;

use super::DecodeError;
use crate::error::Fault;

/// Bytes not read yet of one structure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
    fault: Fault,
}

impl<'a> Reader<'a> {
    /// Over all the bytes of a structure. `fault` is what it is when their number is wrong.
    pub(super) fn new(bytes: &'a [u8], what: &'static str, fault: impl Into<Fault>) -> Self {
        Self { bytes, what, fault: fault.into() }
    }

    /// The same bytes, as another structure.
    pub(super) fn named(mut self, what: &'static str, fault: impl Into<Fault>) -> Self {
        self.what = what;
        self.fault = fault.into();
        self
    }

    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The structure has a wrong length.
    pub(super) const fn wrong(&self) -> DecodeError {
        DecodeError { fault: self.fault, what: self.what }
    }

    /// Something else is wrong with the structure.
    pub(super) fn fault(&self, fault: impl Into<Fault>) -> DecodeError {
        DecodeError { fault: fault.into(), what: self.what }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((first, rest)) = self.bytes.split_first_chunk::<N>() else { return Err(self.wrong()) };
        self.bytes = rest;
        Ok(*first)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn mac(&mut self) -> Result<MacAddr, DecodeError> {
        self.array().map(MacAddr)
    }

    pub(super) fn ipv4(&mut self) -> Result<Ipv4Addr, DecodeError> {
        self.array().map(|octets: [u8; 4]| octets.into())
    }

    /// Seconds and nanoseconds.
    pub(super) fn duration(&mut self) -> Result<(u32, u32), DecodeError> {
        Ok((self.u32()?, self.u32()?))
    }

    /// Text before the first NUL of a field of `N` bytes. Where it is not UTF-8, replacement characters take no more room
    /// than the field has, so that what was read can be written.
    pub(super) fn text<const N: usize>(&mut self) -> Result<String, DecodeError> {
        let field: [u8; N] = self.array()?;
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(N).min(N - 1);
        let mut text = String::from_utf8_lossy(&field[..end]).into_owned();
        text.truncate(text.floor_char_boundary(N - 1));
        Ok(text)
    }

    /// Padding, whatever it is (1.3.5, section 7: a receiver must ignore it).
    #[inline]
    pub(super) fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        self.take(count).map(|_| ())
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((first, rest)) = self.bytes.split_at_checked(count) else { return Err(self.wrong()) };
        self.bytes = rest;
        Ok(first)
    }

    /// All that is left.
    #[inline]
    pub(super) const fn rest(&mut self) -> &'a [u8] {
        let (all, none) = self.bytes.split_at(self.bytes.len());
        self.bytes = none;
        all
    }

    /// The next `count` bytes as a structure of their own.
    pub(super) fn sub(
        &mut self,
        count: usize,
        what: &'static str,
        fault: impl Into<Fault>,
    ) -> Result<Self, DecodeError> {
        let fault = fault.into();
        let Some((first, rest)) = self.bytes.split_at_checked(count) else {
            return Err(DecodeError { fault, what });
        };
        self.bytes = rest;
        Ok(Self { bytes: first, what, fault })
    }

    /// A structure that begins with its type and its length, which counts both: type, and what follows. The length is at
    /// least `min` and a multiple of `multiple`.
    pub(super) fn tlv(
        &mut self,
        min: usize,
        multiple: usize,
        what: &'static str,
        fault: impl Into<Fault>,
    ) -> Result<(u16, Self), DecodeError> {
        let mut all = *self;
        all.what = what;
        all.fault = fault.into();
        let kind = all.u16()?;
        let length = usize::from(all.u16()?);
        if length < min.max(4) || !length.is_multiple_of(multiple) {
            return Err(all.wrong());
        }
        let inner = all.sub(length - 4, what, all.fault)?;
        self.bytes = all.bytes;
        Ok((kind, inner))
    }

    /// A structure whose length, which counts itself, is its first two bytes: what follows.
    pub(super) fn entry(
        &mut self,
        min: usize,
        what: &'static str,
        fault: impl Into<Fault>,
    ) -> Result<Self, DecodeError> {
        let mut all = *self;
        all.what = what;
        all.fault = fault.into();
        let length = usize::from(all.u16()?);
        if length < min.max(2) {
            return Err(all.wrong());
        }
        let inner = all.sub(length - 2, what, all.fault)?;
        self.bytes = all.bytes;
        Ok(inner)
    }

    /// Skips padding up to the next multiple of eight from where a structure of `length` bytes began. Padding that is cut
    /// off at the end is taken as it is.
    pub(super) fn pad8(&mut self, length: usize) {
        let count = (length.next_multiple_of(8) - length).min(self.len());
        self.bytes = &self.bytes[count..];
    }

    /// Nothing may be left.
    #[inline]
    pub(super) const fn end(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.wrong()) }
    }

    /// All structures that the rest consists of.
    pub(super) fn all<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut found = Vec::new();
        while !self.is_empty() {
            let left = self.len();
            found.push(one(self)?);
            // A structure of no bytes would never end.
            if self.len() == left {
                return Err(self.wrong());
            }
        }
        Ok(found)
    }
}
