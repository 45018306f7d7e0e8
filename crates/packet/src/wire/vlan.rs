//! 802.1Q tags and 802.1ad (QinQ) stacks of them (IEEE 802.1Q §9).
//!
//! The view starts behind the EtherType that announced the tag:
//!
//! ```text
//! 0                            2          4
//! | PCP 3 | DEI 1 | VLAN ID 12 | EtherType | payload
//! ```

use std::fmt;

use super::{EtherType, Field, WireError, be16, need, put16, span, span_mut};

/// Bytes of one tag.
pub const TAG_LEN: usize = 4;
/// Tags accepted one behind the other; more is an error, so a frame of nothing but tags costs little.
pub const TAGS_MAX: usize = 4;

mod field {
    use super::Field;
    pub(super) const CONTROL: Field = 0..2;
    pub(super) const ETHERTYPE: Field = 2..4;
}

/// A tag with the EtherType that announced it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tag {
    /// The EtherType in front of the tag: 802.1Q or 802.1ad.
    pub kind: EtherType,
    /// VLAN ID, 12 bits; 0 is "priority only".
    pub id: u16,
    /// Priority code point, 3 bits.
    pub priority: u8,
    /// Drop eligible indicator.
    pub drop_eligible: bool,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vlan {}, p {}", self.id, self.priority)?;
        if self.drop_eligible { f.write_str(", DEI") } else { Ok(()) }
    }
}

/// A tag and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than [`TAG_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A buffer shorter than the tag.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        need("vlan tag", buffer.as_ref(), TAG_LEN)?;
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// VLAN ID, 12 bits.
    #[inline]
    pub fn id(&self) -> u16 {
        self.control() & 0x0fff
    }

    /// Priority code point, 3 bits.
    #[inline]
    pub fn priority(&self) -> u8 {
        (self.control() >> 13) as u8
    }

    /// Drop eligible indicator.
    #[inline]
    pub fn drop_eligible(&self) -> bool {
        self.control() & 0x1000 != 0
    }

    /// What follows; another tag is possible.
    #[inline]
    pub fn ethertype(&self) -> EtherType {
        EtherType(be16(&self.buffer.as_ref()[field::ETHERTYPE]))
    }

    /// Everything after the tag.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), TAG_LEN, usize::MAX)
    }

    #[inline]
    fn control(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::CONTROL])
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets VLAN ID, priority and DEI; what exceeds its field is cut off.
    #[inline]
    pub fn set_control(&mut self, id: u16, priority: u8, drop_eligible: bool) {
        let control = u16::from(priority) << 13 | u16::from(drop_eligible) << 12 | id & 0x0fff;
        put16(&mut self.buffer.as_mut()[field::CONTROL], control);
    }

    /// Sets the EtherType of what follows.
    #[inline]
    pub fn set_ethertype(&mut self, ethertype: EtherType) {
        put16(&mut self.buffer.as_mut()[field::ETHERTYPE], ethertype.0);
    }

    /// Everything after the tag.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), TAG_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = Repr::parse(self);
        let tag = Tag {
            kind: EtherType::VLAN,
            id: repr.id,
            priority: repr.priority,
            drop_eligible: repr.drop_eligible,
        };
        write!(f, "{tag}, ethertype {}", repr.ethertype)
    }
}

/// What the tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// VLAN ID, 12 bits.
    pub id: u16,
    /// Priority code point, 3 bits.
    pub priority: u8,
    /// Drop eligible indicator.
    pub drop_eligible: bool,
    /// What follows.
    pub ethertype: EtherType,
}

impl Repr {
    /// Reads a tag.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            id: view.id(),
            priority: view.priority(),
            drop_eligible: view.drop_eligible(),
            ethertype: view.ethertype(),
        }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        TAG_LEN
    }

    /// Writes the tag.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        view.set_control(self.id, self.priority, self.drop_eligible);
        view.set_ethertype(self.ethertype);
    }
}

/// Walks the stack of tags behind an EtherType. Yields outermost first; afterwards [`Tags::ethertype`] and
/// [`Tags::offset`] say what the stack carries and where. Ends at the first error and after [`TAGS_MAX`].
#[derive(Debug, Clone)]
pub struct Tags<'a> {
    data: &'a [u8],
    ethertype: EtherType,
    offset: usize,
    seen: usize,
    failed: bool,
}

impl<'a> Tags<'a> {
    /// `data` is what follows `ethertype` (an Ethernet payload).
    #[inline]
    #[must_use]
    pub const fn new(ethertype: EtherType, data: &'a [u8]) -> Self {
        Self { data, ethertype, offset: 0, seen: 0, failed: false }
    }

    /// The EtherType behind the tags walked so far.
    #[inline]
    #[must_use]
    pub const fn ethertype(&self) -> EtherType {
        self.ethertype
    }

    /// Bytes of the tags walked so far.
    #[inline]
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn advance(&mut self) -> Result<Tag, WireError> {
        if self.seen == TAGS_MAX {
            return Err(WireError::TooMany { what: "vlan tags", limit: TAGS_MAX });
        }
        let view = View::new_checked(span(self.data, self.offset, usize::MAX))?;
        let tag = Tag {
            kind: self.ethertype,
            id: view.id(),
            priority: view.priority(),
            drop_eligible: view.drop_eligible(),
        };
        self.ethertype = view.ethertype();
        self.offset += TAG_LEN;
        self.seen += 1;
        Ok(tag)
    }
}

impl Iterator for Tags<'_> {
    type Item = Result<Tag, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || !self.ethertype.is_vlan() {
            return None;
        }
        let tag = self.advance();
        self.failed = tag.is_err();
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qinq_stack_is_walked_outermost_first() {
        let mut bytes = [0; 10];
        let outer = Repr { id: 100, priority: 5, drop_eligible: true, ethertype: EtherType::VLAN };
        let inner = Repr { id: 4095, priority: 0, drop_eligible: false, ethertype: EtherType::IPV4 };
        outer.emit(&mut View::new_unchecked(&mut bytes[..]));
        inner.emit(&mut View::new_unchecked(&mut bytes[4..]));
        let mut tags = Tags::new(EtherType::QINQ, &bytes);
        let first = tags.next().unwrap().unwrap();
        assert_eq!(
            (first.kind, first.id, first.to_string().as_str()),
            (EtherType::QINQ, 100, "vlan 100, p 5, DEI")
        );
        assert_eq!(tags.next().unwrap().unwrap().id, 4095);
        assert_eq!(tags.next(), None);
        assert_eq!((tags.ethertype(), tags.offset()), (EtherType::IPV4, 8));
    }

    #[test]
    fn tags_without_end_are_refused() {
        let bytes = [0x81, 0x00].repeat(100);
        let tags: Vec<_> = Tags::new(EtherType::VLAN, &bytes).collect();
        assert_eq!(tags.len(), TAGS_MAX + 1);
        assert_eq!(tags[TAGS_MAX], Err(WireError::TooMany { what: "vlan tags", limit: TAGS_MAX }));
    }
}
