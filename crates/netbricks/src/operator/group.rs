//! Splitting packets among branches.

use super::{Operator, Step, Stop, pass_on};
use crate::Context;
use crate::cause::Cause;

/// A packet for a branch that does not exist.
const NO_BRANCH: Cause = Cause::new("no such branch");

/// Several operators of one output: tuples of up to eight, arrays, vectors.
pub trait Branches<In> {
    /// What comes out of each.
    type Out;

    /// Applies the branch of that number.
    ///
    /// # Errors
    /// There is none, or the packet does not go on.
    fn branch(&mut self, number: usize, input: In, ctx: &mut Context) -> Step<Self::Out>;

    /// As [`Operator::deadline_ns`], of all branches.
    fn deadline_ns(&self) -> Option<u64>;

    /// As [`Operator::expire`], of all branches.
    fn expire(&mut self, ctx: &mut Context);

    /// As [`Operator::finish`], of all branches.
    fn finish(&mut self, ctx: &mut Context);
}

/// The same of branches of one type.
macro_rules! all {
    () => {
        fn deadline_ns(&self) -> Option<u64> {
            self.iter().filter_map(Operator::deadline_ns).min()
        }

        fn expire(&mut self, ctx: &mut Context) {
            self.iter_mut().for_each(|branch| branch.expire(ctx));
        }

        fn finish(&mut self, ctx: &mut Context) {
            self.iter_mut().for_each(|branch| branch.finish(ctx));
        }
    };
}

impl<In, Op: Operator<In>, const N: usize> Branches<In> for [Op; N] {
    type Out = Op::Out;

    #[inline(always)]
    fn branch(&mut self, number: usize, input: In, ctx: &mut Context) -> Step<Op::Out> {
        self.get_mut(number).ok_or(Stop::Dropped(NO_BRANCH))?.apply(input, ctx)
    }

    all!();
}

impl<In, Op: Operator<In>> Branches<In> for Vec<Op> {
    type Out = Op::Out;

    #[inline(always)]
    fn branch(&mut self, number: usize, input: In, ctx: &mut Context) -> Step<Op::Out> {
        self.get_mut(number).ok_or(Stop::Dropped(NO_BRANCH))?.apply(input, ctx)
    }

    all!();
}

macro_rules! tuple {
    ($($number:tt $op:ident),+) => {
        impl<In, Out, $($op: Operator<In, Out = Out>),+> Branches<In> for ($($op,)+) {
            type Out = Out;

            #[inline(always)]
            fn branch(&mut self, number: usize, input: In, ctx: &mut Context) -> Step<Out> {
                match number {
                    $($number => self.$number.apply(input, ctx),)+
                    _ => Err(Stop::Dropped(NO_BRANCH)),
                }
            }

            pass_on!($($number),+);
        }
    };
}

tuple!(0 A);
tuple!(0 A, 1 B);
tuple!(0 A, 1 B, 2 C);
tuple!(0 A, 1 B, 2 C, 3 D);
tuple!(0 A, 1 B, 2 C, 3 D, 4 E);
tuple!(0 A, 1 B, 2 C, 3 D, 4 E, 5 F);
tuple!(0 A, 1 B, 2 C, 3 D, 4 E, 5 F, 6 G);
tuple!(0 A, 1 B, 2 C, 3 D, 4 E, 5 F, 6 G, 7 H);

/// See [`Chain::group_by`](super::Chain::group_by).
#[derive(Clone, Copy, Debug)]
pub struct GroupBy<S, B> {
    select: S,
    branches: B,
}

impl<S, B> GroupBy<S, B> {
    pub(super) fn new(select: S, branches: B) -> Self {
        Self { select, branches }
    }
}

impl<In, S: FnMut(&In) -> usize, B: Branches<In>> Operator<In> for GroupBy<S, B> {
    type Out = B::Out;

    #[inline(always)]
    fn apply(&mut self, input: In, ctx: &mut Context) -> Step<B::Out> {
        let number = (self.select)(&input);
        self.branches.branch(number, input, ctx)
    }

    pass_on!(branches);
}
