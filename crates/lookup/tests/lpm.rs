//! The trie is held to a linear scan over all prefixes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use lookup::lpm::sample::{self, Random};
use lookup::lpm::{Address, Full, Lpm, PREFIXES_MAX, Prefix};
use proptest::prelude::*;

/// The twin: every prefix is looked at.
type Scan<A> = BTreeMap<Prefix<A>, u32>;

fn scan<A: Address>(twin: &Scan<A>, address: A) -> Option<(Prefix<A>, u32)> {
    twin.iter()
        .filter(|(prefix, _)| prefix.contains(address))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(&prefix, &value)| (prefix, value))
}

/// Where answers may change: the ends of a prefix, and the addresses around them.
fn edges<A: Address>(prefix: Prefix<A>) -> [A; 4] {
    let (first, last) = (prefix.address(), prefix.last());
    let number = |address: A| (0..A::WIDTH).fold(0u128, |number, at| number << 1 | bit(address, at));
    [first, last, A::truncated(number(first).wrapping_sub(1)), A::truncated(number(last).wrapping_add(1))]
}

fn bit<A: Address>(address: A, at: u8) -> u128 {
    A::top(A::skip(address.bits(), at), 1) as u128
}

fn check<A: Address>(table: &Lpm<A, u32>, twin: &Scan<A>, addresses: &[A]) {
    let mut answers = vec![None; addresses.len()];
    table.lookup_batch(addresses, &mut answers);
    for (&address, answer) in addresses.iter().zip(answers) {
        let right = scan(twin, address);
        assert_eq!(table.lookup(address), right.map(|found| found.1), "{address}");
        assert_eq!(table.matching(address), right, "{address}");
        assert_eq!(answer, right.map(|found| found.1), "{address} in a batch");
    }
}

/// Prefixes that meet often: few bits differ, and the lengths lie around the trie's seams.
fn steps<A: Address>() -> impl Strategy<Value = Vec<(Prefix<A>, Option<u32>)>> {
    let seams =
        (0..=A::WIDTH).filter(|len| [0, 1, 15, 16, 17, 23, 24, 25, 30, 31, 32].contains(len) || len % 6 < 2);
    let len = prop_oneof![0..=A::WIDTH, prop::sample::select(seams.chain([A::WIDTH]).collect::<Vec<_>>())];
    let address = prop_oneof![
        any::<u128>(),
        any::<u128>().prop_map(|bits| bits & u128::from_be_bytes([0x11; 16])),
        (0u32..128, 0u32..128).prop_map(|(a, b)| u128::MAX << a ^ 1 << b),
    ];
    let prefix = (address, len).prop_map(|(bits, len)| Prefix::containing(A::truncated(bits), len).unwrap());
    prop::collection::vec((prefix, prop::option::weighted(0.75, 0u32..3)), 1..120)
}

fn replay<A: Address>(steps: &[(Prefix<A>, Option<u32>)], salt: u64) {
    let (mut table, mut twin) = (Lpm::new(), Scan::new());
    let mut random = Random(salt);
    for &(prefix, value) in steps {
        match value {
            Some(value) => assert_eq!(table.insert(prefix, value).unwrap(), twin.insert(prefix, value)),
            // Rather one that is there.
            None => {
                let victim = twin.keys().nth(random.below(twin.len() as u64 + 1) as usize).copied();
                let victim = victim.unwrap_or(prefix);
                assert_eq!(table.remove(victim), twin.remove(&victim), "{victim}");
            }
        }
        assert_eq!(table.get(prefix), twin.get(&prefix).copied());
        check(&table, &twin, &edges(prefix));
    }
    let mut addresses: Vec<A> = steps.iter().flat_map(|step| edges(step.0)).collect();
    addresses.extend(steps.iter().map(|step| sample::address_in(step.0, &mut random)));
    check(&table, &twin, &addresses);
    assert_eq!(table.len(), twin.len());
    assert!(table.iter().eq(twin.iter().map(|(&prefix, &value)| (prefix, value))));

    let copy = table.clone();
    let mut order: Vec<_> = twin.keys().copied().collect();
    order.sort_by_cached_key(|_| random.next_u64());
    for prefix in order {
        assert_eq!(table.remove(prefix), twin.remove(&prefix));
        check(&table, &twin, &edges(prefix));
    }
    assert!(table.is_empty() && table.iter().next().is_none());
    assert_eq!(copy.len(), copy.iter().count(), "a clone shares nothing");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn ipv4_is_the_scan(steps in steps::<Ipv4Addr>(), salt: u64) {
        replay(&steps, salt);
    }

    #[test]
    fn ipv6_is_the_scan(steps in steps::<Ipv6Addr>(), salt: u64) {
        replay(&steps, salt);
    }
}

/// A twin that is fast enough for a million prefixes: exact lookups of all lengths, longest first.
fn by_length<A: Address>(twin: &std::collections::HashMap<Prefix<A>, u32>, address: A) -> Option<u32> {
    (0..=A::WIDTH).rev().find_map(|len| twin.get(&Prefix::containing(address, len).unwrap()).copied())
}

/// Fills a table, takes a third out in another order, changes another third, and compares all along.
fn large<A: Address>(routes: &[(Prefix<A>, u32)], seed: u64) {
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let mut table = Lpm::new();
    for &(prefix, value) in routes {
        assert_eq!(table.insert(prefix, value), Ok(None));
    }
    let mut twin: std::collections::HashMap<_, _> = routes.iter().copied().collect();
    let compare = |table: &Lpm<A, u32>, twin: &_, random: &mut Random| {
        let addresses: Vec<A> = (0..100_000)
            .map(|_| match random.below(4) {
                0 => A::truncated(u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())),
                1 => routes[random.below(routes.len() as u64) as usize].0.last(),
                _ => sample::address_in(routes[random.below(routes.len() as u64) as usize].0, random),
            })
            .collect();
        let mut answers = vec![None; addresses.len()];
        table.lookup_batch(&addresses, &mut answers);
        for (&address, answer) in addresses.iter().zip(answers) {
            let right = by_length(twin, address);
            assert_eq!((table.lookup(address), answer), (right, right), "{address}");
        }
    };
    compare(&table, &twin, &mut random);
    for &(prefix, _) in routes {
        match random.below(3) {
            0 => assert_eq!(table.remove(prefix), twin.remove(&prefix)),
            1 => assert_eq!(table.insert(prefix, 1_000), Ok(twin.insert(prefix, 1_000))),
            _ => {}
        }
    }
    compare(&table, &twin, &mut random);
    assert_eq!(table.len(), twin.len());
    let mut sorted: Vec<_> = twin.into_iter().collect();
    sorted.sort_unstable();
    assert!(table.iter().eq(sorted));
}

#[test]
fn a_hundred_thousand_and_a_million_ipv4_routes() {
    large(&sample::ipv4(100_000, 4), 0x10);
    large(&sample::ipv4(1_000_000, 5), 0x11);
}

#[test]
fn a_hundred_thousand_and_a_million_ipv6_routes() {
    large(&sample::ipv6(100_000, 6), 0x12);
    large(&sample::ipv6(1_000_000, 7), 0x13);
}

#[test]
fn a_sample_has_the_shares_it_states() {
    let routes = sample::ipv4(100_000, 1);
    for (len, share) in sample::IPV4.into_iter().filter(|(_, share)| *share >= 100) {
        let found = routes.iter().filter(|route| route.0.len() == len).count() as u32;
        assert!(found.abs_diff(share * 10) < share / 2 + 100, "/{len}: {found}");
    }
    assert_eq!(sample::IPV4.iter().map(|share| share.1).sum::<u32>(), 10_000);
    assert_eq!(sample::IPV6.iter().map(|share| share.1).sum::<u32>(), 10_000);
    assert_eq!(routes, sample::ipv4(100_000, 1));
    assert_ne!(routes, sample::ipv4(100_000, 2));
}

#[test]
fn a_full_table_says_so_and_stays_as_it_was() {
    let mut table = Lpm::with_limit(2);
    let prefix = |last, len| Prefix::new(Ipv4Addr::new(10, 0, 0, last), len).unwrap();
    table.insert(prefix(0, 8), 1).unwrap();
    table.insert(prefix(0, 24), 2).unwrap();
    let full = table.insert(prefix(0, 25), 3).unwrap_err();
    assert_eq!(full, Full::Prefixes { limit: 2 });
    assert_eq!(full.to_string(), "the table holds 2 prefixes, as many as it may");
    assert_eq!(table.insert(prefix(0, 24), 4), Ok(Some(2)), "a new value needs no room");
    assert_eq!(table.lookup(Ipv4Addr::new(10, 0, 0, 1)), Some(4));
    table.remove(prefix(0, 8)).unwrap();
    table.insert(prefix(0, 25), 3).unwrap();
    assert_eq!(table.lookup(Ipv4Addr::new(10, 0, 0, 1)), Some(3));
}

#[test]
fn prefixes_that_share_nothing_meet_a_limit_before_they_exhaust_memory() {
    println!("seed 9");
    let (mut table, mut random) = (Lpm::new(), Random(9));
    let full = loop {
        assert!(table.len() < PREFIXES_MAX);
        let address =
            Ipv6Addr::from_bits(u128::from(random.next_u64()) << 64 | u128::from(random.next_u64()));
        let prefix = Prefix::new(address, 128).unwrap();
        if let Err(full) = table.insert(prefix, 1) {
            assert_eq!((table.get(prefix), table.lookup(address)), (None, None));
            break full;
        }
    };
    assert!(matches!(full, Full::Nodes { .. }), "{full}");
    assert!(table.lookup_bytes() < 1 << 30, "{} bytes", table.lookup_bytes());
    assert!(table.len() > 500_000, "{} prefixes", table.len());
}
