//! Connection tracking.

mod config;
mod eviction;
mod flow;
mod segment;
mod subject;
mod tcp;
mod tracker;
mod verdict;
mod window;

pub use config::{Config, FLOWS_MAX, Timeouts};
pub use eviction::EVICTION_LOOKS;
pub use flow::{End, Flow, Traffic};
pub use lookup::flow_table::FlowId;
pub use tcp::TcpState;
pub use tracker::{AlterError, Tracker};
pub use verdict::{Counters, Direction, Invalid, State, Verdict};
