//! Maglev hashing: which back end a flow goes to, evenly, and mostly the same one when the set of back ends changes.
//!
//! Eisenbud et al., "Maglev: a fast and reliable software network load balancer" (NSDI'16), section 3.4. Every back end
//! has a permutation of the table's entries, drawn from its name; they take turns, and each takes the first entry of its
//! permutation that is still free. A lookup is one multiplication and one load.
//!
//! Two tables made under one key from the same names and weights, given in any order, send every hash to the same name: so do
//! several load balancers which know nothing of each other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hasher};

use packet::flow::FlowHasher;

/// Entries of the paper's small table: even to 1 % for up to 655 back ends of equal weight.
pub const SIZE_SMALL: usize = 65_537;
/// Entries of the paper's large table: even to 1 % for up to 6,553 back ends.
pub const SIZE_LARGE: usize = 655_373;
/// Most entries of a table.
pub const SIZE_MAX: usize = 1 << 24;
/// Most back ends of a table; they are numbered in 16 bits.
pub const BACKENDS_MAX: usize = 1 << 16;

const FREE: u32 = u32::MAX;

/// One of those among whom flows are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend<'a> {
    /// What its place in the table depends on: an address, a hash, a word. Unique within a table.
    pub name: &'a [u8],
    /// Its share, relative to the others'. With 0 it gets nothing, as one that is being drained.
    pub weight: u32,
}

/// Why a table cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MaglevError {
    /// Only with a prime do all skips visit all entries.
    #[error("a Maglev table of {size} entries: want a prime up to {SIZE_MAX}")]
    BadSize {
        /// Entries asked for.
        size: usize,
    },
    /// Not a single back end with a weight.
    #[error("no back end has a weight above 0, of {count}")]
    NoBackends {
        /// Back ends given.
        count: usize,
    },
    /// More than the table or its numbers have room for.
    #[error("{count} back ends: a table of this size takes up to {most}")]
    TooManyBackends {
        /// Back ends given.
        count: usize,
        /// Most there may be.
        most: usize,
    },
    /// Two back ends would have one permutation.
    #[error("back ends {first} and {second} have the same name")]
    SameName {
        /// Number of the one.
        first: usize,
        /// Number of the other.
        second: usize,
    },
}

/// A lookup table. It does not change: make another when the back ends do, and put it in this one's place.
///
/// ```
/// use lookup::maglev::{Backend, Maglev, SIZE_SMALL};
/// use packet::flow::FlowHasher;
///
/// let names = [b"10.0.0.1:80", b"10.0.0.2:80", b"10.0.0.3:80"];
/// let backends = names.map(|name| Backend { name, weight: 1 });
/// let all = Maglev::new(SIZE_SMALL, &backends, FlowHasher::new(0x5eed))?;
/// let two = Maglev::new(SIZE_SMALL, &backends[..2], FlowHasher::new(0x5eed))?;
///
/// let hash = 0x0123_4567_89ab_cdef; // of the flow's key
/// let chosen = all.lookup(hash);
/// assert!(chosen == two.lookup(hash) || chosen == 2, "who was not on the third keeps its back end, nearly always");
/// # Ok::<(), lookup::maglev::MaglevError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maglev {
    entries: Box<[u16]>,
}

/// A back end on its way through its permutation: `(offset + j × skip) mod M`.
#[derive(Clone, Copy)]
struct Walk {
    /// Its number among those given.
    backend: u16,
    weight: u32,
    at: usize,
    skip: usize,
}

impl Walk {
    fn new(backend: usize, given: &Backend<'_>, size: usize, hasher: FlowHasher) -> Self {
        let hash = |which: u64| {
            let mut state = hasher.build_hasher();
            state.write_u64(which);
            state.write(given.name);
            state.finish()
        };
        Self {
            backend: backend as u16,
            weight: given.weight,
            at: (hash(0) % size as u64) as usize,
            skip: (hash(1) % (size as u64 - 1)) as usize + 1,
        }
    }

    fn step(&mut self, size: usize) {
        self.at += self.skip;
        if self.at >= size {
            self.at -= size;
        }
    }

    /// The round in which its turn `turn` comes, where the heaviest has one in each: the first by whose end it is owed
    /// more than `turn` of them.
    fn round(&self, turn: u64, heaviest: u32) -> u64 {
        ((turn + 1) * u64::from(heaviest)).div_ceil(u64::from(self.weight)) - 1
    }
}

impl Maglev {
    /// A table of `size` entries for `backends`; `hasher` keys the permutations.
    ///
    /// # Errors
    /// See [`MaglevError`].
    pub fn new(size: usize, backends: &[Backend<'_>], hasher: FlowHasher) -> Result<Self, MaglevError> {
        if size > SIZE_MAX || !is_prime(size) {
            return Err(MaglevError::BadSize { size });
        }
        let (count, most) = (backends.len(), BACKENDS_MAX.min(size));
        if count > most {
            return Err(MaglevError::TooManyBackends { count, most });
        }
        let mut walks = Vec::with_capacity(count);
        for number in by_name(backends)? {
            if backends[number].weight > 0 {
                walks.push(Walk::new(number, &backends[number], size, hasher));
            }
        }
        let Some(heaviest) = walks.iter().map(|walk| walk.weight).max() else {
            return Err(MaglevError::NoBackends { count });
        };
        Ok(Self { entries: populate(size, &mut walks, heaviest) })
    }

    /// The number, among those given, of the back end for a flow's hash. All 64 bits should be good; the upper count most.
    #[inline]
    #[must_use]
    pub fn lookup(&self, hash: u64) -> usize {
        let at = (u128::from(hash) * self.entries.len() as u128) >> 64;
        usize::from(self.entries[at as usize])
    }

    /// The back end of every entry.
    #[must_use]
    pub fn entries(&self) -> &[u16] {
        &self.entries
    }
}

/// The order of turns must not depend on the order in which the back ends are given.
fn by_name(backends: &[Backend<'_>]) -> Result<Vec<usize>, MaglevError> {
    let mut order: Vec<usize> = (0..backends.len()).collect();
    order.sort_by_key(|&number| backends[number].name);
    match order.windows(2).find(|pair| backends[pair[0]].name == backends[pair[1]].name) {
        Some(pair) => Err(MaglevError::SameName { first: pair[0], second: pair[1] }),
        None => Ok(order),
    }
}

/// The paper's Pseudocode 1. A heap says whose turn it is, so that one back end of great weight among many of little does not
/// make for empty rounds.
fn populate(size: usize, walks: &mut [Walk], heaviest: u32) -> Box<[u16]> {
    let mut owners = vec![FREE; size];
    let mut turns: BinaryHeap<_> =
        (0..walks.len()).map(|walk| Reverse((walks[walk].round(0, heaviest), walk, 0))).collect();
    for _ in 0..size {
        let Some(mut next) = turns.peek_mut() else { break };
        let Reverse((round, walk, turn)) = &mut *next;
        let mover = &mut walks[*walk];
        while owners[mover.at] != FREE {
            mover.step(size);
        }
        owners[mover.at] = u32::from(mover.backend);
        *turn += 1;
        *round = mover.round(*turn, heaviest);
    }
    owners.into_iter().map(|owner| owner as u16).collect()
}

fn is_prime(number: usize) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}
