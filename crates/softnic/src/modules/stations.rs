//! MAC addresses and their gates, a word each.
//!
//! Addresses are put in by whoever runs the network and only looked for by packets, so a weak hash will do: who knows it
//! can look for addresses that take long, but not put them there. That, and a word for an entry instead of a cache line, is
//! why this is no [`lookup::flow_table`].

use crate::engine::Gate;

/// The bits of an address in a word.
pub(super) const ADDRESS: u64 = (1 << 48) - 1;
/// Marks a word that holds an address.
const TAKEN: u64 = 1 << 63;
/// Where the gate lies.
const GATE: u32 = 48;
/// Words of a table for each address that it may hold: clusters stay short at a load of one half.
const WORDS_PER_ADDRESS: usize = 2;

/// Open addressing with linear probing, and no marks where something was.
#[derive(Debug)]
pub(super) struct Stations {
    /// A power of two of them; 0 is empty.
    words: Box<[u64]>,
    capacity: usize,
    len: usize,
    seed: u64,
}

impl Stations {
    /// Room for `capacity` addresses.
    pub(super) fn new(capacity: usize, seed: u64) -> Self {
        let count = (capacity.max(1) * WORDS_PER_ADDRESS).next_power_of_two();
        Self { words: vec![0; count].into_boxed_slice(), capacity, len: 0, seed }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where the search for an address begins: both halves of a product (as in wyhash).
    #[inline]
    fn home(&self, address: u64) -> usize {
        let product = u128::from(address ^ self.seed) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        ((product >> 64) as usize ^ product as usize) & (self.words.len() - 1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.words.len() - 1)
    }

    /// Where an address is, or the empty word where it would be. Ends because half of the words are empty.
    #[inline]
    fn find(&self, address: u64) -> (usize, u64) {
        let mut at = self.home(address);
        loop {
            let word = self.words[at];
            if word == 0 || word & ADDRESS == address {
                return (at, word);
            }
            at = self.next(at);
        }
    }

    /// The gate of an address.
    #[inline]
    pub(super) fn get(&self, address: u64) -> Option<Gate> {
        let (_, word) = self.find(address);
        (word != 0).then_some(((word & !TAKEN) >> GATE) as Gate)
    }

    /// The addresses and their gates, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Gate)> {
        let taken = self.words.iter().filter(|word| **word != 0);
        taken.map(|word| (word & ADDRESS, ((word & !TAKEN) >> GATE) as Gate))
    }

    /// Puts an address in that is not there; a gate has 15 bits. The error is the limit.
    pub(super) fn insert(&mut self, address: u64, gate: Gate) -> Result<(), usize> {
        if self.len >= self.capacity {
            return Err(self.capacity);
        }
        let (at, _) = self.find(address);
        self.words[at] = TAKEN | u64::from(gate) << GATE | address;
        self.len += 1;
        Ok(())
    }

    /// Takes an address out and closes the gap (Knuth, volume 3, section 6.4, algorithm R); false where it is not there.
    pub(super) fn remove(&mut self, address: u64) -> bool {
        let (mut hole, word) = self.find(address);
        if word == 0 {
            return false;
        }
        let mask = self.words.len() - 1;
        let mut at = self.next(hole);
        while self.words[at] != 0 {
            let home = self.home(self.words[at] & ADDRESS);
            // It may move back as far as its home.
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.words[hole] = self.words[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.words[hole] = 0;
        self.len -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::engine::rig::Random;

    #[test]
    fn it_holds_what_a_map_holds() {
        let mut random = Random::seeded();
        for _ in 0..50 {
            let capacity = random.below(40);
            let (mut table, mut twin) = (Stations::new(capacity, random.next()), HashMap::new());
            for _ in 0..500 {
                let address = random.below(60) as u64;
                match (random.below(2) == 0, twin.contains_key(&address)) {
                    (true, false) => {
                        let gate = random.below(8193) as Gate;
                        let room = twin.len() < capacity;
                        assert_eq!(table.insert(address, gate), if room { Ok(()) } else { Err(capacity) });
                        if room {
                            twin.insert(address, gate);
                        }
                    }
                    (true, true) => {}
                    (false, _) => {
                        assert_eq!(table.remove(address), twin.remove(&address).is_some(), "{random:?}");
                    }
                }
                assert_eq!(table.len(), twin.len());
            }
            for address in 0..60 {
                assert_eq!(table.get(address), twin.get(&address).copied(), "{address} {random:?}");
            }
        }
    }

    #[test]
    fn address_0_and_gate_0_are_something() {
        let mut table = Stations::new(1, 0);
        assert_eq!(table.get(0), None);
        table.insert(0, 0).unwrap();
        assert_eq!((table.get(0), table.get(1), table.insert(1, 1)), (Some(0), None, Err(1)));
        assert!(table.remove(0) && !table.remove(0) && table.get(0).is_none());
    }
}
