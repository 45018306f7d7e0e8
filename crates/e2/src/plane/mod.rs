//! The data plane under the functions: what E2 calls E2D. One module of a software NIC on each server and at the switch, around which
//! the instances stand.
//!
//! ```text
//!            ┌──────────────── E2Plane ────────────────┐
//!  port ────►│ pipelet by header                       │───► port
//!  trunk ───►│ tag out of the tunnel ─┐                │───► trunk, tag in the tunnel
//!            │                        ▼                │
//!  instance ►│ rules ─► group ─► part of its hashes ───│───► queue ─► instance, on a core of its own
//!            └─────────────────────────────────────────┘
//! ```
//!
//! Packets carry a [tag](tag::Tag): the port where they came in, their pipelet, their attributes. Inside a server it lies in the packet's metadata,
//! between servers in an option of GENEVE (RFC 8926), whose network identifier is the instance or port that is meant.
//!
//! A [program](proto::Program) says all that it does and is replaced at once; flows and counters stay. It is the whole state that a
//! manager needs to read to go on where another one died. Programs come by BESS's interface, from any client: [`register`] adds the
//! class to the daemons of a process, and one for functions in confined processes.
//!
//! Why the switch is such a module too, and no OpenFlow switch: a match of OpenFlow can ask for bits of header fields, not for a
//! part of the hashes over a key that both directions of a flow share.

mod class;
mod drops;
mod flows;
mod isolated;
mod module;
mod program;
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/weft.e2.v1.rs"));
}
pub mod tag;
#[cfg(test)]
mod tests;
mod tunnel;

pub use class::{CLASS, ISOLATED, register};
pub use module::{Plane, SetError};
pub use program::{FLOWS_MAX, GATES, ProgramError, RULES_MAX};
