//! The protocol with its clocks: a state machine without input and output of its own.

use std::collections::VecDeque;

use super::{Limits, Next, Observed, Side, Step, next};

/// What a shift is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// What is in force now. Whether a step that was asked for is among it, the report itself says.
    Observed(Box<Observed>),
    /// Nothing but that time has passed.
    Tick,
}

/// What a shift asks for, or says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A step, to be refused by whoever has heard of a higher epoch.
    Do {
        /// Of the manager that asks.
        epoch: u64,
        /// What to do.
        step: Step,
    },
    /// The range has moved. Old flows may be left.
    Converged {
        /// Since the shift began or was taken over, in ns.
        after_ns: u64,
        /// How many keys stay with the source for now.
        old: usize,
    },
    /// It is over.
    Ended(Next),
}

/// One range on its way.
#[derive(Clone, Debug)]
pub struct Shift {
    epoch: u64,
    limits: Limits,
    began_ns: u64,
    /// When the range was first seen to have moved.
    moved_ns: Option<u64>,
    observed: Option<Observed>,
    asked: Option<Step>,
    ended: bool,
    outputs: VecDeque<Output>,
}

impl Shift {
    /// A new shift, or one that another manager began: the first report says which. `epoch` is higher than that of every manager
    /// before.
    pub const fn new(epoch: u64, limits: Limits, now_ns: u64) -> Self {
        Self {
            epoch,
            limits,
            began_ns: now_ns,
            moved_ns: None,
            observed: None,
            asked: None,
            ended: false,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened. Time never goes back.
    pub fn handle(&mut self, now_ns: u64, input: Input) {
        if let Input::Observed(observed) = input {
            // A report may be from before the step: it is asked for again then, and doing it twice changes nothing.
            self.asked = None;
            self.observed = Some(*observed);
        }
        self.decide(now_ns);
    }

    /// What is asked for, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Shift::handle`] again if nothing happens before.
    pub fn next_deadline(&self) -> Option<u64> {
        let after = |since: u64, wait: u64| since.saturating_add(wait);
        match (self.ended, self.moved_ns) {
            (true, _) => None,
            (false, None) => Some(after(self.began_ns, self.limits.wait_ns)),
            (false, Some(moved)) => self.limits.cut_ns.map(|cut| after(moved, cut)),
        }
    }

    fn decide(&mut self, now_ns: u64) {
        let Some(observed) = &self.observed else { return };
        if self.ended {
            return;
        }
        if observed.moved_to == Side::Target && self.moved_ns.is_none() {
            self.moved_ns = Some(now_ns);
            let (after_ns, old) = (now_ns.saturating_sub(self.began_ns), observed.old.len());
            self.outputs.push_back(Output::Converged { after_ns, old });
        }
        let since = |start: u64| now_ns.saturating_sub(start);
        let waited = since(self.began_ns) >= self.limits.wait_ns;
        let cut = self.moved_ns.zip(self.limits.cut_ns).is_some_and(|(moved, cut)| since(moved) >= cut);
        match next(observed, &self.limits, waited, cut) {
            Next::Do(step) => {
                if self.asked.as_ref() != Some(&step) {
                    self.asked = Some(step.clone());
                    self.outputs.push_back(Output::Do { epoch: self.epoch, step });
                }
            }
            Next::WaitForFew | Next::WaitForEnd | Next::WaitForDrain => {}
            over => {
                self.ended = true;
                self.outputs.push_back(Output::Ended(over));
            }
        }
    }
}
