//! Blueprints: JavaScript that says which programs run and who may talk to whom.
#![forbid(unsafe_code)]

pub mod model;
