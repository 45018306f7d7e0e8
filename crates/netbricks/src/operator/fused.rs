//! A chain as a network function.

use packet::Batch;

use super::{Operator, Step, Stop, pass_on};
use crate::frame::Frame;
use crate::{Context, Gate, NetworkFunction};

/// A chain that runs as one loop: each packet of a batch goes through all of it before the next one starts.
#[derive(Clone, Copy, Debug)]
pub struct Fused<Op> {
    operator: Op,
}

impl<Op: Operator<Frame, Out = Frame>> Fused<Op> {
    pub(super) fn new(operator: Op) -> Self {
        Self { operator }
    }

    /// The chain.
    pub fn operator(&self) -> &Op {
        &self.operator
    }
}

impl<Op: Operator<Frame, Out = Frame> + Send + 'static> NetworkFunction for Fused<Op> {
    #[inline]
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        let out = gate ^ 1;
        for packet in batch.drain(..) {
            match self.operator.apply(Frame::new(packet), ctx) {
                Ok(frame) => ctx.send(out, frame.into_packet()),
                Err(Stop::Sent) => {}
                Err(Stop::Dropped(cause)) => ctx.count(cause, 1),
            }
        }
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.operator.deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.operator.expire(ctx);
    }

    fn finish(&mut self, ctx: &mut Context) {
        self.operator.finish(ctx);
    }
}

impl<Op: Operator<Frame, Out = Frame>> Operator<Frame> for Fused<Op> {
    type Out = Frame;

    #[inline(always)]
    fn apply(&mut self, frame: Frame, ctx: &mut Context) -> Step<Frame> {
        self.operator.apply(frame, ctx)
    }

    pass_on!(operator);
}
