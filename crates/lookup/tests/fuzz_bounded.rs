//! Bounded fuzzing on stable Rust: see `packet::fuzzing::bounded`.

use lookup::acl::classbench::{self, Flavour, Version};
use lookup::fuzzing;
use packet::fuzzing::bounded::{Random, fuzz, fuzz_seeds};

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
    fuzz_seeds("acl", &seeds, b"0123456789abcdefx:./@ \n", fuzzing::acl);
}

/// Changes of seven bytes: few addresses, so that prefixes meet, and lengths mostly up to 32.
fn changes(random: &mut Random) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..random.below(200) {
        let mut change = random.bytes(7);
        change[1] %= if random.one_in(4) { 129 } else { 33 };
        for byte in &mut change[2..6] {
            *byte &= random.one_of(&[0, 0x81, 0x0f, 0xff]);
        }
        input.extend(change);
    }
    input
}

#[test]
fn tables_of_prefixes_hold_any_changes() {
    fuzz("lpm", changes, fuzzing::lpm);
}
