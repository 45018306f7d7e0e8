//! What strangers send to an RC3 connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rc3::fuzzing::strangers(data));
