//! What a tuple space search costs, beside the same rules tried one by one, and beside a hash table of whole keys, which is
//! what a lookup without masks would cost: `cargo bench -p lookup --bench tuple_space`. Prints the tables of the README.
//!
//! CPU nanoseconds of this thread, the least of several passes. Every answer is compared with the scan's first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

use lookup::acl::classbench::Flavour;
use lookup::tuple_space::TupleSpace;
use packet::flow::FlowHasher;
use rustix::time::{ClockId, clock_gettime};

#[path = "tuple_rules/mod.rs"]
mod tuple_rules;

use tuple_rules::{Key, Masked, Set, WORDS};

/// Keys looked up in one pass.
const KEYS: usize = 1 << 14;
/// Rules that are looked at in one pass of the scan, at most, by fewer keys.
const SCANNED: usize = 1 << 24;
const ROUNDS: usize = 5;
const HASHER: FlowHasher = FlowHasher::new(7);

fn main() {
    println!("Every mask is visited:\n");
    println!(
        "| rules | masks | ns a lookup | one by one | hash table of whole keys |\n|---|---|---|---|---|"
    );
    for rules in [100, 1_000, 10_000, 100_000] {
        for masks in [1, 8, 64, 256] {
            if masks <= rules {
                let set = tuple_rules::even(rules, masks, KEYS);
                let measured = measure(&set);
                println!(
                    "| {rules} | {masks} | {:.0} | {:.0} | {:.0} |",
                    measured.search,
                    measured.scan,
                    whole_keys(&set)
                );
            }
        }
    }
    println!("\nAs switches hold them:\n");
    println!(
        "| rules | flows | masks | visited | ns a lookup | with the mask of what was looked at | one by one |\n\
         |---|---|---|---|---|---|---|"
    );
    let access_lists = Flavour::ALL.map(|flavour| tuple_rules::access_list(flavour, 1_000, KEYS));
    let caches = access_lists.iter().map(cache).collect::<Vec<_>>();
    let others = [tuple_rules::learning_switch(10_000, KEYS), tuple_rules::routes(10_000, KEYS)];
    for set in others.iter().chain(&access_lists).chain(&caches) {
        let measured = measure(set);
        println!(
            "| {} | {} | {} | {:.1} | {:.0} | {:.0} | {:.0} |",
            set.name,
            set.rules.len(),
            measured.masks,
            measured.visited,
            measured.search,
            measured.with_mask,
            measured.scan
        );
    }
    println!("\nA rule of 10,000 in 64 masks taken out and put back: {:.0} ns a change.", update());
}

/// Figures of one set.
struct Measured {
    masks: usize,
    /// Masks a lookup visits, on average.
    visited: f64,
    search: f64,
    with_mask: f64,
    scan: f64,
}

fn table(rules: &[Masked]) -> TupleSpace<WORDS, u32> {
    let mut table = TupleSpace::with_hasher(HASHER);
    for (value, rule) in rules.iter().enumerate() {
        table.insert(rule.key, rule.mask, rule.priority, value as u32).expect("room");
    }
    table
}

/// The rule of the highest priority; of equal ones the first.
fn scan<'a>(by_priority: &'a [Masked], key: &Key) -> Option<&'a Masked> {
    by_priority.iter().find(|rule| (0..WORDS).all(|word| key[word] & rule.mask[word] == rule.key[word]))
}

fn measure(set: &Set) -> Measured {
    let table = table(&set.rules);
    let mut by_priority = set.rules.clone();
    by_priority.sort_by_key(|rule| Reverse(rule.priority));
    let few = &set.keys[..KEYS.min(SCANNED / set.rules.len())];
    for key in few {
        let (ours, right) = (table.lookup(key), scan(&by_priority, key));
        assert_eq!(
            ours.map(|rule| (rule.key, rule.mask, rule.priority)),
            right.map(|rule| (rule.key, rule.mask, rule.priority))
        );
    }
    let mut tops = BTreeMap::<Key, u32>::new();
    for rule in &set.rules {
        let top = tops.entry(rule.mask).or_default();
        *top = (*top).max(rule.priority);
    }
    let visited = |key| {
        let priority = table.lookup(key).map_or(0, |rule| rule.priority);
        tops.values().filter(|top| **top >= priority).count()
    };
    Measured {
        masks: table.tuples(),
        visited: set.keys.iter().map(visited).sum::<usize>() as f64 / KEYS as f64,
        search: least(&set.keys, |key| table.lookup(key).map(|rule| rule.value)),
        with_mask: least(&set.keys, |key| {
            let mut looked_at = [0; WORDS];
            (table.lookup_and_mask(key, &mut looked_at).map(|rule| rule.value), looked_at)
        }),
        scan: least(few, |key| scan(&by_priority, key).map(|rule| rule.priority)),
    }
}

/// The keys that are looked up, among as many others as there are rules, in a map under the same hasher.
fn whole_keys(set: &Set) -> f64 {
    let keys = set.rules.iter().map(|rule| rule.key).chain(set.keys.iter().copied());
    let mut map = HashMap::<Key, usize, _>::with_hasher(HASHER);
    map.extend(keys.zip(0..));
    least(&set.keys, |key| map.get(key).copied())
}

/// What Open vSwitch's caches hold of a slow table: the keys that were seen, under the bits their lookups depended on.
fn cache(slow: &Set) -> Set {
    let table = table(&slow.rules);
    let mut entries = std::collections::BTreeSet::new();
    for key in &slow.keys {
        let mut mask = [0; WORDS];
        if table.lookup_and_mask(key, &mut mask).is_some() {
            entries.insert((mask, std::array::from_fn(|word| key[word] & mask[word])));
        }
    }
    let rules = entries.into_iter().map(|(mask, key)| Masked { key, mask, priority: 0 }).collect();
    Set { name: format!("cache of: {}", slow.name), rules, keys: slow.keys.clone() }
}

fn update() -> f64 {
    let mut table = table(&tuple_rules::even(10_000, 64, KEYS).rules);
    let some: Vec<_> = table.iter().take(1000).copied().collect();
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = cpu_ns();
        for rule in &some {
            table.remove(&rule.key, &rule.mask, rule.priority);
            table.insert(rule.key, rule.mask, rule.priority, rule.value).expect("room");
        }
        best = best.min((cpu_ns() - start) / (2 * some.len()) as f64);
    }
    best
}

/// Nanoseconds a key, of the fastest pass.
fn least<R>(keys: &[Key], lookup: impl Fn(&Key) -> R) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = cpu_ns();
        for key in keys {
            black_box(lookup(black_box(key)));
        }
        best = best.min((cpu_ns() - start) / keys.len() as f64);
    }
    best
}

/// Nanoseconds that this thread has used.
fn cpu_ns() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
