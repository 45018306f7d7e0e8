//! What choosing a back end and asking a token bucket cost: `cargo bench -p lookup --bench balance`.

use divan::{Bencher, black_box};
use lookup::maglev::{Backend, Maglev, SIZE_LARGE, SIZE_SMALL};
use lookup::token_bucket::{Colour, Rate, SingleRateMarker, TokenBucket, TwoRateMarker};
use packet::flow::FlowHasher;

/// Packets in one iteration.
const PACKETS: u64 = 10_000;

fn main() {
    divan::main();
}

fn table(size: usize, count: u16) -> Maglev {
    let names: Vec<_> = (0..count).map(u16::to_be_bytes).collect();
    let backends: Vec<_> = names.iter().map(|name| Backend { name, weight: 1 }).collect();
    Maglev::new(size, &backends, FlowHasher::new(0x5eed)).expect("a table")
}

/// The back end of a hash that is at hand.
#[divan::bench(args = [SIZE_SMALL, SIZE_LARGE])]
fn maglev_lookup(bencher: Bencher, size: usize) {
    let table = table(size, 1000);
    let mut hash = 1u64;
    bencher.counter(PACKETS).bench_local(|| {
        for _ in 0..PACKETS {
            hash = hash.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            black_box(table.lookup(hash));
        }
    });
}

/// Making the table for 1,000 back ends.
#[divan::bench(args = [SIZE_SMALL, SIZE_LARGE], sample_count = 20)]
fn maglev_new(bencher: Bencher, size: usize) {
    bencher.bench(|| table(size, 1000));
}

/// Every fourth packet finds too few tokens.
const RATE: Rate = Rate::bits_per_second(9_000_000_000);

fn times() -> impl FnMut() -> u64 {
    let mut now_ns = 0;
    move || {
        now_ns += 1000;
        now_ns
    }
}

#[divan::bench]
fn bucket_take(bencher: Bencher) {
    let (mut bucket, mut next_ns) = (TokenBucket::new(RATE, 15_000, 0), times());
    bencher.counter(PACKETS).bench_local(|| {
        for _ in 0..PACKETS {
            black_box(bucket.take(black_box(1500), next_ns()));
        }
    });
}

#[divan::bench]
fn single_rate_mark(bencher: Bencher) {
    let mut marker = SingleRateMarker::new(RATE, 15_000, 30_000, 0).expect("bursts");
    let mut next_ns = times();
    bencher.counter(PACKETS).bench_local(|| {
        for _ in 0..PACKETS {
            black_box(marker.mark(black_box(1500), Colour::Green, next_ns()));
        }
    });
}

#[divan::bench]
fn two_rate_mark(bencher: Bencher) {
    let peak = Rate::bits_per_second(11_000_000_000);
    let mut marker = TwoRateMarker::new((RATE, 15_000), (peak, 15_000), 0).expect("peak above committed");
    let mut next_ns = times();
    bencher.counter(PACKETS).bench_local(|| {
        for _ in 0..PACKETS {
            black_box(marker.mark(black_box(1500), Colour::Green, next_ns()));
        }
    });
}
