//! Components about the switches themselves.

pub mod debug;
pub mod flow_table;
pub mod keepalive;
pub mod of_01;
