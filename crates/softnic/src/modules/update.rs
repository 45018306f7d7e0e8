//! [`Update`].

use packet::Batch;

use super::front;
use crate::engine::{Context, Gate, Module};

/// Writes fixed values into every packet.
///
/// *Input gates*: one. *Output gates*: one.
///
/// A field is an offset from the packet's first byte, a size of 1 to 8 bytes, and a value, written with its highest byte
/// first. There are up to [`Update::FIELDS_MAX`] fields, written in order. A field that a packet ends before or within is
/// left out. Checksums stay as they are: [`IpChecksum`](super::IpChecksum) and [`L4Checksum`](super::L4Checksum) come
/// behind where they matter.
///
/// ```
/// # use softnic::modules::{Update, UpdateField};
/// // The last byte of the destination of IPv4 in Ethernet.
/// let update = Update::new(&[UpdateField { offset: 33, size: 1, value: 7 }])?;
/// # Ok::<(), softnic::modules::UpdateError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Update {
    fields: Vec<Write>,
}

/// What [`Update`] writes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateField {
    /// Bytes from the packet's first one.
    pub offset: usize,
    /// How many bytes are written.
    pub size: usize,
    /// What is written.
    pub value: u64,
}

/// A field that [`Update`] cannot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// More fields than there may be.
    #[error("max {max} variables can be specified, not {0}", max = Update::FIELDS_MAX)]
    TooMany(usize),
    /// A size that is not 1 to 8.
    #[error("'size' must be 1-8, not {0}")]
    Size(usize),
    /// An offset that no packet reaches.
    #[error("too large 'offset': {0}")]
    Offset(usize),
    /// A value that has more bytes than its field.
    #[error("'value' field has not a correct {size}-byte value: {value:#x}")]
    Value {
        /// The field's size.
        size: usize,
        /// The value.
        value: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Write {
    offset: usize,
    size: usize,
    /// The first `size` bytes count.
    bytes: [u8; 8],
}

impl Update {
    /// The most fields.
    pub const FIELDS_MAX: usize = 16;
    /// Fields end here at the latest.
    pub const OFFSET_MAX: usize = 2048;

    /// Writes these fields.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn new(fields: &[UpdateField]) -> Result<Self, UpdateError> {
        let mut module = Self { fields: Vec::with_capacity(Self::FIELDS_MAX) };
        module.add(fields)?;
        Ok(module)
    }

    /// Writes these fields as well, all of them or, after an error, none.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn add(&mut self, fields: &[UpdateField]) -> Result<(), UpdateError> {
        let count = self.fields.len() + fields.len();
        if count > Self::FIELDS_MAX {
            return Err(UpdateError::TooMany(count));
        }
        let writes = fields.iter().map(Write::new).collect::<Result<Vec<_>, _>>()?;
        self.fields.extend(writes);
        Ok(())
    }

    /// Writes nothing any more.
    pub fn clear(&mut self) {
        self.fields.clear();
    }
}

impl Write {
    fn new(field: &UpdateField) -> Result<Self, UpdateError> {
        let &UpdateField { offset, size, value } = field;
        if !(1..=8).contains(&size) {
            return Err(UpdateError::Size(size));
        }
        if offset > Update::OFFSET_MAX - size {
            return Err(UpdateError::Offset(offset));
        }
        let unused = (8 - size) as u32 * 8;
        if value.leading_zeros() < unused {
            return Err(UpdateError::Value { size, value });
        }
        Ok(Self { offset, size, bytes: (value << unused).to_be_bytes() })
    }
}

impl Module for Update {
    fn class(&self) -> &'static str {
        "Update"
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        if self.fields.is_empty() {
            return;
        }
        for packet in batch {
            front::spoil(packet);
            let data = packet.data_mut();
            for Write { offset, size, bytes } in &self.fields {
                if let Some(field) = data.get_mut(*offset..*offset + *size) {
                    field.copy_from_slice(&bytes[..*size]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::packet;
    use super::*;
    use crate::engine::rig::{Own, Rig};

    fn field(offset: usize, size: usize, value: u64) -> UpdateField {
        UpdateField { offset, size, value }
    }

    fn through(module: &mut Own<Update>, bytes: &[u8]) -> Vec<u8> {
        let left = module.process(0, [packet(bytes)]);
        assert_eq!(left.len(), 1);
        left[0].1.data().to_vec()
    }

    #[test]
    fn fields_are_written_in_order_with_the_highest_byte_first() {
        let fields = [field(1, 3, 0x01_0203), field(2, 1, 9), field(4, 8, u64::MAX)];
        let mut rig = Rig::new(Update::new(&fields).unwrap());
        let mut expected = vec![0, 1, 9, 3];
        expected.extend([0xff; 8]);
        expected.push(0);
        assert_eq!(through(&mut rig, &[0; 13]), expected);
        // The last field does not fit, so it is left out.
        assert_eq!(through(&mut rig, &[0; 11]), [0, 1, 9, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert!(through(&mut rig, &[]).is_empty());
        rig.module.clear();
        assert_eq!(through(&mut rig, &[5; 13]), [5; 13]);
    }

    #[test]
    fn fields_that_cannot_be_are_refused_and_change_nothing() {
        let wrong = |field| Update::new(&[field]).unwrap_err();
        assert_eq!(wrong(field(0, 0, 0)), UpdateError::Size(0));
        assert_eq!(wrong(field(0, 9, 0)), UpdateError::Size(9));
        assert_eq!(wrong(field(2048, 1, 0)), UpdateError::Offset(2048));
        assert_eq!(wrong(field(usize::MAX, 8, 0)), UpdateError::Offset(usize::MAX));
        assert_eq!(wrong(field(0, 1, 256)), UpdateError::Value { size: 1, value: 256 });
        let mut rig = Rig::new(Update::new(&[field(0, 1, 1); 15]).unwrap());
        assert_eq!(rig.module.add(&[field(1, 1, 1); 2]), Err(UpdateError::TooMany(17)));
        assert!(rig.module.add(&[field(1, 1, 1), field(0, 0, 0)]).is_err());
        assert_eq!(through(&mut rig, &[0, 0]), [1, 0]);
    }
}
