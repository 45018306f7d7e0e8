//! Components of all kinds.

pub mod of_tutorial;
