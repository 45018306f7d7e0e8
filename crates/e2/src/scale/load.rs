//! When a function grows, and when it shrinks: a state machine that hears what instances carry and says so.
//!
//! ```text
//!  reports ──► [`Watch`] ──► grow: split this one      an instance has more than `high` of its capacity, in the mean of `reports`
//!                                                      reports, or packets wait in front of it in all of them
//!                        ──► shrink: join these two    together they have less than `low` of one's capacity, for `calm` reports
//! ```
//!
//! **It does not swing under a load that is steady.** A split is of one that has more than `high`, a join is of two that together
//! have less than `low`, and `low` is below `high`: what was split is not joined, and what was joined is not split. Where
//! packets wait although an instance has less than its capacity is said to be, what it then carried is its capacity from there
//! on, for [`Settings::remember_ns`]. After a decision a function rests for [`Settings::pause_ns`]. An instance that takes part in a shift is
//! left alone until that is over: its part of the load is not what it will be.
//!
//! Where it is known how long an instance's core works for it ([`Carried::worked_ns`]), the same bounds hold of that share of the time: for
//! functions of whose capacity nobody knows anything it is the only measure.

mod known;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::rate::{Rate, Share};
use known::Known;

/// The most reports that are kept of an instance.
pub const REPORTS_MAX: usize = 1024;

/// How soon it reacts, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The part of its capacity above which an instance has too much.
    pub high: Share,
    /// The part of one's capacity below which two are one too many.
    pub low: Share,
    /// Reports over which too much is measured.
    pub reports: usize,
    /// Reports over which too little is measured.
    pub calm: usize,
    /// How long a function rests after a decision, in ns.
    pub pause_ns: u64,
    /// How many packets the queues in front of an instance hold.
    pub queue: u64,
    /// How long it is remembered what an instance carried while packets waited, in ns.
    pub remember_ns: u64,
}

/// What makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// It would swing.
    #[error("too little, {low}, must be below too much, {high}: else what was split is joined at once")]
    Order {
        /// Too little.
        low: Share,
        /// Too much.
        high: Share,
    },
    /// No reports, or more than are kept.
    #[error("{0} reports cannot be measured over: from 1 to {REPORTS_MAX}")]
    Reports(usize),
}

impl Settings {
    /// Whether they make sense.
    ///
    /// # Errors
    /// They do not.
    pub const fn check(&self) -> Result<(), SettingsError> {
        if self.low.0 >= self.high.0 {
            return Err(SettingsError::Order { low: self.low, high: self.high });
        }
        if self.reports == 0 || self.reports > REPORTS_MAX {
            return Err(SettingsError::Reports(self.reports));
        }
        if self.calm == 0 || self.calm > REPORTS_MAX {
            return Err(SettingsError::Reports(self.calm));
        }
        Ok(())
    }
}

/// What a function may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// What one instance carries, if anybody says.
    pub capacity: Option<Rate>,
    /// Why it cannot grow, if it cannot.
    pub fixed: Option<&'static str>,
    /// The fewest instances.
    pub least: usize,
    /// The most instances.
    pub most: usize,
}

/// What an instance has come to; counters since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Its number.
    pub id: u32,
    /// Its function, by place.
    pub function: usize,
    /// Packets that were handed to it.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Packets that wait in front of it.
    pub queued: u64,
    /// Packets that found no room there.
    pub overrun: u64,
    /// How long its core has worked for it, in ns; none where nobody asked.
    pub worked_ns: Option<u64>,
    /// Whether it takes part in a shift.
    pub busy: bool,
}

/// What all say at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every instance.
    pub instances: Vec<Carried>,
    /// Who could give all that it has to whom.
    pub joins: Vec<(u32, u32)>,
    /// Cores that nobody has.
    pub free: usize,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It gets more than it should.
    Rate {
        /// What it gets.
        rate: Rate,
        /// What it carries.
        capacity: Rate,
    },
    /// Packets wait in front of it.
    Queue {
        /// How many.
        queued: u64,
        /// How many did not find room since the last report.
        overrun: u64,
    },
    /// Its core has little time left.
    Core {
        /// How much of the time it works.
        share: Share,
    },
    /// The cores of two have less to do than one should.
    Rests {
        /// How much of the time both work, in sum.
        share: Share,
    },
    /// Two have less than one should.
    Idle {
        /// What both get.
        rate: Rate,
        /// What one carries.
        capacity: Rate,
    },
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { rate, capacity } => write!(f, "gets {rate} and carries {capacity}"),
            Self::Queue { queued, overrun: 0 } => write!(f, "has {queued} packets waiting in front of it"),
            Self::Queue { queued, overrun } => {
                write!(f, "has {queued} packets waiting in front of it, and {overrun} found no room")
            }
            Self::Core { share } => write!(f, "keeps its core busy for {share} of the time"),
            Self::Rests { share } => {
                write!(f, "keeps, with its neighbour, a core busy for {share} of the time")
            }
            Self::Idle { rate, capacity } => {
                write!(f, "gets, with its neighbour, {rate} of the {capacity} that one carries")
            }
        }
    }
}

/// Why nothing is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// It is not that kind of function.
    Fixed(&'static str),
    /// It has as many as it may have.
    Most(usize),
    /// No core is free.
    NoCore,
    /// Flows of the last shift have not ended.
    Busy,
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(reason) => f.write_str(reason),
            Self::Most(most) => write!(f, "it has its {most} instances"),
            Self::NoCore => f.write_str("no core is free"),
            Self::Busy => {
                f.write_str("a shift that it has a part in is not over (`--cut` says when that is forced)")
            }
        }
    }
}

/// What is to be done, or cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A half of what an instance has goes to a new one.
    Grow {
        /// Which.
        source: u32,
        /// Why.
        because: Because,
    },
    /// An instance gives all that it has to another, and ends.
    Shrink {
        /// Which.
        source: u32,
        /// To whom.
        target: u32,
        /// Why.
        because: Because,
    },
    /// An instance has too much. Said once until that is over, or something else is the reason.
    Cannot {
        /// Which.
        instance: u32,
        /// What is too much.
        because: Because,
        /// Why nothing is done.
        hindrance: Hindrance,
    },
}

/// The state machine.
#[derive(Debug)]
pub struct Watch {
    settings: Settings,
    functions: Vec<Function>,
    known: BTreeMap<u32, Known>,
    /// By function: until when it rests.
    rests: BTreeMap<usize, u64>,
    /// By function: what an instance carried while packets waited, and until when that counts.
    learned: BTreeMap<usize, (Rate, u64)>,
    /// What was said of instances that have too much.
    said: BTreeMap<u32, Hindrance>,
    outputs: VecDeque<Output>,
}

impl Watch {
    /// One that has heard nothing.
    ///
    /// # Errors
    /// Settings that make no sense.
    pub fn new(settings: Settings, functions: Vec<Function>) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self {
            settings,
            functions,
            known: BTreeMap::new(),
            rests: BTreeMap::new(),
            learned: BTreeMap::new(),
            said: BTreeMap::new(),
            outputs: VecDeque::new(),
        })
    }

    /// Hears a report. Time never goes back; a second report of one moment is not heard.
    pub fn handle(&mut self, now_ns: u64, report: &Report) {
        let there: BTreeSet<u32> = report.instances.iter().map(|one| one.id).collect();
        self.known.retain(|id, _| there.contains(id));
        self.said.retain(|id, _| there.contains(id));
        self.learned.retain(|_, (_, until)| now_ns < *until);
        let keep = self.settings.reports.max(self.settings.calm);
        for carried in &report.instances {
            self.known.entry(carried.id).or_default().hear(now_ns, *carried, keep);
        }
        let mut free = report.free;
        for function in 0..self.functions.len() {
            let own: Vec<Carried> =
                report.instances.iter().filter(|one| one.function == function).copied().collect();
            self.learn(now_ns, function, &own);
            if self.grow(now_ns, function, &own, &mut free) {
                continue;
            }
            self.shrink(now_ns, function, &own, &report.joins);
        }
    }

    /// What is to be done, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What one instance of a function carries, as far as anybody knows.
    pub fn capacity(&self, function: usize) -> Option<Rate> {
        let said = self.functions.get(function)?.capacity;
        let learned = self.learned.get(&function).map(|(rate, _)| *rate);
        said.into_iter().chain(learned).min()
    }

    /// What an instance carries while packets wait is what it can carry; more than was thought it shows by doing it.
    fn learn(&mut self, now_ns: u64, function: usize, own: &[Carried]) {
        let Settings { reports, remember_ns, .. } = self.settings;
        for one in own {
            let known = &self.known[&one.id];
            if known.waits(reports, self.settings.queue).is_some() {
                let served = known.served(reports).filter(|rate| rate.0 > 0);
                let until = now_ns.saturating_add(remember_ns);
                if let Some(served) = served {
                    self.learned.insert(function, (served, until));
                }
            } else if let (Some((learned, _)), Some(rate)) =
                (self.learned.get_mut(&function), known.rate(reports))
            {
                *learned = rate.max(*learned);
            }
        }
    }

    /// What an instance has too much of.
    fn too_much(&self, one: &Carried) -> Option<Because> {
        let known = &self.known[&one.id];
        if let Some((queued, overrun)) = known.waits(self.settings.reports, self.settings.queue) {
            return Some(Because::Queue { queued, overrun });
        }
        if let Some(share) = known.share(self.settings.reports).filter(|share| *share > self.settings.high) {
            return Some(Because::Core { share });
        }
        let (rate, capacity) = (known.rate(self.settings.reports)?, self.capacity(one.function)?);
        (rate > self.settings.high.of(capacity)).then_some(Because::Rate { rate, capacity })
    }

    /// Whether one has too much, whether or not that can be helped.
    fn grow(&mut self, now_ns: u64, function: usize, own: &[Carried], free: &mut usize) -> bool {
        let mut pressed: Vec<(Carried, Because)> =
            own.iter().filter_map(|one| Some((*one, self.too_much(one)?))).collect();
        self.said.retain(|id, _| {
            !own.iter().any(|one| one.id == *id) || pressed.iter().any(|(one, _)| one.id == *id)
        });
        if pressed.is_empty() {
            return false;
        }
        // The one with most of it first, of those that can be split.
        pressed.sort_by_key(|(one, _)| {
            (one.busy, std::cmp::Reverse(self.known[&one.id].rate(self.settings.reports)), one.id)
        });
        let (one, because) = pressed[0];
        let Function { fixed, most, .. } = self.functions[function];
        let hindrance = match fixed {
            Some(reason) => Some(Hindrance::Fixed(reason)),
            None if one.busy => Some(Hindrance::Busy),
            None if own.len() >= most => Some(Hindrance::Most(most)),
            None if *free == 0 => Some(Hindrance::NoCore),
            None => None,
        };
        if let Some(hindrance) = hindrance {
            if self.said.insert(one.id, hindrance) != Some(hindrance) {
                self.outputs.push_back(Output::Cannot { instance: one.id, because, hindrance });
            }
        } else if self.may(now_ns, function) {
            *free -= 1;
            self.outputs.push_back(Output::Grow { source: one.id, because });
        }
        true
    }

    fn shrink(&mut self, now_ns: u64, function: usize, own: &[Carried], joins: &[(u32, u32)]) {
        let Function { fixed, least, .. } = self.functions[function];
        if fixed.is_some() || own.len() <= least.max(1) {
            return;
        }
        let rest = |id: &u32| own.iter().any(|one| one.id == *id && !one.busy);
        let both = joins.iter().filter(|(source, target)| rest(source) && rest(target));
        let rated = both.filter_map(|(source, target)| {
            let [one, other] = [source, target].map(|id| self.known.get(id));
            let (one, other, calm) = (one?, other?, self.settings.calm);
            let share = |known: &Known| known.share(calm);
            let share = share(one).zip(share(other)).map(|(one, other)| Share(one.0.saturating_add(other.0)));
            Some((one.rate(calm)?.plus(other.rate(calm)?), std::cmp::Reverse(*source), *target, share))
        });
        let Some((rate, std::cmp::Reverse(source), target, share)) = rated.min() else { return };
        // Both measures must say so, where there are both.
        let because = match (self.capacity(function), share) {
            (None, None) => return,
            (_, Some(share)) if share >= self.settings.low => return,
            (Some(capacity), _) if rate >= self.settings.low.of(capacity) => return,
            (Some(capacity), _) => Because::Idle { rate, capacity },
            (None, Some(share)) => Because::Rests { share },
        };
        if self.may(now_ns, function) {
            self.outputs.push_back(Output::Shrink { source, target, because });
        }
    }

    /// Whether a function has rested; from now on it rests.
    fn may(&mut self, now_ns: u64, function: usize) -> bool {
        let rests = self.rests.entry(function).or_insert(0);
        let may = now_ns >= *rests;
        if may {
            *rests = now_ns.saturating_add(self.settings.pause_ns);
        }
        may
    }
}
