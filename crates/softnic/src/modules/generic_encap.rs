//! [`GenericEncap`].

use packet::{Batch, Packet};

use super::front;
use super::part::{mark, part};
use crate::engine::{Attribute, Context, Gate, Module, Place};

/// Puts a header in front of each packet, made of constants and metadata attributes.
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: reads those that it is told.
///
/// There are up to [`GenericEncap::FIELDS_MAX`] fields of 1 to 16 bytes, one behind the other. A packet whose buffer has no
/// headroom left is dropped (BESS lets it pass without the header).
///
/// ```
/// # use softnic::modules::{EncapField, GenericEncap};
/// // de ad be ef, then the two bytes of attribute `foo`, then 12 34.
/// let encap = GenericEncap::new(vec![
///     EncapField::Constant(vec![0xde, 0xad, 0xbe, 0xef]),
///     EncapField::Attribute { name: "foo".into(), size: 2 },
///     EncapField::Constant(vec![0x12, 0x34]),
/// ])?;
/// # Ok::<(), softnic::modules::GenericEncapError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GenericEncap {
    fields: Vec<EncapField>,
    /// Of the fields that are attributes, in their order.
    places: Vec<Place>,
    length: usize,
}

/// A part of [`GenericEncap`]'s header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncapField {
    /// These bytes.
    Constant(Vec<u8>),
    /// What the attribute says.
    Attribute {
        /// Its name.
        name: String,
        /// Its size in bytes.
        size: usize,
    },
}

/// A header that [`GenericEncap`] does not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenericEncapError {
    /// More fields than there may be.
    #[error("max {max} fields can be specified, not {0}", max = GenericEncap::FIELDS_MAX)]
    TooMany(usize),
    /// A field without bytes, or with too many.
    #[error("idx {index}: 'size' must be 1-{max}, not {size}", max = GenericEncap::FIELD_MAX)]
    Size {
        /// The field.
        index: usize,
        /// Its size.
        size: usize,
    },
}

impl EncapField {
    fn size(&self) -> usize {
        match self {
            Self::Constant(bytes) => bytes.len(),
            Self::Attribute { size, .. } => *size,
        }
    }
}

impl GenericEncap {
    /// The most fields.
    pub const FIELDS_MAX: usize = 8;
    /// The longest field: an IPv6 address (BESS: 8).
    pub const FIELD_MAX: usize = 16;

    /// A header of these fields.
    ///
    /// # Errors
    /// See [`GenericEncapError`].
    pub fn new(fields: Vec<EncapField>) -> Result<Self, GenericEncapError> {
        if fields.len() > Self::FIELDS_MAX {
            return Err(GenericEncapError::TooMany(fields.len()));
        }
        for (index, field) in fields.iter().enumerate() {
            let size = field.size();
            if !(1..=Self::FIELD_MAX).contains(&size) {
                return Err(GenericEncapError::Size { index, size });
            }
        }
        let length = fields.iter().map(EncapField::size).sum();
        let attributes = fields.iter().filter(|field| matches!(field, EncapField::Attribute { .. })).count();
        Ok(Self { fields, places: vec![Place::default(); attributes], length })
    }

    fn wrap(&self, packet: &mut Packet) -> bool {
        let mut header = [0; Self::FIELDS_MAX * Self::FIELD_MAX];
        let mut places = self.places.iter();
        let mut at = 0;
        for field in &self.fields {
            let size = field.size();
            let room = &mut header[at..at + size];
            match field {
                EncapField::Constant(bytes) => room.copy_from_slice(bytes),
                EncapField::Attribute { .. } => {
                    if let Some(value) = places.next().and_then(|place| place.get(packet, size)) {
                        room.copy_from_slice(value);
                    }
                }
            }
            at += size;
        }
        let Some(room) = front::push(packet, self.length) else { return false };
        room.copy_from_slice(&header[..self.length]);
        true
    }
}

impl Module for GenericEncap {
    fn class(&self) -> &'static str {
        "GenericEncap"
    }

    fn attributes(&self) -> Vec<Attribute> {
        let attribute = |field: &EncapField| match field {
            EncapField::Constant(_) => None,
            EncapField::Attribute { name, size } => Some(Attribute::read(name, *size as u8)),
        };
        self.fields.iter().filter_map(attribute).collect()
    }

    fn place(&mut self, places: &[Place]) {
        self.places.iter_mut().zip(places).for_each(|(to, place)| *to = *place);
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let wrapped = mark(batch, |packet| self.wrap(packet));
        part(ctx, batch, wrapped, Some(0), None);
    }
}

#[cfg(test)]
mod tests {
    use packet::HEADROOM;

    use super::super::frames::packet;
    use super::*;
    use crate::engine::Rig;

    fn attribute(name: &str, size: usize) -> EncapField {
        EncapField::Attribute { name: name.into(), size }
    }

    #[test]
    fn constants_and_attributes_make_a_header() {
        let fields = vec![
            EncapField::Constant(vec![0xde, 0xad, 0xbe, 0xef]),
            attribute("foo", 2),
            EncapField::Constant(vec![0x12, 0x34]),
            attribute("bar", 3),
        ];
        let mut rig = Rig::new(GenericEncap::new(fields).unwrap());
        let mut packet = packet(b"payload");
        rig.place("foo").write(&mut packet, *b"fo");
        rig.place("bar").write(&mut packet, *b"bar");
        let left = rig.process(0, [packet]);
        assert_eq!(left[0].1.data(), b"\xde\xad\xbe\xeffo\x12\x34barpayload");
    }

    #[test]
    fn an_attribute_that_lies_nowhere_is_zero() {
        let fields = vec![attribute("foo", 2), attribute("bar", 1)];
        let mut rig = Rig::new(GenericEncap::new(fields).unwrap());
        rig.module.place(&[Place::NoRead, Place::At(0)]);
        let mut one = packet(b"x");
        one.metadata_mut()[0] = 9;
        let mut full = packet(b"x");
        full.prepend(HEADROOM - 2).unwrap().fill(0);
        let left = rig.process(0, [one, full]);
        assert_eq!((left.len(), left[0].1.data(), rig.dropped), (1, &[0, 0, 9, b'x'][..], 1));
    }

    #[test]
    fn headers_that_cannot_be_are_refused() {
        let wrong = |fields| GenericEncap::new(fields).unwrap_err();
        assert_eq!(wrong(vec![attribute("a", 1); 9]), GenericEncapError::TooMany(9));
        let second = vec![attribute("a", 1), EncapField::Constant(vec![0; 17])];
        assert_eq!(wrong(second), GenericEncapError::Size { index: 1, size: 17 });
        assert_eq!(wrong(vec![attribute("a", 0)]), GenericEncapError::Size { index: 0, size: 0 });
        let mut empty = Rig::new(GenericEncap::new(Vec::new()).unwrap());
        assert_eq!(empty.process(0, [packet(b"x")])[0].1.data(), b"x");
    }
}
