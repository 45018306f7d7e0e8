//! Deployments as the daemon of `quilt` is given them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quilt::fuzzing::deployment(data));
