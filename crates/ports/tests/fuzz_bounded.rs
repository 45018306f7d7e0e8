//! Bounded fuzzing on stable Rust: see `packet::fuzzing::bounded`.

use packet::fuzzing::bounded::{self, Random, fuzz, mutate};
use ports::fuzzing;

/// Bytes that decide something in a control message: types, flags of a step, versions, sizes.
const TELLING: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15, 16, 17, 64, 128, 255];

#[test]
fn a_memif_session_holds_any_messages() {
    let seeds = fuzzing::memif_control_seeds();
    seeds.iter().for_each(|seed| fuzzing::memif_control(seed));
    fuzz("memif_control", move |random| mutate(random, &seeds, TELLING), fuzzing::memif_control);
}

/// Steps of both sides, and between them bytes for the rings: mostly whole descriptors and positions, in their places.
fn steps(random: &mut Random) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..random.below(200) {
        let who = random.next() as u8;
        input.push(who);
        if who % 8 < 4 {
            continue;
        }
        let ring = 256 * random.below(2) as u16;
        match random.below(6) {
            0 => {
                let at = ring + random.one_of(&[4, 6, 64]);
                input.extend(at.to_le_bytes());
                input.extend([2, random.below(20) as u8, random.one_of(&[0, 0, 0, 0xff])]);
            }
            1 => {
                let at = random.next() as u16;
                input.extend(at.to_le_bytes());
                let count = random.below(32);
                input.push(count as u8);
                input.extend(random.bytes(count));
            }
            _ => {
                let at = ring + 128 + 16 * random.below(8) as u16;
                input.extend(at.to_le_bytes());
                input.push(16);
                input.extend([random.one_of(&[0, 0, 1, 1, 2, 0xff]), 0, random.one_of(&[0, 0, 0, 0, 1]), 0]);
                let len = random.one_of(&[0, 1, 60, 64, 65, 200, 256, 300, 4096, u32::MAX]);
                input.extend(len.to_le_bytes());
                let offset = random.one_of(&[0, 0, 64, 4096, 8191, 1 << 20, u32::MAX - 64]);
                input.extend(offset.to_le_bytes());
                input.extend([0; 4]);
            }
        }
    }
    input
}

#[test]
fn memif_rings_hold_any_bytes() {
    fuzz("memif_rings", steps, fuzzing::memif_rings);
}

#[test]
fn the_seeds_are_the_corpus_of_the_coverage_guided_target() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/memif");
    let mut wanted = fuzzing::memif_control_seeds();
    if std::env::var_os("WEFT_WRITE_CORPUS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (seed, name) in wanted.iter().zip(["client", "server"]) {
            std::fs::write(folder.join(name), seed).unwrap();
        }
    }
    let mut there = bounded::seeds(&folder);
    wanted.sort();
    there.sort();
    assert_eq!(there, wanted);
}
