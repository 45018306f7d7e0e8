//! Any bytes from the other end of an OpenFlow connection, cut in two ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| openflow::channel::fuzzing::channel(data));
