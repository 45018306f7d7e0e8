//! Bounded fuzzing on stable Rust: random and mutated input through the bodies the coverage-guided targets share.
//!
//! `WEFT_FUZZ_SECONDS` (2) per target; `WEFT_FUZZ_SEED` repeats a run: the input at fault depends on the seed and on the
//! number of the execution alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lookup::acl::classbench::{self, Flavour, Version};
use lookup::fuzzing;

/// Bytes of the longest input.
const INPUT_MAX: usize = 4096;
/// One input that takes longer is a hang.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);

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

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    if random.below(16) == 0 {
        let length = random.below(200);
        return (0..length).map(|_| random.next() as u8).collect();
    }
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..random.below(6) {
        let at = random.below(input.len());
        match random.below(6) {
            0 | 1 if !input.is_empty() => {
                let with = b"0123456789abcdefx:./@ \n";
                input[at] = with[random.below(with.len())];
            }
            2 if !input.is_empty() => input[at] = random.next() as u8,
            3 => input.truncate(at),
            4 => {
                let end = (at + random.below(40)).min(input.len());
                let piece = input[at..end].to_vec();
                let to = random.below(input.len());
                input.splice(to..to, piece);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                input.truncate(at);
                input.extend(&other[from..]);
            }
        }
    }
    input.truncate(INPUT_MAX);
    input
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: not a number")))
}

fn fuzz(name: &str, seeds: &[Vec<u8>], target: fn(&[u8])) {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("WEFT_FUZZ_SEED").unwrap_or(clock);
    let end = Instant::now() + Duration::from_secs(number("WEFT_FUZZ_SECONDS").unwrap_or(2));
    println!("fuzz {name}: WEFT_FUZZ_SEED={seed}, {} seeds", seeds.len());
    let run = |execution: u64, input: &[u8]| {
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
        let place =
            || format!("fuzz {name}: WEFT_FUZZ_SEED={seed} execution {execution} input {}", hex(input));
        assert!(outcome.is_ok(), "panicked: {}", place());
        assert!(start.elapsed() < INPUT_TIME_MAX, "took {:?}: {}", start.elapsed(), place());
    };
    seeds.iter().for_each(|seed| run(0, seed));
    let mut executions = 0;
    while Instant::now() < end {
        executions += 1;
        let mut random = Random(seed ^ executions);
        run(executions, &mutate(&mut random, seeds));
    }
    println!("fuzz {name}: {executions} executions");
    assert!(executions > 20, "only {executions} executions");
}

#[test]
fn rule_files_hold_any_bytes() {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for flavour in Flavour::ALL {
        for version in [Version::V4, Version::V6] {
            let lines =
                classbench::rules(flavour, version, 20, 1).into_iter().map(|rule| format!("{rule}\n"));
            seeds.push(lines.collect::<String>().into_bytes());
        }
    }
    seeds.push(b"# a comment\n\n@1.2.3.4/8\t0.0.0.0/0\t0 : 1\t2 : 3\t0x6/0xF0\t0x0000/0x0200\t\n".to_vec());
    fuzz("acl", &seeds, fuzzing::acl);
}
