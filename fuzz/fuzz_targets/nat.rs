//! NAT44 and NAT64 under any frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netbricks::fuzzing::nat(data));
