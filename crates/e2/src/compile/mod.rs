//! From a policy to a plan, step by step; each step is a function of what the steps before it made.
//!
//! ```text
//!  Policy ─► merge ─► size ─► split ─► place ─► offload ─► connect ─► Plan
//!            PGraph   Sizes   IGraph   Placement  Offload    Connections
//! ```

pub mod connect;
mod listing;
pub mod merge;
pub mod offload;
mod plan;
pub mod size;
pub mod split;

pub use connect::Connections;
pub use listing::{ListedInstance, ListedRule, ListedServer, Listing};
pub use merge::PGraph;
pub use offload::Offload;
pub use plan::{Plan, plan, problem};
pub use size::Sizes;
pub use split::IGraph;
