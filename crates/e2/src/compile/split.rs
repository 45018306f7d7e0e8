//! Step 3: the iGraph, in which every function is as many instances as it needs. An instance owns a range of the hashes over
//! its function's *split key*, and every edge to it asks for that range. That alone would join each instance of A with each of B.
//!
//! **Diagonalisation.** Where A and B are split by the same key and A does not change its fields, a packet has the same hash at
//! both, so only instances whose ranges meet are joined, and where A's range lies within B's nothing is asked at all.
//!
//! A function may be split by any key that its affinity determines: what agrees in the affinity then agrees in the hash and
//! reaches one instance. So B is split as A is where that joins most traffic diagonally, and by its affinity else. (The
//! condition is often told the other way round, "B's key is determined by A's". Then A, split by flow, would spread the flows of
//! one host pair over B's instances, though B keeps state by host pair; the tests show it.)

use std::collections::BTreeSet;

use serde::Serialize;

use super::merge::PGraph;
use super::size::Sizes;
use crate::key::{Fields, HashRange};
use crate::policy::{End, Policy};
use crate::rate::Rate;

/// An instance of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// The function, by place.
    pub function: usize,
    /// Which of its instances, from 1.
    pub number: u32,
    /// The hashes that it owns.
    pub range: HashRange,
    /// What it is thought to get.
    pub rate: Rate,
}

/// Where an edge of the iGraph starts or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Node {
    /// A port, by place.
    Port(usize),
    /// An instance, by place.
    Instance(usize),
}

/// An edge between instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IEdge {
    /// Where it starts.
    pub from: Node,
    /// Where it ends.
    pub to: Node,
    /// The edge of the pGraph that it is a part of: its predicates hold here too.
    pub of: usize,
    /// The hashes that it asks for, over the key of the instance that it leads to; none where it need not ask.
    pub range: Option<HashRange>,
    /// What is thought to go over it.
    pub rate: Rate,
}

/// The graph of instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IGraph {
    /// Instances, those of a function next to each other.
    pub instances: Vec<Instance>,
    /// Edges.
    pub edges: Vec<IEdge>,
    /// By function: what its instances are split by.
    pub keys: Vec<Fields>,
    /// By edge of the pGraph: whether it was diagonalised.
    pub diagonal: Vec<bool>,
}

impl IGraph {
    /// The instances of a function, by place.
    pub fn of(&self, function: usize) -> impl Iterator<Item = usize> {
        let numbered = self.instances.iter().enumerate();
        numbered.filter(move |(_, instance)| instance.function == function).map(|(place, _)| place)
    }

    /// `ids.2`; the function's name alone where there is one instance.
    pub fn name(&self, policy: &Policy, instance: usize) -> String {
        let own = &self.instances[instance];
        let name = &policy.functions[own.function].name;
        if own.range == HashRange::ALL { name.clone() } else { format!("{name}.{}", own.number) }
    }
}

/// Splits every function into its instances.
pub fn split(policy: &Policy, graph: &PGraph, sizes: &Sizes) -> IGraph {
    let keys = keys(policy, graph, sizes);
    let mut instances = Vec::new();
    for (function, (count, rate)) in sizes.instances.iter().zip(&sizes.rates).enumerate() {
        let ranges = HashRange::split(*count).zip(1..);
        instances.extend(ranges.map(|(range, number)| Instance {
            function,
            number,
            range,
            rate: range.of(*rate),
        }));
    }
    let nodes = |end: End| -> Vec<(Node, HashRange)> {
        match end {
            End::Port(port) => vec![(Node::Port(port), HashRange::ALL)],
            End::Function(function) => {
                let numbered = instances.iter().enumerate().filter(|(_, one)| one.function == function);
                numbered.map(|(place, one)| (Node::Instance(place), one.range)).collect()
            }
        }
    };
    let (mut edges, mut diagonal) = (Vec::new(), Vec::new());
    for (of, edge) in graph.edges.iter().enumerate() {
        let diagonally = same_hash(policy, &keys, edge.from, edge.to);
        diagonal.push(diagonally);
        for (from, sent) in nodes(edge.from) {
            for (to, wanted) in nodes(edge.to) {
                let (asked, rate) = if diagonally {
                    let both = sent.and(wanted);
                    if both.is_empty() {
                        continue;
                    }
                    (both != sent, both.of(edge.rate))
                } else {
                    (wanted != HashRange::ALL, wanted.of(sent.of(edge.rate)))
                };
                edges.push(IEdge { from, to, of, range: asked.then_some(wanted), rate });
            }
        }
    }
    IGraph { instances, edges, keys, diagonal }
}

/// Whether packets have the same hash at both ends.
fn same_hash(policy: &Policy, keys: &[Fields], from: End, to: End) -> bool {
    match (from, to) {
        (End::Function(from), End::Function(to)) => {
            keys[from] == keys[to] && !policy.functions[from].rewrites.has_any(keys[to])
        }
        _ => false,
    }
}

/// What the affinity asks for; functions without any are split by flow, which keeps packets in order.
fn own_key(affinity: Fields) -> Fields {
    if affinity.is_empty() { Fields::FLOW } else { affinity }
}

fn keys(policy: &Policy, graph: &PGraph, sizes: &Sizes) -> Vec<Fields> {
    let mut keys: Vec<Fields> = policy.functions.iter().map(|function| own_key(function.affinity)).collect();
    for function in forward(policy, graph) {
        let affinity = policy.functions[function].affinity;
        let may = |key: Fields| affinity.is_empty() || affinity.determines(key);
        let inward: Vec<_> = graph
            .to(End::Function(function))
            .filter_map(|edge| match edge.from {
                End::Function(from) if sizes.instances[from] > 1 => Some((from, edge.rate)),
                _ => None,
            })
            .collect();
        let joined = |key: Fields| -> Rate {
            let same = inward
                .iter()
                .filter(|(from, _)| keys[*from] == key && !policy.functions[*from].rewrites.has_any(key));
            same.map(|(_, rate)| *rate).sum()
        };
        let own = keys[function];
        let others = inward.iter().map(|(from, _)| keys[*from]).filter(|key| may(*key));
        let best = others.map(|key| (joined(key), key)).max();
        if let Some((_, key)) = best.filter(|(rate, _)| *rate > joined(own)) {
            keys[function] = key;
        }
    }
    keys
}

/// Functions in an order in which most edges lead forward: all, where there are no circles.
fn forward(policy: &Policy, graph: &PGraph) -> Vec<usize> {
    let mut waits = vec![0usize; policy.functions.len()];
    let mut next = vec![Vec::new(); waits.len()];
    for edge in &graph.edges {
        if let (End::Function(from), End::Function(to)) = (edge.from, edge.to) {
            waits[to] += 1;
            next[from].push(to);
        }
    }
    // Where all wait, in a circle, the one that waits for least goes on.
    let mut open: BTreeSet<(usize, usize)> = waits.iter().copied().zip(0..).collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some((_, function)) = open.pop_first() {
        order.push(function);
        for to in &next[function] {
            if open.remove(&(waits[*to], *to)) {
                waits[*to] -= 1;
                open.insert((waits[*to], *to));
            }
        }
    }
    order
}
