//! OXM and NXM: a field, its value and its mask, as a TLV (OpenFlow 1.3.5, section 7.2.3).

use crate::field::Field;

/// One field of a match, or one to set. It keeps the header it came with, so that it goes out as it came in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Oxm {
    /// A field known here.
    Known {
        /// Which.
        field: Field,
        /// Which of [`Field::headers`] it is (to be) written with.
        spelling: u8,
        /// Value, in the lowest bits.
        value: u128,
        /// Mask, in the lowest bits; `None` is an exact match.
        mask: Option<u128>,
    },
    /// Any other, kept as it came.
    Unknown {
        /// Class, field, mask bit (as on the wire).
        header: u32,
        /// The payload: value and mask.
        payload: Vec<u8>,
    },
}

impl Oxm {
    /// A field that is exactly `value`.
    #[must_use]
    pub const fn exact(field: Field, value: u128) -> Self {
        Self::Known { field, spelling: 0, value, mask: None }
    }

    /// A field whose bits under `mask` are those of `value`.
    #[must_use]
    pub const fn masked(field: Field, value: u128, mask: u128) -> Self {
        Self::Known { field, spelling: 0, value: value & mask, mask: Some(mask) }
    }

    /// The field; `None` where it is not known here. Of a bare header it is found whatever length that says.
    #[inline]
    #[must_use]
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Known { field, .. } => Some(*field),
            Self::Unknown { header, payload } if payload.len() <= 4 => {
                let experimenter = payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                let (class, number) = ((header >> 16) as u16, (header >> 9 & 0x7f) as u8);
                let experimenter = experimenter.filter(|_| class == 0xffff);
                Field::from_number(class, number, experimenter)
                    .filter(|_| payload.is_empty() || class == 0xffff)
                    .map(|(field, _)| field)
            }
            Self::Unknown { .. } => None,
        }
    }

    /// The bits that decide, of a known field: its mask, or all.
    #[inline]
    #[must_use]
    pub fn effective_mask(&self) -> u128 {
        match self {
            Self::Known { field, mask, .. } => mask.unwrap_or(field.all_bits()),
            Self::Unknown { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_header_names_its_field_whatever_its_length() {
        let unknown = |header: u32, payload: &[u8]| Oxm::Unknown { header, payload: payload.to_vec() };
        assert_eq!(unknown(0x8000_0600, &[]).field(), Some(Field::EthDst));
        assert_eq!(unknown(0xffff_5404, &[0x4f, 0x4e, 0x46, 0]).field(), Some(Field::TcpFlags));
        assert_eq!(unknown(0xffff_5404, &[0, 0, 0, 1]).field(), None);
        // With a payload of another length it is not that field.
        assert_eq!(unknown(0x8000_0603, &[1, 2, 3]).field(), None);
        assert_eq!(unknown(0x8000_fe00, &[]).field(), None);
    }
}
