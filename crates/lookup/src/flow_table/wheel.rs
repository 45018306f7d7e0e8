//! Whose turn it is to expire: a hierarchical timing wheel over the slots of a table.
//!
//! After Varghese and Lauck, "Hashed and hierarchical timing wheels" (SOSP'87), scheme 7. A time has eight digits of
//! eight bits. A slot waits in the list of the highest digit in which its time differs from the time reached; when that
//! list begins, the slot either is due or moves to a lower one, at most seven times in its life. So nothing is ever
//! scanned, and all 64 bits of nanoseconds are exact.

const DIGIT_BITS: u32 = 8;
const DIGITS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = (u64::BITS / DIGIT_BITS) as usize;
const WORDS: usize = DIGITS / u64::BITS as usize;

/// No slot.
const NONE: u32 = u32::MAX;
/// In [`Link::previous`]: the number below is not a slot but the list whose head this is.
const HEAD: u32 = 1 << 31;
/// [`Wheel::draining`] where no list has begun.
const NO_LIST: usize = usize::MAX;

#[derive(Debug, Clone, Copy)]
struct Link {
    /// The time this slot's list was chosen by.
    due_ns: u64,
    previous: u32,
    next: u32,
}

#[derive(Debug)]
pub(super) struct Wheel {
    links: Vec<Link>,
    /// First slot of each list; list `level * DIGITS + digit`.
    heads: Box<[u32]>,
    /// A bit for each list that is not empty.
    occupied: [[u64; WORDS]; LEVELS],
    /// No list that begins before this time holds anything.
    reached_ns: u64,
    /// The list that begins at `reached_ns` and may still hold slots; it comes before all others.
    draining: usize,
}

impl Wheel {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            links: Vec::with_capacity(capacity),
            heads: vec![NONE; LEVELS * DIGITS].into_boxed_slice(),
            occupied: [[0; WORDS]; LEVELS],
            reached_ns: 0,
            draining: NO_LIST,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>() + size_of_val(&*self.heads)
    }

    /// Room for one more slot, the next in number. It waits for nothing yet.
    pub(super) fn grow(&mut self) {
        self.links.push(Link { due_ns: 0, previous: NONE, next: NONE });
    }

    /// The time a linked slot waits for.
    pub(super) fn due_ns(&self, slot: u32) -> u64 {
        self.links[slot as usize].due_ns
    }

    /// Lets a slot that is in no list wait for `due_ns`.
    pub(super) fn link(&mut self, slot: u32, due_ns: u64) {
        let list = self.list_of(due_ns);
        let next = std::mem::replace(&mut self.heads[list], slot);
        self.links[slot as usize] = Link { due_ns, previous: HEAD | list as u32, next };
        if next == NONE {
            let digit = list % DIGITS;
            self.occupied[list / DIGITS][digit / 64] |= 1 << (digit % 64);
        } else {
            self.links[next as usize].previous = slot;
        }
    }

    /// Takes a linked slot out of its list.
    pub(super) fn unlink(&mut self, slot: u32) {
        let Link { previous, next, .. } = self.links[slot as usize];
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        if previous & HEAD == 0 {
            self.links[previous as usize].next = next;
            return;
        }
        let list = (previous ^ HEAD) as usize;
        self.heads[list] = next;
        if next == NONE {
            let digit = list % DIGITS;
            self.occupied[list / DIGITS][digit / 64] &= !(1 << (digit % 64));
        }
    }

    /// The next slot whose list has begun by `now_ns`, taken out of it. It may be due or wait for later; in the second
    /// case it wants to be linked again. `None` once every slot that is due by `now_ns` has been out; then also where
    /// time has gone back.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<u32> {
        if now_ns < self.reached_ns {
            return None;
        }
        if self.draining == NO_LIST || self.heads[self.draining] == NONE {
            self.draining = NO_LIST;
            match self.first() {
                Some((list, start_ns)) if start_ns <= now_ns => {
                    self.reached_ns = start_ns;
                    self.draining = list;
                }
                _ => {
                    self.reached_ns = now_ns;
                    return None;
                }
            }
        }
        let slot = self.heads[self.draining];
        self.unlink(slot);
        Some(slot)
    }

    /// When [`Wheel::pop`] next has something: no slot is due before.
    pub(super) fn next_ns(&self) -> Option<u64> {
        if self.draining != NO_LIST && self.heads[self.draining] != NONE {
            return Some(self.reached_ns);
        }
        self.first().map(|(_, start_ns)| start_ns)
    }

    /// Times that have been reached share the list of the time reached.
    fn list_of(&self, due_ns: u64) -> usize {
        let due_ns = due_ns.max(self.reached_ns);
        let level = ((due_ns ^ self.reached_ns) | 1).ilog2() / DIGIT_BITS;
        let digit = (due_ns >> (level * DIGIT_BITS)) as usize % DIGITS;
        level as usize * DIGITS + digit
    }

    /// The first list that is not empty, and its start. Lists of a low level lie within the current digit of every
    /// level above, so they come first.
    fn first(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|words| words.iter().any(|&word| word != 0))?;
        let word = self.occupied[level].iter().position(|&word| word != 0)?;
        let digit = word * 64 + self.occupied[level][word].trailing_zeros() as usize;
        let shift = level as u32 * DIGIT_BITS;
        let above = u64::MAX.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
        Some((level * DIGITS + digit, (self.reached_ns & above) | (digit as u64) << shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(due: &[u64]) -> Wheel {
        let mut wheel = Wheel::new(due.len());
        for (slot, &due_ns) in due.iter().enumerate() {
            wheel.grow();
            wheel.link(slot as u32, due_ns);
        }
        wheel
    }

    /// All that is due by `now_ns`; what comes out early waits again. Also how often that happened.
    fn due_by(wheel: &mut Wheel, now_ns: u64) -> (Vec<u32>, usize) {
        let (mut out, mut again) = (Vec::new(), 0);
        while let Some(slot) = wheel.pop(now_ns) {
            let due_ns = wheel.due_ns(slot);
            if due_ns <= now_ns {
                out.push(slot);
            } else {
                wheel.link(slot, due_ns);
                again += 1;
            }
        }
        out.sort_unstable();
        (out, again)
    }

    #[test]
    fn the_ends_of_time() {
        let mut wheel = wheel(&[0, u64::MAX, 1, u64::MAX - 1, 1 << 63]);
        assert_eq!(wheel.next_ns(), Some(0));
        assert_eq!(due_by(&mut wheel, 0).0, [0]);
        assert_eq!(due_by(&mut wheel, (1 << 63) - 1).0, [2]);
        assert_eq!(due_by(&mut wheel, u64::MAX - 2).0, [4]);
        assert_eq!(due_by(&mut wheel, u64::MAX - 1).0, [3]);
        assert_eq!(due_by(&mut wheel, u64::MAX).0, [1]);
        assert_eq!(wheel.next_ns(), None);
    }

    #[test]
    fn a_slot_moves_at_most_seven_times() {
        let due = 0x0101_0101_0101_0101;
        let mut wheel = wheel(&[due]);
        let (mut moves, mut wakes) = (0, 0);
        while let Some(next) = wheel.next_ns() {
            assert!(next <= due);
            let (out, again) = due_by(&mut wheel, next);
            (moves, wakes) = (moves + again, wakes + 1);
            assert_eq!(out.is_empty(), next < due);
        }
        assert_eq!((moves, wakes), (7, 8), "one digit a time, as the driver of a clock would wake");
    }

    #[test]
    fn a_list_is_finished_before_what_moved_out_of_it() {
        // Slots 0 and 2 share the list that begins at 256; slot 2 comes out first and is not due at 300.
        let mut wheel = wheel(&[290, 5_000, 400]);
        assert_eq!(wheel.pop(300), Some(2));
        wheel.link(2, 400);
        assert_eq!(wheel.next_ns(), Some(256), "the rest of the list is still there");
        assert_eq!(due_by(&mut wheel, 300).0, [0]);
        assert_eq!(due_by(&mut wheel, 5_000).0, [1, 2]);
    }

    #[test]
    fn time_that_goes_back_does_nothing() {
        let mut wheel = wheel(&[100]);
        assert_eq!(due_by(&mut wheel, 50).0, []);
        wheel.grow();
        wheel.link(1, 20);
        assert_eq!(wheel.pop(49), None, "the wheel has been at 50");
        assert_eq!(wheel.next_ns(), Some(50));
        assert_eq!(due_by(&mut wheel, 50).0, [1]);
    }
}
