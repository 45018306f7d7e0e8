//! The `softnic` room.

pub mod fabric;
