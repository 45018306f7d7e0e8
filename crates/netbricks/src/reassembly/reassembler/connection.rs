//! One connection: two streams and the user's state.

use packet::flow::FlowKey;
use packet::wire::tcp::Flags;

use super::super::event::{CloseCause, Conversation, Direction, Event, Sink};
use super::super::holders::Holder;
use super::super::policy::Policy;
use super::super::shared::Shared;
use super::super::stream::{Segment, Stream};

/// What decides how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Only one end has spoken.
    Opening,
    Established,
    /// Told as closed; kept so that late segments find it.
    Closed,
}

#[derive(Debug)]
pub(super) struct Connection<T> {
    initiator: FlowKey,
    state: T,
    pub(super) phase: Phase,
    pub(super) streams: [Stream; 2],
    /// A SYN that did not fit: who sent it, and the acknowledgement that would answer it.
    pub(super) stray_call: Option<(Direction, u32)>,
    /// The stamp of each stream's place among the holders of memory; 0 where it holds none.
    pub(super) held_since: [u64; 2],
}

impl<T: Default> Connection<T> {
    pub(super) fn new(initiator: FlowKey, policies: [Policy; 2]) -> Self {
        Self {
            initiator,
            state: T::default(),
            phase: Phase::Opening,
            streams: policies.map(Stream::new),
            stray_call: None,
            held_since: [0; 2],
        }
    }
}

impl<T> Connection<T> {
    #[inline]
    pub(super) fn direction_of(&self, key: &FlowKey) -> Direction {
        if *key == self.initiator { Direction::FromInitiator } else { Direction::FromResponder }
    }

    /// A stream, and the way from it to the sink.
    #[inline]
    pub(super) fn stream<'a>(
        &'a mut self,
        direction: Direction,
        sink: &'a mut impl Sink<T>,
    ) -> (&'a mut Stream, impl FnMut(Event<'_>) + 'a) {
        let Self { initiator, state, streams, .. } = self;
        let out = move |event: Event<'_>| {
            sink.event(&mut Conversation { key: initiator, direction, state: &mut *state }, event);
        };
        (&mut streams[direction as usize], out)
    }

    pub(super) fn tell(&mut self, sink: &mut impl Sink<T>, event: Event<'_>) {
        let (_, mut out) = self.stream(Direction::FromInitiator, sink);
        out(event);
    }

    /// Tells everything there is and closes. `false` where that has been done before.
    pub(super) fn close(&mut self, shared: &mut Shared, cause: CloseCause, sink: &mut impl Sink<T>) -> bool {
        if self.phase == Phase::Closed {
            return false;
        }
        self.phase = Phase::Closed;
        for direction in Direction::BOTH {
            let (stream, mut out) = self.stream(direction, sink);
            stream.close(shared, &mut out);
        }
        self.held_since = [0; 2];
        self.tell(sink, Event::Closed { cause });
        true
    }

    #[inline]
    pub(super) fn update_phase(&mut self) -> Phase {
        if self.phase == Phase::Opening && self.streams.iter().all(Stream::is_open) {
            self.phase = Phase::Established;
        }
        self.phase
    }

    /// Whether a SYN with this sequence number is the one the direction began or may begin with.
    pub(super) fn fits_syn(&self, direction: Direction, sequence: u32) -> bool {
        let stream = &self.streams[direction as usize];
        !stream.is_open() || stream.first_sequence() == sequence.wrapping_add(1)
    }

    /// Whether nothing but one end's call has been seen.
    pub(super) fn is_untouched(&self, direction: Direction) -> bool {
        let (ours, other) = (&self.streams[direction as usize], &self.streams[direction.reversed() as usize]);
        !other.is_open() && ours.next_offset() == 0 && ours.pending_bytes() == 0
    }

    /// Whether a reset is believed: it lies where the sender's next byte may, or it refuses a call that was made
    /// (RFC 9293 section 3.10.7.3).
    pub(super) fn accepts_reset(&self, direction: Direction, segment: &Segment<'_>, ack: u32) -> bool {
        let (ours, other) = (&self.streams[direction as usize], &self.streams[direction.reversed() as usize]);
        if ours.is_open() {
            ours.accepts_reset(segment.sequence)
        } else {
            segment.flags.contains(Flags::ACK) && other.is_open() && other.has_seen(ack)
        }
    }

    /// Whether a stream holds memory and is not queued for it. Forgets the stamp of one that holds none any more.
    #[inline]
    pub(super) fn begins_to_hold(&mut self, direction: Direction) -> bool {
        let holds = self.streams[direction as usize].holds_memory();
        let since = &mut self.held_since[direction as usize];
        if !holds {
            *since = 0;
        }
        holds && *since == 0
    }

    pub(super) fn is_holder(&self, holder: &Holder) -> bool {
        self.held_since[holder.direction as usize] == holder.stamp
    }
}
