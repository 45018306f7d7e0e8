//! Which server runs which instance, so that little traffic goes between servers.
//!
//! ```text
//!  Problem ─► search   starts, then tabu search over moves and swaps   ─┐
//!          ─► bound    degrees, spanning trees cut into small parts    ─┼─► Placement { servers, cut, bound }
//!          ─► exact    branch and bound, for small ones, for so long   ─┘
//! ```
//!
//! [`place`] is deterministic: work is counted in steps, not in time, and random numbers come from a fixed seed. Traffic
//! between instances and ports passes a server's link wherever the instance runs, so it counts for links, not for the cut.

pub mod baseline;
pub mod bound;
pub mod exact;
mod links;
mod problem;
mod search;

pub use links::Load;
pub(crate) use problem::Random;
pub use problem::{INSTANCES_MAX, Problem, ProblemError, RANDOM_SEED, Servers};

use serde::Serialize;

/// The most steps of [`exact`] that [`place`] takes.
const EXACT_STEPS: u64 = 10_000;
/// The most instances for which it tries.
const EXACT_INSTANCES_MAX: usize = 40;

/// Where instances run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// By instance: its server.
    pub servers: Vec<usize>,
    /// Traffic between servers, in bit/s.
    pub cut: u64,
    /// No placement has less than this, in bit/s.
    pub bound: u64,
}

impl Placement {
    /// Whether nothing better exists.
    pub const fn is_optimal(&self) -> bool {
        self.cut == self.bound
    }

    /// How far it may be from the best, as a part of the bound: 0.02 is 2 %. Infinite where the bound is 0 and the cut is not.
    pub fn gap(&self) -> f64 {
        if self.is_optimal() { 0.0 } else { (self.cut - self.bound) as f64 / self.bound as f64 }
    }
}

/// Places all instances.
///
/// # Errors
/// There are fewer cores than instances.
pub fn place(problem: &Problem) -> Result<Placement, ProblemError> {
    problem.fits()?;
    let mut found = search::best(problem, &vec![None; problem.instances()]);
    let mut bound = bound::bound(problem).min(found.cut);
    if bound < found.cut && problem.instances() <= EXACT_INSTANCES_MAX {
        let exact = exact::improve(problem, &found, EXACT_STEPS);
        bound = bound.max(exact.bound);
        if let Some(servers) = exact.better {
            found = Servers { cut: problem.cut(&servers), servers };
        }
    }
    Ok(Placement { servers: found.servers, cut: found.cut, bound })
}

/// Places new instances (`None`) among live ones (`Some`), which stay where they are. One new instance goes where it adds the
/// least traffic between servers; several are then also exchanged among each other. The bound is that of placements which leave
/// live instances alone: what live ones cost each other, and what every new one costs at least.
///
/// # Errors
/// A server that does not exist or has more live instances than cores, or too few cores for the new ones.
pub fn place_new(problem: &Problem, live: &[Option<usize>]) -> Result<Placement, ProblemError> {
    problem.fits_with(live)?;
    let found = search::best(problem, live);
    let bound = bound::with_live(problem, live).min(found.cut);
    Ok(Placement { servers: found.servers, cut: found.cut, bound })
}
