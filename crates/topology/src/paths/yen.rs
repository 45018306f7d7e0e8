//! The k shortest loopless paths (Yen, Management Science 17(11), 1971).

use std::collections::{BTreeSet, HashSet};

use super::routes::distances;
use super::{Path, cost_of};
use crate::graph::Topology;
use crate::link::{Hop, Link, LinkId};
use crate::node::NodeId;

/// The most paths that are looked for.
pub const PATHS_MAX: usize = 1024;

/// Up to `count` (at most [`PATHS_MAX`]) loopless paths from a node to another, cheapest first; of equal cost,
/// the one with the lower ids first. Two paths over different links between the same nodes are two paths.
pub fn k_shortest(
    topology: &Topology,
    from: NodeId,
    to: NodeId,
    count: usize,
    cost: impl Fn(&Link) -> Option<u64>,
) -> Vec<Path> {
    let mut found: Vec<Path> = Vec::new();
    let mut candidates: BTreeSet<Path> = BTreeSet::new();
    candidates.extend(lowest_path(topology, from, to, |_| true, &cost));
    while found.len() < count.min(PATHS_MAX) {
        let Some(path) = candidates.pop_first() else { break };
        found.push(path);
        let latest = &found[found.len() - 1];
        for turn in 0..latest.hops.len() {
            candidates.extend(turn_off(topology, &found, latest, turn, to, &cost));
        }
    }
    found
}

/// The shortest path that follows `latest` for `turn` steps and then leaves every path already found.
fn turn_off(
    topology: &Topology,
    found: &[Path],
    latest: &Path,
    turn: usize,
    to: NodeId,
    cost: &impl Fn(&Link) -> Option<u64>,
) -> Option<Path> {
    let root = &latest.hops[..turn];
    let spur = root.last().map_or(latest.start, |hop| hop.node);
    let taken: HashSet<LinkId> = found
        .iter()
        .filter(|path| path.hops.starts_with(root))
        .filter_map(|path| path.hops.get(turn))
        .map(|hop| hop.link)
        .collect();
    let passed: HashSet<NodeId> = latest.nodes().take(turn).collect();
    let open = |link: &Link| if taken.contains(&link.id()) { None } else { cost(link) };
    let rest = lowest_path(topology, spur, to, |node| !passed.contains(&node), &open)?;
    let root_cost = root.iter().filter_map(|hop| cost_of(topology, *hop, cost)).fold(0, u64::saturating_add);
    let hops = root.iter().copied().chain(rest.hops).collect();
    Some(Path { cost: root_cost.saturating_add(rest.cost), start: latest.start, hops })
}

/// The shortest path through allowed nodes; of several, the one with the lowest first step, then the next, ….
fn lowest_path(
    topology: &Topology,
    from: NodeId,
    to: NodeId,
    allowed: impl Fn(NodeId) -> bool,
    cost: &impl Fn(&Link) -> Option<u64>,
) -> Option<Path> {
    let distances = distances(topology, to, Some(from), allowed, cost);
    let distance_of = |node: NodeId| distances.get(node.index()).copied().flatten();
    let total = distance_of(from)?;
    let (mut node, mut left, mut hops) = (from, total, Vec::new());
    while node != to {
        let closer = |hop: &Hop| {
            let rest = distance_of(hop.node).zip(cost_of(topology, *hop, cost));
            rest.is_some_and(|(rest, step)| rest < left && rest.saturating_add(step) == left)
        };
        let hop = topology.hops_from(node).filter(closer).min()?;
        hops.push(hop);
        (node, left) = (hop.node, distance_of(hop.node)?);
    }
    Some(Path { cost: total, start: from, hops })
}
