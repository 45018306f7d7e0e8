//! The reader of E2's policies, and the planner behind it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| e2::fuzzing::policy(data));
