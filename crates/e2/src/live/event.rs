//! What a manager says of what it does.

use std::fmt;
use std::time::Duration;

use crate::scale::{Next, Step};

/// Something that a manager does, or sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A shift begins, or is taken over from a manager that died.
    Begins {
        /// Which range, and why.
        what: String,
    },
    /// A step was carried out.
    Did(Step),
    /// New flows of the range go to the target, and no packet takes a detour but those of old flows beyond the table.
    Converged {
        /// Since it began, in ns.
        after_ns: u64,
        /// Flows that stay where they are.
        old: usize,
    },
    /// A shift is over.
    Ended(Next),
    /// What should be done cannot be.
    Cannot {
        /// What, and why not.
        what: String,
    },
    /// A site or an instance has died, and is started again.
    Died {
        /// What is lost with it.
        lost: String,
    },
    /// It is back.
    Back {
        /// After what time since it was found dead.
        after: Duration,
    },
    /// It could not be started.
    Failed {
        /// Why.
        error: String,
        /// When it is tried again.
        again: Duration,
    },
}

impl Event {
    /// Whether it is remembered.
    pub(super) const fn is_kept(&self) -> bool {
        !matches!(self, Self::Did(_))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins { what } | Self::Cannot { what } => f.write_str(what),
            Self::Did(step) => match step {
                Step::StartDetour => f.write_str("new flows take the detour"),
                Step::EndDetour => f.write_str("no detour any more"),
                Step::Return(keys) => {
                    write!(f, "{} old flows are sent back by the target's data plane", keys.len())
                }
                Step::Except(keys) => write!(f, "{} old flows have entries of the table", keys.len()),
                Step::Flip => f.write_str("the range has moved"),
                Step::RouteAll(side) => {
                    let side = format!("{side:?}").to_lowercase();
                    write!(f, "all goes to the {side}, the other has died")
                }
                Step::Cut(keys) => write!(f, "{} old flows are cut", keys.len()),
                Step::Narrow | Step::Widen => write!(f, "{step:?}"),
            },
            Self::Converged { after_ns, old } => {
                let seconds = *after_ns as f64 / 1e9;
                write!(f, "converged after {seconds:.3} s; {old} flows stay where they are")
            }
            Self::Ended(Next::Moved) => f.write_str("over: moved, and nothing is left of the way there"),
            Self::Ended(Next::Back) => f.write_str("over: the target died, all is the source's again"),
            Self::Ended(Next::TakenOver) => f.write_str("over: the source died, all is the target's"),
            Self::Ended(Next::Lost) => f.write_str("over: both died, each keeps the hashes that it has"),
            Self::Ended(next) => write!(f, "over: {next:?}"),
            Self::Died { lost } => write!(f, "has died and is started again; {lost}"),
            Self::Back { after } => write!(f, "is back after {:.3} s", after.as_secs_f64()),
            Self::Failed { error, again } => {
                write!(f, "cannot be started ({error}); tried again in {} s", again.as_secs())
            }
        }
    }
}
