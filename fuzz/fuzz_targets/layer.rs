//! Layers of images, packed in whichever way, unpacked into a directory that they must not leave.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quilt::fuzzing::layer(data));
