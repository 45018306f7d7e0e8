//! Blueprints: JavaScript that says which programs run and who may talk to whom.
#![forbid(unsafe_code)]

pub mod address;
pub mod check;
pub mod eval;
pub mod fault;
pub mod graph;
pub mod images;
mod load;
pub mod model;
pub mod plan;

pub use load::{Loaded, checked, load, secret};
