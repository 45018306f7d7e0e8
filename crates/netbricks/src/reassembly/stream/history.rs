//! What has been told is kept for a while, to see whether it comes again with different content.

use super::super::event::Event;
use super::super::policy::Extent;
use super::super::pool::NONE;
use super::super::shared::{Counters, Shared};
use super::Stream;

/// Tells where two versions of the same bytes, which begin at `start`, differ.
pub(super) fn compare(
    counters: &mut Counters,
    start: i64,
    old: &[u8],
    new: &[u8],
    replaced: bool,
    out: &mut impl FnMut(Event<'_>),
) {
    let len = old.len().min(new.len());
    let (old, new) = (&old[..len], &new[..len]);
    counters.repeated_bytes += len as u64;
    if old == new {
        return;
    }
    let differ = |&at: &usize| old[at] != new[at];
    if let (Some(first), Some(last)) = ((0..len).find(differ), (0..len).rfind(differ)) {
        counters.conflicts += 1;
        let (offset, len) = ((start + first as i64) as u64, (last - first) as u64 + 1);
        out(Event::Conflict { offset, len, replaced });
    }
}

impl Stream {
    /// Keeps a copy of bytes that have been told. Where memory is short it keeps less: other streams need it more.
    #[inline]
    pub(super) fn remember(&mut self, shared: &mut Shared, start: i64, bytes: &[u8]) {
        if shared.config.history_bytes > 0 {
            self.copy_to_history(shared, start, bytes);
        }
    }

    fn copy_to_history(&mut self, shared: &mut Shared, start: i64, bytes: &[u8]) {
        let mut done = shared.pool.extend_back(&mut self.history, start, bytes);
        while done < bytes.len() {
            let (rest, start, tail) = (&bytes[done..], start + done as i64, self.history.tail);
            if shared.pool.insert(&mut self.history, tail, start, rest, Extent::default()).is_none() {
                break;
            }
            done += rest.len().min(shared.pool.chunk_bytes());
        }
        self.bound_history(shared);
    }

    pub(super) fn bound_history(&mut self, shared: &mut Shared) {
        while self.history.bytes > shared.config.history_bytes {
            shared.pool.free_front(&mut self.history);
        }
    }

    /// Forgets what ends at or in front of `to`.
    pub(super) fn forget(&mut self, shared: &mut Shared, to: i64) {
        while !self.history.is_empty() && shared.pool.chunk(self.history.head).end() <= to {
            shared.pool.free_front(&mut self.history);
        }
    }

    /// Compares bytes that begin at `start` and have all been told.
    pub(super) fn compare_with_history(
        &self,
        shared: &mut Shared,
        start: i64,
        bytes: &[u8],
        out: &mut impl FnMut(Event<'_>),
    ) {
        let (end, mut unknown) = (start + bytes.len() as i64, bytes.len() as u64);
        let mut at = self.history.head;
        while at != NONE && shared.pool.chunk(at).start < end {
            let chunk = *shared.pool.chunk(at);
            let overlap = start.max(chunk.start)..end.min(chunk.end());
            if !overlap.is_empty() {
                let new = &bytes[(overlap.start - start) as usize..(overlap.end - start) as usize];
                let old = shared.pool.bytes_from(at, overlap.start);
                unknown -= new.len() as u64;
                compare(&mut shared.counters, overlap.start, old, new, false, out);
            }
            at = chunk.next;
        }
        shared.counters.repeated_bytes += unknown;
    }
}
