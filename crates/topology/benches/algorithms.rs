//! What the algorithms cost: `cargo bench -p topology`.

use divan::Bencher;
use topology::partition::{PartitionSpec, partition};
use topology::paths::{AllRoutes, Routes, ShortestPaths, by_weight, edge_disjoint_paths, k_shortest};
use topology::render::{Style, svg};
use topology::{LinkSpec, NodeId, Topology, generate};

fn main() {
    divan::main();
}

/// 1,024 hosts and 320 switches.
fn fabric() -> Topology {
    generate::fat_tree(16, &LinkSpec::default()).expect("k is even")
}

fn ends(topology: &Topology) -> (NodeId, NodeId) {
    (topology.find("h1").expect("a host"), topology.find("h1024").expect("a host"))
}

#[divan::bench]
fn fat_tree_16(bencher: Bencher<'_, '_>) {
    bencher.bench(fabric);
}

#[divan::bench]
fn shortest_paths_fat_tree_16(bencher: Bencher<'_, '_>) {
    let topology = fabric();
    let (from, _) = ends(&topology);
    bencher.bench(|| ShortestPaths::from(&topology, from, by_weight));
}

#[divan::bench]
fn ecmp_routes_fat_tree_16(bencher: Bencher<'_, '_>) {
    let topology = fabric();
    let (_, to) = ends(&topology);
    bencher.bench(|| Routes::towards(&topology, to, by_weight));
}

#[divan::bench(sample_count = 5)]
fn all_routes_fat_tree_16(bencher: Bencher<'_, '_>) {
    let topology = fabric();
    bencher.bench(|| AllRoutes::of(&topology, by_weight));
}

#[divan::bench(sample_count = 10)]
fn yen_8_paths_fat_tree_16(bencher: Bencher<'_, '_>) {
    let topology = fabric();
    let (from, to) = ends(&topology);
    bencher.bench(|| k_shortest(&topology, from, to, 8, by_weight));
}

#[divan::bench]
fn edge_disjoint_waxman_200(bencher: Bencher<'_, '_>) {
    let topology = generate::waxman(200, 0.4, 0.2, 1, &LinkSpec::default()).expect("in range");
    let (from, to) = (topology.find("s1").expect("a switch"), topology.find("s200").expect("a switch"));
    bencher.bench(|| edge_disjoint_paths(&topology, from, to, |_| true));
}

#[divan::bench(sample_count = 10)]
fn partition_100_nodes_in_8(bencher: Bencher<'_, '_>) {
    let topology = generate::erdos_renyi(100, 0.05, 1, &LinkSpec::default()).expect("in range");
    let spec = PartitionSpec { starts: 1, ..PartitionSpec::new(8) };
    bencher.bench(|| partition(&topology, spec, |_| 1, |_| 1));
}

#[divan::bench(sample_count = 10)]
fn svg_fat_tree_4(bencher: Bencher<'_, '_>) {
    let topology = generate::fat_tree(4, &LinkSpec::default()).expect("k is even");
    bencher.bench(|| svg(&topology, &Style::default()));
}
