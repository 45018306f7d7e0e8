//! The ways through one pipelet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Edge, End, Pipelet};

impl Pipelet {
    /// The functions in it, in an order in which every edge leads forward; none if it goes in a circle. Of those that may come
    /// next the first in the file does.
    pub fn order(&self) -> Option<Vec<usize>> {
        let mut waiting: BTreeMap<usize, usize> = functions(&self.edges).map(|place| (place, 0)).collect();
        let total = waiting.len();
        for (_, to) in inner(&self.edges) {
            *waiting.entry(to).or_default() += 1;
        }
        let mut ready: BTreeSet<usize> =
            waiting.iter().filter(|(_, count)| **count == 0).map(|(place, _)| *place).collect();
        let mut order = Vec::with_capacity(total);
        while let Some(place) = ready.pop_first() {
            order.push(place);
            for (_, to) in inner(&self.edges).filter(|(from, _)| *from == place) {
                let count = waiting.entry(to).or_default();
                *count -= 1;
                if *count == 0 {
                    ready.insert(to);
                }
            }
        }
        (order.len() == total).then_some(order)
    }
}

/// The functions that edges touch.
pub(super) fn functions(edges: &[Edge]) -> impl Iterator<Item = usize> {
    edges.iter().flat_map(|edge| [edge.from, edge.to]).filter_map(|end| match end {
        End::Function(place) => Some(place),
        End::Port(_) => None,
    })
}

/// The edges between functions.
pub(super) fn inner(edges: &[Edge]) -> impl Iterator<Item = (usize, usize)> {
    edges.iter().filter_map(|edge| match (edge.from, edge.to) {
        (End::Function(from), End::Function(to)) => Some((from, to)),
        _ => None,
    })
}

/// Everything that can be reached from some functions, themselves too; against the edges if `back`.
pub(super) fn reached(edges: &[Edge], start: impl Iterator<Item = usize>, back: bool) -> BTreeSet<usize> {
    let mut seen: BTreeSet<usize> = start.collect();
    let mut waiting: VecDeque<usize> = seen.iter().copied().collect();
    while let Some(place) = waiting.pop_front() {
        for (from, to) in inner(edges) {
            let (from, to) = if back { (to, from) } else { (from, to) };
            if from == place && seen.insert(to) {
                waiting.push_back(to);
            }
        }
    }
    seen
}

/// A circle of functions, the first again at the end; none where there is none.
pub(super) fn circle(edges: &[Edge]) -> Option<Vec<usize>> {
    let start = functions(edges).find(|place| {
        let next = inner(edges).filter(|(from, _)| from == place).map(|(_, to)| to);
        reached(edges, next, false).contains(place)
    })?;
    // From there always to a function that still leads back, until one comes again.
    let leads_back = reached(edges, std::iter::once(start), true);
    let mut walk = vec![start];
    loop {
        let here = walk[walk.len() - 1];
        let (_, next) = inner(edges).find(|(from, to)| *from == here && leads_back.contains(to))?;
        if let Some(first) = walk.iter().position(|place| *place == next) {
            walk.push(next);
            return Some(walk.split_off(first));
        }
        walk.push(next);
    }
}
