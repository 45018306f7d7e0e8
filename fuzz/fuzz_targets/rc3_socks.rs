//! What local clients say to RC3's proxy.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rc3::fuzzing::socks(data));
