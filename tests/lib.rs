//! Tests of what crosses rooms. Each `[[test]]` of this package is one file beside this one:
//!
//! - `floors.rs`: which room may depend on which, and what every crate must declare.
#![forbid(unsafe_code)]
