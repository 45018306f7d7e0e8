//! The streams of a connection: what the application does with them, and what frames say to them.

use sim::Time;

use super::event::{Code, Event, Received};
use super::stream::{Phase, Piece, Stream, Violation};
use super::{Connection, DATA_BYTES, REMEMBERED, STREAMS_MAX};
use crate::segment::{Kind, Segment};
use crate::wire::Frame;

impl Connection {
    /// Asks for a stream. None where there are too many, or the connection is closed. Before the handshake is through it waits.
    pub fn open(&mut self, now: Time, target: &[u8]) -> Option<u32> {
        if matches!(self.phase, super::Phase::Closing(..) | super::Phase::Closed) || self.is_full() {
            return None;
        }
        let id = self.next_stream;
        self.next_stream = id.checked_add(1)?;
        let stream = Stream::new(id, Phase::Opening(target.to_vec()), &self.config, self.sender_config(now));
        self.streams.insert(id, stream);
        self.stats.streams += 1;
        if self.is_open() {
            self.touch(id);
        }
        Some(id)
    }

    /// Grants a stream that the client has asked for.
    pub fn accept(&mut self, now: Time, id: u32) {
        let rtt = self.rtt;
        if let Some(stream) = self.streams.get_mut(&id)
            && let Phase::Asked(room) = stream.phase
        {
            stream.grant(now, room, rtt);
            self.touch(id);
        }
    }

    /// Writes bytes, as many as there is room for, and tells how many. [`Event::Writable`] tells when there is more.
    pub fn write(&mut self, id: u32, bytes: &[u8]) -> usize {
        let left = self.config.memory.saturating_sub(self.memory);
        self.with(id, |stream| stream.write(bytes, left)).unwrap_or(0)
    }

    /// How many bytes may be written.
    pub fn room(&mut self, id: u32) -> usize {
        let left = self.config.memory.saturating_sub(self.memory);
        self.streams.get_mut(&id).map_or(0, |stream| stream.room(left))
    }

    /// There will be no more bytes.
    pub fn finish(&mut self, id: u32) {
        self.with(id, Stream::finish);
    }

    /// What has come.
    pub fn received(&self, id: u32) -> Received<'_> {
        self.streams.get(&id).map_or(Received::Nothing, Stream::front)
    }

    /// Bytes of what has come are taken.
    pub fn take(&mut self, id: u32, bytes: usize) {
        self.with(id, |stream| stream.take(bytes));
    }

    /// Gives a stream up, in both directions.
    pub fn reset(&mut self, id: u32, code: Code, text: &str) {
        self.with(id, |stream| stream.reset(code as u8, text.as_bytes()));
    }

    /// Does something with a stream, and sees to what follows.
    fn with<T>(&mut self, id: u32, work: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        let stream = self.streams.get_mut(&id)?;
        let before = stream.memory();
        let result = work(stream);
        self.memory = (self.memory + stream.memory()).saturating_sub(before);
        self.touch(id);
        Some(result)
    }

    fn is_full(&self) -> bool {
        self.streams.len() - self.lingering.len() >= self.config.streams
    }

    /// Lets a stream send what it may have to send.
    pub(super) fn touch(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.ready) {
            stream.ready = true;
            self.ready.push_back(id);
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        if let Some(stream) = self.streams.remove(&id) {
            self.memory = self.memory.saturating_sub(stream.memory());
            if let Some(timer) = stream.timer {
                self.timers.remove(&(timer, id));
            }
            if matches!(stream.phase, Phase::Done(_)) {
                self.lingering.retain(|lingering| *lingering != id);
            }
        }
    }

    pub(super) fn stream_timer(&mut self, now: Time, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.timer = None;
        if stream.timer(now) {
            return self.touch(id);
        }
        if let Phase::Opening(_) = stream.phase {
            let text = "no answer".to_owned();
            self.events.push_back(Event::Reset { stream: id, code: Code::Failed, text });
        }
        self.remove(id);
    }

    /// The frames of the next stream that has something to send.
    pub(super) fn poll_streams(&mut self, now: Time, frames: &mut Vec<u8>) -> Option<u8> {
        let room = self.config.datagram - DATA_BYTES;
        while let Some(id) = self.ready.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if let Some(level) = stream.poll(now, room, frames) {
                self.ready.push_back(id);
                return Some(level);
            }
            stream.ready = false;
            self.rest(now, id);
        }
        None
    }

    /// A stream has nothing more to send: it is through, or there is a time to come back to it.
    fn rest(&mut self, now: Time, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let before = stream.memory();
        let through = stream.retire(now);
        self.memory = (self.memory + stream.memory()).saturating_sub(before);
        let (found, deadline) = (stream.sender.bottleneck(), stream.deadline());
        if stream.timer != deadline {
            if let Some(timer) = std::mem::replace(&mut stream.timer, deadline) {
                self.timers.remove(&(timer, id));
            }
            self.timers.extend(deadline.map(|deadline| (deadline, id)));
        }
        if let Some(rate) = found {
            let known = self.remembered.filter(|known| known.1 + REMEMBERED > now);
            if known.is_none_or(|(known, _)| known < rate) {
                self.remembered = Some((rate, now));
            }
        }
        if through {
            self.lingering.push_back(id);
            if self.streams.len() > STREAMS_MAX
                && let Some(oldest) = self.lingering.front().copied()
            {
                self.remove(oldest);
            }
        }
    }

    /// A frame of the other side's.
    pub(super) fn frame(&mut self, now: Time, level: u8, frame: &Frame<'_>) -> Result<(), Violation> {
        match *frame {
            Frame::Ping => self.say(&Frame::Pong),
            Frame::Pong => {}
            Frame::Open { stream, room, target } => return self.asked(now, stream, room, target),
            Frame::Opened { stream, room } => {
                let rtt = self.rtt;
                if let Some(known) = self.streams.get_mut(&stream)
                    && let Phase::Opening(_) = known.phase
                {
                    known.grant(now, room, rtt);
                    self.touch(stream);
                    self.events.push_back(Event::Opened { stream });
                }
            }
            Frame::Data { stream, offset, bytes, last } => {
                return self.data(now, level, stream, Piece { offset, bytes, last });
            }
            Frame::Ack { stream, ack, room, arrival, sack } => {
                let segment = Segment {
                    ack,
                    window: u64::from(room),
                    sack,
                    stamp: arrival,
                    ..Segment::new(Kind::Ack, level)
                };
                self.acked(now, stream, &segment);
            }
            Frame::Room { stream, ack, room } => {
                self.acked(
                    now,
                    stream,
                    &Segment { ack, window: u64::from(room), ..Segment::new(Kind::Window, 0) },
                );
            }
            Frame::Ask { stream } => {
                if self.with(stream, Stream::asked).is_none() {
                    self.unknown(stream);
                }
            }
            Frame::Reset { stream, code, text } => {
                self.say(&Frame::Dropped { stream });
                let known = self
                    .streams
                    .get(&stream)
                    .map(|known| matches!(known.phase, Phase::Resetting(..) | Phase::Done(_)));
                if known == Some(false) {
                    let text = String::from_utf8_lossy(text).into_owned();
                    self.events.push_back(Event::Reset { stream, code: Code::from_wire(code), text });
                }
                self.remove(stream);
            }
            Frame::Dropped { stream } => {
                if self.streams.get(&stream).is_some_and(|known| matches!(known.phase, Phase::Resetting(..)))
                {
                    self.remove(stream);
                }
            }
            Frame::Close { code, text } => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.fail(super::Reason::Peer(Code::from_wire(code), text));
            }
        }
        Ok(())
    }

    fn asked(&mut self, now: Time, id: u32, room: u32, target: &[u8]) -> Result<(), Violation> {
        if self.is_client {
            return Err(Violation("a question for a stream, which only clients ask"));
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            if matches!(stream.phase, Phase::Open | Phase::Done(_)) {
                stream.say_again();
                self.touch(id);
            }
            return Ok(());
        }
        if self.seen.holding(u64::from(id)).is_some() || self.is_full() {
            let (code, text) =
                if self.is_full() { (Code::Busy, "too many streams") } else { (Code::Unknown, "it is over") };
            self.say(&Frame::Reset { stream: id, code: code as u8, text: text.as_bytes() });
            return Ok(());
        }
        if self.seen.len() >= STREAMS_MAX && self.seen.is_apart(u64::from(id), u64::from(id) + 1) {
            return Err(Violation("numbers of streams without order"));
        }
        self.seen.insert(u64::from(id), u64::from(id) + 1);
        let stream = Stream::new(id, Phase::Asked(room), &self.config, self.sender_config(now));
        self.streams.insert(id, stream);
        self.stats.streams += 1;
        self.events.push_back(Event::Asked { stream: id, target: target.to_vec() });
        Ok(())
    }

    fn data(&mut self, now: Time, level: u8, id: u32, piece: Piece<'_>) -> Result<(), Violation> {
        let left = self.config.memory.saturating_sub(self.memory);
        match self.streams.get(&id).map(|stream| &stream.phase) {
            None => self.unknown(id),
            Some(Phase::Resetting(..)) => {}
            Some(Phase::Asked(_)) => return Err(Violation("bytes of a stream that was not granted")),
            Some(Phase::Opening(_) | Phase::Open | Phase::Done(_)) => {
                let tell = |stream: &mut Stream| {
                    let more = stream.data(now, level, piece, left)?;
                    Ok(more && !std::mem::replace(&mut stream.told, true))
                };
                if self.with(id, tell).transpose()? == Some(true) {
                    self.events.push_back(Event::Readable { stream: id });
                }
            }
        }
        Ok(())
    }

    fn acked(&mut self, now: Time, id: u32, segment: &Segment) {
        match self.with(id, |stream| stream.acked(now, segment)) {
            Some(true) => self.events.push_back(Event::Writable { stream: id }),
            Some(false) => {}
            None => self.unknown(id),
        }
    }

    /// Of a stream that is not there: the other side is told, so that it does not wait.
    fn unknown(&mut self, stream: u32) {
        self.say(&Frame::Reset { stream, code: Code::Unknown as u8, text: b"no such stream" });
    }
}
