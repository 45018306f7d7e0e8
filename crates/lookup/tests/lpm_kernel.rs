//! Linux is the judge: the same routes in a network namespace and in a table must send every address the same way.

mod kernel_routes;

use kernel_routes::{Netns, VIA_V4, VIA_V6, addresses, is_special_v4, is_special_v6, kernel, route as line};
use lookup::lpm::sample::{self, Random};
use lookup::lpm::{Address, Lpm, Prefix};

const ROUTES: usize = 4000;
const ADDRESSES: usize = 6000;

fn compare<A: Address>(ns: &Netns, table: &Lpm<A, u32>, addresses: &[A]) -> usize {
    let judge = kernel(ns, addresses);
    for address in addresses {
        assert_eq!(table.lookup(*address), judge.get(&address.to_string()).copied(), "{address}");
    }
    judge.len()
}

/// `via` names next hop `n` by its last number, in decimal digits.
fn agree<A: Address>(
    family: &str,
    via: &str,
    routes: &[(Prefix<A>, u32)],
    special: impl Fn(A) -> bool,
    seed: u64,
) {
    println!("seed {seed:#x}");
    let (ns, mut table, mut random) = (Netns::new(family), Lpm::new(), Random(seed));
    let mut lines = String::new();
    for &(prefix, hop) in routes {
        table.insert(prefix, hop + 1).expect("room");
        lines += &line("add", prefix, via, hop + 1);
    }
    ns.batch("routes", &lines);

    let addresses = addresses(routes, ADDRESSES, special, &mut random);
    let reached = compare(&ns, &table, &addresses);
    assert!(
        reached > ADDRESSES / 2 && reached < addresses.len(),
        "{reached} of {} have a route",
        addresses.len()
    );

    let mut lines = line("add", Prefix::<A>::ALL, via, 99);
    table.insert(Prefix::ALL, 99).expect("room");
    for &(prefix, hop) in routes {
        if random.below(2) == 0 {
            table.remove(prefix).expect("there");
            lines += &line("del", prefix, via, hop + 1);
        }
    }
    ns.batch("changes", &lines);
    assert_eq!(compare(&ns, &table, &addresses), addresses.len(), "all have the default route");
}

#[test]
fn linux_routes_ipv4_alike() {
    agree("v4", VIA_V4, &sample::ipv4(ROUTES, 0x41), is_special_v4, 0x42);
}

#[test]
fn linux_routes_ipv6_alike() {
    agree("v6", VIA_V6, &sample::ipv6(ROUTES, 0x61), is_special_v6, 0x62);
}
