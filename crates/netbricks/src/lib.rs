//! Network functions in safe Rust: typed, zero-copy operators on packets.

#![forbid(unsafe_code)]
