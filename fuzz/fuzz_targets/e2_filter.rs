//! The reader of E2's filters.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| e2::fuzzing::filter(data));
