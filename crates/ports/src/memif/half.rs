//! A ring with its buffers, as the side that receives or sends on it sees them.

use super::layout::Layout;
use super::memory::{Memory, Place};
use super::ring::{BadPosition, Borrower, Flag, Lender};
use super::session::Reason;
use super::wire::Direction;

/// The flag of a descriptor whose frame goes on in the next.
const NEXT: u64 = 1;
const REGION_SHIFT: u32 = 16;
const LENGTH_SHIFT: u32 = 32;

/// What the other side has done wrong in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A position that it cannot have got to.
    Position,
    /// A descriptor that leads out of its region.
    Buffer,
}

impl From<BadPosition> for Fault {
    fn from(_: BadPosition) -> Self {
        Self::Position
    }
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Position => Self::Position,
            Fault::Buffer => Self::Buffer,
        }
    }
}

/// One descriptor, read and checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'m> {
    /// A frame or a part of it; or, to be filled, the buffer.
    pub(super) place: Place<'m>,
    /// Whether the frame goes on in the next descriptor.
    pub(super) more: bool,
    region: u16,
}

/// The descriptors of a ring whose turn it is to be seen to on this side.
pub(super) trait Half {
    /// How many there are, looking only when fewer than `wanted` seem to be.
    fn ready(&mut self, wanted: u16) -> Result<u16, Fault>;

    /// The one after `ahead` others.
    fn piece(&self, ahead: u16) -> Result<Piece<'_>, Fault>;

    /// Makes the next `count` the other side's.
    fn hand_over(&mut self, count: u16);

    fn flag(&self) -> Flag<'_>;

    /// How many the ring has at most.
    fn entries(&self) -> u16;
}

/// A side that sends.
pub(super) trait Fill: Half {
    /// Says that the piece after `ahead` others has `len` bytes of a frame in it.
    fn fill(&self, ahead: u16, piece: &Piece<'_>, len: u32, more: bool);
}

fn first_word(region: u16, len: u32, more: bool) -> u64 {
    u64::from(len) << LENGTH_SHIFT | u64::from(region) << REGION_SHIFT | if more { NEXT } else { 0 }
}

/// A server's: the client's descriptors say where the bytes are, and each is checked.
pub(super) struct Borrowed {
    ring: Borrower,
    memory: Memory,
}

impl Borrowed {
    pub(super) fn new(ring: Borrower, memory: Memory) -> Self {
        Self { ring, memory }
    }
}

impl Half for Borrowed {
    #[inline]
    fn ready(&mut self, wanted: u16) -> Result<u16, Fault> {
        Ok(self.ring.lent(wanted)?)
    }

    #[inline]
    fn piece(&self, ahead: u16) -> Result<Piece<'_>, Fault> {
        let [first, second] = self.ring.get(ahead);
        let (region, len) = ((first >> REGION_SHIFT) as u16, (first >> LENGTH_SHIFT) as u32);
        let place = self.memory.place(region, second as u32, len).ok_or(Fault::Buffer)?;
        Ok(Piece { place, more: first & NEXT != 0, region })
    }

    #[inline]
    fn hand_over(&mut self, count: u16) {
        self.ring.give_back(count);
    }

    fn flag(&self) -> Flag<'_> {
        self.ring.flag()
    }

    fn entries(&self) -> u16 {
        self.ring.size()
    }
}

impl Fill for Borrowed {
    #[inline]
    fn fill(&self, ahead: u16, piece: &Piece<'_>, len: u32, more: bool) {
        self.ring.put(ahead, first_word(piece.region, len, more));
    }
}

/// A client's buffers: entry `n` of a ring always has buffer `n`, whatever its descriptor has come to say.
struct Buffers {
    memory: Memory,
    first: u32,
    stride: u32,
    room: u32,
}

impl Buffers {
    fn new(memory: Memory, layout: Layout, direction: Direction, index: u16) -> Self {
        let (first, stride) = (layout.buffers(direction, index) as u32, layout.stride() as u32);
        Self { memory, first, stride, room: layout.buffer }
    }

    #[inline]
    fn offset(&self, entry: u16) -> u32 {
        self.first + u32::from(entry) * self.stride
    }

    /// The first `len` bytes of a buffer, if it has as many.
    #[inline]
    fn place(&self, entry: u16, len: u32) -> Result<Place<'_>, Fault> {
        if len > self.room {
            return Err(Fault::Buffer);
        }
        self.memory.place(0, self.offset(entry), len).ok_or(Fault::Buffer)
    }
}

/// A ring that a client sends on: it lends full buffers.
pub(super) struct LentFull {
    ring: Lender,
    buffers: Buffers,
}

impl LentFull {
    pub(super) fn new(ring: Lender, memory: Memory, layout: Layout, index: u16) -> Self {
        Self { ring, buffers: Buffers::new(memory, layout, Direction::ToServer, index) }
    }
}

impl Half for LentFull {
    #[inline]
    fn ready(&mut self, wanted: u16) -> Result<u16, Fault> {
        Ok(self.ring.free(wanted)?)
    }

    #[inline]
    fn piece(&self, ahead: u16) -> Result<Piece<'_>, Fault> {
        let place = self.buffers.place(self.ring.next(ahead), self.buffers.room)?;
        Ok(Piece { place, more: false, region: 0 })
    }

    #[inline]
    fn hand_over(&mut self, count: u16) {
        self.ring.lend(count);
    }

    fn flag(&self) -> Flag<'_> {
        self.ring.flag()
    }

    fn entries(&self) -> u16 {
        self.ring.size()
    }
}

impl Fill for LentFull {
    #[inline]
    fn fill(&self, ahead: u16, piece: &Piece<'_>, len: u32, more: bool) {
        let offset = self.buffers.offset(self.ring.next(ahead));
        self.ring.put(ahead, [first_word(piece.region, len, more), offset.into()]);
    }
}

/// A ring that a client receives on: it lends empty buffers.
pub(super) struct LentEmpty {
    ring: Lender,
    buffers: Buffers,
}

impl LentEmpty {
    /// Lends all of them.
    pub(super) fn new(ring: Lender, memory: Memory, layout: Layout, index: u16) -> Self {
        let mut half = Self { ring, buffers: Buffers::new(memory, layout, Direction::ToClient, index) };
        half.lend(half.entries());
        half
    }

    fn lend(&mut self, count: u16) {
        for ahead in 0..count {
            let offset = self.buffers.offset(self.ring.next(ahead));
            self.ring.put(ahead, [first_word(0, self.buffers.room, false), offset.into()]);
        }
        self.ring.lend(count);
    }
}

impl Half for LentEmpty {
    #[inline]
    fn ready(&mut self, _wanted: u16) -> Result<u16, Fault> {
        Ok(self.ring.returned()?)
    }

    #[inline]
    fn piece(&self, ahead: u16) -> Result<Piece<'_>, Fault> {
        let first = self.ring.get(ahead);
        let place = self.buffers.place(self.ring.oldest(ahead), (first >> LENGTH_SHIFT) as u32)?;
        Ok(Piece { place, more: first & NEXT != 0, region: 0 })
    }

    #[inline]
    fn hand_over(&mut self, count: u16) {
        self.ring.settle(count);
        self.lend(count);
    }

    fn flag(&self) -> Flag<'_> {
        self.ring.flag()
    }

    fn entries(&self) -> u16 {
        self.ring.size()
    }
}
