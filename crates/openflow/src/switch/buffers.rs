//! Packets kept while the controller thinks. One set for each connection.

use std::time::Duration;

use crate::error::BadRequest;
use crate::flow::NO_BUFFER;
use crate::port::PortNo;

/// Most packets kept for a connection.
pub const BUFFERS_MAX: usize = 4096;
/// How long a packet is kept at least; after it, its place may be taken.
pub const BUFFER_LIFETIME: Duration = Duration::from_secs(5);

/// A packet that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    pub(super) in_port: PortNo,
}

#[derive(Debug, Default)]
struct Place {
    /// Number of the packet last kept here.
    id: u32,
    until: Duration,
    kept: Option<Kept>,
}

/// Places in a ring. A packet's number is its place and how often that was taken, so a late number is told from the
/// packet that is there now.
#[derive(Debug)]
pub(super) struct Buffers {
    places: Vec<Place>,
    /// The place to be taken next: the one that was taken longest ago.
    next: usize,
    /// Places with a packet.
    kept: usize,
}

impl Buffers {
    pub(super) fn new(places: usize) -> Self {
        Self { places: (0..places.min(BUFFERS_MAX)).map(|_| Place::default()).collect(), next: 0, kept: 0 }
    }

    /// Keeps a packet; its number, or [`NO_BUFFER`] while all places are taken.
    pub(super) fn keep(&mut self, now: Duration, kept: impl FnOnce() -> Kept) -> u32 {
        let count = self.places.len();
        if count == 0 {
            return NO_BUFFER;
        }
        let at = self.next % count;
        let place = &mut self.places[at];
        if place.kept.is_some() && now < place.until {
            return NO_BUFFER;
        }
        self.kept += usize::from(place.kept.is_none());
        self.next = (at + 1) % count;
        // Rounds 1 to 2^19-1, so that no number is 0 or NO_BUFFER.
        let round = (place.id >> 12) % 0x7_ffff + 1;
        *place = Place { id: round << 12 | at as u32, until: now + BUFFER_LIFETIME, kept: Some(kept()) };
        place.id
    }

    /// Takes a packet out.
    pub(super) fn take(&mut self, now: Duration, id: u32) -> Result<Kept, BadRequest> {
        let place = self.places.get_mut((id & 0xfff) as usize).filter(|place| place.id == id && id != 0);
        let place = place.ok_or(BadRequest::BufferUnknown)?;
        let kept = place.kept.take().ok_or(BadRequest::BufferEmpty)?;
        self.kept -= 1;
        if now < place.until { Ok(kept) } else { Err(BadRequest::BufferUnknown) }
    }

    /// The place of the packet that is kept longest.
    fn oldest(&self) -> Option<usize> {
        let count = self.places.len();
        let mut ring = (self.next..self.next + count).map(|at| at % count);
        if self.kept == 0 { None } else { ring.find(|at| self.places[*at].kept.is_some()) }
    }

    /// Lets go of packets whose time is over.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(at) = self.oldest()
            && self.places[at].until <= now
        {
            self.places[at].kept = None;
            self.kept -= 1;
        }
    }

    /// When the oldest one's time is over.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.oldest().map(|at| self.places[at].until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(byte: u8) -> Kept {
        Kept { bytes: vec![byte], in_port: PortNo(1) }
    }

    #[test]
    fn a_packet_is_taken_once_and_in_time() {
        let second = Duration::from_secs;
        let mut buffers = Buffers::new(2);
        let one = buffers.keep(second(0), || kept(1));
        let two = buffers.keep(second(1), || kept(2));
        assert_eq!(buffers.keep(second(1), || kept(3)), NO_BUFFER, "full");
        assert_eq!(buffers.take(second(2), one), Ok(kept(1)));
        assert_eq!(buffers.take(second(2), one), Err(BadRequest::BufferEmpty));
        let three = buffers.keep(second(2), || kept(3));
        assert_eq!(buffers.take(second(2), one), Err(BadRequest::BufferUnknown), "the place is another's");
        assert_eq!(buffers.deadline(), Some(second(6)));
        buffers.expire(second(6));
        assert!(buffers.take(second(6), two).is_err());
        assert_eq!(buffers.take(second(6), three), Ok(kept(3)));
        for strange in [0, NO_BUFFER, 0xfff, 7 << 12] {
            assert_eq!(buffers.take(second(6), strange), Err(BadRequest::BufferUnknown));
        }
        assert_eq!(Buffers::new(0).keep(second(0), || kept(1)), NO_BUFFER);
    }
}
