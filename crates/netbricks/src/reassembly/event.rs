//! What reassembly tells, and those it tells it to.

use packet::flow::FlowKey;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the end that opened the connection.
    FromInitiator = 0,
    /// From the end that was called.
    FromResponder = 1,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::FromInitiator, Self::FromResponder];

    /// The other way.
    #[inline]
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::FromInitiator => Self::FromResponder,
            Self::FromResponder => Self::FromInitiator,
        }
    }
}

/// Why bytes were passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// The receiver acknowledged them: they arrived there, but not here.
    Acknowledged,
    /// The stream held as much behind the hole as one stream may.
    StreamBudget,
    /// Another stream needed memory, and this one had waited longest.
    PoolBudget,
    /// The connection ended in front of them.
    Closed,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// Both ends said FIN, and everything before it was told.
    Finished,
    /// One end said RST.
    Reset,
    /// Nothing was heard of it for too long.
    Expired,
    /// Another connection began between the same ends.
    Reused,
    /// There is no more input.
    End,
}

/// What happened in a stream. Offsets count the bytes of a direction from its first byte on (the first seen, where the
/// connection was picked up midstream). Every offset up to the highest seen is told exactly once, in order: in `Data`, in
/// `Gap`, or in `Urgent` where urgent bytes are taken out of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The connection is new.
    Opened {
        /// Its beginning was not seen.
        midstream: bool,
    },
    /// Bytes in order.
    Data {
        /// Of the first.
        offset: u64,
        /// Good until the call returns.
        bytes: &'a [u8],
    },
    /// Bytes that will not come.
    Gap {
        /// Of the first.
        offset: u64,
        /// How many.
        len: u64,
        /// Why they were given up.
        cause: GapCause,
    },
    /// An urgent byte; where urgent bytes are inline, it comes in the next `Data` as well.
    Urgent {
        /// Its offset.
        offset: u64,
        /// The byte.
        byte: u8,
    },
    /// Bytes came twice with different content: somebody may be trying to show the monitor another stream than the target.
    Conflict {
        /// Of the first byte that differs.
        offset: u64,
        /// Up to the last byte that differs.
        len: u64,
        /// Whether the later ones count.
        replaced: bool,
    },
    /// All bytes up to the sender's FIN have been told.
    Finished,
    /// The connection is over, and nothing follows.
    Closed {
        /// How.
        cause: CloseCause,
    },
}

/// The connection an event belongs to.
#[derive(Debug)]
pub struct Conversation<'a, T> {
    /// Its ends: the initiator is the source.
    pub key: &'a FlowKey,
    /// The direction the event is about; for `Opened` and `Closed` without meaning.
    pub direction: Direction,
    /// The user's state of this connection.
    pub state: &'a mut T,
}

/// Who hears of events.
///
/// A tuple, a slice or a vector of sinks is a sink that tells each in turn: the stream is put together once, however many
/// look at it.
pub trait Sink<T> {
    /// One event.
    fn event(&mut self, conversation: &mut Conversation<'_, T>, event: Event<'_>);
}

impl<T, S: Sink<T> + ?Sized> Sink<T> for &mut S {
    #[inline]
    fn event(&mut self, conversation: &mut Conversation<'_, T>, event: Event<'_>) {
        (**self).event(conversation, event);
    }
}

impl<T, S: Sink<T>> Sink<T> for [S] {
    #[inline]
    fn event(&mut self, conversation: &mut Conversation<'_, T>, event: Event<'_>) {
        for sink in self {
            sink.event(conversation, event);
        }
    }
}

impl<T, S: Sink<T>> Sink<T> for Vec<S> {
    #[inline]
    fn event(&mut self, conversation: &mut Conversation<'_, T>, event: Event<'_>) {
        self.as_mut_slice().event(conversation, event);
    }
}

macro_rules! sink_of_tuples {
    ($(($($sink:ident $at:tt),+))+) => {$(
        impl<T, $($sink: Sink<T>),+> Sink<T> for ($($sink,)+) {
            #[inline]
            fn event(&mut self, conversation: &mut Conversation<'_, T>, event: Event<'_>) {
                $(self.$at.event(conversation, event);)+
            }
        }
    )+};
}

sink_of_tuples! {
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}
