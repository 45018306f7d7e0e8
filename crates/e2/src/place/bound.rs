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
    let (count, most) = (problem.instances(), problem.widest());
    let mut total = 0;
    for _ in 0..TREES_MAX {
        pairs.sort_unstable_by(|one, other| other.cmp(one));
        pairs.retain(|(left, ..)| *left > 0);
        if pairs.is_empty() {
            break;
        }
        let mut joined = Joined((0..count).collect());
        let mut tree = vec![Vec::new(); count];
        for (left, whole, one, other) in &mut pairs {
            if joined.join(*one, *other) {
                // The last slice takes what division left.
                let slice = whole.div_ceil(slices).min(*left);
                tree[*one].push((*other, slice));
                tree[*other].push((*one, slice));
                *left -= slice;
            }
        }
        let more = cut_tree(&tree, most);
        if more == 0 {
            break; // all that hangs together fits on a server, and so will what is left of it
        }
        total += more;
    }
    total
}

/// Sets of instances that a forest joins.
struct Joined(Vec<usize>);

impl Joined {
    fn root(&mut self, mut place: usize) -> usize {
        while self.0[place] != place {
            self.0[place] = self.0[self.0[place]];
            place = self.0[place];
        }
        place
    }

    /// False where they were joined already.
    fn join(&mut self, one: usize, other: usize) -> bool {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one] = other;
        one != other
    }
}

/// The least weight of edges without which every part of a forest has at most `most` nodes: for each node, the least cost of
/// what is below it, by the size of the part it is in; children are merged like things into a knapsack.
fn cut_tree(tree: &[Vec<(usize, u64)>], most: usize) -> u64 {
    if most == 0 {
        return 0;
    }
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(tree.len()); // node and parent, parents first
    let mut seen = vec![false; tree.len()];
    let mut costs: Vec<Vec<u64>> = vec![Vec::new(); tree.len()]; // by size of the own part, from 1
    let mut total = 0;
    for root in 0..tree.len() {
        if seen[root] {
            continue;
        }
        order.clear();
        order.push((root, usize::MAX));
        seen[root] = true;
        let mut at = 0;
        while let Some((node, _)) = order.get(at).copied() {
            for (next, _) in &tree[node] {
                if !std::mem::replace(&mut seen[*next], true) {
                    order.push((*next, node));
                }
            }
            at += 1;
        }
        for (node, parent) in order.iter().rev().copied() {
            let mut own = vec![0u64];
            for (child, weight) in tree[node].iter().filter(|(next, _)| *next != parent) {
                let below = std::mem::take(&mut costs[*child]);
                let apart = below.iter().min().copied().unwrap_or(0) + weight;
                let size = (own.len() + below.len()).min(most);
                let mut merged = vec![u64::MAX; size];
                for (have, cost) in own.iter().enumerate() {
                    merged[have] = merged[have].min(cost + apart);
                    for (more, other) in below.iter().enumerate().take(most.saturating_sub(have + 1)) {
                        let sum = &mut merged[have + more + 1];
                        *sum = (*sum).min(cost + other);
                    }
                }
                own = merged;
            }
            costs[node] = own;
        }
        total += costs[root].iter().min().copied().unwrap_or(0);
    }
    total
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
            let mut tree = vec![Vec::new(); count];
            for (one, other, weight) in &edges {
                tree[*one].push((*other, *weight));
                tree[*other].push((*one, *weight));
            }
            for most in 1..=count {
                let slow = (0..1u32 << edges.len()).filter_map(|cut| {
                    let mut joined = Joined((0..count).collect());
                    let mut weight = 0;
                    for (at, (one, other, own)) in edges.iter().enumerate() {
                        if cut >> at & 1 == 1 {
                            weight += own;
                        } else {
                            joined.join(*one, *other);
                        }
                    }
                    let mut sizes = vec![0; count];
                    (0..count).for_each(|node| sizes[joined.root(node)] += 1);
                    sizes.iter().all(|size| *size <= most).then_some(weight)
                });
                assert_eq!(cut_tree(&tree, most), slow.min().unwrap(), "{edges:?} in parts of {most}");
            }
        }
    }
}
