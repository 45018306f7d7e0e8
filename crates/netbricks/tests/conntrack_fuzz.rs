//! Bounded fuzzing of the tracker on stable Rust: `WEFT_FUZZ_SECONDS` (2), `WEFT_FUZZ_SEED` repeats a run.

use std::panic::catch_unwind;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: not a number")))
}

/// A frame of the packet crate's corpus with a few bytes changed, or bytes at random: a script of actions.
fn input(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    if random.next().is_multiple_of(2) {
        let length = random.next() % 1200;
        return (0..length).map(|_| random.next() as u8).collect();
    }
    let mut input = seeds[(random.next() % seeds.len() as u64) as usize].clone();
    for _ in 0..random.next() % 6 {
        let at = (random.next() % input.len().max(1) as u64) as usize;
        match input.get_mut(at) {
            Some(byte) if !random.next().is_multiple_of(8) => *byte = random.next() as u8,
            _ => input.truncate(at),
        }
    }
    input
}

#[test]
fn the_tracker_holds_any_packets() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/wire");
    let mut paths: Vec<_> =
        std::fs::read_dir(corpus).expect("the corpus").map(|e| e.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("WEFT_FUZZ_SEED").unwrap_or(clock);
    let end = Instant::now() + Duration::from_secs(number("WEFT_FUZZ_SECONDS").unwrap_or(2));
    println!("fuzz conntrack: WEFT_FUZZ_SEED={seed}");
    let mut executions = 0;
    while Instant::now() < end {
        executions += 1;
        let input = input(&mut Random(seed ^ executions), &seeds);
        let outcome = catch_unwind(|| netbricks::fuzzing::conntrack(&input));
        assert!(outcome.is_ok(), "WEFT_FUZZ_SEED={seed} execution {executions}: {input:02x?}");
    }
    println!("fuzz conntrack: {executions} executions");
    assert!(executions > 100, "only {executions} executions");
}
