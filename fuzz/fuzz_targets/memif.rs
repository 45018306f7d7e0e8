//! memif's control messages, and any bytes in its rings.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ports::fuzzing::memif_control(data);
    ports::fuzzing::memif_rings(data);
});
