//! Longest-prefix match for IPv4 and IPv6, changed while in use.
//!
//! ```text
//! address   ┌─ 18 bits ─┐┌ 6 ┐┌ 6 ┐ …
//!                │         │    └─────────────────────────────┐
//! direct    […│best,node│…]└──┐                               │
//!                      └─ node [children│matched│runs] ── node [children│matched│runs]
//!                                            │                      │
//! leaves    [ … value …                  value value …          value … ]
//! ```
//!
//! The first bits index an array (*direct pointing*, Asai and Ohara, "Poptrie", SIGCOMM 2015). Below it are nodes of six
//! bits, whose children and values are found by counting bits in 64-bit words, as in the tree bitmap (Eatherton, Varghese
//! and Dittia, 2004) and in poptrie. Inside a node, values are pushed down to its 64 ends and equal neighbours share
//! one, as poptrie does it; but they are never pushed into a node's children. So the walk remembers the last match it
//! saw and reads one value at its end, and a new or lost prefix rewrites exactly one node: what a change costs does not
//! depend on how many longer prefixes it covers. Only prefixes as short as the array have many places, each of 8 bytes
//! next to each other, and the default route has its own.
//!
//! Beside it all prefixes are kept in ordered maps, one for each level of nodes, from which a node is painted anew.
//!
//! Weighed against poptrie and DIR-24-8 (Gupta, Lin and McKeown, 1998; what DPDK's `rte_lpm` is), both built once and
//! never changed. `cargo bench -p lookup --bench lpm`, on a busy 2-core virtual machine with a large last-level cache:
//! medians in ns per IPv4 lookup among 10^6 routes, addresses inside random routes / of any bits / of a hot 256:
//!
//! | | routed | any | hot |
//! |---|---|---|---|
//! | this, one by one | 27 | 22 | 5.6 |
//! | this, batches of 32 | 22 | 19 | 6.8 |
//! | poptrie | 26 | 23 | 5.0 |
//! | DIR-24-8 | 8.4 | 8.3 | 0.9 |
//!
//! DIR-24-8 is three times as fast where its 64 MiB for each core stay in cache, but has no IPv6 and writes up to 2^24
//! places for one short route. Poptrie pushes values through all levels, so that a short route rewrites all below it,
//! for no gain in lookups. Bits are counted in software unless the build's target has `popcnt`.
//!
//! ```
//! use std::net::Ipv4Addr;
//! use lookup::lpm::{Lpm, Prefix};
//!
//! let mut routes = Lpm::new();
//! routes.insert(Prefix::new(Ipv4Addr::new(0, 0, 0, 0), 0)?, 1u32)?;
//! routes.insert(Prefix::new(Ipv4Addr::new(10, 0, 0, 0), 8)?, 2)?;
//! routes.insert(Prefix::new(Ipv4Addr::new(10, 1, 1, 1), 32)?, 3)?;
//! assert_eq!(routes.lookup(Ipv4Addr::new(10, 1, 1, 1)), Some(3));
//! assert_eq!(routes.lookup(Ipv4Addr::new(10, 1, 1, 2)), Some(2));
//! routes.remove(Prefix::new(Ipv4Addr::new(10, 0, 0, 0), 8)?);
//! assert_eq!(routes.lookup(Ipv4Addr::new(10, 1, 1, 2)), Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod prefix;
pub mod sample;
mod update;

use std::collections::BTreeMap;

use blocks::Blocks;
pub use prefix::{Address, Prefix, PrefixError};

/// Most prefixes of a table.
pub const PREFIXES_MAX: usize = 1 << 22;
/// Most nodes of a table, used or not, of 32 bytes. Tables as routers have them stay far below; IPv6 prefixes chosen to
/// share no path can reach it before [`PREFIXES_MAX`].
pub const NODES_MAX: usize = 1 << 24;

/// Bits a node decides.
const STRIDE: u8 = 6;
/// Addresses of a batch walked at once.
const LANES: usize = 16;

/// Why a prefix was not taken. The table is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many prefixes as the table may hold.
    #[error("the table holds {limit} prefixes, as many as it may")]
    Prefixes {
        /// The limit.
        limit: usize,
    },
    /// The prefixes there share too few of their bits.
    #[error("the table's nodes reached {limit}, as many as it may have")]
    Nodes {
        /// The limit: [`NODES_MAX`].
        limit: usize,
    },
}

/// One place of the first array.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Leaf of the longest match in the array; 0 for none but the default route.
    best: u32,
    /// Node below; 0 for none.
    node: u32,
}

/// Six bits of the trie. Bit `i` of the words stands for the addresses whose next six bits are `i`.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// Where a child is.
    children: u64,
    /// Where a prefix of this node matches.
    matched: u64,
    /// Where, among the matched, a value starts that the place before does not have.
    runs: u64,
    /// The first child; the others follow.
    child: u32,
    /// The first value; the others follow.
    leaf: u32,
}

/// Bits of `word` below bit `at`.
#[inline(always)]
fn rank(word: u64, at: usize) -> u32 {
    (word & ((1 << at) - 1)).count_ones()
}

/// What a walk has seen: the leaf to read at its end.
#[derive(Clone, Copy)]
struct Match {
    leaf: u32,
    /// The runs up to the place; the leaf is that of the last of them.
    runs: u64,
}

impl Match {
    /// Counted once, at the end of the walk. Without runs, `leaf` is the place itself.
    #[inline(always)]
    fn place(self) -> u32 {
        self.leaf + self.runs.count_ones().saturating_sub(1)
    }
}

impl Node {
    /// One step of a walk: the child to go on with, or 0.
    #[inline(always)]
    fn step(&self, at: usize, best: &mut Match) -> u32 {
        let bit = 1 << at;
        if self.matched & bit != 0 {
            *best = Match { leaf: self.leaf, runs: self.runs & (bit | (bit - 1)) };
        }
        if self.children & bit == 0 { 0 } else { self.child + rank(self.children, at) }
    }
}

/// A table of prefixes with a value each, for [`Ipv4Addr`](std::net::Ipv4Addr) or [`Ipv6Addr`](std::net::Ipv6Addr).
///
/// Values are copied and compared; they should be small, such as the index of a next hop. A clone is a few copies of
/// plain memory and the ordered maps: made once for each core, which then applies the same changes to its own.
#[derive(Debug, Clone)]
pub struct Lpm<A: Address, V> {
    direct: Vec<Slot>,
    /// The length of the prefix that is a slot's best.
    direct_len: Vec<u8>,
    nodes: Blocks<Node>,
    leaves: Blocks<V>,
    default: Option<V>,
    /// Prefixes that end in the array, without the default route, and their leaves.
    short: BTreeMap<Prefix<A>, u32>,
    /// Prefixes that end in nodes, by the nodes' level.
    long: Vec<BTreeMap<Prefix<A>, V>>,
    len: usize,
    limit: usize,
}

impl<A: Address, V: Copy + Eq + Default> Default for Lpm<A, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Address, V: Copy + Eq + Default> Lpm<A, V> {
    /// An empty table for at most [`PREFIXES_MAX`] prefixes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(PREFIXES_MAX)
    }

    /// An empty table for fewer prefixes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        let slots = 1 << A::DIRECT_BITS;
        let levels = (A::WIDTH - A::DIRECT_BITS).div_ceil(STRIDE);
        Self {
            direct: vec![Slot::default(); slots],
            direct_len: vec![0; slots],
            nodes: Blocks::new(Node::default()),
            leaves: Blocks::new(V::default()),
            default: None,
            short: BTreeMap::new(),
            long: (0..levels).map(|_| BTreeMap::new()).collect(),
            len: 0,
            limit: limit.min(PREFIXES_MAX),
        }
    }

    /// The value of the longest prefix an address is in.
    #[inline]
    #[must_use]
    pub fn lookup(&self, address: A) -> Option<V> {
        let bits = address.bits();
        let slot = self.direct[A::top(bits, A::DIRECT_BITS)];
        let mut rest = A::skip(bits, A::DIRECT_BITS);
        let (mut best, mut node) = (Match { leaf: slot.best, runs: 0 }, slot.node);
        while node != 0 {
            node = self.nodes.items()[node as usize].step(A::top(rest, STRIDE), &mut best);
            rest = A::skip(rest, STRIDE);
        }
        self.value(best)
    }

    /// [`lookup`](Self::lookup) of many addresses, which do not wait for each other's memory. Writes as many answers as
    /// there are both addresses and places.
    pub fn lookup_batch(&self, addresses: &[A], answers: &mut [Option<V>]) {
        for (addresses, answers) in addresses.chunks(LANES).zip(answers.chunks_mut(LANES)) {
            let mut best = [Match { leaf: 0, runs: 0 }; LANES];
            let mut node = [0; LANES];
            let mut rest = [A::skip(addresses[0].bits(), 0); LANES];
            for (lane, address) in addresses.iter().enumerate() {
                let bits = address.bits();
                let slot = self.direct[A::top(bits, A::DIRECT_BITS)];
                (best[lane].leaf, node[lane]) = (slot.best, slot.node);
                rest[lane] = A::skip(bits, A::DIRECT_BITS);
            }
            // Node 0 is empty: lanes that are done step on it in place, so that nothing depends on which they are.
            while node.iter().fold(0, |any, node| any | node) != 0 {
                for lane in 0..LANES {
                    node[lane] = self.nodes.items()[node[lane] as usize]
                        .step(A::top(rest[lane], STRIDE), &mut best[lane]);
                    rest[lane] = A::skip(rest[lane], STRIDE);
                }
            }
            for (answer, best) in answers.iter_mut().zip(best) {
                *answer = self.value(best);
            }
        }
    }

    #[inline(always)]
    fn value(&self, best: Match) -> Option<V> {
        match best.place() {
            0 => self.default,
            place => Some(self.leaves.items()[place as usize]),
        }
    }

    /// The prefix an address is looked up as, and its value; for people, not for packets.
    #[must_use]
    pub fn matching(&self, address: A) -> Option<(Prefix<A>, V)> {
        (0..=A::WIDTH).rev().find_map(|len| {
            let prefix = Prefix::containing(address, len).ok()?;
            Some((prefix, self.get(prefix)?))
        })
    }

    /// The value of exactly this prefix.
    #[must_use]
    pub fn get(&self, prefix: Prefix<A>) -> Option<V> {
        match Self::level(prefix.len()) {
            _ if prefix.len() == 0 => self.default,
            None => self.short.get(&prefix).map(|&leaf| self.leaves.items()[leaf as usize]),
            Some(level) => self.long[level].get(&prefix).copied(),
        }
    }

    /// All prefixes in order of address, those that contain others first.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix<A>, V)> {
        let default = self.default.iter().map(|&value| (Prefix::ALL, value));
        let short = self.short.iter().map(|(&prefix, &leaf)| (prefix, self.leaves.items()[leaf as usize]));
        let mut rest: Vec<_> = self.long.iter().map(|level| level.iter().peekable()).collect();
        let mut first = default.chain(short).peekable();
        std::iter::from_fn(move || {
            let next =
                rest.iter_mut().filter_map(|level| Some((*level.peek()?.0, level))).min_by_key(|next| next.0);
            match (first.peek(), next) {
                (Some(head), Some((prefix, level))) if prefix < head.0 => level.next(),
                (None, Some((_, level))) => level.next(),
                _ => return first.next(),
            }
            .map(|(&prefix, &value)| (prefix, value))
        })
    }

    /// Prefixes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that lookups walk: what should be in cache. The ordered maps come on top.
    #[must_use]
    pub fn lookup_bytes(&self) -> usize {
        self.direct.len() * size_of::<Slot>()
            + self.nodes.capacity() * size_of::<Node>()
            + self.leaves.capacity() * size_of::<V>()
    }

    /// The level of nodes a prefix ends in; `None` is the array.
    fn level(len: u8) -> Option<usize> {
        Some(usize::from((len.checked_sub(A::DIRECT_BITS + 1)?) / STRIDE))
    }

    /// Bits decided above the nodes of a level.
    fn depth(level: usize) -> u8 {
        A::DIRECT_BITS + level as u8 * STRIDE
    }
}
