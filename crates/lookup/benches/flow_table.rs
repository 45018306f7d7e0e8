//! What the flow table costs beside a hash map under the same hasher: `cargo bench -p lookup --bench flow_table`.
//!
//! Keys are 5-tuples of IPv4, values 8 bytes. Lookups go through all flows in an order that no cache foresees.

use std::collections::VecDeque;

use divan::{Bencher, black_box};
use hashbrown::HashMap;
use lookup::flow_table::{FlowId, FlowTable};
use packet::flow::{FlowHasher, FlowKey};
use packet::wire::IpProtocol;

const FLOWS: [usize; 2] = [100_000, 1_000_000];
const BATCH: usize = 32;
/// Lookups in one iteration.
const LOOKUPS: usize = 320 * BATCH;
const HASHER: FlowHasher = FlowHasher::new(0x5eed);

fn main() {
    divan::main();
}

/// Flow `number`, of a permutation of 32-bit numbers, so that neighbours have nothing in common.
fn key(number: u32) -> FlowKey {
    let mixed = number.wrapping_mul(0x9e37_79b1);
    let source = (std::net::Ipv4Addr::from_bits(mixed), (mixed >> 7) as u16);
    FlowKey::new(IpProtocol::TCP, source.into(), ([10, 0, 0, 1], 80).into()).expect("one family")
}

fn table(flows: usize) -> FlowTable<FlowKey, u64> {
    let mut table = FlowTable::with_hasher(flows, HASHER);
    for number in 0..flows as u32 {
        table.insert(key(number), number.into(), 1 << 40, 0).expect("room");
    }
    table
}

fn map(flows: usize) -> HashMap<FlowKey, u64, FlowHasher> {
    let mut map = HashMap::with_capacity_and_hasher(flows, HASHER);
    map.extend((0..flows as u32).map(|number| (key(number), number.into())));
    map
}

/// Keys to look up, made beforehand: batches of packets of random flows.
fn packets(flows: usize) -> impl FnMut() -> Vec<FlowKey> {
    let mut random = 1u64;
    move || {
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            key(((random >> 33) as usize % flows) as u32)
        };
        (0..LOOKUPS).map(|_| next()).collect()
    }
}

/// Hit, and read the value.
#[divan::bench(args = FLOWS)]
fn lookup(bencher: Bencher, flows: usize) {
    let table = table(flows);
    bencher.counter(LOOKUPS).with_inputs(packets(flows)).bench_local_refs(|keys| {
        for key in &*keys {
            black_box(table.find(key, 1).and_then(|id| table.get(id)));
        }
    });
}

/// The same, 32 at a time.
#[divan::bench(args = FLOWS)]
fn lookup_batch(bencher: Bencher, flows: usize) {
    let table = table(flows);
    let mut found = [None; BATCH];
    bencher.counter(LOOKUPS).with_inputs(packets(flows)).bench_local_refs(|keys| {
        for keys in keys.chunks(BATCH) {
            table.find_batch(keys, 1, &mut found);
            for id in found {
                black_box(id.and_then(|id| table.get(id)));
            }
        }
    });
}

/// The same in the map.
#[divan::bench(args = FLOWS)]
fn lookup_map(bencher: Bencher, flows: usize) {
    let map = map(flows);
    bencher.counter(LOOKUPS).with_inputs(packets(flows)).bench_local_refs(|keys| {
        for key in &*keys {
            black_box(map.get(key));
        }
    });
}

/// A key that is not there.
#[divan::bench(args = FLOWS)]
fn miss(bencher: Bencher, flows: usize) {
    let table = table(flows);
    bencher.counter(LOOKUPS).with_inputs(packets(flows)).bench_local_refs(|keys| {
        for key in &*keys {
            black_box(table.find(&key.reversed(), 1));
        }
    });
}

/// A key that is not there, in the map.
#[divan::bench(args = FLOWS)]
fn miss_map(bencher: Bencher, flows: usize) {
    let map = map(flows);
    bencher.counter(LOOKUPS).with_inputs(packets(flows)).bench_local_refs(|keys| {
        for key in &*keys {
            black_box(map.get(&key.reversed()));
        }
    });
}

/// Every packet of a flow: hit, move the deadline, touch the value.
#[divan::bench(args = FLOWS)]
fn packet(bencher: Bencher, flows: usize) {
    let mut table = table(flows);
    let mut deadline_ns = 1 << 40;
    bencher.counter(LOOKUPS).with_inputs(packets(flows)).bench_local_refs(|keys| {
        for key in &*keys {
            deadline_ns += 1;
            if let Some(id) = table.find(key, 1) {
                table.set_deadline(id, deadline_ns);
                *table.get_mut(id).expect("live") += 1;
            }
        }
    });
}

/// Flows come and go: the oldest expires, another is put in, at a steady number of flows.
#[divan::bench(args = FLOWS)]
fn churn(bencher: Bencher, flows: usize) {
    const GAP_NS: u64 = 1000;
    let mut table = FlowTable::with_hasher(flows, HASHER);
    let (mut number, life_ns) = (0u32, flows as u64 * GAP_NS);
    let mut next = |table: &mut FlowTable<FlowKey, u64>| -> FlowId {
        let now_ns = u64::from(number) * GAP_NS;
        table.expire(now_ns, 4, |key, value| _ = black_box((key, value)));
        number += 1;
        table.insert(key(number), 0, now_ns + life_ns, now_ns).expect("room")
    };
    (0..flows).for_each(|_| _ = next(&mut table));
    bencher.counter(LOOKUPS).bench_local(|| {
        for _ in 0..LOOKUPS {
            black_box(next(&mut table));
        }
    });
}

/// The same with a map and a queue of keys, which is all it takes if no deadline ever moves.
#[divan::bench(args = FLOWS)]
fn churn_map(bencher: Bencher, flows: usize) {
    let mut map = map(flows);
    let mut queue: VecDeque<FlowKey> = (0..flows as u32).map(key).collect();
    let mut number = flows as u32;
    bencher.counter(LOOKUPS).bench_local(|| {
        for _ in 0..LOOKUPS {
            if let Some(oldest) = queue.pop_front() {
                black_box(map.remove(&oldest));
            }
            let key = key(number);
            number += 1;
            map.insert(key, 0);
            queue.push_back(key);
        }
    });
}
