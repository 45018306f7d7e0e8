//! [`SetMetadata`].

use packet::{Batch, Packet};

use crate::engine::{ATTRIBUTE_SIZE_MAX, ATTRIBUTES_MAX, Attribute, Context, Gate, Module, Place};

/// Gives metadata attributes values: constants, or bytes of the packet.
///
/// *Input gates*: one. *Output gates*: one. *Attributes*: writes those that it is told.
///
/// Bytes of the packet may be shifted by whole bytes and then masked, as one number with its highest byte first. What
/// lies behind the packet's end reads as 0. An attribute that nobody reads later has no place and costs nothing.
///
/// ```
/// # use softnic::modules::{AttributeValue, SetMetadata};
/// let set = SetMetadata::new(vec![
///     AttributeValue::constant("tunnel", &[0, 0, 0, 7]),
///     AttributeValue::from_packet("ether_type", 2, 12),
/// ])?;
/// # Ok::<(), softnic::modules::SetMetadataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SetMetadata {
    values: Vec<AttributeValue>,
    places: [Place; ATTRIBUTES_MAX],
}

/// An attribute and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeValue {
    /// The attribute's name.
    pub name: String,
    /// Its size in bytes.
    pub size: usize,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where the value of an attribute comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is always the same; as many bytes as the attribute has.
    Constant(Vec<u8>),
    /// It is read from each packet.
    Packet {
        /// Bytes from the packet's first one.
        offset: usize,
        /// How many bytes the value is shifted to the right, if negative to the left; less than it has.
        shift_right: i32,
        /// Which bits are kept after that: as many bytes as the attribute has, or none for all bits.
        mask: Vec<u8>,
    },
}

/// An attribute that [`SetMetadata`] cannot set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetMetadataError {
    /// There is nothing to set.
    #[error("'attrs' must be specified")]
    Nothing,
    /// More than a module may have.
    #[error("at most {ATTRIBUTES_MAX} attributes can be set, not {0}")]
    TooMany(usize),
    /// It has no name.
    #[error("'name' field is missing")]
    NoName,
    /// It has no bytes, or too many.
    #[error("'size' must be 1-{ATTRIBUTE_SIZE_MAX}, not {0}")]
    Size(usize),
    /// The constant has another length.
    #[error("value of {length} bytes for attribute `{name}`, which has {size}")]
    Value {
        /// The attribute.
        name: String,
        /// Its size.
        size: usize,
        /// The value's length.
        length: usize,
    },
    /// The mask has another length.
    #[error("'mask' field has not a correct {size}-byte value: {length} bytes")]
    Mask {
        /// The attribute's size.
        size: usize,
        /// The mask's length.
        length: usize,
    },
    /// No packet reaches that far.
    #[error("invalid packet offset: {0}")]
    Offset(usize),
    /// Nothing would be left.
    #[error("'rshift_bits' must be in (-{most}, {most}), not {bits}", most = 8 * size)]
    Shift {
        /// The attribute's size.
        size: usize,
        /// The bits to shift by.
        bits: i64,
    },
}

impl AttributeValue {
    /// A constant.
    pub fn constant(name: impl Into<String>, value: &[u8]) -> Self {
        Self { name: name.into(), size: value.len(), origin: Origin::Constant(value.to_vec()) }
    }

    /// Bytes of the packet, as they are.
    pub fn from_packet(name: impl Into<String>, size: usize, offset: usize) -> Self {
        Self { name: name.into(), size, origin: Origin::Packet { offset, shift_right: 0, mask: Vec::new() } }
    }

    fn check(&self) -> Result<(), SetMetadataError> {
        let size = self.size;
        if self.name.is_empty() {
            return Err(SetMetadataError::NoName);
        }
        if !(1..=usize::from(ATTRIBUTE_SIZE_MAX)).contains(&size) {
            return Err(SetMetadataError::Size(size));
        }
        match &self.origin {
            Origin::Constant(value) if value.len() != size => {
                Err(SetMetadataError::Value { name: self.name.clone(), size, length: value.len() })
            }
            Origin::Constant(_) => Ok(()),
            Origin::Packet { offset, .. } if *offset >= SetMetadata::OFFSET_MAX - size => {
                Err(SetMetadataError::Offset(*offset))
            }
            Origin::Packet { shift_right, .. } if shift_right.unsigned_abs() as usize >= size => {
                Err(SetMetadataError::Shift { size, bits: 8 * i64::from(*shift_right) })
            }
            Origin::Packet { mask, .. } if !mask.is_empty() && mask.len() != size => {
                Err(SetMetadataError::Mask { size, length: mask.len() })
            }
            Origin::Packet { .. } => Ok(()),
        }
    }

    #[inline]
    fn set(&self, packet: &mut Packet, place: Place) {
        match &self.origin {
            Origin::Constant(value) => {
                if let Some(to) = place.get_mut(packet, self.size) {
                    to.copy_from_slice(value);
                }
            }
            Origin::Packet { offset, shift_right, mask } => {
                let value = extract(packet.data(), *offset, self.size, *shift_right, mask);
                if let Some(to) = place.get_mut(packet, self.size) {
                    to.copy_from_slice(&value[..self.size]);
                }
            }
        }
    }
}

#[inline]
fn extract(
    data: &[u8],
    offset: usize,
    size: usize,
    shift_right: i32,
    mask: &[u8],
) -> [u8; ATTRIBUTE_SIZE_MAX as usize] {
    let mut value = [0; ATTRIBUTE_SIZE_MAX as usize];
    let from = data.get(offset..).unwrap_or_default();
    let from = &from[..from.len().min(size)];
    let shift = shift_right.unsigned_abs() as usize;
    if shift_right >= 0 {
        let kept = from.len().min(size - shift);
        value[shift..shift + kept].copy_from_slice(&from[..kept]);
    } else if let Some(kept) = from.get(shift..) {
        value[..kept.len()].copy_from_slice(kept);
    }
    value.iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask);
    value
}

impl SetMetadata {
    /// Bytes from the packet's first one, before which what is read must end.
    pub const OFFSET_MAX: usize = 2048;

    /// Sets these attributes.
    ///
    /// # Errors
    /// See [`SetMetadataError`].
    pub fn new(values: Vec<AttributeValue>) -> Result<Self, SetMetadataError> {
        if values.is_empty() {
            return Err(SetMetadataError::Nothing);
        }
        if values.len() > ATTRIBUTES_MAX {
            return Err(SetMetadataError::TooMany(values.len()));
        }
        values.iter().try_for_each(AttributeValue::check)?;
        Ok(Self { values, places: [Place::default(); ATTRIBUTES_MAX] })
    }

    /// What it sets.
    pub fn values(&self) -> &[AttributeValue] {
        &self.values
    }
}

impl Module for SetMetadata {
    fn class(&self) -> &'static str {
        "SetMetadata"
    }

    fn attributes(&self) -> Vec<Attribute> {
        // `check` has seen to the size.
        self.values.iter().map(|value| Attribute::write(&value.name, value.size as u8)).collect()
    }

    fn place(&mut self, places: &[Place]) {
        self.places.iter_mut().zip(places).for_each(|(to, place)| *to = *place);
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        for (value, place) in self.values.iter().zip(self.places) {
            if let Place::At(_) = place {
                batch.iter_mut().for_each(|packet| value.set(packet, place));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frames::packet;
    use super::*;
    use crate::engine::Rig;

    /// The twin: the value as one number.
    fn as_number(data: &[u8], offset: usize, size: usize, shift_right: i32, mask: &[u8]) -> u128 {
        let byte = |at: usize| u128::from(data.get(at).copied().unwrap_or(0));
        let value = (offset..offset + size).fold(0, |value, at| value << 8 | byte(at));
        let shifted = if shift_right >= 0 { value >> (8 * shift_right) } else { value << (8 * -shift_right) };
        let all = if size == 16 { u128::MAX } else { (1 << (8 * size)) - 1 };
        let mask = if mask.is_empty() {
            all
        } else {
            mask.iter().fold(0, |mask, byte| mask << 8 | u128::from(*byte))
        };
        shifted & all & mask
    }

    proptest! {
        #[test]
        fn bytes_are_read_as_one_number(
            data in prop::collection::vec(any::<u8>(), 0..40), offset in 0..40usize,
            size in 1..=16usize, shift in -15..=15i32, mask in prop::option::of(any::<[u8; 16]>()),
        ) {
            let shift = shift % size as i32;
            let mask = mask.map_or(Vec::new(), |mask| mask[..size].to_vec());
            let origin = Origin::Packet { offset, shift_right: shift, mask: mask.clone() };
            let value = AttributeValue { name: "a".into(), size, origin };
            let mut rig = Rig::new(SetMetadata::new(vec![value]).unwrap());
            let left = rig.process(0, [packet(&data)]);
            let got = rig.place("a").get(&left[0].1, size).unwrap();
            let number = got.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
            prop_assert_eq!(number, as_number(&data, offset, size, shift, &mask));
        }
    }

    #[test]
    fn constants_are_set_and_what_has_no_place_is_not() {
        let values = vec![
            AttributeValue::constant("a", &[1, 2, 3]),
            AttributeValue::from_packet("b", 2, 1),
            AttributeValue::constant("c", &[9; 32]),
        ];
        let mut rig = Rig::new(SetMetadata::new(values).unwrap());
        let left = rig.process(0, [packet(b"abc")]);
        assert_eq!(rig.place("a").read(&left[0].1), [1, 2, 3]);
        assert_eq!(rig.place("b").read(&left[0].1), *b"bc");
        assert_eq!(rig.place("c").read(&left[0].1), [9; 32]);
        rig.module.place(&[Place::NoWrite, Place::At(0), Place::NoSpace]);
        let left = rig.process(0, [packet(b"xyz")]);
        assert_eq!(left[0].1.metadata()[..2], *b"yz");
    }

    #[test]
    fn attributes_that_cannot_be_are_refused() {
        let wrong = |value| SetMetadata::new(vec![value]).unwrap_err();
        let from = |offset, shift_right, mask: &[u8]| AttributeValue {
            name: "a".into(),
            size: 4,
            origin: Origin::Packet { offset, shift_right, mask: mask.to_vec() },
        };
        assert_eq!(SetMetadata::new(Vec::new()).unwrap_err(), SetMetadataError::Nothing);
        let many = vec![AttributeValue::constant("a", &[0]); 17];
        assert_eq!(SetMetadata::new(many).unwrap_err(), SetMetadataError::TooMany(17));
        assert_eq!(wrong(AttributeValue::constant("", &[0])), SetMetadataError::NoName);
        assert_eq!(wrong(AttributeValue::constant("a", &[])), SetMetadataError::Size(0));
        assert_eq!(wrong(AttributeValue::constant("a", &[0; 33])), SetMetadataError::Size(33));
        assert_eq!(wrong(from(2044, 0, &[])), SetMetadataError::Offset(2044));
        assert_eq!(wrong(from(0, -4, &[])), SetMetadataError::Shift { size: 4, bits: -32 });
        assert_eq!(wrong(from(0, i32::MIN, &[])), SetMetadataError::Shift { size: 4, bits: -17_179_869_184 });
        assert_eq!(wrong(from(0, 0, &[1])), SetMetadataError::Mask { size: 4, length: 1 });
        let short = AttributeValue { size: 4, ..AttributeValue::constant("a", &[1]) };
        assert!(matches!(wrong(short), SetMetadataError::Value { size: 4, length: 1, .. }));
    }
}
