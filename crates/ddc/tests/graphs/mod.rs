//! Small graphs, all of them.

use ddc::Map;
use topology::{LinkSpec, NodeSpec, Topology, paths};

/// A map of `nodes` nodes and these links.
pub(crate) fn map_of(nodes: usize, links: &[(usize, usize)]) -> Map {
    let mut topology = Topology::new();
    let ids: Vec<_> =
        (0..nodes).map(|node| topology.add_node(NodeSpec::switch(format!("n{node}"))).unwrap()).collect();
    for (from, to) in links {
        topology.add_link(ids[*from], ids[*to], LinkSpec::default()).unwrap();
    }
    Map::new(&topology, paths::by_hops).unwrap()
}

fn pairs(nodes: usize) -> Vec<(usize, usize)> {
    (0..nodes).flat_map(|from| (from + 1..nodes).map(move |to| (from, to))).collect()
}

/// So many nodes, every two of them joined.
pub(crate) fn complete(nodes: usize) -> Map {
    map_of(nodes, &pairs(nodes))
}

/// Every connected graph of so many numbered nodes. The destination may always be node 0: every other choice is another
/// numbering.
pub(crate) fn connected(nodes: usize) -> Vec<Map> {
    let pairs = pairs(nodes);
    let all = (0..1_u32 << pairs.len()).map(|chosen| {
        let has = |place: &usize| chosen & 1 << place != 0;
        let links: Vec<_> = (0..pairs.len()).filter(has).map(|place| pairs[place]).collect();
        map_of(nodes, &links)
    });
    all.filter(|map| map.distances(0, |_| true).iter().all(|distance| *distance != ddc::FAR)).collect()
}
