//! Every schedule of a small network: packets start anywhere at any time, links lose packets, are cut, and the two ends of a
//! cut link notice it one after the other, all in every order. Checks, in every state that can be reached:
//!
//! | | property | how |
//! |---|---|---|
//! | I1 | the graph of last reversals has no way round | topological order of every state |
//! | I2 | no link is in/in; of an out/out link exactly one end is stale, and the bits name it | every link of every state |
//! | I3 | while connected, every packet that is not lost arrives in finitely many hops | hops alone never lead back to a state |
//! | I4 | at most `reversals_max` reversals | counted as part of the state |
//! | I5 | over a link that leads in comes the bit that is expected | any drop by a router is a violation |
//! | I6 | after a heartbeat has come everywhere, every packet takes a shortest way | [`sweep`], for every node |
//!
//! With AEO, I1 and I2 are of virtual nodes.
//!
//! What makes the states finite is a bound on how many packets are under way at once; how many start in all has none.
//!
//! What makes them few:
//!
//! - Bits are only ever compared with the other end's: states that differ in how often links were reversed before are one.
//! - A link that is cut and that neither end knows of is one that loses everything, which any link may do.
//! - Reversals are no part of a state; it is visited again where more of them lead to it than were known.
//! - With [`Limits::any`] neither the numbers of nodes nor the plan's order of links counts, so states that differ in names alone are
//!   one; and the complete graph has all others in it: cut what a network does not have before the first packet, and what is
//!   left is that network with its first graph. So one search is all connected graphs of so many nodes, all first graphs in
//!   which the destination is the only end, and all priorities.

mod search;
mod state;
mod symmetry;
mod table;
mod wander;

pub use search::explore;
pub use wander::{sweep, wander};

use crate::forwarder::{BounceTest, Cause};
use crate::header::Phase;

/// What to try.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Packets under way at once.
    pub in_flight_max: usize,
    /// Links that may be cut, in every combination.
    pub cuts_max: usize,
    /// Do the ends of a cut link notice one after the other, at any time? Otherwise both do at once.
    pub late: bool,
    /// Must cuts leave the network connected? Where they need not, I3 and I4 promise nothing and are not checked.
    pub connected: bool,
    /// AEOs that may begin, at any node and time.
    pub aeos_max: u8,
    /// Cut links that may come back, once both ends have noticed the cut.
    pub restores_max: u8,
    /// Reversals by nodes that may happen in all.
    pub reversals_max: u32,
    /// States, above which the search gives up.
    pub states_max: usize,
    /// How packets start.
    pub phase: Phase,
    /// May a packet leave by any link that leads out, other than the one that it came over if there is another? Otherwise by
    /// the first in the plan's order.
    pub any: bool,
    #[doc(hidden)]
    pub test: BounceTest,
}

/// What was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// Different sets of ends that knew of a cut.
    pub stages: usize,
    /// The most reversals of one schedule.
    pub reversals: u32,
    /// The most hops in a row without a packet starting, ending or being lost, all packets counted together.
    pub hops: u32,
}

impl Report {
    /// Adds what was tried on another network.
    pub fn add(&mut self, other: Self) {
        self.states += other.states;
        self.steps += other.steps;
        self.stages += other.stages;
        self.reversals = self.reversals.max(other.reversals);
        self.hops = self.hops.max(other.hops);
    }
}

/// What does not hold. Carries the state in which it does not, as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// I1.
    #[error("I1: there is a way round in the graph of last reversals\n{0}")]
    WayRound(String),
    /// I2.
    #[error("I2: both ends of link {link} lead in\n{state}")]
    InIn {
        /// The link.
        link: usize,
        /// The state.
        state: String,
    },
    /// I2.
    #[error("I2: link {link} has {stale} stale ends and leads out at {out}\n{state}")]
    Stale {
        /// The link.
        link: usize,
        /// How many ends do not know of the other's last reversal.
        stale: usize,
        /// At how many ends it leads out.
        out: usize,
        /// The state.
        state: String,
    },
    /// I3.
    #[error("I3: packets can go on for ever\n{0}")]
    Endless(String),
    /// I4.
    #[error("I4: more than {reversals_max} reversals\n{state}")]
    Reversals {
        /// How many were allowed.
        reversals_max: u32,
        /// The state.
        state: String,
    },
    /// I3 or I5.
    #[error("I5: a router dropped a packet: {cause:?}\n{state}")]
    Dropped {
        /// Why it did.
        cause: Cause,
        /// The state.
        state: String,
    },
    /// I6.
    #[error("I6: a packet of node {from} takes {hops} hops, the shortest way {shortest}\n{state}")]
    NotShortest {
        /// Where it starts.
        from: usize,
        /// The links that it crosses.
        hops: u32,
        /// The links of the shortest way.
        shortest: u32,
        /// The state.
        state: String,
    },
    /// Not a property: the search was too large.
    #[error("more than {0} states")]
    TooManyStates(usize),
}
