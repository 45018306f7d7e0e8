//! A stream: a sender and a receiver, and the bytes that they only count.
//!
//! Its end counts as a byte behind the last, so it is acked, sent again and put in order as bytes are.

use sim::Time;

use super::buffers::{Incoming, Outgoing};
use super::{ASK_EVERY, Config, LINGER, MEMORY_FREE, Received, TRIES_MAX};
use crate::config::{SenderConfig, earliest};
use crate::receiver::Receiver;
use crate::segment::{Kind, Segment};
use crate::sender::{Input, Sender};
use crate::wire::{FRAME_DATA_BYTES, Frame};

/// Offsets beyond are refused: no stream is that long.
const OFFSET_MAX: u64 = 1 << 60;

/// Where a stream is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Asked for; the target.
    Opening(Vec<u8>),
    /// The other side has asked, the application here has not said. What the other has room for.
    Asked(u32),
    Open,
    /// Given up here; why.
    Resetting(u8, Vec<u8>),
    /// Through in both directions: acks what still comes, until then.
    Done(Time),
}

/// What makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation(pub(super) &'static str);

#[derive(Debug)]
pub(super) struct Stream {
    id: u32,
    pub(super) phase: Phase,
    pub(super) sender: Sender,
    receiver: Receiver,
    buffer: usize,
    outgoing: Outgoing,
    incoming: Incoming,
    /// Bytes in all, once the application has said that there are no more.
    end: Option<u64>,
    written: u64,
    their_end: Option<u64>,
    /// Whether a control frame (OPEN, OPENED, RESET) is to go out.
    say: bool,
    ask: bool,
    /// When to say it, or to ask, again; and how often it was said.
    again: Option<Time>,
    tries: u32,
    /// When it has a place in the timers.
    pub(super) timer: Option<Time>,
    pub(super) ready: bool,
    /// The application has found no room, and is to hear when there is.
    wants_room: bool,
    /// An event says that there is something to take, and has not been polled.
    pub(super) told: bool,
}

impl Stream {
    pub(super) fn new(id: u32, phase: Phase, config: &Config, sender: SenderConfig) -> Self {
        let mut receiver = Receiver::new(config.buffer as u64);
        receiver.set_taken(0);
        let say = matches!(phase, Phase::Opening(_));
        Self {
            id,
            phase,
            sender: Sender::new(SenderConfig { buffer: config.buffer as u64 + 1, ..sender }),
            receiver,
            buffer: config.buffer,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            end: None,
            written: 0,
            their_end: None,
            say,
            ask: false,
            again: None,
            tries: 0,
            timer: None,
            ready: false,
            wants_room: false,
            told: false,
        }
    }

    /// Bytes of memory it holds.
    pub(super) fn memory(&self) -> usize {
        self.outgoing.len() + self.incoming.capacity()
    }

    /// The other side has granted it, or we grant it: what it has room for, and the round trip.
    pub(super) fn grant(&mut self, now: Time, room: u32, rtt: Option<Time>) {
        self.say = matches!(self.phase, Phase::Asked(_));
        (self.phase, self.again, self.tries) = (Phase::Open, None, 0);
        self.sender.handle(now, Input::Granted { window: u64::from(room), rtt });
    }

    /// The other side has not heard that it is granted.
    pub(super) fn say_again(&mut self) {
        self.say = true;
    }

    /// Gives it up; what it held goes.
    pub(super) fn reset(&mut self, code: u8, text: &[u8]) {
        self.phase = Phase::Resetting(code, text.to_vec());
        (self.say, self.ask, self.again, self.tries) = (true, false, None, 0);
        self.outgoing.clear();
        self.incoming.clear();
    }

    /// May the application write? Before the stream is granted it may, too; it waits then.
    fn is_writable(&self) -> bool {
        self.end.is_none() && !matches!(self.phase, Phase::Resetting(..) | Phase::Done(_))
    }

    /// Bytes of the application's, as many as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8], memory_left: usize) -> usize {
        if !self.is_writable() {
            return 0;
        }
        let free = MEMORY_FREE.saturating_sub(self.outgoing.len()).max(memory_left);
        let taken = bytes.len().min(self.buffer.saturating_sub(self.outgoing.len())).min(free);
        let taken = self.sender.write(taken as u64) as usize;
        self.outgoing.push(&bytes[..taken]);
        self.written += taken as u64;
        self.wants_room |= taken < bytes.len();
        taken
    }

    /// Bytes that may be written.
    pub(super) fn room(&mut self, memory_left: usize) -> usize {
        let open = self.is_writable();
        let free = MEMORY_FREE.saturating_sub(self.outgoing.len()).max(memory_left);
        let room = if open { self.buffer.saturating_sub(self.outgoing.len()).min(free) } else { 0 };
        self.wants_room |= room == 0;
        room
    }

    /// There will be no more.
    pub(super) fn finish(&mut self) {
        if self.is_writable() {
            self.end = Some(self.written);
            self.sender.write(1);
        }
    }

    /// What has come in order.
    pub(super) fn front(&self) -> Received<'_> {
        let front = self.incoming.front(self.receiver.delivered().min(self.their_end.unwrap_or(u64::MAX)));
        match front {
            [] if self.ended() => Received::End,
            [] => Received::Nothing,
            front => Received::Bytes(front),
        }
    }

    /// Has the application taken everything?
    fn ended(&self) -> bool {
        self.their_end == Some(self.incoming.taken()) && self.their_end < Some(self.receiver.delivered())
    }

    /// The application has taken bytes of the front. Whether the other side is to hear of the room.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let Received::Bytes(front) = self.front() else { return false };
        let (bytes, half) = (bytes.min(front.len()), self.buffer as u64 / 2);
        let before = self.receiver.window();
        self.incoming.take(bytes);
        self.receiver.set_taken(self.incoming.taken());
        let tell = before < half && self.receiver.window() >= half;
        if tell {
            self.receiver.tell_window();
        }
        tell
    }

    /// Bytes of the other side's. Whether there is something to take, or the end.
    pub(super) fn data(
        &mut self,
        now: Time,
        level: u8,
        frame: Piece<'_>,
        memory_left: usize,
    ) -> Result<bool, Violation> {
        let Piece { offset, bytes, last } = frame;
        let end = offset.saturating_add(bytes.len() as u64);
        if end > OFFSET_MAX {
            return Err(Violation("an offset that no stream has"));
        }
        if self.their_end.is_some_and(|known| end > known || (last && end != known))
            || (last && self.incoming.high() > end)
        {
            return Err(Violation("a stream that goes on behind its end"));
        }
        let stop = end + u64::from(last);
        let new = offset.max(self.receiver.delivered());
        if self.receiver.admits(offset, stop) {
            let capacity = self.incoming.capacity_for(end);
            if new < end && capacity > MEMORY_FREE && capacity - self.incoming.capacity() > memory_left {
                return Ok(false); // as if it had been lost
            }
            if last {
                self.their_end = Some(end);
            }
            if new < end {
                self.incoming.put(new, &bytes[(new - offset) as usize..]);
            }
        }
        let before = self.receiver.delivered();
        let len = (stop - offset) as u32;
        self.receiver.handle(now, &Segment { seq: offset, len, ..Segment::new(Kind::Data, level) });
        Ok(self.receiver.delivered() > before)
    }

    /// What the receiver over there says. Whether the application is to hear of room.
    pub(super) fn acked(&mut self, now: Time, segment: &Segment) -> bool {
        self.sender.handle(now, Input::Segment(segment));
        self.outgoing.acked(self.sender.acked());
        if !self.sender.is_blocked() {
            self.ask = false;
        }
        let tell = self.wants_room && self.outgoing.len() <= self.buffer / 2;
        self.wants_room &= !tell;
        tell
    }

    /// The other side asks how much room there is.
    pub(super) fn asked(&mut self) {
        self.receiver.tell_window();
    }

    /// Time has passed. Whether it goes on: one that is never answered does not.
    pub(super) fn timer(&mut self, now: Time) -> bool {
        self.sender.handle(now, Input::Timer);
        if self.again.is_some_and(|again| again <= now) {
            self.again = None;
            match self.phase {
                Phase::Opening(_) | Phase::Resetting(..) if self.tries >= TRIES_MAX => return false,
                Phase::Opening(_) | Phase::Resetting(..) => self.say = true,
                Phase::Open => self.ask = self.sender.is_blocked(),
                Phase::Asked(_) | Phase::Done(_) => {}
            }
        }
        !matches!(self.phase, Phase::Done(until) if until <= now)
    }

    /// When it wants [`Stream::timer`].
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Done(until) => Some(until),
            Phase::Open => earliest(self.again, self.sender.next_deadline()),
            Phase::Opening(_) | Phase::Asked(_) | Phase::Resetting(..) => self.again,
        }
    }

    /// Is it through in both directions? Then it only acks from now on.
    pub(super) fn retire(&mut self, now: Time) -> bool {
        let through =
            matches!(self.phase, Phase::Open) && self.end.is_some() && self.sender.is_done() && self.ended();
        if through {
            (self.phase, self.again) = (Phase::Done(now + LINGER), None);
            self.outgoing.clear();
            self.incoming.clear();
        }
        through
    }

    /// Writes the frames of one datagram, and tells its level; none where there is nothing to send.
    pub(super) fn poll(&mut self, now: Time, room: usize, out: &mut Vec<u8>) -> Option<u8> {
        let start = out.len();
        self.control(now, out);
        let mut level = (out.len() > start).then_some(0);
        while let Some(next) = self.receiver.next_level()
            && level.is_none_or(|level| level == next)
            && out.len() - start + 80 <= room
            && let Some(ack) = self.receiver.poll_output(now)
        {
            level = Some(next);
            self.emit_ack(&ack, out);
        }
        level.or_else(|| self.poll_data(now, room, out))
    }

    fn control(&mut self, now: Time, out: &mut Vec<u8>) {
        let (stream, room) = (self.id, self.receiver.window().min(u64::from(u32::MAX)) as u32);
        if std::mem::take(&mut self.say) {
            let again = Time::from_secs(1).times(1 << self.tries.min(4));
            match &self.phase {
                Phase::Opening(target) => Frame::Open { stream, room, target }.emit(out),
                Phase::Resetting(code, text) => Frame::Reset { stream, code: *code, text }.emit(out),
                Phase::Open | Phase::Done(_) => Frame::Opened { stream, room }.emit(out),
                Phase::Asked(_) => {}
            }
            if matches!(self.phase, Phase::Opening(_) | Phase::Resetting(..)) {
                (self.again, self.tries) = (Some(now + again), self.tries + 1);
            }
        }
        if std::mem::take(&mut self.ask) {
            Frame::Ask { stream }.emit(out);
        }
    }

    fn emit_ack(&self, ack: &Segment, out: &mut Vec<u8>) {
        let (stream, room) = (self.id, ack.window.min(u64::from(u32::MAX)) as u32);
        match ack.kind {
            Kind::Ack => {
                Frame::Ack { stream, ack: ack.ack, room, arrival: ack.stamp, sack: ack.sack }.emit(out);
            }
            Kind::Window => Frame::Room { stream, ack: ack.ack, room }.emit(out),
            Kind::Syn | Kind::SynAck | Kind::Data => {}
        }
    }

    fn poll_data(&mut self, now: Time, room: usize, out: &mut Vec<u8>) -> Option<u8> {
        if !matches!(self.phase, Phase::Open) {
            return None;
        }
        let Some(segment) = self.sender.poll_output(now) else {
            if self.again.is_none() && self.sender.is_blocked() {
                self.again = Some(now + ASK_EVERY);
            }
            return None;
        };
        debug_assert!(segment.len as usize + FRAME_DATA_BYTES <= room);
        let last = self.end.is_some_and(|end| segment.seq + u64::from(segment.len) == end + 1);
        let len = segment.len as usize - usize::from(last);
        let at = out.len();
        Frame::Data { stream: self.id, offset: segment.seq, bytes: &[], last }.emit(out);
        self.outgoing.copy(segment.seq, len, out);
        out[at + FRAME_DATA_BYTES - 2..at + FRAME_DATA_BYTES].copy_from_slice(&(len as u16).to_be_bytes());
        if segment.level > 0 {
            self.sender.handle(now, Input::Departed); // the socket tells nothing later than that it takes it
        }
        Some(segment.level)
    }
}

/// What a DATA frame carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
    pub(super) last: bool,
}
