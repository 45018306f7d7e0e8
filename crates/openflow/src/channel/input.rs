//! Bytes as they came, cut into messages.

use std::ops::Range;

use crate::wire::{FrameError, Header};

/// Bytes of the buffer of a channel that has received little.
const BYTES_MIN: usize = 2 << 10;
/// Bytes that are read at most before they are worked off. The longest message (65,535 bytes) has room.
pub(super) const BYTES_MAX: usize = 64 << 10;

/// The input buffer. Whole messages are handed out where they lie; what is moved to make room is never more than what
/// was taken out before, so that the cost is linear in the bytes received however they are cut.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    /// What is there: `start..end`.
    start: usize,
    end: usize,
    /// The last read filled the buffer: more would have come into a larger one.
    filled_up: bool,
}

impl Input {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Room for bytes to come. Empty only while a whole message waits.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.is_empty() || self.filled_up {
                self.grow(1);
            }
        } else if self.end == self.buffer.len() {
            self.make_room(1);
        }
        self.filled_up = false;
        &mut self.buffer[self.end..]
    }

    /// So many bytes of [`Input::space`] have been filled.
    pub(super) fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.buffer.len());
        self.filled_up = self.end == self.buffer.len();
    }

    /// Takes bytes, however many.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < bytes.len() {
            self.make_room(bytes.len());
        }
        if self.buffer.len() - self.end < bytes.len() {
            self.buffer.resize((self.end + bytes.len()).next_power_of_two(), 0);
        }
        self.buffer[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// The header of the message in front, once the message is whole.
    pub(super) fn whole(&self) -> Result<Option<Header>, FrameError> {
        let there = &self.buffer[self.start..self.end];
        let header = Header::peek(there)?;
        Ok(header.filter(|header| usize::from(header.length) <= there.len()))
    }

    /// The header of the message in front, whole or not.
    pub(super) fn begun(&self) -> Option<Header> {
        Header::peek(&self.buffer[self.start..self.end]).ok().flatten()
    }

    /// Takes the message in front out; it stays readable until more bytes come.
    pub(super) fn take(&mut self, header: &Header) -> Range<usize> {
        let from = self.start;
        self.start = (from + usize::from(header.length)).min(self.end);
        from..self.start
    }

    /// The bytes of a message that was taken out.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives memory back, when there has been nothing to do for a while.
    pub(super) fn relax(&mut self) {
        if self.start == self.end {
            self.clear();
        }
    }

    /// Room for `wanted` bytes behind the end, by moving or by growing up to [`BYTES_MAX`]; as much as there is, at most.
    fn make_room(&mut self, wanted: usize) {
        // Moving costs what stays; it is paid for by what was taken out.
        if self.start >= self.len() || self.buffer.len() >= BYTES_MAX {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        if self.buffer.len() - self.end < wanted {
            self.grow(wanted);
        }
    }

    fn grow(&mut self, wanted: usize) {
        let size = (self.buffer.len() * 2).max(self.end + wanted).next_power_of_two();
        let size = size.clamp(BYTES_MIN, BYTES_MAX);
        if size > self.buffer.len() {
            self.buffer.resize(size, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of that length.
    fn message(length: u16, xid: u32) -> Vec<u8> {
        let mut bytes = vec![4, 2];
        bytes.extend(length.to_be_bytes());
        bytes.extend(xid.to_be_bytes());
        bytes.resize(usize::from(length), xid as u8);
        bytes
    }

    #[test]
    fn every_cut_gives_the_same_messages() {
        let lengths = [8, 9, 2047, 2048, 2049, 60_000, 8, 65_535, 65_535, 8, 100, 33_000, 33_000, 8];
        let whole: Vec<u8> =
            lengths.iter().zip(0..).flat_map(|(&length, xid)| message(length, xid)).collect();
        for cut in [1, 7, 8, 1000, 2048, 65_536, whole.len()] {
            let (mut input, mut xids) = (Input::default(), Vec::new());
            for part in whole.chunks(cut) {
                input.extend(part);
                while let Some(header) = input.whole().unwrap() {
                    let range = input.take(&header);
                    assert_eq!(input.bytes(range), message(header.length, header.xid));
                    xids.push(header.xid);
                }
            }
            assert_eq!(xids, (0..lengths.len() as u32).collect::<Vec<_>>());
            assert_eq!(input.len(), 0);
        }
    }

    #[test]
    fn there_is_room_until_a_message_is_whole_and_no_more_than_its_length() {
        let whole = [message(65_535, 1), message(10, 2), message(65_535, 3)].concat();
        let (mut input, mut at, mut xids) = (Input::default(), 0, Vec::new());
        while at < whole.len() {
            let space = input.space();
            let count = space.len().min(whole.len() - at);
            assert!(count > 0);
            space[..count].copy_from_slice(&whole[at..at + count]);
            input.filled(count);
            at += count;
            while let Some(header) = input.whole().unwrap() {
                input.take(&header);
                xids.push(header.xid);
            }
        }
        assert_eq!(xids, [1, 2, 3]);
        assert!(input.buffer.len() <= BYTES_MAX);
        input.relax();
        assert_eq!(input.buffer.capacity(), 0);
    }

    #[test]
    fn moving_is_paid_for() {
        // One message out, one in, a thousand times, with a full buffer behind them.
        let mut input = Input::default();
        (0..4000).for_each(|xid| input.extend(&message(8, xid)));
        for xid in 0..100_000 {
            let header = input.whole().unwrap().unwrap();
            assert_eq!(header.xid, xid);
            input.take(&header);
            input.extend(&message(8, xid + 4000));
        }
        assert!(input.buffer.len() <= 4 * 8 * 4000, "{}", input.buffer.len());
    }
}
