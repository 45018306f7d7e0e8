//! Typed frames and all operators over any frame.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netbricks::fuzzing::operators(data));
