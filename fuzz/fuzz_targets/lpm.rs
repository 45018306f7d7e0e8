//! Any changes of tables of prefixes, held to a scan.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lookup::fuzzing::lpm(data));
