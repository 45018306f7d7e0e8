//! Keeping the panic of an operator to the packet at hand.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Operator, Step, Stop};
use crate::Context;
use crate::cause::Cause;

/// See [`Chain::contain`](super::Chain::contain).
#[derive(Debug)]
pub struct Contain<Op, F> {
    /// `None` while a new one could not be made.
    operator: Option<Op>,
    again: F,
    restarts: u64,
}

impl<Op, F: FnMut() -> Op> Contain<Op, F> {
    pub(super) fn new(operator: Op, again: F) -> Self {
        Self { operator: Some(operator), again, restarts: 0 }
    }

    /// How often its operators were made anew.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    fn guard(&mut self, call: impl FnOnce(&mut Op)) {
        let Some(operator) = &mut self.operator else { return };
        if catch_unwind(AssertUnwindSafe(|| call(operator))).is_err() {
            self.restart();
        }
    }

    #[cold]
    fn restart(&mut self) {
        self.restarts += 1;
        let again = &mut self.again;
        // What broke is dropped first; should that panic as well, it is left where it is.
        let broken = self.operator.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        self.operator = catch_unwind(AssertUnwindSafe(again)).ok();
    }
}

impl<In, Op: Operator<In>, F: FnMut() -> Op> Operator<In> for Contain<Op, F> {
    type Out = Op::Out;

    #[inline(always)]
    fn apply(&mut self, input: In, ctx: &mut Context) -> Step<Op::Out> {
        if self.operator.is_none() {
            self.restart();
        }
        let Some(operator) = &mut self.operator else { return Err(Stop::Dropped(Cause::PANIC)) };
        // Unwind safe: nobody sees the operator again after a panic, and the context counts and collects only.
        match catch_unwind(AssertUnwindSafe(|| operator.apply(input, ctx))) {
            Ok(step) => step,
            Err(_) => {
                self.restart();
                Err(Stop::Dropped(Cause::PANIC))
            }
        }
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.operator.as_ref().and_then(Op::deadline_ns)
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.guard(|operator| operator.expire(ctx));
    }

    fn finish(&mut self, ctx: &mut Context) {
        self.guard(|operator| operator.finish(ctx));
    }
}
