//! What a tuple space search costs: `cargo bench -p lookup --bench tuple_space`.

use std::hint::black_box;

use divan::Bencher;
use lookup::lpm::sample::Random;
use lookup::tuple_space::TupleSpace;
use packet::flow::FlowHasher;

/// Words of a key: enough for Ethernet, IPv6 and ports.
const WORDS: usize = 8;
/// Rules of all tuples.
const RULES: usize = 10_000;
/// Keys looked up in one iteration.
const KEYS: usize = 1 << 14;

fn main() {
    divan::main();
}

type Key = [u64; WORDS];

/// Tuple `i` masks two words and a number of bits of a third.
fn masks(tuples: usize) -> Vec<Key> {
    let mask = |at: usize| {
        let mut mask = [0; WORDS];
        (mask[0], mask[1 + at % 6]) = (u64::MAX, u64::MAX << (at / 6 % 48));
        mask
    };
    (0..tuples).map(mask).collect()
}

/// `ranked`: each tuple has a priority of its own, so that a search may end early; otherwise all have one.
fn rules(tuples: usize, ranked: bool) -> (TupleSpace<WORDS, u32>, Vec<Key>) {
    let (mut rules, mut random, masks) =
        (TupleSpace::with_hasher(FlowHasher::new(7)), Random(1), masks(tuples));
    let mut keys = Vec::new();
    for value in 0..RULES {
        let mask = masks[value % tuples];
        let key: Key = std::array::from_fn(|_| random.next_u64());
        keys.push(key);
        let bits = std::array::from_fn(|word| key[word] & mask[word]);
        let priority = if ranked { (value % tuples) as u32 } else { 0 };
        rules.insert(bits, mask, priority, value as u32).expect("room");
    }
    let keys = (0..KEYS).map(|_| keys[random.below(RULES as u64) as usize]).collect();
    (rules, keys)
}

fn lookups(bencher: Bencher, tuples: usize, ranked: bool) {
    let (rules, keys) = rules(tuples, ranked);
    bencher.counter(KEYS).bench_local(|| {
        for key in &keys {
            black_box(rules.lookup(black_box(key)));
        }
    });
}

/// Every tuple is visited.
#[divan::bench(args = [1, 4, 16, 64, 256])]
fn one_priority(bencher: Bencher, tuples: usize) {
    lookups(bencher, tuples, false);
}

/// On average half of them.
#[divan::bench(args = [1, 4, 16, 64, 256])]
fn a_priority_for_each_tuple(bencher: Bencher, tuples: usize) {
    lookups(bencher, tuples, true);
}

/// With the mask of what was looked at.
#[divan::bench(args = [16])]
fn with_mask(bencher: Bencher, tuples: usize) {
    let (rules, keys) = rules(tuples, true);
    bencher.counter(KEYS).bench_local(|| {
        for key in &keys {
            let mut looked_at = [0; WORDS];
            black_box(rules.lookup_and_mask(black_box(key), &mut looked_at));
            black_box(looked_at);
        }
    });
}

/// A rule taken out and put back.
#[divan::bench(args = [16])]
fn update(bencher: Bencher, tuples: usize) {
    let (mut rules, _) = rules(tuples, true);
    let some: Vec<_> = rules.iter().take(1000).copied().collect();
    bencher.counter(2 * some.len()).bench_local(|| {
        for rule in &some {
            rules.remove(&rule.key, &rule.mask, rule.priority);
            rules.insert(rule.key, rule.mask, rule.priority, rule.value).expect("room");
        }
    });
}
