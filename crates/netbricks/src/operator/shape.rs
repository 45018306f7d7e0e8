//! The operators that take one thing and give one thing.

use std::marker::PhantomData;

use super::{Operator, Step, Stop};
use crate::cause::Cause;
use crate::frame::{Frame, Layer, Raw, Stack};
use crate::header::{Follows, Header, Push};
use crate::{Context, Gate};

/// Does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl<In> Operator<In> for Identity {
    type Out = In;

    #[inline(always)]
    fn apply(&mut self, input: In, _: &mut Context) -> Step<In> {
        Ok(input)
    }
}

/// See [`Chain::parse`](super::Chain::parse).
#[derive(Clone, Copy, Debug)]
pub struct Parse<H>(pub(super) PhantomData<fn() -> H>);

impl<S: Stack, M, H: Follows<S::Top>> Operator<Frame<S, M>> for Parse<H> {
    type Out = Frame<Layer<H, S>, M>;

    #[inline(always)]
    fn apply(&mut self, frame: Frame<S, M>, _: &mut Context) -> Step<Self::Out> {
        frame.parse()
    }
}

/// See [`Chain::deparse`](super::Chain::deparse).
#[derive(Clone, Copy, Debug)]
pub struct Deparse;

impl<H: Header, Below: Stack, M> Operator<Frame<Layer<H, Below>, M>> for Deparse {
    type Out = Frame<Below, M>;

    #[inline(always)]
    fn apply(&mut self, frame: Frame<Layer<H, Below>, M>, _: &mut Context) -> Step<Self::Out> {
        Ok(frame.deparse())
    }
}

/// See [`Chain::reset`](super::Chain::reset).
#[derive(Clone, Copy, Debug)]
pub struct Reset;

impl<S: Stack, M> Operator<Frame<S, M>> for Reset {
    type Out = Frame<Raw, M>;

    #[inline(always)]
    fn apply(&mut self, frame: Frame<S, M>, _: &mut Context) -> Step<Self::Out> {
        Ok(frame.reset())
    }
}

/// See [`Chain::push`](super::Chain::push).
#[derive(Debug)]
pub struct PushHeader<H: Push>(pub(super) H::Repr);

impl<S: Stack, M, H: Push + Follows<S::Top>> Operator<Frame<S, M>> for PushHeader<H> {
    type Out = Frame<Layer<H, S>, M>;

    #[inline(always)]
    fn apply(&mut self, frame: Frame<S, M>, _: &mut Context) -> Step<Self::Out> {
        frame.push(&self.0)
    }
}

/// See [`Chain::reconcile`](super::Chain::reconcile).
#[derive(Clone, Copy, Debug)]
pub struct Reconcile;

impl<S: Stack, M> Operator<Frame<S, M>> for Reconcile {
    type Out = Frame<S, M>;

    #[inline(always)]
    fn apply(&mut self, mut frame: Frame<S, M>, _: &mut Context) -> Step<Self::Out> {
        frame.reconcile();
        Ok(frame)
    }
}

/// See [`Chain::metadata`](super::Chain::metadata).
#[derive(Clone, Copy, Debug)]
pub struct Metadata<F>(pub(super) F);

impl<S: Stack, M, N, F: FnMut(&Frame<S, M>) -> N> Operator<Frame<S, M>> for Metadata<F> {
    type Out = Frame<S, N>;

    #[inline(always)]
    fn apply(&mut self, frame: Frame<S, M>, _: &mut Context) -> Step<Self::Out> {
        let meta = (self.0)(&frame);
        Ok(frame.with_meta(meta))
    }
}

/// See [`Chain::map`](super::Chain::map).
#[derive(Clone, Copy, Debug)]
pub struct Map<F>(pub(super) F);

impl<In, T, F: FnMut(In) -> T> Operator<In> for Map<F> {
    type Out = T;

    #[inline(always)]
    fn apply(&mut self, input: In, _: &mut Context) -> Step<T> {
        Ok((self.0)(input))
    }
}

/// See [`Chain::filter_map`](super::Chain::filter_map).
#[derive(Clone, Copy, Debug)]
pub struct FilterMap<F>(pub(super) F);

impl<In, T, F: FnMut(In) -> Step<T>> Operator<In> for FilterMap<F> {
    type Out = T;

    #[inline(always)]
    fn apply(&mut self, input: In, _: &mut Context) -> Step<T> {
        (self.0)(input)
    }
}

/// See [`Chain::transform`](super::Chain::transform).
#[derive(Clone, Copy, Debug)]
pub struct Transform<F>(pub(super) F);

impl<In, F: FnMut(&mut In)> Operator<In> for Transform<F> {
    type Out = In;

    #[inline(always)]
    fn apply(&mut self, mut input: In, _: &mut Context) -> Step<In> {
        (self.0)(&mut input);
        Ok(input)
    }
}

/// See [`Chain::try_transform`](super::Chain::try_transform).
#[derive(Clone, Copy, Debug)]
pub struct TryTransform<F>(pub(super) F);

impl<In, E: Into<Stop>, F: FnMut(&mut In) -> Result<(), E>> Operator<In> for TryTransform<F> {
    type Out = In;

    #[inline(always)]
    fn apply(&mut self, mut input: In, _: &mut Context) -> Step<In> {
        match (self.0)(&mut input) {
            Ok(()) => Ok(input),
            Err(stop) => Err(stop.into()),
        }
    }
}

/// See [`Chain::filter`](super::Chain::filter).
#[derive(Clone, Copy, Debug)]
pub struct Filter<F> {
    pub(super) keep: F,
    pub(super) cause: Cause,
}

impl<In, F: FnMut(&In) -> bool> Operator<In> for Filter<F> {
    type Out = In;

    #[inline(always)]
    fn apply(&mut self, input: In, _: &mut Context) -> Step<In> {
        if (self.keep)(&input) { Ok(input) } else { Err(Stop::Dropped(self.cause)) }
    }
}

/// See [`Chain::inspect`](super::Chain::inspect).
#[derive(Clone, Copy, Debug)]
pub struct Inspect<F>(pub(super) F);

impl<In, F: FnMut(&In)> Operator<In> for Inspect<F> {
    type Out = In;

    #[inline(always)]
    fn apply(&mut self, input: In, _: &mut Context) -> Step<In> {
        (self.0)(&input);
        Ok(input)
    }
}

/// See [`Chain::for_each`](super::Chain::for_each).
#[derive(Clone, Copy, Debug)]
pub struct ForEach<F>(pub(super) F);

impl<In, F: FnMut(&In, &mut Context) -> Step<()>> Operator<In> for ForEach<F> {
    type Out = In;

    #[inline(always)]
    fn apply(&mut self, input: In, ctx: &mut Context) -> Step<In> {
        (self.0)(&input, ctx)?;
        Ok(input)
    }
}

/// See [`Chain::replace`](super::Chain::replace).
#[derive(Clone, Copy, Debug)]
pub struct Replace<F>(pub(super) F);

impl<In, T, F: FnMut(In, &mut Context) -> Step<T>> Operator<In> for Replace<F> {
    type Out = T;

    #[inline(always)]
    fn apply(&mut self, input: In, ctx: &mut Context) -> Step<T> {
        (self.0)(input, ctx)
    }
}

/// See [`Chain::emit`](super::Chain::emit).
#[derive(Clone, Copy, Debug)]
pub struct Emit<F>(pub(super) F);

impl<In, F: FnMut(&In, &mut Context)> Operator<In> for Emit<F> {
    type Out = In;

    #[inline(always)]
    fn apply(&mut self, input: In, ctx: &mut Context) -> Step<In> {
        (self.0)(&input, ctx);
        Ok(input)
    }
}

/// See [`Chain::send`](super::Chain::send).
#[derive(Clone, Copy, Debug)]
pub struct Send(pub(super) Gate);

impl<S: Stack, M> Operator<Frame<S, M>> for Send {
    type Out = Frame;

    #[inline(always)]
    fn apply(&mut self, frame: Frame<S, M>, ctx: &mut Context) -> Step<Frame> {
        ctx.send(self.0, frame.into_packet());
        Err(Stop::Sent)
    }
}
