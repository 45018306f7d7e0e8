//! A few words beside the packets: a brief that a guest finds when it joins, and questions that it answers.
//!
//! They are rare, so they cost what a copy and a wake-up cost. The trusted side never waits longer than it says, and what
//! it gets is a private copy of bytes of a bounded length, which may say anything.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Domain, Guest, NOTE_MAX, ShmError};

impl Domain {
    /// Leaves bytes for the guest to find ([`Guest::brief`]). To be called before the guest's process starts. Unlike a
    /// program's arguments, which stand in `/proc`, only the guest sees them.
    ///
    /// # Errors
    /// They are more than [`NOTE_MAX`].
    pub fn brief(&self, bytes: &[u8]) -> Result<(), ShmError> {
        if bytes.len() > NOTE_MAX {
            return Err(ShmError::Note(bytes.len()));
        }
        self.area.write_note(bytes);
        self.area.brief().store(bytes.len() as u64, Ordering::Release);
        Ok(())
    }

    /// Asks the guest something; a question that is not answered yet is forgotten.
    pub fn ask(&self, question: u32) {
        // Zero is what nobody has asked.
        let number = self.asked.get().wrapping_add(1).max(1);
        self.asked.set(number);
        self.area.asked().store(u64::from(number) << 32 | u64::from(question), Ordering::Release);
        self.bell.ring();
    }

    /// The answer to the last question, as bytes of the guest's choice, [`NOTE_MAX`] at most; waits for it up to `limit`.
    /// `None` when there is none, or none that could be, or the guest is gone.
    pub fn answer(&self, limit: Duration) -> Option<Vec<u8>> {
        let until = Instant::now() + limit;
        let mut last = false;
        loop {
            let answered = self.area.answered().load(Ordering::Acquire);
            let (number, len) = ((answered >> 32) as u32, answered as u32 as usize);
            if number == self.asked.get() && number != 0 {
                return (len <= NOTE_MAX).then(|| self.area.read_note(len));
            }
            if last {
                return None;
            }
            // A guest that has gone may have answered before.
            let left = until.saturating_duration_since(Instant::now());
            last = left.is_zero() || !self.bell.wait(Some(left));
        }
    }
}

impl Guest {
    /// What the trusted side has left for it. To be asked for before the first [`Guest::answer`], which overwrites it.
    pub fn brief(&self) -> Vec<u8> {
        let len = self.area.brief().load(Ordering::Acquire) as usize;
        self.area.read_note(len.min(NOTE_MAX))
    }

    /// The question that waits for an answer.
    #[inline]
    pub fn asked(&self) -> Option<u32> {
        let asked = self.area.asked().load(Ordering::Acquire);
        ((asked >> 32) as u32 != self.answered).then_some(asked as u32)
    }

    /// Answers it. Bytes beyond [`NOTE_MAX`] are left out.
    pub fn answer(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(NOTE_MAX)];
        self.answered = (self.area.asked().load(Ordering::Acquire) >> 32) as u32;
        self.area.write_note(bytes);
        let word = u64::from(self.answered) << 32 | bytes.len() as u64;
        self.area.answered().store(word, Ordering::Release);
        self.bell.ring();
    }
}
