//! Network functions in safe Rust: typed, zero-copy operators on packets.

#![forbid(unsafe_code)]

pub mod answer;
mod args;
pub mod cause;
pub mod conntrack;
mod contain;
mod context;
mod find;
mod frame;
mod function;
pub mod functions;
#[doc(hidden)]
pub mod fuzzing;
pub mod header;
pub mod isolate;
mod line;
pub mod live;
pub mod nat;
pub mod neighbours;
pub mod operator;
pub mod reassembly;
pub mod rewrite;
pub mod routes;
pub mod rules;
mod shuffle;
pub mod state;
pub mod syn_cookie;

pub use args::{Args, ArgsError, FILE_BYTES_MAX, WORDS_MAX, parse_duration_ns};
pub use cause::{Cause, Drops};
pub use contain::{Contained, Make};
pub use context::{Context, GATE_BATCHES, GATES_MAX, Gate};
pub use frame::{Find, Frame, Here, Layer, Raw, Stack, Under};
pub use function::{NetworkFunction, REPORT_LINES_MAX, Report};
pub use line::{LINE_MAX, Line};
pub use operator::{Step, Stop, chain, chain_of};
pub use shuffle::{CORES_MAX, Gather, Scatter, Shuffle, mesh};

/// The tutorial: its examples are compiled and run with these tests.
#[cfg(doctest)]
#[doc = include_str!("../TUTORIAL.md")]
pub struct Tutorial;
