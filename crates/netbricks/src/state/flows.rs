//! A core's own state of each flow.

use std::hash::{BuildHasher, Hash};

use lookup::flow_table::{FlowTable, Full};
use packet::flow::{FlowHasher, FlowKey};

/// Flows looked at for expiry with every packet.
const EXPIRE_WORK: usize = 2;

/// A value for each flow, forgotten when the flow has been idle for long enough. Bounded: a new flow that finds no room is
/// refused, and counted.
///
/// ```
/// use netbricks::state::Flows;
/// use packet::flow::{FlowHasher, FlowKey};
/// # use packet::wire::IpProtocol;
/// # let key = FlowKey::new(IpProtocol::UDP, "10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()).unwrap();
/// let second = 1_000_000_000;
/// let mut packets: Flows<u64> = Flows::new(10_000, 30 * second, FlowHasher::new(0x5eed)); // a random key in earnest
/// *packets.touch(key, 0)? += 1;
/// *packets.touch(key, 29 * second)? += 1;
/// assert_eq!(packets.get(&key, 58 * second), Some(&2));
/// assert_eq!(packets.get(&key, 59 * second), None, "idle for 30 s");
/// # Ok::<(), lookup::flow_table::Full>(())
/// ```
#[derive(Debug)]
pub struct Flows<V, K = FlowKey, S = FlowHasher> {
    table: FlowTable<K, V, S>,
    idle_ns: u64,
    refused: u64,
}

impl<V, K: Hash + Eq, S: BuildHasher> Flows<V, K, S> {
    /// State of up to `capacity` flows, each kept until it has been idle for `idle_ns`. All memory is reserved here.
    #[must_use]
    pub fn new(capacity: usize, idle_ns: u64, hasher: S) -> Self {
        Self { table: FlowTable::with_hasher(capacity, hasher), idle_ns, refused: 0 }
    }

    /// The value of a flow that a packet was just seen of; a new one if it is new.
    ///
    /// # Errors
    /// There is no room for a new one.
    pub fn touch(&mut self, key: K, now_ns: u64) -> Result<&mut V, Full>
    where
        V: Default,
    {
        self.touch_or(key, now_ns, V::default)
    }

    /// As [`touch`](Self::touch), where a new value is not just the default.
    ///
    /// # Errors
    /// There is no room for a new one.
    pub fn touch_or(&mut self, key: K, now_ns: u64, new: impl FnOnce() -> V) -> Result<&mut V, Full> {
        let deadline_ns = now_ns.saturating_add(self.idle_ns);
        self.table.expire(now_ns, EXPIRE_WORK, |_, _| {});
        let id = match self.table.find(&key, now_ns) {
            Some(id) => {
                self.table.set_deadline(id, deadline_ns);
                id
            }
            None => match self.table.insert(key, new(), deadline_ns, now_ns) {
                Ok(id) => id,
                Err(full) => {
                    self.refused += 1;
                    return Err(full);
                }
            },
        };
        Ok(self.table.get_mut(id).expect("an entry that was just found or made"))
    }

    /// The value of a flow, without keeping it alive.
    #[must_use]
    pub fn get(&self, key: &K, now_ns: u64) -> Option<&V> {
        self.table.find(key, now_ns).and_then(|id| self.table.get(id))
    }

    /// Forgets a flow.
    pub fn remove(&mut self, key: &K, now_ns: u64) -> Option<V> {
        let id = self.table.find(key, now_ns)?;
        self.table.remove(id).map(|(_, value)| value)
    }

    /// Looks at up to `most` flows whose time may have come, and hands those over that were idle for too long.
    pub fn expire(&mut self, now_ns: u64, most: usize, gone: impl FnMut(K, V)) {
        self.table.expire(now_ns, most, gone);
    }

    /// A lower bound on when [`expire`](Self::expire) has work.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.table.next_deadline_ns()
    }

    /// How many flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// New flows that found no room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// All flows, in no order; those that are over but not yet expired among them.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.table.iter().map(|(_, key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_refuses_until_something_is_idle() {
        let mut flows: Flows<u32, u64> = Flows::new(2, 10, FlowHasher::new(1));
        *flows.touch(1, 0).unwrap() = 11;
        *flows.touch(2, 1).unwrap() = 22;
        assert!(flows.touch(3, 2).is_err());
        assert_eq!((flows.refused(), flows.len()), (1, 2));
        assert_eq!(*flows.touch(1, 9).unwrap(), 11, "kept alive");
        *flows.touch(3, 11).unwrap() = 33;
        assert_eq!((flows.get(&1, 11), flows.get(&2, 11), flows.get(&3, 11)), (Some(&11), None, Some(&33)));
        assert_eq!(flows.remove(&1, 11), Some(11));
        let mut gone = Vec::new();
        flows.expire(100, 10, |key, value| gone.push((key, value)));
        assert_eq!(gone, [(3, 33)]);
        assert!(flows.is_empty() && flows.iter().next().is_none());
    }
}
