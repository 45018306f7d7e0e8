//! Longest-prefix match for IPv4 and IPv6, changed while in use.
//!
//! ```text
//! address   ┌─ 16 bits ─┐
//! short     […│best│…]  │
//!           ┌──── 24 bits ────┐┌ 6 ┐┌ 6 ┐ …
//! direct    […│best│…│below│…]   │    └───────────────────────────┐
//!                      └─ junction [best│node]                    │
//!                                        └─ node [children│matched│runs] ── node [children│matched│runs]
//! values    [ … value …                                         value …                       value … ]
//! ```
//!
//! The first 24 bits are looked up directly, as in DIR-24-8 (Gupta, Lin and McKeown, "Routing lookups in hardware at memory
//! access speeds", INFOCOM 1998; what DPDK's `rte_lpm` is): a lookup waits for memory once. The 64 MiB for it are address
//! space; the kernel gives memory in pages of 4 KiB where longer prefixes than 16 bits are, so a small table is small.
//! Prefixes longer than 24 bits are in nodes of six bits, whose children and values are found by counting bits in 64-bit
//! words, as in the tree bitmap (Eatherton, Varghese and Dittia, 2004) and in poptrie (Asai and Ohara, SIGCOMM 2015): 32
//! bytes where DIR-24-8 has 1 KiB, and as deep as IPv6 goes. Inside a node, values are pushed down to its 64 ends and equal
//! neighbours share one.
//!
//! What DIR-24-8 and poptrie do and this does not is push a match down *through* the levels. A lookup reads the best of each
//! level, which for the first two need not wait for each other, and takes the deepest. So a new or lost prefix rewrites
//! places of one level alone, whatever lies below: at most 2^15 next to each other, 128 in the large array, or one node.
//! The default route has a place of its own. Places hold a value's number, so values are read from an array that is as
//! small as they are few.
//!
//! Beside it all prefixes are kept in ordered maps, one for each level, from which a node is painted anew.
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
mod entry;
mod prefix;
pub mod sample;
mod update;
mod values;

use std::collections::BTreeMap;
use std::hash::Hash;

use blocks::Blocks;
use entry::{Direct, Entry, Junction, Store, boxed};
pub use prefix::{Address, Prefix, PrefixError};
use values::{Id, Values};

/// Most prefixes of a table.
pub const PREFIXES_MAX: usize = 1 << 22;
/// Most nodes of a table, used or not, of 32 bytes. Tables as routers have them stay far below; IPv6 prefixes chosen to
/// share no path can reach it before [`PREFIXES_MAX`].
pub const NODES_MAX: usize = 1 << 24;

/// Bits the small array decides.
const SHORT_BITS: u8 = 16;
/// Bits the large array decides: those above the nodes.
const DIRECT_BITS: u8 = 24;
/// Bits a node decides.
const STRIDE: u8 = 6;
/// The first level of nodes; the arrays are levels as well.
const NODES: usize = 2;
/// Addresses of a batch looked up at once.
const LANES: usize = 32;

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

/// Six bits of the trie. Bit `i` of the words stands for the addresses whose next six bits are `i`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))] // never on two cache lines
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

/// What a walk has seen in nodes: the leaf to read at its end.
#[derive(Debug, Clone, Copy, Default)]
struct Match {
    /// Where the values of the node begin; 0 for no match.
    leaf: u32,
    /// The runs up to the place; the leaf is that of the last of them.
    runs: u64,
}

/// An address on its way through the nodes.
#[derive(Debug, Clone, Copy)]
struct Walk<Bits> {
    /// What matched above.
    above: Entry,
    found: Match,
    /// The node to look at; 0, which is empty, when it is done.
    node: u32,
    /// The bits that nodes decide, first at the top.
    rest: Bits,
    /// Its place in the batch.
    lane: usize,
}

impl Node {
    /// One step of a walk: the child to go on with, or 0.
    #[inline(always)]
    fn step(&self, at: usize, found: &mut Match) -> u32 {
        let bit = 1 << at;
        if self.matched & bit != 0 {
            *found = Match { leaf: self.leaf, runs: self.runs & (bit | (bit - 1)) };
        }
        if self.children & bit == 0 { 0 } else { self.child + rank(self.children, at) }
    }
}

/// A table of prefixes with a value each, for [`Ipv4Addr`](std::net::Ipv4Addr) or [`Ipv6Addr`](std::net::Ipv6Addr).
///
/// Values are copied, compared and hashed; they should be small and few, such as the index of a next hop. A clone is a few
/// copies of plain memory and the maps: made once for each core, which then applies the same changes to its own.
#[derive(Debug, Clone)]
pub struct Lpm<A: Address, V> {
    /// The longest match of up to 16 bits.
    short: Box<[Entry; 1 << SHORT_BITS]>,
    /// The longest match of 17 to 24 bits, or where longer prefixes are.
    direct: Direct,
    junctions: Store<Junction>,
    nodes: Blocks<Node>,
    leaves: Blocks<Id>,
    values: Values<V>,
    /// By the level they end in, without the default route.
    prefixes: Vec<BTreeMap<Prefix<A>, Id>>,
    len: usize,
    limit: usize,
}

impl<A: Address, V: Copy + Eq + Hash> Default for Lpm<A, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Address, V: Copy + Eq + Hash> Lpm<A, V> {
    /// An empty table for at most [`PREFIXES_MAX`] prefixes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(PREFIXES_MAX)
    }

    /// An empty table for fewer prefixes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            short: boxed(Entry::NONE),
            direct: Direct::new(),
            junctions: Store::new(Junction::default()),
            nodes: Blocks::new(Node::default()),
            leaves: Blocks::new(Id::DEFAULT),
            values: Values::new(),
            prefixes: vec![BTreeMap::new(); Self::level(A::WIDTH) + 1],
            len: 0,
            limit: limit.min(PREFIXES_MAX),
        }
    }

    /// The value of the longest prefix an address is in.
    #[inline]
    #[must_use]
    pub fn lookup(&self, address: A) -> Option<V> {
        let (short, entry) = self.direct(address);
        if !entry.is_below() {
            return self.values.get(entry.or(short).value());
        }
        let mut walk = self.walk(short, entry, address, 0);
        while walk.node != 0 {
            self.step(&mut walk);
        }
        self.values.get(self.end(&walk))
    }

    /// [`lookup`](Self::lookup) of many addresses, which do not wait for each other's memory. Writes as many answers as
    /// there are both addresses and places.
    pub fn lookup_batch(&self, addresses: &[A], answers: &mut [Option<V>]) {
        for (addresses, answers) in addresses.chunks(LANES).zip(answers.chunks_mut(LANES)) {
            self.lookup_each(&addresses[..addresses.len().min(answers.len())], |lane, answer| {
                answers[lane] = answer;
            });
        }
    }

    /// [`lookup_batch`](Self::lookup_batch) that tells what it has found, address by address.
    #[inline]
    pub fn lookup_each(&self, addresses: &[A], mut answer: impl FnMut(usize, Option<V>)) {
        for (number, addresses) in addresses.chunks(LANES).enumerate() {
            let (mut entries, mut any) = ([Entry::NONE; LANES], Entry::NONE);
            for (entry, &address) in entries.iter_mut().zip(addresses) {
                let (short, direct) = self.direct(address);
                *entry = direct.or(short);
                any.0 |= entry.0;
            }
            if any.is_below() {
                self.walk_batch(addresses, &mut entries);
            }
            for (lane, entry) in entries[..addresses.len()].iter().enumerate() {
                answer(number * LANES + lane, self.values.get(entry.value()));
            }
        }
    }

    /// Walks the nodes for those addresses of a batch whose entries lead there, step by step side by side, and puts what
    /// matches in their place.
    fn walk_batch(&self, addresses: &[A], entries: &mut [Entry; LANES]) {
        let nowhere =
            Walk { above: Entry::NONE, found: Match::default(), node: 0, rest: addresses[0].bits(), lane: 0 };
        let (mut walks, mut count) = ([nowhere; LANES], 0);
        for (lane, (&address, &entry)) in addresses.iter().zip(&*entries).enumerate() {
            if entry.is_below() {
                walks[count] = self.walk(self.direct(address).0, entry, address, lane);
                count += 1;
            }
        }
        let walks = &mut walks[..count];
        // Those that are done step on node 0 in place, so that no branch depends on which they are.
        while walks.iter().fold(0, |any, walk| any | walk.node) != 0 {
            for walk in &mut *walks {
                self.step(walk);
            }
        }
        for walk in walks {
            entries[walk.lane] = Entry::matched(self.end(walk), 0);
        }
    }

    /// What both arrays say.
    #[inline(always)]
    fn direct(&self, address: A) -> (Entry, Entry) {
        let bits = address.bits();
        (self.short[A::top(bits, SHORT_BITS)], self.direct.get(A::top(bits, DIRECT_BITS)))
    }

    #[inline(always)]
    fn walk(&self, short: Entry, entry: Entry, address: A, lane: usize) -> Walk<A::Bits> {
        let junction = self.junctions.items()[entry.junction()];
        let (above, rest) = (junction.best.or(short), A::skip(address.bits(), DIRECT_BITS));
        Walk { above, found: Match::default(), node: junction.node, rest, lane }
    }

    #[inline(always)]
    fn step(&self, walk: &mut Walk<A::Bits>) {
        walk.node = self.nodes.items()[walk.node as usize].step(A::top(walk.rest, STRIDE), &mut walk.found);
        walk.rest = A::skip(walk.rest, STRIDE);
    }

    #[inline(always)]
    fn end(&self, walk: &Walk<A::Bits>) -> Id {
        match walk.found {
            Match { leaf: 0, .. } => walk.above.value(),
            Match { leaf, runs } => self.leaves.items()[(leaf + runs.count_ones() - 1) as usize],
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
        if prefix.len() == 0 {
            return self.values.get(Id::DEFAULT);
        }
        self.values.get(*self.prefixes[Self::level(prefix.len())].get(&prefix)?)
    }

    /// All prefixes in order of address, those that contain others first.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix<A>, V)> {
        let default = self.values.get(Id::DEFAULT).map(|value| (Prefix::ALL, value));
        let mut levels: Vec<_> = self.prefixes.iter().map(|level| level.iter().peekable()).collect();
        let others = std::iter::from_fn(move || {
            let first = levels.iter_mut().filter_map(|level| Some((*level.peek()?.0, level)));
            let (prefix, &id) = first.min_by_key(|first| first.0)?.1.next()?;
            Some((*prefix, self.values.get(id)?))
        });
        default.into_iter().chain(others)
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

    /// Bytes that lookups read from: what should be in cache. The ordered maps come on top.
    #[must_use]
    pub fn lookup_bytes(&self) -> usize {
        size_of_val(&*self.short)
            + self.direct.bytes()
            + size_of_val(self.junctions.items())
            + size_of_val(self.nodes.items())
            + size_of_val(self.leaves.items())
            + self.values.len() * size_of::<Option<V>>()
    }

    /// The level a prefix ends in: an array, or a level of nodes.
    fn level(len: u8) -> usize {
        match len.checked_sub(DIRECT_BITS + 1) {
            Some(behind) => NODES + usize::from(behind / STRIDE),
            None => usize::from(len > SHORT_BITS),
        }
    }

    /// Bits decided above a level of nodes.
    fn depth(level: usize) -> u8 {
        DIRECT_BITS + (level - NODES) as u8 * STRIDE
    }
}
