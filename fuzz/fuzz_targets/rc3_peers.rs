//! What an RC3 peer with the key sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rc3::fuzzing::peers(data));
