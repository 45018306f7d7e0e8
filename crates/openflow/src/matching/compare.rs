//! How matches relate: one covers another, two overlap, two are the same.

use super::Match;
use crate::field::Field;
use crate::oxm::Oxm;

/// `OFPVID_PRESENT`, and the CFI bit in Nicira's whole tag.
const PRESENT: u128 = 0x1000;
/// The id and priority in Nicira's whole tag.
const TCI_VID: u128 = 0x1fff;
const TCI_PCP_SHIFT: u32 = 13;

/// A constraint: the bits under the mask are those of the value.
type Constraint = (Field, u128, u128);

/// A match's constraints, one a field, and what is not known here.
fn constraints(matching: &Match) -> (Vec<Constraint>, Vec<Oxm>) {
    let mut known: Vec<Constraint> = Vec::new();
    let mut unknown = Vec::new();
    for oxm in matching.as_fields().iter() {
        let Oxm::Known { field, value, .. } = oxm else {
            unknown.push(oxm.clone());
            continue;
        };
        let mask = oxm.effective_mask() & field.all_bits();
        match field {
            Field::NwTos => add(&mut known, (Field::IpDscp, value >> 2, mask >> 2)),
            Field::VlanTci => {
                add(&mut known, (Field::VlanVid, value & TCI_VID, mask & TCI_VID));
                // Untagged packets have no priority.
                if mask & value & PRESENT != 0 || mask & PRESENT == 0 {
                    let (value, mask) = (value >> TCI_PCP_SHIFT, mask >> TCI_PCP_SHIFT);
                    add(&mut known, (Field::VlanPcp, value, mask));
                }
            }
            field => add(&mut known, (*field, *value, mask)),
        }
    }
    known.sort_by_key(|(field, ..)| *field);
    (known, unknown)
}

fn add(known: &mut Vec<Constraint>, (field, value, mask): Constraint) {
    if mask == 0 {
        return;
    }
    match known.iter_mut().find(|(other, ..)| *other == field) {
        Some((_, before, bits)) => {
            *before |= value & mask;
            *bits |= mask;
        }
        None => known.push((field, value & mask, mask)),
    }
}

impl Match {
    /// The same in one form: a list of fields in 1.3's words and order, without bits outside masks, without masks that
    /// let everything through, exact where the mask is full.
    #[must_use]
    pub fn normalise(&self) -> Self {
        let (known, unknown) = constraints(self);
        let known = known.into_iter().map(|(field, value, mask)| {
            if mask == field.all_bits() { Oxm::exact(field, value) } else { Oxm::masked(field, value, mask) }
        });
        Self::Fields(known.chain(unknown).collect())
    }

    /// Whether both match the same packets, as far as their fields tell.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self == other || self.normalise() == other.normalise()
    }

    /// Whether every packet that `other` matches is matched, too (what a non-strict modification or deletion is for).
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let ((wide, unknown), (narrow, others)) = (constraints(self), constraints(other));
        unknown.iter().all(|oxm| others.contains(oxm))
            && wide.iter().all(|(field, value, mask)| {
                narrow
                    .iter()
                    .any(|(of, bits, under)| of == field && mask & !under == 0 && bits & mask == *value)
            })
    }

    /// Whether there may be a packet that both match.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let ((one, _), (two, _)) = (constraints(self), constraints(other));
        one.iter().all(|(field, value, mask)| {
            two.iter().all(|(of, bits, under)| of != field || (value ^ bits) & mask & under == 0)
        })
    }

    /// Whether 1.0 takes it before all others, whatever its priority: nothing is wildcarded.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.to_v10().is_some_and(|matching| matching.is_exact())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::port::PortNo;

    #[test]
    fn covering_overlapping_and_sameness() {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        let net = Match::new().ipv4_dst_masked(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(255, 0, 0, 0));
        let host = Match::new().in_port(PortNo(1)).ipv4_dst(address);
        assert!(net.covers(&host) && !host.covers(&net) && net.overlaps(&host));
        assert!(Match::new().covers(&net) && !net.covers(&Match::new()));
        let other = Match::new().ipv4_dst(Ipv4Addr::new(11, 0, 0, 1));
        assert!(!net.covers(&other) && !net.overlaps(&other));
        let v10 = Match::V10(host.to_v10().unwrap());
        assert!(v10.is_same(&host) && v10.covers(&host) && host.covers(&v10));
        assert!(!v10.is_same(&net));
    }

    #[test]
    fn nicira_s_words_are_the_same() {
        let tci = |value, mask| Match::Fields(vec![Oxm::masked(Field::VlanTci, value, mask)]);
        assert!(tci(0x1005, 0x1fff).is_same(&Match::new().vlan_vid(5)));
        assert!(tci(0xf005, 0xffff).is_same(&Match::new().vlan_vid(5).vlan_pcp(7)));
        assert!(tci(0, 0xffff).is_same(&Match::new().untagged()));
        assert!(tci(0xf000, 0xf000).is_same(&Match::new().vlan_pcp(7)));
        let tos = Match::new().ipv4().with(Oxm::exact(Field::NwTos, 0xb8));
        assert!(tos.is_same(&Match::new().ipv4().ip_dscp(46)));
    }
}
