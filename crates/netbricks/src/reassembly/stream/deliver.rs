//! Telling bytes in order, urgent ones among them, up to the FIN.

use super::super::event::Event;
use super::super::shared::{Counters, Shared, UrgentBytes};
use super::Stream;

impl Stream {
    /// Tells the pending chunks that have come to be in order.
    pub(super) fn drain(&mut self, shared: &mut Shared, out: &mut impl FnMut(Event<'_>)) {
        while !self.pending.is_empty() && shared.pool.chunk(self.pending.head).start == self.next {
            self.deliver_head(shared, out);
        }
    }

    /// Tells the first pending chunk, which begins at `next`.
    pub(super) fn deliver_head(&mut self, shared: &mut Shared, out: &mut impl FnMut(Event<'_>)) {
        let Shared { config, pool, counters } = shared;
        let end = pool.chunk(self.pending.head).end();
        self.tell(config.urgent, counters, pool.bytes(self.pending.head), out);
        if config.history_bytes > 0 && self.next == end {
            pool.move_front(&mut self.pending, &mut self.history);
            self.bound_history(shared);
        } else {
            pool.free_front(&mut self.pending);
        }
    }

    /// Tells bytes of a segment that begin at `next`.
    pub(super) fn deliver_new(&mut self, shared: &mut Shared, bytes: &[u8], out: &mut impl FnMut(Event<'_>)) {
        if !bytes.is_empty() {
            let start = self.next;
            self.deliver(shared, bytes, out);
            self.remember(shared, start, bytes);
        }
    }

    #[inline]
    pub(super) fn deliver(&mut self, shared: &mut Shared, bytes: &[u8], out: &mut impl FnMut(Event<'_>)) {
        self.tell(shared.config.urgent, &mut shared.counters, bytes, out);
    }

    #[inline]
    fn tell(
        &mut self,
        urgent: UrgentBytes,
        counters: &mut Counters,
        bytes: &[u8],
        out: &mut impl FnMut(Event<'_>),
    ) {
        let bytes = self.up_to_fin(counters, bytes);
        if bytes.is_empty() {
            return;
        }
        let start = self.next;
        self.next += bytes.len() as i64;
        counters.bytes += bytes.len() as u64;
        let offset = start as u64;
        let Some(mark) = self.urgent.take_if(|mark| *mark < self.next) else {
            return out(Event::Data { offset, bytes });
        };
        let at = (mark - start) as usize;
        let event = Event::Urgent { offset: mark as u64, byte: bytes[at] };
        if urgent == UrgentBytes::Inline {
            out(event);
            return out(Event::Data { offset, bytes });
        }
        if at > 0 {
            out(Event::Data { offset, bytes: &bytes[..at] });
        }
        out(event);
        if at + 1 < bytes.len() {
            out(Event::Data { offset: mark as u64 + 1, bytes: &bytes[at + 1..] });
        }
    }

    #[inline]
    fn up_to_fin<'a>(&self, counters: &mut Counters, bytes: &'a [u8]) -> &'a [u8] {
        match self.fin {
            Some(fin) if self.next + (bytes.len() as i64) > fin => {
                let (front, behind) = bytes.split_at((fin - self.next) as usize);
                counters.after_fin_bytes += behind.len() as u64;
                front
            }
            _ => bytes,
        }
    }
}
