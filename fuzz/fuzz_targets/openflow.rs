//! Any bytes as an OpenFlow message, and a message made of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    openflow::fuzzing::codec(data);
    openflow::fuzzing::generated(data);
});
