//! Components about the switches themselves.

pub mod of_01;
