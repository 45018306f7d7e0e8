//! [`WildcardMatch`].

use lookup::tuple_space::{RuleError, TupleSpace};
use packet::Batch;
use packet::flow::FlowHasher;
use thiserror::Error;

use super::field::{FieldError, Fields, KEY_WORDS, Key};
use super::gates::{DROP, send_by};
use crate::engine::{Access, Attribute, Context, GATES_MAX, Gate, Module, Place};

/// Sends packets to gates by some of the bits of some fields.
///
/// *Input gates*: one. *Output gates*: those of the rules and the default gate, up to 8191.
///
/// A rule is a value and a mask for each field, a priority and a gate. It matches where the fields have its values in
/// the bits of its masks; of the rules that match, the one with the highest priority decides, and of equal ones the
/// one whose masks came last. Without a rule that matches, and where a field lies behind the packet's end, the packet
/// goes to the default gate, which drops until it is set. Rules may also carry values that are written into other
/// fields or metadata attributes of the packets for which they decide.
///
/// There is one rule of the same values and masks: adding another puts it in its place, with the new priority.
///
/// Rules of the same masks cost as much as one; see [`lookup::tuple_space`] for the limits: 512 different masks (BESS:
/// 16) and about a million rules.
///
/// ```
/// use softnic::modules::{Field, Fields, WildcardMatch};
///
/// // The IPv4 source and the TCP or UDP destination port.
/// let fields = Fields::new(vec![Field::at(26, 4), Field::at(36, 2)])?;
/// let mut module = WildcardMatch::new(fields, Fields::default(), 0x5eed);
/// let values = [vec![10, 0, 0, 0], vec![0, 0]];
/// module.add(&values, &[vec![255, 0, 0, 0], vec![0, 0]], &[], 1, 2)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WildcardMatch {
    fields: Fields,
    values: Fields,
    rules: TupleSpace<KEY_WORDS, Action, FlowHasher, Rank>,
    hasher: FlowHasher,
    masks: Vec<Mask>,
    /// Masks that there have been.
    numbered: u64,
    /// What rules write.
    written: Vec<Key>,
    /// Places of it that no rule uses.
    free: Vec<u32>,
    default_gate: Gate,
}

/// The priority, and the number of the mask.
type Rank = (i64, u64);

/// No values.
const NOTHING: u32 = u32::MAX;

/// What a rule does.
#[derive(Clone, Copy, Debug)]
struct Action {
    gate: Gate,
    /// Which of the written values.
    values: u32,
}

/// A mask that rules have.
struct Mask {
    mask: Key,
    number: u64,
    rules: usize,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WildcardMatchError {
    /// With its values, or its masks.
    #[error(transparent)]
    Fields(#[from] FieldError),
    /// With what it writes.
    #[error("valuesv: {0}")]
    Values(FieldError),
    /// A value has bits that its mask has not, so it would never match.
    #[error("idx {index}: invalid pair of value {value:02x?} and mask {mask:02x?}")]
    OutsideMask {
        /// Which field.
        index: usize,
        /// Its value.
        value: Vec<u8>,
        /// Its mask.
        mask: Vec<u8>,
    },
    /// A limit of the table.
    #[error(transparent)]
    Full(RuleError),
    /// There is no such rule.
    #[error("failed to delete a rule: there is none of these values and masks")]
    NoRule,
}

/// A rule, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WildcardMatchRule {
    /// The higher wins.
    pub priority: i64,
    /// Where packets go.
    pub gate: Gate,
    /// The mask of each field.
    pub masks: Vec<Vec<u8>>,
    /// The value of each field.
    pub fields: Vec<Vec<u8>>,
    /// The values written.
    pub values: Vec<Vec<u8>>,
}

impl WildcardMatch {
    /// Matches on `fields`, whose own masks are not used, and writes `values`. The seed keys the hash.
    pub fn new(fields: Fields, values: Fields, seed: u64) -> Self {
        let hasher = FlowHasher::new(seed.into());
        Self {
            fields,
            values,
            rules: TupleSpace::with_hasher(hasher),
            hasher,
            masks: Vec::new(),
            numbered: 0,
            written: Vec::new(),
            free: Vec::new(),
            default_gate: DROP,
        }
    }

    /// The fields it matches on.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields it writes.
    pub fn values(&self) -> &Fields {
        &self.values
    }

    /// Where packets go that no rule matches.
    pub fn default_gate(&self) -> Gate {
        self.default_gate
    }

    /// Says where packets go that no rule matches.
    pub fn set_default_gate(&mut self, gate: Gate) {
        self.default_gate = gate;
    }

    /// Adds a rule, in the place of one of the same fields and masks.
    ///
    /// # Errors
    /// What is wrong with it; then nothing changes.
    pub fn add(
        &mut self,
        fields: &[Vec<u8>],
        masks: &[Vec<u8>],
        values: &[Vec<u8>],
        priority: i64,
        gate: Gate,
    ) -> Result<(), WildcardMatchError> {
        let (key, mask) = self.key_and_mask(fields, masks)?;
        let written = self.values.key(values).map_err(WildcardMatchError::Values)?;
        let at = self.masks.iter().position(|known| known.mask == mask);
        let number = at.map_or(self.numbered, |at| self.masks[at].number);
        let old = self.rules.get(&key, &mask).map(|rule| (rule.priority, rule.value));
        if let Some((rank, _)) = old {
            self.rules.remove(&key, &mask, rank);
        }
        let old_place = old.map(|(_, action)| action.values);
        let values = match self.values.is_empty() {
            true => NOTHING,
            // There are fewer than rules, whose limit is below.
            false => old_place.or(self.free.last().copied()).unwrap_or(self.written.len() as u32),
        };
        // It cannot fail where it replaces one.
        let added = self.rules.insert(key, mask, (priority, number), Action { gate, values });
        added.map_err(WildcardMatchError::Full)?;
        if values != NOTHING {
            if values as usize == self.written.len() {
                self.written.push(written);
            } else if old_place.is_none() {
                self.free.pop();
            }
            self.written[values as usize] = written;
        }
        match at {
            Some(at) => self.masks[at].rules += usize::from(old.is_none()),
            None => {
                self.numbered += 1;
                self.masks.push(Mask { mask, number, rules: 1 });
            }
        }
        Ok(())
    }

    /// Takes the rule of these fields and masks out.
    ///
    /// # Errors
    /// What is wrong with them; that there is no such rule.
    pub fn delete(&mut self, fields: &[Vec<u8>], masks: &[Vec<u8>]) -> Result<(), WildcardMatchError> {
        let (key, mask) = self.key_and_mask(fields, masks)?;
        let rank = self.rules.get(&key, &mask).ok_or(WildcardMatchError::NoRule)?.priority;
        if let Some(Action { values, .. }) = self.rules.remove(&key, &mask, rank)
            && values != NOTHING
        {
            self.free.push(values);
        }
        if let Some(at) = self.masks.iter().position(|known| known.mask == mask) {
            self.masks[at].rules -= 1;
            if self.masks[at].rules == 0 {
                self.masks.remove(at);
            }
        }
        Ok(())
    }

    fn key_and_mask(&self, fields: &[Vec<u8>], masks: &[Vec<u8>]) -> Result<(Key, Key), WildcardMatchError> {
        let (key, mask) = (self.fields.key(fields)?, self.fields.key(masks)?);
        let outside = |(value, mask): (&Vec<u8>, &Vec<u8>)| value.iter().zip(mask).any(|(v, m)| v & !m != 0);
        match fields.iter().zip(masks).position(outside) {
            Some(index) => {
                let (value, mask) = (fields[index].clone(), masks[index].clone());
                Err(WildcardMatchError::OutsideMask { index, value, mask })
            }
            None => Ok((key, mask)),
        }
    }

    /// Takes all rules out.
    pub fn clear(&mut self) {
        self.rules = TupleSpace::with_hasher(self.hasher);
        self.masks.clear();
        self.written.clear();
        self.free.clear();
    }

    /// One like it without rules, and without a default gate, to be filled and put in its place.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self {
            fields: self.fields.clone(),
            values: self.values.clone(),
            rules: TupleSpace::with_hasher(self.hasher),
            hasher: self.hasher,
            masks: Vec::new(),
            numbered: 0,
            written: Vec::new(),
            free: Vec::new(),
            default_gate: DROP,
        }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rules, by priority, gate, masks and fields.
    pub fn rules(&self) -> Vec<WildcardMatchRule> {
        let mut rules: Vec<_> = self.numbered_rules().map(|(_, rule)| rule).collect();
        rules.sort();
        rules
    }

    /// The rules, in the order in which their masks first came: of several that match with the same priority the one wins
    /// whose mask came last, so a table to which they are added in this order decides as this one does.
    pub fn rules_by_mask(&self) -> Vec<WildcardMatchRule> {
        let mut rules: Vec<_> = self.numbered_rules().collect();
        rules.sort();
        rules.into_iter().map(|(_, rule)| rule).collect()
    }

    fn numbered_rules(&self) -> impl Iterator<Item = (u64, WildcardMatchRule)> {
        self.rules.iter().map(|rule| {
            let taken_apart = WildcardMatchRule {
                priority: rule.priority.0,
                gate: rule.value.gate,
                masks: self.fields.values(&rule.mask),
                fields: self.fields.values(&rule.key),
                values: match rule.value.values {
                    NOTHING => Vec::new(),
                    at => self.values.values(&self.written[at as usize]),
                },
            };
            (rule.priority.1, taken_apart)
        })
    }
}

impl Module for WildcardMatch {
    fn class(&self) -> &'static str {
        "WildcardMatch"
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn attributes(&self) -> Vec<Attribute> {
        self.fields.attributes(Access::Read).chain(self.values.attributes(Access::Write)).collect()
    }

    fn place(&mut self, places: &[Place]) {
        let places = self.fields.place(places);
        self.values.place(places);
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let Self { fields, values, rules, written, default_gate, .. } = self;
        send_by(ctx, batch, |packet| {
            let Some(rule) = fields.gather(packet).and_then(|key| rules.lookup(&key)) else {
                return *default_gate;
            };
            if rule.value.values != NOTHING {
                values.write(&written[rule.value.values as usize], packet);
            }
            rule.value.gate
        });
    }

    fn status(&self) -> String {
        format!("{} fields, {} rules", self.fields.len(), self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::{Random, Rig, packet};
    use crate::modules::field::Field;

    /// Rules in the order of their masks, looked at one by one.
    #[derive(Default)]
    struct Twin {
        masks: Vec<Vec<Vec<u8>>>,
        rules: Vec<WildcardMatchRule>,
    }

    impl Twin {
        fn delete(&mut self, fields: &[Vec<u8>], masks: &[Vec<u8>]) -> bool {
            let before = self.rules.len();
            self.rules.retain(|rule| rule.fields != fields || rule.masks != masks);
            let Self { masks: order, rules } = self;
            order.retain(|mask| rules.iter().any(|rule| rule.masks == *mask));
            rules.len() < before
        }

        fn add(&mut self, rule: WildcardMatchRule) {
            self.rules.retain(|old| old.fields != rule.fields || old.masks != rule.masks);
            if !self.masks.contains(&rule.masks) {
                self.masks.push(rule.masks.clone());
            }
            self.rules.push(rule);
        }

        fn gate(&self, frame: &[u8]) -> Gate {
            let matches = |rule: &&WildcardMatchRule| {
                let mut bytes = frame.iter();
                rule.fields
                    .concat()
                    .iter()
                    .zip(rule.masks.concat())
                    .all(|(value, mask)| bytes.next().is_some_and(|byte| byte & mask == *value))
            };
            let rank = |rule: &&WildcardMatchRule| {
                (rule.priority, self.masks.iter().position(|mask| *mask == rule.masks))
            };
            self.rules.iter().filter(matches).max_by_key(rank).map_or(99, |rule| rule.gate)
        }
    }

    #[test]
    fn the_best_rule_decides() {
        let mut random = Random::seeded();
        for _ in 0..40 {
            let sizes: Vec<usize> = (0..1 + random.below(3)).map(|_| 1 + random.below(3)).collect();
            let mut at = 0;
            let places = sizes.iter().map(|&bytes| {
                at += bytes;
                Field::at((at - bytes) as u32, bytes)
            });
            let fields = Fields::new(places.collect()).unwrap();
            let mut module = WildcardMatch::new(fields, Fields::default(), random.next());
            module.set_default_gate(99);
            let mut twin = Twin::default();
            let some = |random: &mut Random, from: &[u8]| -> Vec<Vec<u8>> {
                sizes.iter().map(|&bytes| (0..bytes).map(|_| *random.pick(from)).collect()).collect()
            };
            for _ in 0..150 {
                let masks = some(&mut random, &[0, 0xf0, 0xff]);
                let mut fields = some(&mut random, &[0, 0x11, 0x10]);
                for (value, mask) in fields.iter_mut().flatten().zip(masks.iter().flatten()) {
                    *value &= mask;
                }
                if random.below(3) == 0 {
                    let gone = module.delete(&fields, &masks).is_ok();
                    assert_eq!(gone, twin.delete(&fields, &masks), "{random:?}");
                } else {
                    let (priority, gate) = (random.below(4) as i64 - 2, random.below(50) as Gate);
                    module.add(&fields, &masks, &[], priority, gate).unwrap();
                    twin.add(WildcardMatchRule { priority, gate, masks, fields, values: Vec::new() });
                }
                let frame = some(&mut random, &[0, 0x11, 0x10]).concat();
                assert_eq!(Rig::on(&mut module).gate(&frame), Some(twin.gate(&frame)), "{random:?}");
            }
            twin.rules.sort();
            assert_eq!(module.rules(), twin.rules, "{random:?}");
        }
    }

    #[test]
    fn values_are_written_and_their_places_used_again() {
        let fields = Fields::new(vec![Field::at(0, 1)]).unwrap();
        let values = Fields::new(vec![Field::at(1, 2), Field::attribute("qfi", 1)]).unwrap();
        let mut module = WildcardMatch::new(fields, values, 1);
        module.place(&[Place::At(3)]);
        let any = [vec![0]];
        for turn in 0..10u8 {
            let value = [vec![turn]];
            module.add(&value, &[vec![0xff]], &[vec![turn, 1], vec![turn]], 1, 1).unwrap();
            module.add(&any, &any, &[vec![turn, 2], vec![0]], 0, 0).unwrap();
            let out = Rig::on(&mut module).pass(0, [packet(&[turn, 0, 0]), packet(&[200, 0, 0])]);
            assert_eq!((out[0].0, out[0].1.data()), (1, &[turn, turn, 1][..]));
            assert_eq!(Place::At(3).read::<1>(&out[0].1), [turn]);
            assert_eq!((out[1].0, out[1].1.data()), (0, &[200, turn, 2][..]));
            module.delete(&value, &[vec![0xff]]).unwrap();
        }
        assert_eq!(module.written.len(), 2);
        assert_eq!(module.rules()[0].values, [vec![9, 2], vec![0]]);
        let wrong = module.add(&any, &any, &[], 0, 0);
        assert_eq!(wrong, Err(WildcardMatchError::Values(FieldError::Count { fields: 2, values: 0 })));
    }

    #[test]
    fn what_could_never_match_is_refused() {
        let fields = Fields::new(vec![Field::at(0, 1), Field::at(1, 1)]).unwrap();
        let mut module = WildcardMatch::new(fields, Fields::default(), 1);
        let wrong = module.add(&[vec![1], vec![3]], &[vec![1], vec![2]], &[], 0, 0);
        let expected = WildcardMatchError::OutsideMask { index: 1, value: vec![3], mask: vec![2] };
        assert_eq!(wrong, Err(expected));
        assert_eq!(module.delete(&[vec![1], vec![2]], &[vec![1], vec![2]]), Err(WildcardMatchError::NoRule));
        let masks = |at: u16| [vec![at as u8], vec![(at >> 8) as u8]];
        (1..=512).for_each(|at| module.add(&[vec![0], vec![0]], &masks(at), &[], 0, 0).unwrap());
        let full = module.add(&[vec![0], vec![0]], &masks(513), &[], 0, 0);
        assert_eq!(full, Err(WildcardMatchError::Full(RuleError::Tuples { limit: 512 })));
        module.clear();
        assert!(module.is_empty());
        module.add(&[vec![0], vec![0]], &masks(513), &[], 0, 0).unwrap();
    }

    #[test]
    fn a_short_packet_goes_to_the_default_gate() {
        let mut module =
            WildcardMatch::new(Fields::new(vec![Field::at(0, 2)]).unwrap(), Fields::default(), 1);
        module.add(&[vec![0, 0]], &[vec![0, 0]], &[], 0, 1).unwrap();
        assert_eq!(Rig::on(&mut module).gate(&[0]), None);
        module.set_default_gate(4);
        assert_eq!(Rig::on(&mut module).gate(&[0]), Some(4));
        assert_eq!(Rig::on(&mut module).gate(&[0, 0]), Some(1));
    }
}
