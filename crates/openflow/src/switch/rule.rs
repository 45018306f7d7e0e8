//! From a match to a key and a mask.

use super::key::{WORDS, Words, get, ones, put, slot};
use crate::error::{BadMatch, Fault};
use crate::field::Field;
use crate::matching::{Match, check};
use crate::oxm::Oxm;

/// A match as it is looked up: bits, and which of them count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) key: Words,
    pub(super) mask: Words,
}

impl Rule {
    /// Matches everything.
    pub(super) const ANY: Self = Self { key: [0; WORDS], mask: [0; WORDS] };

    /// Compiles a match.
    ///
    /// # Errors
    /// The fault of the specification: fields unknown, twice, without what they need, out of range, masked where they
    /// cannot be.
    pub(super) fn of(matching: &Match) -> Result<Self, Fault> {
        check(matching)?;
        let mut rule = Self::ANY;
        for oxm in matching.as_fields().iter() {
            let &Oxm::Known { field, value, .. } = oxm else { return Err(BadMatch::BadField.into()) };
            if slot(field).is_none() {
                return Err(BadMatch::BadField.into());
            }
            // The byte without ECN.
            if value & !ones(field) != 0 {
                return Err(BadMatch::BadValue.into());
            }
            // Without a tag there is neither an id nor a priority.
            let is_untagged =
                field == Field::VlanVid && value == 0 && oxm.effective_mask() == field.all_bits();
            let (field, mask) =
                if is_untagged { (Field::VlanTci, 0xffff) } else { (field, oxm.effective_mask()) };
            rule.add(field, value, mask & ones(field));
        }
        Ok(rule)
    }

    fn add(&mut self, field: Field, value: u128, mask: u128) {
        let known = get(&self.mask, field);
        put(&mut self.mask, field, known | mask, u128::MAX);
        put(&mut self.key, field, value & mask, mask);
    }

    /// Whether everything `other` matches is matched by this.
    pub(super) fn covers(&self, other: &Self) -> bool {
        (0..WORDS).all(|word| {
            self.mask[word] & !other.mask[word] == 0
                && (self.key[word] ^ other.key[word]) & self.mask[word] == 0
        })
    }

    /// Whether a packet could match both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        (0..WORDS).all(|word| (self.key[word] ^ other.key[word]) & self.mask[word] & other.mask[word] == 0)
    }
}

/// An entry's rank among those that match. 1.0 takes one without wildcards before all others (section 3.4).
pub(super) fn rank(matching: &Match, priority: u16) -> u32 {
    let comes_first = matches!(matching, Match::V10(fixed) if fixed.is_exact());
    if comes_first { 1 << 16 } else { u32::from(priority) }
}

/// The field of a 32-bit OXM or NXM header (class, field, mask bit, length), as Nicira's actions name them.
pub(super) fn field_of(header: u32) -> Option<Field> {
    let (field, _) = Field::from_number((header >> 16) as u16, (header >> 9 & 0x7f) as u8, None)?;
    slot(field).map(|_| field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::MatchV10;

    fn of(fields: &[Oxm]) -> Rule {
        Rule::of(&Match::Fields(fields.to_vec())).unwrap()
    }

    #[test]
    fn what_this_switch_has_not_is_refused() {
        let conntrack = Match::Fields(vec![Oxm::exact(Field::CtState, 5)]);
        assert_eq!(Rule::of(&conntrack), Err(BadMatch::BadField.into()));
        let ecn_in_tos = Match::Fields(vec![Oxm::exact(Field::EthType, 0x0800), Oxm::exact(Field::NwTos, 5)]);
        assert_eq!(Rule::of(&ecn_in_tos), Err(BadMatch::BadValue.into()));
    }

    #[test]
    fn covering_and_overlapping() {
        let ten =
            of(&[Oxm::exact(Field::EthType, 0x0800), Oxm::masked(Field::Ipv4Src, 0x0a00_0000, 0xff00_0000)]);
        let one = of(&[Oxm::exact(Field::EthType, 0x0800), Oxm::exact(Field::Ipv4Src, 0x0a00_0001)]);
        let port = of(&[Oxm::exact(Field::InPort, 1)]);
        assert!(ten.covers(&one) && !one.covers(&ten) && ten.overlaps(&one));
        assert!(port.overlaps(&one) && !port.covers(&one) && Rule::ANY.covers(&port));
    }

    #[test]
    fn an_exact_match_of_1_0_comes_first() {
        let exact = MatchV10 { wildcards: 0, ..MatchV10::ALL };
        assert!(rank(&Match::V10(exact), 0) > rank(&Match::V10(MatchV10::ALL), u16::MAX));
    }
}
