//! The reader of filter files, and the classifier built of what it reads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lookup::fuzzing::acl(data));
