//! Components about the switches themselves.

pub mod debug;
pub mod flow_table;
mod json;
pub mod keepalive;
pub mod of_01;
pub mod of_service;
