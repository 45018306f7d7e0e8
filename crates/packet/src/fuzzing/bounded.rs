//! Bounded fuzzing on stable Rust, as `cargo test` runs it: random and mutated input through the bodies that the
//! coverage-guided targets share, in every crate that has some.
//!
//! `WEFT_FUZZ_SECONDS` (2) per target; `WEFT_FUZZ_SEED` repeats a run: the input at fault depends on the seed and on the
//! number of the execution alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of the longest input that [`mutate`] makes.
const INPUT_MAX: usize = 4096;
/// One input that takes longer is a hang.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);
/// A run with fewer executions would say nothing.
const EXECUTIONS_MIN: u64 = 20;

/// Bytes that decide something in a header: lengths, versions, kinds and their limits.
pub const HEADER_BYTES: &[u8] = &[0, 1, 4, 5, 0x45, 0x60, 0x7f, 0x80, 0xc0, 0xff];

/// Random numbers that are the same everywhere for one seed: SplitMix64 (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`; 0 where there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of several.
    ///
    /// # Panics
    /// There is none.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Any bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// One of the seeds with up to six changes: bits, bytes of which `telling` ones more often, pieces put in, repeated, taken
/// from another seed, or the end cut off; sometimes any bytes.
pub fn mutate(random: &mut Random, seeds: &[Vec<u8>], telling: &[u8]) -> Vec<u8> {
    if seeds.is_empty() || random.one_in(16) {
        let length = random.below(200);
        return random.bytes(length);
    }
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(input.len());
        match random.below(8) {
            0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            1 | 2 if !input.is_empty() => input[at] = random.one_of(telling),
            3 if !input.is_empty() => input[at] = random.next() as u8,
            4 => input.truncate(at),
            5 => {
                let length = random.below(12);
                input.splice(at..at, random.bytes(length));
            }
            6 => {
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

/// The files of a folder of seeds, in order of their names.
///
/// # Panics
/// They cannot be read.
#[must_use]
pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file that can be read")).collect()
}

/// The seed of a run: `WEFT_FUZZ_SEED`, or `otherwise`, or the clock.
#[must_use]
pub fn seed(otherwise: Option<u64>) -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    number("WEFT_FUZZ_SEED").or(otherwise).unwrap_or_else(clock)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: not a number")))
}

/// Runs a target on inputs made for it, until the time is over.
///
/// # Panics
/// The target panics or takes too long; the message says how to repeat that.
pub fn fuzz(name: &str, input: impl Fn(&mut Random) -> Vec<u8>, target: fn(&[u8])) {
    let seed = seed(None);
    let end = Instant::now() + Duration::from_secs(number("WEFT_FUZZ_SECONDS").unwrap_or(2));
    println!("fuzz {name}: WEFT_FUZZ_SEED={seed}");
    let mut executions = 0;
    while Instant::now() < end {
        executions += 1;
        let input = input(&mut Random(seed ^ executions));
        run(&format!("fuzz {name}: WEFT_FUZZ_SEED={seed} execution {executions}"), &input, target);
    }
    println!("fuzz {name}: {executions} executions");
    assert!(executions > EXECUTIONS_MIN, "only {executions} executions");
}

/// Runs a target on seeds as they are, and then on mutations of them.
///
/// # Panics
/// As [`fuzz`].
pub fn fuzz_seeds(name: &str, seeds: &[Vec<u8>], telling: &[u8], target: fn(&[u8])) {
    seeds.iter().enumerate().for_each(|(at, seed)| run(&format!("fuzz {name}: seed {at}"), seed, target));
    fuzz(name, |random| mutate(random, seeds, telling), target);
}

fn run(place: &str, input: &[u8], target: fn(&[u8])) {
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    let hex = || input.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(outcome.is_ok(), "panicked: {place} input {}", hex());
    assert!(start.elapsed() < INPUT_TIME_MAX, "took {:?}: {place} input {}", start.elapsed(), hex());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_sequence() {
        // The first numbers of the authors' `splitmix64.c` from seed 1234567.
        let mut random = Random(1_234_567);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn mutations_reach_every_kind_of_change_and_stay_bounded() {
        let seeds = [vec![7; 100], (0..100).collect::<Vec<u8>>()];
        let inputs: Vec<_> = (0..2000).map(|at| mutate(&mut Random(at), &seeds, b"\xaa")).collect();
        assert!(inputs.iter().any(|input| input.len() < 50) && inputs.iter().any(|input| input.len() > 110));
        assert!(inputs.iter().any(|input| input.contains(&0xaa)));
        assert!(inputs.iter().any(|input| input.starts_with(&[7; 10]) && input.ends_with(&[98, 99])));
        let long = [vec![1; INPUT_MAX]];
        assert!((0..2000).all(|at| mutate(&mut Random(at), &long, b"\0").len() <= INPUT_MAX));
        assert_eq!(mutate(&mut Random(3), &seeds, b"\0"), mutate(&mut Random(3), &seeds, b"\0"));
    }

    #[test]
    fn a_target_that_panics_is_told_of() {
        let outcome =
            catch_unwind(|| fuzz("odd", |random| random.bytes(1), |input| assert!(input[0] % 2 == 0)));
        let text = *outcome.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("panicked: fuzz odd: WEFT_FUZZ_SEED=") && text.contains(" input "), "{text}");
    }
}
