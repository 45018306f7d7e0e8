//! [`Field`] and [`Fields`]: what classifiers look at, and what they write.

use packet::Packet;
use thiserror::Error;

use crate::engine::{Access, Attribute, Place};

/// Most fields of one classifier.
pub const FIELDS_MAX: usize = 8;
/// Most bytes of a field: those of an IPv6 address (BESS: 8).
pub const FIELD_BYTES_MAX: usize = 16;
/// The last byte of a frame at which a field may start.
pub const OFFSET_MAX: u32 = 1024;
/// Words of a [`Key`].
pub const KEY_WORDS: usize = FIELDS_MAX;

/// The fields of one packet, gathered: what tables are asked for. Of a field eight bytes lie within one word, the first of
/// them the lowest, and the rest within another.
pub type Key = [u64; KEY_WORDS];

/// Bytes of a word.
const WORD: usize = 8;

/// Where a field is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// So many bytes behind the start of the frame.
    Offset(u32),
    /// In the metadata attribute of this name.
    Attribute(String),
}

/// Some bytes of a frame or of its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where.
    pub position: Position,
    /// How many bytes, [`FIELD_BYTES_MAX`] at most.
    pub bytes: usize,
    /// The bits that count, byte for byte; those behind the field's bytes do not.
    pub mask: [u8; FIELD_BYTES_MAX],
}

impl Field {
    /// All bits of `bytes` bytes at `offset`.
    pub const fn at(offset: u32, bytes: usize) -> Self {
        Self { position: Position::Offset(offset), bytes, mask: [0xff; FIELD_BYTES_MAX] }
    }

    /// All bits of an attribute of `bytes` bytes.
    pub fn attribute(name: &str, bytes: usize) -> Self {
        Self { position: Position::Attribute(name.to_owned()), bytes, mask: [0xff; FIELD_BYTES_MAX] }
    }

    /// Only the bits of `mask`, whose first byte is that of the field.
    #[must_use]
    pub fn masked(mut self, mask: &[u8]) -> Self {
        self.mask = [0; FIELD_BYTES_MAX];
        self.mask.iter_mut().zip(mask).for_each(|(own, byte)| *own = *byte);
        self
    }
}

/// What is wrong with fields, or with values for them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// More than [`FIELDS_MAX`].
    #[error("{count} fields: at most {FIELDS_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// No bytes, or more than [`FIELD_BYTES_MAX`].
    #[error("idx {index}: 'size' must be in [1,{FIELD_BYTES_MAX}], is {bytes}")]
    Size {
        /// Which field.
        index: usize,
        /// Its size.
        bytes: usize,
    },
    /// Behind [`OFFSET_MAX`].
    #[error("idx {index}: invalid 'offset' {offset}: at most {OFFSET_MAX}")]
    Offset {
        /// Which field.
        index: usize,
        /// Its offset.
        offset: u32,
    },
    /// None of the field's bits counts.
    #[error("idx {index}: empty mask")]
    Mask {
        /// Which field.
        index: usize,
    },
    /// More than [`KEY_WORDS`] words of eight bytes.
    #[error("idx {index}: the fields in front leave no room in {KEY_WORDS} words of 8 bytes")]
    Room {
        /// The first field that finds none.
        index: usize,
    },
    /// Another number of values than of fields.
    #[error("rule should have {fields} fields (has {values})")]
    Count {
        /// How many there are.
        fields: usize,
        /// How many were given.
        values: usize,
    },
    /// A value of another size than its field.
    #[error("rule field {index} should have size {bytes} (has {given})")]
    Length {
        /// Which field.
        index: usize,
        /// Its size.
        bytes: usize,
        /// The value's.
        given: usize,
    },
}

/// Where a field, or the eight bytes or the rest of one that is longer, lies in the key.
#[derive(Clone, Debug)]
struct Slot {
    /// Which field.
    field: usize,
    /// How many bytes of the field lie in front.
    skip: usize,
    bytes: usize,
    source: Source,
    word: usize,
    shift: u32,
    /// Of the value before it is shifted.
    mask: u64,
}

/// Where a slot's bytes come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// So many bytes behind the start of the frame.
    Offset(usize),
    /// An attribute, which starts `skip` bytes before.
    Attribute(Place),
}

/// Up to [`FIELDS_MAX`] fields, and how they make up a [`Key`].
///
/// A field that lies behind the end of a packet has no value there; an attribute that nobody sets is 0.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    fields: Vec<Field>,
    /// In the order of the fields.
    slots: Vec<Slot>,
    words: usize,
}

/// Up to 8 bytes, the first the lowest.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().take(WORD).rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

impl Fields {
    /// Lays the fields out.
    ///
    /// # Errors
    /// Too many; a size, an offset or a mask that no field may have; more bytes than there is room for.
    pub fn new(fields: Vec<Field>) -> Result<Self, FieldError> {
        if fields.len() > FIELDS_MAX {
            return Err(FieldError::TooMany { count: fields.len() });
        }
        let (mut slots, mut used) = (Vec::with_capacity(fields.len()), [0usize; KEY_WORDS]);
        for (index, field) in fields.iter().enumerate() {
            check(index, field)?;
            for skip in (0..field.bytes).step_by(WORD) {
                let bytes = (field.bytes - skip).min(WORD);
                let source = match field.position {
                    Position::Offset(offset) => Source::Offset(offset as usize + skip),
                    Position::Attribute(_) => Source::Attribute(Place::default()),
                };
                let room = used.iter().position(|used| used + bytes <= WORD);
                let at = room.ok_or(FieldError::Room { index })?;
                let (shift, mask) = (used[at] as u32 * 8, word(&field.mask[skip..skip + bytes]));
                slots.push(Slot { field: index, skip, bytes, source, word: at, shift, mask });
                used[at] += bytes;
            }
        }
        Ok(Self { fields, slots, words: used.iter().filter(|&&used| used > 0).count() })
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Field> {
        self.fields.iter()
    }

    /// How many fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Words of a key that are used; the others are 0.
    pub fn words(&self) -> usize {
        self.words
    }

    /// The attributes among the fields, in order, for [`Module::attributes`](crate::engine::Module::attributes).
    pub fn attributes(&self, access: Access) -> impl Iterator<Item = Attribute> {
        self.iter().filter_map(move |field| match &field.position {
            Position::Attribute(name) => {
                Some(Attribute { name: name.clone(), size: field.bytes as u8, access })
            }
            Position::Offset(_) => None,
        })
    }

    /// Takes the places of its attributes off the front of those of [`Module::place`](crate::engine::Module::place);
    /// returns the others.
    pub fn place<'a>(&mut self, places: &'a [Place]) -> &'a [Place] {
        let mut given = places.iter();
        let mut last = Place::default();
        for slot in &mut self.slots {
            let Source::Attribute(place) = &mut slot.source else { continue };
            if slot.skip == 0 {
                let Some(next) = given.next() else { break };
                last = *next;
            }
            *place = last;
        }
        given.as_slice()
    }

    /// The key of a packet, without what the masks hide; `None` where a field lies behind its end.
    #[inline]
    pub fn gather(&self, packet: &Packet) -> Option<Key> {
        let (data, mut key) = (packet.data(), [0; KEY_WORDS]);
        for slot in &self.slots {
            let value = match slot.source {
                Source::Offset(offset) => read(data, offset, slot.bytes)?,
                Source::Attribute(place) => {
                    place.get(packet, slot.skip + slot.bytes).map_or(0, |value| word(&value[slot.skip..]))
                }
            };
            key[slot.word] |= (value & slot.mask) << slot.shift;
        }
        Some(key)
    }

    /// Writes the fields of a key to a packet, whole, whatever the masks. A field that the packet is too short for is
    /// not written, nor an attribute that nobody reads.
    #[inline]
    pub fn write(&self, key: &Key, packet: &mut Packet) {
        for slot in &self.slots {
            let bytes = (key[slot.word] >> slot.shift).to_le_bytes();
            let bytes = &bytes[..slot.bytes];
            let target = match slot.source {
                Source::Offset(offset) => {
                    let (start, whole) = (offset - slot.skip, self.fields[slot.field].bytes);
                    let field = packet.data_mut().get_mut(start..start + whole);
                    field.map(|field| &mut field[slot.skip..slot.skip + slot.bytes])
                }
                Source::Attribute(place) => {
                    place.get_mut(packet, slot.skip + slot.bytes).map(|value| &mut value[slot.skip..])
                }
            };
            if let Some(target) = target {
                target.copy_from_slice(bytes);
            }
        }
    }

    /// The key of a value for each field, whatever the masks.
    ///
    /// # Errors
    /// Values that do not fit the fields.
    pub fn key(&self, values: &[Vec<u8>]) -> Result<Key, FieldError> {
        if values.len() != self.fields.len() {
            return Err(FieldError::Count { fields: self.fields.len(), values: values.len() });
        }
        for (index, (field, value)) in self.fields.iter().zip(values).enumerate() {
            let (bytes, given) = (field.bytes, value.len());
            if given != bytes {
                return Err(FieldError::Length { index, bytes, given });
            }
        }
        let mut key = [0; KEY_WORDS];
        for slot in &self.slots {
            key[slot.word] |= word(&values[slot.field][slot.skip..slot.skip + slot.bytes]) << slot.shift;
        }
        Ok(key)
    }

    /// The key without what the masks hide.
    pub fn visible(&self, mut key: Key) -> Key {
        let mut masks = [0; KEY_WORDS];
        for slot in &self.slots {
            masks[slot.word] |= slot.mask << slot.shift;
        }
        for (word, mask) in key.iter_mut().zip(masks) {
            *word &= mask;
        }
        key
    }

    /// The value of each field: the inverse of [`key`](Self::key).
    pub fn values(&self, key: &Key) -> Vec<Vec<u8>> {
        let mut values: Vec<Vec<u8>> =
            self.fields.iter().map(|field| Vec::with_capacity(field.bytes)).collect();
        for slot in &self.slots {
            let part = (key[slot.word] >> slot.shift).to_le_bytes();
            values[slot.field].extend_from_slice(&part[..slot.bytes]);
        }
        values
    }
}

/// Whether there may be such a field.
fn check(index: usize, field: &Field) -> Result<(), FieldError> {
    let bytes = field.bytes;
    if bytes == 0 || bytes > FIELD_BYTES_MAX {
        return Err(FieldError::Size { index, bytes });
    }
    match field.position {
        Position::Offset(offset) if offset > OFFSET_MAX => Err(FieldError::Offset { index, offset }),
        _ if field.mask[..bytes].iter().all(|byte| *byte == 0) => Err(FieldError::Mask { index }),
        _ => Ok(()),
    }
}

/// The bytes at a place, and perhaps some of those behind it.
#[inline]
fn read(data: &[u8], offset: usize, bytes: usize) -> Option<u64> {
    let rest = data.get(offset..)?;
    match rest.first_chunk() {
        Some(eight) => Some(u64::from_le_bytes(*eight)),
        None => rest.get(..bytes).map(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::{Random, packet};

    #[test]
    fn keys_read_back() {
        let mut random = Random::seeded();
        for _ in 0..2000 {
            let longest = *random.pick(&[8, FIELD_BYTES_MAX]);
            let count = 1 + random.below(FIELDS_MAX);
            let fields: Vec<_> =
                (0..count).map(|_| Field::at(random.below(60) as u32, 1 + random.below(longest))).collect();
            let room = fields.iter().map(|field| field.bytes.div_ceil(8)).sum::<usize>() <= KEY_WORDS;
            let fields = match Fields::new(fields) {
                Err(FieldError::Room { .. }) if !room => continue,
                fields => fields.unwrap(),
            };
            let values: Vec<Vec<u8>> = fields.iter().map(|field| random.bytes(field.bytes)).collect();
            let key = fields.key(&values).unwrap();
            assert_eq!(fields.values(&key), values, "{random:?}");
            assert!(key[fields.words()..].iter().all(|&word| word == 0), "{random:?}");
        }
    }

    #[test]
    fn a_packets_key_is_that_of_its_bytes_under_the_masks() {
        let mut random = Random::seeded();
        for _ in 0..2000 {
            let frame = random.bytes(20);
            let fields: Vec<Field> = (0..1 + random.below(FIELDS_MAX))
                .map(|_| {
                    let longest = *random.pick(&[8, 8, 8, FIELD_BYTES_MAX]);
                    let field = Field::at(random.below(24) as u32, 1 + random.below(longest));
                    let mask = random.bytes(FIELD_BYTES_MAX);
                    let is_empty = mask[..field.bytes].iter().all(|byte| *byte == 0);
                    if is_empty { field } else { field.masked(&mask) }
                })
                .collect();
            let twin: Option<Vec<Vec<u8>>> = fields
                .iter()
                .map(|field| {
                    let Position::Offset(offset) = field.position else { return None };
                    let bytes = frame.get(offset as usize..offset as usize + field.bytes)?;
                    Some(bytes.iter().zip(field.mask).map(|(byte, mask)| byte & mask).collect())
                })
                .collect();
            let Ok(fields) = Fields::new(fields) else { continue };
            let gathered = fields.gather(&packet(&frame));
            assert_eq!(gathered.map(|key| fields.values(&key)), twin, "{random:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_the_rest_untouched() {
        // A field is written whole or not at all, also one of two words.
        let wide = Fields::new(vec![Field::at(0, 12)]).unwrap();
        let key = wide.key(&[vec![7; 12]]).unwrap();
        for (length, written) in [(11, 0xee), (12, 7)] {
            let mut packet = packet(&vec![0xee; length]);
            wide.write(&key, &mut packet);
            assert_eq!(packet.data(), vec![written; length]);
        }
        let fields = Fields::new(vec![Field::at(2, 3), Field::at(9, 4)]).unwrap();
        let key = fields.key(&[vec![1, 2, 3], vec![4, 5, 6, 7]]).unwrap();
        let mut short = packet(&[0xee; 12]);
        fields.write(&key, &mut short);
        assert_eq!(short.data(), [0xee, 0xee, 1, 2, 3, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee]);
        let mut long = packet(&[0xee; 13]);
        fields.write(&key, &mut long);
        assert_eq!(fields.gather(&long), Some(key));
    }

    #[test]
    fn fields_that_cannot_be_are_refused() {
        let of = |field| Fields::new(vec![Field::at(0, 1), field]).unwrap_err();
        assert_eq!(of(Field::at(0, 0)), FieldError::Size { index: 1, bytes: 0 });
        assert_eq!(of(Field::at(0, 17)), FieldError::Size { index: 1, bytes: 17 });
        let five = vec![Field::at(0, 16); 5];
        assert!(Fields::new(five[..4].to_vec()).is_ok());
        assert_eq!(Fields::new(five).unwrap_err(), FieldError::Room { index: 4 });
        assert_eq!(of(Field::at(1025, 1)), FieldError::Offset { index: 1, offset: 1025 });
        assert_eq!(of(Field::at(0, 2).masked(&[0, 0, 1])), FieldError::Mask { index: 1 });
        assert!(Fields::new(vec![Field::at(1024, 8)]).is_ok());
        assert_eq!(Fields::new(vec![Field::at(0, 1); 9]).unwrap_err(), FieldError::TooMany { count: 9 });
        let two = Fields::new(vec![Field::at(0, 1), Field::at(1, 2)]).unwrap();
        assert_eq!(two.key(&[vec![1]]).unwrap_err(), FieldError::Count { fields: 2, values: 1 });
        let long = two.key(&[vec![1], vec![2]]).unwrap_err();
        assert_eq!(long, FieldError::Length { index: 1, bytes: 2, given: 1 });
    }
}
