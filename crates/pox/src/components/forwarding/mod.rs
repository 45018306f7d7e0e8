//! Components that forward packets.

pub mod addresses;
pub mod hub;
pub mod l2_learning;
pub mod l2_pairs;
