//! Changes of a table: each writes the array or one node, and makes or drops the nodes of one path.

use super::{Address, Full, Lpm, NODES_MAX, Node, Prefix, STRIDE, rank};

/// Places of a node.
const PLACES: usize = 1 << STRIDE;

impl<A: Address, V: Copy + Eq + Default> Lpm<A, V> {
    /// Adds a prefix or replaces its value; the value it had.
    ///
    /// # Errors
    /// The table is full.
    pub fn insert(&mut self, prefix: Prefix<A>, value: V) -> Result<Option<V>, Full> {
        let before = self.get(prefix);
        if before == Some(value) {
            return Ok(before);
        }
        if before.is_none() && self.len >= self.limit {
            return Err(Full::Prefixes { limit: self.limit });
        }
        match Self::level(prefix.len()) {
            _ if prefix.len() == 0 => self.default = Some(value),
            None => self.insert_short(prefix, value),
            Some(level) => {
                // A path makes at most one block a level, for which the memory grows by at most one of the largest.
                if before.is_none() && self.nodes.items().len() + 64 * (level + 1) > NODES_MAX {
                    return Err(Full::Nodes { limit: NODES_MAX });
                }
                self.long[level].insert(prefix, value);
                let node = self.descend(prefix, level);
                self.paint(node, prefix, level);
            }
        }
        self.len += usize::from(before.is_none());
        Ok(before)
    }

    /// Takes a prefix out; the value it had.
    pub fn remove(&mut self, prefix: Prefix<A>) -> Option<V> {
        let before = self.get(prefix)?;
        match Self::level(prefix.len()) {
            _ if prefix.len() == 0 => self.default = None,
            None => self.remove_short(prefix),
            Some(level) => {
                self.long[level].remove(&prefix);
                let node = self.descend(prefix, level);
                self.paint(node, prefix, level);
                self.prune(prefix, level);
            }
        }
        self.len -= 1;
        Some(before)
    }

    fn insert_short(&mut self, prefix: Prefix<A>, value: V) {
        if let Some(&leaf) = self.short.get(&prefix) {
            *self.leaves.get_mut(leaf) = value;
            return;
        }
        let leaf = self.leaves.alloc(1);
        *self.leaves.get_mut(leaf) = value;
        self.short.insert(prefix, leaf);
        for at in slots(prefix) {
            if self.direct_len[at] <= prefix.len() {
                self.direct_len[at] = prefix.len();
                self.direct[at].best = leaf;
            }
        }
    }

    fn remove_short(&mut self, prefix: Prefix<A>) {
        let Some(leaf) = self.short.remove(&prefix) else { return };
        let (len, best) = (1..prefix.len())
            .rev()
            .find_map(|len| {
                let parent = Prefix::containing(prefix.address(), len).ok()?;
                Some((len, *self.short.get(&parent)?))
            })
            .unwrap_or_default();
        for at in slots(prefix) {
            if self.direct[at].best == leaf {
                self.direct_len[at] = len;
                self.direct[at].best = best;
            }
        }
        self.leaves.release(leaf, 1);
    }

    /// The node of a level on a prefix's path; made with those above it where they are missing.
    fn descend(&mut self, prefix: Prefix<A>, level: usize) -> u32 {
        let slot = slots(prefix).start;
        if self.direct[slot].node == 0 {
            self.direct[slot].node = self.nodes.insert(0, 0, 0, Node::default());
        }
        let mut at = self.direct[slot].node;
        for above in 0..level {
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
        let mut places: [Option<V>; PLACES] = [None; PLACES];
        // In order, so that the longer comes after the shorter it lies in.
        for (prefix, &value) in self.long[level].range(Prefix::starting_in(first, last)) {
            let start = place(*prefix, depth);
            places[start..start + (PLACES >> (prefix.len() - depth))].fill(Some(value));
        }

        let mut node = self.nodes.items()[at as usize];
        let held = node.runs.count_ones();
        (node.matched, node.runs) = (0, 0);
        let mut values = [V::default(); PLACES];
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

    /// Drops the nodes of a path that have neither matches nor children, from `level` up.
    fn prune(&mut self, prefix: Prefix<A>, level: usize) {
        for level in (0..=level).rev() {
            let at = self.descend(prefix, level);
            let node = self.nodes.items()[at as usize];
            if node.children != 0 || node.matched != 0 {
                return;
            }
            if level == 0 {
                self.nodes.release(at, 1);
                self.direct[slots(prefix).start].node = 0;
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

/// The places of the array a prefix covers, or the one it lies in.
fn slots<A: Address>(prefix: Prefix<A>) -> std::ops::Range<usize> {
    let start = A::top(prefix.address().bits(), A::DIRECT_BITS);
    start..start + (1 << A::DIRECT_BITS.saturating_sub(prefix.len()))
}

/// The place of a prefix's first address in a node of this depth.
fn place<A: Address>(prefix: Prefix<A>, depth: u8) -> usize {
    A::top(A::skip(prefix.address().bits(), depth), STRIDE)
}
