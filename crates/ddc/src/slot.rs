//! One virtual end of a link, for one destination, in one byte.

use std::fmt;

const OUT: u8 = 1;
const LSEQ: u8 = 2;
const RSEQ: u8 = 4;
const TO_REVERSE: u8 = 8;
const USED: u8 = 16;
const NEXT: u8 = 32;
const DRAIN: u8 = 64;

/// The state of one virtual end of a link. All zero: there is none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Slot(u8);

impl Slot {
    /// An end that leads in or out from the start; those that lead in are the first to be reversed.
    pub(crate) fn initial(out: bool) -> Self {
        Self(USED | if out { OUT } else { TO_REVERSE })
    }

    /// The end that a neighbour's new virtual node has here: it leads in, as if that neighbour had just reversed it.
    pub(crate) fn admitted() -> Self {
        Self(USED)
    }

    /// An end of this node's next virtual node: all of these lead out.
    pub(crate) fn of_next() -> Self {
        Self(NEXT | OUT)
    }

    /// An end from which packets may still come, and nothing else: they go back, or are taken as if they started here.
    pub(crate) fn draining() -> Self {
        Self(DRAIN)
    }

    /// Is there no such end?
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// Is it part of the graph?
    pub fn is_used(self) -> bool {
        self.has(USED)
    }

    /// Does it lead out?
    pub fn is_out(self) -> bool {
        self.has(OUT)
    }

    /// Is it of the virtual node that is still being made?
    pub fn is_next(self) -> bool {
        self.has(NEXT)
    }

    /// May packets still come from it, though it is no longer part of the graph?
    pub fn is_draining(self) -> bool {
        self.has(DRAIN)
    }

    /// Will it be reversed with the next reversal?
    pub fn is_to_reverse(self) -> bool {
        self.has(TO_REVERSE)
    }

    /// How often this end has reversed the link, modulo 2.
    pub fn lseq(self) -> bool {
        self.has(LSEQ)
    }

    /// How often the other end has, as far as is known here, modulo 2.
    pub fn rseq(self) -> bool {
        self.has(RSEQ)
    }

    /// The other end is known to have reversed the link.
    pub(crate) fn hear(&mut self) {
        self.0 = (self.0 & !(OUT | TO_REVERSE)) ^ RSEQ;
    }

    pub(crate) fn reverse(&mut self) {
        self.0 = (self.0 | OUT) ^ LSEQ;
    }

    /// As if this end had reversed the link once more, or less; for the explorer.
    pub(crate) fn toggle_lseq(&mut self) {
        self.0 ^= LSEQ;
    }

    /// The same of the other end.
    pub(crate) fn toggle_rseq(&mut self) {
        self.0 ^= RSEQ;
    }

    /// After a reversal: what leads in now is what the next one reverses.
    pub(crate) fn remember(&mut self) {
        self.0 = if self.is_out() { self.0 & !TO_REVERSE } else { self.0 | TO_REVERSE };
    }

    /// The next virtual node is this node now, and what it was is no more.
    pub(crate) fn promote(&mut self) {
        if self.is_next() {
            self.0 = self.0 & !NEXT | USED;
        } else if self.is_used() {
            *self = Self::draining();
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            _ if self.is_next() => "next ",
            _ if self.is_draining() => return f.write_str("draining"),
            _ if !self.is_used() => return f.write_str("none"),
            _ => "",
        };
        let direction = if self.is_out() { "out" } else { "in" };
        let listed = if self.is_to_reverse() { "*" } else { "" };
        write!(f, "{kind}{direction}{listed} {}/{}", u8::from(self.lseq()), u8::from(self.rseq()))
    }
}
