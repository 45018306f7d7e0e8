//! The receiver: puts bytes in order, and acks each segment at its own level.

use std::collections::VecDeque;

use sim::Time;

use crate::ranges::Ranges;
use crate::segment::{Kind, SACK_BLOCKS_MAX, Sack, Segment};

/// Ranges beyond the cumulative ack that a receiver keeps; segments that would make one more are refused.
pub const RANGES_MAX: usize = 16_384;
/// Acks that wait to be polled; more are not made.
pub const ACKS_MAX: usize = 64;

/// What a receiver counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Bytes that were new.
    pub accepted: u64,
    /// Bytes that it had already.
    pub duplicate: u64,
    /// Segments that it had no room for.
    pub refused: u64,
}

/// A receiver. [`Receiver::handle`] takes what comes, [`Receiver::poll_output`] gives what goes; it has no timers.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Bytes it may hold from the first that the application has not taken.
    buffer: u64,
    /// How many bytes the application has taken; none where it takes each at once.
    taken: Option<u64>,
    next: u64,
    beyond: Ranges,
    /// A byte of each of the ranges that were last added to, the latest first.
    recent: [u64; SACK_BLOCKS_MAX],
    acks: VecDeque<Segment>,
    stats: ReceiverStats,
}

impl Receiver {
    /// With a buffer of that many bytes.
    pub fn new(buffer: u64) -> Self {
        let (beyond, acks) = (Ranges::default(), VecDeque::new());
        let recent = [u64::MAX; SACK_BLOCKS_MAX];
        Self { buffer, taken: None, next: 0, beyond, recent, acks, stats: ReceiverStats::default() }
    }

    /// For another connection, in the memory of this one.
    pub fn reset(&mut self, buffer: u64) {
        self.beyond.clear();
        self.acks.clear();
        let (beyond, acks) = (std::mem::take(&mut self.beyond), std::mem::take(&mut self.acks));
        *self = Self { beyond, acks, ..Self::new(buffer) };
    }

    /// Bytes that the application has, in order.
    pub fn delivered(&self) -> u64 {
        self.next
    }

    /// What it counted.
    pub fn stats(&self) -> ReceiverStats {
        self.stats
    }

    /// How many of the delivered bytes the application has taken: the others count against the buffer from now on. Without a word
    /// about it the application takes each at once.
    pub fn set_taken(&mut self, bytes: u64) {
        self.taken = Some(bytes.min(self.next));
    }

    /// Bytes it has room for from the cumulative ack on.
    pub fn window(&self) -> u64 {
        self.buffer.saturating_sub(self.taken.map_or(0, |taken| self.next - taken))
    }

    /// Would it take the bytes `start..end`?
    pub(crate) fn admits(&self, start: u64, end: u64) -> bool {
        let room = end <= self.next.saturating_add(self.window());
        room && !(start > self.next && self.beyond.len() >= RANGES_MAX && self.beyond.is_apart(start, end))
    }

    /// Takes a segment, which has arrived now.
    pub fn handle(&mut self, now: Time, segment: &Segment) {
        match segment.kind {
            Kind::Syn => self.answer(Segment::new(Kind::SynAck, 0)),
            Kind::Data if segment.len > 0 => self.data(now, segment),
            Kind::Data | Kind::SynAck | Kind::Ack | Kind::Window => {}
        }
    }

    /// Tells the sender how much room there is.
    pub fn tell_window(&mut self) {
        self.answer(Segment { ack: self.next, ..Segment::new(Kind::Window, 0) });
    }

    /// The level of the next ack.
    pub(crate) fn next_level(&self) -> Option<u8> {
        self.acks.front().map(|ack| ack.level)
    }

    /// The next ack.
    pub fn poll_output(&mut self, _now: Time) -> Option<Segment> {
        self.acks.pop_front()
    }

    fn data(&mut self, now: Time, segment: &Segment) {
        let (start, end) = (segment.seq, segment.seq.saturating_add(u64::from(segment.len)));
        if !self.admits(start, end) {
            self.stats.refused += 1;
            if segment.level == 0 {
                self.ack(now, 0, None);
            }
            return; // a low level's says nothing: it counts as lost
        }
        let new = if start <= self.next {
            let new = end.saturating_sub(self.next) - self.beyond.count(self.next, end.max(self.next));
            self.next = self.beyond.gap(self.next.max(end));
            self.beyond.cut(self.next);
            new
        } else {
            self.beyond.insert(start, end)
        };
        self.stats.accepted += new;
        self.stats.duplicate += u64::from(segment.len) - new;
        self.remember(start);
        self.ack(now, segment.level, Some((start, end)).filter(|_| segment.level > 0 || new == 0));
    }

    /// Makes the range of a byte the most recent.
    fn remember(&mut self, start: u64) {
        let range = self.beyond.holding(start);
        let same = |byte: &u64| self.beyond.holding(*byte) == range;
        let from = self.recent.iter().position(same).unwrap_or(SACK_BLOCKS_MAX - 1);
        self.recent[..=from].rotate_right(1);
        self.recent[0] = start;
    }

    /// Acks a segment at its level. The first block is `own` where the segment is below the cumulative ack: a low level's ack moves
    /// no cumulative ack at the sender, so it names its segment even where that closed a gap; and a primary segment that had come
    /// at a low level before is named (RFC 2883), so that its ack does not count as a duplicate.
    fn ack(&mut self, now: Time, level: u8, own: Option<(u64, u64)>) {
        let mut sack = Sack::default();
        if let Some(own) = own.filter(|own| own.1 <= self.next) {
            sack.push(own);
        }
        self.recent.iter().filter_map(|byte| self.beyond.holding(*byte)).for_each(|range| sack.push(range));
        self.answer(Segment { ack: self.next, sack, stamp: now, ..Segment::new(Kind::Ack, level) });
    }

    fn answer(&mut self, answer: Segment) {
        if self.acks.len() < ACKS_MAX {
            self.acks.push_back(Segment { window: self.window(), ..answer });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(level: u8, seq: u64, len: u32) -> Segment {
        Segment { seq, len, ..Segment::new(Kind::Data, level) }
    }

    fn acked(receiver: &mut Receiver, segment: &Segment) -> (u64, u8, Vec<(u64, u64)>) {
        receiver.handle(Time::ZERO, segment);
        let ack = receiver.poll_output(Time::ZERO).unwrap();
        (ack.ack, ack.level, ack.sack.blocks().to_vec())
    }

    #[test]
    fn acks_have_the_level_of_their_segment_and_the_latest_ranges() {
        let mut receiver = Receiver::new(1 << 20);
        assert_eq!(acked(&mut receiver, &data(0, 0, 10)), (10, 0, vec![]));
        assert_eq!(acked(&mut receiver, &data(2, 90, 10)), (10, 2, vec![(90, 100)]));
        assert_eq!(acked(&mut receiver, &data(1, 80, 10)), (10, 1, vec![(80, 100)]));
        assert_eq!(acked(&mut receiver, &data(1, 40, 10)), (10, 1, vec![(40, 50), (80, 100)]));
        assert_eq!(acked(&mut receiver, &data(0, 20, 10)), (10, 0, vec![(20, 30), (40, 50), (80, 100)]));
        assert_eq!(acked(&mut receiver, &data(0, 60, 10)), (10, 0, vec![(60, 70), (20, 30), (40, 50)]));
        assert_eq!(
            acked(&mut receiver, &data(0, 30, 10)).2,
            vec![(20, 50), (60, 70)],
            "joined; the third is forgotten"
        );
        // A gap closed by a low level: the ack names the segment all the same.
        assert_eq!(acked(&mut receiver, &data(3, 10, 10)), (50, 3, vec![(10, 20), (60, 70)]));
        assert_eq!(acked(&mut receiver, &data(0, 50, 30)), (100, 0, vec![]));
        assert_eq!(receiver.stats(), ReceiverStats { accepted: 100, duplicate: 10, refused: 0 });
    }

    #[test]
    fn what_the_application_has_not_taken_counts() {
        let mut receiver = Receiver::new(100);
        receiver.set_taken(0);
        assert_eq!(acked(&mut receiver, &data(0, 0, 60)).0, 60);
        receiver.tell_window();
        let told = receiver.poll_output(Time::ZERO).unwrap();
        assert_eq!((told.kind, told.ack, told.window), (Kind::Window, 60, 40));
        assert!(receiver.admits(60, 100) && !receiver.admits(60, 101));
        receiver.set_taken(50);
        assert!(receiver.admits(60, 150));
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let mut receiver = Receiver::new(100);
        receiver.handle(Time::ZERO, &data(1, 91, 10));
        assert_eq!(receiver.poll_output(Time::ZERO), None);
        receiver.handle(Time::ZERO, &data(1, u64::MAX - 3, 10));
        assert_eq!((receiver.stats().refused, receiver.delivered()), (2, 0));

        let mut receiver = Receiver::new(1 << 20);
        for n in 1..=RANGES_MAX as u64 + 5 {
            receiver.handle(Time::ZERO, &data(1, 2 * n, 1));
        }
        assert_eq!(receiver.stats().refused, 5);
        assert_eq!(receiver.acks.len(), ACKS_MAX);
    }
}
