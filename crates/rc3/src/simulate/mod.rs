//! Flows over a simulated network: the same sender and receiver, in virtual time.

mod fabric;
mod metrics;
mod workload;
mod world;

pub use fabric::{Fabric, FabricError, internet2};
pub use metrics::{Bucket, Drops, Outcome, Summary, paper_buckets};
pub use workload::{PAPER_SIZES, SIZES_MAX, Sizes, SizesError, Workload, poisson};
pub use world::{Flow, Limits, run, run_on};
