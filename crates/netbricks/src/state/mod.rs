//! State of network functions: what one core keeps, what all cores' parts add up to, and the handle from outside.
//!
//! ```text
//!   core 0: Flows ─ function ─ Publisher ─┐ a clone every interval            control plane
//!   core 1: Flows ─ function ─ Publisher ─┼─▶ slots ─▶ View::read: merged, with how old its oldest part is
//! ```
//!
//! [`Flows`] is a core's own state of each flow, with a bound and an idle time. [`view`] gives every core a [`Publisher`] and
//! the control plane a [`View`] of all. Reading and updating a function in place, between two batches, is
//! [`live::Handle`](crate::live::Handle), through a [`mailbox`].

mod flows;
pub mod mailbox;
mod view;

pub use flows::Flows;
pub use view::{CORES_MAX, Merge, Merged, Publisher, View, view};
