//! Changes of a table: each writes places of one level, and makes or drops the nodes of one path.

use std::hash::Hash;
use std::ops::Range;

use super::entry::Entry;
use super::values::Id;
use super::{Address, DIRECT_BITS, Full, Lpm, NODES, NODES_MAX, Node, Prefix, SHORT_BITS, STRIDE, rank};

/// Places of a node.
const PLACES: usize = 1 << STRIDE;

impl<A: Address, V: Copy + Eq + Hash> Lpm<A, V> {
    /// Adds a prefix or replaces its value; the value it had.
    ///
    /// # Errors
    /// The table is full.
    pub fn insert(&mut self, prefix: Prefix<A>, value: V) -> Result<Option<V>, Full> {
        let before = self.get(prefix);
        if before == Some(value) {
            return Ok(before);
        }
        let level = Self::level(prefix.len());
        if before.is_none() {
            self.room(level)?;
            self.len += 1;
        }
        if prefix.len() == 0 {
            self.values.set_default(Some(value));
            return Ok(before);
        }
        let id = self.values.take(value);
        if let Some(old) = self.prefixes[level].insert(prefix, id) {
            self.values.give_back(old);
        }
        let matched = || Entry::matched(id, prefix.len());
        match level {
            0 => self.short[places(prefix, SHORT_BITS)].iter_mut().for_each(|best| best.show(matched())),
            1 => self.each_place(prefix, |best| best.show(matched())),
            _ => {
                let node = self.descend(prefix, level);
                self.paint(node, prefix, level);
            }
        }
        Ok(before)
    }

    /// Whether a prefix more that ends in this level has room for certain.
    fn room(&self, level: usize) -> Result<(), Full> {
        if self.len >= self.limit {
            return Err(Full::Prefixes { limit: self.limit });
        }
        // A path makes at most one block a level, for which the memory grows by at most one of the largest.
        if level >= NODES && self.nodes.items().len() + PLACES * (level + 1 - NODES) > NODES_MAX {
            return Err(Full::Nodes { limit: NODES_MAX });
        }
        Ok(())
    }

    /// Takes a prefix out; the value it had.
    pub fn remove(&mut self, prefix: Prefix<A>) -> Option<V> {
        let before = self.get(prefix)?;
        self.len -= 1;
        if prefix.len() == 0 {
            self.values.set_default(None);
            return Some(before);
        }
        let level = Self::level(prefix.len());
        if let Some(id) = self.prefixes[level].remove(&prefix) {
            self.values.give_back(id);
        }
        match level {
            0 => {
                let behind = self.behind(prefix, 0);
                let places = &mut self.short[places(prefix, SHORT_BITS)];
                places.iter_mut().for_each(|best| best.hide(prefix.len(), behind));
            }
            1 => {
                let behind = self.behind(prefix, SHORT_BITS);
                self.each_place(prefix, |best| best.hide(prefix.len(), behind));
            }
            _ => {
                let node = self.descend(prefix, level);
                self.paint(node, prefix, level);
                self.prune(prefix, level);
            }
        }
        Some(before)
    }

    /// The longest prefix that contains this one and is longer than `depth`, the bits decided above its level.
    fn behind(&self, prefix: Prefix<A>, depth: u8) -> Entry {
        let level = &self.prefixes[Self::level(prefix.len())];
        let shorter = (depth + 1..prefix.len()).rev().find_map(|len| {
            let shorter = Prefix::containing(prefix.address(), len).ok()?;
            Some(Entry::matched(*level.get(&shorter)?, len))
        });
        shorter.unwrap_or_default()
    }

    /// Writes to the places of the large array that a prefix covers, wherever what they have matched is kept.
    fn each_place(&mut self, prefix: Prefix<A>, write: impl Fn(&mut Entry)) {
        for at in places(prefix, DIRECT_BITS) {
            let mut entry = self.direct.get(at);
            if entry.is_below() {
                write(&mut self.junctions.get_mut(entry.junction()).best);
            } else {
                write(&mut entry);
                self.direct.set(at, entry);
            }
        }
    }

    /// The first node on a prefix's path; made where it is missing.
    fn root(&mut self, prefix: Prefix<A>) -> u32 {
        let place = places(prefix, DIRECT_BITS).start;
        let mut entry = self.direct.get(place);
        if !entry.is_below() {
            let at = self.junctions.alloc();
            let junction = self.junctions.get_mut(at as usize);
            junction.best = std::mem::replace(&mut entry, Entry::below(at));
            junction.node = self.nodes.insert(0, 0, 0, Node::default());
            self.direct.set(place, entry);
        }
        self.junctions.items()[entry.junction()].node
    }

    /// The node of a level on a prefix's path; made with those above it where they are missing.
    fn descend(&mut self, prefix: Prefix<A>, level: usize) -> u32 {
        let mut at = self.root(prefix);
        for above in NODES..level {
            let place = place(prefix, Self::depth(above));
            let mut node = self.nodes.items()[at as usize];
            let index = rank(node.children, place);
            if node.children & (1 << place) == 0 {
                let children = node.children.count_ones();
                node.child = self.nodes.insert(node.child, children, index, Node::default());
                node.children |= 1 << place;
                *self.nodes.get_mut(at) = node;
            }
            at = node.child + index;
        }
        at
    }

    /// Writes anew what matches in the node that `prefix` ends in.
    fn paint(&mut self, at: u32, prefix: Prefix<A>, level: usize) {
        let depth = Self::depth(level);
        let (first, last) = (prefix.address().masked(depth), prefix.address().last(depth));
        let mut places: [Option<Id>; PLACES] = [None; PLACES];
        // In order, so that the longer comes after the shorter it lies in.
        for (prefix, &value) in self.prefixes[level].range(Prefix::starting_in(first, last)) {
            let start = place(*prefix, depth);
            places[start..start + (PLACES >> (prefix.len() - depth))].fill(Some(value));
        }

        let mut node = self.nodes.items()[at as usize];
        let held = node.runs.count_ones();
        (node.matched, node.runs) = (0, 0);
        let mut values = [Id::DEFAULT; PLACES];
        let mut runs = 0;
        for (place, &value) in places.iter().enumerate() {
            let Some(value) = value else { continue };
            node.matched |= 1 << place;
            if runs == 0 || values[runs - 1] != value {
                node.runs |= 1 << place;
                values[runs] = value;
                runs += 1;
            }
        }
        node.leaf = self.leaves.resize(node.leaf, held, runs as u32);
        self.leaves.write(node.leaf, &values[..runs]);
        *self.nodes.get_mut(at) = node;
    }

    /// Drops the nodes of a path that have neither matches nor children, from `level` up, and what led to them.
    fn prune(&mut self, prefix: Prefix<A>, level: usize) {
        for level in (NODES..=level).rev() {
            let at = self.descend(prefix, level);
            let node = self.nodes.items()[at as usize];
            if node.children != 0 || node.matched != 0 {
                return;
            }
            if level == NODES {
                self.nodes.release(at, 1);
                let place = places(prefix, DIRECT_BITS).start;
                let junction = self.direct.get(place).junction();
                self.direct.set(place, self.junctions.items()[junction].best);
                self.junctions.release(junction as u32);
                return;
            }
            let parent = self.descend(prefix, level - 1);
            let mut node = self.nodes.items()[parent as usize];
            let place = place(prefix, Self::depth(level - 1));
            node.child =
                self.nodes.remove(node.child, node.children.count_ones(), rank(node.children, place));
            node.children &= !(1 << place);
            *self.nodes.get_mut(parent) = node;
        }
    }
}

/// The places a prefix covers in an array indexed by the first `bits` bits, or the one it lies in.
fn places<A: Address>(prefix: Prefix<A>, bits: u8) -> Range<usize> {
    let start = A::top(prefix.address().bits(), bits);
    start..start + (1 << bits.saturating_sub(prefix.len()))
}

/// The place of a prefix's first address in a node of this depth.
fn place<A: Address>(prefix: Prefix<A>, depth: u8) -> usize {
    A::top(A::skip(prefix.address().bits(), depth), STRIDE)
}
