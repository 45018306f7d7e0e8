//! [`L2Forward`].

use packet::wire::MacAddr;
use packet::{BATCH, Batch};
use thiserror::Error;

use super::gates::{DROP, send};
use super::stations::{ADDRESS, Stations};
use crate::engine::{Context, GATES_MAX, Gate, Module};

/// Most addresses.
pub const STATIONS_MAX: usize = 1 << 22;
/// Bytes of an address, the first of a frame.
const ADDRESS_BYTES: usize = 6;

/// Sends packets to gates by their destination MAC address.
///
/// *Input gates*: one. *Output gates*: those of the addresses and the default gate, up to 8191.
///
/// A packet whose address is not in the table, or that is too short to have one, goes to the default gate, which drops
/// until it is set. The table does not learn; addresses are put in and taken out.
///
/// ```
/// let mut module = softnic::modules::L2Forward::new(4096, 0x5eed);
/// module.add("02:00:00:00:00:01".parse()?, 1)?;
/// assert_eq!(module.lookup("02:00:00:00:00:01".parse()?), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct L2Forward {
    /// By the address as a number whose lowest byte is the first.
    stations: Stations,
    default_gate: Gate,
}

/// Why an address was not put in, or not taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum L2ForwardError {
    /// It is there.
    #[error("MAC address '{0}' already exist")]
    Exists(MacAddr),
    /// It is not there.
    #[error("MAC address '{0}' does not exist")]
    NotFound(MacAddr),
    /// As many as there may be.
    #[error("Not enough space: {limit} addresses are there")]
    Full {
        /// The limit.
        limit: usize,
    },
}

fn key(address: MacAddr) -> u64 {
    address.0.iter().rev().fold(0, |key, &byte| key << 8 | u64::from(byte))
}

impl L2Forward {
    /// A table for up to `capacity` addresses, [`STATIONS_MAX`] at most. The seed keys the hash.
    pub fn new(capacity: usize, seed: u64) -> Self {
        let capacity = capacity.min(STATIONS_MAX);
        Self { stations: Stations::new(capacity, seed), default_gate: DROP }
    }

    /// Puts an address in.
    ///
    /// # Errors
    /// It is there; there is no room.
    pub fn add(&mut self, address: MacAddr, gate: Gate) -> Result<(), L2ForwardError> {
        if self.lookup(address).is_some() {
            return Err(L2ForwardError::Exists(address));
        }
        self.stations.insert(key(address), gate.min(DROP)).map_err(|limit| L2ForwardError::Full { limit })
    }

    /// Takes an address out.
    ///
    /// # Errors
    /// It is not there.
    pub fn delete(&mut self, address: MacAddr) -> Result<(), L2ForwardError> {
        if self.stations.remove(key(address)) { Ok(()) } else { Err(L2ForwardError::NotFound(address)) }
    }

    /// The gate of an address.
    pub fn lookup(&self, address: MacAddr) -> Option<Gate> {
        self.stations.get(key(address))
    }

    /// Puts `count` addresses in, from `base` on one after the other, and deals `gates` gates out to them in turn.
    /// Those that are there keep their gates; where there is no room, it ends.
    pub fn populate(&mut self, base: MacAddr, count: u64, gates: Gate) {
        let base = key(base).swap_bytes() >> 16;
        for at in 0..count.min(self.stations.capacity() as u64) {
            let [_, _, address @ ..] = base.wrapping_add(at).to_be_bytes();
            let gate = (at % u64::from(gates.max(1))) as Gate;
            if let Err(L2ForwardError::Full { .. }) = self.add(MacAddr(address), gate) {
                return;
            }
        }
    }

    /// The addresses and their gates, in no order.
    pub fn stations(&self) -> impl Iterator<Item = (MacAddr, Gate)> {
        self.stations.iter().map(|(key, gate)| {
            let [address @ .., _, _] = key.to_le_bytes();
            (MacAddr(address), gate)
        })
    }

    /// Where packets go whose address is not in the table.
    pub fn default_gate(&self) -> Gate {
        self.default_gate
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.stations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.stations.len() == 0
    }

    /// Says where packets go whose address is not in the table.
    pub fn set_default_gate(&mut self, gate: Gate) {
        self.default_gate = gate;
    }
}

impl Module for L2Forward {
    fn class(&self) -> &'static str {
        "L2Forward"
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let (mut gates, count) = ([self.default_gate; BATCH], batch.len());
        for (gate, packet) in gates.iter_mut().zip(&*batch) {
            let data = packet.data();
            let found = if let Some(eight) = data.first_chunk() {
                self.stations.get(u64::from_le_bytes(*eight) & ADDRESS)
            } else if let Some(six) = data.first_chunk::<ADDRESS_BYTES>() {
                self.lookup(MacAddr(*six))
            } else {
                None
            };
            if let Some(found) = found {
                *gate = found;
            }
        }
        send(ctx, batch, &gates[..count]);
    }

    fn status(&self) -> String {
        format!("{} addresses", self.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::engine::rig::{Random, Rig, packet};

    fn mac(text: &str) -> MacAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_there_once() {
        let mut module = L2Forward::new(16, 1);
        module.add(mac("00:01:02:03:04:05"), 64).unwrap();
        module.add(mac("aa:bb:cc:dd:ee:ff"), 1).unwrap();
        let again = module.add(mac("00:01:02:03:04:05"), 0);
        assert_eq!(again, Err(L2ForwardError::Exists(mac("00:01:02:03:04:05"))));
        assert_eq!(module.lookup(mac("aa:bb:cc:dd:ee:ff")), Some(1));
        assert_eq!(module.lookup(mac("00:01:02:03:04:05")), Some(64));
        module.delete(mac("00:01:02:03:04:05")).unwrap();
        let gone = module.delete(mac("00:01:02:03:04:05"));
        assert_eq!(gone, Err(L2ForwardError::NotFound(mac("00:01:02:03:04:05"))));
    }

    #[test]
    fn packets_go_where_the_table_says() {
        let mut random = Random::seeded();
        let mut module = L2Forward::new(4096, random.next());
        let mut twin = HashMap::new();
        let address =
            |random: &mut Random| MacAddr([2, 0, 0, 0, random.below(3) as u8, random.below(200) as u8]);
        module.set_default_gate(3000);
        for _ in 0..300 {
            let (new, gate) = (address(&mut random), random.below(2000) as Gate);
            if module.add(new, gate).is_ok() {
                twin.insert(new, gate);
            }
        }
        let frames: Vec<Vec<u8>> =
            (0..500).map(|at| [&address(&mut random).0[..], &random.bytes(1 + at % 3)].concat()).collect();
        let out = Rig::on(&mut module).pass(0, frames.iter().map(|frame| packet(frame)));
        assert_eq!(out.len(), frames.len());
        for (gate, packet) in &out {
            let address = MacAddr(*packet.data().first_chunk().unwrap());
            assert_eq!(*gate, twin.get(&address).copied().unwrap_or(3000), "{random:?}");
        }
        assert_eq!(Rig::on(&mut module).gate(&[2, 0, 0, 0, 0]), Some(3000), "no address");
    }

    #[test]
    fn populating_counts_up_and_deals_out() {
        let mut module = L2Forward::new(300, 1);
        module.add(mac("02:00:00:00:01:00"), 9).unwrap();
        module.populate(mac("02:00:00:00:00:fe"), 5, 2);
        let gates = ["00:fe", "00:ff", "01:00", "01:01", "01:02", "01:03"]
            .map(|last| module.lookup(mac(&format!("02:00:00:00:{last}"))));
        assert_eq!(gates, [Some(0), Some(1), Some(9), Some(1), Some(0), None]);
        module.populate(mac("04:00:00:00:00:00"), u64::MAX, 1);
        assert_eq!(module.len(), 300);
        let full = module.add(mac("06:00:00:00:00:00"), 0);
        assert_eq!(full, Err(L2ForwardError::Full { limit: 300 }));
    }
}
