//! Dockerfiles: instructions, variables, and the plan of a build.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quilt::fuzzing::dockerfile(data));
