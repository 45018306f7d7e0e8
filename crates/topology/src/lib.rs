//! Topology.
#![forbid(unsafe_code)]

pub mod generate;
pub mod graph;
pub mod partition;
pub mod paths;
mod random;
pub mod render;
pub mod structure;
pub mod units;

pub use graph::*;
pub use units::*;
