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
}
