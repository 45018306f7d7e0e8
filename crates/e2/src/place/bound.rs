//! What every placement costs at least: three arguments, of which the largest result holds. All of it is integer arithmetic.
//!
//! - **Degrees.** A server of `c` cores holds an instance and at most `c − 1` of its neighbours. So each instance pays for all but
//!   its `c − 1` strongest ones; a pair is paid for from both sides, so half of the sum.
//! - **Trees.** Instances of one server that a spanning tree joins without leaving the server are at most `c`. The least weight of
//!   edges that cut a tree into parts of at most `c` nodes is found exactly (below), and trees that share no traffic add up: the
//!   heaviest tree is taken out, then the heaviest of what is left, and so on. Taking whole trees and taking them in equal
//!   slices bound differently; both are tried.
//! - **Live instances** cost each other what they do, and a new one at least what does not lie on its best server.

use super::problem::Problem;

/// Slices that traffic is divided into for the second way to pack trees.
const SLICES: u64 = 4;
/// The most trees.
const TREES_MAX: usize = 16;

/// A lower bound on the cut of every placement, in bit/s.
pub fn bound(problem: &Problem) -> u64 {
    degrees(problem).max(trees(problem, 1)).max(trees(problem, SLICES))
}

/// A lower bound on the cut of every placement that leaves live instances where they are. With none live: [`bound`].
pub fn with_live(problem: &Problem, live: &[Option<usize>]) -> u64 {
    let between_live: u64 = problem
        .pairs()
        .filter(|(one, other, _)| matches!((live[*one], live[*other]), (Some(a), Some(b)) if a != b))
        .map(|(.., rate)| rate)
        .sum();
    let each = (0..problem.instances()).filter(|place| live[*place].is_none()).map(|place| {
        let mut by_server = vec![0; problem.cores.len()];
        for (other, rate) in problem.near(place) {
            if let Some(server) = live[*other] {
                by_server[server] += rate;
            }
        }
        by_server.iter().sum::<u64>() - by_server.iter().max().copied().unwrap_or(0)
    });
    let anchored = between_live + each.sum::<u64>();
    anchored.max(bound(problem))
}

fn degrees(problem: &Problem) -> u64 {
    let kept = problem.widest().saturating_sub(1);
    let mut rates = Vec::new();
    let paid = (0..problem.instances()).map(|place| {
        rates.clear();
        rates.extend(problem.near(place).iter().map(|(_, rate)| *rate));
        rates.sort_unstable_by(|one, other| other.cmp(one));
        rates.iter().skip(kept).sum::<u64>()
    });
    paid.sum::<u64>().div_ceil(2)
}

fn trees(problem: &Problem, slices: u64) -> u64 {
    let mut pairs: Vec<_> = problem.pairs().map(|(one, other, rate)| (rate, rate, one, other)).collect();
    let mut forest = Forest::new(problem.instances(), problem.widest());
    let mut total = 0;
    for _ in 0..TREES_MAX {
        // Stable, as it is fast where most of it is in order.
        pairs.sort_by(|one, other| other.cmp(one));
        pairs.truncate(pairs.partition_point(|(left, ..)| *left > 0));
        if pairs.is_empty() {
            break;
        }
        forest.clear();
        for (left, whole, one, other) in &mut pairs {
            // The last slice takes what division left.
            let slice = whole.div_ceil(slices).min(*left);
            if forest.join(*one, *other, slice) {
                *left -= slice;
            }
        }
        let more = forest.cut();
        if more == 0 {
            break; // all that hangs together fits on a server, and so will what is left of it
        }
        total += more;
    }
    total
}

/// An edge as one of its nodes sees it.
#[derive(Clone, Copy)]
struct Half {
    to: u32,
    weight: u64,
    /// The node's next one.
    next: u32,
}

const NONE: u32 = u32::MAX;

/// A forest, and what it takes to cut it; used again for the next one, since there are many.
struct Forest {
    /// The most nodes of a part.
    most: usize,
    /// By node: another one of its tree, itself where it is the root of the set.
    joined: Vec<u32>,
    /// By node: its first edge.
    first: Vec<u32>,
    halves: Vec<Half>,
    /// Node and parent, parents first.
    order: Vec<(u32, u32)>,
    seen: Vec<bool>,
    /// By node, `most` each: what is below it costs at least, by the size of the part that it is in, from 1.
    costs: Vec<u64>,
    sizes: Vec<usize>,
    merged: Vec<u64>,
}

impl Forest {
    fn new(count: usize, most: usize) -> Self {
        Self {
            most,
            joined: (0..count as u32).collect(),
            first: vec![NONE; count],
            halves: Vec::with_capacity(2 * count),
            order: Vec::with_capacity(count),
            seen: vec![false; count],
            costs: vec![0; count * most],
            sizes: vec![1; count],
            merged: vec![0; most],
        }
    }

    fn clear(&mut self) {
        self.joined.iter_mut().zip(0..).for_each(|(joined, own)| *joined = own);
        self.first.fill(NONE);
        self.halves.clear();
    }

    fn root(&mut self, mut node: u32) -> u32 {
        while self.joined[node as usize] != node {
            self.joined[node as usize] = self.joined[self.joined[node as usize] as usize];
            node = self.joined[node as usize];
        }
        node
    }

    /// Adds an edge; false where its nodes were joined already.
    fn join(&mut self, one: usize, other: usize, weight: u64) -> bool {
        let roots = (self.root(one as u32), self.root(other as u32));
        if roots.0 == roots.1 {
            return false;
        }
        self.joined[roots.0 as usize] = roots.1;
        for (from, to) in [(one, other as u32), (other, one as u32)] {
            let next = std::mem::replace(&mut self.first[from], self.halves.len() as u32);
            self.halves.push(Half { to, weight, next });
        }
        true
    }

    /// The least weight of edges without which every part has at most `most` nodes: for each node, the least cost of
    /// what is below it, by the size of the part it is in; children are merged like things into a knapsack.
    fn cut(&mut self) -> u64 {
        if self.most == 0 {
            return 0;
        }
        self.seen.fill(false);
        let mut total = 0;
        for root in 0..self.first.len() {
            if self.seen[root] {
                continue;
            }
            self.walk(root as u32);
            for at in (0..self.order.len()).rev() {
                let (node, parent) = self.order[at];
                self.weigh(node, parent);
            }
            total += self.least(root);
        }
        total
    }

    /// The nodes of a tree, parents first.
    fn walk(&mut self, root: u32) {
        self.order.clear();
        self.order.push((root, NONE));
        self.seen[root as usize] = true;
        let mut at = 0;
        while let Some((node, _)) = self.order.get(at).copied() {
            let mut half = self.first[node as usize];
            while half != NONE {
                let Half { to, next, .. } = self.halves[half as usize];
                if !std::mem::replace(&mut self.seen[to as usize], true) {
                    self.order.push((to, node));
                }
                half = next;
            }
            at += 1;
        }
    }

    fn least(&self, node: usize) -> u64 {
        let costs = &self.costs[node * self.most..][..self.sizes[node]];
        costs.iter().min().copied().unwrap_or(0)
    }

    /// What a node and all below it cost, once its children are known.
    fn weigh(&mut self, node: u32, parent: u32) {
        let (node, most) = (node as usize, self.most);
        self.costs[node * most] = 0;
        let mut size = 1;
        let mut half = self.first[node];
        while half != NONE {
            let Half { to, weight, next } = self.halves[half as usize];
            half = next;
            if to == parent {
                continue;
            }
            let apart = self.least(to as usize) + weight;
            let below = &self.costs[to as usize * most..][..self.sizes[to as usize]];
            let own = &self.costs[node * most..][..size];
            let larger = (size + below.len()).min(most);
            let merged = &mut self.merged[..larger];
            merged.fill(u64::MAX);
            for (have, cost) in own.iter().enumerate() {
                merged[have] = merged[have].min(cost + apart);
                for (sum, other) in merged[have + 1..].iter_mut().zip(below) {
                    *sum = (*sum).min(cost + other);
                }
            }
            size = larger;
            self.costs[node * most..][..size].copy_from_slice(merged);
        }
        self.sizes[node] = size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::problem::Random;

    #[test]
    fn trees_are_cut_as_trying_all_cuts_says() {
        let mut random = Random(5);
        for _ in 0..300 {
            let count = 1 + random.below(9);
            let mut edges = Vec::new();
            for node in 1..count {
                if random.below(5) > 0 {
                    edges.push((random.below(node), node, 1 + random.below(20) as u64));
                }
            }
            for most in 1..=count {
                let mut forest = Forest::new(count, most);
                // What was there before is of no matter.
                forest.join(0, count - 1, 3);
                forest.cut();
                forest.clear();
                assert!(edges.iter().all(|(one, other, weight)| forest.join(*one, *other, *weight)));
                let slow = (0..1u32 << edges.len()).filter_map(|cut| {
                    let mut joined = Forest::new(count, most);
                    let mut weight = 0;
                    for (at, (one, other, own)) in edges.iter().enumerate() {
                        if cut >> at & 1 == 1 {
                            weight += own;
                        } else {
                            joined.join(*one, *other, 0);
                        }
                    }
                    let mut sizes = vec![0; count];
                    (0..count).for_each(|node| sizes[joined.root(node as u32) as usize] += 1);
                    sizes.iter().all(|size| *size <= most).then_some(weight)
                });
                assert_eq!(forest.cut(), slow.min().unwrap(), "{edges:?} in parts of {most}");
            }
        }
    }
}
