//! The parsers of OpenFlow's readable form, and its printer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| openflow::fuzzing::text(data));
