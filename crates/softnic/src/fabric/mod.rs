//! The container network: the core that carries, checks, balances and answers packets.
//!
//! ```text
//!            ┌ Fabric ─────────────────────────────────────────────────────────────┐
//!  Packet ──▶│ responder (ARP, ND, echo, DNS)   tables: addresses, rules, services │──▶ Packet
//!  (ingress) │ conntrack + nat: one entry per flow, both directions                │    (egress)
//!            └─────────────────────────────────────────────────────────────────────┘
//! ```

pub mod program;
pub mod report;

pub use program::{Program, ProgramError};
pub use report::{Counters, Explanation};
