//! [`ExactMatch`].

use std::hash::{Hash, Hasher};

use lookup::flow_table::{FlowId, FlowTable};
use packet::flow::FlowHasher;
use packet::{BATCH, Batch};
use thiserror::Error;

use super::field::{FieldError, Fields, KEY_WORDS, Key};
use super::gates::{DROP, send};
use crate::engine::{Access, Attribute, Context, GATES_MAX, Gate, Module, Place};

/// Rules that a table begins with room for when nobody says how many there will be.
const ENTRIES_FIRST: usize = 1 << 10;
/// By how much a table grows that is full.
const GROWTH: usize = 4;
/// Most rules.
pub const ENTRIES_MAX: usize = 1 << 22;

/// Sends packets to gates by the exact values of some fields.
///
/// *Input gates*: one. *Output gates*: those of the rules and the default gate, up to 8191.
///
/// A rule is a value for each field and a gate. A packet goes to the gate of the one rule whose values its fields
/// have, where bits outside of the fields' masks do not count; without such a rule, and where a field lies behind the
/// packet's end, it goes to the default gate, which drops until it is set. Rules may also carry values that are
/// written into other fields or metadata attributes of the packets they match.
///
/// The table grows as rules come, which makes those wait that are in the way: 10 ms for each 100,000 rules. With
/// `entries` said at the start it has room for so many at once and never grows. [`ENTRIES_MAX`] is the limit either
/// way.
///
/// ```
/// use softnic::modules::{ExactMatch, Field, Fields};
///
/// // IPv4 addresses.
/// let fields = Fields::new(vec![Field::at(26, 4), Field::at(30, 4)])?;
/// let mut module = ExactMatch::new(fields, Fields::default(), None, 0x5eed);
/// module.add(&[vec![10, 0, 0, 1], vec![10, 0, 0, 2]], &[], 1)?;
/// module.set_default_gate(0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ExactMatch {
    fields: Fields,
    values: Fields,
    rules: Box<dyn Table>,
    default_gate: Gate,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExactMatchError {
    /// With its fields.
    #[error(transparent)]
    Fields(#[from] FieldError),
    /// With its values.
    #[error("values: {0}")]
    Values(FieldError),
    /// As many rules as there may be.
    #[error("{limit} rules are there, as many as may be")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// There is no such rule.
    #[error("rule doesn't exist")]
    NoRule,
}

/// A rule, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactMatchRule {
    /// Where packets go.
    pub gate: Gate,
    /// The value of each field.
    pub fields: Vec<Vec<u8>>,
    /// The values written.
    pub values: Vec<Vec<u8>>,
}

/// What a rule does.
#[derive(Clone, Debug)]
struct Rule {
    gate: Gate,
    values: Option<Box<Key>>,
}

impl ExactMatch {
    /// Matches on `fields` and writes `values`; with room for `entries` rules, or as much as they turn out to need. The
    /// seed keys the hash.
    pub fn new(fields: Fields, values: Fields, entries: Option<usize>, seed: u64) -> Self {
        let rules = table(fields.words(), entries, FlowHasher::new(seed.into()));
        Self { fields, values, rules, default_gate: DROP }
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

    /// Adds a rule, or changes the one with these fields.
    ///
    /// # Errors
    /// What is wrong with it; then nothing changes.
    pub fn add(&mut self, fields: &[Vec<u8>], values: &[Vec<u8>], gate: Gate) -> Result<(), ExactMatchError> {
        let key = self.fields.visible(self.fields.key(fields)?);
        let values = self.values.key(values).map_err(ExactMatchError::Values)?;
        let values = (!self.values.is_empty()).then(|| Box::new(values));
        self.rules.insert(&key, Rule { gate, values }).map_err(|limit| ExactMatchError::Full { limit })
    }

    /// Takes the rule with these fields out.
    ///
    /// # Errors
    /// What is wrong with the fields; that there is no such rule.
    pub fn delete(&mut self, fields: &[Vec<u8>]) -> Result<(), ExactMatchError> {
        let key = self.fields.visible(self.fields.key(fields)?);
        if self.rules.remove(&key) { Ok(()) } else { Err(ExactMatchError::NoRule) }
    }

    /// Takes all rules out.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// One like it without rules, and without a default gate, to be filled and put in its place.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let (fields, values) = (self.fields.clone(), self.values.clone());
        Self { fields, values, rules: self.rules.emptied(), default_gate: DROP }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rules, by gate and then by fields.
    pub fn rules(&self) -> Vec<ExactMatchRule> {
        let mut rules = Vec::with_capacity(self.len());
        self.rules.each(&mut |key, rule| {
            let values = rule.values.as_ref().map_or_else(Vec::new, |values| self.values.values(values));
            rules.push(ExactMatchRule { gate: rule.gate, fields: self.fields.values(&key), values });
        });
        rules.sort();
        rules
    }
}

impl Module for ExactMatch {
    fn class(&self) -> &'static str {
        "ExactMatch"
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
        let (mut keys, mut whole) = ([[0; KEY_WORDS]; BATCH], [false; BATCH]);
        for ((key, whole), packet) in keys.iter_mut().zip(&mut whole).zip(&*batch) {
            if let Some(gathered) = self.fields.gather(packet) {
                (*key, *whole) = (gathered, true);
            }
        }
        let (mut found, count) = ([None; BATCH], batch.len());
        self.rules.find(&keys[..count], &mut found);
        let mut gates = [self.default_gate; BATCH];
        for (lane, packet) in batch.iter_mut().enumerate() {
            let Some(rule) = found[lane].filter(|_| whole[lane]) else { continue };
            gates[lane] = rule.gate;
            if let Some(values) = &rule.values {
                self.values.write(values, packet);
            }
        }
        send(ctx, batch, &gates[..count]);
    }

    fn status(&self) -> String {
        format!("{} fields, {} rules", self.fields.len(), self.len())
    }
}

/// The rules by their keys, of which only so many words are kept as the fields need.
trait Table: Send {
    fn find<'a>(&'a self, keys: &[Key], found: &mut [Option<&'a Rule>]);
    /// The error is the limit.
    fn insert(&mut self, key: &Key, rule: Rule) -> Result<(), usize>;
    fn remove(&mut self, key: &Key) -> bool;
    fn clear(&mut self);
    fn len(&self) -> usize;
    fn each(&self, tell: &mut dyn FnMut(Key, &Rule));
    fn emptied(&self) -> Box<dyn Table>;
}

fn table(words: usize, entries: Option<usize>, hasher: FlowHasher) -> Box<dyn Table> {
    match words {
        0..=1 => Box::new(Rules::<1>::new(entries, hasher)),
        2 => Box::new(Rules::<2>::new(entries, hasher)),
        3..=4 => Box::new(Rules::<4>::new(entries, hasher)),
        _ => Box::new(Rules::<KEY_WORDS>::new(entries, hasher)),
    }
}

/// The words of a key that are kept, hashed as words.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Words<const N: usize>([u64; N]);

impl<const N: usize> Words<N> {
    #[inline]
    fn of(key: &Key) -> Self {
        let mut words = [0; N];
        words.iter_mut().zip(key).for_each(|(word, whole)| *word = *whole);
        Self(words)
    }
}

impl<const N: usize> Hash for Words<N> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|word| state.write_u64(*word));
    }
}

/// Rules do not run out of time.
const NEVER_NS: u64 = u64::MAX;

struct Rules<const N: usize> {
    table: FlowTable<Words<N>, Rule>,
    hasher: FlowHasher,
    first: usize,
    limit: usize,
}

impl<const N: usize> Rules<N> {
    fn new(entries: Option<usize>, hasher: FlowHasher) -> Self {
        let limit = entries.unwrap_or(ENTRIES_MAX).clamp(1, ENTRIES_MAX);
        let first = if entries.is_some() { limit } else { ENTRIES_FIRST };
        Self { table: FlowTable::with_hasher(first, hasher), hasher, first, limit }
    }

    fn grow(&mut self) {
        let capacity = (self.table.capacity() * GROWTH).min(self.limit);
        let mut larger = FlowTable::with_hasher(capacity, self.hasher);
        for (_, key, rule) in self.table.iter() {
            // It is larger.
            let _ = larger.insert(*key, rule.clone(), NEVER_NS, 0);
        }
        self.table = larger;
    }

    fn id(&self, key: &Key) -> Option<FlowId> {
        self.table.find(&Words::of(key), 0)
    }
}

impl<const N: usize> Table for Rules<N> {
    fn find<'a>(&'a self, keys: &[Key], found: &mut [Option<&'a Rule>]) {
        let (mut words, mut ids) = ([Words([0; N]); BATCH], [None; BATCH]);
        for (words, key) in words.iter_mut().zip(keys) {
            *words = Words::of(key);
        }
        self.table.find_batch(&words[..keys.len().min(BATCH)], 0, &mut ids);
        for (found, id) in found.iter_mut().zip(ids) {
            *found = id.and_then(|id| self.table.get(id));
        }
    }

    fn insert(&mut self, key: &Key, rule: Rule) -> Result<(), usize> {
        if self.table.len() == self.table.capacity() && self.id(key).is_none() {
            if self.table.capacity() >= self.limit {
                return Err(self.limit);
            }
            self.grow();
        }
        self.table.insert(Words::of(key), rule, NEVER_NS, 0).map(|_| ()).map_err(|full| full.capacity)
    }

    fn remove(&mut self, key: &Key) -> bool {
        self.id(key).and_then(|id| self.table.remove(id)).is_some()
    }

    fn clear(&mut self) {
        self.table = FlowTable::with_hasher(self.first, self.hasher);
    }

    fn len(&self) -> usize {
        self.table.len()
    }

    fn emptied(&self) -> Box<dyn Table> {
        let table = FlowTable::with_hasher(self.first, self.hasher);
        Box::new(Self { table, hasher: self.hasher, first: self.first, limit: self.limit })
    }

    fn each(&self, tell: &mut dyn FnMut(Key, &Rule)) {
        for (_, Words(words), rule) in self.table.iter() {
            tell(std::array::from_fn(|word| words.get(word).copied().unwrap_or(0)), rule);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::engine::rig::{Random, Rig, packet};
    use crate::modules::field::Field;

    fn fields(of: &[(u32, usize)]) -> Fields {
        Fields::new(of.iter().map(|&(offset, bytes)| Field::at(offset, bytes)).collect()).unwrap()
    }

    #[test]
    fn a_packet_goes_where_its_fields_say() {
        let mut random = Random::seeded();
        for _ in 0..60 {
            // Few values of few bytes, so that many match.
            let places: Vec<(u32, usize)> =
                (0..1 + random.below(8)).map(|at| (at as u32 * 8, 1 + random.below(8))).collect();
            let mut module = ExactMatch::new(fields(&places), Fields::default(), None, random.next());
            let mut twin: HashMap<Vec<Vec<u8>>, Gate> = HashMap::new();
            module.set_default_gate(77);
            for _ in 0..200 {
                let key: Vec<Vec<u8>> =
                    places.iter().map(|&(_, bytes)| vec![random.below(2) as u8; bytes]).collect();
                match random.below(3) {
                    0 => {
                        let gate = random.below(70) as Gate;
                        module.add(&key, &[], gate).unwrap();
                        twin.insert(key, gate);
                    }
                    1 => assert_eq!(module.delete(&key).is_ok(), twin.remove(&key).is_some(), "{random:?}"),
                    _ => {
                        let mut frame = random.bytes(72);
                        for ((offset, _), value) in places.iter().zip(&key) {
                            frame[*offset as usize..][..value.len()].copy_from_slice(value);
                        }
                        let expected = twin.get(&key).copied().unwrap_or(77);
                        assert_eq!(Rig::on(&mut module).gate(&frame), Some(expected), "{random:?}");
                    }
                }
            }
            assert_eq!(module.len(), twin.len());
        }
    }

    #[test]
    fn batches_are_matched_packet_by_packet() {
        let mut module = ExactMatch::new(fields(&[(0, 1)]), Fields::default(), None, 1);
        (0..4).for_each(|value| module.add(&[vec![value]], &[], value.into()).unwrap());
        let frames = (0..100u8).map(|at| packet(&[at % 8, at]));
        let out = Rig::on(&mut module).pass(0, frames);
        assert_eq!(out.len(), 52, "those of no rule are dropped");
        assert!(out.iter().all(|(gate, packet)| *gate == Gate::from(packet.data()[0])));
    }

    #[test]
    fn bits_outside_of_the_mask_do_not_count() {
        let masked = Fields::new(vec![Field::at(0, 2).masked(&[0xff, 0xf0])]).unwrap();
        let mut module = ExactMatch::new(masked, Fields::default(), None, 1);
        module.add(&[vec![0x77, 0x7f]], &[], 2).unwrap();
        assert_eq!(Rig::on(&mut module).gate(&[0x77, 0x71]), Some(2));
        assert_eq!(Rig::on(&mut module).gate(&[0x77, 0x81]), None);
        assert_eq!(module.rules()[0].fields, [[0x77, 0x70]]);
        module.delete(&[vec![0x77, 0x70]]).unwrap();
        assert_eq!(module.delete(&[vec![0x77, 0x70]]), Err(ExactMatchError::NoRule));
    }

    #[test]
    fn a_short_packet_goes_to_the_default_gate() {
        let mut module = ExactMatch::new(fields(&[(4, 2)]), Fields::default(), None, 1);
        module.add(&[vec![0, 0]], &[], 1).unwrap();
        module.set_default_gate(9);
        assert_eq!(Rig::on(&mut module).gate(&[0; 5]), Some(9));
        assert_eq!(Rig::on(&mut module).gate(&[0; 6]), Some(1));
    }

    #[test]
    fn a_match_writes_its_values() {
        let values = Fields::new(vec![Field::at(1, 2), Field::attribute("teid", 4)]).unwrap();
        let mut module = ExactMatch::new(fields(&[(0, 1)]), values, None, 1);
        module.place(&[Place::At(8)]);
        module.add(&[vec![5]], &[vec![0xaa, 0xbb], vec![1, 2, 3, 4]], 0).unwrap();
        let out = Rig::on(&mut module).pass(0, [packet(&[5, 0, 0, 9])]);
        assert_eq!(out[0].1.data(), [5, 0xaa, 0xbb, 9]);
        assert_eq!(Place::At(8).read::<4>(&out[0].1), [1, 2, 3, 4]);
        assert_eq!(module.rules()[0].values, [vec![0xaa, 0xbb], vec![1, 2, 3, 4]]);
        assert_eq!(
            module.add(&[vec![5]], &[], 0),
            Err(ExactMatchError::Values(FieldError::Count { fields: 2, values: 0 }))
        );
    }

    #[test]
    fn attributes_are_read_and_written() {
        let read = Fields::new(vec![Field::at(0, 1), Field::attribute("in", 2)]).unwrap();
        let written = Fields::new(vec![Field::attribute("out", 1)]).unwrap();
        let mut module = ExactMatch::new(read, written, None, 1);
        assert_eq!(module.attributes(), [Attribute::read("in", 2), Attribute::write("out", 1)]);
        module.place(&[Place::At(0), Place::NoWrite]);
        module.add(&[vec![1], vec![2, 3]], &[vec![4]], 6).unwrap();
        let mut marked = packet(&[1]);
        Place::At(0).write(&mut marked, [2, 3]);
        assert_eq!(Rig::on(&mut module).pass(0, [marked])[0].0, 6);
    }

    #[test]
    fn the_table_grows_to_its_limit() {
        let number = |at: usize| [(at as u32).to_le_bytes().to_vec()];
        let mut module = ExactMatch::new(fields(&[(0, 4)]), Fields::default(), None, 1);
        (0..5000).for_each(|at| module.add(&number(at), &[], (at % 8000) as Gate).unwrap());
        (0..5000).for_each(|at| {
            assert_eq!(Rig::on(&mut module).gate(&number(at)[0]), Some((at % 8000) as Gate));
        });
        let mut bounded = ExactMatch::new(fields(&[(0, 4)]), Fields::default(), Some(3), 1);
        (0..3).for_each(|at| bounded.add(&number(at), &[], 0).unwrap());
        assert_eq!(bounded.add(&number(3), &[], 0), Err(ExactMatchError::Full { limit: 3 }));
        bounded.add(&number(2), &[], 5).unwrap();
        bounded.clear();
        bounded.add(&number(3), &[], 0).unwrap();
    }
}
