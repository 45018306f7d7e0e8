//! The tuple space is held to a scan over all rules in the order of their priority.

use lookup::tuple_space::{RuleError, TupleSpace};
use packet::flow::FlowHasher;
use proptest::prelude::*;

type Key = [u64; 2];

/// The twin: rules in the order they were inserted, all looked at.
#[derive(Default)]
struct Scan(Vec<(Key, Key, u32, u32)>);

impl Scan {
    fn lookup(&self, key: &Key) -> Option<u32> {
        let matching =
            self.0.iter().filter(|(bits, mask, ..)| (0..2).all(|word| key[word] & mask[word] == bits[word]));
        // Of equal ones the first, which `max_by_key` would not give.
        matching
            .fold(None::<(u32, u32)>, |best, &(_, _, priority, value)| match best {
                Some((held, _)) if held >= priority => best,
                _ => Some((priority, value)),
            })
            .map(|(_, value)| value)
    }

    fn insert(&mut self, key: Key, mask: Key, priority: u32, value: u32) -> Option<u32> {
        if let Some(rule) = self.0.iter_mut().find(|rule| (rule.0, rule.1, rule.2) == (key, mask, priority)) {
            return Some(std::mem::replace(&mut rule.3, value));
        }
        self.0.push((key, mask, priority, value));
        None
    }

    fn remove(&mut self, key: Key, mask: Key, priority: u32) -> Option<u32> {
        let at = self.0.iter().position(|rule| (rule.0, rule.1, rule.2) == (key, mask, priority))?;
        Some(self.0.remove(at).3)
    }
}

/// Few different words, so that rules overlap.
fn word() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 1, 2, 3, 1 << 63, 1 << 63 | 1])
}

fn mask() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 1, 2, 3, 1 << 63, u64::MAX])
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Key, Key, u32),
    /// The rule at this place, modulo how many there are.
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let insert = ([word(), word()], [mask(), mask()], 0u32..4)
        .prop_map(|(key, mask, priority)| Step::Insert([key[0] & mask[0], key[1] & mask[1]], mask, priority));
    prop::collection::vec(prop_oneof![3 => insert, 1 => any::<usize>().prop_map(Step::Remove)], 1..80)
}

proptest! {
    /// Answers, lengths and removed values are the scan's after every step; and where two keys agree on the bits a lookup
    /// looked at, they have one answer.
    #[test]
    fn is_the_scan(
        steps in steps(),
        keys in prop::collection::vec([word(), word()], 8),
        noise in prop::collection::vec(any::<Key>(), 8),
        seed: u128,
    ) {
        let mut rules = TupleSpace::<2, u32>::with_hasher(FlowHasher::new(seed));
        let mut twin = Scan::default();
        for (value, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(key, mask, priority) => {
                    let value = value as u32;
                    let replaced = rules.insert(key, mask, priority, value).unwrap();
                    prop_assert_eq!(replaced, twin.insert(key, mask, priority, value));
                }
                Step::Remove(_) if twin.0.is_empty() => {}
                Step::Remove(at) => {
                    let (key, mask, priority, _) = twin.0[at % twin.0.len()];
                    prop_assert_eq!(rules.remove(&key, &mask, priority), twin.remove(key, mask, priority));
                    prop_assert_eq!(rules.remove(&key, &mask, priority), None);
                }
            }
            prop_assert_eq!(rules.len(), twin.0.len());
            for key in &keys {
                let right = twin.lookup(key);
                prop_assert_eq!(rules.lookup(key).map(|rule| rule.value), right);
                let mut looked_at = [0; 2];
                let found = rules.lookup_and_mask(key, &mut looked_at).map(|rule| rule.value);
                prop_assert_eq!(found, right);
                for other in keys.iter().chain(&noise) {
                    let like: Key = std::array::from_fn(|w| key[w] & looked_at[w] | other[w] & !looked_at[w]);
                    prop_assert_eq!(twin.lookup(&like), right, "{:x?} is not under {:x?}", like, looked_at);
                }
            }
        }
        let mut listed: Vec<_> = rules.iter().map(|rule| (rule.key, rule.mask, rule.priority, rule.value)).collect();
        listed.sort_unstable();
        twin.0.sort_unstable();
        prop_assert_eq!(&listed, &twin.0);
        for (key, mask, priority, value) in listed {
            prop_assert_eq!(rules.remove(&key, &mask, priority), Some(value));
        }
        prop_assert!(rules.is_empty() && rules.tuples() == 0);
    }
}

#[test]
fn the_search_ends_before_tuples_that_cannot_win() {
    let mut rules = TupleSpace::<1, u32>::with_hasher(FlowHasher::new(1));
    rules.insert([1], [0xff], 9, 1).unwrap();
    rules.insert([0], [0xff00], 5, 2).unwrap();
    let mut looked_at = [0];
    assert_eq!(rules.lookup_and_mask(&[1], &mut looked_at).unwrap().value, 1);
    assert_eq!(looked_at, [0xff]);
    assert_eq!(rules.lookup_and_mask(&[2], &mut looked_at).unwrap().value, 2);
    assert_eq!(looked_at, [0xffff]);
}

#[test]
fn priorities_may_be_pairs_and_the_best_of_one_place_is_found() {
    let mut rules = TupleSpace::<1, u32, _, (i64, u64)>::with_hasher(FlowHasher::new(1));
    rules.insert([0], [0], (-1, 1), 1).unwrap();
    rules.insert([5], [7], (-1, 2), 2).unwrap();
    rules.insert([5], [7], (-9, 3), 3).unwrap();
    assert_eq!(rules.lookup(&[5]).unwrap().value, 2);
    assert_eq!(rules.get(&[5], &[7]).unwrap().priority, (-1, 2));
    assert_eq!(rules.remove(&[5], &[7], (-1, 2)), Some(2));
    assert_eq!(rules.get(&[5], &[7]).unwrap().value, 3);
    assert_eq!(rules.lookup(&[5]).unwrap().value, 1);
    assert!(rules.get(&[5], &[0xf]).is_none() && rules.get(&[6], &[7]).is_none());
}

#[test]
fn limits_and_wrong_rules_are_named_and_change_nothing() {
    let mut rules = TupleSpace::<1, u32>::with_limits(3, 2, FlowHasher::new(1));
    rules.insert([1], [1], 0, 0).unwrap();
    rules.insert([2], [2], 0, 0).unwrap();
    let wrong = rules.insert([4], [4], 0, 0).unwrap_err();
    assert_eq!(wrong, RuleError::Tuples { limit: 2 });
    rules.insert([0], [2], 0, 0).unwrap();
    let wrong = rules.insert([0], [1], 0, 0).unwrap_err();
    assert_eq!(wrong, RuleError::Rules { limit: 3 });
    assert_eq!(rules.insert([0], [2], 0, 7), Ok(Some(0)), "a new value needs no room");
    let wrong = rules.insert([3], [1], 0, 0).unwrap_err();
    assert_eq!(wrong, RuleError::OutsideMask { word: 0, key: 3, mask: 1 });
    assert_eq!((rules.len(), rules.tuples()), (3, 2));
    rules.remove(&[1], &[1], 0).unwrap();
    rules.insert([4], [4], 0, 0).unwrap();
}
