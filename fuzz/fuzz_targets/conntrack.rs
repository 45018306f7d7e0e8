//! The connection tracker under any packets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netbricks::fuzzing::conntrack(data));
