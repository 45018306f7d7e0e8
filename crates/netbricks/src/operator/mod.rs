//! Operators: what is done to a frame, composed into one loop.
//!
//! ```text
//!   batch ─▶ parse ─▶ filter ─▶ transform ─▶ group_by ─┬▶ … ─┬▶ deparse ─▶ send      one packet at a time through
//!               │        │                             └▶ … ─┘                       the whole chain, all of it inlined
//!               └────────┴── Stop::Dropped(cause): ends this packet, counted, and no other
//! ```
//!
//! [`chain`] begins one; every method adds an [`Operator`] and the whole is one type, so the compiler sees one loop body
//! and no call between operators. [`Chain::boxed`] hides the type where that is in the way, at the price of an indirect
//! call; [`Chain::build`] makes a [`NetworkFunction`](crate::NetworkFunction) of it.

mod contain;
mod fused;
pub(crate) mod fuzz;
mod group;
mod shape;
mod stream;

use std::fmt;
use std::marker::PhantomData;

use packet::NoRoom;
use packet::flow::{FlowHasher, FlowKey};

use crate::cause::Cause;
use crate::frame::{Frame, Layer, Raw, Stack};
use crate::header::{Follows, Header, Push};
use crate::reassembly::{Config, Sink, Window};
use crate::shuffle::{Scatter, Shuffle};
use crate::{Context, Gate};

pub use contain::Contain;
pub use fused::Fused;
pub use group::{Branches, GroupBy};
pub use shape::{
    Deparse, Emit, Filter, FilterMap, ForEach, Identity, Inspect, Map, Metadata, Parse, PushHeader,
    Reconcile, Replace, Reset, Send, Transform, TryTransform,
};
pub use stream::{ByteStream, Slide, Windows};

/// What an operator makes of a packet: something to go on with, or the end of its way through this chain.
pub type Step<T> = Result<T, Stop>;

/// Why a packet does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It was dropped. Whoever runs the chain counts it.
    Dropped(Cause),
    /// It has left, at a gate or into a queue, or an operator keeps it.
    Sent,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped(cause) => write!(f, "dropped: {cause}"),
            Self::Sent => f.write_str("sent"),
        }
    }
}

impl std::error::Error for Stop {}

impl From<Cause> for Stop {
    #[inline]
    fn from(cause: Cause) -> Self {
        Self::Dropped(cause)
    }
}

impl From<packet::wire::WireError> for Stop {
    #[cold]
    fn from(error: packet::wire::WireError) -> Self {
        Self::Dropped(error.into())
    }
}

impl From<NoRoom> for Stop {
    #[cold]
    fn from(error: NoRoom) -> Self {
        Self::Dropped(error.into())
    }
}

/// One thing done to every packet.
pub trait Operator<In> {
    /// What comes out.
    type Out;

    /// Does it.
    ///
    /// # Errors
    /// The packet does not go on.
    fn apply(&mut self, input: In, ctx: &mut Context) -> Step<Self::Out>;

    /// As [`NetworkFunction::deadline_ns`](crate::NetworkFunction::deadline_ns).
    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    /// As [`NetworkFunction::expire`](crate::NetworkFunction::expire).
    fn expire(&mut self, _ctx: &mut Context) {}

    /// As [`NetworkFunction::finish`](crate::NetworkFunction::finish).
    fn finish(&mut self, _ctx: &mut Context) {}
}

/// [`Operator::deadline_ns`], [`Operator::expire`] and [`Operator::finish`] of an operator that is made of others.
macro_rules! pass_on {
    ($($part:tt),+) => {
        fn deadline_ns(&self) -> Option<u64> {
            [$(self.$part.deadline_ns()),+].into_iter().flatten().min()
        }

        fn expire(&mut self, ctx: &mut Context) {
            $(self.$part.expire(ctx);)+
        }

        fn finish(&mut self, ctx: &mut Context) {
            $(self.$part.finish(ctx);)+
        }
    };
}

use pass_on;

impl<In, Out> Operator<In> for Box<dyn Operator<In, Out = Out> + std::marker::Send> {
    type Out = Out;

    fn apply(&mut self, input: In, ctx: &mut Context) -> Step<Out> {
        (**self).apply(input, ctx)
    }

    fn deadline_ns(&self) -> Option<u64> {
        (**self).deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        (**self).expire(ctx);
    }

    fn finish(&mut self, ctx: &mut Context) {
        (**self).finish(ctx);
    }
}

/// One operator after another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Then<First, Second> {
    first: First,
    second: Second,
}

impl<In, First: Operator<In>, Second: Operator<First::Out>> Operator<In> for Then<First, Second> {
    type Out = Second::Out;

    #[inline(always)]
    fn apply(&mut self, input: In, ctx: &mut Context) -> Step<Self::Out> {
        let middle = self.first.apply(input, ctx)?;
        self.second.apply(middle, ctx)
    }

    pass_on!(first, second);
}

/// A chain under construction: takes `In`, a [`Frame`] unless it is part of another chain.
pub struct Chain<In, Op> {
    operator: Op,
    input: PhantomData<fn(In)>,
}

impl<In, Op: fmt::Debug> fmt::Debug for Chain<In, Op> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operator.fmt(f)
    }
}

/// Begins a chain on frames of which nothing is parsed.
///
/// ```
/// use netbricks::header::{Ethernet, Ipv4, Udp};
/// use netbricks::{Cause, chain};
///
/// let mut queries = 0u64;
/// let count = chain()
///     .parse::<Ethernet>()
///     .parse::<Ipv4>()
///     .try_transform(|ip| match ip.header_mut().decrement_ttl() {
///         true => Ok(()),
///         false => Err(Cause::new("time to live used up")),
///     })
///     .parse::<Udp>()
///     .filter("not a query", |datagram| datagram.header().destination_port() == 53)
///     .inspect(move |_| queries += 1)
///     .reset()
///     .build();
/// ```
#[must_use]
pub fn chain() -> Chain<Frame, Identity> {
    chain_of()
}

/// Begins a chain on anything: a part of a chain that others are composed of.
#[must_use]
pub fn chain_of<In>() -> Chain<In, Identity> {
    Chain { operator: Identity, input: PhantomData }
}

impl<In, Op: Operator<In>> Chain<In, Op> {
    /// Adds any operator, or another chain.
    pub fn then<Next: Operator<Op::Out>>(self, next: Next) -> Chain<In, Then<Op, Next>> {
        Chain { operator: Then { first: self.operator, second: next }, input: PhantomData }
    }

    /// Makes one thing of another.
    pub fn map<T, F: FnMut(Op::Out) -> T>(self, map: F) -> Chain<In, Then<Op, Map<F>>> {
        self.then(Map(map))
    }

    /// Makes one thing of another, or ends it.
    pub fn filter_map<T, F: FnMut(Op::Out) -> Step<T>>(self, map: F) -> Chain<In, Then<Op, FilterMap<F>>> {
        self.then(FilterMap(map))
    }

    /// Changes it in place.
    pub fn transform<F: FnMut(&mut Op::Out)>(self, transform: F) -> Chain<In, Then<Op, Transform<F>>> {
        self.then(Transform(transform))
    }

    /// Changes it in place, or ends it.
    pub fn try_transform<E: Into<Stop>, F: FnMut(&mut Op::Out) -> Result<(), E>>(
        self,
        transform: F,
    ) -> Chain<In, Then<Op, TryTransform<F>>> {
        self.then(TryTransform(transform))
    }

    /// Lets only those through that `keep` says yes to; drops the others and counts them under `cause`.
    pub fn filter<F: FnMut(&Op::Out) -> bool>(
        self,
        cause: &'static str,
        keep: F,
    ) -> Chain<In, Then<Op, Filter<F>>> {
        self.then(Filter { keep, cause: Cause::new(cause) })
    }

    /// Looks at it.
    pub fn inspect<F: FnMut(&Op::Out)>(self, inspect: F) -> Chain<In, Then<Op, Inspect<F>>> {
        self.then(Inspect(inspect))
    }

    /// Looks at it, with the context at hand, and may fail.
    pub fn for_each<F: FnMut(&Op::Out, &mut Context) -> Step<()>>(
        self,
        each: F,
    ) -> Chain<In, Then<Op, ForEach<F>>> {
        self.then(ForEach(each))
    }

    /// Takes it, and gives back what shall go on in its place: a reply, a copy, an answer.
    pub fn replace<T, F: FnMut(Op::Out, &mut Context) -> Step<T>>(
        self,
        replace: F,
    ) -> Chain<In, Then<Op, Replace<F>>> {
        self.then(Replace(replace))
    }

    /// Lets further packets out beside it: `emit` looks at it and sends what it likes.
    pub fn emit<F: FnMut(&Op::Out, &mut Context)>(self, emit: F) -> Chain<In, Then<Op, Emit<F>>> {
        self.then(Emit(emit))
    }

    /// Splits the packets among branches, which end in the same type; behind it they are one stream again.
    ///
    /// `select` gives the number of a branch; one that does not exist drops the packet.
    ///
    /// ```
    /// use netbricks::header::Ethernet;
    /// use netbricks::{chain, chain_of};
    ///
    /// let split = chain()
    ///     .parse::<Ethernet>()
    ///     .group_by(
    ///         |frame| usize::from(frame.header().destination().is_multicast()),
    ///         (chain_of().reset(), chain_of().reset().filter("not empty", |frame| !frame.bytes().is_empty())),
    ///     )
    ///     .build();
    /// ```
    pub fn group_by<S: FnMut(&Op::Out) -> usize, B: Branches<Op::Out>>(
        self,
        select: S,
        branches: B,
    ) -> Chain<In, Then<Op, GroupBy<S, B>>> {
        self.then(GroupBy::new(select, branches))
    }

    /// Catches panics of all operators so far: the packet at hand is dropped and counted, and `again` makes new operators
    /// in the place of the broken ones, whose state is gone.
    pub fn contain<F: FnMut() -> Chain<In, Op>>(
        self,
        mut again: F,
    ) -> Chain<In, Contain<Op, impl FnMut() -> Op>> {
        let again = move || again().operator;
        Chain { operator: Contain::new(self.operator, again), input: PhantomData }
    }

    /// Hides the type, for chains that are put together at run time. Costs one indirect call.
    #[must_use]
    pub fn boxed(self) -> Chain<In, Box<dyn Operator<In, Out = Op::Out> + std::marker::Send>>
    where
        Op: std::marker::Send + 'static,
    {
        Chain { operator: Box::new(self.operator), input: PhantomData }
    }
}

impl<In, Op: Operator<In>> Operator<In> for Chain<In, Op> {
    type Out = Op::Out;

    #[inline(always)]
    fn apply(&mut self, input: In, ctx: &mut Context) -> Step<Self::Out> {
        self.operator.apply(input, ctx)
    }

    pass_on!(operator);
}

/// What is done to frames.
impl<In, Op, S, M> Chain<In, Op>
where
    Op: Operator<In, Out = Frame<S, M>>,
    S: Stack,
{
    /// Parses the next header; what is not one, or malformed, is dropped.
    #[must_use]
    pub fn parse<H: Follows<S::Top>>(self) -> Chain<In, Then<Op, Parse<H>>> {
        self.then(Parse(PhantomData))
    }

    /// Forgets all that was parsed.
    #[must_use]
    pub fn reset(self) -> Chain<In, Then<Op, Reset>> {
        self.then(Reset)
    }

    /// Writes a new header between the top one and its payload.
    #[must_use]
    pub fn push<H: Push + Follows<S::Top>>(self, repr: H::Repr) -> Chain<In, Then<Op, PushHeader<H>>> {
        self.then(PushHeader(repr))
    }

    /// Makes lengths and checksums true.
    #[must_use]
    pub fn reconcile(self) -> Chain<In, Then<Op, Reconcile>> {
        self.then(Reconcile)
    }

    /// Computes a value that travels with the frame, in place of the one that did.
    pub fn metadata<N, F: FnMut(&Frame<S, M>) -> N>(self, meta: F) -> Chain<In, Then<Op, Metadata<F>>> {
        self.then(Metadata(meta))
    }

    /// Puts the TCP streams behind the packets together; `sink` hears of their bytes in order, and the packets go on.
    ///
    /// `T` is what the sink keeps for each connection. Several sinks in a tuple share one reassembly.
    pub fn bytestream<T: Default, K: Sink<T>>(
        self,
        config: Config,
        hasher: FlowHasher,
        sink: K,
    ) -> Chain<In, Then<Op, ByteStream<T, K>>> {
        self.then(ByteStream::new(config, hasher, sink))
    }

    /// Slides a window over the TCP streams behind the packets: `show` sees every complete one with its flow and its place
    /// in the stream, and the packets go on. `SIZE_MAX` bytes twice are part of every connection's state.
    pub fn window<const SIZE_MAX: usize, F: FnMut(&FlowKey, u64, &[u8])>(
        self,
        config: Config,
        hasher: FlowHasher,
        window: Window<SIZE_MAX>,
        show: F,
    ) -> Chain<In, Then<Op, ByteStream<Windows<SIZE_MAX>, Slide<SIZE_MAX, F>>>> {
        self.then(ByteStream::new(config, hasher, Slide { fresh: window, show }))
    }

    /// Lets all that comes here out at `gate`; nothing comes behind it.
    #[must_use]
    pub fn send(self, gate: Gate) -> Chain<In, Then<Op, Send>> {
        self.then(Send(gate))
    }
}

/// What is done to frames with a header.
impl<In, Op, H, Below, M> Chain<In, Op>
where
    Op: Operator<In, Out = Frame<Layer<H, Below>, M>>,
    H: Header,
    Below: Stack,
{
    /// Goes back to the header below.
    #[must_use]
    pub fn deparse(self) -> Chain<In, Then<Op, Deparse>> {
        self.then(Deparse)
    }
}

impl<In, Op: Operator<In, Out = Frame>> Chain<In, Op> {
    /// Sends each packet to the core that `select` names; those for this core go on.
    pub fn shuffle<F: FnMut(&Frame) -> usize>(
        self,
        scatter: Scatter,
        select: F,
    ) -> Chain<In, Then<Op, Shuffle<F>>> {
        self.then(Shuffle { scatter, select })
    }
}

impl<Op> Chain<Frame, Op>
where
    Op: Operator<Frame, Out = Frame<Raw, ()>> + std::marker::Send + 'static,
{
    /// Makes a network function of it: what comes in at gate 0 goes through the chain and leaves at gate 1, and the other
    /// way round.
    #[must_use]
    pub fn build(self) -> Fused<Op> {
        Fused::new(self.operator)
    }
}
