//! Random and mutated inputs for what reads text, through the bodies that the coverage-guided targets share.
//!
//! `WEFT_FUZZ_SECONDS` (3) for each; `WEFT_FUZZ_SEED` repeats a run: an input depends on the seed and its number alone.

mod blueprints;
mod images;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use packet::fuzzing::bounded::{self, Random};

/// Bytes of the longest input.
const INPUT_MAX: usize = 64 << 10;
/// One input that takes longer is a hang: its deadline, the grace period, and a loaded machine.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);

/// One of the seeds with up to six changes: pieces that mean something put in or over what is there, parts taken out,
/// repeated or taken from another seed, numbers, bits.
fn mutate(random: &mut Random, seeds: &[Vec<u8>], pieces: &[&[u8]]) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(60)).min(input.len());
        let piece = random.one_of(pieces);
        match random.below(8) {
            0 | 1 => _ = input.splice(at..at, piece.iter().copied()),
            2 => _ = input.splice(at..(at + piece.len()).min(input.len()), piece.iter().copied()),
            3 => _ = input.drain(at..end),
            4 if at < input.len() => input[at] ^= 1 << random.below(8),
            5 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece.repeat(1 << random.below(8)));
            }
            6 => {
                let number = random.one_of(&[0, 1, 80, 65_536, u64::from(u32::MAX), u64::MAX]).to_string();
                input.splice(at..end.min(at + 2), number.into_bytes());
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let piece = other[from..(from + random.below(600)).min(other.len())].to_vec();
                input.splice(at..end, piece);
            }
        }
        input.truncate(INPUT_MAX);
    }
    input
}

/// Gives the seeds and then mutations of them to `body` for a while.
fn fuzz(name: &str, seeds: &[Vec<u8>], pieces: &[&[u8]], body: fn(&[u8])) {
    let seconds = std::env::var("WEFT_FUZZ_SECONDS").map_or(3, |text| text.parse().expect("a number"));
    let seed = bounded::seed(None);
    println!("{name}: WEFT_FUZZ_SEED={seed} WEFT_FUZZ_SECONDS={seconds}");
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < Duration::from_secs(seconds) || (count as usize) < seeds.len() {
        let mut random = Random(seed ^ count);
        let input = seeds.get(count as usize).cloned().unwrap_or_else(|| mutate(&mut random, seeds, pieces));
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| body(&input)));
        let shown = || input.escape_ascii().to_string();
        assert!(result.is_ok(), "WEFT_FUZZ_SEED={seed}, input {count}:\n{}", shown());
        assert!(start.elapsed() < INPUT_TIME_MAX, "WEFT_FUZZ_SEED={seed}, input {count} hangs:\n{}", shown());
        count += 1;
    }
    println!("{name}: {count} inputs in {:.1} s", began.elapsed().as_secs_f64());
}
