//! Giving up bytes that do not come, and the end.

use super::super::event::{Event, GapCause};
use super::super::shared::Shared;
use super::{State, Stream};

impl Stream {
    /// Hears that the receiver has acknowledged everything in front of this sequence number. What it acknowledges and was
    /// not seen is given up; what it acknowledges of the history is forgotten.
    #[inline]
    pub fn acknowledge(&mut self, shared: &mut Shared, ack: u32, out: &mut impl FnMut(Event<'_>)) {
        if self.state != State::Open {
            return;
        }
        let to = self.position(ack);
        if to > self.next || !self.history.is_empty() {
            self.acknowledge_to(shared, to, out);
        }
    }

    fn acknowledge_to(&mut self, shared: &mut Shared, to: i64, out: &mut impl FnMut(Event<'_>)) {
        if to - self.next > i64::from(shared.config.ahead_bytes) {
            shared.counters.stray_acks += 1;
            return;
        }
        let to = self.fin.map_or(to, |fin| to.min(fin)); // the FIN itself has a sequence number
        while self.next < to {
            self.skip_hole(shared, to, GapCause::Acknowledged, out);
        }
        self.forget(shared, to);
        self.highest = self.highest.max(self.next);
        self.settle(shared, out);
    }

    /// Gives up the bytes up to the first that is pending, or up to `most` if that is nearer.
    pub(super) fn skip_hole(
        &mut self,
        shared: &mut Shared,
        most: i64,
        cause: GapCause,
        out: &mut impl FnMut(Event<'_>),
    ) {
        let mut to = self.fin.map_or(most, |fin| fin.min(most));
        if !self.pending.is_empty() {
            to = to.min(shared.pool.chunk(self.pending.head).start);
        }
        if to > self.next {
            let (offset, len) = (self.next as u64, (to - self.next) as u64);
            shared.counters.gaps += 1;
            shared.counters.gap_bytes += len;
            self.next = to;
            self.urgent.take_if(|mark| *mark < to);
            out(Event::Gap { offset, len, cause });
        }
        self.drain(shared, out);
    }

    /// Frees memory at the cost of this stream: its history if it has one, else the bytes it waits for. Returns whether it
    /// had any.
    pub fn relieve(&mut self, shared: &mut Shared, out: &mut impl FnMut(Event<'_>)) -> bool {
        if !self.history.is_empty() {
            shared.pool.free_all(&mut self.history);
            return true;
        }
        if self.pending.is_empty() {
            return false;
        }
        self.skip_hole(shared, self.highest, GapCause::PoolBudget, out);
        shared.pool.free_all(&mut self.history); // what was pending would else only move there
        self.settle(shared, out);
        true
    }

    /// Finishes if everything in front of the FIN has been told.
    pub(super) fn settle(&mut self, shared: &mut Shared, out: &mut impl FnMut(Event<'_>)) {
        if self.state == State::Open && self.fin == Some(self.next) {
            self.state = State::Finished;
            shared.counters.after_fin_bytes += u64::from(self.pending.bytes);
            self.release(shared);
            out(Event::Finished);
        }
    }

    /// Ends the stream: tells what is pending, with the gaps between, up to the last byte seen or the FIN.
    pub fn close(&mut self, shared: &mut Shared, out: &mut impl FnMut(Event<'_>)) {
        let to = self.fin.unwrap_or(self.highest);
        while self.state == State::Open && self.next < to {
            self.skip_hole(shared, to, GapCause::Closed, out);
        }
        self.settle(shared, out);
        self.release(shared);
    }

    fn release(&mut self, shared: &mut Shared) {
        shared.pool.free_all(&mut self.pending);
        shared.pool.free_all(&mut self.history);
    }
}
