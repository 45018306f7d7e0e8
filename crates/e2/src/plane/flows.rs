//! The flows that an instance has seen: who they are, and until when they are remembered.

use lookup::flow_table::FlowTable;
use packet::flow::{FlowHasher, FlowKey};

use super::proto;
use crate::key::HashRange;

/// Old flows looked at in one call.
const SWEEP: usize = 64;

/// What is known of a flow.
struct Known {
    /// As its first packet had it.
    first: FlowKey,
    packets: u64,
}

/// Flows by the digest of their key.
pub(super) struct Flows {
    table: FlowTable<u64, Known>,
    /// Flows that found no room.
    pub(super) untracked: u64,
}

impl Flows {
    pub(super) fn new(capacity: usize, hasher: FlowHasher) -> Self {
        Self { table: FlowTable::with_hasher(capacity, hasher), untracked: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn knows(&self, digest: u64, now_ns: u64) -> bool {
        self.table.find(&digest, now_ns).is_some()
    }

    /// A packet of it was handed to the instance.
    pub(super) fn touch(&mut self, digest: u64, key: &FlowKey, now_ns: u64, idle_ns: u64) {
        let until = now_ns.saturating_add(idle_ns);
        let tag = self.table.tag(&digest);
        if let Some((_, mut entry)) = self.table.find_entry(tag, &digest, now_ns) {
            entry.value_mut().packets += 1;
            entry.set_deadline(until);
        } else if self.table.insert(digest, Known { first: *key, packets: 1 }, until, now_ns).is_err() {
            self.untracked += 1;
        }
    }

    /// Lets go of flows that have been silent for long.
    pub(super) fn sweep(&mut self, now_ns: u64) {
        self.table.expire(now_ns, SWEEP, |_, _| ());
    }

    /// Lets go of all of them.
    pub(super) fn sweep_all(&mut self, now_ns: u64) {
        while self.table.expire(now_ns, SWEEP, |_, _| ()) > 0 {}
    }

    pub(super) fn forget(&mut self, digest: u64, now_ns: u64) {
        if let Some(id) = self.table.find(&digest, now_ns) {
            self.table.remove(id);
        }
    }

    /// Those of a range.
    pub(super) fn list(&mut self, range: HashRange, now_ns: u64) -> Vec<proto::flows::Flow> {
        self.sweep_all(now_ns);
        let within = self.table.iter().filter(|(_, digest, _)| range.contains(HashRange::hash_of(**digest)));
        within
            .map(|(_, digest, known)| proto::flows::Flow {
                key: *digest,
                flow: known.first.to_string(),
                packets: known.packets,
            })
            .collect()
    }
}
