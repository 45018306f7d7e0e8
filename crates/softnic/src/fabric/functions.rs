//! Network functions that flows of a rule pass: what they are, which instance has which flow, and what is counted.
//!
//! A [`Function`] is a line of [`netbricks`] in one or more instances; a rule's `through` names the functions that its flows
//! pass, from the side that opens flows to the other. The fabric sends packets to *slots*: what runs there is up to whoever
//! drives it ([`FabricModule`](crate::modules::FabricModule)).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};

use super::header::Key;
use super::program::{Program, ProgramError};
use super::tables::NONE;

/// Instances of all functions of a program.
pub const INSTANCES_MAX: usize = 64;
/// Functions in the chain of one rule.
pub const CHAIN_MAX: usize = 16;
/// Places for instances: twice as many as there are instances, so that new ones are there before old ones go.
pub const SLOTS_MAX: u16 = 2 * INSTANCES_MAX as u16;

/// A network function, in one or more instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its name, unique among functions.
    pub name: String,
    /// What it is, as [`netbricks::functions::build`] takes it: `["firewall", "rule=permit out any any"]`.
    pub words: Vec<String>,
    /// What its state is kept by.
    #[serde(default)]
    pub affinity: Affinity,
    /// How many run.
    pub instances: u16,
}

/// What packets have in common that go to the same instance of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Affinity {
    /// The flow: both directions of it, and ICMP errors about it.
    #[default]
    Flow,
    /// Both hosts, whoever of them opens flows.
    HostPair,
    /// Nothing: instances take turns.
    None,
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flow => "flow",
            Self::HostPair => "host pair",
            Self::None => "none",
        })
    }
}

/// Why functions of a program make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// A name used twice.
    #[error("two network functions are called {0:?}")]
    NameTwice(String),
    /// No instances, or more than there may be.
    #[error("network function {name:?} has {instances} instances: 1 to {INSTANCES_MAX} are possible in all")]
    Instances {
        /// The function.
        name: String,
        /// How many.
        instances: u16,
    },
    /// A rule that names a function that is not there.
    #[error("the rule of {label} leads through {name:?}, which is no network function")]
    Unknown {
        /// Where the rule comes from.
        label: String,
        /// The name.
        name: String,
    },
    /// A rule that names a function twice.
    #[error("the rule of {label} leads through {name:?} twice")]
    Twice {
        /// Where the rule comes from.
        label: String,
        /// The name.
        name: String,
    },
    /// A chain that is too long.
    #[error("the rule of {label} leads through {count} network functions: at most {CHAIN_MAX} are possible")]
    TooLong {
        /// Where the rule comes from.
        label: String,
        /// How many.
        count: usize,
    },
}

/// What an instance did, and what it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounters {
    /// Packets that it was given: on their way from who opened their flow, and on their way back.
    pub packets: [u64; 2],
    /// Their bytes, Ethernet headers included.
    pub bytes: [u64; 2],
    /// Packets that left it on the side of who opened their flow, and on the other.
    pub left: [u64; 2],
    /// Packets that it dropped, by cause.
    #[serde(default)]
    pub drops: Vec<(String, u64)>,
    /// Packets that it keeps inside.
    #[serde(default)]
    pub held: u64,
    /// What the function itself counts, by name.
    #[serde(default)]
    pub report: Vec<(String, u64)>,
}

impl InstanceCounters {
    /// Packets that it dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.iter().map(|(_, count)| count).sum()
    }
}

/// A network function and what its instances did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCounters {
    /// Its name.
    pub name: String,
    /// What it is.
    pub words: Vec<String>,
    /// What packets have in common that go to the same instance.
    pub affinity: Affinity,
    /// The slots of its instances.
    pub slots: Vec<u16>,
    /// Its instances, in the same order.
    pub instances: Vec<InstanceCounters>,
}

/// The name of a function's instance for people, counted from 1.
#[must_use]
pub fn instance_name(function: &str, at: usize) -> String {
    format!("{function}-{}", at + 1)
}

/// A function, ready.
#[derive(Clone, Debug)]
pub(crate) struct FunctionEntry {
    pub(crate) name: Box<str>,
    pub(crate) words: Box<[String]>,
    pub(crate) affinity: Affinity,
    /// Where its instances are.
    pub(crate) slots: Box<[u16]>,
}

/// The functions and chains of a program, ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct Functions {
    pub(crate) entries: Vec<FunctionEntry>,
    pub(crate) chains: Vec<Box<[u32]>>,
    /// By slot: the function, or [`NONE`].
    owners: Vec<u32>,
}

impl Functions {
    /// Checks the functions of a program, and finds the chain of each of its rules; instances have the slots from 0 on.
    pub(crate) fn compile(program: &Program) -> Result<(Self, Vec<u32>), ProgramError> {
        let mut functions = Self::default();
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut instances: u16 = 0;
        for (number, function) in (0..).zip(&program.functions) {
            if numbers.insert(&function.name, number).is_some() {
                return Err(FunctionError::NameTwice(function.name.clone()).into());
            }
            let first = instances;
            instances = instances.saturating_add(function.instances);
            if function.instances == 0 || usize::from(instances) > INSTANCES_MAX {
                let (name, instances) = (function.name.clone(), function.instances);
                return Err(FunctionError::Instances { name, instances }.into());
            }
            functions.entries.push(FunctionEntry {
                name: function.name.as_str().into(),
                words: function.words.clone().into(),
                affinity: function.affinity,
                slots: (first..instances).collect(),
            });
        }
        let mut known: HashMap<Box<[u32]>, u32> = HashMap::new();
        let mut chains = Vec::with_capacity(program.rules.len());
        for rule in &program.rules {
            let label = || rule.label.clone();
            if rule.through.len() > CHAIN_MAX {
                return Err(FunctionError::TooLong { label: label(), count: rule.through.len() }.into());
            }
            let mut seen = HashSet::new();
            let mut chain = Vec::with_capacity(rule.through.len());
            for name in &rule.through {
                let number = numbers.get(name.as_str()).copied();
                chain.push(
                    number.ok_or_else(|| FunctionError::Unknown { label: label(), name: name.clone() })?,
                );
                if !seen.insert(name) {
                    return Err(FunctionError::Twice { label: label(), name: name.clone() }.into());
                }
            }
            chains.push(match chain.is_empty() {
                true => NONE,
                false => *known.entry(chain.into()).or_insert_with_key(|chain| {
                    functions.chains.push(chain.clone());
                    functions.chains.len() as u32 - 1
                }),
            });
        }
        functions.note_owners();
        Ok((functions, chains))
    }

    /// Says where the instances of each function are, in the program's order. Those of which nothing is said stay where they
    /// are.
    pub(crate) fn place(&mut self, slots: Vec<Vec<u16>>) {
        for (entry, slots) in self.entries.iter_mut().zip(slots).filter(|(_, slots)| !slots.is_empty()) {
            entry.slots = slots.into();
        }
        self.note_owners();
    }

    fn note_owners(&mut self) {
        self.owners.clear();
        for (number, entry) in (0..).zip(&self.entries) {
            for slot in &entry.slots {
                let at = usize::from(*slot);
                if self.owners.len() <= at {
                    self.owners.resize(at + 1, NONE);
                }
                self.owners[at] = number;
            }
        }
    }

    /// The function whose instance has a slot.
    #[inline]
    pub(crate) fn at(&self, slot: u16) -> Option<u32> {
        self.owners.get(usize::from(slot)).copied().filter(|function| *function != NONE)
    }

    /// The names of a chain's functions; none for [`NONE`].
    pub(crate) fn names(&self, chain: u32) -> Vec<String> {
        let functions = self.chains.get(chain as usize).map_or(&[][..], |chain| chain);
        functions.iter().map(|function| self.entries[*function as usize].name.to_string()).collect()
    }
}

/// Which of `count` instances a flow belongs to, by the key of who opened it. When instances are added, flows move to the new
/// ones only.
#[inline]
pub(crate) fn share(hasher: &FixedState, affinity: Affinity, key: &Key, count: usize) -> usize {
    let mut state = hasher.build_hasher();
    match affinity {
        Affinity::HostPair => {
            let (one, two) = (key.source.min(key.destination), key.source.max(key.destination));
            [one.0, one.1, two.0, two.1].into_iter().for_each(|word| state.write_u64(word));
        }
        Affinity::Flow | Affinity::None => key.words().into_iter().for_each(|word| state.write_u64(word)),
    }
    jump(state.finish(), count)
}

/// Jump consistent hashing (Lamping and Veach, 2014).
fn jump(mut hash: u64, buckets: usize) -> usize {
    let (mut at, mut next) = (0_u64, 0_u64);
    while next < buckets as u64 {
        at = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((at + 1) as f64 * ((1_u64 << 31) as f64 / ((hash >> 33) + 1) as f64)) as u64;
    }
    at as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::header::Address;

    fn key(host: u32, port: u16) -> Key {
        Key::new(Address::v4(host), Address::v4(7), 6, (port, 80))
    }

    #[test]
    fn flows_are_shared_out_evenly_and_only_new_instances_get_some() {
        let hasher = FixedState::with_seed(5);
        for count in 1..=8 {
            let mut shares = vec![0; count];
            for port in 0..8000 {
                let of = |count| share(&hasher, Affinity::Flow, &key(1, port), count);
                shares[of(count)] += 1;
                assert!(of(count + 1) == of(count) || of(count + 1) == count);
            }
            let fair = 8000 / count;
            assert!(
                shares.iter().all(|share| (fair * 8 / 10..=fair * 12 / 10).contains(share)),
                "{shares:?}"
            );
        }
    }

    #[test]
    fn a_pair_of_hosts_stays_together_whoever_opens() {
        let hasher = FixedState::with_seed(5);
        let of = |key: &Key| share(&hasher, Affinity::HostPair, key, 4);
        for host in 1..50 {
            assert_eq!(of(&key(host, 1)), of(&key(host, 2)));
            assert_eq!(of(&key(host, 1)), of(&key(host, 9).reversed()));
        }
        assert!((1..50).any(|host| of(&key(host, 1)) != of(&key(1, 1))));
    }
}
