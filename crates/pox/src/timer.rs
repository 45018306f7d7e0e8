//! Timers: what is due when, in whatever time the core is told.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::component::ComponentId;
use crate::event::{Result, Verdict};
use crate::{Component, Core};

/// The most timers that wait at once.
pub const TIMERS_MAX: usize = 1 << 20;
/// The shortest time a timer waits, so that time goes on whatever handlers do.
pub const DELAY_MIN: Duration = Duration::from_micros(1);

/// Which timer, to cancel it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(u64);

impl TimerId {
    /// One that never was.
    pub(crate) const NONE: Self = Self(u64::MAX);
}

pub(crate) type Action = Box<dyn FnMut(&mut dyn Component, &mut Core) -> Result<Verdict>>;

pub(crate) struct Timer {
    pub(crate) owner: ComponentId,
    pub(crate) deadline: Duration,
    pub(crate) period: Option<Duration>,
    pub(crate) action: Action,
}

/// All timers that wait.
#[derive(Default)]
pub(crate) struct Timers {
    /// By deadline, then by age. Cancelled ones stay until they come up or are too many.
    queue: BinaryHeap<Reverse<(Duration, TimerId)>>,
    waiting: HashMap<TimerId, Timer, FixedState>,
    next: u64,
}

impl Timers {
    /// `None` where there are [`TIMERS_MAX`].
    pub(crate) fn add(&mut self, timer: Timer) -> Option<TimerId> {
        if self.waiting.len() >= TIMERS_MAX {
            return None;
        }
        let id = TimerId(self.next);
        self.next += 1;
        self.put(id, timer);
        Some(id)
    }

    /// Back after it fired, under a new age.
    pub(crate) fn put(&mut self, id: TimerId, timer: Timer) {
        self.queue.push(Reverse((timer.deadline, id)));
        self.waiting.insert(id, timer);
    }

    pub(crate) fn cancel(&mut self, id: TimerId) -> bool {
        let found = self.waiting.remove(&id).is_some();
        self.tidy();
        found
    }

    pub(crate) fn cancel_of(&mut self, owner: ComponentId) {
        self.waiting.retain(|_, timer| timer.owner != owner);
        self.tidy();
    }

    /// The next one that is due; taken out.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<(TimerId, Timer)> {
        let &Reverse((deadline, id)) = self.queue.peek()?;
        if deadline > now {
            return None;
        }
        self.queue.pop();
        let timer = self.waiting.remove(&id);
        self.tidy();
        timer.map(|timer| (id, timer))
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.queue.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Leaves out cancelled ones: in front, so that the first is one that waits, and all where they are most.
    fn tidy(&mut self) {
        let waits = |waiting: &HashMap<TimerId, Timer, FixedState>, deadline: Duration, id: TimerId| {
            waiting.get(&id).is_some_and(|timer| timer.deadline == deadline)
        };
        if self.queue.len() > 2 * self.waiting.len() + 64 {
            let waiting = &self.waiting;
            self.queue.retain(|Reverse((deadline, id))| waits(waiting, *deadline, *id));
        }
        while self.queue.peek().is_some_and(|Reverse((deadline, id))| !waits(&self.waiting, *deadline, *id)) {
            self.queue.pop();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}
