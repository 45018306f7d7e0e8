//! The evaluator, the checks, and what follows from a blueprint that passes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quilt::fuzzing::blueprint(data));
