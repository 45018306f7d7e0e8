//! Numbers at random, and how to have the same ones again.

pub use packet::fuzzing::bounded::Random;

/// The seed of a run, printed: `WEFT_TEST_SEED` repeats it.
pub fn seed() -> u64 {
    let fresh = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("WEFT_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(fresh);
    eprintln!("WEFT_TEST_SEED={seed}");
    seed
}
