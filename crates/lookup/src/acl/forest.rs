//! The forest of one address family, as it is walked.

use super::block::{Block, Class, LANES, NONE};
use super::region::{DESTINATION, Key, SOURCE, ZERO};

/// Packets walked side by side, so that one's cache misses hide behind the others' work.
pub(super) const SIDE_BY_SIDE: usize = 16;
/// Bits of [`Node::next`] that name a node.
const NODE_BITS: u32 = 29;
/// Nodes of a forest.
pub(super) const NODES_MAX: usize = 1 << NODE_BITS;

/// Parts a node splits its region into, at most.
pub(super) const WAYS: usize = 4;

/// A step: to the node as many behind `next` as there are `cuts` below the key's value in the node's dimension.
///
/// A leaf compares a value that is always 0, so it steps to itself, and its first cut is free to name its first block.
#[derive(Clone, Copy, Default)]
pub(super) struct Node {
    cuts: [u32; WAYS - 1],
    /// The dimension in the upper three bits.
    next: u32,
}

impl Node {
    /// `cuts`: the last values of all parts but the last one, ascending.
    pub(super) fn split(dimension: usize, cuts: &[u32], next: usize) -> Self {
        let cuts = std::array::from_fn(|at| cuts.get(at).copied().unwrap_or(u32::MAX));
        Self { cuts, next: (dimension as u32) << NODE_BITS | next as u32 }
    }

    pub(super) fn leaf(block: usize, own: usize) -> Self {
        Self { cuts: [block as u32; WAYS - 1], next: (ZERO as u32) << NODE_BITS | own as u32 }
    }

    #[inline(always)]
    fn block(self) -> u32 {
        self.cuts[0]
    }

    #[inline(always)]
    fn dimension(self) -> usize {
        (self.next >> NODE_BITS) as usize
    }

    #[inline(always)]
    fn step(self, key: &Key) -> u32 {
        let value = key[self.dimension()];
        let below: u32 = self.cuts.into_iter().map(|cut| u32::from(value > cut)).sum();
        (self.next & (NODES_MAX as u32 - 1)) + below
    }
}

/// Which value of a key chooses the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rooted {
    /// The class of the source.
    Source,
    /// The class of the destination.
    Destination,
    /// None: there is one tree.
    Nowhere,
}

impl Rooted {
    /// The dimension whose value, under the mask, is the index of the root.
    fn index(self) -> (usize, u32) {
        match self {
            Self::Source => (SOURCE, u32::MAX),
            Self::Destination => (DESTINATION, u32::MAX),
            Self::Nowhere => (ZERO, 0),
        }
    }
}

/// Some of the rules, and their trees.
pub(super) struct Group {
    pub(super) rooted: Rooted,
    /// The node each tree starts at.
    pub(super) roots: Vec<u32>,
    /// The most important of its rules.
    pub(super) first_rule: u32,
}

/// The groups of one family.
pub(super) struct Forest<C> {
    /// The most important first.
    pub(super) groups: Vec<Group>,
    pub(super) nodes: Vec<Node>,
    pub(super) blocks: Vec<Block<C>>,
}

impl<C: Class> Forest<C> {
    /// The first rule that matches each of the first `count` keys, [`NONE`] for those that none matches.
    pub(super) fn first(&self, keys: &[Key; SIDE_BY_SIDE], count: usize) -> [u32; SIDE_BY_SIDE] {
        let mut first = [NONE; SIDE_BY_SIDE];
        for group in &self.groups {
            // Who has a rule more important than all of the group's stays behind.
            let (mut walkers, mut lanes) = ([[0; 8]; SIDE_BY_SIDE], [0; SIDE_BY_SIDE]);
            let mut walking = 0;
            for (lane, (key, &first)) in keys.iter().zip(&first).enumerate().take(count) {
                walkers[walking % SIDE_BY_SIDE] = *key;
                lanes[walking % SIDE_BY_SIDE] = lane;
                walking += usize::from(first > group.first_rule);
            }
            let walkers = &walkers[..walking.min(SIDE_BY_SIDE)];
            for (&lane, found) in lanes.iter().zip(self.walk(group, walkers)).take(walkers.len()) {
                let first = &mut first[lane % SIDE_BY_SIDE];
                *first = found.min(*first);
            }
        }
        first
    }

    /// The first rules of a group that match the keys.
    #[inline(always)]
    fn walk(&self, group: &Group, keys: &[Key]) -> [u32; SIDE_BY_SIDE] {
        let (dimension, mask) = group.rooted.index();
        let mut at = [0; SIDE_BY_SIDE];
        for (at, key) in at.iter_mut().zip(keys) {
            *at = group.roots[(key[dimension] & mask) as usize];
        }
        let mut walking = true;
        while walking {
            walking = false;
            for (at, key) in at.iter_mut().zip(keys) {
                let node = self.nodes[*at as usize];
                *at = node.step(key);
                walking |= node.dimension() != ZERO;
            }
        }
        let mut misses = [[0; LANES]; SIDE_BY_SIDE];
        for ((at, misses), key) in at.iter_mut().zip(&mut misses).zip(keys) {
            *at = self.nodes[*at as usize].block();
            *misses = self.blocks[*at as usize].misses(key);
        }
        let mut found = [NONE; SIDE_BY_SIDE];
        for (((found, &at), misses), key) in found.iter_mut().zip(&at).zip(&misses).zip(keys) {
            *found = self.leaf(at as usize, misses, key);
        }
        found
    }

    /// The first rule of the leaf that matches; `misses` are those of its first block.
    #[inline(always)]
    fn leaf(&self, mut block: usize, misses: &[u16; LANES], key: &Key) -> u32 {
        let mut rules = &self.blocks[block];
        let mut found = rules.first(misses);
        while rules.has_more() && found == NONE {
            block += 1;
            rules = &self.blocks[block];
            found = rules.first(&rules.misses(key));
        }
        found
    }

    pub(super) fn bytes(&self) -> usize {
        let roots: usize = self.groups.iter().map(|group| size_of_val(&group.roots[..])).sum();
        roots + size_of_val(&self.nodes[..]) + size_of_val(&self.blocks[..])
    }
}
