//! What a longest-prefix match costs: `cargo bench -p lookup --bench lpm`. First prints memory; then lookups and updates,
//! beside the structures that were not taken.

use std::hint::black_box;

use divan::Bencher;
use lookup::lpm::sample::{self, Random};
use lookup::lpm::{Address, Lpm, Prefix};

#[path = "lpm_baselines/mod.rs"]
mod baselines;

/// Addresses looked up in one iteration: more than caches remember the way to.
const ADDRESSES: usize = 1 << 16;
/// Addresses of a hot set.
const HOT: usize = 256;
/// Packets of a batch.
const BATCH: usize = 32;

fn main() {
    memory("IPv4", &sample::ipv4(100_000, 1));
    memory("IPv4", &sample::ipv4(1_000_000, 1));
    memory("IPv6", &sample::ipv6(100_000, 1));
    memory("IPv6", &sample::ipv6(1_000_000, 1));
    divan::main();
}

fn memory<A: Address>(family: &str, routes: &[(Prefix<A>, u32)]) {
    let before = resident();
    let table = table(routes);
    println!(
        "{family}, {} routes: lookups walk {:.1} MB; in all {:.0} bytes per prefix",
        routes.len(),
        table.lookup_bytes() as f64 / 1e6,
        (resident() - before) as f64 / routes.len() as f64,
    );
}

/// Bytes this process holds in memory (proc(5), `statm`).
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

fn table<A: Address>(routes: &[(Prefix<A>, u32)]) -> Lpm<A, u32> {
    let mut table = Lpm::new();
    for &(prefix, value) in routes {
        table.insert(prefix, value).expect("below the limit");
    }
    table
}

/// How addresses are drawn.
#[derive(Debug, Clone, Copy)]
enum Draw {
    /// Any bits at all.
    Uniform,
    /// Inside a route that is drawn evenly.
    Routed,
    /// A few of those, over and over.
    Hot,
}

const DRAWS: [Draw; 3] = [Draw::Uniform, Draw::Routed, Draw::Hot];

fn addresses<A: Address>(routes: &[(Prefix<A>, u32)], draw: Draw) -> Vec<A> {
    let mut random = Random(2);
    let routed = |random: &mut Random| {
        sample::address_in(routes[random.below(routes.len() as u64) as usize].0, random)
    };
    match draw {
        Draw::Uniform => (0..ADDRESSES).map(|_| sample::address_in(Prefix::ALL, &mut random)).collect(),
        Draw::Routed => (0..ADDRESSES).map(|_| routed(&mut random)).collect(),
        Draw::Hot => {
            let hot: Vec<A> = (0..HOT).map(|_| routed(&mut random)).collect();
            (0..ADDRESSES).map(|_| hot[random.below(HOT as u64) as usize]).collect()
        }
    }
}

/// One after the other.
fn single<A: Address>(bencher: Bencher, routes: &[(Prefix<A>, u32)], draw: Draw) {
    let (table, addresses) = (table(routes), addresses(routes, draw));
    bencher.counter(ADDRESSES).bench_local(|| {
        for &address in &addresses {
            black_box(table.lookup(black_box(address)));
        }
    });
}

/// 32 at a time.
fn batch<A: Address>(bencher: Bencher, routes: &[(Prefix<A>, u32)], draw: Draw) {
    let (table, addresses) = (table(routes), addresses(routes, draw));
    let mut answers = [None; BATCH];
    bencher.counter(ADDRESSES).bench_local(|| {
        for addresses in addresses.chunks(BATCH) {
            table.lookup_batch(black_box(addresses), &mut answers);
            black_box(&answers);
        }
    });
}

/// A route taken out and put back, as routers hear it all day.
fn update<A: Address>(bencher: Bencher, routes: &[(Prefix<A>, u32)]) {
    let (mut table, mut random) = (table(routes), Random(3));
    bencher.counter(2 * 1000usize).bench_local(|| {
        for _ in 0..1000 {
            let (prefix, value) = routes[random.below(routes.len() as u64) as usize];
            table.remove(prefix);
            table.insert(prefix, value).expect("room");
        }
    });
}

macro_rules! family {
    ($name:ident, $sample:path, $counts:expr) => {
        mod $name {
            use super::*;

            #[divan::bench(args = DRAWS, consts = $counts, sample_count = 20)]
            fn single<const ROUTES: usize>(bencher: Bencher, draw: Draw) {
                super::single(bencher, &$sample(ROUTES, 1), draw);
            }

            #[divan::bench(args = DRAWS, consts = $counts, sample_count = 20)]
            fn batch<const ROUTES: usize>(bencher: Bencher, draw: Draw) {
                super::batch(bencher, &$sample(ROUTES, 1), draw);
            }

            #[divan::bench(consts = $counts, sample_count = 20)]
            fn update<const ROUTES: usize>(bencher: Bencher) {
                super::update(bencher, &$sample(ROUTES, 1));
            }
        }
    };
}

family!(ipv4, sample::ipv4, [100_000, 1_000_000]);
family!(ipv6, sample::ipv6, [100_000, 1_000_000]);

/// A change that has the most places to write: a route as short as one bit.
#[divan::bench]
fn update_of_a_route_of_one_bit(bencher: Bencher) {
    let mut table = table(&sample::ipv4(1_000_000, 1));
    let half = Prefix::new(std::net::Ipv4Addr::UNSPECIFIED, 1).expect("a prefix");
    bencher.counter(2usize).bench_local(|| {
        table.insert(half, 1).expect("room");
        table.remove(half);
    });
}

/// A copy for another core.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn clone_a_million_ipv4(bencher: Bencher) {
    let table = table(&sample::ipv4(1_000_000, 1));
    bencher.bench_local(|| table.clone());
}

mod not_taken {
    use super::baselines::{Dir24, Poptrie};
    use super::*;

    fn single(bencher: Bencher, draw: Draw, lookup: impl Fn(std::net::Ipv4Addr) -> Option<u32>) {
        let addresses = addresses(&sample::ipv4(1_000_000, 1), draw);
        bencher.counter(ADDRESSES).bench_local(|| {
            for &address in &addresses {
                black_box(lookup(black_box(address)));
            }
        });
    }

    #[divan::bench(args = DRAWS, sample_count = 20)]
    fn dir_24_8(bencher: Bencher, draw: Draw) {
        let table = Dir24::new(&sample::ipv4(1_000_000, 1));
        single(bencher, draw, |address| table.lookup(address));
    }

    #[divan::bench(args = DRAWS, sample_count = 20)]
    fn poptrie(bencher: Bencher, draw: Draw) {
        let table = Poptrie::new(&sample::ipv4(1_000_000, 1));
        single(bencher, draw, |address| table.lookup(address));
    }
}
