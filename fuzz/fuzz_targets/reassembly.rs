//! TCP reassembly under any segments, in any order.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netbricks::fuzzing::reassembly(data));
