//! The classifier beside `dpdk-test-acl`, in turn, on the same rules and traces: CPU nanoseconds per packet,
//! classification only, the least of several rounds.
//!
//! `cargo bench -p lookup --bench acl`; with `-- FILE…`, on filter files in ClassBench's format instead of generated ones.
//! Ours is the thread's CPU time. DPDK's is its own figure, by the time-stamp counter around its calls: what else runs
//! adds to it, hence the least.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lookup::acl::classbench::{self, Flavour, Version};
use lookup::acl::{Acl, Rule, from_classbench};
use packet::flow::FlowKey;

#[path = "../tests/dpdk/mod.rs"]
mod dpdk;

const RULES: usize = 10_000;
const PACKETS: usize = 40_000;
/// Packets of one call, as `dpdk-test-acl` has it.
const BURST: usize = 256;
/// Passes over the trace in a round.
const ITERATIONS: usize = 20;
const ROUNDS: usize = 3;
const ALGORITHMS: [&str; 5] = ["scalar", "sse", "avx2", "avx512x16", "avx512x32"];

fn main() {
    let files: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    println!(
        "| rules | ours: build, memory, groups | ours, ns | one by one | DPDK, ns: {} | ratio to its best |",
        ALGORITHMS.join(", ")
    );
    println!("|---|---|---|---|---|---|");
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let rules = from_classbench(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let name = file.rsplit('/').next().unwrap_or(file);
        row(&format!("{name}, {} rules", rules.len()), &rules);
    }
    if files.is_empty() {
        for version in [Version::V4, Version::V6] {
            for flavour in Flavour::ALL {
                let rules = classbench::rules(flavour, version, RULES, 1);
                row(&format!("{} {version:?}", flavour.name()), &rules);
            }
        }
    }
}

fn row(name: &str, rules: &[Rule]) {
    let packets = classbench::trace(rules, PACKETS, 0.1, 1);
    let start = cpu_time();
    let acl = Acl::build(rules.iter().cloned().map(|rule| (rule, ()))).expect("rules");
    let build = cpu_time() - start;
    let shape = acl.shape();

    check(rules, &acl, &packets);
    let (mut ours, mut theirs) = (f64::MAX, [f64::MAX; ALGORITHMS.len()]);
    for _ in 0..ROUNDS {
        ours = ours.min(round(&acl, &packets));
        for (algorithm, best) in ALGORITHMS.into_iter().zip(&mut theirs) {
            let options = dpdk::Options { algorithm, iterations: ITERATIONS, results: false };
            match dpdk::run(rules, &packets, &options) {
                Ok(run) => *best = best.min(run.ns_per_packet),
                Err(words) if words.contains("is missing") => panic!("{words}"),
                Err(_) => {} // an algorithm that this processor lacks
            }
        }
    }
    let single = one_by_one(&acl, &packets);
    let best = theirs.iter().copied().fold(f64::MAX, f64::min);
    let theirs = theirs.map(|ns| if ns == f64::MAX { "-".into() } else { format!("{ns:.1}") }).join(", ");
    println!(
        "| {name} | {} ms, {:.1} MB, {} | {ours:.1} | {single:.1} | {theirs} | {:.2} |",
        build.as_millis(),
        shape.bytes.iter().sum::<usize>() as f64 / 1e6,
        shape.groups.iter().sum::<usize>(),
        ours / best
    );
}

/// Both sides must give every packet the same rule.
fn check(rules: &[Rule], acl: &Acl<()>, packets: &[FlowKey]) {
    let options = dpdk::Options { algorithm: "default", iterations: 1, results: true };
    let theirs = dpdk::run(rules, packets, &options).unwrap_or_else(|words| panic!("{words}"));
    let mut ours = vec![None; packets.len()];
    acl.lookup_batch(packets, &mut ours);
    assert!(ours == theirs.results, "the results differ");
}

fn round(acl: &Acl<()>, packets: &[FlowKey]) -> f64 {
    let mut found = [None; BURST];
    let start = cpu_time();
    for _ in 0..ITERATIONS {
        for burst in packets.chunks(BURST) {
            acl.lookup_batch(black_box(burst), &mut found);
            black_box(&found);
        }
    }
    (cpu_time() - start).as_nanos() as f64 / (ITERATIONS * packets.len()) as f64
}

fn one_by_one(acl: &Acl<()>, packets: &[FlowKey]) -> f64 {
    let start = Instant::now();
    for key in packets {
        black_box(acl.lookup(black_box(key)));
    }
    start.elapsed().as_nanos() as f64 / packets.len() as f64
}

/// What this thread has used: the first number of `schedstat`, nanoseconds.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    let ns = text.split_whitespace().next().and_then(|first| first.parse().ok());
    Duration::from_nanos(ns.expect("nanoseconds"))
}
