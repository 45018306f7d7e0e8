//! Components about the switches themselves.

pub mod keepalive;
pub mod of_01;
