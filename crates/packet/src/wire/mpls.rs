//! MPLS label stacks (RFC 3032, RFC 5462).
//!
//! ```text
//! 0                                          4
//! | label 20 | traffic class 3 | bottom 1 | TTL 8 | next entry or payload
//! ```

use std::fmt;

use super::{EtherType, Field, WireError, be32, need, put32, span, span_mut};

/// Bytes of one stack entry.
pub const ENTRY_LEN: usize = 4;
/// Entries accepted in one stack.
pub const LABELS_MAX: usize = 16;

mod field {
    use super::Field;
    pub(super) const ENTRY: Field = 0..4;
}

/// One stack entry and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than [`ENTRY_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A buffer shorter than one entry.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("mpls entry", buffer.as_ref(), ENTRY_LEN)?;
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    #[inline]
    fn entry(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::ENTRY])
    }

    /// Label, 20 bits.
    #[inline]
    pub fn label(&self) -> u32 {
        self.entry() >> 12
    }

    /// Traffic class, 3 bits.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (self.entry() >> 9) as u8 & 7
    }

    /// Whether this is the last entry of the stack.
    #[inline]
    pub fn bottom(&self) -> bool {
        self.entry() & 0x100 != 0
    }

    /// Time to live.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.entry() as u8
    }

    /// Everything after the entry.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), ENTRY_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets the time to live.
    #[inline]
    pub fn set_ttl(&mut self, ttl: u8) {
        self.buffer.as_mut()[3] = ttl;
    }

    /// Everything after the entry.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), ENTRY_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stack = if self.bottom() { ", [S]" } else { "" };
        write!(f, "(label {}, tc {}{stack}, ttl {})", self.label(), self.traffic_class(), self.ttl())
    }
}

/// What the entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Label, 20 bits.
    pub label: u32,
    /// Traffic class, 3 bits.
    pub traffic_class: u8,
    /// Last entry of the stack.
    pub bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

impl Repr {
    /// Reads an entry.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            label: view.label(),
            traffic_class: view.traffic_class(),
            bottom: view.bottom(),
            ttl: view.ttl(),
        }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        ENTRY_LEN
    }

    /// Writes the entry; what exceeds its field is cut off.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let entry = self.label << 12
            | u32::from(self.traffic_class & 7) << 9
            | u32::from(self.bottom) << 8
            | u32::from(self.ttl);
        put32(&mut view.buffer.as_mut()[field::ENTRY], entry);
    }
}

/// Walks a label stack, top first, to the bottom entry; afterwards [`Labels::offset`] is where the payload starts.
/// Ends at the first error and after [`LABELS_MAX`].
#[derive(Debug, Clone)]
pub struct Labels<'a> {
    data: &'a [u8],
    offset: usize,
    done: bool,
}

impl<'a> Labels<'a> {
    /// `data` starts at the top entry.
    #[inline]
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data, offset: 0, done: false }
    }

    /// Bytes of the entries walked so far.
    #[inline]
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The payload's type as routers guess it, from its first four bits: MPLS does not carry one (RFC 4928 §2).
    #[must_use]
    pub fn guess(&self) -> Option<EtherType> {
        match self.data.get(self.offset)? >> 4 {
            4 => Some(EtherType::IPV4),
            6 => Some(EtherType::IPV6),
            _ => None,
        }
    }

    fn advance(&mut self) -> Result<Repr, WireError> {
        if self.offset == LABELS_MAX * ENTRY_LEN {
            return Err(WireError::TooMany { what: "mpls labels", limit: LABELS_MAX });
        }
        let entry = Repr::parse(&View::new_checked(span(self.data, self.offset, usize::MAX))?);
        self.offset += ENTRY_LEN;
        Ok(entry)
    }
}

impl Iterator for Labels<'_> {
    type Item = Result<Repr, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let entry = self.advance();
        self.done = entry.is_err() || entry.is_ok_and(|entry| entry.bottom);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_ends_at_its_bottom() {
        let entries = [
            Repr { label: 0xf_ffff, traffic_class: 7, bottom: false, ttl: 255 },
            Repr { label: 16, traffic_class: 0, bottom: true, ttl: 63 },
        ];
        let mut bytes = [0x45; 9];
        entries[0].emit(&mut View::new_unchecked(&mut bytes[..]));
        entries[1].emit(&mut View::new_unchecked(&mut bytes[4..]));
        let mut labels = Labels::new(&bytes);
        assert_eq!(labels.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), entries);
        assert_eq!((labels.offset(), labels.guess()), (8, Some(EtherType::IPV4)));
        assert_eq!(View::new_checked(&bytes[4..]).unwrap().to_string(), "(label 16, tc 0, [S], ttl 63)");
    }

    #[test]
    fn stack_without_bottom_is_refused() {
        let bytes = vec![0; 4 * 100];
        assert_eq!(
            Labels::new(&bytes).last(),
            Some(Err(WireError::TooMany { what: "mpls labels", limit: LABELS_MAX }))
        );
        assert!(matches!(Labels::new(&bytes[..6]).last(), Some(Err(WireError::Truncated { .. }))));
    }
}
