//! The stock gate hooks: what looks at packets as they pass a gate. Each is one file, whose doc comment is its manual.

mod capture;
mod outlet;
mod track;

pub use capture::{Capture, Format};
pub use outlet::{BACKLOG_MAX, OutletError};
pub use track::{ETHERNET_OVERHEAD, Track};
