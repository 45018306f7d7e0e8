//! What is to be placed, as numbers.

use thiserror::Error;

/// The most instances of a placement.
pub const INSTANCES_MAX: usize = 8192;
/// Where random numbers of a search start.
pub const RANDOM_SEED: u64 = 0x5eed_e2e2;

/// Instances of one core each, what flows between them, and servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// By server: its cores.
    pub cores: Vec<u32>,
    /// By instance: its neighbours by number, and the traffic both ways, in bit/s.
    near: Vec<Vec<(usize, u64)>>,
}

/// Why nothing can be placed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProblemError {
    /// Fewer cores than instances.
    #[error("{instances} instances need a core each, and there are {cores} cores: {missing} are missing", missing = .instances - .cores)]
    Cores {
        /// How many are wanted.
        instances: u64,
        /// How many there are.
        cores: u64,
    },
    /// More live instances on a server than it has cores.
    #[error("{live} instances live on server {server}, which has {cores} cores")]
    Live {
        /// The server's place.
        server: usize,
        /// What lives there.
        live: usize,
        /// Its cores; 0 where there is no such server.
        cores: u32,
    },
    /// More than [`INSTANCES_MAX`].
    #[error("{0} instances (at most {INSTANCES_MAX})")]
    TooMany(usize),
    /// Another number of entries than instances.
    #[error("{given} places are given for {instances} instances")]
    Length {
        /// How many there are.
        given: usize,
        /// How many there should be.
        instances: usize,
    },
}

/// An assignment and its cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// By instance.
    pub servers: Vec<usize>,
    /// Traffic between servers, in bit/s.
    pub cut: u64,
}

impl Problem {
    /// Of instances `0..instances`, traffic `(from, to, bit/s)` and cores by server. Traffic of an instance with itself is
    /// nothing; ends that are no instances too.
    pub fn new(
        instances: usize,
        traffic: impl IntoIterator<Item = (usize, usize, u64)>,
        cores: Vec<u32>,
    ) -> Self {
        let mut near = vec![Vec::new(); instances];
        for (from, to, rate) in traffic {
            if from != to && from < instances && to < instances && rate > 0 {
                near[from].push((to, rate));
                near[to].push((from, rate));
            }
        }
        for list in &mut near {
            list.sort_unstable();
            list.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                earlier.1 += if same { later.1 } else { 0 };
                same
            });
        }
        Self { cores, near }
    }

    /// How many instances there are.
    pub fn instances(&self) -> usize {
        self.near.len()
    }

    /// What an instance has traffic with, by number, and how much, in bit/s.
    pub fn near(&self, instance: usize) -> &[(usize, u64)] {
        &self.near[instance]
    }

    /// Every pair with traffic once, the smaller number first.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        let all = self.near.iter().enumerate();
        all.flat_map(|(one, near)| near.iter().map(move |(other, rate)| (one, *other, *rate)))
            .filter(|(one, other, _)| one < other)
    }

    /// The traffic between two instances.
    pub(super) fn between(&self, one: usize, other: usize) -> u64 {
        self.near[one].iter().find(|(near, _)| *near == other).map_or(0, |(_, rate)| *rate)
    }

    /// The traffic between servers.
    pub fn cut(&self, servers: &[usize]) -> u64 {
        self.pairs().filter(|(one, other, _)| servers[*one] != servers[*other]).map(|(.., rate)| rate).sum()
    }

    /// Whether every instance has a core of an existing server.
    pub fn holds(&self, servers: &[usize]) -> bool {
        let mut free = self.cores.clone();
        let mut take = |server: &usize| {
            let cores = free.get_mut(*server).filter(|cores| **cores > 0);
            cores.map(|cores| *cores -= 1).is_some()
        };
        servers.len() == self.instances() && servers.iter().all(&mut take)
    }

    /// The most cores of one server.
    pub(super) fn widest(&self) -> usize {
        self.cores.iter().max().map_or(0, |cores| *cores as usize)
    }

    pub(super) fn fits(&self) -> Result<(), ProblemError> {
        if self.instances() > INSTANCES_MAX {
            return Err(ProblemError::TooMany(self.instances()));
        }
        let (instances, cores) =
            (self.instances() as u64, self.cores.iter().map(|cores| u64::from(*cores)).sum());
        if instances > cores { Err(ProblemError::Cores { instances, cores }) } else { Ok(()) }
    }

    pub(super) fn fits_with(&self, live: &[Option<usize>]) -> Result<(), ProblemError> {
        self.fits()?;
        if live.len() != self.instances() {
            return Err(ProblemError::Length { given: live.len(), instances: self.instances() });
        }
        for server in live.iter().flatten().copied() {
            let cores = self.cores.get(server).copied().unwrap_or(0);
            let count = live.iter().filter(|other| **other == Some(server)).count();
            if count > cores as usize {
                return Err(ProblemError::Live { server, live: count, cores });
            }
        }
        Ok(())
    }
}

/// Random numbers that are the same everywhere: SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
