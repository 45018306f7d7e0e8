//! Maglev's table beside the paper's pseudo-code, and the paper's two aims: even spread, little disruption.

use std::hash::{BuildHasher, Hasher};

use lookup::maglev::{Backend, Maglev, MaglevError, SIZE_LARGE, SIZE_MAX, SIZE_SMALL};
use packet::flow::FlowHasher;
use proptest::prelude::*;

const HASHER: FlowHasher = FlowHasher::new(0x5eed);

fn names(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("10.0.{}.{}:80", number / 256, number % 256).into_bytes()).collect()
}

fn equal(names: &[Vec<u8>]) -> Vec<Backend<'_>> {
    names.iter().map(|name| Backend { name, weight: 1 }).collect()
}

fn shares(table: &Maglev, backends: usize) -> Vec<usize> {
    let mut shares = vec![0; backends];
    table.entries().iter().for_each(|&owner| shares[usize::from(owner)] += 1);
    shares
}

/// Pseudocode 1, line by line, with the permutations written out (section 3.4). For weights: in round r a back end moves
/// when floor(r × weight / heaviest) rises.
fn pseudocode(m: usize, backends: &[Backend<'_>]) -> Vec<u16> {
    let hash = |which: u64, name: &[u8]| {
        let mut state = HASHER.build_hasher();
        state.write_u64(which);
        state.write(name);
        u128::from(state.finish())
    };
    let mut order: Vec<usize> = (0..backends.len()).collect();
    order.sort_by_key(|&i| backends[i].name);
    let permutation: Vec<Vec<usize>> = backends
        .iter()
        .map(|backend| {
            let offset = hash(0, backend.name) % m as u128;
            let skip = hash(1, backend.name) % (m as u128 - 1) + 1;
            (0..m as u128).map(|j| ((offset + j * skip) % m as u128) as usize).collect()
        })
        .collect();
    let heaviest = backends.iter().map(|backend| u128::from(backend.weight)).max().unwrap();
    let mut next = vec![0; backends.len()];
    let mut entry = vec![-1; m];
    let mut n = 0;
    for round in 0u128.. {
        for &i in &order {
            let weight = u128::from(backends[i].weight);
            if (round + 1) * weight / heaviest == round * weight / heaviest {
                continue;
            }
            let mut c = permutation[i][next[i]];
            while entry[c] >= 0 {
                next[i] += 1;
                c = permutation[i][next[i]];
            }
            entry[c] = i as i32;
            next[i] += 1;
            n += 1;
            if n == m {
                return entry.into_iter().map(|owner| owner as u16).collect();
            }
        }
    }
    unreachable!()
}

proptest! {
    #[test]
    fn is_what_the_paper_writes(
        size in prop::sample::select(vec![2usize, 3, 5, 7, 13, 251, 1009]),
        weights in prop::collection::vec(prop_oneof![Just(1u32), 0..8u32, 0..2000u32], 1..40),
    ) {
        let weights = &weights[..weights.len().min(size)];
        let names = names(weights.len());
        let backends: Vec<_> =
            names.iter().zip(weights).map(|(name, &weight)| Backend { name, weight }).collect();
        let table = Maglev::new(size, &backends, HASHER);
        if weights.iter().all(|&weight| weight == 0) {
            prop_assert_eq!(table, Err(MaglevError::NoBackends { count: weights.len() }));
        } else {
            prop_assert_eq!(table.unwrap().entries().to_vec(), pseudocode(size, &backends));
        }
    }

    /// The share of hashes a back end gets is its share of the table.
    #[test]
    fn a_lookup_reads_the_entry_its_hash_points_at(hash in any::<u64>()) {
        let names = names(7);
        let table = Maglev::new(251, &equal(&names), HASHER).unwrap();
        let at = (hash as f64 / 2f64.powi(64) * 251.0) as usize;
        let near = [at.saturating_sub(1), at, (at + 1).min(250)].map(|at| usize::from(table.entries()[at]));
        prop_assert!(near.contains(&table.lookup(hash)));
    }
}

#[test]
fn the_first_and_the_last_hash() {
    let names = names(5);
    let table = Maglev::new(SIZE_SMALL, &equal(&names), HASHER).unwrap();
    assert_eq!(table.lookup(0), usize::from(table.entries()[0]));
    assert_eq!(table.lookup(u64::MAX), usize::from(table.entries()[SIZE_SMALL - 1]));
}

/// Section 3.4: M above 100 × N keeps the shares within 1 %; more exactly, equal weights differ by one entry at most.
#[test]
fn equal_weights_have_equal_shares() {
    for (size, count) in [(SIZE_SMALL, 3), (SIZE_SMALL, 655), (SIZE_SMALL, 10_000), (SIZE_LARGE, 6_553)] {
        let names = names(count);
        let shares = shares(&Maglev::new(size, &equal(&names), HASHER).unwrap(), count);
        let (min, max) = (*shares.iter().min().unwrap(), *shares.iter().max().unwrap());
        assert!(max - min <= 1, "{size} entries, {count} back ends: {min} to {max}");
        if size > 100 * count {
            assert!(max as f64 / min as f64 <= 1.01, "{size} entries, {count} back ends: {min} to {max}");
        }
    }
}

#[test]
fn weights_are_shares() {
    let names = names(6);
    let weights = [1, 2, 3, 500, 0, 1_000_000_000];
    let backends: Vec<_> = names.iter().zip(weights).map(|(name, weight)| Backend { name, weight }).collect();
    let shares = shares(&Maglev::new(SIZE_SMALL, &backends[..5], HASHER).unwrap(), 5);
    for (share, weight) in shares.iter().zip(weights) {
        let exact = SIZE_SMALL as f64 * f64::from(weight) / 506.0;
        assert!((*share as f64 - exact).abs() <= 2.0, "{shares:?}");
    }
    // One among many that outweighs them all: quick, and the rest get what is theirs, nothing.
    let table = Maglev::new(SIZE_SMALL, &backends, HASHER).unwrap();
    assert!(table.entries().iter().all(|&owner| owner == 5));
}

#[test]
fn the_order_of_the_back_ends_does_not_matter() {
    let names = names(50);
    let (forward, mut backward) = (equal(&names), equal(&names));
    backward.reverse();
    let forward = Maglev::new(SIZE_SMALL, &forward, HASHER).unwrap();
    let backward = Maglev::new(SIZE_SMALL, &backward, HASHER).unwrap();
    assert!(forward.entries().iter().zip(backward.entries()).all(|(one, other)| *one == 49 - *other));
}

#[test]
fn the_key_changes_the_table() {
    let names = names(50);
    let one = Maglev::new(SIZE_SMALL, &equal(&names), FlowHasher::new(1)).unwrap();
    let two = Maglev::new(SIZE_SMALL, &equal(&names), FlowHasher::new(2)).unwrap();
    let same = one.entries().iter().zip(two.entries()).filter(|(one, two)| one == two).count();
    assert!(same < SIZE_SMALL / 25, "{same} entries are the same, 1 in 50 by chance");
}

/// Of the entries of back ends that stay, the share that changes hands when `lost` of `count` go.
fn disturbed(size: usize, count: usize, lost: usize) -> f64 {
    let names = names(count);
    let backends = equal(&names);
    let before = Maglev::new(size, &backends, HASHER).unwrap();
    let after = Maglev::new(size, &backends[..count - lost], HASHER).unwrap();
    let stay = || {
        before
            .entries()
            .iter()
            .zip(after.entries())
            .filter(|(before, _)| usize::from(**before) < count - lost)
    };
    stay().filter(|(before, after)| before != after).count() as f64 / stay().count() as f64
}

/// The paper's Figure 12 has 1,000 back ends: some of the entries of back ends that did not fail change too, fewer in the
/// large table. What goes and what comes is the same, so this is the bound for additions as well.
#[test]
fn few_flows_move_that_need_not() {
    for (size, count, lost, most) in [
        (SIZE_SMALL, 10, 1, 0.005),
        (SIZE_SMALL, 1000, 1, 0.01),
        (SIZE_SMALL, 1000, 50, 0.05),
        (SIZE_LARGE, 1000, 1, 0.005),
        (SIZE_LARGE, 1000, 50, 0.015),
    ] {
        let share = disturbed(size, count, lost);
        println!(
            "{size} entries, {lost} of {count} back ends go: {:.2} % of the others' entries move",
            share * 100.0
        );
        assert!(share <= most, "{size} entries, {lost} of {count}: {share}");
    }
}

#[test]
fn what_makes_no_table_is_refused() {
    let names = names(3);
    let mut backends = equal(&names);
    for size in [0, 1, 4, 65_536, SIZE_LARGE - 1, SIZE_MAX, usize::MAX] {
        assert_eq!(Maglev::new(size, &backends, HASHER), Err(MaglevError::BadSize { size }));
    }
    assert_eq!(Maglev::new(2, &backends, HASHER), Err(MaglevError::TooManyBackends { count: 3, most: 2 }));
    assert_eq!(Maglev::new(7, &[], HASHER), Err(MaglevError::NoBackends { count: 0 }));
    backends[2].name = backends[0].name;
    assert_eq!(Maglev::new(7, &backends, HASHER), Err(MaglevError::SameName { first: 0, second: 2 }));
}
