//! Bounded fuzzing on stable Rust: see `packet::fuzzing::bounded`.

use std::path::Path;

use netbricks::fuzzing;
use packet::fuzzing::bounded::{self, HEADER_BYTES, Random, fuzz, mutate};

/// Segments of the longest input.
const SEGMENTS_MAX: usize = 250;

/// Rules, and segments of eight bytes whose flags are mostly those of live connections.
fn segments(random: &mut Random) -> Vec<u8> {
    let mut input = random.next().to_le_bytes()[..4].to_vec();
    for _ in 0..random.below(SEGMENTS_MAX) {
        let mut step = random.next().to_le_bytes();
        if random.below(8) > 0 {
            step[1] = random.one_of(&[0x10, 0x10, 0x10, 0x18, 0x30, 0x02, 0x12, 0x11, 0x04]);
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
        input.extend(random.one_of(&pieces));
    }
    let length = random.below(60);
    input.extend(random.bytes(length));
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

/// Half of the inputs are frames of the corpus, changed; the others any bytes. Both are scripts of actions.
#[test]
fn the_tracker_holds_any_packets() {
    let corpus = bounded::seeds(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/wire")));
    let input = |random: &mut Random| {
        if random.one_in(2) {
            let length = random.below(1200);
            return random.bytes(length);
        }
        mutate(random, &corpus, HEADER_BYTES)
    };
    fuzz("conntrack", input, fuzzing::conntrack);
}
