//! [`RandomUpdate`].

use netbricks::functions::Random;
use packet::Batch;

use super::front;
use crate::engine::{Context, Gate, Module};

/// Writes random values into every packet.
///
/// *Input gates*: one. *Output gates*: one.
///
/// A field is an offset from the packet's first byte, a size of 1, 2 or 4 bytes, and the least and the greatest value,
/// each as likely, written with its highest byte first. Bounds above what the field holds are cut to it. There are up to
/// [`RandomUpdate::FIELDS_MAX`] fields. As with [`Update`](super::Update), a field that a packet ends before is left
/// out, and checksums stay as they are.
///
/// ```
/// # use softnic::modules::{RandomUpdate, RandomField};
/// // Source ports of UDP in IPv4 without options.
/// let ports = RandomUpdate::new(&[RandomField { offset: 34, size: 2, min: 1024, max: 65_535 }], 1)?;
/// # Ok::<(), softnic::modules::RandomUpdateError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RandomUpdate {
    fields: Vec<Draw>,
    random: Random,
}

/// What [`RandomUpdate`] writes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomField {
    /// Bytes from the packet's first one.
    pub offset: usize,
    /// How many bytes are written: 1, 2 or 4.
    pub size: usize,
    /// The least value.
    pub min: u32,
    /// The greatest value.
    pub max: u32,
}

/// A field that [`RandomUpdate`] cannot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RandomUpdateError {
    /// More fields than there may be.
    #[error("max {max} variables can be specified, not {0}", max = RandomUpdate::FIELDS_MAX)]
    TooMany(usize),
    /// Another size.
    #[error("'size' must be 1, 2, or 4, not {0}")]
    Size(usize),
    /// An offset that no packet reaches.
    #[error("too large 'offset': {0}")]
    Offset(usize),
    /// No value is in between.
    #[error("'min' should not be greater than 'max': {min} > {max}")]
    Range {
        /// The least value.
        min: u32,
        /// The greatest value.
        max: u32,
    },
}

#[derive(Clone, Debug)]
struct Draw {
    offset: usize,
    size: usize,
    range: std::ops::RangeInclusive<u64>,
}

impl RandomUpdate {
    /// The most fields.
    pub const FIELDS_MAX: usize = 16;
    /// Fields end here at the latest.
    pub const OFFSET_MAX: usize = 2048;

    /// Writes these fields; equal seeds write equal values.
    ///
    /// # Errors
    /// See [`RandomUpdateError`].
    pub fn new(fields: &[RandomField], seed: u64) -> Result<Self, RandomUpdateError> {
        let fields_max = Vec::with_capacity(Self::FIELDS_MAX);
        let mut module = Self { fields: fields_max, random: Random::new(seed) };
        module.add(fields)?;
        Ok(module)
    }

    /// Writes these fields as well, all of them or, after an error, none.
    ///
    /// # Errors
    /// See [`RandomUpdateError`].
    pub fn add(&mut self, fields: &[RandomField]) -> Result<(), RandomUpdateError> {
        let count = self.fields.len() + fields.len();
        if count > Self::FIELDS_MAX {
            return Err(RandomUpdateError::TooMany(count));
        }
        let draws = fields.iter().map(Draw::new).collect::<Result<Vec<_>, _>>()?;
        self.fields.extend(draws);
        Ok(())
    }

    /// Writes nothing any more.
    pub fn clear(&mut self) {
        self.fields.clear();
    }
}

impl Draw {
    fn new(field: &RandomField) -> Result<Self, RandomUpdateError> {
        let &RandomField { offset, size, min, max } = field;
        let most = match size {
            1 => 0xff,
            2 => 0xffff,
            4 => u32::MAX,
            _ => return Err(RandomUpdateError::Size(size)),
        };
        if offset > RandomUpdate::OFFSET_MAX - size {
            return Err(RandomUpdateError::Offset(offset));
        }
        let (min, max) = (min.min(most), max.min(most));
        if min > max {
            return Err(RandomUpdateError::Range { min, max });
        }
        Ok(Self { offset, size, range: u64::from(min)..=u64::from(max) })
    }
}

impl Module for RandomUpdate {
    fn class(&self) -> &'static str {
        "RandomUpdate"
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
            for Draw { offset, size, range } in &self.fields {
                let value = (self.random.among(range) as u32).to_be_bytes();
                if let Some(field) = data.get_mut(*offset..*offset + *size) {
                    field.copy_from_slice(&value[4 - *size..]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::frames::{packet, packets};
    use super::*;
    use crate::engine::Rig;

    fn field(offset: usize, size: usize, min: u32, max: u32) -> RandomField {
        RandomField { offset, size, min, max }
    }

    #[test]
    fn every_value_of_the_range_comes_and_no_other() {
        let fields = [field(0, 1, 250, 1000), field(2, 2, 0x1234, 0x1235), field(4, 4, u32::MAX, u32::MAX)];
        let mut rig = Rig::new(RandomUpdate::new(&fields, 7).unwrap());
        let mut seen: BTreeMap<(u8, u16), u32> = BTreeMap::new();
        for (_, packet) in (0..100).flat_map(|_| rig.process(0, packets(32))) {
            let data = packet.data();
            *seen.entry((data[0], u16::from_be_bytes([data[2], data[3]]))).or_default() += 1;
            assert_eq!((data[1], &data[4..9]), (0, &[255, 255, 255, 255, 0][..]));
        }
        let expected: Vec<(u8, u16)> =
            (250..=255).flat_map(|first| [(first, 0x1234), (first, 0x1235)]).collect();
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected);
        // 3,200 draws of 12 pairs: 267 each, 16 off at one standard deviation.
        assert!(seen.values().all(|count| (180..360).contains(count)), "{seen:?}");
    }

    #[test]
    fn whole_ranges_and_short_packets_are_in_order() {
        let mut rig = Rig::new(RandomUpdate::new(&[field(0, 4, 0, u32::MAX)], 7).unwrap());
        let left = rig.process(0, [packet(&[1, 2, 3]), packet(&[0; 4]), packet(&[0; 4])]);
        assert_eq!(left[0].1.data(), [1, 2, 3]);
        assert_ne!(left[1].1.data(), left[2].1.data());
        rig.module.clear();
        assert_eq!(rig.process(0, [packet(&[0; 4])])[0].1.data(), [0; 4]);
    }

    #[test]
    fn fields_that_cannot_be_are_refused() {
        let wrong = |field| RandomUpdate::new(&[field], 1).unwrap_err();
        assert_eq!(wrong(field(0, 3, 0, 1)), RandomUpdateError::Size(3));
        assert_eq!(wrong(field(2047, 2, 0, 1)), RandomUpdateError::Offset(2047));
        assert_eq!(wrong(field(0, 2, 2, 1)), RandomUpdateError::Range { min: 2, max: 1 });
        let many = RandomUpdate::new(&[field(0, 1, 0, 1); 17], 1).unwrap_err();
        assert_eq!(many, RandomUpdateError::TooMany(17));
    }
}
