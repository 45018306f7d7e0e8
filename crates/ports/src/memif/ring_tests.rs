//! A ring against its twin, two queues of numbers; and positions that cannot be.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::layout::Layout;
use super::super::memory::Memory;
use super::super::wire::Direction;
use super::*;

const LAYOUT: Layout = Layout { to_server: 1, to_client: 1, log2_entries: 3, buffer: 64 };
const SIZE: u16 = 1 << LAYOUT.log2_entries;

fn words(memory: &Memory) -> Words {
    memory.ring(0, LAYOUT.ring(Direction::ToServer, 0), LAYOUT.log2_entries).unwrap()
}

fn ring() -> (Lender, Borrower, Words) {
    let (memory, _) = Memory::make(LAYOUT).unwrap();
    (Lender::new(words(&memory)), Borrower::new(words(&memory)), words(&memory))
}

proptest! {
    /// Any numbers of entries are lent, given back and seen to, until positions have wrapped several times.
    #[test]
    fn entries_go_there_and_back_in_order(
        steps in proptest::collection::vec((0..3u8, 1..=SIZE), 1..400), turns in 1..200u64,
    ) {
        let (mut lender, mut borrower, _) = ring();
        let (mut lent, mut given_back) = (VecDeque::new(), VecDeque::new());
        let (mut next, mut free) = (0u64, SIZE);
        for (what, count) in steps.iter().cycle().take(steps.len() * turns as usize).copied() {
            match what {
                0 => {
                    let count = count.min(free);
                    for ahead in 0..count {
                        lender.put(ahead, [next, !next]);
                        lent.push_back(next);
                        next += 1;
                    }
                    lender.lend(count);
                    free -= count;
                }
                1 => {
                    prop_assert_eq!(borrower.look(), Ok(lent.len() as u16));
                    let count = count.min(lent.len() as u16);
                    for ahead in 0..count {
                        let value = lent.pop_front().unwrap();
                        prop_assert_eq!(borrower.get(ahead), [value, !value]);
                        borrower.put(ahead, value + 1);
                        given_back.push_back(value + 1);
                    }
                    borrower.give_back(count);
                }
                _ => {
                    prop_assert_eq!(lender.returned(), Ok(given_back.len() as u16));
                    let count = count.min(given_back.len() as u16);
                    for ahead in 0..count {
                        prop_assert_eq!(Some(lender.get(ahead)), given_back.pop_front());
                    }
                    lender.settle(count);
                    free += count;
                }
            }
        }
    }

    /// A lender that only wants to know what is free is told neither more nor, when it asks for all, less.
    #[test]
    fn what_is_free_is_never_overstated(steps in proptest::collection::vec((any::<bool>(), 0..=SIZE), 1..300)) {
        let (mut lender, mut borrower, _) = ring();
        let mut out = 0;
        for (lends, count) in steps {
            if lends {
                let free = lender.free(count).unwrap();
                prop_assert!(free <= SIZE - out);
                prop_assert!(free >= count.min(SIZE - out));
                let count = count.min(free);
                lender.lend(count);
                out += count;
            } else {
                let count = count.min(borrower.lent(count).unwrap());
                borrower.give_back(count);
                out -= count;
            }
        }
    }

    /// Whatever the other side's position is, what is taken for granted stays within bounds.
    #[test]
    fn positions_are_checked(lent in 0..=SIZE, forged: u16) {
        let (mut lender, mut borrower, words) = ring();
        lender.lend(lent);
        words.tail().store(forged, Ordering::Relaxed);
        match lender.returned() {
            Ok(returned) => prop_assert!(returned == forged && returned <= lent),
            Err(BadPosition) => prop_assert!(forged > lent),
        }
        words.head().store(forged, Ordering::Relaxed);
        match borrower.look() {
            Ok(waiting) => prop_assert!(waiting == forged && waiting <= SIZE),
            Err(BadPosition) => prop_assert!(forged > SIZE),
        }
        prop_assert!(borrower.lent(1).is_ok_and(|waiting| waiting <= SIZE) || forged > SIZE);
    }
}

#[test]
fn the_flag_is_the_readers_word() {
    let (lender, borrower, words) = ring();
    assert!(lender.flag().must_wake(), "until the reader says otherwise");
    borrower.flag().awake();
    assert!(!lender.flag().must_wake());
    borrower.flag().asleep();
    assert!(lender.flag().must_wake());
    // Other bits mean nothing.
    words.flags().store(!MASK_INTERRUPT, Ordering::Relaxed);
    assert!(lender.flag().must_wake());
}
