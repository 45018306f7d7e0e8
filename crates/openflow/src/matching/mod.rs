//! What a flow entry matches.

mod build;
mod check;
mod compare;
mod example;
mod v10;

pub use self::check::{check, check_field_to_set, prerequisites_met};
pub use self::v10::{MatchV10, wildcards};

use std::borrow::Cow;

use crate::Version;
use crate::field::Field;
use crate::oxm::Oxm;

/// A match, as it is on the wire of its version. Either is encoded into the other where it can be said there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// 1.0's fixed structure.
    V10(MatchV10),
    /// A list of fields: 1.3's, and Nicira's in 1.0.
    Fields(Vec<Oxm>),
}

impl Default for Match {
    /// Matches everything.
    fn default() -> Self {
        Self::Fields(Vec::new())
    }
}

impl Match {
    /// What it means, as fields in 1.3's words: of 1.0's form those that are not wildcarded and count, in the order that
    /// prerequisites ask for.
    #[must_use]
    pub fn fields(&self) -> Vec<Oxm> {
        self.as_fields().into_owned()
    }

    /// The same, not copied where it is a list already.
    #[must_use]
    pub fn as_fields(&self) -> Cow<'_, [Oxm]> {
        match self {
            Self::V10(matching) => Cow::Owned(matching.fields()),
            Self::Fields(fields) => Cow::Borrowed(fields),
        }
    }

    /// In 1.0's form; `None` for what it has no room for.
    #[must_use]
    pub fn to_v10(&self) -> Option<MatchV10> {
        match self {
            Self::V10(matching) => Some(*matching),
            Self::Fields(fields) => MatchV10::from_fields(fields),
        }
    }

    /// For Nicira's form: a list as it is, 1.0's structure in NXM's words.
    pub(crate) fn nicira_fields(&self) -> Cow<'_, [Oxm]> {
        match self {
            Self::V10(_) => self.in_nicira_words(),
            Self::Fields(fields) => Cow::Borrowed(fields),
        }
    }

    /// In NXM's words, where it has any.
    pub(crate) fn in_nicira_words(&self) -> Cow<'_, [Oxm]> {
        let mut fields = self.fields();
        for field in &mut fields {
            if let Oxm::Known { field, spelling, .. } = field {
                *spelling = field.nicira_spelling();
            }
        }
        Cow::Owned(fields)
    }

    /// The value of a field that is matched exactly; of several the first.
    #[must_use]
    pub fn exact(&self, of: Field) -> Option<u128> {
        self.as_fields().iter().find_map(|oxm| match oxm {
            Oxm::Known { field, value, mask, .. }
                if *field == of && mask.is_none_or(|mask| mask == field.all_bits()) =>
            {
                Some(*value)
            }
            _ => None,
        })
    }

    /// Whether packets that match have a VLAN tag; `None` where both do.
    #[must_use]
    pub fn tagged(&self) -> Option<bool> {
        self.as_fields().iter().find_map(|oxm| match oxm {
            Oxm::Known { field: field @ (Field::VlanVid | Field::VlanTci), value, .. } => {
                // `OFPVID_PRESENT` is the same bit as the CFI that Nicira's field has in its place.
                (oxm.effective_mask() & 0x1000 != 0)
                    .then_some(value & 0x1000 != 0)
                    .or((*field == Field::VlanTci && oxm.effective_mask() & value != 0).then_some(true))
            }
            Oxm::Known { field: Field::VlanPcp, .. } => Some(true),
            _ => None,
        })
    }

    /// The IP protocol of packets that match; `None` where there are several.
    #[must_use]
    pub fn transport(&self) -> Option<u8> {
        self.exact(Field::IpProto).and_then(|protocol| u8::try_from(protocol).ok())
    }

    /// The form that a version has: 1.0's structure where it can be said so, a list otherwise.
    #[must_use]
    pub fn for_version(&self, version: Version) -> Self {
        match version {
            Version::V10 => self.to_v10().map_or_else(|| self.clone(), Self::V10),
            Version::V13 => Self::Fields(self.fields()),
        }
    }
}
