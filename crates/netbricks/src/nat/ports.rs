//! The ports of one external address and one protocol: which are taken.

use std::ops::RangeInclusive;

/// A set of ports of a range, one bit each.
#[derive(Clone, Debug)]
pub(super) struct PortSpace {
    range: RangeInclusive<u16>,
    taken: Box<[u64]>,
    free: usize,
}

const WORD: usize = u64::BITS as usize;

impl PortSpace {
    pub(super) fn new(range: RangeInclusive<u16>) -> Self {
        let free = range.clone().count();
        Self { range, taken: vec![0; (usize::from(u16::MAX) + 1) / WORD].into(), free }
    }

    /// Takes a port if it is of the range and free.
    pub(super) fn take(&mut self, port: u16) -> bool {
        let is_free = self.range.contains(&port) && self.mark(port);
        self.free -= usize::from(is_free);
        is_free
    }

    /// Takes a port of any number, for a static forward; `false` where it is taken.
    pub(super) fn reserve(&mut self, port: u16) -> bool {
        self.take(port) || (!self.range.contains(&port) && self.mark(port))
    }

    /// Takes all ports for good but these.
    pub(super) fn restrict(&mut self, ports: &[RangeInclusive<u16>]) {
        for port in self.range.clone() {
            if !ports.iter().any(|kept| kept.contains(&port)) {
                self.take(port);
            }
        }
    }

    fn mark(&mut self, port: u16) -> bool {
        let (word, bit) = (usize::from(port) / WORD, 1 << (usize::from(port) % WORD));
        let is_free = self.taken[word] & bit == 0;
        self.taken[word] |= bit;
        is_free
    }

    /// Takes the first free port from a place on that is drawn at random (RFC 6056 §3.3.1); `None` where all are taken.
    /// Looks at no more than 1,025 words.
    pub(super) fn take_any(&mut self, random: u64) -> Option<u16> {
        if self.free == 0 {
            return None;
        }
        let (low, high) = (usize::from(*self.range.start()), usize::from(*self.range.end()));
        let from = low + (random % (high - low + 1) as u64) as usize;
        let port = self.first_free(from, high).or_else(|| self.first_free(low, from))?;
        self.take(port).then_some(port)
    }

    fn first_free(&self, low: usize, high: usize) -> Option<u16> {
        (low / WORD..=high / WORD).find_map(|word| {
            let before = if word == low / WORD { (1 << (low % WORD)) - 1 } else { 0 };
            let free = !(self.taken[word] | before);
            let port = word * WORD + free.trailing_zeros() as usize;
            (free != 0 && port <= high).then_some(port as u16)
        })
    }

    pub(super) fn give_back(&mut self, port: u16) {
        let (word, bit) = (usize::from(port) / WORD, 1 << (usize::from(port) % WORD));
        self.free += usize::from(self.taken[word] & bit != 0 && self.range.contains(&port));
        self.taken[word] &= !bit;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Action {
        Take(u16),
        Reserve(u16),
        Any(u64),
        GiveBack(usize),
    }

    fn actions() -> impl Strategy<Value = Vec<Action>> {
        let action = prop_oneof![
            1 => (0..300u16).prop_map(Action::Take),
            1 => (0..300u16).prop_map(Action::Reserve),
            8 => any::<u64>().prop_map(Action::Any),
            4 => any::<usize>().prop_map(Action::GiveBack),
        ];
        proptest::collection::vec(action, 0..400)
    }

    proptest! {
        #[test]
        fn it_is_a_set(low in 1..200u16, length in 0..130u16, actions in actions()) {
            let range = low..=low + length;
            let (mut space, mut twin) = (PortSpace::new(range.clone()), BTreeSet::new());
            for action in actions {
                match action {
                    Action::Take(port) => {
                        prop_assert_eq!(space.take(port), range.contains(&port) && twin.insert(port));
                    }
                    Action::Reserve(port) => prop_assert_eq!(space.reserve(port), twin.insert(port)),
                    Action::Any(random) => {
                        let from = low + (random % (u64::from(length) + 1)) as u16;
                        let mut order = (from..=low + length).chain(low..from);
                        let expected = order.find(|port| !twin.contains(port));
                        prop_assert_eq!(space.take_any(random), expected);
                        twin.extend(expected);
                    }
                    Action::GiveBack(at) => {
                        if let Some(port) = twin.iter().nth(at % twin.len().max(1)).copied() {
                            twin.remove(&port);
                            space.give_back(port);
                        }
                    }
                }
                prop_assert_eq!(space.free, range.clone().filter(|port| !twin.contains(port)).count());
            }
        }
    }

    #[test]
    fn only_some_ports_are_given() {
        let mut space = PortSpace::new(10..=20);
        space.restrict(&[5..=11, 14..=14]);
        assert_eq!(space.free, 3);
        let mut given: Vec<u16> = std::iter::from_fn(|| space.take_any(7)).collect();
        given.sort_unstable();
        assert_eq!(given, [10, 11, 14]);
    }

    #[test]
    fn the_last_port_is_found_and_then_none() {
        let mut space = PortSpace::new(1..=u16::MAX);
        for port in 1..=u16::MAX {
            assert!(port == 65_535 || space.take(port));
        }
        assert_eq!((space.take_any(5), space.take_any(5)), (Some(65_535), None));
        assert!(!space.take(0), "port 0 is nobody's");
    }
}
