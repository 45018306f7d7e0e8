//! Slow, obvious answers to hold the fast ones to, and random small topologies to ask about.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses some of it")]

use proptest::prelude::*;
use topology::{Link, LinkSpec, NodeId, NodeSpec, Topology, Weight};

/// Up to `nodes` nodes; links between any two of them (loops and parallel links too), some directed.
pub fn small(nodes: usize, links: usize) -> impl Strategy<Value = Topology> {
    (1..=nodes).prop_flat_map(move |nodes| {
        let link = (0..nodes, 0..nodes, 1..6_u32, prop::bool::weighted(0.3));
        prop::collection::vec(link, 0..=links).prop_map(move |links| {
            let mut topology = Topology::new();
            let ids: Vec<NodeId> =
                (0..nodes).map(|n| topology.add_node(NodeSpec::switch(format!("s{n}"))).unwrap()).collect();
            for (from, to, weight, directed) in links {
                let spec = LinkSpec { directed, ..LinkSpec::default().weight(Weight::new(weight).unwrap()) };
                topology.add_link(ids[from], ids[to], spec).unwrap();
            }
            topology
        })
    })
}

/// Can the link be crossed from a node, and where does it lead?
pub fn crossing(link: &Link, from: NodeId) -> Option<NodeId> {
    if link.from().node == from {
        Some(link.to().node)
    } else if link.to().node == from && !link.is_directed() {
        Some(link.from().node)
    } else {
        None
    }
}

pub fn ids(topology: &Topology) -> Vec<NodeId> {
    topology.nodes().map(topology::Node::id).collect()
}

/// Floyd and Warshall: distances between all pairs, `None` where there is no way.
pub fn distances(topology: &Topology, usable: impl Fn(&Link) -> bool) -> Vec<Vec<Option<u64>>> {
    let count = topology.node_bound();
    let mut table = vec![vec![None; count]; count];
    for (node, row) in table.iter_mut().enumerate() {
        row[node] = Some(0);
    }
    for link in topology.links().filter(|link| usable(link)) {
        for from in [link.from().node, link.to().node] {
            if let Some(to) = crossing(link, from) {
                let best = &mut table[from.index()][to.index()];
                let weight = u64::from(link.weight.get());
                *best = Some(best.map_or(weight, |known: u64| known.min(weight)));
            }
        }
    }
    for via in 0..count {
        for from in 0..count {
            for to in 0..count {
                if let (Some(a), Some(b)) = (table[from][via], table[via][to]) {
                    table[from][to] = Some(table[from][to].map_or(a + b, |known| known.min(a + b)));
                }
            }
        }
    }
    table
}

/// The costs of all loopless paths, cheapest first, by trying every step.
pub fn path_costs(topology: &Topology, from: NodeId, to: NodeId) -> Vec<u64> {
    fn walk(
        topology: &Topology,
        at: NodeId,
        to: NodeId,
        cost: u64,
        seen: &mut Vec<NodeId>,
        out: &mut Vec<u64>,
    ) {
        if at == to {
            out.push(cost);
            return;
        }
        for link in topology.links() {
            if let Some(next) = crossing(link, at).filter(|next| !seen.contains(next)) {
                seen.push(next);
                walk(topology, next, to, cost + u64::from(link.weight.get()), seen, out);
                seen.pop();
            }
        }
    }
    let mut costs = Vec::new();
    walk(topology, from, to, 0, &mut vec![from], &mut costs);
    costs.sort_unstable();
    costs
}

/// The least capacity over all ways to put nodes on two sides.
pub fn cut_capacity(topology: &Topology, from: NodeId, to: NodeId, capacity: impl Fn(&Link) -> u64) -> u64 {
    let count = topology.node_bound();
    let sides =
        (0..1_u32 << count).filter(|side| side >> from.index() & 1 == 1 && side >> to.index() & 1 == 0);
    let cut = |side: u32| -> u64 {
        let inside = |node: NodeId| side >> node.index() & 1 == 1;
        let crosses = |link: &&Link| {
            [link.from().node, link.to().node]
                .iter()
                .any(|end| inside(*end) && crossing(link, *end).is_some_and(|other| !inside(other)))
        };
        topology.links().filter(crosses).map(&capacity).sum()
    };
    sides.map(cut).min().unwrap()
}

/// The least cut over all ways to part the nodes into `parts` parts of at most `limit` nodes.
pub fn best_partition(topology: &Topology, parts: usize, limit: u64) -> Option<u64> {
    let count = topology.node_bound();
    let all = (0..parts.pow(count as u32)).filter_map(|number| {
        let part_of: Vec<usize> = (0..count).map(|node| number / parts.pow(node as u32) % parts).collect();
        let fits = (0..parts).all(|part| part_of.iter().filter(|own| **own == part).count() as u64 <= limit);
        let cut = |link: &Link| part_of[link.from().node.index()] != part_of[link.to().node.index()];
        fits.then(|| topology.links().filter(|link| cut(link)).map(|link| u64::from(link.weight.get())).sum())
    });
    all.min()
}
