//! What a packet's coming and going costs, beside the ways of doing it that were not taken.

use std::sync::Arc;

use divan::{Bencher, black_box};
use packet::{BATCH, Batch, HEADROOM, Pool, PoolConfig, ROOM};

fn main() {
    divan::main();
}

fn pool(cache: Option<usize>) -> Pool {
    Pool::new(PoolConfig { buffers: 4096, cache, ..PoolConfig::default() }).expect("memory")
}

/// 32 packets at a time, as ports do it.
#[divan::bench]
fn batch_of_32(bencher: Bencher) {
    let pool = pool(None);
    bencher.counter(BATCH).bench_local(|| {
        let mut batch = Batch::new();
        pool.alloc_batch(BATCH, &mut batch);
        drop(black_box(batch));
    });
}

/// 32 packets, each by itself.
#[divan::bench]
fn one_by_one(bencher: Bencher) {
    let pool = pool(None);
    bencher.counter(BATCH).bench_local(|| {
        let packets: [_; BATCH] = std::array::from_fn(|_| pool.alloc());
        drop(black_box(packets));
    });
}

/// Not taken: every packet from and to the shared list.
#[divan::bench]
fn without_thread_stacks(bencher: Bencher) {
    let pool = pool(Some(0));
    bencher.counter(BATCH).bench_local(|| {
        let packets: [_; BATCH] = std::array::from_fn(|_| pool.alloc());
        drop(black_box(packets));
    });
}

/// Not taken: a reference count of the pool in every packet.
#[divan::bench]
fn with_reference_counts(bencher: Bencher) {
    let (pool, counted) = (pool(None), Arc::new(()));
    bencher.counter(BATCH).bench_local(|| {
        let packets: [_; BATCH] = std::array::from_fn(|_| (pool.alloc(), counted.clone()));
        drop(black_box(packets));
    });
}

/// Not taken: the heap.
#[divan::bench]
fn heap(bencher: Bencher) {
    bencher.counter(BATCH).bench_local(|| {
        let packets: [_; BATCH] = std::array::from_fn(|_| {
            let mut bytes = Vec::<u8>::with_capacity(HEADROOM + ROOM);
            // The allocator's own header is all that is touched otherwise.
            bytes.push(black_box(0));
            bytes
        });
        drop(black_box(packets));
    });
}

/// Handing a batch on: by value, and by taking it out of a reference.
#[divan::bench(args = ["value", "take"])]
fn hand_over(bencher: Bencher, way: &str) {
    let pool = pool(None);
    let mut batch = Batch::new();
    pool.alloc_batch(BATCH, &mut batch);
    let mut held = Some(batch);
    bencher.counter(BATCH).bench_local(|| {
        let mut batch = held.take().expect("a batch");
        for _ in 0..8 {
            batch = if way == "value" { pass_value(batch) } else { pass_reference(&mut batch) };
        }
        held = Some(batch);
    });
}

#[inline(never)]
fn pass_value(batch: Batch) -> Batch {
    black_box(batch)
}

#[inline(never)]
fn pass_reference(batch: &mut Batch) -> Batch {
    std::mem::take(black_box(batch))
}
