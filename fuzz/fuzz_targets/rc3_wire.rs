//! RC3's datagrams and frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rc3::fuzzing::wire(data));
