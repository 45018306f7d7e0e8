//! Which flow a fragment belongs to: only the first one carries ports.
//!
//! A small table of fixed size remembers first fragments. A later one that arrives before its first, or after its
//! place was taken, is dropped; the sender's datagram is then lost as if the fragment had been.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use super::conntrack::Found;
use super::header::Key;
use super::tables::NONE;

/// Datagrams that may be underway in fragments at once.
pub(crate) const FRAGMENTED_MAX: usize = SETS * WAYS;
const SETS: usize = 512;
const WAYS: usize = 4;
/// How long fragments may be apart, as Linux' `net.ipv4.ipfrag_time`.
const TIMEOUT_NS: u64 = 30_000_000_000;

/// A datagram: addresses and protocol (ports are zero), and identification.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    id: u32,
    flow: u32,
    generation: u32,
    direction: u8,
    at_ns: u64,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Fragments {
    entries: Vec<Option<Entry>>,
    hasher: FixedState,
}

impl Fragments {
    pub(crate) fn new(seed: u64) -> Self {
        Self { entries: vec![None; FRAGMENTED_MAX], hasher: FixedState::with_seed(seed) }
    }

    fn set(&mut self, key: &Key, id: u32) -> &mut [Option<Entry>] {
        let mut hasher = self.hasher.build_hasher();
        for word in key.words() {
            hasher.write_u64(word);
        }
        hasher.write_u32(id);
        let start = (hasher.finish() as usize % SETS) * WAYS;
        &mut self.entries[start..start + WAYS]
    }

    fn datagram(key: &Key, v4: bool) -> Key {
        // IPv6 identifies datagrams by addresses and identification alone (RFC 8200 §4.5).
        let protocol = if v4 { key.protocol() } else { 0 };
        Key::new(key.source, key.destination, protocol, (0, 0))
    }

    /// Remembers a first fragment; the oldest of its set makes room.
    pub(crate) fn remember(&mut self, now: u64, key: &Key, v4: bool, id: u32, found: Found, generation: u32) {
        let key = Self::datagram(key, v4);
        let entry =
            Entry { key, id, flow: found.flow, generation, direction: found.direction as u8, at_ns: now };
        let set = self.set(&key, id);
        let same = set.iter().position(|slot| slot.is_some_and(|old| old.key == key && old.id == id));
        let place = same.or_else(|| (0..WAYS).min_by_key(|way| set[*way].map_or(0, |old| old.at_ns + 1)));
        set[place.unwrap_or(0)] = Some(entry);
    }

    /// The flow (and its generation) that a later fragment's datagram belongs to.
    pub(crate) fn find(&mut self, now: u64, key: &Key, v4: bool, id: u32) -> Option<(Found, u32)> {
        let key = Self::datagram(key, v4);
        let entry = self.set(&key, id).iter().flatten().find(|entry| entry.key == key && entry.id == id)?;
        let fresh = now.saturating_sub(entry.at_ns) <= TIMEOUT_NS && entry.flow != NONE;
        fresh.then(|| (Found { flow: entry.flow, direction: usize::from(entry.direction) }, entry.generation))
    }
}
