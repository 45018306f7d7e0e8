//! The pcap and pcapng readers and writers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| packet::fuzzing::pcap(data));
