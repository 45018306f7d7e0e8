//! Tuple space search (Srinivasan, Suri and Varghese, SIGCOMM 1999): rules with any mask over a key, by priority.
//!
//! Rules with the same mask form a *tuple*, in which the masked key is looked up exactly, in one hash table. Tuples are
//! visited by the highest priority in them, and the search ends where no tuple left can hold a better rule, as in the
//! classifier of Open vSwitch (Pfaff et al., "The Design and Implementation of Open vSwitch", NSDI 2015, section 5.2).
//! So rules of many masks cost little as long as the important ones share few.
//!
//! Of rules that match, the highest priority wins; of equal ones that which was inserted first. Replacing a rule's
//! value keeps its place. A priority is a number, or whatever is ordered: a pair, where equal numbers are to be told apart.
//!
//! Those who send packets choose the keys, so the hash is keyed ([`FlowHasher`]). They cannot add tuples: who writes rules
//! is held to [`TUPLES_MAX`], because that is what a lookup may cost.
//!
//! ```
//! use lookup::tuple_space::TupleSpace;
//! use packet::flow::FlowHasher;
//!
//! // A word for the addresses, one for the ports.
//! let mut rules = TupleSpace::<2, &str>::with_hasher(FlowHasher::new(0x5eed));
//! rules.insert([0x0a00_0000_0000_0000, 0], [0xff00_0000_0000_0000, 0], 1, "from 10/8")?;
//! rules.insert([0, 53], [0, 0xffff], 2, "DNS")?;
//! assert_eq!(rules.lookup(&[0x0a00_0001_0b00_0001, 53]).map(|rule| rule.value), Some("DNS"));
//! assert_eq!(rules.lookup(&[0x0a00_0001_0b00_0001, 80]).map(|rule| rule.value), Some("from 10/8"));
//! assert!(rules.lookup(&[0x0b00_0001_0b00_0001, 80]).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cmp::Reverse;
use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;
use packet::flow::FlowHasher;

/// Most rules.
pub const RULES_MAX: usize = 1 << 20;
/// Most tuples, that is, different masks: a lookup visits at most so many.
pub const TUPLES_MAX: usize = 512;

/// Why a rule was not taken. The rules are as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// As many rules as there may be.
    #[error("{limit} rules are there, as many as may be")]
    Rules {
        /// The limit.
        limit: usize,
    },
    /// As many different masks as there may be, and the rule has another.
    #[error("the rules have {limit} different masks, as many as may be")]
    Tuples {
        /// The limit.
        limit: usize,
    },
    /// The key asks for a bit that the mask ignores, so it would never match.
    #[error("word {word} of the key is {key:#018x}, with bits outside its mask {mask:#018x}")]
    OutsideMask {
        /// Which word.
        word: usize,
        /// The key's word.
        key: u64,
        /// The mask's word.
        mask: u64,
    },
}

/// A rule: matches where the key's bits under the mask are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<const WORDS: usize, V, P = u32> {
    /// The bits, 0 outside the mask.
    pub key: [u64; WORDS],
    /// The bits that count.
    pub mask: [u64; WORDS],
    /// The higher wins.
    pub priority: P,
    /// What it stands for.
    pub value: V,
    /// Age: of equal priorities the older wins.
    order: u64,
}

impl<const WORDS: usize, V, P: Copy + Ord> Rule<WORDS, V, P> {
    /// The greatest rank wins.
    fn rank(&self) -> (P, Reverse<u64>) {
        (self.priority, Reverse(self.order))
    }
}

/// The rules of one mask.
#[derive(Debug, Clone)]
struct Tuple<const WORDS: usize, V, P> {
    mask: [u64; WORDS],
    /// The highest priority in it.
    top: P,
    /// Best rule of each key, followed by those it hides.
    rules: HashTable<Chain<WORDS, V, P>>,
    /// Rules of each priority, for `top` when one leaves.
    priorities: std::collections::BTreeMap<P, usize>,
}

/// Rules of one mask and key.
#[derive(Debug, Clone)]
struct Chain<const WORDS: usize, V, P> {
    best: Rule<WORDS, V, P>,
    /// What only shows when `best` leaves, best first.
    hidden: Vec<Rule<WORDS, V, P>>,
}

/// A classifier over keys of `WORDS` 64-bit words, with values `V` and priorities `P`.
#[derive(Debug, Clone)]
pub struct TupleSpace<const WORDS: usize, V, S = FlowHasher, P = u32> {
    /// By falling `top`.
    tuples: Vec<Tuple<WORDS, V, P>>,
    hasher: S,
    len: usize,
    next_order: u64,
    rules_max: usize,
    tuples_max: usize,
}

fn masked<const WORDS: usize>(key: &[u64; WORDS], mask: &[u64; WORDS]) -> [u64; WORDS] {
    std::array::from_fn(|word| key[word] & mask[word])
}

/// Hashes only the words the mask has bits in: all keys of a tuple agree on which.
#[inline]
fn hash<const WORDS: usize>(hasher: &impl BuildHasher, key: &[u64; WORDS], mask: &[u64; WORDS]) -> u64 {
    let mut state = hasher.build_hasher();
    for (key, _) in key.iter().zip(mask).filter(|(_, mask)| **mask != 0) {
        state.write_u64(*key);
    }
    state.finish()
}

impl<const WORDS: usize, V: Copy, S: BuildHasher, P: Copy + Ord> TupleSpace<WORDS, V, S, P> {
    /// No rules yet; at most [`RULES_MAX`] of at most [`TUPLES_MAX`] masks.
    #[must_use]
    pub fn with_hasher(hasher: S) -> Self {
        Self::with_limits(RULES_MAX, TUPLES_MAX, hasher)
    }

    /// Tighter limits.
    #[must_use]
    pub fn with_limits(rules: usize, tuples: usize, hasher: S) -> Self {
        Self {
            tuples: Vec::new(),
            hasher,
            len: 0,
            next_order: 0,
            rules_max: rules.min(RULES_MAX),
            tuples_max: tuples.min(TUPLES_MAX),
        }
    }

    /// The rule a key is under.
    #[inline]
    #[must_use]
    pub fn lookup(&self, key: &[u64; WORDS]) -> Option<&Rule<WORDS, V, P>> {
        self.search(key, |_| {})
    }

    /// [`lookup`](Self::lookup), and the bits it depended on, added to `looked_at`: every key that agrees with this one
    /// on those bits is under the same rule, or like it under none. What Open vSwitch calls a megaflow's mask.
    #[must_use]
    pub fn lookup_and_mask(
        &self,
        key: &[u64; WORDS],
        looked_at: &mut [u64; WORDS],
    ) -> Option<&Rule<WORDS, V, P>> {
        self.search(key, |mask| {
            for (all, mask) in looked_at.iter_mut().zip(mask) {
                *all |= mask;
            }
        })
    }

    #[inline]
    fn search(&self, key: &[u64; WORDS], mut visit: impl FnMut(&[u64; WORDS])) -> Option<&Rule<WORDS, V, P>> {
        let mut best: Option<&Rule<WORDS, V, P>> = None;
        for tuple in &self.tuples {
            // One of equal priority may be older.
            if best.is_some_and(|best| best.priority > tuple.top) {
                break;
            }
            visit(&tuple.mask);
            let key = masked(key, &tuple.mask);
            let hash = hash(&self.hasher, &key, &tuple.mask);
            if let Some(chain) = tuple.rules.find(hash, |chain| chain.best.key == key)
                && best.is_none_or(|best| best.rank() < chain.best.rank())
            {
                best = Some(&chain.best);
            }
        }
        best
    }

    /// Adds a rule. One of the same key, mask and priority has its value replaced, and the old value is returned.
    ///
    /// # Errors
    /// A key with bits outside its mask; a limit.
    pub fn insert(
        &mut self,
        key: [u64; WORDS],
        mask: [u64; WORDS],
        priority: P,
        value: V,
    ) -> Result<Option<V>, RuleError> {
        if let Some(word) = (0..WORDS).find(|&word| key[word] & !mask[word] != 0) {
            return Err(RuleError::OutsideMask { word, key: key[word], mask: mask[word] });
        }
        if let Some(rule) = self.find_mut(&key, &mask, priority) {
            return Ok(Some(std::mem::replace(&mut rule.value, value)));
        }
        if self.len >= self.rules_max {
            return Err(RuleError::Rules { limit: self.rules_max });
        }
        let at = match self.tuples.iter().position(|tuple| tuple.mask == mask) {
            Some(at) => at,
            None if self.tuples.len() >= self.tuples_max => {
                return Err(RuleError::Tuples { limit: self.tuples_max });
            }
            None => {
                let (rules, priorities) = (HashTable::new(), std::collections::BTreeMap::new());
                self.tuples.push(Tuple { mask, top: priority, rules, priorities });
                self.tuples.len() - 1
            }
        };
        let rule = Rule { key, mask, priority, value, order: self.next_order };
        self.next_order += 1;
        self.len += 1;
        self.tuples[at].insert(rule, &self.hasher);
        self.sort();
        Ok(None)
    }

    /// Takes the rule of exactly this key, mask and priority out; its value.
    pub fn remove(&mut self, key: &[u64; WORDS], mask: &[u64; WORDS], priority: P) -> Option<V> {
        let at = self.tuples.iter().position(|tuple| tuple.mask == *mask)?;
        let value = self.tuples[at].remove(key, priority, &self.hasher)?;
        self.len -= 1;
        if self.tuples[at].priorities.is_empty() {
            self.tuples.remove(at);
        }
        self.sort();
        Some(value)
    }

    /// The best of the rules of exactly this key and mask.
    #[must_use]
    pub fn get(&self, key: &[u64; WORDS], mask: &[u64; WORDS]) -> Option<&Rule<WORDS, V, P>> {
        let hash = hash(&self.hasher, key, mask);
        let tuple = self.tuples.iter().find(|tuple| tuple.mask == *mask)?;
        tuple.rules.find(hash, |chain| chain.best.key == *key).map(|chain| &chain.best)
    }

    /// The rule of exactly this key, mask and priority.
    #[must_use]
    pub fn find(&self, key: &[u64; WORDS], mask: &[u64; WORDS], priority: P) -> Option<&Rule<WORDS, V, P>> {
        let hash = hash(&self.hasher, key, mask);
        let tuple = self.tuples.iter().find(|tuple| tuple.mask == *mask)?;
        let chain = tuple.rules.find(hash, |chain| chain.best.key == *key)?;
        std::iter::once(&chain.best).chain(&chain.hidden).find(|rule| rule.priority == priority)
    }

    fn find_mut(
        &mut self,
        key: &[u64; WORDS],
        mask: &[u64; WORDS],
        priority: P,
    ) -> Option<&mut Rule<WORDS, V, P>> {
        let hash = hash(&self.hasher, key, mask);
        let tuple = self.tuples.iter_mut().find(|tuple| tuple.mask == *mask)?;
        let chain = tuple.rules.find_mut(hash, |chain| chain.best.key == *key)?;
        std::iter::once(&mut chain.best).chain(&mut chain.hidden).find(|rule| rule.priority == priority)
    }

    /// At most one tuple is out of place: cheap for a stable sort.
    fn sort(&mut self) {
        self.tuples.sort_by_key(|tuple| Reverse(tuple.top));
    }

    /// Rules, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule<WORDS, V, P>> {
        let chains = self.tuples.iter().flat_map(|tuple| tuple.rules.iter());
        chains.flat_map(|chain| std::iter::once(&chain.best).chain(&chain.hidden))
    }

    /// Rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Different masks.
    #[must_use]
    pub fn tuples(&self) -> usize {
        self.tuples.len()
    }
}

impl<const WORDS: usize, V: Copy, P: Copy + Ord> Tuple<WORDS, V, P> {
    fn insert(&mut self, rule: Rule<WORDS, V, P>, hasher: &impl BuildHasher) {
        *self.priorities.entry(rule.priority).or_default() += 1;
        self.top = self.top.max(rule.priority);
        let key_hash = hash(hasher, &rule.key, &self.mask);
        let Some(chain) = self.rules.find_mut(key_hash, |chain| chain.best.key == rule.key) else {
            let mask = self.mask;
            let chain = Chain { best: rule, hidden: Vec::new() };
            self.rules.insert_unique(key_hash, chain, |chain| hash(hasher, &chain.best.key, &mask));
            return;
        };
        let worse =
            if rule.rank() > chain.best.rank() { std::mem::replace(&mut chain.best, rule) } else { rule };
        let at = chain.hidden.partition_point(|other| other.rank() > worse.rank());
        chain.hidden.insert(at, worse);
    }

    fn remove(&mut self, key: &[u64; WORDS], priority: P, hasher: &impl BuildHasher) -> Option<V> {
        let key_hash = hash(hasher, key, &self.mask);
        let mut entry = self.rules.find_entry(key_hash, |chain| chain.best.key == *key).ok()?;
        let chain = entry.get_mut();
        let value = if chain.best.priority != priority {
            let at = chain.hidden.iter().position(|rule| rule.priority == priority)?;
            chain.hidden.remove(at).value
        } else if chain.hidden.is_empty() {
            entry.remove().0.best.value
        } else {
            let next = chain.hidden.remove(0);
            std::mem::replace(&mut chain.best, next).value
        };
        if let Some(count) = self.priorities.get_mut(&priority) {
            *count -= 1;
            if *count == 0 {
                self.priorities.remove(&priority);
            }
        }
        // One without rules is about to go.
        self.top = self.priorities.keys().next_back().copied().unwrap_or(self.top);
        Some(value)
    }
}
