//! Components about the switches themselves.

pub mod debug;
pub mod discovery;
pub(crate) mod flood_ports;
pub mod flood_tree;
pub mod flow_table;
mod json;
pub mod keepalive;
pub mod of_01;
pub mod of_service;
pub mod spanning_forest;
pub mod spanning_tree;
pub mod topology;
