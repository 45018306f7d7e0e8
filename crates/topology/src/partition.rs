//! Balanced partitioning: nodes into parts of about equal weight, with little link weight between the parts.
//!
//! Greedy growth gives every part a seed far from the others and lets the lightest part take the node that
//! hangs on it most; Kernighan–Lin refinement (Bell System Technical Journal 49, 1970), in the single-move form
//! of Fiduccia and Mattheyses (DAC 1982), then moves nodes between pairs of parts, through states that are
//! worse, and keeps the best it saw. Several starts; the best of them is returned. Finding the best possible
//! partition is NP-hard: this is a heuristic, and the result says what it cuts.

mod refine;

use crate::graph::Topology;
use crate::link::{Link, LinkId};
use crate::node::{Node, NodeId};
use crate::random::Random;

/// The most parts.
pub const PARTS_MAX: usize = 1024;
/// The most starts.
pub const STARTS_MAX: u32 = 1000;
/// The most passes over all pairs of parts in one start; a pass without gain ends it earlier.
pub const PASSES_MAX: usize = 32;

/// What is asked of a partition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartitionSpec {
    /// How many parts, 1 to [`PARTS_MAX`].
    pub parts: usize,
    /// How much heavier than the mean a part may be: 0.05 is 5 %. Rounded up, and never less than what the
    /// heaviest node needs.
    pub imbalance: f64,
    /// How many starts, 1 to [`STARTS_MAX`].
    pub starts: u32,
    /// Where the randomness of the starts comes from.
    pub seed: u64,
}

impl PartitionSpec {
    /// `parts` parts, 5 % of imbalance, 8 starts, seed 1.
    pub const fn new(parts: usize) -> Self {
        Self { parts, imbalance: 0.05, starts: 8, seed: 1 }
    }
}

/// Why there is no partition.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PartitionError {
    /// The number of parts is out of range.
    #[error("{0} parts (1 to {PARTS_MAX})")]
    Parts(usize),
    /// The imbalance is negative or not a number.
    #[error("an imbalance of {0} (at least 0)")]
    Imbalance(f64),
    /// The number of starts is out of range.
    #[error("{0} starts (1 to {STARTS_MAX})")]
    Starts(u32),
}

/// A partition of the nodes of a topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// By node index; `usize::MAX` where there is no node.
    part_of: Vec<usize>,
    /// The weight of every part.
    pub weights: Vec<u64>,
    /// What no part should weigh more than.
    pub weight_limit: u64,
    /// The weight of the links between parts.
    pub cut_weight: u64,
    /// The links between parts, by id.
    pub cut_links: Vec<LinkId>,
}

impl Partition {
    /// The part a node is in, counted from 0.
    pub fn part_of(&self, node: NodeId) -> Option<usize> {
        self.part_of.get(node.index()).copied().filter(|part| *part != usize::MAX)
    }

    /// The nodes of a part, by id.
    pub fn nodes(&self, part: usize) -> impl Iterator<Item = NodeId> {
        let all = self.part_of.iter().enumerate();
        all.filter(move |(_, own)| **own == part && part != usize::MAX).map(|(index, _)| NodeId::at(index))
    }

    /// Is every part within the limit? Not always possible when nodes differ in weight.
    pub fn is_balanced(&self) -> bool {
        self.weights.iter().all(|weight| *weight <= self.weight_limit)
    }
}

/// Partitions a topology. Weights are what the functions say; a node of weight 0 may go anywhere, a link of
/// weight 0 may be cut for nothing.
///
/// # Errors
/// When the specification is out of range.
pub fn partition(
    topology: &Topology,
    spec: PartitionSpec,
    node_weight: impl Fn(&Node) -> u32,
    link_weight: impl Fn(&Link) -> u32,
) -> Result<Partition, PartitionError> {
    if !(1..=PARTS_MAX).contains(&spec.parts) {
        return Err(PartitionError::Parts(spec.parts));
    }
    if spec.imbalance.is_nan() || spec.imbalance < 0.0 {
        return Err(PartitionError::Imbalance(spec.imbalance));
    }
    if !(1..=STARTS_MAX).contains(&spec.starts) {
        return Err(PartitionError::Starts(spec.starts));
    }
    let problem = Problem::new(topology, spec, &node_weight, &link_weight);
    let mut random = Random::new(spec.seed);
    let best = (0..spec.starts).map(|_| {
        let mut attempt = grow(&problem, &mut random);
        refine::refine(&problem, &mut attempt);
        attempt
    });
    // The first of equally good ones, so that the result is the same everywhere.
    let best = best.min_by_key(|attempt| (attempt.excess(&problem), problem.cut(&attempt.part_of)));
    let best = best.unwrap_or_else(|| Attempt { part_of: Vec::new(), weights: vec![0; spec.parts] });

    let between =
        |link: &&Link| best.part_of[link.from().node.index()] != best.part_of[link.to().node.index()];
    Ok(Partition {
        cut_weight: topology.links().filter(between).map(|link| u64::from(link_weight(link))).sum(),
        cut_links: topology.links().filter(between).map(Link::id).collect(),
        part_of: best.part_of,
        weights: best.weights,
        weight_limit: problem.limit,
    })
}

/// The topology as the algorithm sees it: dense arrays.
struct Problem {
    parts: usize,
    limit: u64,
    nodes: Vec<usize>,
    node_weight: Vec<u64>,
    /// By node: (other node, weight), links between the same two nodes added up.
    near: Vec<Vec<(usize, u64)>>,
}

impl Problem {
    fn new(
        topology: &Topology,
        spec: PartitionSpec,
        node_weight: &impl Fn(&Node) -> u32,
        link_weight: &impl Fn(&Link) -> u32,
    ) -> Self {
        let bound = topology.node_bound();
        let (mut weights, mut near) = (vec![0; bound], vec![Vec::new(); bound]);
        for node in topology.nodes() {
            weights[node.id().index()] = u64::from(node_weight(node));
        }
        for link in topology.links().filter(|link| !link.is_loop()) {
            let (a, b, weight) =
                (link.from().node.index(), link.to().node.index(), u64::from(link_weight(link)));
            near[a].push((b, weight));
            near[b].push((a, weight));
        }
        for list in &mut near {
            list.sort_unstable();
            list.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                earlier.1 += if same { later.1 } else { 0 };
                same
            });
        }
        let total: u64 = weights.iter().sum();
        let heaviest = weights.iter().max().copied().unwrap_or(0);
        let mean = total as f64 / spec.parts as f64;
        let limit = ((mean * (1.0 + spec.imbalance)).ceil() as u64).max(heaviest);
        let nodes = topology.nodes().map(|node| node.id().index()).collect();
        Self { parts: spec.parts, limit, nodes, node_weight: weights, near }
    }

    fn cut(&self, part_of: &[usize]) -> u64 {
        let ends = self
            .nodes
            .iter()
            .flat_map(|node| self.near[*node].iter().map(move |(other, weight)| (node, other, weight)));
        ends.filter(|(node, other, _)| part_of[**node] < part_of[**other]).map(|(_, _, weight)| weight).sum()
    }
}

/// One way to part the nodes.
#[derive(Clone)]
struct Attempt {
    part_of: Vec<usize>,
    weights: Vec<u64>,
}

impl Attempt {
    fn excess(&self, problem: &Problem) -> u64 {
        self.weights.iter().map(|weight| weight.saturating_sub(problem.limit)).sum()
    }

    fn put(&mut self, problem: &Problem, node: usize, part: usize) {
        let weight = problem.node_weight[node];
        let old = std::mem::replace(&mut self.part_of[node], part);
        if old != usize::MAX {
            self.weights[old] -= weight;
        }
        self.weights[part] += weight;
    }
}

/// Every part from a seed, the lightest part first, by what hangs on it most.
fn grow(problem: &Problem, random: &mut Random) -> Attempt {
    use std::collections::BTreeSet;

    let mut attempt =
        Attempt { part_of: vec![usize::MAX; problem.near.len()], weights: vec![0; problem.parts] };
    // Shuffled, so that starts differ, also where nothing hangs on anything.
    let mut left: Vec<usize> = problem.nodes.clone();
    for last in (1..left.len()).rev() {
        left.swap(last, random.below(last + 1));
    }
    // By part: (how much a node hangs on it, node); what has been taken meanwhile is skipped.
    let mut edge: Vec<BTreeSet<(u64, usize)>> = vec![BTreeSet::new(); problem.parts];
    let mut pull: Vec<std::collections::HashMap<usize, u64>> =
        vec![std::collections::HashMap::new(); problem.parts];
    let mut open: BTreeSet<(u64, usize)> = (0..problem.parts).map(|part| (0, part)).collect();
    while let Some((weight, part)) = open.pop_first() {
        let next = loop {
            match edge[part].pop_last() {
                Some((_, node)) if attempt.part_of[node] != usize::MAX => {}
                Some((_, node)) => break Some(node),
                None => break None,
            }
        };
        let fresh = || std::iter::from_fn(|| left.pop()).find(|node| attempt.part_of[*node] == usize::MAX);
        let Some(node) = next.or_else(fresh) else { break };
        attempt.put(problem, node, part);
        open.insert((weight + problem.node_weight[node].max(1), part));
        for (other, link) in &problem.near[node] {
            if attempt.part_of[*other] == usize::MAX {
                let pulled = pull[part].entry(*other).or_default();
                edge[part].remove(&(*pulled, *other));
                *pulled += link;
                edge[part].insert((*pulled, *other));
            }
        }
    }
    attempt
}
