//! Time: what is due later, and the end.

use std::time::Duration;

use super::{Core, Phase, own};
use crate::component::{Component, ComponentId};
use crate::controller::Output;
use crate::event::{Outcome, Verdict};
use crate::timer::{Action, DELAY_MIN, TIMERS_MAX, Timer, TimerId};

/// Time.
impl Core {
    /// The time, since the start that all of it is counted from.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Acts after a while: `core.after(Duration::from_secs(1), |this: &mut Self, core: &mut Core| …)`.
    pub fn after<C: Component, O: Outcome>(
        &mut self,
        delay: Duration,
        action: impl FnOnce(&mut C, &mut Self) -> O + 'static,
    ) -> TimerId {
        let mut action = Some(action);
        self.set_timer(
            self.current,
            delay,
            None,
            Box::new(move |state, core| match action.take() {
                Some(action) => action(own(state)?, core).verdict(),
                None => Ok(Verdict::Continue),
            }),
        )
    }

    /// Acts again and again, first after one period, until it says [`Verdict::Remove`] or is cancelled. Turns that were missed
    /// are not made up for.
    pub fn every<C: Component, O: Outcome>(
        &mut self,
        period: Duration,
        mut action: impl FnMut(&mut C, &mut Self) -> O + 'static,
    ) -> TimerId {
        let period = period.max(DELAY_MIN);
        let action =
            Box::new(move |state: &mut dyn Component, core: &mut Self| action(own(state)?, core).verdict());
        self.set_timer(self.current, period, Some(period), action)
    }

    /// Stops a timer; `false` where it has fired, was cancelled, or is what acts.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.timers.cancel(timer)
    }

    fn set_timer(
        &mut self,
        owner: ComponentId,
        delay: Duration,
        period: Option<Duration>,
        action: Action,
    ) -> TimerId {
        let deadline = self.now.saturating_add(delay.max(DELAY_MIN));
        if let Some(id) = self.timers.add(Timer { owner, deadline, period, action }) {
            return id;
        }
        crate::error!(self, "more than {} timers: one is lost", TIMERS_MAX);
        TimerId::NONE
    }

    /// Fires what is due.
    pub(crate) fn fire(&mut self) {
        // Ends: whatever a timer sets is due later than now.
        while let Some((id, mut timer)) = self.timers.pop(self.now) {
            let verdict =
                self.act(timer.owner, |state, core| (timer.action)(state, core)).unwrap_or_default();
            if let Some(period) = timer.period
                && !verdict.removes()
                && !self.slots[timer.owner.0 as usize].gone
            {
                let next = timer.deadline + period;
                timer.deadline = if next > self.now { next } else { self.now + period };
                self.timers.put(id, timer);
            }
            self.settle();
        }
    }

    pub(crate) fn next_timer(&self) -> Option<Duration> {
        self.timers.next_deadline()
    }

    /// Timers that wait.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// How far the controller has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Ends the controller, once the present event is done.
    pub fn quit(&mut self) {
        self.outputs.push_back(Output::Quit);
    }
}
