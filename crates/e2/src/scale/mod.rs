//! Moving load from one instance to another without a flow changing its instance: the protocol that splits an overloaded
//! instance's range and joins it again.
//!
//! A *source* owns a range of hashes, and a part of it, the *moved* range, is to belong to a *target*. State stays where it is:
//! flows that the source knows (*old* ones) stay with it, new ones go to the target.
//!
//! ```text
//!  0  switch: moved ─► source
//!  1  beside the source: what is not old is tunnelled to the target          until few old flows are left, or time is over
//!  2  beside the target: old flows beyond the switch's table ─► source       first, so that nothing is without a rule
//!     switch: T old flows ─► source, by exact match                          second
//!     switch: moved ─► target                                                then
//!  3  exceptions go as their flows end; the detour of 1 last
//! ```
//!
//! It differs from the paper's (Palkar et al., SOSP'15, section 4.4) where that leaves holes:
//!
//! - **Flows that never end** do not hold up phase 2. After [`Limits::wait_ns`] the switch takes [`Limits::entries`] of the old
//!   flows and the rest is sent back by the data plane beside the target, each in turn moving into the switch as entries become
//!   free. [`Limits::cut_ns`] may end them by force, which is a choice of the operator and counted.
//! - **The detour's bandwidth** is then that of the flows beyond the table alone, instead of all new flows.
//! - **The detour outlives the flip.** A flow that ended and began again between the last report and the flip still has an exception
//!   that leads to the source. With the detour gone, as in the paper's phase 2, the source would take it as its own, and lose it
//!   when the exception goes. `tests/scaling` has that protocol among the broken ones.
//! - **Death** of instance, server or manager in any phase. The protocol keeps nothing in memory: [`next`] decides from what is in
//!   force, so a new manager goes on where the last one stopped. Steps carry an epoch, and who obeys them refuses older ones.
//! - **Functions that change the key** (NAT) own flows by two keys. Such a source first allocates keys of what it keeps only
//!   ([`Step::Narrow`]), see [`reverse`]; both keys of an old flow count as old.
//!
//! When a range is to move at all [`load`] says, from what instances carry.
//!
//! Timeouts: the data plane forgets a flow no sooner than the function does, and `drained` is true once everything sent before the
//! last change has arrived.

pub mod load;
pub mod reverse;
mod shift;

pub use shift::{Input, Output, Shift};

use std::collections::BTreeSet;

/// A flow's key as the data plane matches it.
pub type Key = u64;

/// One of the two instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The one that has the range.
    Source,
    /// The one that gets it.
    Target,
}

/// What is in force, as the switch, the data planes and the instances report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Whether the source's instance runs.
    pub source_alive: bool,
    /// Whether the target's instance runs.
    pub target_alive: bool,
    /// Whether the source takes new keys only of what it keeps; none for functions that change no key.
    pub narrowed: Option<bool>,
    /// Whether what is not old is tunnelled from the source to the target.
    pub detour: bool,
    /// Keys of the moved range that the source has state for, and those that the data plane beside it has not forgotten yet.
    pub old: BTreeSet<Key>,
    /// Keys that the data plane beside the target sends back.
    pub returned: BTreeSet<Key>,
    /// Keys that the switch sends to the source by exact match.
    pub excepted: BTreeSet<Key>,
    /// Where the switch sends what is kept: to the source where a range is split, to the target where two are joined.
    pub kept_to: Side,
    /// Where the switch sends what is moved.
    pub moved_to: Side,
    /// Whether all that was sent to the source before the last change has arrived, tunnels included.
    pub source_drained: bool,
    /// The same of the target.
    pub target_drained: bool,
}

/// One change, of one device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The source takes new keys only of what it keeps.
    Narrow,
    /// The source may take keys of its whole range again.
    Widen,
    /// Beside the source: what is of the moved range and not old is tunnelled to the target.
    StartDetour,
    /// Beside the source: no more of that.
    EndDetour,
    /// Beside the target: these, and no others, are sent back to the source.
    Return(BTreeSet<Key>),
    /// In the switch: these, and no others, go to the source by exact match.
    Except(BTreeSet<Key>),
    /// In the switch: the moved range goes to the target.
    Flip,
    /// In the switch: both ranges go there.
    RouteAll(Side),
    /// At the source: these flows end now.
    Cut(BTreeSet<Key>),
}

/// What an operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of the switch's table for exceptions of one shift.
    pub entries: usize,
    /// How long phase 1 waits for old flows to end, in ns.
    pub wait_ns: u64,
    /// How long old flows may live after the flip before they are cut, in ns; none to let them be.
    pub cut_ns: Option<u64>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A step.
    Do(Step),
    /// Nothing until old flows end: the range has not moved yet.
    WaitForFew,
    /// Nothing until old flows end: the range has moved.
    WaitForEnd,
    /// Nothing until packets on their way have arrived.
    WaitForDrain,
    /// The range has moved, and nothing is left of the way there.
    Moved,
    /// The target died; all is the source's again.
    Back,
    /// The source died; all is the target's.
    TakenOver,
    /// Both died.
    Lost,
}

/// Decides from what is in force alone. `waited` says that phase 1 has lasted long enough, `cut` that old flows have.
pub fn next(now: &Observed, limits: &Limits, waited: bool, cut: bool) -> Next {
    match (now.source_alive, now.target_alive) {
        (true, true) if now.moved_to == Side::Source => before_flip(now, limits, waited),
        (true, true) => after_flip(now, limits, cut),
        (true, false) => alone(now, Side::Source),
        (false, true) => alone(now, Side::Target),
        (false, false) => Next::Lost,
    }
}

/// Old flows for the switch: those that are there already, then the first others, as many as there are entries.
fn excepted(now: &Observed, limits: &Limits) -> BTreeSet<Key> {
    let there = now.excepted.intersection(&now.old);
    there.chain(now.old.difference(&now.excepted)).take(limits.entries).copied().collect()
}

fn before_flip(now: &Observed, limits: &Limits, waited: bool) -> Next {
    if now.narrowed == Some(false) {
        return Next::Do(Step::Narrow);
    }
    if !now.detour {
        return Next::Do(Step::StartDetour);
    }
    if now.old.len() > limits.entries && !waited {
        return Next::WaitForFew;
    }
    let except = excepted(now, limits);
    let back: BTreeSet<Key> = now.old.difference(&except).copied().collect();
    if !now.returned.is_superset(&back) {
        return Next::Do(Step::Return(back));
    }
    if !now.excepted.is_superset(&except) {
        return Next::Do(Step::Except(except));
    }
    Next::Do(Step::Flip)
}

fn after_flip(now: &Observed, limits: &Limits, cut: bool) -> Next {
    if !now.detour && !now.old.is_empty() {
        return Next::Do(Step::StartDetour); // its data plane was started again
    }
    let except = excepted(now, limits);
    if except != now.excepted {
        return Next::Do(Step::Except(except));
    }
    let mut back: BTreeSet<Key> = now.old.difference(&except).copied().collect();
    if !now.target_drained {
        // Packets of flows that have just got an entry may still be on their way to the target.
        back.extend(now.returned.intersection(&now.old));
    }
    if back != now.returned {
        return Next::Do(Step::Return(back));
    }
    match (now.old.is_empty(), now.detour) {
        (false, _) if cut => Next::Do(Step::Cut(now.old.clone())),
        (false, _) => Next::WaitForEnd,
        (true, true) if now.source_drained => Next::Do(Step::EndDetour),
        (true, true) => Next::WaitForDrain,
        (true, false) => Next::Moved,
    }
}

/// One of them is left and gets everything.
fn alone(now: &Observed, left: Side) -> Next {
    if now.kept_to != left || now.moved_to != left {
        return Next::Do(Step::RouteAll(left));
    }
    if now.detour {
        return Next::Do(Step::EndDetour);
    }
    if !now.excepted.is_empty() {
        return Next::Do(Step::Except(BTreeSet::new()));
    }
    if !now.returned.is_empty() {
        return Next::Do(Step::Return(BTreeSet::new()));
    }
    match left {
        Side::Source if now.narrowed == Some(true) => Next::Do(Step::Widen),
        Side::Source => Next::Back,
        Side::Target => Next::TakenOver,
    }
}
