//! Bounded fuzzing on stable Rust: random input through the bodies the coverage-guided targets share.
//!
//! `WEFT_FUZZ_SECONDS` (2) per target; `WEFT_FUZZ_SEED` repeats a run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use netbricks::fuzzing;

/// Segments of the longest input.
const SEGMENTS_MAX: usize = 250;
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

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: not a number")))
}

/// An execution's input depends on the seed and on the execution's number alone.
fn fuzz(name: &str, input: fn(&mut Random) -> Vec<u8>, target: fn(&[u8])) {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("WEFT_FUZZ_SEED").unwrap_or(clock);
    let end = Instant::now() + Duration::from_secs(number("WEFT_FUZZ_SECONDS").unwrap_or(2));
    println!("fuzz {name}: WEFT_FUZZ_SEED={seed}");
    let mut executions = 0;
    while Instant::now() < end {
        executions += 1;
        let input = input(&mut Random(seed ^ executions));
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let place =
            || format!("fuzz {name}: WEFT_FUZZ_SEED={seed} execution {executions} input {input:02x?}");
        assert!(outcome.is_ok(), "panicked: {}", place());
        assert!(start.elapsed() < INPUT_TIME_MAX, "took {:?}: {}", start.elapsed(), place());
    }
    println!("fuzz {name}: {executions} executions");
    assert!(executions > 100, "only {executions} executions");
}

/// Rules, and segments of eight bytes whose flags are mostly those of live connections.
fn segments(random: &mut Random) -> Vec<u8> {
    let mut input = random.next().to_le_bytes()[..4].to_vec();
    for _ in 0..random.below(SEGMENTS_MAX) {
        let mut step = random.next().to_le_bytes();
        if random.below(8) > 0 {
            step[1] = [0x10, 0x10, 0x10, 0x18, 0x30, 0x02, 0x12, 0x11, 0x04][random.below(9)];
            step[4] &= 0x1f;
        }
        input.extend(step);
    }
    input
}

#[test]
fn reassembly_holds_any_segments() {
    fuzz("reassembly", segments, fuzzing::reassembly);
}

/// Frames of a few hosts and ports, one in four with a byte changed, and time that mostly goes on slowly.
fn frames(random: &mut Random) -> Vec<u8> {
    let mut input = vec![random.next() as u8];
    for _ in 0..random.below(64) {
        let mut step = random.next().to_le_bytes();
        if random.below(4) > 0 {
            step[6] = 0;
        }
        step[7] = if random.below(8) > 0 { step[7] % 24 } else { step[7] };
        input.extend(step);
    }
    input
}

#[test]
fn translators_take_any_frames() {
    fuzz("nat", frames, fuzzing::nat);
}

/// A function, and steps of twelve bytes: three in four with no byte changed, one in sixteen cut, and time that mostly goes
/// on slowly.
fn steps(random: &mut Random) -> Vec<u8> {
    let mut input = random.next().to_le_bytes()[..2].to_vec();
    for _ in 0..random.below(96) {
        let mut step = [random.next(), random.next()].map(u64::to_le_bytes).concat();
        step.truncate(12);
        if random.below(4) > 0 {
            step[9] = 0;
        }
        if random.below(8) > 0 {
            step[10] %= 24;
        }
        input.extend(step);
    }
    input
}

#[test]
fn functions_take_any_frames() {
    fuzz("functions", steps, fuzzing::functions);
}

/// A frame of some headers in a legal order, one in two with a few bytes changed.
fn headers(random: &mut Random) -> Vec<u8> {
    let pieces: [&[u8]; 9] = [
        &[0x81, 0, 0, 7],
        &[0x88, 0x47, 0, 0, 0x51, 64],
        &[8, 0, 0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2],
        &[8, 0, 0x46, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 0],
        &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 40, 17, 64],
        &[19, 136, 0x12, 0xb5, 0, 40, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0],
        &[19, 136, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 250, 240, 0, 0, 0, 0],
        &[0x20, 0, 8, 0, 0, 0, 0, 1],
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
    ];
    let mut input = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for _ in 0..random.below(5) {
        input.extend(pieces[random.below(pieces.len())]);
    }
    input.extend((0..random.below(60)).map(|_| random.next() as u8));
    for _ in 0..random.below(4) {
        let at = random.below(input.len());
        input[at] = random.next() as u8;
    }
    input
}

#[test]
fn operators_take_any_frames() {
    fuzz("operators", headers, fuzzing::operators);
}
