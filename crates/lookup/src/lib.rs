//! The tables packets are looked up in.

#![forbid(unsafe_code)]

pub mod flow_table;
pub mod maglev;
pub mod token_bucket;
