//! Bounded fuzzing on stable Rust: see `packet::fuzzing::bounded`.

use std::path::PathBuf;

use packet::fuzzing;
use packet::fuzzing::bounded::{self, HEADER_BYTES, fuzz_seeds};

mod frames;

fn corpus(kind: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus")).join(kind)
}

fn fuzz(name: &str, kind: &str, target: fn(&[u8])) {
    let seeds = bounded::seeds(&corpus(kind));
    assert!(!seeds.is_empty());
    fuzz_seeds(name, &seeds, HEADER_BYTES, target);
}

#[test]
fn wire_views_hold_any_bytes() {
    fuzz("wire", "wire", fuzzing::wire);
}

#[test]
fn capture_readers_hold_any_bytes() {
    fuzz("pcap", "pcap", fuzzing::pcap);
}

#[test]
fn checksums_hold_any_bytes() {
    fuzz("checksum", "wire", fuzzing::checksum);
}

/// The seeds on disk are the frames of `tests/frames`; `WEFT_BLESS=1` writes them.
#[test]
fn seed_corpus_is_in_step_with_the_frames() {
    let wire = frames::all().into_iter().map(|(name, frame, _)| ("wire", name, frame));
    let pcap = frames::captures().into_iter().map(|(name, file)| ("pcap", name, file));
    for (kind, name, bytes) in wire.chain(pcap) {
        let path = corpus(kind).join(name);
        if std::env::var_os("WEFT_BLESS").is_some() {
            std::fs::create_dir_all(corpus(kind)).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let there = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}: run with WEFT_BLESS=1", path.display()));
        assert!(there == bytes, "{}: run with WEFT_BLESS=1", path.display());
    }
}
