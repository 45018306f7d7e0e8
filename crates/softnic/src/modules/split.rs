//! [`Split`].

use packet::Batch;

use super::field::{Field, FieldError, Fields};
use super::gates::{DROP, send_by};
use crate::engine::{Access, Attribute, Context, GATES_MAX, Gate, Module, Place};

/// Sends packets to the gates whose numbers they carry.
///
/// *Input gates*: one. *Output gates*: up to 8191.
///
/// The number is a field of 1 to 8 bytes of the frame or of a metadata attribute, the first byte the highest. Packets with
/// a number above 8191, and those that end before it, are dropped. (BESS takes the number's low 16 bits.)
///
/// ```
/// use softnic::modules::{Field, Split};
/// // By the last byte of the destination MAC address.
/// let module = Split::new(Field::at(5, 1))?;
/// # Ok::<(), softnic::modules::FieldError>(())
/// ```
pub struct Split {
    field: Fields,
    /// Bits of a word above the number.
    above: u32,
}

impl Split {
    /// The longest number.
    pub const BYTES_MAX: usize = 8;

    /// Splits by a field; bits outside of its mask are 0.
    ///
    /// # Errors
    /// A field that cannot be, or is longer than a number.
    pub fn new(field: Field) -> Result<Self, FieldError> {
        if field.bytes > Self::BYTES_MAX {
            return Err(FieldError::Size { index: 0, bytes: field.bytes });
        }
        let field = Fields::new(vec![field])?;
        let above = field.iter().map(|field| 64 - field.bytes as u32 * 8).sum();
        Ok(Self { field, above })
    }
}

impl Module for Split {
    fn class(&self) -> &'static str {
        "Split"
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn attributes(&self) -> Vec<Attribute> {
        self.field.attributes(Access::Read).collect()
    }

    fn place(&mut self, places: &[Place]) {
        self.field.place(places);
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        send_by(ctx, batch, |packet| {
            // The key's word has the field's first byte lowest.
            let number = self.field.gather(packet).map(|key| key[0].swap_bytes() >> self.above);
            number.map_or(DROP, |number| Gate::try_from(number).unwrap_or(DROP).min(DROP))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::{Rig, packet};

    #[test]
    fn packets_carry_their_gates_first_byte_highest() {
        let frame = [0, 0, 0, 0, 0, 0, 0x1f, 0xff, 9];
        let gate = |offset, bytes| Rig::on(&mut Split::new(Field::at(offset, bytes)).unwrap()).gate(&frame);
        assert_eq!([gate(8, 1), gate(6, 2), gate(0, 8), gate(6, 1)], [9, 0x1fff, 0x1fff, 0x1f].map(Some));
        assert_eq!([gate(6, 3), gate(1, 8), gate(8, 2)], [None; 3], "too high, too high, too short");
        assert_eq!(Rig::on(&mut Split::new(Field::at(0, 2)).unwrap()).gate(&[0x20, 0]), None);
        assert!(Split::new(Field::at(0, 9)).is_err() && Split::new(Field::at(1025, 1)).is_err());
    }

    #[test]
    fn attributes_carry_them_too() {
        let mut module = Split::new(Field::attribute("gate", 2)).unwrap();
        assert_eq!(module.attributes(), [Attribute::read("gate", 2)]);
        let mut marked = packet(&[]);
        Place::At(40).write(&mut marked, [1, 2]);
        module.place(&[Place::At(40)]);
        assert_eq!(Rig::on(&mut module).pass(0, [marked])[0].0, 0x102);
        module.place(&[Place::NoRead]);
        assert_eq!(Rig::on(&mut module).gate(&[]), Some(0));
    }
}
