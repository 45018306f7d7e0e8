//! Every network function under any frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netbricks::fuzzing::functions(data));
