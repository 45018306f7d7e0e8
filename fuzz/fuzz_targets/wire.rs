//! Every wire view, the layer parser and the flow keys.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    packet::fuzzing::wire(data);
    packet::fuzzing::checksum(data);
});
