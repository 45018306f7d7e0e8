//! Components about the switches themselves.

pub mod debug;
pub mod keepalive;
pub mod of_01;
