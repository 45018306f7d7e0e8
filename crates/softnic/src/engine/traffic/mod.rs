//! Traffic classes of one worker: which task has the next turn.
//!
//! ```text
//!            !default_rr_0  round robin
//!             ┌──────┴───────┐
//!     fast  priority     bulk  rate limit 1 Gbit/s
//!      ┌─────┴─────┐         │
//!   0: leaf    1: shares  weighted fair, bits
//!                 ┌──┴──┐
//!              3: leaf 1: leaf
//! ```
//!
//! No clock, no thread, no task is touched here: [`Tree`] is told which tasks can run and what each turn has cost, at
//! times that are passed in, and says whose turn it is and when to look again. The tests run it in virtual time.
//!
//! # How it picks
//!
//! Every inner class keeps the children that can run in a heap, and its policy is nothing but the key by which they stand
//! there: the priority, the number of the next turn (round robin), or the virtual time of stride scheduling
//! (Waldspurger and Weihl, MIT/LCS/TM-528, 1995) with the start tags of SFQ (Goyal, Vin, Cheng, SIGCOMM 1996, section 2):
//! a child that comes back after a pause stands where its last turn has left it or where the class is by now, whichever
//! is later, so idling earns nothing and costs nothing. A pick walks down over the tops of the heaps, a charge walks up: both
//! take O(depth · log children) and allocate nothing.
//!
//! A class whose children are all blocked is blocked itself and leaves its parent's heap. A rate limit that is
//! overdrawn is blocked until a time that stands in a heap of its own, on which the worker may sleep.

mod bucket;
mod heap;
mod policy;
#[cfg(test)]
mod shares;
mod tree;
#[cfg(test)]
mod twin;

pub use policy::{PACKET_OVERHEAD_BYTES, Policy, Resource, Usage};
pub(crate) use tree::{Class, ClassId, Tree, Weight};

/// A task's number in its worker.
pub(crate) type TaskId = u32;
