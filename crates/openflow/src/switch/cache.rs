//! The steps of packets seen before: an exact-match cache in front of the tables.
//!
//! What is done with a packet follows from its key as long as nothing that is looked at changes: tables, groups, meters,
//! ports, learned stations. Each such change makes a new generation, and steps of an older one are not taken. A packet
//! whose way depends on more than its key (headers that a pop uncovered, a meter's mark, a learned flow) is not kept.

use std::hash::{BuildHasher, Hasher};

use packet::flow::FlowHasher;

use super::key::Words;
use super::op::Op;

/// Ways kept at most. A power of two.
pub const CACHE_SLOTS: usize = 8192;
/// Steps of one way at most.
pub const CACHED_OPS_MAX: usize = 64;

/// What is done with packets of a key.
#[derive(Debug)]
pub(super) struct Way {
    generation: u64,
    key: Words,
    pub(super) ops: Box<[Op]>,
    /// The port by which a packet leaves as it came, where that and counting is all.
    pub(super) unchanged: Option<u32>,
}

/// See [`Way::unchanged`].
fn unchanged(ops: &[Op]) -> Option<u32> {
    let mut port = None;
    for op in ops {
        match *op {
            Op::Lookup { .. } | Op::Group(_) | Op::Bucket { .. } => {}
            Op::Output { port: to, queue: None } if port.is_none() => port = Some(to),
            _ => return None,
        }
    }
    port
}

/// The cache. Each key has one place, where the latest stays.
#[derive(Debug)]
pub(super) struct Cache {
    ways: Vec<Option<Box<Way>>>,
    hasher: FlowHasher,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

impl Cache {
    pub(super) fn new(hasher: FlowHasher) -> Self {
        Self { ways: Vec::new(), hasher, hits: 0, misses: 0 }
    }

    fn place(&self, key: &Words) -> usize {
        let mut state = self.hasher.build_hasher();
        // Unused words are 0 for most packets; the place of a word is told by its being fed.
        for (at, word) in key.iter().enumerate().filter(|(_, word)| **word != 0) {
            state.write_u64(word.rotate_left(at as u32));
        }
        state.finish() as usize & (CACHE_SLOTS - 1)
    }

    /// What is done with packets of that key.
    pub(super) fn find(&mut self, key: &Words, generation: u64) -> Option<&Way> {
        let place = self.place(key);
        let way = self.ways.get(place).and_then(Option::as_deref);
        let way = way.filter(|way| way.generation == generation && way.key == *key);
        if way.is_some() {
            self.hits += 1;
        } else {
            self.misses += 1;
        }
        way
    }

    /// Keeps the steps of packets of that key.
    pub(super) fn keep(&mut self, key: &Words, generation: u64, ops: &[Op]) {
        if ops.len() > CACHED_OPS_MAX {
            return;
        }
        if self.ways.is_empty() {
            self.ways.resize_with(CACHE_SLOTS, || None);
        }
        let place = self.place(key);
        self.ways[place] =
            Some(Box::new(Way { generation, key: *key, ops: ops.into(), unchanged: unchanged(ops) }));
    }
}
