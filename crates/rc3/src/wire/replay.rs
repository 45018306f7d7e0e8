//! Which numbers have been seen (as in RFC 4303, section 3.4.3): each counts once, and what is too old not at all.

/// Numbers below the highest that can still come.
pub const REPLAY_WINDOW: u64 = 8_192;
const WORDS: usize = REPLAY_WINDOW as usize / 64;

/// The window of one level.
#[derive(Debug, Clone)]
pub struct Replay {
    /// One more than the highest number seen.
    next: u64,
    seen: Box<[u64; WORDS]>,
}

impl Default for Replay {
    fn default() -> Self {
        Self { next: 0, seen: Box::new([0; WORDS]) }
    }
}

impl Replay {
    /// Would it be new? To be asked before a datagram is opened.
    pub fn is_new(&self, number: u64) -> bool {
        number >= self.next || (self.next - number <= REPLAY_WINDOW && self.word(number) & bit(number) == 0)
    }

    /// Takes the number of a datagram that was opened.
    pub fn mark(&mut self, number: u64) {
        if number >= self.next {
            let fresh = number - self.next + 1;
            if fresh >= REPLAY_WINDOW {
                self.seen.fill(0);
            } else {
                (self.next..=number).for_each(|skipped| *self.word_mut(skipped) &= !bit(skipped));
            }
            self.next = number + 1;
        }
        if self.next - number <= REPLAY_WINDOW {
            *self.word_mut(number) |= bit(number);
        }
    }

    fn word(&self, number: u64) -> u64 {
        self.seen[(number / 64) as usize % WORDS]
    }

    fn word_mut(&mut self, number: u64) -> &mut u64 {
        &mut self.seen[(number / 64) as usize % WORDS]
    }
}

const fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_number_counts_once(steps in proptest::collection::vec((0_u64..3, 0_u64..20_000), 1..200)) {
            let (mut window, mut seen, mut top, mut base) = (Replay::default(), HashSet::new(), 0, 0_u64);
            for (jump, offset) in steps {
                base += u64::from(jump == 2) * offset;
                let number = (base + 10_000).saturating_sub(offset);
                let too_old = number + REPLAY_WINDOW < top;
                prop_assert_eq!(window.is_new(number), !too_old && !seen.contains(&number));
                if window.is_new(number) {
                    window.mark(number);
                    seen.insert(number);
                    top = top.max(number + 1);
                }
            }
        }
    }
}
