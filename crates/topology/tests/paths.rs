//! Paths, routes, flows and cuts, held to slow twins on small random topologies.

mod twins;

use std::collections::HashSet;

use proptest::prelude::*;
use topology::paths::{
    AllRoutes, FlowError, Path, Routes, ShortestPaths, by_hops, by_weight, edge_connectivity,
    edge_disjoint_paths, k_shortest, min_cut, most_used, usage,
};
use topology::{Hop, Link, LinkId, LinkSpec, NodeId, Topology, generate};
use twins::{crossing, cut_capacity, distances, ids, path_costs, small};

/// Checks that a path exists in the topology, visits no node twice, and costs what it says.
fn check_path(topology: &Topology, path: &Path, to: NodeId, cost: impl Fn(&Link) -> u64) {
    let mut seen = HashSet::from([path.start]);
    let (mut at, mut total) = (path.start, 0);
    for hop in &path.hops {
        let link = topology.link(hop.link).unwrap();
        assert_eq!(crossing(link, at), Some(hop.node), "{path:?}");
        assert!(seen.insert(hop.node), "{path:?} goes in a circle");
        total += cost(link);
        at = hop.node;
    }
    assert_eq!((at, total), (to, path.cost), "{path:?}");
}

fn weight(link: &Link) -> u64 {
    link.weight.get().into()
}

proptest! {
    #[test]
    fn used_links_are_counted(topology in small(9, 24)) {
        let mut expected = vec![0; topology.link_bound()];
        for to in ids(&topology) {
            let routes = Routes::towards(&topology, to, by_weight);
            for mut node in ids(&topology) {
                while let Some(hop) = routes.next_hop(node) {
                    expected[hop.link.index()] += 1;
                    node = hop.node;
                }
            }
        }
        prop_assert_eq!(usage(&topology, ids(&topology), by_weight), expected.clone());
        let busiest = most_used(&topology, 3, by_weight);
        prop_assert_eq!(busiest.len(), topology.link_count().min(3));
        if let Some(last) = busiest.last() {
            let more = |link: &&Link| expected[link.id().index()] > expected[last.index()];
            prop_assert!(topology.links().filter(more).count() < busiest.len());
        }
    }
}

proptest! {
    #[test]
    fn shortest_paths_are_shortest(topology in small(9, 24), broken in prop::collection::hash_set(0..24_usize, 0..5)) {
        let usable = |link: &Link| !broken.contains(&link.id().index());
        let expected = distances(&topology, usable);
        let cost = |link: &Link| usable(link).then(|| weight(link));
        let all = AllRoutes::of(&topology, cost).unwrap();
        for from in ids(&topology) {
            let paths = ShortestPaths::from(&topology, from, cost);
            for to in ids(&topology) {
                let want = expected[from.index()][to.index()];
                prop_assert_eq!(paths.distance(to), want);
                prop_assert_eq!(all.distance(from, to), want);
                if let Some(path) = paths.path(to) {
                    check_path(&topology, &path, to, weight);
                    prop_assert!(path.hops.iter().all(|hop| usable(topology.link(hop.link).unwrap())));
                }
            }
        }
    }

    #[test]
    fn ties_go_to_the_lowest_last_step(topology in small(8, 24)) {
        let table = distances(&topology, |_| true);
        for from in ids(&topology) {
            let paths = ShortestPaths::from(&topology, from, by_weight);
            for to in ids(&topology).into_iter().filter(|to| *to != from) {
                let Some(path) = paths.path(to) else { continue };
                let before = path.nodes().nth(path.hops.len() - 1).unwrap();
                let chosen = (before, path.hops.last().unwrap().link);
                let lowest = topology
                    .links()
                    .flat_map(|link| [(link.from().node, link), (link.to().node, link)])
                    .filter(|(node, link)| crossing(link, *node) == Some(to) && *node != to)
                    .filter(|(node, link)| {
                        table[from.index()][node.index()].map(|d| d + weight(link)) == Some(path.cost)
                    })
                    .map(|(node, link)| (node, link.id()))
                    .min();
                prop_assert_eq!(Some(chosen), lowest);
            }
        }
    }

    #[test]
    fn next_hops_are_all_that_get_closer(topology in small(9, 24)) {
        let table = distances(&topology, |_| true);
        let all = AllRoutes::of(&topology, by_weight).unwrap();
        for to in ids(&topology) {
            let routes = Routes::towards(&topology, to, by_weight);
            for from in ids(&topology).into_iter().filter(|from| *from != to) {
                let mut expected: Vec<Hop> = topology
                    .links()
                    .filter_map(|link| Some((link, crossing(link, from)?)))
                    .filter(|(link, next)| {
                        let rest = table[next.index()][to.index()];
                        rest.is_some() && rest.map(|d| d + weight(link)) == table[from.index()][to.index()]
                    })
                    .map(|(link, node)| Hop { node, link: link.id() })
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(routes.next_hops(from), &expected[..]);
                prop_assert_eq!(all.next_hop(from, to), expected.first().copied());
            }
            prop_assert!(routes.next_hops(to).is_empty());
        }
    }

    #[test]
    fn the_k_shortest_are_the_k_cheapest(topology in small(6, 12), count in 1..40_usize) {
        let all = ids(&topology);
        let (from, to) = (all[0], all[all.len() - 1]);
        let found = k_shortest(&topology, from, to, count, by_weight);
        let costs: Vec<u64> = found.iter().map(|path| path.cost).collect();
        let mut expected = path_costs(&topology, from, to);
        expected.truncate(count);
        prop_assert_eq!(costs, expected);
        let distinct: HashSet<&Path> = found.iter().collect();
        prop_assert_eq!(distinct.len(), found.len());
        for path in &found {
            check_path(&topology, path, to, weight);
        }
        prop_assert!(found.is_sorted());
    }

    #[test]
    fn the_cut_is_the_least_and_cuts(topology in small(8, 20)) {
        let all = ids(&topology);
        let (from, to) = (all[0], all[all.len() - 1]);
        prop_assume!(from != to);
        let cut = min_cut(&topology, from, to, weight).unwrap();
        prop_assert_eq!(cut.capacity, cut_capacity(&topology, from, to, weight));
        let cost: u64 = cut.links.iter().map(|id| weight(topology.link(*id).unwrap())).sum();
        prop_assert_eq!(cost, cut.capacity);
        let removed: HashSet<LinkId> = cut.links.iter().copied().collect();
        let left = distances(&topology, |link| !removed.contains(&link.id()));
        prop_assert_eq!(left[from.index()][to.index()], None);
        prop_assert!(cut.source_side.contains(&from) && !cut.source_side.contains(&to));
    }

    #[test]
    fn disjoint_paths_are_as_many_as_the_cut(topology in small(8, 20)) {
        let all = ids(&topology);
        let (from, to) = (all[0], all[all.len() - 1]);
        prop_assume!(from != to);
        let paths = edge_disjoint_paths(&topology, from, to, |_| true).unwrap();
        prop_assert_eq!(paths.len() as u64, cut_capacity(&topology, from, to, |_| 1));
        let mut used = HashSet::new();
        for path in &paths {
            check_path(&topology, path, to, |_| 1);
            prop_assert!(path.hops.iter().all(|hop| used.insert(hop.link)), "a link is used twice");
        }
    }

    #[test]
    fn connectivity_is_the_least_cut_of_any_pair(topology in small(6, 14)) {
        let all = ids(&topology);
        let mut both_ways = Topology::new();
        for node in topology.nodes() {
            both_ways.add_node(topology::NodeSpec::switch(node.name())).unwrap();
        }
        for link in topology.links() {
            both_ways.add_link(link.from().node, link.to().node, LinkSpec::default()).unwrap();
        }
        let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))).filter(|(a, b)| a < b);
        let least = pairs.map(|(a, b)| cut_capacity(&both_ways, a, b, |_| 1)).min();
        prop_assert_eq!(edge_connectivity(&topology), least.unwrap_or(0));
    }
}

#[test]
fn known_shapes_have_known_paths() {
    let link = LinkSpec::default();
    let fabric = generate::fat_tree(4, &link).unwrap();
    let (h1, h16) = (fabric.find("h1").unwrap(), fabric.find("h16").unwrap());
    let paths = k_shortest(&fabric, h1, h16, 10, by_hops);
    assert_eq!(paths.iter().filter(|path| path.cost == 6).count(), 4, "one through each core switch");

    let ring = generate::ring(8, &link).unwrap();
    let (s1, s5) = (ring.find("s1").unwrap(), ring.find("s5").unwrap());
    assert_eq!(edge_disjoint_paths(&ring, s1, s5, |_| true).unwrap().len(), 2);
    assert_eq!(edge_connectivity(&ring), 2);
    assert_eq!(edge_connectivity(&generate::full_mesh(6, &link).unwrap()), 5);
    assert_eq!(min_cut(&ring, s1, s1, |_| 1), Err(FlowError::SameNode(s1)));
    assert_eq!(k_shortest(&ring, s1, s1, 3, by_hops).len(), 1, "a node reaches itself without a step");
}

#[test]
fn huge_costs_do_not_wrap() {
    let line = generate::line(4, &LinkSpec::default()).unwrap();
    let (first, last) = (line.find("s1").unwrap(), line.find("s4").unwrap());
    assert_eq!(ShortestPaths::from(&line, first, |_| Some(u64::MAX)).distance(last), Some(u64::MAX));
    assert_eq!(ShortestPaths::from(&line, first, |_| Some(0)).distance(last), Some(3), "0 counts as 1");
    assert_eq!(min_cut(&line, first, last, |_| u64::MAX).unwrap().capacity, u64::MAX);
}
